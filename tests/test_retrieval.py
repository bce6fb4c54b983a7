"""Retrieval recalls on matrices made by hand, against the field's definition, and against published ceilings."""

import tracemalloc
import warnings

import numpy as np
import pytest
from training_world import colors

from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.evaluation import (
    bootstrap,
    distinct_captions,
    embed_dataset,
    evaluate,
    paired_bootstrap,
    ranking,
    recall_table,
    retrieval_ceiling,
    retrieval_ranks,
    score_retrieval,
)

I2T, T2I = "image_to_text_recall_at_", "text_to_image_recall_at_"


def unit(seed: int, shape: tuple[int, int]) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def shared_captions(images: int, words: int, seed: int = 0) -> list[list[str]]:
    """Five captions an image out of few, so that they repeat within images and between them."""
    return [[f"caption {n}" for n in row] for row in np.random.default_rng(seed).integers(words, size=(images, 5))]


def made_up(images: int = 60, words: int = 40, dim: int = 6) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    captions = shared_captions(images, words)
    return unit(1, (images, dim)), unit(2, (len(distinct_captions(captions)), dim)), captions


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_embeddings_of_any_type_are_compared_in_float32(dtype):
    *crowds, captions = made_up(dim=32)
    # As in small models all point about one way, so that similarities in 16 bits would tie.
    crowds = [np.float32(0.05) * rows + np.float32(32**-0.5) for rows in crowds]
    images, texts = ((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype) for rows in crowds)
    got = score_retrieval(images, texts, captions)
    expected = score_retrieval(images.astype(np.float32), texts.astype(np.float32), captions)
    np.testing.assert_array_equal(got.image_to_text, expected.image_to_text)
    np.testing.assert_array_equal(got.text_to_image, expected.text_to_image)


# --- the field's way --------------------------------------------------------------------------------------


def field_recalls(images: np.ndarray, occurrences: np.ndarray, image_of: np.ndarray) -> dict[str, float]:
    """CLIP_benchmark's definition in its own shapes: scores (texts, images), positive pairs, top k by torch."""
    import torch

    scores = torch.from_numpy(occurrences) @ torch.from_numpy(images).T
    positive = torch.from_numpy(image_of)[:, None] == torch.arange(len(images))
    recalls = {}
    for name, matrix, right in ((I2T, scores.T, positive.T), (T2I, scores, positive)):
        for k in (1, 5, 10):
            best = matrix.topk(k, dim=1).indices
            recalls[f"{name}{k}"] = right.gather(1, best).any(dim=1).double().mean().item()
    return recalls


def test_without_shared_captions_strict_is_the_fields_definition():
    images, texts = unit(0, (80, 6)), unit(1, (400, 6))
    captions = [[f"{image} {number}" for number in range(5)] for image in range(80)]
    result = score_retrieval(images, texts, captions)
    expected = field_recalls(images, texts, np.repeat(np.arange(80), 5))
    assert result.recalls == pytest.approx(expected, abs=1e-12)
    assert result.mean_recall == pytest.approx(np.mean(list(expected.values())))
    assert set(result.ceilings.values()) == {1.0}
    assert result.image_to_text.shape == (80, 3) and result.text_to_image.shape == (400, 3)


def test_with_shared_captions_strict_is_what_the_field_gets_on_average_over_the_order_of_files():
    images, texts, captions = made_up()
    position = {text: number for number, text in enumerate(distinct_captions(captions))}
    rows = np.array([[position[text] for text in own] for own in captions])
    occurrences, image_of = texts[rows.ravel()], np.repeat(np.arange(60), 5)
    generator, found = np.random.default_rng(0), []
    for _ in range(300):
        # Noise far below any difference between texts decides ties between equal ones at random.
        noise = 1e-6 * generator.normal(size=occurrences.shape).astype(np.float32)
        found.append(field_recalls(images, occurrences + noise, image_of))
    result = score_retrieval(images, texts, captions)
    for name, value in result.recalls.items():
        several = [one[name] for one in found]
        assert value == pytest.approx(np.mean(several), abs=0.003), name
        if name.startswith(T2I):  # nothing ties here: no two images are equal
            assert np.ptp(several) < 0.01
    assert np.ptp([one[f"{I2T}1"] for one in found]) > 0.02, "the field's figure does depend on the order"


