"""``make convert``: a CLIP in any form that `CLIP.from_pretrained` reads, written in a form that others open."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from utils import jax_trouble
from utils.clip.model import CLIP
from utils.clip.onnx_export import check_onnx, save_onnx
from utils.clip.open_clip_export import save_open_clip
from utils.files import disk_trouble_in_words, from_home, refuse_file

FORMS: dict[str, Callable[[CLIP, Path], Path]] = {
    "transformers": CLIP.save_pretrained,
    "open_clip": save_open_clip,
    "onnx": save_onnx,
}


def convert(source: str | os.PathLike, folder: Path, form: str = "transformers", activation: str | None = None) -> CLIP:
    """Loads a CLIP and writes it into a folder of its own, whole or not at all; returns it.

    Args:
        source: What `CLIP.from_pretrained` takes, and ``activation`` beside it.
        folder: Where to write, new or empty.
        form: One of `FORMS`.
        activation: ``quick_gelu`` or ``gelu`` where the source does not tell which, or None.

    Raises:
        ValueError: If there is no such form, the model cannot be written in it, or it is damaged.
        OSError: If the folder holds something, or the disk takes no more, or there is no such model.
        ImportError: If the form takes packages that are not installed.
    """
    if form not in FORMS:
        raise ValueError(f"The form is {form!r}; there are {', '.join(FORMS)}.")
    refuse_file(folder)
    if held := sorted(path.name for path in folder.iterdir()) if folder.exists() else []:
        more = f" and {len(held) - 1} more" if held[1:] else ""
        raise FileExistsError(
            f"{folder} holds {held[0]}{more}, and nothing is replaced there; name another folder, or delete this one."
        )
    if form == "onnx":
        check_onnx()  # before a minute is spent
    model = CLIP.from_pretrained(source, activation=activation)
    with disk_trouble_in_words(folder):
        FORMS[form](model, folder)
    return model


def main(argv: list[str] | None = None) -> int:
    """Converts from the command line; the exit status is 2 if nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m utils.clip.convert", description="Writes a CLIP in another form.")
    parser.add_argument("model", help="a folder, a file, or a name on the Hugging Face Hub")
    parser.add_argument("--to", default="", help="the folder to write, new or empty")
    parser.add_argument("--form", default="transformers", help=f"one of {', '.join(FORMS)}")
    parser.add_argument("--activation", default="", help="quick_gelu or gelu, where the model does not tell which")
    arguments = parser.parse_args(argv)
    folder = from_home(arguments.to)
    try:
        if not (arguments.model and arguments.to):
            raise ValueError(
                "Name the model and a new folder, as in make convert MODEL=runs/mine/finetuned/model TO=mine."
            )
        if trouble := jax_trouble():
            raise OSError(trouble)
        model = convert(arguments.model, folder, arguments.form, arguments.activation or None)
    except (ImportError, OSError, ValueError) as error:
        print(f"make convert: {error}", file=sys.stderr)
        return 2
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"{folder}: {arguments.form}, {len(files)} files, {size:.1f} MB.")
    if model.tokenizer is None:
        print("It has no tokenizer, since the model came without one.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
