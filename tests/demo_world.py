"""A page served for a test, and how a program asks it: plain HTTP, as the browser and visitors do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from utils.captioning import Captioner
from utils.demo import demo_blocks, serve
from utils.demo.files import temporary_cache
from utils.finder import PresenceModel
from utils.search import ImageIndex


@contextmanager
def served(
    index: ImageIndex,
    presence: PresenceModel | None = None,
    sample: Path | None = None,
    captioner: Captioner | None = None,
) -> Iterator[str]:
    """The address of a page, as long as the context lasts."""
    with temporary_cache():
        blocks = demo_blocks(index, presence, sample, captioner)
        try:
            yield serve(blocks)
        finally:
            blocks.close(verbose=False)


def ask(client: httpx.Client, name: str, *inputs: Any) -> str:
    """What an endpoint of the page answers: its first output, or the word "error"."""
    answer = ask_all(client, name, *inputs)
    return answer if isinstance(answer, str) else answer[0]


def ask_all(client: httpx.Client, name: str, *inputs: Any) -> Any:
    """All outputs of an endpoint, or the word "error"."""
    response = client.post(f"gradio_api/call/{name}", json={"data": list(inputs)})
    response.raise_for_status()
    return _outputs(client, f"gradio_api/call/{name}/{response.json()['event_id']}")


def listen(client: httpx.Client, path: str) -> str:
    """Reads server-sent events up to the answer's first output."""
    answer = _outputs(client, path)
    return answer if isinstance(answer, str) else answer[0]


def _outputs(client: httpx.Client, path: str) -> Any:
    event = ""
    with client.stream("GET", path) as lines:
        for line in lines.iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: ") and event == "complete":
                return json.loads(line.removeprefix("data: "))
            elif line.startswith("data: ") and event == "error":
                return "error"
    raise AssertionError("the server hung up without an answer")


def upload(client: httpx.Client, name: str, content: bytes) -> dict[str, Any]:
    """Sends a file and gives what the browser would name it by afterwards."""
    response = client.post("gradio_api/upload", files={"files": (name, content)})
    response.raise_for_status()
    return {"path": response.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}