def test_by_hand():
    # Image 0 says a a b, image 1 says b, image 2 says c; the distinct texts are a, b, c.
    captions = [["a", "a", "b"], ["b"], ["c"]]
    images = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    texts = np.array([[0.6, 0.8], [0, 1], [1, 0]], np.float32)
    # Similarities, image by text: 0: .6 0 1; 1: .8 1 0; 2: 1 .8 .6. In texts there are two a, two b and one c.
    strict, aware = (score_retrieval(images, texts, captions, way) for way in ("strict", "duplicate_aware"))
    # Image 0 finds c, then both a. Image 1 finds two b, of which one is its own. Image 2 finds a a b b c.
    assert strict.image_to_text[:, 0].tolist() == [0, 0.5, 0]
    assert aware.image_to_text[:, 0].tolist() == [0, 1, 0]
    assert strict.image_to_text[:, 1].tolist() == aware.image_to_text[:, 1].tolist() == [1, 1, 1]
    # a finds image 2 first and 0 last; b finds image 1 before 0; c finds image 0 before its own.
    assert strict.caption_images.tolist() == [0, 0, 0, 1, 2]
    assert strict.text_to_image[:, 0].tolist() == [0, 0, 0, 1, 0]
    assert aware.text_to_image[:, 0].tolist() == [0, 0, 1, 1, 0], "the first image too owns a caption b"
    assert strict.recalls[f"{T2I}1"] == pytest.approx(1 / 5)
    assert aware.recalls[f"{T2I}1"] == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("above", "wrong", "right"), [(0, 0, 1), (0, 3, 1), (1, 5, 2), (4, 2, 3), (6, 9, 9), (12, 0, 1)]
)
def test_chance_of_a_hit_is_the_hypergeometric_distributions(above, wrong, right):
    from scipy.stats import hypergeom

    places = ranking.Places(*(np.array([number]) for number in (above, wrong, right)))
    for k in (1, 5, 10):
        taken = min(max(k - above, 0), wrong + right)
        expected = 1 - hypergeom(wrong + right, right, taken).pmf(0)
        assert places.hit_chances(k)[0] == pytest.approx(expected, abs=1e-12)


def test_a_model_that_ranks_all_alike_scores_as_guessing_does():
    captions = [[f"{image} {number}" for number in range(5)] for image in range(20)]
    same = np.ones((20, 4), np.float32) / 2
    recalls = score_retrieval(same, np.repeat(same, 5, axis=0), captions).recalls
    assert [recalls[f"{T2I}{k}"] for k in (1, 5, 10)] == pytest.approx([1 / 20, 5 / 20, 10 / 20])
    assert recalls[f"{I2T}1"] == pytest.approx(5 / 100)


@pytest.mark.parametrize("seed", range(4))
def test_duplicate_aware_is_never_below_strict(seed):
    captions = shared_captions(50, 20, seed)
    images, texts = unit(seed, (50, 4)), unit(seed + 9, (len(distinct_captions(captions)), 4))
    strict, aware = (score_retrieval(images, texts, captions, way) for way in ("strict", "duplicate_aware"))
    assert (aware.image_to_text >= strict.image_to_text - 1e-12).all()
    assert (aware.text_to_image >= strict.text_to_image).all()
    assert aware.mean_recall > strict.mean_recall


def test_order_of_images_does_not_matter():
    images, texts, captions = made_up()
    order = np.random.default_rng(5).permutation(len(images))
    shuffled = [captions[number] for number in order]
    row = {text: number for number, text in enumerate(distinct_captions(captions))}
    rows = [row[text] for text in distinct_captions(shuffled)]
    one, other = (score_retrieval(images, texts, captions), score_retrieval(images[order], texts[rows], shuffled))
    assert one.recalls == pytest.approx(other.recalls, abs=1e-12)
    assert np.array_equal(one.image_to_text[order], other.image_to_text)


