"""Every figure draws, has its text for those who cannot see it, and leaves matplotlib as it was."""

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from utils import plots
from utils.plots.look import few, from_to

IMAGE = np.zeros((8, 8, 3), np.uint8)
HISTORY = {"step": 2, "loss": 1.0, "validation_loss": 1.5}

SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
DRAWINGS = {
    "image_grid": lambda: plots.image_grid([IMAGE] * 7, [f"a\n{n}" for n in range(7)], columns=3),
    "count_bars": lambda: plots.count_bars(["beach", "port"], [3, 4], "images"),
    "graph_walks": lambda: plots.graph_walks(
        np.eye(3, 2), [{1}, {0, 2}, {1}], np.ones(2), {"narrow": [2], "wide": [2, 1]}
    ),
    "growth": lambda: plots.growth([10, 100], {"read": [0.1, 1.0]}, "tiles", {"a second": 1}),
    "footprint_map": lambda: plots.footprint_map({"a": SQUARE, "b": SQUARE + 2}, {"b": [SQUARE / 2 + 2]}),
    "histogram": lambda: plots.histogram([1, 2, 2, 5], "words", "captions"),
    "shaded_matrix": lambda: plots.shaded_matrix(np.eye(2), ["a", "b"], ["c", "d"], digits=1),
    "loss_curves": lambda: plots.loss_curves([1, 2], [3.0, 2.0], [2], [2.5], chance=3.2),
    "compared_losses": lambda: plots.compared_losses({"none": [{"step": 1, "loss": 2.0}, HISTORY]}, ("a", "b")),
    "trade_off": lambda: plots.trade_off([1, 2], [3, 4], ["a", "b"], 1, "x", "y"),
    "curves_with_spread": lambda: plots.curves_with_spread(
        [1, 2], {"a": ([0.5, 0.6], [0.1, 0.1])}, "shots", "score", {"zero-shot": 0.4}
    ),
    "line": lambda: plots.line([1, 2], [3, 4], "x", "y"),
    "cumulative": lambda: plots.cumulative({"fr": [1.0, 2.0], "es": [3.0]}, "chrF", "share below"),
    "score_bars": lambda: plots.score_bars(["k=1"], {"baseline": [0.5], "fine-tuned": [0.9]}, "score"),
    "before_and_after": lambda: plots.before_and_after(["a", "b"], [0, 0.5], [1, 0.4], ("x", "y"), "score"),
    "captioned_images": lambda: plots.captioned_images([IMAGE] * 2, [["a port"], ["a beach", "sand"]]),
    "scored_images": lambda: plots.scored_images([IMAGE], ["port"], [["port", "pond"]], [[0.9, 0.1]], "share"),
    "pair_marks": lambda: plots.pair_marks(np.eye(3, dtype=bool)),
    "image_with_patches": lambda: plots.image_with_patches(IMAGE, 4),
    "reliability": lambda: plots.reliability({"test": ([0.1, 0.9], [0.2, 0.8])}),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_draws_a_figure_and_leaves_the_settings_alone(name):
    before = dict(matplotlib.rcParams)
    figure = DRAWINGS[name]()
    assert isinstance(figure, Figure)
    figure.canvas.draw()
    assert dict(matplotlib.rcParams) == before
    assert re.fullmatch(r"[A-Z0-9].*\w.*\.", figure.get_label()), "a sentence for those who cannot see it"


def test_only_a_loss_with_a_chance_is_called_contrastive():
    labels = [plots.loss_curves([1], [3.0], [1], [2.5], chance).axes[0].get_ylabel() for chance in (None, 3.2)]
    assert labels == ["loss (nats)", "contrastive loss (nats)"]


def test_where_no_images_are_left_the_figure_says_so():
    for figure in (plots.image_grid([]), plots.captioned_images([], [])):
        figure.canvas.draw()
        assert [text.get_text() for text in figure.axes[0].texts] == ["no images"]


def test_every_figure_is_drawn_here():
    assert set(DRAWINGS) == {name for name, offered in vars(plots).items() if callable(offered)} - {"show"}


FEW = {f"run {number}": number for number in range(6)}


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.cumulative({key: [1.0] for key in FEW}, "x", "y"),
        lambda: plots.score_bars(["k=1"], {key: [0.5] for key in FEW}, "score"),
        lambda: plots.compared_losses({key: [HISTORY] for key in FEW}, ("a", "b")),
        lambda: plots.curves_with_spread([1], dict.fromkeys(FEW, ([0.5], [0.1])), "x", "y", {}),
        lambda: plots.curves_with_spread([1], {"a": ([0.5], [0.1])}, "x", "y", levels=FEW),
        lambda: plots.reliability(dict.fromkeys(FEW, ([0.1], [0.2]))),
        lambda: plots.growth([1], {key: [0.1] for key in FEW}, "tiles", {}),
    ],
)
def test_no_series_is_left_out_unseen(draw):
    with pytest.raises(ValueError, match=r"6 series.*told apart.*fewer"):
        draw()


def test_training_losses_are_compared_by_their_means_over_an_epoch():
    history = [
        {"step": 1, "loss": 4.0},
        {"step": 2, "loss": 2.0, "validation_loss": 2.5},
        {"step": 3, "loss": 1.0, "validation_loss": 1.5},
    ]
    figure = plots.compared_losses({"run": history}, ("training", "validation"))
    (training,), (validation,) = (axis.lines for axis in figure.axes)
    assert training.get_xydata().tolist() == [[2, 3.0], [3, 1.0]]
    assert validation.get_xydata().tolist() == [[2, 2.5], [3, 1.5]]


@pytest.mark.parametrize(("name", "kind"), [("line", "image/png"), ("image_grid", "image/jpeg")])
@pytest.mark.parametrize("alt", ["", "in the lesson's own words"])
def test_show_carries_the_alternative_text(monkeypatch, name, kind, alt):
    shown = {}
    monkeypatch.setattr("IPython.display.display", lambda bundle, **rest: shown.update(bundle=bundle, **rest))
    figure = DRAWINGS[name]()
    plots.show(figure, alt)
    assert shown["metadata"] == {kind: {"alt": alt or figure.get_label()}}
    assert shown["bundle"]["text/plain"] == f"[figure] {alt or figure.get_label()}"
    assert shown["bundle"][kind][:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")


def test_a_figure_without_a_sentence_is_not_shown():
    with pytest.raises(ValueError, match="give it as alt"):
        plots.show(Figure())


def test_a_sentence_lists_a_few_and_counts_the_rest():
    assert few([f"c{number}" for number in range(10)], np.arange(10) / 3, most=2) == "c0 0, c1 0.333 and 8 more"
    assert (from_to([3, 1, 2]), from_to([1, 2]), from_to([])) == (
        "from 3 to 2, between 1 and 3",
        "from 1 to 2",
        "empty",
    )


def test_before_and_after_is_sorted_by_gain():
    figure = plots.before_and_after(["lost", "gained"], [0.9, 0.1], [0.5, 0.8], ("x", "y"), "score")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["lost", "gained"]
