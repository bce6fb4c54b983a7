"""How fast is Marian of opus-mt's size here: transformers' `generate` against CTranslate2, in one run.

    python tests/benchmarks/bench_translation.py

The model has the shape of Helsinki-NLP/opus-mt-en-ROMANCE (6 + 6 layers of 512, 65,001 tokens, 78 million
parameters) and random weights, so it is the speed that is measured and not the text: every hypothesis is as long as
`--tokens` allows, about the length of a caption. All engines get the same batches, in turn; a ratio is that of the
medians.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from transformers import GenerationConfig, MarianConfig, MarianMTModel
from transformers.utils import logging

from utils.datasets import load_dataset
from utils.translation import GenerationSettings, MarianTranslator

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "data" / "checkpoints" / "marian-miniature-en-romance"
ENGINES = ("transformers", "ctranslate2", "ctranslate2-int8")
VOCABULARY = 65_001


def write_opus_size_model(folder: Path) -> None:
    """Writes a Marian of opus-mt's shape with random weights; its vocabulary is the small one's, filled up."""
    for name in ("source.spm", "target.spm", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder / name)
    small = json.loads((TOKENIZER / "vocab.json").read_text())
    words = [word for word in sorted(small, key=small.get) if word != "<pad>"]
    words += [f"filler{number}" for number in range(VOCABULARY - 1 - len(words))] + ["<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))

    pad = VOCABULARY - 1
    config = MarianConfig(
        vocab_size=VOCABULARY,
        d_model=512,
        encoder_layers=6,
        decoder_layers=6,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        activation_function="swish",
        max_position_embeddings=512,
        scale_embedding=True,
        pad_token_id=pad,
        eos_token_id=small["</s>"],
        decoder_start_token_id=pad,
    )
    torch.manual_seed(0)
    model = MarianMTModel(config)
    model.final_logits_bias[0, small["</s>"]] = -1e4  # no translation ends before the others
    model.generation_config = GenerationConfig(
        num_beams=4,
        max_length=512,
        bad_words_ids=[[pad]],
        pad_token_id=pad,
        eos_token_id=small["</s>"],
        decoder_start_token_id=pad,
    )
    model.save_pretrained(folder)


def main() -> None:
    """Prints seconds a batch, captions a second and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=3, help="batches that every engine translates")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=24, help="length of every translation")
    arguments = parser.parse_args()
    logging.disable_progress_bar()

    captions = sorted({caption for item in load_dataset("miniature") for caption in item.captions}, key=len)
    middle = len(captions) // 2
    count = arguments.batches * arguments.batch_size
    captions = captions[middle - count // 2 :][:count]
    settings = GenerationSettings(max_length=arguments.tokens)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_opus_size_model(folder)
        seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        translators = {engine: MarianTranslator(folder, folder, settings, engine, device="cpu") for engine in ENGINES}
        for translator in translators.values():
            translator.translate(captions[:8], "en", "fr")
        for start in range(0, count, arguments.batch_size):
            batch = captions[start : start + arguments.batch_size]
            for engine, translator in translators.items():
                begin = time.perf_counter()
                translator.translate(batch, "en", "fr")
                seconds[engine].append(time.perf_counter() - begin)

    print(
        f"{arguments.batches} batches of {arguments.batch_size} captions, 4 beams, {arguments.tokens} tokens, "
        f"{torch.get_num_threads()} threads\n"
    )
    print("| engine | s a batch (median) | captions a second | times transformers |")
    print("|---|---|---|---|")
    slowest = statistics.median(seconds["transformers"])
    for engine, times in seconds.items():
        median = statistics.median(times)
        print(f"| {engine} | {median:.2f} | {arguments.batch_size / median:.1f} | {slowest / median:.2f} |")


if __name__ == "__main__":
    main()
