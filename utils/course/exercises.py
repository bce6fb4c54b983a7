"""Checkers of exercises: an answer is tried on cases, and one line says whether it is right, or what is not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

CHANGEABLE = (np.ndarray, list, dict)  # in place; a generator of random numbers changes whenever it is used
Case = tuple[tuple[Any, ...], Any, str]


def try_answer(
    answer: Callable[..., Any], cases: Iterable[Case], ideas: Mapping[str, Callable[..., Any]] = MappingProxyType({})
) -> bool:
    """Tries an answer on cases, prints one line, never raises, and says whether the answer is right.

    It may give numbers, arrays of NumPy, JAX or PyTorch, lists or texts. Cases are arguments, the right result and a
    hint, drawn again at each call, so that no table of answers passes. In place of a result may stand a function that
    looks at what was given and says what is wrong with it, or nothing. Ideas are common wrong ones: what to say to
    each, with the function that a reader who has it writes; it is said where an answer agrees on every case.
    """
    hints, tried, given = [], [], None
    try:
        for arguments, right, hint in cases:
            handed = copy.deepcopy(arguments)
            given = answer(*handed)
            wrong = right(given) if callable(right) else "" if _same(given, right) else _told(arguments, given, right)
            pairs = zip(handed, arguments, strict=True)
            if any(isinstance(after, CHANGEABLE) and not _same(after, before) for after, before in pairs):
                hints.append("it changes what it is given; work on a copy.")
            elif wrong:
                hints.append(f"{wrong} {hint}".strip())
            tried.append((arguments, copy.deepcopy(given)))
        if hints:
            held = [said for said, idea in ideas.items() if all(_agrees(idea, *one) for one in tried)]
            hints = held or hints
    except Exception as error:
        hints = [f"trying it ended with {type(error).__name__}: {' '.join(str(error).split())[:300]}"]
    print(f"Not yet: {hints[0]}" if hints else "That is it.")
    return not hints


def _agrees(idea: Callable[..., Any], arguments: tuple[Any, ...], given: Any) -> bool:
    try:
        return _same(given, idea(*copy.deepcopy(arguments)))
    except Exception:  # an idea need not make sense of every case
        return False


def _same(given: Any, right: Any) -> bool:
    """Whether two results are equal up to rounding, whatever holds their numbers."""
    if isinstance(right, str | bytes | type(None)) or isinstance(given, str | bytes | type(None)):
        return type(given) is type(right) and given == right
    if isinstance(right, Mapping):
        return (
            isinstance(given, Mapping) and {*given} == {*right} and all(_same(given[key], right[key]) for key in right)
        )
    try:
        left, wanted = np.asarray(given), np.asarray(right)
    except ValueError:  # rows of different lengths
        left = wanted = np.empty(0, object)
    if wanted.dtype.kind in "biufc" and left.dtype.kind in "biufc":
        return left.shape == wanted.shape and bool(np.allclose(left, wanted, rtol=1e-5, atol=1e-6))
    if not hasattr(given, "__len__") or not hasattr(right, "__len__"):
        return bool(given == right)
    return len(given) == len(right) and all(_same(one, other) for one, other in zip(given, right, strict=True))


def _told(arguments: tuple[Any, ...], given: Any, right: Any) -> str:
    shown = ", ".join(map(_short, arguments))
    shapes = [tuple(each.shape) for each in (given, right) if hasattr(each, "shape")]
    if len(set(shapes)) == 2:
        return f"for {shown} you give the shape {shapes[0]}, and it is {shapes[1]}."
    return f"for {shown} you give {_short(given)}, and it is {_short(right)}."


def _short(value: Any) -> str:
    """A value in few words: an array by its shape where it is large."""
    if hasattr(value, "tolist"):
        value = np.asarray(value)
        if value.size > 12:
            return f"an array {value.shape}"
        value = (np.round(value, 4) if value.dtype.kind in "fc" else value).tolist()
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) < 100 else f"{text[:97]}..."
