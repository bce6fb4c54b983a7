"""Trains the two small Marian models that stand in for Helsinki's where there is no network.

Helsinki-NLP/opus-mt-en-ROMANCE translates English into French, Spanish, Italian, Portuguese and more, and
opus-mt-ROMANCE-en translates back (Tiedemann and Thottingal 2020). The small ones do so for the miniature's captions
alone: what they know is this package's phrase book. The command

    python -m standins.pretraining.translators

writes captions and translations without end, learns from them, and leaves two folders in data/checkpoints/ in
transformers' own format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from standins.phrasebook.sampling import pairs
from standins.pretraining.marian_tokenizers import shared_vocabulary, train_sentencepiece, write_tokenizer
from utils.files import publish, worker_pool, workshop
from utils.progress import progress_bar

if TYPE_CHECKING:
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

DIRECTIONS = {"en-romance": ("en", "roa"), "romance-en": ("roa", "en")}
"""The two models, and what they translate from and into; "roa" stands for the Romance languages."""

_POOL = 32  # batches that are sorted by length together, so that little of a batch is padding


@dataclass(frozen=True)
class PhrasebookSettings:
    """What governs the training of both models.

    Attributes:
        seed: Governs the pairs, the first weights and the order.
        steps: Updates of each model.
        batch_size: Pairs in a batch; none is seen twice.
        learning_rate: Peak of the schedule, which rises and falls linearly.
        warmup_steps: Steps of the rise.
        label_smoothing: Share of the target that is spread over the whole vocabulary.
        english_pieces: Upper bound of the English SentencePiece model.
        romance_pieces: Upper bound of the other one, for four languages.
        tokenizer_texts: Pairs that the SentencePiece models learn from.
        width: Size of the embeddings and of every layer.
        inner_width: Size of the feed-forward layers.
        encoder_layers: Layers that read.
        decoder_layers: Layers that write.
    """

    seed: int = 0
    steps: int = 3000
    batch_size: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    label_smoothing: float = 0.1
    english_pieces: int = 800
    romance_pieces: int = 1600
    tokenizer_texts: int = 12000
    width: int = 128
    inner_width: int = 384
    encoder_layers: int = 2
    decoder_layers: int = 2


def train_phrasebook(folder: Path, settings: PhrasebookSettings = PhrasebookSettings()) -> list[Path]:
    """Trains both models side by side, each in its own process and on its own core.

    Args:
        folder: Where the two folders go.
        settings: What governs the training; the defaults made the models that are committed.

    Returns:
        The two folders, English to Romance first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizers = train_tokenizers(settings)
    with worker_pool(len(DIRECTIONS)) as pool:
        jobs = [pool.submit(_train_folder, direction, folder, tokenizers, settings) for direction in DIRECTIONS]
        return [job.result() for job in jobs]


def _train_folder(direction: str, folder: Path, tokenizers: tuple[bytes, bytes], settings: PhrasebookSettings) -> Path:
    """Trains one model and publishes its folder, complete or not at all."""
    import torch

    torch.set_num_threads(1)  # so that the sums, and with them the weights, do not depend on the cores
    english, romance = tokenizers
    source, target = tokenizers if direction == "en-romance" else (romance, english)
    place = folder / f"marian-miniature-{direction}"
    with workshop(place, "training") as draft:
        vocabulary = shared_vocabulary(tokenizers)
        tokenizer = write_tokenizer(draft, source, target, vocabulary, DIRECTIONS[direction])
        save_model(train_model(direction, tokenizer, settings), draft)
        publish(draft, place)
    return place


def train_tokenizers(settings: PhrasebookSettings) -> tuple[bytes, bytes]:
    """Trains a SentencePiece model of English and one of the four other languages."""
    english, romance = [], []
    for direction in DIRECTIONS:
        for source, target in islice(pairs(direction, settings.seed + 1), settings.tokenizer_texts):
            if direction == "en-romance":
                english.append(source.split("<< ")[1])
                romance.append(target)
            else:
                english.append(target)
                romance.append(source)
    return (
        train_sentencepiece(english, settings.english_pieces),
        train_sentencepiece(romance, settings.romance_pieces),
    )


