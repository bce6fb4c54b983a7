"""The report of a model against a baseline: its figures are those of the parts, and pages are filled from it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.evaluation import (
    PROTOCOLS,
    PUBLISHED_KS,
    Evaluation,
    Interval,
    ZeroShotResult,
    add_to_card,
    aligned,
    distinct_captions,
    embed_dataset,
    evaluate,
    paired_bootstrap,
    read_predictions,
    recall_table,
    score_retrieval,
    score_table,
    summary_text,
    values_of,
    zero_shot,
)
from utils.evaluation.__main__ import fill_page, main
from utils.evaluation.tables import summary_table

pytestmark = pytest.mark.usefixtures("quick_compilation")


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


def by_hand() -> Evaluation:
    """Four images of two classes, of which the baseline knows one and the other model three; captions alike."""
    labels, right = np.array([0, 0, 1, 1]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    before, after = right[[0, 2, 0, 0]], right[[0, 1, 2, 0]]
    zero_shot = {
        name: {
            model: ZeroShotResult(("beach", "port"), labels, rows, name, "made test")
            for model, rows in (("baseline", before), ("fine-tuned", after))
        }
        for name in ("documents", "split_names", "ensemble")
    }
    captions, texts = [["one"], ["two"], ["three"]], np.eye(3, dtype=np.float32)
    recalls = {"baseline": score_retrieval(texts[[1, 0, 2]], texts, captions)}
    recalls["fine-tuned"] = score_retrieval(texts, texts, captions)
    items = [CaptionedImage(Path("image.png"), tuple(own), "test", None, "made") for own in (*captions, (), ())]
    test_set = CaptionDataset(items, "made test")
    return Evaluation(test_set, test_set, zero_shot, {"strict": recalls}, 7, "Seen.")


def test_every_figure_is_where_a_reader_of_the_json_looks_for_it():
    made = by_hand()
    content = made.as_json()
    about = {name: content[name] for name in ("data", "images", "captions", "warning")}
    assert about == {"data": "made test", "images": 5, "captions": 3, "warning": "Seen."}
    assert content["intervals"] == "bootstrap over images, 95 %, 2,000 draws, seed 7"
    ensemble = content["zero_shot"]["ensemble"]
    assert (ensemble["images"], ensemble["classes"]) == (4, ["beach", "port"])
    assert ensemble["description"] == PROTOCOLS["ensemble"].description and len(ensemble["templates"]) == 18
    scores = {name: rows["1"]["value"] for name, rows in ensemble["scores"].items()}
    assert scores == {"baseline": 0.25, "fine-tuned": 0.75}
    assert ensemble["per_class"] == {"baseline": {"beach": 0.5, "port": 0.0}, "fine-tuned": {"beach": 1.0, "port": 0.5}}
    assert Interval(**ensemble["gain"]["1"]) == paired_bootstrap([1, 0, 0, 0], [1, 1, 1, 0], seed=7)
    assert ensemble["gain"]["3"]["value"] == 0
    strict = content["retrieval"]["strict"]
    assert (strict["images"], strict["captions"], set(strict["ceilings"].values())) == (3, 3, {1.0})
    # One of three is found first in each direction; among five all are.
    assert strict["recalls"]["baseline"]["image_to_text_recall_at_1"]["value"] == pytest.approx(1 / 3)
    assert strict["mean_recall"]["baseline"]["value"] == pytest.approx((2 * (1 / 3) + 4) / 6)
    assert strict["mean_recall_gain"]["value"] == pytest.approx(2 * (2 / 3) / 6)


def test_the_page_holds_every_table_with_the_seed_of_the_report():
    made = by_hand()
    page = made.markdown()
    assert page.startswith("# Fine-tuned against baseline: made test\n\n**Warning:** Seen.\n") and page[-1] == "\n"
    for protocol, results in made.zero_shot.items():
        description = PROTOCOLS[protocol].description
        assert f"**{protocol}.** {description}\n\n{score_table(results, 7)}\n\n" in page
    assert page.endswith(f"## Retrieval, in percent\n\n{recall_table(made.retrieval['strict'], 7)}\n")
    assert "Retrieval, in percent" not in replace(made, retrieval={}).markdown()


def test_intervals_of_retrieval_follow_the_seed():
    rows = np.random.default_rng(0).normal(size=(3, 150, 4)).astype(np.float32)
    rows[:2] = rows[2] + [[[0.6]], [[0.4]]] * rows[:2]
    images, other, texts = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    captions = [[f"{number}"] for number in range(150)]
    results = {
        name: score_retrieval(own, texts, captions) for name, own in (("baseline", images), ("fine-tuned", other))
    }
    made = replace(by_hand(), retrieval={"strict": results})
    strict = made.as_json()["retrieval"]["strict"]
    for name, result in results.items():
        assert Interval(**strict["mean_recall"][name]) == result.interval(seed=7) != result.interval(seed=0)
    gain = Interval(**strict["mean_recall_gain"])
    assert gain == made.retrieval_gain() != replace(made, seed=0).retrieval_gain()
    assert recall_table(results, 7) in made.markdown()
    assert recall_table(results, 7) not in replace(made, seed=0).markdown()


@pytest.mark.parametrize("protocol", ["documents", "ensemble"])
def test_scores_are_those_of_zero_shot(evaluation, models, test_set, protocol):
    for model, result in zip(models, evaluation.zero_shot[protocol].values(), strict=True):
        alone = zero_shot(model, test_set, protocol)
        np.testing.assert_allclose(result.similarities, alone.similarities, atol=1e-6)
        assert result.scores() == alone.scores() and result.class_names == alone.class_names


def test_recalls_are_those_of_stored_embeddings(evaluation, models, test_set):
    from utils.clip import embed_texts

    captioned = test_set.captioned()
    captions = [item.captions for item in captioned]
    for number, model in enumerate(models):
        images, texts = embed_dataset(model, captioned)[0], embed_texts(model, distinct_captions(captions))
        for matching, results in evaluation.retrieval.items():
            alone = score_retrieval(images, texts, captions, matching)
            assert list(results.values())[number].recalls == pytest.approx(alone.recalls, abs=1e-12)


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
    assert len(result.labels) == 30 and result.protocol == "vt_rsbs"
    with pytest.raises(ValueError, match="same order"):
        evaluate(*models, named, with_class_lists=listed[::-1])


def test_what_is_written_can_be_read_and_is_what_was_measured(evaluation, tmp_path):
    folder = evaluation.write(tmp_path / "new" / "evaluation")
    content = json.loads((folder / "evaluation.json").read_text())
    assert content == json.loads(json.dumps(evaluation.as_json()))
    documents = content["zero_shot"]["documents"]
    assert documents["scores"]["fine-tuned"]["1"]["value"] == evaluation.zero_shot["documents"]["fine-tuned"].score(1)
    assert documents["gain"]["1"]["low"] <= documents["gain"]["1"]["value"] <= documents["gain"]["1"]["high"]
    page = (folder / "README.md").read_text()
    for name in ("scores.png", "categories.png", "confusion.png"):
        assert f"({name})" in page and (folder / name).read_bytes().startswith(b"\x89PNG")
    assert f"{documents['scores']['baseline']['1']['value']:.3f}" in page
    assert not list(folder.glob(".*"))


def test_a_warning_stands_before_the_figures(models, test_set):
    text = summary_text(evaluate(*models, test_set[:12], warning="Seen in training.").as_json())
    assert text.startswith("**Warning:** Seen in training.")


def test_the_summary_of_figures_made_by_hand():
    def figures(first: float) -> dict[str, dict[str, float]]:
        return {str(k): {"value": first + k / 100, "low": 0.0, "high": 0.5} for k in PUBLISHED_KS}

    documents, split, ensemble = (
        {"scores": {"old": figures(start), "new": figures(start + 0.2)}, "gain": figures(-0.02)}
        for start in (0.1, 0.2, 0.3)
    )
    documents |= {"images": 1027, "classes": ["beach", "port"], "templates": ["A {}", "B {}"]}
    mean = {name: {"value": 0.3, "low": 0.25, "high": 0.35} for name in ("old", "new")}
    gain = {"value": -0.004, "low": -0.01, "high": 0.002}
    content = {
        "zero_shot": {"documents": documents, "split_names": split, "ensemble": ensemble},
        "retrieval": {"strict": {"mean_recall": mean, "mean_recall_gain": gain}},
        "data": "rsicd test",
        "images": 1093,
        "captions": 5465,
        "warning": "",
        "intervals": "bootstrap",
    }
    table = summary_table(content).splitlines()
    assert table[0] == "| | k=1 | k=3 | k=5 | k=10 | split names, k=1 | ensemble, k=1 | mean recall |"
    assert table[1] == "|---|---|---|---|---|---|---|---|"
    shown = [[cell.split(" (")[0] for cell in row.strip("| ").split(" | ")] for row in table[2:]]
    assert shown == [
        ["old", "0.110", "0.130", "0.150", "0.200", "0.210", "0.310", "0.300"],
        ["new", "0.310", "0.330", "0.350", "0.400", "0.410", "0.510", "0.300"],
        ["gain", "-0.010", "+0.010", "+0.030", "+0.080", "-0.010", "-0.010", "-0.004"],
    ]
    assert table[2].endswith(" | 0.300 (0.250 to 0.350) |")
    assert table[4].endswith(" | -0.004 (-0.010 to +0.002) |")
    first, empty, *rest = summary_text(content).splitlines()
    assert first == (
        'rsicd test: zero-shot score@k of 1,027 images with a category among 2, prompt "A {}", names unsplit unless '
        "said; retrieval over all 1,093 images and 5,465 captions, mean of the six recalls, strict. In brackets: "
        "bootstrap."
    )
    assert empty == "" and rest == table
    warned = summary_text(content | {"warning": "Seen."}).splitlines()
    assert warned == ["**Warning:** Seen.", "", first, "", *table]
    heads = summary_table(content | {"prompt": "ensemble"}).splitlines()[0]
    assert heads == "| | k=1 | k=3 | k=5 | k=10 | split names, k=1 | mean recall |"
    bare = summary_table(content | {"retrieval": {}}).splitlines()
    assert bare == [line.rsplit(" |", 2)[0] + " |" for line in table[:1]] + ["|---" * 7 + "|"] + [
        line.rsplit(" |", 2)[0] + " |" for line in table[2:]
    ]


def test_a_custom_prompt_is_scored_beside_the_protocols_and_leads_the_report(models, test_set, tmp_path):
    evaluation = evaluate(*models, test_set[:12], prompt="seen: {}")
    assert list(evaluation.zero_shot)[-1] == "seen: {}" and "documents" in evaluation.zero_shot
    content = evaluation.as_json()
    assert content["prompt"] == "seen: {}" and content["zero_shot"]["seen: {}"]["templates"] == ["seen: {}"]
    shown = f"{content['zero_shot']['seen: {}']['scores']['baseline']['3']['value']:.3f}"
    assert 'prompt "seen: {}" (split names' in summary_text(content)
    assert summary_table(content).splitlines()[2].split(" | ")[2].startswith(shown)
    assert "**seen: {}.** A custom prompt." in (evaluation.write(tmp_path) / "README.md").read_text()


def test_what_each_image_did_is_kept_and_gives_the_scores_again(models, test_set, tmp_path):
    evaluation = evaluate(*models, test_set[:12], prompt="script")
    content = read_predictions(evaluation.write(tmp_path / "one"))
    result = evaluation.zero_shot["script"]["fine-tuned"]
    for k in PUBLISHED_KS:
        assert values_of(content, f"finetuned_top{k}").mean == pytest.approx(result.score(k))
    split = evaluation.zero_shot["split_names"]["baseline"]
    assert values_of(content, "baseline_split_names_top1").mean == pytest.approx(split.score())
    recalls = values_of(content, "finetuned_mean_recall")
    assert recalls.mean == pytest.approx(evaluation.retrieval["strict"]["fine-tuned"].mean_recall)
    assert content["zero_shot"]["predicted"]["fine-tuned"][0] == result.class_names[result.predictions[0]]
    assert values_of(content, "test_images") is None and values_of({}, "finetuned_top1") is None
    assert read_predictions(tmp_path) == {}

    other = evaluate(*models, test_set[:12][::-1], prompt="script").per_image()
    rows = aligned([recalls, values_of(other, "finetuned_mean_recall")])
    np.testing.assert_allclose(*rows)
    assert not np.allclose(recalls.values, recalls.values[::-1]), "the order has mattered"
    fewer = evaluate(*models, test_set[:11], prompt="script").per_image()
    assert aligned([recalls, values_of(fewer, "finetuned_mean_recall")]) is None


def test_images_without_captions_have_no_retrieval(models, test_set):
    bare = CaptionDataset([replace(item, captions=()) for item in test_set.named()[:6]], "bare")
    evaluation = evaluate(*models, bare)
    assert evaluation.retrieval == {} and "mean recall" not in summary_text(evaluation.as_json()).splitlines()[2]
    with pytest.raises(ValueError, match="'vt_rsbs' counts other images"):
        evaluate(*models, bare, prompt="vt_rsbs")
    nothing = CaptionDataset([replace(item, category=None, captions=()) for item in test_set[:3]], "nothing")
    with pytest.raises(ValueError, match="No image of nothing has a category"):
        evaluate(*models, nothing)


def test_images_without_categories_have_retrieval_and_no_zero_shot(models, test_set, tmp_path):
    from dataclasses import replace

    nameless = CaptionDataset([replace(item, category=None) for item in test_set[:6]], "nameless")
    evaluation = evaluate(*models, nameless)
    folder = evaluation.write(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "evaluation.json", "predictions.json"]
    assert read_predictions(folder).keys() == {"data", "retrieval"}
    page = (folder / "README.md").read_text()
    assert "no image has a category" in page and "## Zero-shot" not in page and ".png" not in page
    lines = summary_text(evaluation.as_json()).splitlines()
    assert lines[2] == "| | mean recall |"
    value = evaluation.retrieval["strict"]["baseline"].mean_recall
    assert lines[4].startswith(f"| baseline | {value:.3f} (") and lines[6].startswith("| gain | ")


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


def test_the_card_keeps_what_stands_around_the_evaluation(tmp_path):
    card = tmp_path / "README.md"
    card.write_text("# A model\n\n<!-- evaluation -->\nold\n<!-- end of evaluation -->\n\n## Limits\n")
    content = by_hand().as_json()
    add_to_card(tmp_path, content)
    assert card.read_text() == (
        f"# A model\n\n<!-- evaluation -->\n## Evaluation\n\n{summary_text(content)}\n<!-- end of evaluation -->\n\n"
        "## Limits\n"
    )


def test_the_command_fills_a_page(tmp_path, monkeypatch):
    content = by_hand().as_json()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "evaluation.json").write_text(json.dumps(content))
    page = tmp_path / "README.md"
    page.write_text("<!-- measured: here -->\nold\n<!-- end -->\n")
    monkeypatch.setattr("sys.argv", ["utils.evaluation", str(page)])
    main()
    assert page.read_text() == f"<!-- measured: here -->\n{summary_text(content)}\n<!-- end -->\n"


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
