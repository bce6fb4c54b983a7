"""Images described: captions for paths, images in memory or a data set; a captions file for images that have none."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from flax import nnx
from PIL import Image

from utils.captioning.begun import Begun, begun, mark_of
from utils.captioning.captioner import Captioner, compiled_prefix
from utils.captioning.decoding import Beam, Method, generate
from utils.captioning.tokens import words_of
from utils.clip import fingerprint
from utils.clip.embedding import weights_digest
from utils.datasets import CaptionDataset, CaptionedImage, DatasetError, eval_batches, load_dataset, to_rgb
from utils.datasets.reports import name_a_few
from utils.files import disk_trouble_in_words, from_home, write_whole
from utils.progress import progress_bar

BEST_OF_FIVE = Beam(5)
LENGTH = 32  # tokens of a caption at most, its end included, of a captioner that was not trained here

Picture: TypeAlias = str | os.PathLike | Image.Image | CaptionedImage


@dataclass(frozen=True)
class _InMemory(CaptionedImage):
    """An image that has no file."""

    image: Image.Image | None = None

    def open(self) -> Image.Image:
        """The image as 8-bit RGB."""
        assert self.image is not None
        return to_rgb(self.image)


def caption(
    captioner: Captioner,
    pictures: Picture | Sequence[Picture] | CaptionDataset,
    *,
    method: Method = BEST_OF_FIVE,
    batch_size: int = 32,
    max_tokens: int | None = None,
    seed: int = 0,
    progress: bool = True,
    unreadable: dict[int, str] | None = None,
) -> list[str]:
    """Writes a caption for each image, in their order; one image alone gives a list of one.

    Args:
        captioner: Of any size.
        pictures: Paths, Pillow's images, or images of a data set, which are read as it says.
        method: How tokens are chosen: `Greedy`, `Beam` or `Nucleus`.
        batch_size: Images at once.
        max_tokens: Of a caption, its end included; by default as many as the captioner was trained to write.
        seed: Of chance, if the method has any; a caption does not depend on the images beside it.
        progress: Whether to show how far it is.
        unreadable: Receives position and reason of what cannot be decoded, whose caption is empty.

    Raises:
        ImageError: If an image cannot be decoded and ``unreadable`` is not given; it names the file.
        ValueError: If the captions are longer than the decoder can write, an image is none, or a number is out of its
            range.
    """
    dataset = pictures if isinstance(pictures, CaptionDataset) else _dataset_of(pictures)
    batches = _batches(
        captioner,
        dataset,
        method=method,
        batch_size=batch_size,
        max_tokens=max_tokens,
        seed=seed,
        progress=progress,
        unreadable=unreadable,
    )
    return [text for texts in batches for text in texts]


def _batches(
    captioner: Captioner,
    dataset: CaptionDataset,
    *,
    method: Method,
    batch_size: int,
    progress: bool,
    unreadable: dict[int, str] | None,
    max_tokens: int | None = None,
    seed: int = 0,
    first_row: int = 0,
) -> Iterator[list[str]]:
    """The captions of a data set, a batch at a time; ``first_row`` is the number of the first image, for chance."""
    if not (isinstance(batch_size, Integral) and batch_size >= 1):
        raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1.")
    room = captioner.decoder.config.n_positions - captioner.mapper.config.prefix_length
    length = max_tokens if max_tokens is not None else captioner.metadata.caption_tokens or min(LENGTH, room)
    rows = min(batch_size, 1 << max(len(dataset) - 1, 0).bit_length())  # a few images take no whole batch
    definition, parameters = nnx.split(captioner)
    done = 0
    with progress_bar(total=len(dataset), desc="Captions", unit="image", disable=not progress) as bar:
        batches = eval_batches(dataset, captioner.preprocessing, batch_size=rows, unreadable=unreadable)
        for batch in batches if len(dataset) else ():
            tokens = generate(
                captioner.decoder,
                compiled_prefix(definition, parameters, batch["images"]),
                end_token=captioner.end_token,
                max_tokens=length,
                method=method,
                seed=seed,
                first_row=first_row + done,
            )
            texts = words_of(captioner.tokenizer, np.asarray(tokens))[: len(dataset) - done]
            yield [text if is_read else "" for text, is_read in zip(texts, batch["mask"], strict=False)]
            done += len(texts)
            bar.update(len(texts))


def write_captions(
    captioner: Captioner,
    pictures: str | os.PathLike | CaptionDataset,
    file: str | os.PathLike,
    *,
    method: Method = BEST_OF_FIVE,
    batch_size: int = 32,
    progress: bool = True,
) -> Path:
    """Describes the images of a folder, or of a data set, in a captions file, so that words find them.

    ``load_dataset(file)`` reads it where the file lies in the folder of the images or above it; elsewhere with
    ``data_dir`` as ``dataset.image_root``. Each line holds ``filename``, ``captions``, ``split``, ``category``,
    ``source``, and ``written_by``, the captioner: with it a data set tells such captions from those of people. An
    image that has captions keeps them, without that mark. What cannot be decoded is left out, with a warning. The
    file is written once all images are described. If that is stopped or breaks off there is none, and the same call
    resumes: captions of images that have not changed since are kept beside it, in a hidden folder.

    Raises:
        FileExistsError: If the file is there already: people may have written it.
        FolderInUseError: If another process describes images for the same file.
        DatasetError: If there are no images.
        ValueError: If the file is not called .jsonl, or the pictures are neither a folder nor a data set.
    """
    path = _captions_file(file)
    dataset = pictures if isinstance(pictures, CaptionDataset) else _in_folder(pictures)
    described = {item.path for item in dataset if item.captions_with_words}
    bare = CaptionDataset(item for item in dataset if item.path not in described)
    name = f"the captioner {captioner.metadata.source.get('name', '')}".strip()
    with disk_trouble_in_words(path.parent), begun(path, _mark_of_writer(captioner, method)) as kept:
        texts = _resumed(captioner, bare, kept, method=method, batch_size=batch_size, progress=progress)
        written = {item.path: text for item, text in zip(bare, texts, strict=True) if text is not None}
        whole = [item for item in dataset if item.captions_with_words or item.path in written]
        if whole:
            write_whole(path, _lines(whole, _root(whole, path), written, name))
    if damaged := [item.name for item, text in zip(bare, texts, strict=True) if text is None]:
        names = name_a_few(damaged)
        warnings.warn(f"{len(damaged):,} images are damaged and are left out: {names}", stacklevel=2)
    if not whole:
        raise DatasetError(
            f"{dataset.name or 'the data set'}: it has no image that can be described; give a folder of images"
        )
    return path


def _resumed(captioner: Captioner, dataset: CaptionDataset, kept: Begun, **how: Any) -> list[str | None]:
    """The captions of a data set, None for what cannot be decoded: those that are kept, and the others, kept too."""
    marks = [mark_of(item) for item in dataset]
    new = [number for number, mark in enumerate(marks) if mark not in kept.captions]
    if how["progress"] and len(new) < len(dataset):
        print(f"{len(dataset) - len(new):,} of {len(dataset):,} images are described already.")
    unreadable: dict[int, str] = {}
    places = iter(range(len(new)))
    rest, before = CaptionDataset([dataset[number] for number in new]), len(dataset) - len(new)
    for texts in _batches(captioner, rest, unreadable=unreadable, first_row=before, **how):
        batch = list(zip(texts, places, strict=False))
        kept.add((marks[new[place]], None if place in unreadable else text) for text, place in batch)
    return [kept.captions[mark] for mark in marks]


def _mark_of_writer(captioner: Captioner, method: Method) -> str:
    """16 hexadecimal digits over all that captions depend on, besides the image."""
    parts = [fingerprint(captioner.clip), weights_digest(captioner.mapper), weights_digest(captioner.decoder)]
    parts += [repr(captioner.metadata.caption_tokens), repr(method)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _captions_file(file: str | os.PathLike) -> Path:
    """The path of a captions file that can be written."""
    if not isinstance(file, str | os.PathLike):
        raise ValueError(f"The captions file is {file!r}; give its path, such as captions.jsonl.")
    path = from_home(file)
    if path.suffix != ".jsonl":
        raise ValueError(f"The captions file {path} must end in .jsonl; name it captions.jsonl, say.")
    if path.exists():
        raise FileExistsError(f"{path} is there already, and people may have written it; delete it, or name another.")
    return path


def _lines(items: Sequence[CaptionedImage], root: Path, written: Mapping[Path, str], writer: str) -> str:
    """A captions file of images, below a folder, of which some have a caption that a captioner has written."""
    lines = []
    for item in items:
        name_here = item.path.absolute().relative_to(root).as_posix()
        record: dict[str, object] = {"filename": name_here, "captions": item.captions}
        record |= {"split": item.split, "category": item.category, "source": item.source}
        by_person = {"written_by": item.written_by} if item.written_by else {}
        made = {"captions": [written[item.path]], "written_by": writer} if item.path in written else by_person
        lines.append(json.dumps(record | made, ensure_ascii=False) + "\n")
    return "".join(lines)


def _dataset_of(pictures: Picture | Sequence[Picture]) -> CaptionDataset:
    """Images of any kind, in one row."""
    if isinstance(pictures, str | os.PathLike | Image.Image | CaptionedImage):
        pictures = [pictures]
    if not isinstance(pictures, Iterable):
        raise ValueError(
            f"The pictures are {pictures!r}; give a path, an image of Pillow or of a data set, or a list of such."
        )
    return CaptionDataset(_item(picture, number) for number, picture in enumerate(pictures))


def _item(picture: Picture, number: int) -> CaptionedImage:
    if isinstance(picture, CaptionedImage):
        return picture
    if isinstance(picture, Image.Image):
        return _InMemory(Path(f"image {number}"), (), None, None, "", image=picture)
    if isinstance(picture, str | os.PathLike):
        return CaptionedImage(from_home(picture), (), None, None, "")
    raise ValueError(
        f"Image {number} is of type {type(picture).__name__}; give a path, an image of Pillow or of a data set."
    )


def _in_folder(place: str | os.PathLike) -> CaptionDataset:
    """The images of a folder; that captions or categories are wanting is no news, and damage is found on the way."""
    if not isinstance(place, str | os.PathLike):
        raise ValueError(f"The pictures are of type {type(place).__name__}; give the path of a folder, or a data set.")
    folder = from_home(place)
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}: give one with images, or a data set")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(caption|of one category)")
        return load_dataset(folder, check_files=False)


def _root(items: Sequence[CaptionedImage], file: Path) -> Path:
    """The folder that names of images start from: that of the file if they all lie below it."""
    above = file.absolute().parent
    below = all(item.path.absolute().is_relative_to(above) for item in items)
    return above if below else CaptionDataset(items).image_root
