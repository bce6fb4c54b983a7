"""What drawn images give before real ones: the arms of the comparison, and their drawing."""

from types import SimpleNamespace

import numpy as np
import pytest
from standins.pretraining import rendered

from utils.evaluation import ZeroShotResult


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Of every arm its drawn images, few of them."""
    folder = tmp_path_factory.mktemp("drawn")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rendered, "SCENES", {"1500-scenes": 1, "10000-scenes": 2, "40000-scenes": 3})
        patched.setattr(rendered, "ICONS", 10)
        return {arm: rendered.drawn_images(arm, folder, 5) for arm in rendered.ARMS if arm != "none"}


def test_fewer_scenes_are_a_part_of_more_with_as_many_of_each_category(drawn):
    few, more, most = ({item.path for item in drawn[arm].split("train")} for arm in rendered.SCENES)
    assert few < more < most and [len(few), len(more), len(most)] == [30, 60, 90]
    held_out = [{item.path for item in drawn[arm].split("val")} for arm in rendered.SCENES]
    assert held_out[0] == held_out[1] == held_out[2] and len(held_out[0]) == 120 and not held_out[0] & most
    assert len({item.category for item in drawn["1500-scenes"].split("train")}) == 30


def test_of_the_icons_every_tenth_is_held_out(drawn):
    assert len(drawn["icons"].split("train")) == 270 and len(drawn["icons"].split("val")) == 30


def test_without_drawn_images_the_model_is_as_it_was(tmp_path):
    model = object()
    assert rendered.pretrained(model, "none", tmp_path, 0) is model and not list(tmp_path.iterdir())


def test_each_seed_is_a_point_and_their_mean_a_stroke():
    scores = {
        "none": [{"k=1": 0.2, "recall": 0.1}, {"k=1": 0.4, "recall": 0.1}],
        "icons": [{"k=1": 0.5, "recall": 0.2}],
    }
    axis = rendered.drawing(scores).axes[0]
    points = [tuple(point) for dots in axis.collections for point in getattr(dots, "get_offsets", list)()]
    assert (0, 0.2) in points and (0, 0.4) in points and (1, 0.5) in points
    assert [label.get_text() for label in axis.get_xticklabels()] == ["none", "icons"]
    strokes = [segment for line in axis.collections for segment in getattr(line, "get_segments", list)()]
    assert {round(float(segment[0][1]), 6) for segment in strokes} == {0.3, 0.5}


def test_categories_left_out_are_in_no_training_image_and_scored_apart(drawn, monkeypatch):
    monkeypatch.setattr(rendered, "unlike_held_out", lambda dataset: dataset.split("train"))
    real = rendered.real_images(drawn["1500-scenes"], ("port", "river"))
    assert list(real) == ["real", "without_port_river"]
    everything, rest = ({item.category for item in images} for images in real.values())
    assert everything - rest == {"port", "river"} and len(rest) == 28
    assert list(rendered.real_images(drawn["1500-scenes"], ())) == ["real"]

    # Three of four images are found; of the ports and rivers one of two.
    names, labels = ("park", "port", "river"), np.array([0, 0, 1, 2])
    found = ZeroShotResult(names, labels, np.eye(3, dtype=np.float32)[[0, 0, 1, 0]])
    monkeypatch.setattr(rendered, "zero_shot", lambda *_: found)
    monkeypatch.setattr(rendered, "retrieval_of", lambda *_: SimpleNamespace(mean_recall=0.3))
    scores = {"k=1": 0.75, "recall": 0.3}
    assert rendered.scores_of(None, None, ()) == scores
    assert rendered.scores_of(None, None, ("port", "river")) == scores | {rendered.LEFT_OUT: 0.5}
