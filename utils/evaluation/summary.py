"""An `evaluation.json` in a few lines, for a model's card and the README."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.datasets import shown_reading
from utils.evaluation.intervals import Interval
from utils.evaluation.zero_shot import PUBLISHED_KS
from utils.files import write_whole

OTHER_COLUMNS = (("split_names", 1), ("ensemble", 1))
CARD_MARKS = ("<!-- evaluation -->", "<!-- end of evaluation -->")


def summary_text(content: Mapping[str, Any]) -> str:
    """What an `evaluation.json`, read, says was measured: Markdown, two sentences and a table of both models."""
    warning = f"**Warning:** {content['warning']}\n\n" if content["warning"] else ""
    reading = f" (images read {shown_reading(dict(content))})" if "reading" in content else ""
    left_out = f" ({content['left_out']:,} images that cannot be decoded are left out)" if "left_out" in content else ""
    zero_shot = "no image has a category, so there is no zero-shot score"
    if content["zero_shot"]:
        prompt = _prompt_of(content)
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


def _prompt_of(content: Mapping[str, Any]) -> str:
    """The protocol of the first figures; an `evaluation.json` from before there was a choice names none."""
    return content.get("prompt", "documents")


def summary_table(content: Mapping[str, Any]) -> str:
    """A row for the baseline, the model and the gain: score@k, other wordings, mean recall; what there is of it."""
    prompt, retrieval = _prompt_of(content), content["retrieval"].get("strict")
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
    """Puts the summary into a model's card, in place of an earlier one.

    Args:
        model_dir: A model folder with a ``README.md``, as training leaves it.
        content: An `evaluation.json`, read.

    Raises:
        FileNotFoundError: If the folder has no card.
        ValueError: If the mark at the end of an earlier summary is gone.
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
