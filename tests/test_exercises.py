"""The exercises: each checker accepts the solution, whatever it draws, and refuses what is wrong, however near it lies.

No notebook is executed: a checker stands in its cell with its imports, functions and word lists, and needs no more.
"""

import ast
import copy
import re
from collections.abc import Callable
from typing import Any

import jax
import nbformat
import numpy as np
import pytest
from exercise_world import CHECKERS, NOTEBOOKS, SOLVED, solution_of
from flax import nnx
from wrong_answers import WRONG


def is_accepted(checker: str, answer: Callable, capsys: pytest.CaptureFixture) -> bool:
    """Tries an answer; the checker prints one verdict, and says the same to its caller."""
    said = SOLVED[CHECKERS[checker]][checker](answer)
    printed = capsys.readouterr().out
    assert printed.startswith("That is it." if said else "Not yet: ") and len(printed.splitlines()) == 1, printed
    return said


def raise_an_error(*given):
    raise RuntimeError("the answer stops")


def once_right(checker: str) -> Callable:
    """Right for the first question, and the same answer to all others."""
    remembered = []

    def answer(*given):
        remembered.append(solution_of(checker)(*given))
        return remembered[0]

    return answer


def spoiling(checker: str) -> Callable:
    """Right, but it changes what it is given: the next line of the notebook would compute with that."""

    def answer(*given):
        result = copy.deepcopy(solution_of(checker)(*given))
        for value in given:
            if isinstance(value, np.ndarray):
                value[...] = 0
            elif isinstance(value, dict | list):
                value.clear()
        return result

    return answer


def stub_of(checker: str) -> Callable:
    """What stands in the lesson before anybody has answered."""
    name, names = checker.removeprefix("check_"), {"np": np, "jax": jax, "nnx": nnx}
    for cell in nbformat.read(NOTEBOOKS / f"{CHECKERS[checker]}.ipynb", as_version=4).cells:
        if f"def {checker}(" in cell.source:
            (stub,) = [n for n in ast.parse(cell.source).body if getattr(n, "name", None) == name]
            exec(ast.unparse(stub), names)
    return names[name]


COMMON: dict[str, Callable[[str], Any]] = {
    "no function": lambda checker: None,
    "nothing": lambda checker: lambda *given: None,
    "an error": lambda checker: raise_an_error,
    "0": lambda checker: lambda *given: 0,
    "1": lambda checker: lambda *given: 1.0,
    "true": lambda checker: lambda *given: True,
    "not a number": lambda checker: lambda *given: float("nan"),
    "what it is given": lambda checker: lambda *given: given[0],
    "once right": once_right,
    "the stub": stub_of,
}
# They are given numbers, texts, tuples and arrays of JAX, which cannot be changed in place.
UNSPOILT = {
    "check_training_minutes",
    "check_same_numbers",
    "check_sentence_vectors",
    "check_labels_of",
    "check_loss_at",
    "check_yes_from",
    "check_share_found",
}


def test_every_checker_has_its_wrong_answers():
    assert set(WRONG) == set(CHECKERS)
    assert all(len(wrong) + len(COMMON) >= 15 for wrong in WRONG.values())


@pytest.mark.parametrize("checker", WRONG)
def test_a_solution_is_accepted_whatever_is_drawn(checker, capsys):
    for _ in range(10):
        assert is_accepted(checker, solution_of(checker), capsys)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("checker", WRONG)
def test_a_wrong_answer_is_refused(checker, capsys):
    answers = WRONG[checker] | {name: make(checker) for name, make in COMMON.items()}
    if checker not in UNSPOILT:
        answers["spoils what it is given"] = spoiling(checker)
    accepted = [name for name, answer in answers.items() if is_accepted(checker, answer, capsys)]
    assert not accepted


def test_a_hint_says_what_is_wrong_and_not_what_is_right(capsys):
    """One that a reader can act on, for a mistake that each of these exercises invites."""
    for checker, wrong, hint in (
        ("check_training_minutes", "batches over all epochs", "left out in each epoch"),
        ("check_pad_batch", "rows again", "the new ones should be zeros"),
        ("check_positives_of", "the same drawn", "more captions than the one that it drew"),
        ("check_mean_of_tokens", "padding too", "the padding counts too"),
        ("check_learn", "both or nothing", r"where nothing of a kind is marked, its mean is left out"),
        ("check_recall_at", "order of the file", r"say how it comes out over all orders"),
        ("check_recall_at", "wins ties", r"you let the right one win each tie"),
        ("check_score_with_rivals", "without rivals", r"are they among the columns"),
        ("check_diverse_links", "the nearest", r"these are the nearest, whatever was kept before"),
        ("check_suppress", "suppressed ones suppress", "A tile that is not kept suppresses no other"),
        ("check_yes_from", "the other way round", "the dearer a miss, the sooner"),
        ("check_mix_but", "all moves", "it should stay as it was before"),
        ("check_shuffle_blocks", "rolled", r"of the 24 orders of four blocks only 4 ever come"),
        ("check_shuffle_blocks", "its own generator", r"the order should come from rng"),
        ("check_leads", "best on each", r"Who could have known that one\?"),
        ("check_sentence_vectors", "last token", r"the last token of a row is padding"),
        ("check_sentence_vectors", "highest id", r"end need not be the highest id"),
        ("check_labels_of", "names anywhere", r"vision/text is labeled 'freeze'\. Look at where a path begins"),
        ("check_loss_at", "difference of logarithms", r"that is right for guessing alone"),
    ):
        SOLVED[CHECKERS[checker]][checker](WRONG[checker][wrong])
        assert re.search(hint, capsys.readouterr().out), checker
