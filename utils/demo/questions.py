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
        by_number: How many inputs a question has, by the number that the page knows it by.
        by_name: The same of those that programs may ask, by name.
    """

    by_number: Mapping[int, int]
    by_name: Mapping[str, int]

    @classmethod
    def of(cls, blocks: Any) -> Questions:
        """Those of Gradio's page."""
        asked = blocks.fns
        public = (fn for fn in asked.values() if fn.api_name and fn.api_visibility == "public")
        return cls(
            {number: len(fn.inputs) for number, fn in asked.items()},
            {fn.api_name: len(fn.inputs) for fn in public},
        )

    def check(self, path: str, question: Any) -> str | None:
        """Refuses a question that is none of these, or has other than its inputs.

        Args:
            path: Where it was sent, `JOIN` or `CALL` and a name.
            question: What was sent.

        Returns:
            The session that it belongs to, or None.

        Raises:
            Refusal: If it is refused.
        """
        if not isinstance(question, dict):
            raise Refusal(422, NOT_OURS)
        inputs = self._inputs(path, question)
        data = question.get("data")
        if not isinstance(data, list) or len(data) != inputs:
            raise Refusal(422, f"The question needs its {inputs} inputs as a list named data.")
        session = question.get("session_hash")
        named = isinstance(session, str) and 0 < len(session) <= LONGEST_SESSION and session.isascii()
        if not named and (session is not None or path == JOIN):
            raise Refusal(422, f"The session's name must be up to {LONGEST_SESSION} plain letters.")
        return session

    def _inputs(self, path: str, question: dict) -> int:
        if path == JOIN:
            number = question.get("fn_index")
            if isinstance(number, bool) or not isinstance(number, int) or number not in self.by_number:
                raise Refusal(422, "There is no question of this number.")
            return self.by_number[number]
        name = path.removeprefix(CALL)
        if name not in self.by_name:
            raise Refusal(404, f"There is no question of this name; there are {', '.join(self.by_name)}.")
        return self.by_name[name]


def clean_question(path: str, question: dict) -> bytes:
    """A checked question with nothing but what Gradio needs of it, as JSON."""
    kept = {"data": question["data"], "session_hash": question.get("session_hash")}
    if path == JOIN:
        trigger = question.get("trigger_id")
        is_number = isinstance(trigger, int) and not isinstance(trigger, bool)
        kept |= {
            "fn_index": question["fn_index"],
            "event_data": question.get("event_data"),
            "trigger_id": trigger if is_number and abs(trigger) < 2**31 else None,
        }
    return json.dumps(kept).encode()


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