# --- ceilings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "images", "published"),
    [("rsicd", 1093, (92.6, 99.2, 99.8)), ("ucm", 210, (38.0, 84.6, 100)), ("sydney", 58, (50.7, 93.8, 100))],
)
def test_ceilings_are_the_published_ones(shared, name, images, published):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # most pictures of Sydney are absent; their captions are not
        split = load_dataset(name, shared / "data", split="test")
    captions = [item.captions for item in (*split, *split.missing)]
    assert len(captions) == images
    ceiling = retrieval_ceiling(captions)
    assert tuple(round(100 * ceiling[f"{T2I}{k}"], 1) for k in (1, 5, 10)) == published


def test_a_model_that_knows_the_words_reaches_the_ceiling_and_all_of_the_other_rule():
    captions = [["forest"], ["forest"], ["forest", "port"], ["beach"]]
    texts = np.eye(3, dtype=np.float32)  # forest, port, beach
    images = texts[[0, 0, 1, 2]] + texts[[0, 0, 0, 2]]
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    images[2] = (0.99999, 0.00447, 0)  # the port is in a forest, and hardly behind the other two
    strict = score_retrieval(images / np.linalg.norm(images, axis=1, keepdims=True), texts, captions)
    assert strict.ceilings[f"{T2I}1"] == pytest.approx((3 * (1 / 3) + 1 + 1) / 5)
    # Images 0 and 1 share their only caption with two others; the third has the port, which is its own.
    assert strict.ceilings[f"{I2T}1"] == pytest.approx((1 / 3 + 1 / 3 + 1 + 1) / 4)
    assert strict.ceilings[f"{I2T}5"] == strict.ceilings[f"{T2I}5"] == 1
    aware = score_retrieval(texts[[0, 0, 1, 2]], texts, captions, "duplicate_aware")
    assert aware.recalls[f"{I2T}1"] == 1 and set(aware.ceilings.values()) == {1.0}


def test_ceiling_counts_a_caption_as_often_as_it_asks():
    ceiling = retrieval_ceiling([["x", "x", "y"], ["x"]])
    # x asks three times, each time for one of two images; y asks once and is sure.
    assert ceiling[f"{T2I}1"] == pytest.approx((3 / 2 + 1) / 4)
    # The first image has y to itself; of the three x one belongs to the second image.
    assert ceiling[f"{I2T}1"] == pytest.approx((1 + 1 / 3) / 2)


def test_images_without_captions_have_no_ceiling():
    with pytest.raises(ValueError, match=r"2 of 3 images have no caption .*number 1"):
        retrieval_ceiling([["x"], [], []])
    with pytest.raises(ValueError, match="no captions to retrieve by"):
        retrieval_ceiling([])


# --- blocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matching", ["strict", "duplicate_aware"])
def test_in_blocks_as_at_once(monkeypatch, matching):
    images, texts, captions = made_up(200, 150)
    whole = score_retrieval(images, texts, captions, matching)
    for cells in (7 * 200, 1):  # a few queries at once, and one
        monkeypatch.setattr(ranking, "SIMILARITIES_AT_ONCE", cells)
        pieces = score_retrieval(images, texts, captions, matching)
        assert np.array_equal(whole.image_to_text, pieces.image_to_text)
        assert np.array_equal(whole.text_to_image, pieces.text_to_image)


def test_memory_is_bounded_by_embeddings_and_blocks(monkeypatch):
    captions = [[f"{image} {number}" for number in range(5)] for image in range(2000)]
    images, texts = unit(0, (2000, 8)), unit(1, (10_000, 8))
    monkeypatch.setattr(ranking, "SIMILARITIES_AT_ONCE", 2**19)
    tracemalloc.start()
    score_retrieval(images, texts, captions)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # the whole matrix of similarities alone would take 80 MB


# --- recall by which training is judged -------------------------------------------------------------------


def recalls_in_training(images: np.ndarray, texts: np.ndarray, sets: np.ndarray) -> dict[str, float]:
    ranks = retrieval_ranks(images, texts, sets)
    return {f"{direction}_recall_at_{k}": np.mean(of < k) for direction, of in ranks.items() for k in (1, 5, 10)}


