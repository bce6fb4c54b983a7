"""From pictures to vectors: a whole collection embedded in pieces that outlive the process."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.files import disk_trouble_in_words, write_whole
from utils.progress import progress_bar
from utils.search.errors import SearchError

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

PIECES = "pieces"  # the folder, inside that of the index
PIECE = 512  # pictures whose vectors are kept together: what a kill costs at most


@dataclass(frozen=True)
class Skipped:
    """A picture that is not in the index.

    Attributes:
        path: The file.
        reason: Why it could not be read, a sentence.
    """

    path: Path
    reason: str


def as_dataset(pictures: CaptionDataset | str | Path) -> CaptionDataset:
    """A data set, or one of the pictures in a folder, at any depth, with captions or without; by absolute paths."""
    from utils.datasets import CaptionDataset, load_dataset

    dataset = load_dataset(Path(pictures)) if isinstance(pictures, str | Path) else pictures
    items = (replace(item, path=Path(os.path.abspath(item.path))) for item in dataset)  # noqa: PTH100
    return CaptionDataset(items, dataset.name)


def pictures_digest(dataset: CaptionDataset) -> str:
    """A mark over which pictures there are and in which order: names, sizes and times of change.

    Names count from the folder that holds them all, so that a collection may move as a whole.
    """
    top, digest = dataset.image_root, hashlib.sha256()
    for item in dataset:
        try:
            status = item.path.stat()
            mark = (status.st_size, status.st_mtime_ns)
        except OSError:
            mark = None
        digest.update(repr((os.path.relpath(item.path, top), mark)).encode())
    return digest.hexdigest()[:16]


def embed_collection(
    model: CLIP,
    dataset: CaptionDataset,
    folder: Path | None,
    note: Mapping[str, object],
    *,
    batch_size: int,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray, list[Skipped]]:
    """Embeds every picture that can be read, going on behind the pieces that an earlier run has left.

    Args:
        model: The CLIP model.
        dataset: The pictures, at least one.
        folder: Where the pieces are kept, those of another ``note`` dropped; None keeps nothing.
        note: What the vectors depend on: the model's and the pictures' marks.
        batch_size: Pictures encoded at once.
        progress: Whether to show a bar.

    Returns:
        Embeddings (readable, dim) float32 of unit length, their positions in the data set (readable,) int64, and
        the pictures that were skipped.

    Raises:
        SearchError: If not one picture can be read, or the model gives no numbers.
    """
    if folder is not None:
        _claim(folder, note)
    embeddings, positions, reasons = [], [], {}
    with progress_bar(total=len(dataset), desc="Images", unit="image", disable=not progress) as bar:
        for start in range(0, len(dataset), PIECE):
            path = None if folder is None else folder / f"{start:09d}.safetensors"
            piece = _read_piece(path)
            if piece is None:
                piece = _embed_piece(model, dataset[start : start + PIECE], batch_size, bar.update)
                _write_piece(path, piece)
            else:
                bar.update(len(piece.positions) + len(piece.reasons))
            embeddings.append(piece.embeddings)
            positions.append(piece.positions + start)
            reasons |= {position + start: reason for position, reason in piece.reasons.items()}
    skipped = [Skipped(dataset[position].path, reason) for position, reason in sorted(reasons.items())]
    if len(skipped) == len(dataset):
        raise SearchError(f"Not one of the {len(skipped):,} pictures can be read: {skipped[0].reason}")
    vectors = np.concatenate(embeddings)
    if not np.isfinite(vectors).all():
        raise SearchError(
            "The model gives pictures vectors that are no numbers; load one that has not diverged."
        )
    return vectors, np.concatenate(positions), skipped


def drop_pieces(folder: Path) -> None:
    """Removes the pieces, once a whole index holds what was in them."""
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Piece:
    """Embeddings (readable, dim), their positions (readable,) in the piece, and why others are not there."""

    embeddings: np.ndarray
    positions: np.ndarray
    reasons: dict[int, str]


def _claim(folder: Path, note: Mapping[str, object]) -> None:
    """Keeps the pieces of an equal note, and drops those of any other."""
    path, text = folder / "note.json", json.dumps({**note, "piece": PIECE}, sort_keys=True)
    if not path.is_file() or path.read_text() != text:
        shutil.rmtree(folder, ignore_errors=True)
        with disk_trouble_in_words(folder.parent):
            folder.mkdir(parents=True)
            write_whole(path, text)


def _embed_piece(model: CLIP, part: CaptionDataset, batch_size: int, advance) -> _Piece:
    from utils.clip import embed_images
    from utils.images import eval_batches

    reasons: dict[int, str] = {}
    batches = eval_batches(
        part, model.preprocessing, batch_size=min(batch_size, len(part)), unreadable=reasons
    )
    embeddings = embed_images(model, _counted(batches, len(part), advance))
    positions = np.array([number for number in range(len(part)) if number not in reasons], np.int64)
    return _Piece(embeddings, positions, reasons)


def _counted(batches: Iterable[dict], total: int, advance) -> Iterator[dict]:
    """Passes batches on, and moves the bar by the pictures of each once it has been embedded."""
    for batch in batches:
        yield batch
        count = min(len(batch["mask"]), total)
        advance(count)
        total -= count


def _read_piece(path: Path | None) -> _Piece | None:
    """A finished piece; None where there is none, or a damaged one."""
    if path is None or not path.is_file():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            reasons = json.loads(file.metadata()["reasons"])
            return _Piece(
                file.get_tensor("embeddings"),
                file.get_tensor("positions"),
                {int(number): reason for number, reason in reasons.items()},
            )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _write_piece(path: Path | None, piece: _Piece) -> None:
    if path is None:
        return
    from safetensors.numpy import save

    tensors = {"embeddings": piece.embeddings, "positions": piece.positions}
    with disk_trouble_in_words(path.parent):
        write_whole(path, save(tensors, {"reasons": json.dumps(piece.reasons)}))
