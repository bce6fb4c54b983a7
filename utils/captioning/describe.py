"""Images described: captions for paths, images in memory or a data set; a captions file for images that have none."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from flax import nnx
from PIL import Image

from utils.captioning.captioner import Captioner, compiled_prefix
from utils.captioning.decoding import Beam, Method, generate
from utils.captioning.tokens import words_of
from utils.datasets import CaptionDataset, CaptionedImage, DatasetError, eval_batches, load_dataset, to_rgb
from utils.datasets.reports import name_a_few
from utils.files import disk_trouble_in_words, write_whole
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
        ValueError: If the captions are longer than the decoder can write, or an image is none.
    """
    dataset = pictures if isinstance(pictures, CaptionDataset) else _dataset_of(pictures)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
    room = captioner.decoder.config.n_positions - captioner.mapper.config.prefix_length
    length = max_tokens if max_tokens is not None else captioner.metadata.caption_tokens or min(LENGTH, room)
    rows = min(batch_size, 1 << max(len(dataset) - 1, 0).bit_length())  # a few images take no whole batch
    definition, parameters = nnx.split(captioner)
    captions: list[str] = []
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
                first_row=len(captions),
            )
            texts = words_of(captioner.tokenizer, np.asarray(tokens))[: len(dataset) - len(captions)]
            captions += [text if is_read else "" for text, is_read in zip(texts, batch["mask"], strict=False)]
            bar.update(len(texts))
    return captions


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
    file is written once all images are described: if that breaks off there is none.

    Raises:
        FileExistsError: If the file is there already: people may have written it.
        DatasetError: If there are no images.
        ValueError: If the file is not called .jsonl.
    """
    path = Path(file).expanduser()
    if path.suffix != ".jsonl":
        raise ValueError(f"The captions file {path} must end in .jsonl; name it captions.jsonl, say.")
    if path.exists():
        raise FileExistsError(f"{path} is there already, and people may have written it; delete it, or name another.")
    dataset = pictures if isinstance(pictures, CaptionDataset) else _in_folder(Path(pictures).expanduser())
    described = {item.path for item in dataset if item.captions_with_words}
    bare = CaptionDataset(item for item in dataset if item.path not in described)
    unreadable: dict[int, str] = {}
    texts = caption(captioner, bare, method=method, batch_size=batch_size, progress=progress, unreadable=unreadable)
    if unreadable:
        names = name_a_few([bare[number].name for number in sorted(unreadable)])
        warnings.warn(f"{len(unreadable):,} images are damaged and are left out: {names}", stacklevel=2)
    pairs = enumerate(zip(bare, texts, strict=True))
    written = {item.path: text for number, (item, text) in pairs if number not in unreadable}
    name = f"the captioner {captioner.metadata.source.get('name', '')}".strip()
    kept = [item for item in dataset if item.captions_with_words or item.path in written]
    if not kept:
        raise DatasetError(
            f"{dataset.name or 'the data set'}: it has no image that can be described; give a folder of images"
        )
    root = _root(kept, path)
    lines = []
    for item in kept:
        name_here = item.path.absolute().relative_to(root).as_posix()
        record: dict[str, object] = {"filename": name_here, "captions": item.captions}
        record |= {"split": item.split, "category": item.category, "source": item.source}
        by_person = {"written_by": item.written_by} if item.written_by else {}
        made = {"captions": [written[item.path]], "written_by": name} if item.path in written else by_person
        lines.append(json.dumps(record | made, ensure_ascii=False) + "\n")
    with disk_trouble_in_words(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(lines))
    return path


def _dataset_of(pictures: Picture | Sequence[Picture]) -> CaptionDataset:
    """Images of any kind, in one row."""
    if isinstance(pictures, str | os.PathLike | Image.Image | CaptionedImage):
        pictures = [pictures]
    return CaptionDataset(_item(picture, number) for number, picture in enumerate(pictures))


def _item(picture: Picture, number: int) -> CaptionedImage:
    if isinstance(picture, CaptionedImage):
        return picture
    if isinstance(picture, Image.Image):
        return _InMemory(Path(f"image {number}"), (), None, None, "", image=picture)
    if isinstance(picture, str | os.PathLike):
        return CaptionedImage(Path(picture).expanduser(), (), None, None, "")
    raise ValueError(
        f"Image {number} is of type {type(picture).__name__}; give a path, an image of Pillow or of a data set."
    )


def _in_folder(folder: Path) -> CaptionDataset:
    """The images of a folder; that captions or categories are wanting is no news, and damage is found on the way."""
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
