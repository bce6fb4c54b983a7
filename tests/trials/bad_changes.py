"""Valid pictures of many forms, and changes at random of what a file holds, or of what it is."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from hostile_images import HOSTILE, encoded, turned
from PIL import Image

WORDS = ("x", "nan", "null", "../..", "/", "~", "1e309", "日本", "a" * 5_000, "\x00", "{}", "a,b\n", " .", "")
VALUES = (None, True, 0, -1, 1.5, 10**30, float("nan"), float("inf"), [], {}, [[]], "", *WORDS)
PAGE = b"<!doctype html><title>Sign in</title>" + b" " * 300


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """One change of a file, at random."""
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((1, 4, 64, 1024)))
    noise = chance.randbytes(end - start)
    return chance.choice(
        (
            content[:start],
            content[start:],
            content[:start] + noise + content[end:],
            content[:start] + bytes(end - start) + content[end:],
            content[:start] + content[end:],
            content[:end] + content[start:],
            content + chance.randbytes(99),
            PAGE,
            b"",
        )
    )


def changed_json(value: Any, chance: random.Random) -> Any:
    """JSON with one of its values, wherever it is, replaced, taken away or repeated."""
    if not isinstance(value, list | dict) or not value or chance.random() < 0.1:
        return chance.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, copy = chance.choice(keys), value.copy()
    if (how := chance.random()) < 0.1:
        copy.pop(key)
    elif how < 0.2 and isinstance(copy, list):
        copy.append(copy[key])
    else:
        copy[key] = changed_json(copy[key], chance)
    return copy


def change_file(path: Path, chance: random.Random) -> None:
    """Changes a file in its folder: what it holds, or what it is."""
    content, how = path.read_bytes(), chance.random()
    if how < 0.08:
        path.unlink()
        chance.choice((path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("nowhere"), lambda: None))()
    elif how < 0.6 and path.suffix in (".json", ".jsonl"):
        lines = content.decode().splitlines() if path.suffix == ".jsonl" else [content.decode()]
        number = chance.randrange(len(lines))
        lines[number] = json.dumps(changed_json(json.loads(lines[number]), chance))
        path.write_text("\n".join(lines))
    else:
        path.write_bytes(changed_bytes(content, chance))


def picture(chance: random.Random) -> tuple[str, bytes]:
    """A valid picture's file, of a random form: its ending and its content."""
    pixels = np.random.default_rng(chance.randrange(99)).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    image, deep = Image.fromarray(pixels), Image.fromarray(pixels[..., 0].astype(np.uint16) * 200)
    return chance.choice(
        (
            lambda: ("png", encoded(image, "png")),
            lambda: ("jpg", encoded(image, "jpeg", exif=turned())),
            lambda: ("jpg", encoded(image.convert("CMYK"), "jpeg", progressive=True)),
            lambda: ("webp", encoded(image, "webp")),
            lambda: ("gif", encoded(image, "gif")),
            lambda: ("bmp", encoded(image, "bmp")),
            lambda: ("tif", encoded(image, "tiff", compression=chance.choice((None, "tiff_deflate", "jpeg")))),
            lambda: ("tif", encoded(deep, "tiff")),
            lambda: ("png", encoded(deep, "png")),
            lambda: ("png", encoded(image.convert("P"), "png", transparency=0)),
            lambda: chance.choice([(Path(name).suffix[1:], make(64)) for name, make in HOSTILE.items()]),
        )
    )()