def marian_config(vocabulary: int, settings: PhrasebookSettings) -> MarianConfig:
    """Helsinki's configuration, in small. Dropout is 0, since no sentence is seen twice."""
    from transformers import MarianConfig

    return MarianConfig.from_dict(
        {
            "vocab_size": vocabulary,
            "max_position_embeddings": 512,
            "d_model": settings.width,
            "encoder_layers": settings.encoder_layers,
            "decoder_layers": settings.decoder_layers,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": settings.inner_width,
            "decoder_ffn_dim": settings.inner_width,
            "activation_function": "swish",
            "dropout": 0.0,
            "scale_embedding": True,
            "static_position_embeddings": True,
            "share_encoder_decoder_embeddings": True,
            "tie_word_embeddings": True,
            "eos_token_id": 0,
            "bos_token_id": 0,
            "forced_eos_token_id": 0,
            "pad_token_id": vocabulary - 1,
            "decoder_start_token_id": vocabulary - 1,
        }
    )


def train_model(direction: str, tokenizer: MarianTokenizer, settings: PhrasebookSettings) -> MarianMTModel:
    """Trains one model from scratch.

    Args:
        direction: A key of `DIRECTIONS`.
        tokenizer: Of that direction.
        settings: What governs the training.

    Returns:
        The model, with the rounding of float16 in its weights.
    """
    import torch
    from transformers import MarianMTModel

    torch.manual_seed(settings.seed)
    model = MarianMTModel(marian_config(len(tokenizer.encoder), settings)).train()
    _rule_padding_out(model)
    optimizer = torch.optim.AdamW(model.parameters(), settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    steps = settings.steps
    rise = min(settings.warmup_steps, steps // 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, (steps - step) / (steps - rise))
    )
    line = list(DIRECTIONS).index(direction)
    updates = islice(batches(direction, tokenizer, settings), steps)
    bar = progress_bar(updates, direction, steps, mininterval=5, position=line)
    for step, (source, target) in enumerate(bar):
        loss = _loss(model, source, target, settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    return model.half().float().eval()


def batches(
    direction: str, tokenizer: MarianTokenizer, settings: PhrasebookSettings
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless padded batches of (source, target) token numbers, sentences of like length together."""
    import numpy as np

    rng = np.random.default_rng(settings.seed)
    stream = pairs(direction, settings.seed)
    while True:
        texts = list(islice(stream, _POOL * settings.batch_size))
        sources = tokenizer([source for source, _ in texts])["input_ids"]
        targets = tokenizer(text_target=[target for _, target in texts])["input_ids"]
        order = sorted(range(len(texts)), key=lambda index: (len(targets[index]), len(sources[index])))
        for first in rng.permutation(_POOL) * settings.batch_size:
            chosen = order[first : first + settings.batch_size]
            yield (
                _padded([sources[index] for index in chosen], tokenizer.pad_token_id),
                _padded([targets[index] for index in chosen], tokenizer.pad_token_id),
            )


def _padded(rows: list[list[int]], padding: int) -> torch.Tensor:
    """Rows of unequal length as one tensor."""
    import torch

    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, padding)


def _rule_padding_out(model: MarianMTModel) -> None:
    """Makes padding impossible to say and zero to read.

    Marian's decoder starts from an embedding of zeros, which transformers calls the embedding of padding.
    """
    padding = model.config.vocab_size - 1
    model.model.shared.weight.data[padding] = 0
    model.final_logits_bias[0, padding] = -1e4


def _loss(model: MarianMTModel, source: torch.Tensor, target: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Mean cross-entropy of a batch over all words but padding, which is the last of the vocabulary."""
    import torch

    padding = model.config.vocab_size - 1
    start = torch.full_like(target[:, :1], padding)
    logits = model(
        input_ids=source,
        attention_mask=(source != padding).long(),
        decoder_input_ids=torch.cat([start, target[:, :-1]], 1),
        use_cache=False,
    ).logits[..., :padding]
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=padding, label_smoothing=smoothing
    )


def save_model(model: MarianMTModel, folder: Path) -> None:
    """Writes configuration, generation settings and weights; float16 in the file, float32 when it is loaded."""
    from transformers import GenerationConfig

    padding = model.config.pad_token_id
    model.generation_config = GenerationConfig(
        num_beams=4,
        max_length=512,
        bad_words_ids=[[padding]],
        decoder_start_token_id=padding,
        pad_token_id=padding,
        eos_token_id=0,
        forced_eos_token_id=0,
        renormalize_logits=True,
    )
    model.half().save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    model.float()
