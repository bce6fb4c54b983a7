"""A model against a baseline: every score with its interval, as `evaluation.json`, figures and a page.

`evaluate` takes the scores, `Evaluation.write` leaves them in a folder. What others show of them, the model card and
the tables of `docs/results.md`, is made from `evaluation.json` by `utils.evaluation.tables`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import reading_note
from utils.evaluation.embeddings import embed_dataset
from utils.evaluation.intervals import DRAWS, Interval, paired_bootstrap
from utils.evaluation.per_image import FILE
from utils.evaluation.prompts import PROTOCOLS, as_protocol
from utils.evaluation.retrieval import MATCHINGS, RetrievalResult, distinct_captions, score_retrieval
from utils.evaluation.tables import recall_table, score_table, summary_text
from utils.evaluation.zero_shot import PUBLISHED_KS, ZeroShotResult, classify_dataset
from utils.files import disk_trouble_in_words, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

BASELINE, FINETUNED = "baseline", "fine-tuned"


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of two models on one split, of which those images are ``scored`` that can be decoded.

    Zero-shot results are by protocol, then by model, and empty where no image has a category; those of retrieval by
    matching, then by model, and empty where no image has a caption. ``warning`` is what an audit has against the
    scores, ``prompt`` the protocol of the figures and the first table: a name, or a prompt with ``{}``.
    """

    test_set: CaptionDataset
    scored: CaptionDataset
    zero_shot: Mapping[str, Mapping[str, ZeroShotResult]]
    retrieval: Mapping[str, Mapping[str, RetrievalResult]]
    seed: int = 0
    warning: str = ""
    prompt: str = "documents"

    @property
    def compares(self) -> bool:
        """Whether there are scores of two models."""
        return all(FINETUNED in of for of in (*self.zero_shot.values(), *self.retrieval.values()))

    def gain(self, protocol: str = "documents", k: int = 1) -> Interval:
        """What the fine-tuned model has over the baseline in score@k, on the same images."""
        before, after = (self.zero_shot[protocol][name].hits(k) for name in (BASELINE, FINETUNED))
        return paired_bootstrap(before, after, seed=self.seed)

    def retrieval_gain(self, matching: str = "strict") -> Interval:
        """What the fine-tuned model has over the baseline in mean recall, on the same images."""
        (before, weights), (after, _) = (self.retrieval[matching][name].per_image for name in (BASELINE, FINETUNED))
        return paired_bootstrap(before, after, weights, seed=self.seed)

    def as_json(self) -> dict[str, Any]:
        """Every figure with its bounds, and what it was measured on."""
        left_out = len(self.test_set) - len(self.scored)
        return {
            "data": self.test_set.name,
            "images": len(self.scored),
            "captions": sum(len(item.captions_with_words) for item in self.scored),
            **({"left_out": left_out} if left_out else {}),
            "warning": self.warning,
            **reading_note(self.test_set),
            "prompt": self.prompt,
            "intervals": f"bootstrap over images, 95 %, {DRAWS:,} draws, seed {self.seed}",
            "zero_shot": {protocol: self._zero_shot_json(protocol) for protocol in self.zero_shot},
            "retrieval": {matching: self._retrieval_json(matching) for matching in self.retrieval},
        }

    def _zero_shot_json(self, protocol: str) -> dict[str, Any]:
        results, ks = self.zero_shot[protocol], {str(k): k for k in PUBLISHED_KS}
        first = results[BASELINE]
        gain = {"gain": {name: asdict(self.gain(protocol, k)) for name, k in ks.items()}} if self.compares else {}
        return {
            "description": as_protocol(protocol).description,
            "templates": list(as_protocol(protocol).templates),
            "images": len(first.labels),
            "classes": list(first.class_names),
            "scores": {
                model: {name: asdict(result.interval(k, self.seed)) for name, k in ks.items()}
                for model, result in results.items()
            },
            **gain,
            "per_class": {model: result.per_class() for model, result in results.items()},
        }

    def _retrieval_json(self, matching: str) -> dict[str, Any]:
        results = self.retrieval[matching]
        first = results[BASELINE]
        gain = {"mean_recall_gain": asdict(self.retrieval_gain(matching))} if self.compares else {}
        return {
            "images": len(first.image_to_text),
            "captions": len(first.text_to_image),
            "recalls": {
                model: {name: asdict(result.interval(name, self.seed)) for name in result.recalls}
                for model, result in results.items()
            },
            "mean_recall": {model: asdict(result.interval(seed=self.seed)) for model, result in results.items()},
            **gain,
            "ceilings": first.ceilings,
        }

    def per_image(self) -> dict[str, Any]:
        """What `predictions.json` holds: what each image did, as `utils.evaluation.per_image` reads it."""
        content: dict[str, Any] = {"data": self.test_set.name}
        if self.zero_shot:
            named, kept = self.scored.named(), {"prompt": self.prompt, "split_names": "split_names"}
            content["zero_shot"] = {
                "images": [item.name for item in named],
                "categories": [item.category for item in named],
                "predicted": {
                    name: [result.class_names[number] for number in result.predictions]
                    for name, result in self.zero_shot[self.prompt].items()
                },
                "ranks": {
                    key: {name: result.ranks.tolist() for name, result in self.zero_shot[protocol].items()}
                    for key, protocol in kept.items()
                },
            }
        if strict := self.retrieval.get("strict"):
            content["retrieval"] = {
                "images": [item.name for item in self.scored if item.captions_with_words],
                "weights": strict[BASELINE].per_image[1].tolist(),
                "recalls": {name: result.per_image[0].tolist() for name, result in strict.items()},
            }
        return content

    def markdown(self) -> str:
        """The page: what was measured on what, the scores by protocol, where the gain is, retrieval."""
        heading, whose, of = "Baseline", "the baseline", "baseline"
        if self.compares:
            heading, whose, of = "Fine-tuned against baseline", "both models", "fine-tuned model"
        parts = [f"# {heading}: {self.test_set.name}", summary_text(self.as_json())]
        if self.zero_shot:
            parts += ["## Zero-shot, by protocol", f"![score@k of {whose} with intervals](scores.png)"]
            for protocol, results in self.zero_shot.items():
                parts += [f"**{protocol}.** {as_protocol(protocol).description}", score_table(results, self.seed)]
            parts.append("## Category by category")
            if self.compares:
                alt = "A line from the baseline's score to the fine-tuned model's for each category"
                parts.append(f"![{alt}](categories.png)")
            parts.append(f"![Confusion of the {of}, rows true, columns predicted](confusion.png)")
        if self.retrieval:
            parts.append("## Retrieval, in percent")
            parts += [recall_table(results, self.seed) for results in self.retrieval.values()]
        return "\n\n".join(parts) + "\n"

    def figures(self) -> dict[str, Figure]:
        """The figures of the page, by file name; of the prompt alone."""
        from utils import plots

        if not self.zero_shot:
            return {}
        results = self.zero_shot[self.prompt]
        before, after = results[BASELINE], results.get(FINETUNED, results[BASELINE])
        names, old, new = after.class_names, before.per_class(), after.per_class()
        intervals = {name: [result.interval(k, self.seed) for k in PUBLISHED_KS] for name, result in results.items()}
        values = {name: [interval.value for interval in row] for name, row in intervals.items()}
        bounds = {name: [(interval.low, interval.high) for interval in row] for name, row in intervals.items()}
        label = f"score@k, {len(before.labels):,} images"
        figures = {
            "scores.png": plots.score_bars([f"k={k}" for k in PUBLISHED_KS], values, label, bounds),
            "confusion.png": plots.shaded_matrix(after.confusion(), names, names, values="test images", width=8.5),
        }
        if self.compares:
            figures["categories.png"] = plots.before_and_after(
                list(old), list(old.values()), list(new.values()), (BASELINE, FINETUNED), "score@1"
            )
        return figures

    def write(self, folder: str | Path) -> Path:
        """Writes `evaluation.json`, `predictions.json`, `README.md` (the page) and its figures into a folder."""
        folder = Path(folder)
        with disk_trouble_in_words(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, figure in self.figures().items():
                drawn = io.BytesIO()
                figure.savefig(drawn, format="png", bbox_inches="tight")
                write_whole(folder / name, drawn.getvalue())
            write_whole(folder / "README.md", self.markdown())
            write_whole(folder / FILE, json.dumps(self.per_image()) + "\n")
            write_whole(folder / "evaluation.json", json.dumps(self.as_json(), indent=2) + "\n")
        return folder


def evaluate(
    baseline: CLIP,
    finetuned: CLIP,
    test_set: CaptionDataset,
    *,
    with_class_lists: CaptionDataset | None = None,
    warning: str = "",
    prompt: str = "documents",
    batch_size: int = 64,
    seed: int = 0,
) -> Evaluation:
    """Scores two models by every protocol, and their retrieval by both ways of counting; images are embedded once.

    Where nothing could be trained, ``finetuned`` is ``baseline`` itself, which is then scored alone. The test set has
    categories, captions, or both; ``with_class_lists`` is the same split loaded with ``class_lists=True``, for RSICD's
    protocol of 31 classes. ``warning`` is what an audit has against scores on these images. Figures and the first table
    are of ``prompt``: the name of a protocol without class lists, or a text with ``{}``, scored beside the protocols.
    ``seed`` governs the intervals; images encoded at once do not change the scores. Raises ValueError if no image has a
    category or a caption, not one can be decoded, ``with_class_lists`` holds other images, or there is no such prompt.
    """
    if as_protocol(prompt).class_lists:
        raise ValueError(f"The protocol {prompt!r} counts other images than the figures do; choose another prompt.")
    if not any(item.category or item.captions_with_words for item in test_set):
        title = test_set.name or "the data set"
        raise ValueError(f"No image of {title} has a category to be classified into, or a caption.")
    if with_class_lists is not None and [i.path for i in with_class_lists] != [i.path for i in test_set]:
        raise ValueError("with_class_lists must hold the images of test_set in the same order.")
    zero_shot: dict[str, dict[str, ZeroShotResult]] = {}
    retrieval: dict[str, dict[str, RetrievalResult]] = {}
    models = {BASELINE: baseline} if finetuned is baseline else {BASELINE: baseline, FINETUNED: finetuned}
    scored = test_set
    for name, model in models.items():
        images, scored = embed_dataset(model, scored, batch_size=batch_size)  # both are scored on the same
        for protocol in sorted(dict.fromkeys((*PROTOCOLS, prompt)), key=lambda name: as_protocol(name).class_lists):
            whole = with_class_lists if as_protocol(protocol).class_lists else test_set
            if whole and whole.categories:
                zero_shot.setdefault(protocol, {})[name] = classify_dataset(model, images, scored, whole, protocol)
        for matching, result in _retrieve(model, images, test_set, scored).items():
            retrieval.setdefault(matching, {})[name] = result
    return Evaluation(test_set, scored, zero_shot, retrieval, seed, warning, prompt)


def _retrieve(
    model: CLIP, images: np.ndarray, whole: CaptionDataset, scored: CaptionDataset
) -> dict[str, RetrievalResult]:
    from utils.clip import embed_texts

    spoken = [bool(item.captions_with_words) for item in scored]
    if not any(spoken):
        return {}
    captions = [item.captions for item in scored.captioned()]
    texts = embed_texts(model, distinct_captions(captions))
    left_out = sum(bool(item.captions_with_words) for item in whole) - len(captions)
    data = images[spoken], texts, captions
    return {matching: score_retrieval(*data, matching, whole.name, left_out) for matching in MATCHINGS}