def test_training_recall_by_hand():
    # Texts: 0 "a", 1 "b", 2 "c". Image 0 owns a and b, image 1 owns b, image 2 owns c.
    sets = np.array([[0, 1], [1, -1], [2, -1]])
    images = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    texts = np.array([[0.8, 0.6], [0, 1], [0.6, 0.8]], np.float32)
    got = recalls_in_training(images, texts, sets)
    # Image 0 finds a; image 1 finds b; image 2 finds a first and c second. Text a finds image 0, but image 2
    # is as near and wrong; b finds image 1; c finds image 1, then 0 and 2 together, of which 0 is wrong.
    assert got["image_to_text_recall_at_1"] == pytest.approx(2 / 3)
    assert got["text_to_image_recall_at_1"] == pytest.approx(1 / 3)
    assert got["image_to_text_recall_at_5"] == got["text_to_image_recall_at_5"] == 1


def test_training_recall_in_blocks_is_that_of_a_plain_loop(monkeypatch):
    rng = np.random.default_rng(0)
    images, texts = unit(1, (40, 6)), unit(2, (30, 6))
    sets = np.array([rng.choice(30, 3, replace=False) for _ in range(40)])
    sets[:30, 0] = np.arange(30)
    sets[5, 2] = -1
    sets[[row for row in range(40) if len(set(sets[row])) < 3], 1:] = -1
    monkeypatch.setattr(ranking, "SIMILARITIES_AT_ONCE", 7 * 40)
    got = recalls_in_training(images, texts, sets)
    for k in (1, 5, 10):
        hits = [set(np.argsort(-row)[:k]) & set(own) for row, own in zip(images @ texts.T, sets, strict=True)]
        assert got[f"image_to_text_recall_at_{k}"] == pytest.approx(np.mean([bool(hit) for hit in hits]))
        owners = [set(np.nonzero((sets == number).any(axis=1))[0]) for number in range(30)]
        hits = [set(np.argsort(-row)[:k]) & own for row, own in zip(texts @ images.T, owners, strict=True)]
        assert got[f"text_to_image_recall_at_{k}"] == pytest.approx(np.mean([bool(hit) for hit in hits]))


def test_no_queries_have_no_ranks():
    nothing = np.zeros((0, 4), np.float32)
    ranks = retrieval_ranks(nothing, nothing, np.zeros((0, 5), int))
    assert {direction: of.tolist() for direction, of in ranks.items()} == {"image_to_text": [], "text_to_image": []}


def test_in_training_a_model_that_ranks_all_alike_earns_nothing():
    ones = np.ones((20, 4), np.float32) / 2
    assert set(recalls_in_training(ones, ones, np.arange(20)[:, None]).values()) == {0.0}


# --- intervals and tables ---------------------------------------------------------------------------------


def test_interval_draws_images_with_their_captions():
    images, texts, captions = made_up()
    result = score_retrieval(images, texts, captions)
    hits = result.text_to_image[:, 1].reshape(60, 5)
    ours, by_image = result.interval(f"{T2I}5", seed=4), bootstrap(hits.mean(axis=1), seed=4)
    assert (ours.low, ours.high) == (pytest.approx(by_image.low), pytest.approx(by_image.high))
    assert ours.value == pytest.approx(result.recalls[f"{T2I}5"])
    mean = result.interval()
    assert mean.value == pytest.approx(result.mean_recall) and mean.low < mean.value < mean.high
    with pytest.raises(ValueError, match="'recall' is not in list"):
        result.interval("recall")


def test_captions_of_one_image_are_not_independent_observations():
    # Five times the same caption an image: drawing captions one by one would claim five times the evidence.
    captions = [[f"{number}"] * 5 for number in range(100)]
    result = score_retrieval(unit(0, (100, 8)), unit(1, (100, 8)), captions)
    ours, naive = result.interval(f"{T2I}10"), bootstrap(result.text_to_image[:, 2])
    assert ours.high - ours.low > 1.8 * (naive.high - naive.low)


def test_images_with_fewer_captions_weigh_less_where_captions_ask():
    captions = [["a", "b", "c"], ["d"]]
    result = score_retrieval(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[[0, 0, 0, 0]], captions)
    values, weights = result.per_image
    assert weights.tolist() == [[1, 1, 1, 3, 3, 3], [1, 1, 1, 1, 1, 1]]
    assert (
        result.recalls[f"{T2I}1"]
        == pytest.approx(3 / 4)
        == pytest.approx(np.average(values[:, 3], weights=weights[:, 3]))
    )
    assert paired_bootstrap(values, values, weights).high == 0


