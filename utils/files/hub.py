"""Checkpoints, found on the disk or on the Hub, and what they are called."""

from __future__ import annotations

import os
from pathlib import Path

from utils.files.patterns import from_home
from utils.files.writing import file_in_the_way, read_json

_SETTINGS = ["*.json", "*.txt", "*.spm"]
_WEIGHTS = (  # of transformers, open_clip, Flax and peft, in the order in which they are looked for
    *("model*.safetensors", "pytorch_model*.bin*", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    *("flax_model.msgpack", "adapter_model.safetensors", "adapter_model.bin"),
)
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".msgpack")  # of one file that holds a model
_FOREIGN_SETTINGS = ("open_clip_config.json", "adapter_config.json")  # of open_clip and peft


def find_checkpoint(name_or_path: str | os.PathLike, example: str = "openai/clip-vit-base-patch32") -> Path:
    """Finds a checkpoint, a folder or a file, on disk, or fetches it from the Hugging Face Hub into the local cache.

    Args:
        name_or_path: A folder, a file of weights, or a Hub name such as ``openai/clip-vit-base-patch32``, of a
            certain branch, tag or commit as ``openai/clip-vit-base-patch32@main``; of a repository that is no
            checkpoint a file, as ``chendelong/RemoteCLIP/RemoteCLIP-ViT-B-32.pt``.
        example: A Hub name of the kind that is wanted, for the error.

    Raises:
        FileNotFoundError: If there is no such folder or file and nothing could be fetched.
    """
    path = from_home(name_or_path)
    if path.is_dir() or (path.is_file() and path.suffix in WEIGHT_SUFFIXES):
        return path
    # Of a relative path only the end: "name/model" is of the Hub, whatever else is called "name" here.
    if blocked := file_in_the_way(path) if path.is_absolute() or path.is_file() else None:
        what = "is no checkpoint but a file" if blocked == path else f"cannot be a folder, for {blocked} is a file"
        raise FileNotFoundError(
            f"{str(name_or_path)!r} {what}; give the folder with config.json and weights, or a file of weights "
            f"({', '.join(WEIGHT_SUFFIXES)})."
        )
    if path.suffix in WEIGHT_SUFFIXES and (path.is_absolute() or len(path.parts) < 3):
        raise FileNotFoundError(
            f"There is no file {str(name_or_path)!r}; give the path of one with weights, or a folder."
        )
    name, _, revision = str(name_or_path).partition("@")
    owner_and_name, file = "/".join(name.split("/")[:2]), "/".join(name.split("/")[2:])
    try:
        if file.endswith(WEIGHT_SUFFIXES):
            return fetch(owner_and_name, [file, "open_clip_config.json"], revision) / file
        snapshot = fetch(name, [*_SETTINGS, _WEIGHTS[0]], revision)
        for pattern in _WEIGHTS[1:]:
            if not any(any(snapshot.glob(known)) for known in _WEIGHTS):  # others come only where nothing better is
                fetch(name, [pattern], revision)
    except Exception as error:
        raise FileNotFoundError(
            f"{str(name_or_path)!r} is no folder and could not be fetched from the Hugging Face Hub"
            f"{_why_not_fetched(owner_and_name, revision, error, example)}."
        ) from error
    return snapshot


def looks_like_clip(place: Path) -> bool:
    """Whether a folder or a file may hold a CLIP, by names of files and by what its ``config.json`` says."""
    if place.is_file() or any((place / name).is_file() for name in _FOREIGN_SETTINGS):
        return place.is_dir() or place.suffix in WEIGHT_SUFFIXES
    if (place / "config.json").is_file():
        return read_json(place / "config.json").get("model_type") == "clip"
    return any(path.suffix in WEIGHT_SUFFIXES for path in place.iterdir())


def fetch(name: str, patterns: list[str], revision: str = "") -> Path:
    """Fetches files of a repository of the Hub, and returns their folder; what cannot be had is the Hub's own error."""
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(name, revision=revision or None, allow_patterns=patterns))


def _why_not_fetched(name: str, revision: str, error: Exception, example: str) -> str:
    """What the Hub, or the network in between, answered, and the way out of it; the end of a sentence."""
    from huggingface_hub.errors import HfHubHTTPError

    causes: list[BaseException] = [error]
    while causes[-1].__cause__:
        causes.append(causes[-1].__cause__)
    answers = [cause.response for cause in causes if isinstance(cause, HfHubHTTPError)]
    status = answers[0].status_code if answers else 0
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    if "GatedRepoError" in kinds:
        return f": it is gated; accept its terms on https://huggingface.co/{name}, then sign in with 'hf auth login'"
    if "RevisionNotFoundError" in kinds:
        return f": it has no revision {revision!r}; give a branch, a tag or a commit that its page there lists"
    if status == 429 or status >= 500 or any("Timeout" in kind for kind in kinds):
        answer = f"status {status}" if status else "no answer in time"
        return f": it is busy ({answer}); wait a few minutes and start again, what has come so far is kept"
    if "JSONDecodeError" in kinds or any("html" in a.headers.get("content-type", "") for a in answers):
        return (
            ": a web page came in place of its answer, as the login page of a network; sign in to the network in a "
            "browser, or have huggingface.co let through, and start again"
        )
    if "RepositoryNotFoundError" in kinds or status in (401, 403, 404):
        return (
            ": there is no such model, or it is private; look the name up on https://huggingface.co/models, or sign "
            "in with 'hf auth login' if it is yours"
        )
    return (
        f" ({type(error).__name__}); give a folder with config.json and model.safetensors, or a Hub name such as "
        f"{example!r} while there is a network"
    )


def checkpoint_source(place: Path) -> dict[str, str]:
    """What a checkpoint is called: a name on the Hub with its revision, or the name of a folder or a file."""
    for folder in (place, *place.parents):
        kind, _, name = folder.parent.parent.name.partition("--")
        if folder.parent.name == "snapshots" and kind == "models":
            file = place.relative_to(folder).as_posix()
            return {"name": name.replace("--", "/") + ("" if file == "." else f"/{file}"), "revision": folder.name}
    return {"name": place.resolve().name}
