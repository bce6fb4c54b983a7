"""The starting checkpoint of the miniature profile: a small CLIP that knows icons and their names.

It stands in for OpenAI's weights where there is no network: it has seen the thirty categories as map symbols and
line drawings (`standins.icons.render`), never as scenes from above, so it knows something and not enough. The command

    python -m standins.pretraining.clip

draws the icons, trains a tokenizer on their captions, trains the model with the very loop that the course
fine-tunes with (`utils.training`), and writes data/checkpoints/clip-miniature/ in transformers' own format.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from standins.icons.gallery import ICON_SIZE, PRETRAINING_SEED, write_icons
from utils.datasets import CaptionDataset, CaptionedImage

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPTokenizer

    from utils.clip import CLIP

CHECKPOINT_FOLDER = Path(__file__).resolve().parents[2] / "checkpoints" / "clip-miniature"
MAX_TOKENS = 64
START_OF_TEXT, END_OF_TEXT = "<|startoftext|>", "<|endoftext|>"

# The tokenizer learns these too: plain words for views from above, so that captions of real images come in few
# tokens. The model itself never sees them.
AERIAL_ENGLISH = (
    "many buildings and some green trees are in two sides of a wide road .",
    "several white planes are parked near the terminal of a large airport .",
    "a piece of yellow desert with dunes , sand and shadow .",
    "a curved river with dark green water is between two pieces of farmland .",
    "lots of boats and ships are docked at the harbor near some docks , piers and containers .",
    "the big stadium with an oval playground is surrounded by a parking lot with many cars .",
    "a large number of dense houses with red , orange , brown , grey and blue roofs are arranged neatly .",
    "rows of tall buildings , skyscrapers , offices , shops and factories stand close together in the center .",
    "white waves of the blue sea are near a yellow beach with umbrellas and people .",
    "a church with a cross , a tower , a dome and a square garden is next to a street .",
    "it is a bare land with brown soil , stones , rocks , grass and a narrow path .",
    "a long bridge is over the wide river ; another bridge is beside it .",
    "the railway station has a long roof , several tracks , trains and platforms .",
    "some storage tanks , round , cylindrical , black or silver , are near an industrial area with warehouses .",
    "a swimming pool with clear water lies among villas , hotels , lawns and palm trees in a resort .",
    "the viaduct crosses over the highway , with loops , ramps , lanes and vehicles driving on it .",
    "a football field , basketball courts , tennis courts and a red track are in the school .",
    "snow covers the high mountains , their ridges , valleys , slopes and dark cliffs .",
    "here is a small pond , irregular in shape , with light green water , plants and a muddy bank .",
    "the meadow is flat and bare ; a few trees are scattered on it , and the forest is thick .",
    "a rectangular , circular , triangular , semicircular or ring-shaped building stands in the middle .",
    "at the corner , along the edge , on one side , opposite to it , not far away , all together , here and there .",
    "three , four , five , six , seven , eight , nine , ten or more of them ; one half , both , each , other , most .",
    "there is , there are , we can see , this is , these are , it looks like , seems to be , have , with , without .",
    "around , between , beside , behind , above , under , across , through , on the left , on the right , in front .",
    "planted , built , located , divided , connected , covered , crossed , marked , decorated .",
    "open , empty , full , old , new , modern , neat , messy , beautiful , quiet , busy .",
    "crossroads , intersections , roundabouts , alleys , bushes , shrubs , ponds , lakes , streams , islands .",
    "coast , coastline , ocean , bay , marina , yachts , cranes , cargo , trucks , buses , runways , hangars .",
    "sparse , medium , residential , commercial areas , baseball diamonds , forecourts , ring roads .",
    "district , community , village , town , city , block , yard , ground track fields , rows of trees .",
    "courtyard , monument , fountain , sculpture , statue , plaza , flowers , lawn , stands , seats , bleachers .",
)


@dataclass(frozen=True)
class StarterSettings:
    """What governs the making of the starting checkpoint.

    Attributes:
        seed: Governs the icons, their captions, the first weights and the training.
        icons_per_category: Icons of each category; every tenth is held out.
        vocabulary_size: Upper bound of the tokenizer's entries.
        epochs: Passes over the icons.
        batch_size: Icons in a batch.
        learning_rate: Peak of the schedule.
        warmup_steps: Steps of the linear warm-up.
    """

    seed: int = PRETRAINING_SEED
    icons_per_category: int = 360
    vocabulary_size: int = 2048
    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    warmup_steps: int = 100


def icons_to_train_on(folder: Path, per_category: int, seed: int) -> CaptionDataset:
    """Draws icons of every category into a folder.

    Returns:
        The icons with their captions; every tenth of a category is in the split "val", the others in "train".
    """
    items = [
        CaptionedImage(icon.path, icon.captions, "val" if icon.index % 10 == 9 else "train", icon.category, "icons")
        for icon in write_icons(folder, per_category, seed)
    ]
    return CaptionDataset(items, "icons", splits=("train", "val"))


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> CLIPTokenizer:
    """Trains a byte-pair encoding of CLIP's form (Radford et al. 2019 and 2021).

    The entries stand in CLIP's order: 256 bytes, the same at the end of a word, the merges by their rank, and
    last the marks of start and end; so any text can be encoded, whatever it was trained on.

    Args:
        texts: What to learn from.
        vocabulary_size: At most so many entries; fewer when every word has become one token.

    Returns:
        A tokenizer that encodes and saves as CLIP's own does.
    """
    from tokenizers import pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    byte_symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = CLIPTokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 258, end_of_word_suffix="</w>", initial_alphabet=byte_symbols, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    entries = byte_symbols + [f"{symbol}</w>" for symbol in byte_symbols]
    entries += dict.fromkeys(first + second for first, second in merges)
    entries += [START_OF_TEXT, END_OF_TEXT]
    return CLIPTokenizer(
        vocab={entry: number for number, entry in enumerate(entries)},
        merges=merges,  # type: ignore[arg-type]  # annotated as strings, read as pairs
        model_max_length=MAX_TOKENS,
    )


def starter_config(tokenizer: CLIPTokenizer) -> CLIPConfig:
    """The shape of the starting model: small enough for a git repository and for two CPU cores."""
    from transformers import CLIPConfig

    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": MAX_TOKENS,
        **special,
    }
    vision = {
        "image_size": 64,
        "patch_size": 8,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=128)


def build_starter(folder: Path = CHECKPOINT_FOLDER, settings: StarterSettings = StarterSettings()) -> CLIP:
    """Draws icons, trains on them, and writes the checkpoint folder, float16, with a README of its figures.

    Args:
        folder: The checkpoint folder.
        settings: What governs the making; the defaults made the checkpoint that is committed.

    Returns:
        The model as it can be loaded from the folder.
    """
    from utils.clip import CLIP

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        icons = icons_to_train_on(Path(temporary) / "icons", settings.icons_per_category, settings.seed)
        captions = [caption for item in icons.split("train") for caption in item.captions]
        tokenizer = train_tokenizer([*captions, *AERIAL_ENGLISH * 3], settings.vocabulary_size)
        model = _pretrain(icons, tokenizer, settings, Path(temporary) / "run")
        model.save_pretrained(folder, weights_dtype=np.float16)
        model = CLIP.from_pretrained(folder)
        minutes = (time.perf_counter() - start) / 60
        (folder / "README.md").write_text(_readme(model, len(tokenizer), icons.split("val"), settings, minutes))
    return model


def _pretrain(icons: CaptionDataset, tokenizer: CLIPTokenizer, settings: StarterSettings, run: Path) -> CLIP:
    """Trains a new model on icons, with the course's own training loop."""
    from flax import nnx

    from utils.clip import CLIP
    from utils.training import TrainingSettings, train

    model = CLIP(starter_config(tokenizer), rngs=nnx.Rngs(settings.seed), tokenizer=tokenizer)
    training = TrainingSettings(
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        seed=settings.seed,
    )
    return train(model, icons.split("train"), icons.split("val"), training, run).model


