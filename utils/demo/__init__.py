"""The course's three demos as a page in the browser: text to image, image to image, find feature.

    python -m utils.demo                                # what `make course` left in runs/miniature
    python -m utils.demo --run runs/rsicd_cpu           # what another profile left
    python -m utils.demo --index FOLDER --model FOLDER --presence FILE --port 7861

In a notebook, or with an index of your own:

    page = demo_blocks(index, presence=PresenceModel.load("presence.json"), sample="scene.jpg")
    serve(page, inline=True)                            # returns at once; page.close() ends it

The page answers only to the host and port that it was started for. Another name, such as that of a proxy in front,
is added with ``--allow-host demo.example.org`` or ``serve(page, allow_hosts=["demo.example.org"])``; those of Colab
and of a Space are known.

A Gradio Space runs `app.py` at its top and shows what listens on port 7860. With this package, the folders of a
model and an index (with its images) beside it, and `gradio` in `requirements.txt`, these lines are enough:

    from utils.demo.__main__ import main
    main(["--model", "model", "--index", "index", "--presence", "presence.json", "--host", "0.0.0.0"])

What a visitor sees: `page` (Gradio's components and their look), `answers` (the index and the finder asked),
`render` (answers as HTML), `decoding` (visitors' images). What protects the page: `server` (connections), `guard`
(each request), `hosts` (whose), `questions` (what is asked), `limits` (how much), `files` (what lies on the disk).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from utils.demo.answers import Answers
from utils.demo.server import serve

if TYPE_CHECKING:
    import gradio as gr

    from utils.finder import PresenceModel
    from utils.search import ImageIndex

__all__ = ["demo_blocks", "serve"]


def demo_blocks(
    index: ImageIndex, presence: PresenceModel | None = None, sample: str | Path | None = None
) -> gr.Blocks:
    """The page, ready for `utils.demo.serve`.

    Args:
        index: What is searched, with the model that made it.
        presence: From `utils.finder.calibrate_presence` with the same model; without it the third tab ranks
            tiles and says nothing on presence.
        sample: An image that the third tab begins with.

    Returns:
        Gradio's page, not yet served.

    Raises:
        ImportError: If there is no Gradio, or not the one that the page is written for.
        ValueError: If the presence model was calibrated for another model, or the sample is not an image.
    """
    from utils.clip import fingerprint

    _check_gradio()
    with _no_proxies():
        from utils.demo.page import build_page
    if presence is not None:
        presence.check_model(fingerprint(index.model))
    return build_page(Answers(index, presence), sample)


def _check_gradio() -> None:
    """Some machines, Colab's among them, have no Gradio or an older one, and the older one fails obscurely."""
    try:
        there = f"Gradio {version('gradio')} is"
    except PackageNotFoundError:
        there = "none is"
    if not there.startswith("Gradio 6."):
        raise ImportError(
            f"The page needs Gradio 6, and {there} installed: pip install 'gradio>=6,<7' (in a notebook, %pip "
            "install ...), then try again."
        )


@contextmanager
def _no_proxies() -> Iterator[None]:
    """Takes the proxies out of the environment for a while.

    Gradio makes an HTTP client while it is imported, which fails at a proxy that httpx cannot speak to (SOCKS).
    """
    proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(proxies)
