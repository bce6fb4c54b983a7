"""A CLIP of a few thousand weights with a tokenizer of its own, and torch's twin of any configuration."""

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
MERGES = [("a", "i"), ("ai", "r"), ("p", "o"), ("po", "r"), ("por", "t</w>"), ("air", "port</w>")]


def tiny_vocabulary() -> dict[str, int]:
    """Letters, letters that end a word, six merges, begin and end: 60 tokens."""
    tokens = [*LETTERS, *(letter + "</w>" for letter in LETTERS)]
    tokens += ["".join(pair) for pair in MERGES]
    return {token: number for number, token in enumerate([*tokens, BEGIN, END])}


def write_tiny_tokenizer(folder: Path, max_length: int = 16) -> None:
    """Writes the files of a CLIP tokenizer as published checkpoints have them."""
    vocabulary = tiny_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(" ".join(pair) for pair in MERGES)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=MERGES, model_max_length=max_length)
    tokenizer.save_pretrained(folder)


def tiny_config(**changes: dict) -> CLIPConfig:
    """A configuration with two different towers; ``text`` and ``vision`` change their settings."""
    size = len(tiny_vocabulary())
    text = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "bos_token_id": size - 2,
        "eos_token_id": size - 1,
        "pad_token_id": size - 1,
    }
    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": 32,
        "patch_size": 8,
    }
    return CLIPConfig(
        text_config=text | changes.get("text", {}), vision_config=vision | changes.get("vision", {}), projection_dim=24
    )


def torch_clip(config: CLIPConfig, seed: int = 0) -> CLIPModel:
    """torch's CLIP with random weights, none of which is zero or one, so that each of them counts."""
    torch.manual_seed(seed)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def write_checkpoint(folder: Path, config: CLIPConfig, seed: int = 0) -> CLIPModel:
    """Writes such a model as transformers writes it, with a tiny tokenizer, and gives it."""
    model = torch_clip(config, seed)
    model.save_pretrained(folder)
    write_tiny_tokenizer(folder, config.text_config.max_position_embeddings)
    return model