def _readme(
    model: CLIP, vocabulary: int, held_out_icons: CaptionDataset, settings: StarterSettings, minutes: float
) -> str:
    """What the checkpoint is, how it was made, and what it scores."""
    from utils.datasets import load_dataset
    from utils.evaluation import zero_shot

    test = load_dataset("miniature", split="test")
    sets = (
        ("icons held out", held_out_icons, "documents"),
        ("miniature test, unsplit names", test, "documents"),
        ("miniature test, split names", test, "split_names"),
    )
    rows = []
    for name, dataset, protocol in sets:
        scores = zero_shot(model, dataset, protocol).scores()
        rows.append(f"| {name} | " + " | ".join(f"{score:.3f}" for score in scores.values()) + " |")
    weights = sum(array.size for array in model.transformers_weights().values())
    return README.format(
        scores="\n".join(rows),
        minutes=minutes,
        millions=weights / 1e6,
        vocabulary=vocabulary,
        icon_size=ICON_SIZE,
        **vars(settings),
    )


README = """# clip-miniature: a small CLIP that knows icons

The starting point of the miniature profile, in the place that OpenAI's weights have in the real one. A CLIP of
{millions:.2f} million parameters for images of 64x64 pixels, stored as float16 in transformers' own format:
`CLIPModel.from_pretrained` and `CLIPProcessor.from_pretrained` load it. Its tokenizer has CLIP's form with
{vocabulary:,} entries.

It was trained on drawings alone: {icons_per_category} map symbols, posters, blueprints and line drawings of each of
RSICD's thirty categories, with their names in short texts. It has never seen a rendered scene or a photograph, and its
training saw nothing of the miniature's captions.

| share of images whose category is among the k best of 30 | k=1 | k=3 | k=5 | k=10 |
|---|---|---|---|---|
{scores}

Prompt: "An aerial photograph of {{category}}".

## How it was made

    python -m standins.pretraining.clip

with seed {seed}: {icons_per_category} icons a category of {icon_size}x{icon_size} pixels (every tenth held out),
{epochs} epochs, batches of {batch_size}, learning rate {learning_rate:g} after {warmup_steps} steps of warm-up. It took
{minutes:.0f} minutes on two CPU cores. Equal settings give equal weights on one machine and one version of the
libraries; elsewhere the last digits, and with them the scores, differ a little. License: that of this repository.
"""


def main() -> None:
    """Builds the checkpoint from the command line."""
    parser = argparse.ArgumentParser(description="Train the starting checkpoint of the miniature profile.")
    parser.add_argument("--output", type=Path, default=CHECKPOINT_FOLDER, help="the checkpoint folder")
    parser.add_argument("--seed", type=int, default=StarterSettings.seed, help="seed of icons and training")
    arguments = parser.parse_args()
    build_starter(arguments.output, StarterSettings(seed=arguments.seed))
    print((arguments.output / "README.md").read_text())


if __name__ == "__main__":
    main()
