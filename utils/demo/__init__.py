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

from utils.demo.page import demo_blocks
from utils.demo.server import serve

__all__ = ["demo_blocks", "serve"]
