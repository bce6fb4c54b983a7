"""Scores out of predictions that CLIP-rsicd's evaluation script has written down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.evaluation.rank_scores import RankScores


@dataclass(frozen=True)
class Predictions(RankScores):
    """What a file of predictions says; scores as of `ZeroShotResult`, up to k of ``depth``.

    Attributes:
        files: (images,) names of the images.
        class_names: (classes,) every name in the file, sorted.
        labels: (images,) int, the true class of each image.
        ranks: (images,) int, the place of the true class from 0 on; ``depth`` where it is not among those listed.
        depth: Classes listed for each image, 10 as published.
    """

    files: tuple[str, ...]
    class_names: tuple[str, ...]
    labels: np.ndarray
    ranks: np.ndarray
    depth: int

    def hits(self, k: int = 1) -> np.ndarray:
        """(images,) bool, whether the true class is among the k best.

        Raises:
            ValueError: If k is below 1 or more classes than the file lists.
        """
        if k > self.depth:
            raise ValueError(f"The predictions list {self.depth} classes an image, too few for score@{k}.")
        return super().hits(k)


def scores_from_predictions(path: str | Path) -> Predictions:
    """Reads predictions in the form in which CLIP-rsicd published its own, for score@1, 3, 5, 10 and per class.

    A line is an image, separated by tabs: file name, true class, then pairs of class and probability from the best
    down, ten of them as published. The order as listed decides; probabilities are rounded and may tie.

    Args:
        path: The file, in UTF-8.

    Raises:
        ValueError: If a line is malformed (the message names file and line), or there is none.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not a text file in UTF-8 ({error.reason}).") from None
    rows: dict[str, tuple[str, list[str]]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            file, label, classes = _parsed(line)
            _check_like_others(file, classes, rows)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}.") from None
        rows[file] = label, classes
    if not rows:
        raise ValueError(f"{path}: no predictions are in this file.")
    return _joined(rows)


def _parsed(line: str) -> tuple[str, str, list[str]]:
    """File, label and listed classes of a line."""
    file, *rest = line.split("\t")
    label, pairs = (rest[0], rest[1:]) if rest else ("", [])
    if not file or not label or not pairs or len(pairs) % 2:
        raise ValueError(
            f"{len(rest) + 1} tab-separated columns; there must be a file, a label, and pairs of class and probability"
        )
    classes = pairs[::2]
    if len(set(classes)) < len(classes) or "" in classes:
        raise ValueError("a class is empty or listed twice")
    try:
        probabilities = np.array([float(text) for text in pairs[1::2]])
    except ValueError:
        raise ValueError("a probability is not a number") from None
    # Written so that NaN fails too. Five digits round a probability of nearly 1 no further up than 1.
    if not ((probabilities >= 0) & (probabilities <= 1)).all() or (np.diff(probabilities) > 0).any():
        raise ValueError("the probabilities must be from 0 to 1 and fall from the best class down")
    return file, label, classes


def _check_like_others(file: str, classes: list[str], rows: dict[str, tuple[str, list[str]]]) -> None:
    if file in rows:
        raise ValueError(f"{file} has stood in an earlier line")
    depth = len(next(iter(rows.values()))[1]) if rows else len(classes)
    if len(classes) != depth:
        raise ValueError(f"{len(classes)} classes are listed, {depth} in the lines before")


def _joined(rows: dict[str, tuple[str, list[str]]]) -> Predictions:
    names = sorted({name for label, classes in rows.values() for name in (label, *classes)})
    position = {name: number for number, name in enumerate(names)}
    depth = len(next(iter(rows.values()))[1])
    return Predictions(
        files=tuple(rows),
        class_names=tuple(names),
        labels=np.array([position[label] for label, _ in rows.values()], int),
        ranks=np.array([classes.index(label) if label in classes else depth for label, classes in rows.values()], int),
        depth=depth,
    )
