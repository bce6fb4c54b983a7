"""The questions that the page asks of itself: which there are, and what a request for one must look like."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from utils.demo.files import is_visitor_file

if TYPE_CHECKING:
    import gradio as gr

JOIN = "/gradio_api/queue/join"  # where the page asks, by number
CALL = "/gradio_api/call/"  # where programs ask, by name
MAX_SESSION = 64  # letters of a name that a page gives itself
NOT_OURS = "The request is not one that this page sends."


class Questions:
    """What may be asked of a page: for each input of a question whether it is a file.

    The page asks by number, programs ask the public ones by name.
    """

    def __init__(self, blocks: gr.Blocks) -> None:
        self.by_number: dict[int, list[bool]] = {}
        self.by_name: dict[str, list[bool]] = {}
        for number, fn in blocks.fns.items():
            files = [getattr(component, "data_model", None) is not None for component in fn.inputs]
            self.by_number[number] = files
            if fn.api_visibility == "public" and fn.api_name:
                self.by_name[str(fn.api_name)] = files

    def check(self, path: str, question: Any) -> dict[str, Any]:
        """Returns a question, sent to `JOIN` or to `CALL` and a name, with nothing but what the page uses of it.

        Raises:
            HTTPException: If it is none of these, or has other than its inputs.
        """
        if not isinstance(question, dict):
            raise HTTPException(422, NOT_OURS)
        number, name = question.get("fn_index"), path.removeprefix(CALL)
        if path == JOIN:
            files = self.by_number.get(number) if type(number) is int else None
        else:
            files = self.by_name.get(name)
        if files is None:
            status = 422 if path == JOIN else 404
            raise HTTPException(status, f"There is no such question; by name there are {', '.join(self.by_name)}.")
        data, session = question.get("data"), question.get("session_hash")
        if session is None and path != JOIN:  # a program need not name one
            session = token_hex()
        if not isinstance(data, list) or len(data) != len(files):
            raise HTTPException(422, f"The question needs its {len(files)} inputs as a list named data.")
        if not (isinstance(session, str) and 0 < len(session) <= MAX_SESSION and session.isascii()):
            raise HTTPException(422, f"The session's name must be up to {MAX_SESSION} plain letters.")
        kept = {"data": list(map(_cleaned, data, files)), "session_hash": session}
        if path != JOIN:
            return kept
        trigger, event = question.get("trigger_id"), question.get("event_data")
        clicked = event.items() if isinstance(event, dict) else ()
        return kept | {
            "fn_index": number,
            "event_data": {key: value for key, value in clicked if isinstance(value, str)},
            "trigger_id": trigger if type(trigger) is int else None,
        }


def _cleaned(value: Any, is_file: bool) -> Any:
    """An input as the page has them: a file by its path, or else a text or a number; other shapes become None."""
    if isinstance(value, dict):
        carries_file = str(value.get("url") or "").strip().lower().startswith("data:")
        if not is_file or carries_file or not is_visitor_file(value.get("path")):
            raise HTTPException(403, "The request names a file that was not uploaded here.")
        return {"path": value["path"], "meta": {"_type": "gradio.FileData"}}
    return None if is_file or isinstance(value, list) else value
