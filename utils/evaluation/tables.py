"""Scores as Markdown tables that say how they were taken: protocol, split, images and captions used, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from utils.evaluation.ranking import RECALL_AT
from utils.evaluation.retrieval import DIRECTIONS, RetrievalResult
from utils.evaluation.zero_shot import PUBLISHED_KS, ZeroShotResult


def score_table(results: Mapping[str, ZeroShotResult], seed: int = 0) -> str:
    """A row for each model, by its name: protocol, split, images, classes, and score@k with its bootstrap interval."""
    header = ["model", "protocol", "data", "images", "captions", "classes", *(f"score@{k}" for k in PUBLISHED_KS)]
    rows = [
        [
            name,
            result.protocol or "not named",
            result.dataset or "not named",
            _images(len(result.labels), result.left_out),
            "none",  # prompts stand for the classes
            str(len(result.class_names)),
            *(str(result.interval(k, seed)) for k in PUBLISHED_KS),
        ]
        for name, result in results.items()
    ]
    return _markdown(header, rows)


def recall_table(results: Mapping[str, RetrievalResult], seed: int = 0) -> str:
    """A row for each model, by its name: matching, split, images, captions, six recalls in percent, mR with interval.

    Below stands the ceiling that shared captions impose on all of them: results are of one matching and split.
    """
    header = ["model", "matching", "data", "images", "captions", *(f"{way} R@1/5/10" for way in ("i->t", "t->i")), "mR"]
    first = next(iter(results.values()))
    counts = [_images(len(first.image_to_text), first.left_out), f"{len(first.text_to_image):,}"]
    setting = [first.matching.replace("_", "-"), first.dataset or "not named", *counts]
    rows = [
        [name, *setting, *_recall_cells(result.recalls), f"{result.interval(seed=seed):.2%}".replace("%", "")]
        for name, result in results.items()
    ]
    mean = sum(first.ceilings.values()) / len(first.ceilings)
    return _markdown(header, [*rows, ["ceiling", *setting, *_recall_cells(first.ceilings), f"{100 * mean:.2f}"]])


def _images(count: int, left_out: int) -> str:
    """How many images a score stands on, and how many could not be decoded: '58 (2 left out)'."""
    return f"{count:,}" + (f" ({left_out:,} left out)" if left_out else "")


def _recall_cells(recalls: Mapping[str, float]) -> list[str]:
    """The recalls of each direction in percent: '13.72/30.10/43.73'."""
    return [
        "/".join(f"{100 * recalls[f'{direction}_recall_at_{k}']:.2f}" for k in RECALL_AT) for direction in DIRECTIONS
    ]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in cells)
    return "\n".join("| " + " | ".join(row) + " |" for row in escaped)
