"""Checkpoint folders, found on the disk or on the Hub, and what they are called."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from utils.files.writing import file_in_the_way

_CHECKPOINT_FILES = ["*.json", "*.txt", "*.spm", "model*.safetensors"]


def find_checkpoint(name_or_path: str | os.PathLike, example: str = "openai/clip-vit-base-patch32") -> Path:
    """Finds a checkpoint folder on disk, or fetches it from the Hugging Face Hub into the local cache.

    Args:
        name_or_path: A folder with ``config.json``, or a Hub name such as ``openai/clip-vit-base-patch32``, of a
            certain branch, tag or commit as ``openai/clip-vit-base-patch32@main``.
        example: A Hub name of the kind that is wanted, for the error.

    Raises:
        FileNotFoundError: If there is no such folder and nothing could be fetched.
    """
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder
    # Of a relative path only the end: "name/model" is of the Hub, whatever else is called "name" here.
    if blocked := file_in_the_way(folder) if folder.is_absolute() or folder.is_file() else None:
        what = "is no folder but a file" if blocked == folder else f"cannot be a folder, for {blocked} is a file"
        raise FileNotFoundError(f"{str(name_or_path)!r} {what}; give the folder with config.json and weights.")
    import huggingface_hub

    name, _, revision = str(name_or_path).partition("@")
    fetch = partial(huggingface_hub.snapshot_download, name, revision=revision or None)
    try:
        snapshot = Path(fetch(allow_patterns=_CHECKPOINT_FILES))
        if not any(snapshot.glob("model*.safetensors")):  # pickled weights come only where there is nothing better
            fetch(allow_patterns=["pytorch_model*.bin*"])
    except Exception as error:
        raise FileNotFoundError(
            f"{str(name_or_path)!r} is no folder and could not be fetched from the Hugging Face Hub"
            f"{_why_not_fetched(name, revision, error, example)}."
        ) from error
    return snapshot


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


def checkpoint_source(folder: Path) -> dict[str, str]:
    """What a checkpoint is called: a name on the Hub with its revision, or the name of a folder."""
    kind, _, name = folder.parent.parent.name.partition("--")
    if folder.parent.name == "snapshots" and kind == "models":
        return {"name": name.replace("--", "/"), "revision": folder.name}
    return {"name": folder.resolve().name}
