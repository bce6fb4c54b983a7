"""Requests that are not answered: the HTTP status and one sentence."""

from __future__ import annotations

from typing import Any

FAILED = {
    404: "There is no such thing here, or no longer; ask again.",
    405: "The page is not asked in this way.",
    413: "The request is longer than what is read here.",
    503: "The page has too much to do at the moment; try again soon.",
}
NOT_OURS = "The request is not one that this page sends."
NO_ANSWER = "The page could not answer this; try again, or ask something else."


class Refusal(Exception):  # noqa: N818
    """A request that is not answered: the HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def failure(status: int) -> Refusal:
    """What is said in place of what a server's parts say of themselves."""
    return Refusal(status, FAILED.get(status, NO_ANSWER if status >= 500 else NOT_OURS))


async def refuse(refusal: Refusal, scope: dict, receive: Any, send: Any) -> None:
    """Sends a refusal, as JSON where the page's script reads it."""
    from starlette.responses import JSONResponse, PlainTextResponse

    if scope["path"].startswith(("/gradio_api/queue/", "/gradio_api/call/")):
        answer = JSONResponse({"detail": str(refusal)}, refusal.status)
    else:
        answer = PlainTextResponse(f"{refusal}\n", refusal.status)
    await answer(scope, receive, send)
