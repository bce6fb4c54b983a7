"""An `evaluation.json` in a few lines, and where they go: a model's card and the README.

    python -m utils.evaluation README.md

puts the newest figures between the marks ``<!-- measured: FOLDER -->`` and ``<!-- end -->`` of a page, so that no
figure there is copied by hand.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.datasets import shown_reading
from utils.evaluation.rank_scores import PUBLISHED_KS
from utils.files import write_whole

OTHER_COLUMNS = (("split_names", 1), ("ensemble", 1))
CARD_MARKS = ("<!-- evaluation -->", "<!-- end of evaluation -->")
MEASURED = re.compile(r"(<!-- measured: (?P<folder>[^ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def summary_text(content: Mapping[str, Any]) -> str:
    """What was measured, in two sentences and a table of both models.

    Args:
        content: An `evaluation.json`, read.

    Returns:
        Markdown, without a newline at the end.
    """
    reading = f" (pictures read {shown_reading(content)})" if "reading" in content else ""
    lines = [f"**Mind:** {content['warning']}", ""] if content["warning"] else []
    left_out = content.get("left_out")
    left_out_words = f" ({left_out:,} images that cannot be decoded are left out)" if left_out else ""
    lines += [
        f"{content['data']}{reading}: {_zero_shot_words(content)}{_retrieval_words(content)}{left_out_words}. "
        f"In brackets: {content['intervals']}.",
        "",
        summary_table(content),
    ]
    return "\n".join(lines)


def prompt_of(content: Mapping[str, Any]) -> str:
    """Which protocol the first figures of an `evaluation.json` are of; those of before there was a choice say none."""
    return content.get("prompt", "documents")


def _zero_shot_words(content: Mapping[str, Any]) -> str:
    if not content["zero_shot"]:
        return "no image has a category, so there is no zero-shot score; "
    of = content["zero_shot"][prompt_of(content)]
    others = "" if prompt_of(content) == "documents" else " (split names and ensemble have their own)"
    return (
        f"zero-shot score@k of {of['images']:,} images with a category among {len(of['classes'])}, "
        f'prompt "{of["templates"][0]}"{others}, names unsplit unless said; '
    )


def _retrieval_words(content: Mapping[str, Any]) -> str:
    if not content["retrieval"]:
        return "no image has a caption, so there is no retrieval"
    return (
        f"retrieval over all {content['images']:,} images and {content['captions']:,} captions, mean of the six "
        "recalls, strict"
    )


def summary_table(content: Mapping[str, Any]) -> str:
    """A row for the baseline, the model and the gain: score@k, other wordings, mean recall; what there is of it."""
    zero_shot, retrieval = content["zero_shot"], content["retrieval"].get("strict")
    heads: list[str] = []
    rows: dict[str, list[str]] = {}
    prompt = prompt_of(content)
    columns = [(prompt, k) for k in PUBLISHED_KS] + [column for column in OTHER_COLUMNS if column[0] != prompt]
    for protocol, k in columns if zero_shot else ():
        heads.append(f"k={k}" if protocol == prompt else f"{protocol.replace('_', ' ')}, k={k}")
        of = zero_shot[protocol]
        for name, scores in of["scores"].items():
            rows.setdefault(name, []).append(_cell(scores[str(k)]))
        if "gain" in of:  # a model alone has none
            rows.setdefault("gain", []).append(_cell(of["gain"][str(k)], "+.3f"))
    if retrieval:
        heads.append("mean recall")
        for name, figure in retrieval["mean_recall"].items():
            rows.setdefault(name, []).append(_cell(figure))
        if "mean_recall_gain" in retrieval:
            rows.setdefault("gain", []).append(_cell(retrieval["mean_recall_gain"], "+.3f"))
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    return "\n".join(lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()])


def _cell(figure: Mapping[str, float], form: str = ".3f") -> str:
    return f"{figure['value']:{form}} ({figure['low']:{form}} to {figure['high']:{form}})"


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


def fill_page(page: str, root: Path) -> str:
    """Fills every marked place of a page from the `evaluation.json` of the folder that the mark names.

    Args:
        page: Markdown with marks.
        root: What the folders are relative to.

    Returns:
        The page; a place whose folder has no `evaluation.json` stays as it is.
    """

    def fill(match: re.Match[str]) -> str:
        file = root / match["folder"] / "evaluation.json"
        if not file.is_file():
            return match.group()
        return f"{match[1]}{summary_text(json.loads(file.read_text(encoding='utf-8')))}\n{match[3]}"

    return MEASURED.sub(fill, page)


def main() -> None:
    """Fills a page from the command line."""
    parser = argparse.ArgumentParser(description="Put the measured figures into a page that marks their places.")
    parser.add_argument("page", type=Path, help="a Markdown file, in the folder that its marks are relative to")
    page = parser.parse_args().page
    write_whole(page, fill_page(page.read_text(encoding="utf-8"), page.parent))
