"""The checker that exercises share: right in any form is right, and a verdict is one line that never raises."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from utils.course import try_answer

CASES = [(((1, 2, 3),), 6.0, "add them"), (((2, 2),), 4.0, "add them"), (((5,),), 5.0, "one is its own sum")]


def verdict(capsys, answer, cases=CASES, ideas=None) -> str:
    said = try_answer(answer, cases, ideas or {})
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and said == (printed == "That is it.\n")
    return printed


@pytest.mark.parametrize(
    "form", [lambda x: x, np.float32, np.asarray, jnp.float32, torch.tensor, lambda x: x + 1e-9], ids=range(6)
)
def test_a_right_answer_is_accepted_in_any_form(capsys, form):
    assert verdict(capsys, lambda numbers: form(float(sum(numbers)))) == "That is it.\n"


@pytest.mark.parametrize(
    ("right", "given", "fits"),
    [
        ([1, 2], np.array([1.0, 2.0]), True),
        ([[1, 2], [3]], [(1, 2), (3,)], True),
        ([[1, 2], [3]], [(1, 2), (4,)], False),
        ({"a": [1]}, {"a": np.array([1])}, True),
        ({"a": [1]}, {"b": [1]}, False),
        (["x", "y"], ("x", "y"), True),
        ("x", "y", False),
        ("1", 1, False),
        (1.0, None, False),
        (1.0, [1.0], False),
        (np.eye(2, dtype=bool), np.eye(2), True),
        (np.ones(2), np.ones((2, 1)), False),
        (1.0, float("nan"), False),
        (1.0, "one", False),
        ([1, 2], 1, False),
        (3, object(), False),
    ],
)
def test_results_are_compared_by_what_they_hold(capsys, right, given, fits):
    assert (verdict(capsys, lambda: given, [((), right, "")]) == "That is it.\n") == fits


def test_a_wrong_answer_is_told_its_first_case_and_the_hint(capsys):
    said = verdict(capsys, lambda numbers: float(numbers[0]))
    assert said == "Not yet: for (1, 2, 3) you give 1, and it is 6. add them\n"


@pytest.mark.parametrize("wrong", [np.ones(3), torch.ones(3), jnp.ones(3)])
def test_a_wrong_shape_is_told_and_not_a_wall_of_numbers(capsys, wrong):
    cases = [((np.ones((3, 5)),), np.ones((3, 3)), "one row each")]
    told = "Not yet: for an array (3, 5) you give the shape (3,), and it is (3, 3). one row each\n"
    assert verdict(capsys, lambda given: wrong, cases) == told


def test_a_wrong_idea_is_named_where_all_cases_show_it(capsys):
    ideas = {"that is the mean": np.mean, "the first": lambda numbers: numbers[0], "broken": lambda numbers: 1 / 0}
    assert verdict(capsys, lambda numbers: sum(numbers) / len(numbers), ideas=ideas) == "Not yet: that is the mean\n"
    assert verdict(capsys, lambda numbers: float(numbers[0]), ideas=ideas) == "Not yet: the first\n"
    assert "it is 6" in verdict(capsys, max, ideas=ideas)


def test_a_result_may_be_judged_by_a_function(capsys):
    def is_shuffled(given):
        return "" if sorted(given) == [1, 2, 3] else "all three should come back."

    cases = [(([1, 2, 3],), is_shuffled, "")]
    assert verdict(capsys, lambda numbers: numbers[::-1], cases) == "That is it.\n"
    assert verdict(capsys, lambda numbers: numbers[:2], cases) == "Not yet: all three should come back.\n"


def test_an_answer_that_spoils_what_it_is_given_is_refused(capsys):
    def spoils(array):
        total = array.sum()
        array[:] = 0
        return total

    assert "work on a copy" in verdict(capsys, spoils, [((np.ones(3),), 3.0, "")])


@pytest.mark.parametrize("answer", [None, 3, lambda: 1, lambda numbers: {}["two\nlines"]], ids=range(4))
def test_an_error_is_one_line(capsys, answer):
    assert verdict(capsys, answer).startswith("Not yet: trying it ended with ")


@pytest.mark.parametrize("given", [np.eye(2, dtype=bool), (np.eye(4), np.eye(4))], ids=["bool", "arrays"])
def test_what_is_given_is_told_in_one_line(capsys, given):
    assert "and it is [[True, True], [True, True]]" in verdict(capsys, lambda: given, [((), np.ones((2, 2), bool), "")])
