"""Writes a full-size CLIP with random weights, to prove the whole course at that size without a download.

``python tests/tools/make_random_clip.py <folder with config and tokenizer> <new folder>``
"""

import sys
from pathlib import Path

from flax import nnx
from transformers import CLIPConfig, CLIPTokenizer

from utils.clip import CLIP


def main(source: str, target: str) -> None:
    """Builds the model of a configuration and saves it beside that configuration's tokenizer."""
    model = CLIP(CLIPConfig.from_pretrained(source), rngs=nnx.Rngs(0), tokenizer=CLIPTokenizer.from_pretrained(source))
    model.save_pretrained(target)
    print(f"{target}: {sum(path.stat().st_size for path in Path(target).iterdir()) / 1e6:.0f} MB of random weights")


if __name__ == "__main__":
    main(*sys.argv[1:])
