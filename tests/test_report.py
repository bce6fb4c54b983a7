"""The report of a model against a baseline: its figures are those of the parts, and pages are filled from it."""

import json

import numpy as np
import pytest

from utils.datasets import CaptionDataset, load_dataset
from utils.evaluation import (
    add_to_card,
    evaluate,
    paired_bootstrap,
    retrieval,
    summary_text,
    zero_shot,
)
from utils.evaluation.summary import fill_page


@pytest.fixture(scope="module")
def test_set():
    return load_dataset("miniature").split("test").subset(40, seed=0)


@pytest.fixture(scope="module")
def models(root):
    """The starting checkpoint, and it with its text projection shaken: another model of the same shape."""
    from utils.clip import CLIP

    start, shaken = (CLIP.from_pretrained(root / "data/checkpoints/clip-miniature") for _ in range(2))
    weights = shaken.transformers_weights()
    noise = np.random.default_rng(0).normal(scale=0.05, size=weights["text_projection.weight"].shape)
    weights["text_projection.weight"] = weights["text_projection.weight"] + noise.astype(np.float32)
    shaken.load_transformers_weights(weights)
    return start, shaken


@pytest.fixture(scope="module")
def evaluation(models, test_set):
    return evaluate(*models, test_set, seed=3)


@pytest.mark.parametrize("protocol", ["documents", "ensemble"])
def test_scores_are_those_of_zero_shot(evaluation, models, test_set, protocol):
    for model, result in zip(models, evaluation.zero_shot[protocol].values(), strict=True):
        alone = zero_shot(model, test_set, protocol)
        np.testing.assert_allclose(result.similarities, alone.similarities, atol=1e-6)
        assert result.scores() == alone.scores() and result.class_names == alone.class_names


def test_recalls_are_those_of_retrieval(evaluation, models, test_set):
    for matching, results in evaluation.retrieval.items():
        for model, result in zip(models, results.values(), strict=True):
            assert result.recalls == retrieval(model, test_set, matching).recalls


def test_the_gain_is_paired(evaluation):
    before, after = (result.ranks < 1 for result in evaluation.zero_shot["documents"].values())
    assert evaluation.gain() == paired_bootstrap(before, after, seed=3)
    assert evaluation.gain().value == pytest.approx(after.mean() - before.mean())


def test_class_lists_join_in_where_they_are(models, shared):
    data = shared / "data"
    named = load_dataset("rsicd", data, "test").subset(30, seed=1)
    chosen = {item.path for item in named}
    everything = load_dataset("rsicd", data, "test", class_lists=True)
    listed = CaptionDataset([item for item in everything if item.path in chosen], everything.name)
    result = evaluate(*models, named, with_class_lists=listed).zero_shot["vt_rsbs"]["baseline"]
    assert len(result.labels) == 30
    assert result.prompts[0] == (f"a remote sensing image of a {result.class_names[0]}",)
    with pytest.raises(ValueError, match="same order"):
        evaluate(*models, named, with_class_lists=listed[::-1])


def test_what_is_written_can_be_read_and_is_what_was_measured(evaluation, tmp_path):
    folder = evaluation.write(tmp_path / "new" / "evaluation")
    content = json.loads((folder / "evaluation.json").read_text())
    assert content == json.loads(json.dumps(evaluation.as_json()))
    documents = content["zero_shot"]["documents"]
    assert documents["scores"]["fine-tuned"]["1"]["value"] == evaluation.zero_shot["documents"][
        "fine-tuned"
    ].score(1)
    assert documents["gain"]["1"]["low"] <= documents["gain"]["1"]["value"] <= documents["gain"]["1"]["high"]
    page = (folder / "README.md").read_text()
    for name in ("scores.png", "categories.png", "confusion.png"):
        assert f"({name})" in page and (folder / name).read_bytes().startswith(b"\x89PNG")
    assert f"{documents['scores']['baseline']['1']['value']:.3f}" in page
    assert not list(folder.glob(".*"))


def test_a_warning_stands_before_the_figures(models, test_set):
    text = summary_text(evaluate(*models, test_set[:12], warning="Seen in training.").as_json())
    assert text.startswith("**Mind:** Seen in training.")


def test_pictures_without_captions_have_no_retrieval(models, test_set):
    from dataclasses import replace

    bare = CaptionDataset([replace(item, captions=()) for item in test_set.named()[:6]], "bare")
    evaluation = evaluate(*models, bare)
    assert (
        evaluation.retrieval == {} and "mean recall" not in summary_text(evaluation.as_json()).splitlines()[2]
    )
    nameless = CaptionDataset([replace(item, category=None) for item in test_set[:3]], "nameless")
    with pytest.raises(ValueError, match="No image of nameless has a category"):
        evaluate(*models, nameless)


def test_the_card_gets_one_evaluation_however_often(evaluation, tmp_path):
    card = tmp_path / "README.md"
    card.write_text("# A model\n\n## Limits\n")
    add_to_card(tmp_path, evaluation.as_json())
    once = card.read_text()
    add_to_card(tmp_path, evaluation.as_json())
    assert card.read_text() == once
    assert once.startswith("# A model\n\n## Limits\n") and once.count("## Evaluation") == 1
    card.write_text(written := once + "\n## My notes\n\nSeen.\n")
    add_to_card(tmp_path, evaluation.as_json())
    assert card.read_text() == written  # what others have added stays as it is
    card.write_text(written.replace("<!-- end of evaluation -->", ""))
    with pytest.raises(ValueError, match=r"README\.md has '<!-- eval.*but no '<!-- end of eval"):
        add_to_card(tmp_path, evaluation.as_json())
    assert "My notes" in card.read_text()
    with pytest.raises(FileNotFoundError, match="has no README"):
        add_to_card(tmp_path / "nothing", evaluation.as_json())


def test_a_page_is_filled_where_it_is_marked_and_nowhere_else(evaluation, tmp_path):
    evaluation.write(tmp_path / "runs" / "here")
    page = (
        "before\n<!-- measured: runs/here -->\nold\n<!-- end -->\nbetween\n"
        "<!-- measured: runs/absent -->\nkept\n<!-- end -->\nafter\n"
    )
    filled = fill_page(page, tmp_path)
    summary = summary_text(evaluation.as_json())
    assert filled == page.replace("old", summary)
    assert fill_page(filled, tmp_path) == filled
