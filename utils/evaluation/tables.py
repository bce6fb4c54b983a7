"""Scores as Markdown: tables that say how they were taken, and an `evaluation.json` in a few lines for other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.datasets import shown_reading
from utils.evaluation.intervals import Interval
from utils.evaluation.ranking import RECALL_AT
from utils.evaluation.retrieval import DIRECTIONS, RetrievalResult
from utils.evaluation.zero_shot import PUBLISHED_KS, ZeroShotResult
from utils.files import write_whole

OTHER_COLUMNS = (("split_names", 1), ("ensemble", 1))
CARD_MARKS = ("<!-- evaluation -->", "<!-- end of evaluation -->")


def score_table(results: Mapping[str, ZeroShotResult], seed: int = 0) -> str:
    """A row for each model, by its name: protocol, split, images, classes, and score@k with its bootstrap interval."""
    header = ["model", "protocol", "data", "images", "captions", "classes", *(f"score@{k}" for k in PUBLISHED_KS)]
    rows = []
    for name, result in results.items():
        setting = [result.protocol or "not named", result.dataset or "not named"]
        # No captions: prompts stand for the classes.
        counts = [_images(len(result.labels), result.left_out), "none", str(len(result.class_names))]
        rows.append([name, *setting, *counts, *(str(result.interval(k, seed)) for k in PUBLISHED_KS)])
    return _markdown(header, rows)


def recall_table(results: Mapping[str, RetrievalResult], seed: int = 0) -> str:
    """A row for each model, by its name: matching, split, images, captions, six recalls in percent, mR with interval.

    Below stands the ceiling that shared captions impose on all of them: results are of one matching and split.
    """
    header = ["model", "matching", "data", "images", "captions", *(f"{way} R@1/5/10" for way in ("i->t", "t->i")), "mR"]
    first = next(iter(results.values()))
    images, captions = _images(len(first.image_to_text), first.left_out), f"{len(first.text_to_image):,}"
    setting = [first.matching.replace("_", "-"), first.dataset or "not named", images, captions]
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


def summary_text(content: Mapping[str, Any]) -> str:
    """What an `evaluation.json`, read, says was measured: Markdown, two sentences and a table of both models."""
    warning = f"**Warning:** {content['warning']}\n\n" if content["warning"] else ""
    reading = f" (images read {shown_reading(dict(content))})" if "reading" in content else ""
    left_out = f" ({content['left_out']:,} images that cannot be decoded are left out)" if "left_out" in content else ""
    zero_shot = "no image has a category, so there is no zero-shot score"
    if content["zero_shot"]:
        prompt = content.get("prompt", "documents")  # before there was a choice, none was named
        of = content["zero_shot"][prompt]
        others = "" if prompt == "documents" else " (split names and ensemble have their own)"
        zero_shot = (
            f"zero-shot score@k of {of['images']:,} images with a category among {len(of['classes'])}, "
            f'prompt "{of["templates"][0]}"{others}, names unsplit unless said'
        )
    retrieval = "no image has a caption, so there is no retrieval"
    if content["retrieval"]:
        counts = f"{content['images']:,} images and {content['captions']:,} captions"
        retrieval = f"retrieval over all {counts}, mean of the six recalls, strict"
    return (
        f"{warning}{content['data']}{reading}: {zero_shot}; {retrieval}{left_out}. "
        f"In brackets: {content['intervals']}.\n\n{summary_table(content)}"
    )


def summary_table(content: Mapping[str, Any]) -> str:
    """A row for the baseline, the model and the gain: score@k, other wordings, mean recall; what there is of it."""
    prompt, retrieval = content.get("prompt", "documents"), content["retrieval"].get("strict")
    heads: list[str] = []
    rows: dict[str, list[str]] = {}

    def add(head: str, scores: Mapping[str, Mapping[str, float]], gain: Mapping[str, float] | None) -> None:
        heads.append(head)
        for name, figure in scores.items():
            rows.setdefault(name, []).append(f"{Interval(**figure)}")
        if gain:  # a model alone has none
            rows.setdefault("gain", []).append(f"{Interval(**gain):+.3f}")

    columns = [(prompt, k) for k in PUBLISHED_KS] + [column for column in OTHER_COLUMNS if column[0] != prompt]
    for protocol, k in columns if content["zero_shot"] else ():
        of = content["zero_shot"][protocol]
        head = f"k={k}" if protocol == prompt else f"{protocol.replace('_', ' ')}, k={k}"
        add(head, {name: by_k[str(k)] for name, by_k in of["scores"].items()}, of.get("gain", {}).get(str(k)))
    if retrieval:
        add("mean recall", retrieval["mean_recall"], retrieval.get("mean_recall_gain"))
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    return "\n".join(lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()])


def add_to_card(model_dir: str | Path, content: Mapping[str, Any]) -> None:
    """Puts the summary of an `evaluation.json`, read, into the card of a model folder, in place of an earlier one.

    A FileNotFoundError says that there is no card, a ``README.md``; a ValueError, that an earlier summary has no end.
    """
    card = Path(model_dir) / "README.md"
    if not card.is_file():
        raise FileNotFoundError(f"{model_dir} has no README.md to add figures to; give the folder of a trained model.")
    start, end = CARD_MARKS
    before, mark, rest = card.read_text(encoding="utf-8").partition(start)
    if mark and end not in rest:  # the rest of the card would go with the figures
        raise ValueError(f"{card} has {start!r} but no {end!r} behind it; add that where the figures end.")
    after = rest.partition(end)[2].strip("\n")
    section = f"{start}\n## Evaluation\n\n{summary_text(content)}\n{end}"
    write_whole(card, "\n\n".join(filter(None, (before.rstrip(), section, after))) + "\n")
