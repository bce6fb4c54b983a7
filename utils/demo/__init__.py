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
model and an index (with its pictures) beside it, and `gradio` in `requirements.txt`, these lines are enough:

    from utils.demo.__main__ import main
    main(["--model", "model", "--index", "index", "--presence", "presence.json", "--host", "0.0.0.0"])

`answers` asks the index and the finder, `uploads` opens what visitors send, `cards` and `look` write HTML, and
`downloads` files; `page` puts it together. Before the server stands `guard`, with a file for each thing that it
looks at: `hosts`, `questions`, `jobs`, `room`, and `refusals` for what it says; `connections` and `endings` end what
would not end, `memory` gives back, and `server` starts it all.
"""

from utils.demo.page import demo_blocks
from utils.demo.server import serve

__all__ = ["demo_blocks", "serve"]
