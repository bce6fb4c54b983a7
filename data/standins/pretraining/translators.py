"""The command that trains the two models, measures them and writes their cards."""

import argparse
import time
from dataclasses import astuple
from pathlib import Path

import numpy as np

from standins.phrasebook.sampling import sample_caption
from standins.phrasebook.transfer import LANGUAGES
from standins.pretraining.marian import PhrasebookSettings, train_phrasebook
from standins.pretraining.round_trips import RoundTrip, load, measure_round_trips

CHECKPOINTS = Path(__file__).resolve().parents[3] / "data" / "checkpoints"
_MEASURED = 300
"""Captions of each kind that the models are measured on."""


def build_phrasebook_models(folder: Path, settings: PhrasebookSettings) -> str:
    """Trains both models, measures them, and writes a card into each folder.

    Args:
        folder: Where the two folders go.
        settings: What governs the training.

    Returns:
        The table of what was measured.
    """
    start = time.perf_counter()
    folders = train_phrasebook(folder, settings)
    minutes = (time.perf_counter() - start) / 60
    table = measure_models(folders, settings.seed)
    write_cards(folders, settings, table, minutes)
    return table


def write_cards(folders: list[Path], settings: PhrasebookSettings, table: str, minutes: float) -> None:
    """Writes into each folder what the model is, how it was made, and what it scores."""
    for place, other, text in zip(folders, folders[::-1], _DIRECTIONS, strict=True):
        model, _ = load(place)
        card = _CARD.format(
            name=place.name,
            other=other.name,
            text=text,
            table=table,
            minutes=minutes,
            millions=model.num_parameters() / 1e6,
            vocabulary=model.config.vocab_size,
            **vars(settings),
        )
        (place / "README.md").write_text(card, encoding="utf-8")


def measure_models(folders: list[Path], seed: int = 0) -> str:
    """Measures two trained models.

    Args:
        folders: English to Romance, and Romance to English.
        seed: That they were trained with; the captions that they are measured on come from another stream.

    Returns:
        A table in Markdown.
    """
    there, back = (load(folder) for folder in folders)
    rng = np.random.default_rng([seed, 2])  # pairs to learn from use [seed, 0] and [seed, 1]
    fresh = list(dict.fromkeys(sample_caption(rng) for _ in range(2 * _MEASURED)))[:_MEASURED]
    drawn = _drawn_captions(rng)
    lines = []
    for kind, captions in (("fresh", fresh), ("miniature", drawn)):
        results = measure_round_trips(there, back, captions)
        lines += [_line(kind, LANGUAGES[code].name, result) for code, result in results.items()]
    return "\n".join((_HEAD, *lines))


def _drawn_captions(rng: np.random.Generator) -> list[str]:
    """Different train captions of the miniature, as many as are measured on."""
    from utils.datasets import load_dataset

    captions = sorted({caption for item in load_dataset("miniature", split="train") for caption in item.captions})
    return [captions[index] for index in rng.permutation(len(captions))[:_MEASURED]]


def _line(kind: str, name: str, result: RoundTrip) -> str:
    """A line of the table."""
    return f"| {kind}, {name} | " + " | ".join(f"{share:.3f}" for share in astuple(result)) + " |"


_HEAD = """| captions | there exact | back exact | kept | changed | broken |
|---|---|---|---|---|---|"""

_DIRECTIONS = (
    "from English into French, Spanish, Italian or Portuguese. A text begins with the language that is wanted:\n"
    '">>fr<< many planes are in an airport ."',
    "from French, Spanish, Italian or Portuguese into English",
)

_CARD = """# {name}: a small Marian translator

A stand-in, where there is no network, for one of Helsinki-NLP's opus-mt models. It translates
{text}.

**It knows only the captions of the miniature**: the words and patterns of `data/standins/phrasebook`. Anything else
comes out as nonsense. Together with [{other}](../{other}/README.md) it paraphrases a caption by way of another
language.

A Marian model of {millions:.2f} million parameters with {vocabulary:,} entries in its vocabulary, stored as float16
in transformers' own format: `MarianMTModel.from_pretrained` and `MarianTokenizer.from_pretrained` load it.

## What was measured

{table}

Shares of captions. *Fresh* ones are sampled like those of the training, from another stream, *miniature* ones are
different train captions of the drawn data set. *There exact* and *back exact* compare with the phrase book's own
translation; *kept* are round trips with the same things, numbers, colors and shapes; *changed* are round trips
with other words than the caption; *broken* ones are empty, run on or stammer.

## How it was made

    python -m standins.pretraining.translators

with seed {seed}: {steps:,} batches of {batch_size} pairs for each direction, none of them twice, learning rate
{learning_rate:g} after {warmup_steps} steps of warm-up, label smoothing {label_smoothing:g}. Both directions took
{minutes:.0f} minutes, side by side on two CPU cores. Equal settings give equal weights on one machine and one version
of the libraries. License: that of this repository.
"""


def main() -> None:
    """Builds both models from the command line."""
    parser = argparse.ArgumentParser(description="Train the two small translators of the miniature's captions.")
    parser.add_argument("--output", type=Path, default=CHECKPOINTS, help="where the two folders go")
    parser.add_argument("--seed", type=int, default=PhrasebookSettings.seed, help="seed of pairs and training")
    arguments = parser.parse_args()
    print(build_phrasebook_models(arguments.output, PhrasebookSettings(seed=arguments.seed)))


if __name__ == "__main__":
    main()
