"""Shards of webdataset: tar files in which files of one name, but for what follows its first dot, are one sample."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from utils.datasets.captions import Annotation, DatasetError, Listing, caption_texts, splits_of_files
from utils.datasets.files import IMAGE_ENDINGS
from utils.datasets.formats import FILE_FIELDS, annotation_of, captions_in
from utils.datasets.unpacking import Draft, state_of, unpack_once
from utils.files import leads_out, printable
from utils.progress import progress_bar

LARGEST_TEXT = 1 << 24  # bytes of a caption or its JSON
_TEXTS = ("txt", "json", "cls")  # captions, captions with more, and the category
_Texts = dict[str, str]  # of one sample, by ending


def read_shards(paths: Sequence[Path], title: str) -> Listing:
    """Reads the images of tar files, each with the captions in its .txt, a line each, and in its .json.

    Links, and names that lead out of the folder, are a `DatasetError`: shards come from others. What is no image and
    no caption is counted by its ending.
    """
    identity = [str(path.resolve()) for path in paths]
    return unpack_once(title, identity, state_of(paths), lambda draft: _unpack(paths, draft))


def _unpack(paths: Sequence[Path], draft: Draft) -> None:
    unused: Counter[str] = Counter()
    numbered = 0
    # Shards may count their samples from 0 each, and folders their shards: train/00000.tar, val/00000.tar.
    places = [os.path.abspath(path.with_suffix("")) for path in paths]  # noqa: PTH100  # without .., and no link followed
    top = os.path.commonpath([os.path.dirname(place) for place in places])  # noqa: PTH120
    for path, place, split in zip(paths, places, splits_of_files(paths), strict=True):
        prefix = f"{printable(os.path.relpath(place, top))}/" if len(paths) > 1 else ""
        try:
            images, texts = _unpack_one(path, draft.folder / prefix, unused)
        except tarfile.TarError as error:
            raise DatasetError(f"{path}: this is not a whole tar file ({error}); fetch it again") from error
        if _lacks_its_end(path):
            draft.notes.append(
                f"{path.name} does not end as a tar file does: it may be cut off, {len(images):,} images in"
            )
        for key, name in images.items():
            numbered += texts.get(key, {}).get("cls", "").strip().isdigit()
            draft.annotations.append(_annotation(prefix + name, texts.pop(key, {}), split, f"{path}, {name}"))
        if texts:
            draft.notes.append(
                f"{len(texts):,} samples of {path.name} have a caption and no image, the first is {next(iter(texts))}"
            )
    if numbered:
        draft.notes.append(f"{numbered:,} images have the number of a class and not its name, which is no category")
    if unused:
        named = ", ".join(f"{count:,} .{ending}" for ending, count in sorted(unused.items()))
        draft.notes.append(f"files of the shards that are neither an image nor a caption are not used: {named}")


def _lacks_its_end(path: Path) -> bool:
    """Whether the zeros are missing that close a tar file; what breaks off between two files reads as whole."""
    with path.open("rb") as file:
        file.seek(257)
        if file.read(5) != b"ustar":  # compressed, which is checked by itself
            return False
        file.seek(-tarfile.BLOCKSIZE, os.SEEK_END)
        return any(file.read())


def _unpack_one(path: Path, folder: Path, unused: Counter[str]) -> tuple[dict[str, str], dict[str, _Texts]]:
    """Writes the images of a shard; returns their names and the texts, by key."""
    images: dict[str, str] = {}
    texts: dict[str, _Texts] = {}
    with tarfile.open(path, "r|*") as tar:
        for member, key, ending in _members(tar, path):
            content = tar.extractfile(member)
            if content is None:
                continue
            if f".{ending}" in IMAGE_ENDINGS:
                if key in images:
                    raise DatasetError(f"{path}: {key} has two images, {images[key]} and {member.name}; keep one")
                images[key] = f"{key}.{ending}"
                _write(folder / images[key], content, f"{path}, {member.name}")
            elif ending in _TEXTS and member.size <= LARGEST_TEXT:
                texts.setdefault(key, {})[ending] = _decoded(content.read(), f"{path}, {member.name}")
            else:
                unused[ending] += 1
    return images, texts


def _write(target: Path, content: IO[bytes], where: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            shutil.copyfileobj(content, file)
    except (FileExistsError, NotADirectoryError) as error:  # as where capitals are not told apart
        raise DatasetError(f"{where}: another image of the shard has that name; rename one of them") from error
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENAMETOOLONG):  # as ? and * in a name on Windows
            raise
        raise DatasetError(f"{where}: this system has no files of that name; give it another one") from error


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tuple[tarfile.TarInfo, str, str]]:
    """Goes through the files of a shard: each with its key and what follows the first dot of its name."""
    for member in progress_bar(tar, desc=path.name, unit=" files", leave=False):
        name = PurePosixPath(member.name)
        if leads_out(member.name) or member.issym() or member.islnk():
            raise DatasetError(f"{path}: {member.name!r} is a link or leads out of the folder; the shard is not used")
        if member.isfile() and not name.name.startswith("."):
            stem, _, ending = name.name.partition(".")
            yield member, (name.parent / stem).as_posix(), ending.lower()


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{where}: the text is not UTF-8 (byte {error.start})") from error


def _annotation(filename: str, texts: _Texts, split: str | None, where: str) -> Annotation:
    """Joins what is said of one image: the lines of its .txt, and the fields of its .json as in JSON lines."""
    lines = [caption for line in texts.get("txt", "").splitlines() for caption in caption_texts(line)]
    try:
        known = json.loads(texts.get("json", "{}"))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{where}: its .json is not valid JSON ({error.msg})") from error
    except RecursionError:
        raise DatasetError(f"{where}: its .json is nested too deep to be of an image") from None
    known = {name: value for name, value in known.items() if value is not None} if isinstance(known, dict) else {}
    # img2dataset writes one caption into both; repeated ones of one file stay.
    captions = lines + [caption for caption in captions_in(known, where) if caption not in lines]
    known = {"split": split, "label": texts.get("cls"), **{k: v for k, v in known.items() if k not in FILE_FIELDS}}
    return annotation_of(known | {"filename": filename}, tuple(captions), where)