def test_table_says_how_it_was_taken_and_prints_the_ceiling_beside():
    images, texts, captions = made_up()
    strict = score_retrieval(images, texts, captions, dataset="made up test")
    aware = score_retrieval(images, texts, captions, "duplicate_aware", "made up test")
    table = recall_table({"one": strict, "two": strict}).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert [line.split(" | ")[0] for line in table[2:]] == ["| one", "| two", "| ceiling"]
    assert "| strict | made up test | 60 | 300 |" in table[2]
    shown = table[2].split(" | ")[5].split("/")
    assert shown == [f"{100 * strict.recalls[f'{I2T}{k}']:.2f}" for k in (1, 5, 10)]
    assert f"{100 * strict.ceilings[f'{T2I}1']:.2f}/" in table[4]
    other = recall_table({"three": aware}).splitlines()
    assert "duplicate-aware" in other[2] and "100.00/100.00/100.00" in other[3]
    assert f"{100 * strict.mean_recall:.2f} (" in table[2]
    assert table[4].endswith(f" | {100 * np.mean(list(strict.ceilings.values())):.2f} |")


# --- a model ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> CaptionDataset:
    return colors(tmp_path_factory.mktemp("colors"), 12)


def retrieval(model, dataset: CaptionDataset, **options: int):
    return evaluate(model, model, dataset, **options).retrieval["strict"]["baseline"]


def embed_pairs(model, dataset: CaptionDataset) -> tuple[np.ndarray, np.ndarray]:
    from utils.clip import embed_texts

    images, scored = embed_dataset(model, dataset)
    return images, embed_texts(model, distinct_captions(item.captions for item in scored))


def test_a_models_scores_do_not_depend_on_batches_or_order(model, pictures):
    one = retrieval(model, pictures, batch_size=5)
    backwards = CaptionDataset(list(pictures)[::-1], pictures.name)
    for other in (retrieval(model, pictures, batch_size=12), retrieval(model, backwards, batch_size=5)):
        assert one.recalls == pytest.approx(other.recalls, abs=1e-9)
    assert one.dataset == "colors" and len(one.text_to_image) == sum(len(item.captions) for item in pictures)
    images, texts = embed_pairs(model, pictures)
    stored = score_retrieval(images, texts, [item.captions for item in pictures])
    assert stored.recalls == pytest.approx(one.recalls, abs=1e-9)


@pytest.mark.filterwarnings("ignore:.* have no caption and are left out")
def test_images_without_captions_are_left_out(model, pictures):
    bare = [CaptionedImage(item.path, (), None, None, "") for item in pictures]
    mixed = retrieval(model, CaptionDataset([*bare[:3], *pictures]))
    assert mixed.recalls == pytest.approx(retrieval(model, pictures).recalls, abs=1e-9)


def test_vectors_of_another_projection_size_are_refused(model, pictures):
    images, texts = embed_pairs(model, pictures)
    captions = [item.captions for item in pictures]
    wider = np.hstack([texts, np.zeros((len(texts), 8), np.float32)])
    with pytest.raises(ValueError, match=r"24 \(image\) and 32 \(text\) dimensions.*same model"):
        score_retrieval(images, wider, captions)
    with pytest.raises(ValueError, match="distinct captions; give one for each"):
        score_retrieval(images, texts[:-1], captions)
    with pytest.raises(ValueError, match="no matching 'loose'"):
        score_retrieval(images, texts, captions, "loose")
    with pytest.raises(ValueError, match=r"1 of 12 images have no caption.*number 3"):
        score_retrieval(images, texts, [*captions[:3], (), *captions[4:]])


@pytest.mark.parametrize(("value", "message"), [(np.nan, "not finite"), (0.0, "zero or not"), (3.0, "unit length")])
def test_broken_embeddings_are_refused(value, message):
    images, texts, captions = made_up()
    images[7] = value
    with pytest.raises(ValueError, match=f"1 of 60 image embeddings .*row 7.*{message}"):
        score_retrieval(images, texts, captions)
