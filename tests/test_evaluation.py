"""Zero-shot scores: matrices made by hand, torch's topk, a tiny model under every protocol, tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_world import colors

from utils.category_names import SPLIT_NAMES
from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.datasets.loading import UCM_CATEGORIES
from utils.evaluation import (
    PROMPT_TEMPLATES,
    PROTOCOLS,
    Protocol,
    ZeroShotResult,
    as_protocol,
    bootstrap,
    class_prompts,
    classify,
    embed_classes,
    score_table,
    zero_shot,
)

NAMES = ("beach", "forest", "port")


def result(similarities, labels) -> ZeroShotResult:
    return ZeroShotResult(NAMES, np.array(labels), np.array(similarities, np.float32))


def unit(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows = generator.normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


BY_HAND = result([[0.9, 0.1, 0.0], [0.2, 0.1, 0.8], [0.5, 0.6, 0.4], [0.1, 0.2, 0.3]], [0, 0, 0, 2])


# --- scores -----------------------------------------------------------------------------------------------


def test_scores_by_hand():
    assert BY_HAND.ranks.tolist() == [0, 1, 1, 0]
    assert BY_HAND.scores((1, 2, 3)) == {1: 0.5, 2: 1.0, 3: 1.0}
    assert BY_HAND.hits().tolist() == [True, False, False, True]
    assert BY_HAND.score() == BY_HAND.interval().value == 0.5
    assert BY_HAND.per_class() == {"beach": pytest.approx(1 / 3), "port": 1.0}
    assert BY_HAND.confusion().tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 1]]


def test_of_equal_similarities_the_first_name_wins():
    tied = result([[0.5, 0.5, 0.5]] * 3, [0, 1, 2])
    assert tied.ranks.tolist() == [0, 1, 2]
    assert tied.predictions.tolist() == [0, 0, 0]
    # Many classes, since short rows happen to be sorted stably.
    generator = np.random.default_rng(0)
    rows, labels = generator.integers(0, 3, (20, 60)), generator.integers(0, 60, 20)
    many = ZeroShotResult(tuple(map(str, range(60))), labels, rows.astype(np.float32))
    for rank, row, label in zip(many.ranks, rows.tolist(), labels, strict=True):
        assert rank == sorted(range(60), key=lambda number: -row[number]).index(label)


def test_score_at_k_is_what_torch_topk_gives():
    import torch

    generator = np.random.default_rng(0)
    similarities = generator.normal(size=(500, 30)).astype(np.float32)
    labels = generator.integers(0, 30, 500)
    ours = ZeroShotResult(tuple(map(str, range(30))), labels, similarities)
    for k in (1, 3, 5, 10):
        best = torch.from_numpy(similarities).topk(k, dim=1).indices
        expected = (best == torch.from_numpy(labels)[:, None]).any(dim=1).double().mean().item()
        assert ours.score(k) == pytest.approx(expected, abs=1e-12)


def test_interval_is_the_bootstrap_of_the_hits():
    generator = np.random.default_rng(0)
    ours = ZeroShotResult(NAMES, generator.integers(0, 3, 200), generator.normal(size=(200, 3)))
    assert ours.interval(2, seed=7) == bootstrap(ours.ranks < 2, seed=7)
    assert ours.interval(2).value == pytest.approx(ours.score(2))
    with pytest.raises(ValueError, match="k counts from 1"):
        ours.score(0)


def test_order_of_images_does_not_matter():
    generator = np.random.default_rng(1)
    images, prompts = unit(generator, (40, 8)), unit(generator, (3, 8))
    categories = [NAMES[number] for number in generator.integers(0, 3, 40)]
    order = generator.permutation(40)
    one = classify(images, prompts, categories, NAMES)
    other = classify(images[order], prompts, [categories[number] for number in order], NAMES)
    assert one.scores((1, 2)) == other.scores((1, 2))
    assert one.per_class() == other.per_class()


def test_what_cannot_be_scored_is_said_in_a_sentence():
    images, prompts = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="no name for the categories desert, lake"):
        classify(images, prompts, ["lake", "port", "desert"], NAMES)
    with pytest.raises(ValueError, match=r"2 \(image\) and 3 \(prompt\) dimensions.*same model"):
        classify(np.eye(2, dtype=np.float32)[[0, 1, 1]], prompts, ["beach"] * 3, NAMES)
    with pytest.raises(ValueError, match="2 image embeddings do not fit 3 names"):
        classify(images[:2], prompts, ["beach"] * 3, NAMES)
    with pytest.raises(ValueError, match="2 prompt embeddings do not fit 3 names"):
        classify(images, prompts[:2], ["beach"] * 3, NAMES)
    long, short = (1.025, "not of unit length"), (0.975, "not of unit length")
    for factor, message in ((np.nan, "zero or not finite"), (0, "zero or not finite"), long, short):
        with pytest.raises(ValueError, match=f"3 of 3 image embeddings .*row 0.* are {message}"):
            classify(images * factor, prompts, ["beach"] * 3, NAMES)
        with pytest.raises(ValueError, match=f"3 of 3 prompt embeddings .*row 0.* are {message}"):
            classify(images, prompts * factor, ["beach"] * 3, NAMES)
    assert classify(images * 1.015, prompts, ["beach"] * 3, NAMES).score() == 1 / 3, "as 16 bits may round"
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        classify(images[0], prompts, ["beach"] * 3, NAMES)


# --- protocols --------------------------------------------------------------------------------------------


def test_prompts_as_published_and_split():
    assert PROMPT_TEMPLATES == {
        "documents": "An aerial photograph of {}",
        "script": "Aerial photograph of {}",
        "notebook": "An arial photograph of a {}",
    }
    unsplit = class_prompts(["storagetanks", "beach"], PROMPT_TEMPLATES["documents"])
    assert unsplit == ["An aerial photograph of storagetanks", "An aerial photograph of beach"]
    split = replace(PROTOCOLS["notebook"], split_names=True)
    assert split.prompts("storagetanks") == ("An arial photograph of a storage tanks",)
    assert PROTOCOLS["split_names"].prompts("parkinglot") == ("An aerial photograph of parking lot",)
    assert PROTOCOLS["vt_rsbs"].prompts("storage tanks") == ("a remote sensing image of a storage tanks",)
    script = replace(PROTOCOLS["script"], split_names=True)
    assert script.prompts("bareland") == ("Aerial photograph of bare land",)


def test_every_protocol_says_in_one_sentence_what_it_is():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.description.endswith((".", "?")) and len(protocol.description) < 130
    assert [name for name, protocol in PROTOCOLS.items() if protocol.split_names] == ["split_names", "ensemble"]
    assert [name for name, protocol in PROTOCOLS.items() if protocol.class_lists] == ["vt_rsbs"]
    assert len(set(PROTOCOLS["ensemble"].templates)) == 18


def test_split_names_only_insert_spaces_and_cover_what_needs_some(shared):
    assert all(name == split.replace(" ", "") for name, split in SPLIT_NAMES.items())
    lists = {path.stem for path in (shared / "data" / "RSICD" / "txtclasses_rsicd").glob("*.txt")}
    assert {name for name in lists if " " in name} <= set(SPLIT_NAMES.values())


def test_split_names_of_uc_merced():
    # As the data set's own page writes its 21 classes, but for its plural and singular forms.
    words = "agricultural airplane baseball-diamond beach buildings chaparral dense-residential forest freeway \
        golf-course harbor intersection medium-residential mobile-home-park overpass parking-lot river runway \
        sparse-residential storage-tanks tennis-court"
    assert [SPLIT_NAMES.get(name, name) for name in UCM_CATEGORIES] == [
        word.replace("-", " ") for word in words.split()
    ]


def test_a_protocol_needs_a_place_for_the_name():
    for template in ("no place for a name", "{} and {}"):
        with pytest.raises(ValueError, match="exactly one"):
            class_prompts(NAMES, template)
    with pytest.raises(ValueError, match="needs templates"):
        Protocol("empty", ())
    assert class_prompts(["port"], "{0} or {}") == ["{0} or port"]


def test_a_protocol_may_be_named_given_or_written_down():
    script = PROTOCOLS["script"]
    assert as_protocol("script") is as_protocol(script) is script
    assert as_protocol("seen: {}") == Protocol("seen: {}", ("seen: {}",), "A custom prompt.")
    with pytest.raises(ValueError, match="no protocol 'scripts'; choose one of documents, script"):
        as_protocol("scripts")


def test_an_ensemble_by_hand(monkeypatch):
    vectors = {"a x": (1, 0), "b x": (0.6, 0.8), "a y": (0, 1), "b y": (0, 1), "a z": (1, 0), "b z": (-1, 0)}
    monkeypatch.setattr("utils.clip.embed_texts", lambda _, texts: np.array([vectors[text] for text in texts], float))
    pair = Protocol("pair", ("a {}", "b {}"))
    classes, prompts = embed_classes(None, ["x", "y"], pair)
    assert classes == pytest.approx(np.array([(2, 1), (0, 5**0.5)]) / 5**0.5)
    assert prompts == [("a x", "b x"), ("a y", "b y")]
    alone, _ = embed_classes(None, ["x", "y"], Protocol("one", ("b {}",)))
    assert alone.tolist() == [[0.6, 0.8], [0, 1]]
    with pytest.raises(ValueError, match="cancel each other out"):
        embed_classes(None, ["x", "z"], pair)
    for names in ([], ["x", "x"]):
        with pytest.raises(ValueError, match="class names that differ, at least one"):
            embed_classes(None, names, pair)


# --- a model ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> CaptionDataset:
    return colors(tmp_path_factory.mktemp("colors"), 16)


def test_a_classifier_of_one_template_is_its_prompts(model):
    from utils.clip import embed_texts

    vectors, prompts = embed_classes(model, ["bareland", "port"], "documents")
    assert prompts == [("An aerial photograph of bareland",), ("An aerial photograph of port",)]
    expected = embed_texts(model, ["An aerial photograph of bareland", "An aerial photograph of port"])
    assert vectors == pytest.approx(expected, abs=1e-6)


def test_an_ensemble_is_the_mean_of_torchs_unit_vectors_at_unit_length(model, folder):
    import torch
    from transformers import CLIPModel, CLIPTokenizer

    templates = ("a {}", "port of {}", "fair {}")
    ours, prompts = embed_classes(model, ["red", "blue"], Protocol("mine", templates))
    assert prompts[1] == ("a blue", "port of blue", "fair blue")
    reference, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    for vector, texts in zip(ours, prompts, strict=True):
        with torch.no_grad():
            output = reference.get_text_features(**tokenizer(list(texts), padding=True, return_tensors="pt"))
        features = getattr(output, "pooler_output", output)
        mean = torch.nn.functional.normalize(features, dim=-1).mean(dim=0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=2e-5)


def test_zero_shot_is_classify_on_embeddings(model, pictures):
    from utils.clip import embed_images
    from utils.datasets import eval_batches

    found = zero_shot(model, pictures, "ensemble")
    images = embed_images(model, eval_batches(pictures, model.preprocessing, batch_size=5))
    vectors, _ = embed_classes(model, pictures.categories, "ensemble")
    stored = classify(images, vectors, [item.category for item in pictures], pictures.categories)
    assert found.similarities == pytest.approx(stored.similarities, abs=1e-6)
    assert found.scores() == stored.scores()
    assert (found.protocol, found.dataset) == ("ensemble", "colors")


def test_several_models_may_share_decoded_pictures(model, pictures, monkeypatch):
    from utils import datasets

    decoded = []
    monkeypatch.setattr(
        "utils.datasets.captioned_image.read_image",
        lambda path, how: decoded.append(path) or datasets.read_image(path, how),
    )
    kept, alone = pictures.with_cache(), zero_shot(model, pictures)
    decoded.clear()
    first, second = (zero_shot(model, kept) for _ in range(2))
    assert len(decoded) == len(pictures)
    for found in (first, second):
        np.testing.assert_array_equal(found.similarities, alone.similarities)


def test_a_prompt_may_stand_for_a_protocol(model, pictures):
    own = zero_shot(model, pictures, "Aerial photograph of {}")
    named = zero_shot(model, pictures, "script")
    assert np.array_equal(own.similarities, named.similarities)
    with pytest.raises(ValueError, match="no protocol 'scripts'; choose one of documents, script"):
        zero_shot(model, pictures, "scripts")


def test_images_without_a_category(model, pictures):
    unnamed = [CaptionedImage(item.path, (), None, None, "") for item in pictures]
    mixed = CaptionDataset([*unnamed, *pictures], "mixed")
    assert np.array_equal(zero_shot(model, mixed).labels, zero_shot(model, pictures).labels)
    with pytest.raises(ValueError, match="No image of bare has a category"):
        zero_shot(model, CaptionDataset(unnamed, "bare"))
    with pytest.raises(ValueError, match=r"'vt_rsbs' counts every image, but 16 of 32 in mixed.*class_lists=True"):
        zero_shot(model, mixed, "vt_rsbs")
    assert len(zero_shot(model, pictures, "vt_rsbs").labels) == 16


def test_scores_do_not_depend_on_batches_or_order(model, pictures):
    one = zero_shot(model, pictures, batch_size=5)
    order = np.random.default_rng(0).permutation(16)
    other = zero_shot(model, CaptionDataset([pictures[n] for n in order], "colors"), batch_size=16)
    assert other.similarities == pytest.approx(one.similarities[order], abs=1e-6)
    assert one.scores() == other.scores() and one.per_class(3) == other.per_class(3)


@pytest.mark.parametrize(("ending", "options"), [("bmp", {}), ("webp", {"lossless": True, "exact": True}), ("tif", {})])
def test_scores_do_not_depend_on_the_lossless_encoding(model, pictures, tmp_path, ending, options):
    items = []
    for item in pictures:
        path = tmp_path / f"{Path(item.path).stem}.{ending}"
        Image.open(item.path).save(path, **options)
        items.append(replace(item, path=path))
    again = zero_shot(model, CaptionDataset(items, "colors"))
    assert again.similarities == pytest.approx(zero_shot(model, pictures).similarities, abs=1e-6)


def test_table_says_how_it_was_taken(model, pictures):
    found = zero_shot(model, pictures)
    lines = score_table({"tiny": found, "made": BY_HAND}).splitlines()
    assert (
        lines[0]
        == "| model | protocol | data | images | captions | classes | "
        + " | ".join(f"score@{k}" for k in (1, 3, 5, 10))
        + " |"
    )
    assert lines[2].startswith("| tiny | documents | colors | 16 | none | 8 | ")
    assert lines[2].endswith("| 8 | " + " | ".join(str(found.interval(k)) for k in (1, 3, 5, 10)) + " |")
    assert lines[3].startswith("| made | not named | not named | 4 | none | 3 | 0.500 (")


def test_protocols_meet_the_published_test_split(shared):
    rsicd = load_dataset("rsicd", shared / "data", split="test")
    assert (len(rsicd), len(rsicd.named()), len(rsicd.named().categories)) == (1093, 1027, 30)
    listed = load_dataset("rsicd", shared / "data", split="test", class_lists=True)
    assert (len(listed.named()), len(listed.categories)) == (1093, 31)
