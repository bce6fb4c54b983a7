"""The course's demos as a page in the browser: text to image, image to image, find feature, describe a picture.

In a notebook ``serve(demo_blocks(index), inline=True)`` shows it. A Gradio Space shows what `app.py` serves on port
7860; with this package, a model, an index and its images beside it, and `gradio` in `requirements.txt`, these lines do:

    from utils.demo.__main__ import main
    main(["--model", "model", "--index", "index", "--presence", "presence.json", "--host", "0.0.0.0"])

What a visitor sees: `page` (the frame) and its tabs, `searching`, `features` and `archive`, made of `components`. What
is asked: `answers` (the index and the finder), `verdicts` (whether it is there at all), `decoding` (visitors' images),
`results` (what an answer is, for programs too). How it is shown: `render` (HTML), `map` (SVG), `thumbnails`. What
protects the page: `server` (connections), `guard` (each request), `limits` (how much), `files` (what lies on the
disk).
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from utils.demo.answers import Answers
from utils.demo.files import environment
from utils.demo.server import serve

if TYPE_CHECKING:
    from utils.captioning import Captioner
    from utils.demo.page import Page
    from utils.finder import PresenceModel
    from utils.search import ImageIndex


def demo_blocks(
    index: ImageIndex,
    presence: PresenceModel | None = None,
    sample: str | Path | None = None,
    captioner: Captioner | None = None,
) -> Page:
    """Gradio's page over an index and its model, ready for `utils.demo.serve`.

    The tab Find feature begins with the sample, an image; without a presence model it only ranks tiles, and nothing is
    said on words that find nothing. A tab shows the scenes of an index of scenes, another describes images if there is
    a captioner. An ImportError says
    that there is no Gradio, or not the one that the page is written for; a ValueError, that the presence model was
    calibrated for another model, or the sample is not an image.
    """
    from utils.clip import fingerprint

    try:
        there = f"Gradio {version('gradio')} is"
    except PackageNotFoundError:
        there = "none is"
    if not there.startswith("Gradio 6."):  # as on Colab; an older one fails obscurely
        raise ImportError(
            f'The page needs Gradio 6, and {there} installed: pip install "gradio>=6,<7" (in a notebook, %pip '
            "install ...), then try again."
        )
    # While Gradio is imported it makes an HTTP client, which fails at a proxy that httpx cannot speak to (SOCKS).
    with environment("no_proxy", "*"):
        from utils.demo.page import build_page
    if presence is not None:
        presence.check_model(fingerprint(index.asking_model))
    return build_page(Answers(index, presence, captioner), sample)
