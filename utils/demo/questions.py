"""The questions that the page asks of itself: which there are, and what a request for one must look like."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from utils.demo.refusals import NOT_OURS, Refusal
from utils.demo.uploads import is_inside

JOIN = "/gradio_api/queue/join"
CALL = "/gradio_api/call/"
LONGEST_SESSION = 64  # letters of a name that a page gives itself


@dataclass(frozen=True)
class Questions:
    """What may be asked.

    Attributes:
        by_number: For each input of a question whether it is a file, by the number that the page knows it by.
        by_name: The same of those that programs may ask, by name.
    """

    by_number: Mapping[int, tuple[bool, ...]]
    by_name: Mapping[str, tuple[bool, ...]]

    @classmethod
    def of(cls, blocks: Any) -> Questions:
        """Those of Gradio's page."""
        asked = blocks.fns
        files = {number: tuple(map(_takes_file, fn.inputs)) for number, fn in asked.items()}
        public = {fn.api_name: number for number, fn in asked.items() if fn.api_visibility == "public"}
        return cls(files, {name: files[number] for name, number in public.items() if name})

    def check(self, path: str, question: Any) -> dict:
        """Refuses a question that is none of these, or has other than its inputs.

        Args:
            path: Where it was sent, `JOIN` or `CALL` and a name.
            question: What was sent.

        Returns:
            The question with nothing but what the page uses of it.

        Raises:
            Refusal: If it is refused.
        """
        if not isinstance(question, dict):
            raise Refusal(422, NOT_OURS)
        inputs = self._inputs(path, question)
        data = question.get("data")
        if not isinstance(data, list) or len(data) != len(inputs):
            raise Refusal(422, f"The question needs its {len(inputs)} inputs as a list named data.")
        session = question.get("session_hash")
        named = isinstance(session, str) and 0 < len(session) <= LONGEST_SESSION and session.isascii()
        if not named and (session is not None or path == JOIN):
            raise Refusal(422, f"The session's name must be up to {LONGEST_SESSION} plain letters.")
        cleaned = [_clean(value, file) for value, file in zip(data, inputs, strict=True)]
        kept = {"data": cleaned, "session_hash": session}
        return kept if path != JOIN else kept | _of_page(question)

    def _inputs(self, path: str, question: dict) -> tuple[bool, ...]:
        if path == JOIN:
            number = question.get("fn_index")
            if not _is_number(number) or number not in self.by_number:
                raise Refusal(422, "There is no question of this number.")
            return self.by_number[number]
        name = path.removeprefix(CALL)
        if name not in self.by_name:
            raise Refusal(404, f"There is no question of this name; there are {', '.join(self.by_name)}.")
        return self.by_name[name]


def _of_page(question: dict) -> dict:
    """What the page, and no program, tells beside the inputs: which question, and what was clicked on."""
    trigger, event = question.get("trigger_id"), question.get("event_data")
    told = event.items() if isinstance(event, dict) else ()
    return {
        "fn_index": question["fn_index"],
        "event_data": {key: value for key, value in told if isinstance(value, str)},
        "trigger_id": trigger if _is_number(trigger) else None,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _takes_file(component: Any) -> bool:
    return getattr(component, "data_model", None) is not None


def _clean(value: Any, file: bool) -> Any:
    """An input as the page has them: a file by its path, or else a text or a number."""
    if file:
        path = value.get("path") if isinstance(value, dict) else None
        return {"path": path, "meta": {"_type": "gradio.FileData"}} if isinstance(path, str) else None
    return None if isinstance(value, dict | list) else value


def parse(body: bytes) -> Any:
    """Reads a request that names no files but uploaded ones.

    Raises:
        Refusal: If the body is no JSON, or an object in it has a ``path`` outside of the upload folder or a
            ``url`` that carries a file itself.
    """
    from gradio.utils import get_upload_folder

    try:
        question = json.loads(body or b"{}")
        for found in _objects(question):
            if found.get("path") is not None and not is_inside(found["path"], get_upload_folder()):
                raise Refusal(403, "The request names a file that was not uploaded here.")
            if str(found.get("url") or "").strip().lower().startswith("data:"):
                raise Refusal(403, "The request carries a file in an address; upload it.")
    except (ValueError, RecursionError):
        raise Refusal(400, "The request is no JSON.") from None
    return question


def _objects(value: Any) -> Iterator[dict]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _objects(part)
