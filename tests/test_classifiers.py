"""Probes and neighbors against scikit-learn's own, transduction against torch, scipy and TransCLIP."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import vonmises_fisher
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from utils.evaluation import classifiers
from utils.evaluation.classifiers import ProbeResult, few_shot_curve, linear_probe, nearest_neighbors
from utils.evaluation.embeddings import unit_rows
from utils.evaluation.transduction import keep_what_helps, logit_scales_to_try, refine_class_embeddings

# --- probes -----------------------------------------------------------------------------------------------

NAMES = ("beach", "forest", "port", "river")


def embeddings(count: int, seed: int, spread: float = 1.0) -> tuple[np.ndarray, list[str]]:
    """Four blurred groups around fixed centers, away from the origin as CLIP's embeddings are."""
    centers = np.random.default_rng(99).normal(size=(4, 12)) + 1
    rng = np.random.default_rng(seed)
    numbers = np.arange(count) % 4
    rows = centers[numbers] + spread * rng.normal(size=(count, 12))
    return rows.astype(np.float32), [NAMES[number] for number in numbers]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


SETS = [*embeddings(80, 1, 1.6), *embeddings(40, 2, 1.6)]
TEST, TEST_LABELS = embeddings(60, 3, 1.6)


def test_linear_probe_is_scikit_learns(grid=(0.01, 1.0, 100.0)):
    train, labels, held_out, true = SETS
    ours = linear_probe(train, labels, held_out, true, TEST, grid)

    def reference(penalty, rows, names):
        return LogisticRegression(C=penalty, max_iter=5000, tol=1e-8).fit(unit(rows).astype(float), names)

    curve = {c: reference(c, train, labels).score(unit(held_out), true) for c in grid}
    assert ours.validation_accuracies == pytest.approx(curve)
    assert ours.chosen == max(curve, key=curve.get)
    refitted = reference(ours.chosen, np.concatenate([train, held_out]), labels + true)
    np.testing.assert_allclose(ours.probabilities, refitted.predict_proba(unit(TEST)), atol=2e-3)
    assert ours.class_names == tuple(refitted.classes_)
    assert ours.accuracy(TEST_LABELS) == pytest.approx(refitted.score(unit(TEST), TEST_LABELS))


def test_nearest_neighbors_are_scikit_learns(grid=(1, 3, 10, 1000)):
    train, labels, held_out, true = SETS
    ours = nearest_neighbors(train, labels, held_out, true, TEST, grid)

    def reference(count, rows, names):
        weights = lambda distances: np.exp((1 - distances) / 0.07)  # noqa: E731
        return KNeighborsClassifier(count, metric="cosine", weights=weights).fit(rows, names)

    curve = {k: reference(k, train, labels).score(held_out, true) for k in grid[:3]}
    assert ours.validation_accuracies == pytest.approx(curve), "more neighbors than images are no choice"
    assert ours.chosen == max(curve, key=curve.get)
    refitted = reference(ours.chosen, np.concatenate([train, held_out]), labels + true)
    np.testing.assert_allclose(ours.probabilities, refitted.predict_proba(TEST), atol=1e-5)


def test_two_classes_are_enough():
    rows, labels = np.eye(2), ["port", "river"]
    found = nearest_neighbors(rows, labels, rows, labels, np.array([[3, 1], [1, 3]]), (1,))
    assert found.accuracy(labels) == 1 and found.accuracy(["river", "river"]) == 0.5


def test_test_images_choose_nothing():
    one = linear_probe(*SETS, TEST[:20], (0.01, 100.0))
    other = linear_probe(*SETS, TEST, (0.01, 100.0))
    assert (one.chosen, one.validation_accuracies) == (other.chosen, other.validation_accuracies)
    np.testing.assert_allclose(one.probabilities, other.probabilities[:20], atol=1e-12)


def test_few_shots_learn_from_so_many_of_each_class():
    train, labels, *_ = SETS
    curve = few_shot_curve(train, labels, TEST, TEST_LABELS, inverse_penalty=10, shots=(1, 4, 20), draws=4)
    assert curve.accuracies.shape == (3, 4)
    np.testing.assert_allclose(curve.mean, curve.accuracies.mean(axis=1))
    np.testing.assert_allclose(curve.spread, [np.std(row, ddof=1) for row in curve.accuracies])
    # Twenty are all there are: every draw is the regression on everything.
    whole = LogisticRegression(C=10, max_iter=5000).fit(unit(train), labels).score(unit(TEST), TEST_LABELS)
    assert curve.accuracies[2] == pytest.approx([whole] * 4)
    assert curve.mean[0] < curve.mean[2] and curve.spread[0] > 0 == curve.spread[2]
    again = few_shot_curve(train, labels, TEST, TEST_LABELS, inverse_penalty=10, shots=(1, 4, 20), draws=4)
    other = few_shot_curve(train, labels, TEST, TEST_LABELS, inverse_penalty=10, shots=(1, 4, 20), draws=4, seed=1)
    np.testing.assert_array_equal(again.accuracies, curve.accuracies)
    assert not np.array_equal(other.accuracies, curve.accuracies)


def test_smaller_numbers_of_shots_are_parts_of_the_larger(monkeypatch):
    drawn = []

    def learn(rows, labels, queries, penalty):
        assert np.bincount(labels).tolist() == [len(labels) // 4] * 4 and penalty == 10
        drawn.append(set(map(tuple, rows)))
        return np.eye(4)[np.zeros(len(queries), int)]

    monkeypatch.setattr(classifiers, "_logistic_regression", learn)
    train, labels, *_ = SETS
    curve = few_shot_curve(train, labels, TEST, TEST_LABELS, inverse_penalty=10, shots=(1, 2, 8), draws=1)
    assert [len(rows) for rows in drawn] == [4, 8, 32] and drawn[0] < drawn[1] < drawn[2]
    assert curve.accuracies.tolist() == [[0.25]] * 3 and curve.spread.tolist() == [0, 0, 0]


def broken(rows: np.ndarray, value: float) -> np.ndarray:
    rows = rows.copy()
    rows[5] = value
    return rows


@pytest.mark.parametrize("classify", [linear_probe, nearest_neighbors])
def test_what_cannot_be_learned_is_said_in_a_sentence(classify):
    train, labels, held_out, true = SETS
    for value in (0, np.nan):
        with pytest.raises(ValueError, match=r"1 of 40 validation embeddings .*row 5.* are zero or not finite"):
            classify(train, labels, broken(held_out, value), true, TEST)
    with pytest.raises(ValueError, match="validation labels name canyon, desert, but no training image"):
        classify(train, labels, held_out, ["desert", "canyon", *true[2:]], TEST)
    with pytest.raises(ValueError, match="79 training labels do not fit 80"):
        classify(train, labels[1:], held_out, true, TEST)
    with pytest.raises(ValueError, match="two classes or more"):
        classify(train, ["port"] * 80, held_out, ["port"] * 40, TEST)
    with pytest.raises(ValueError, match=r"12 \(training\) and 12 \(validation\) and 5 \(test\) dimensions"):
        classify(train, labels, held_out, true, TEST[:, :5])
    with pytest.raises(ValueError, match="no setting"):
        classify(train, labels, held_out, true, TEST, ())
    with pytest.raises(ValueError, match="at least one row"):
        classify(train, labels, held_out, true, TEST[:0])
    with pytest.raises(ValueError, match=r"must be above 0|At least 1"):
        classify(train, labels, held_out, true, TEST, (0,))


def test_neighbors_that_are_all_too_many_are_refused():
    with pytest.raises(ValueError, match=r"no setting to choose from; .* no more neighbors than 80 images"):
        nearest_neighbors(*SETS, TEST, (100, 200))


def test_too_few_images_for_the_shots_are_named():
    train, labels, *_ = SETS
    with pytest.raises(ValueError, match=r"12 \(training\) and 5 \(test\) dimensions"):
        few_shot_curve(train, labels, TEST[:, :5], TEST_LABELS, inverse_penalty=1, shots=(1,))
    with pytest.raises(ValueError, match="beach has 19; ask for fewer"):
        few_shot_curve(train[1:], labels[1:], TEST, TEST_LABELS, inverse_penalty=1, shots=(1, 20))
    for wrong in ({"draws": 0}, {"shots": ()}, {"shots": (0, 1)}):
        with pytest.raises(ValueError, match="at least one draw and one shot"):
            few_shot_curve(train, labels, TEST, TEST_LABELS, inverse_penalty=1, **wrong)
    with pytest.raises(ValueError, match=r"shape \(12,\)"):
        unit_rows((train[0], "training"))


def test_accuracy_wants_a_label_for_each_image():
    result = ProbeResult(NAMES, np.eye(4), 1, {})
    assert result.accuracy(["beach", "forest", "river", "river"]) == 0.75
    with pytest.raises(ValueError, match="1 labels do not fit 4"):
        result.accuracy(["beach"])


# --- transduction -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "blend", "steps"), [(20.0, 0.6, 3), (10.0, 0.5, 10)])
def test_refinement_is_what_torch_computes_step_by_step(scale, blend, steps):
    images = torch.nn.functional.normalize(torch.tensor(TEST).double(), dim=1)
    texts = torch.nn.functional.normalize(torch.tensor(TEST[:4] + 2).double(), dim=1)
    expected = texts
    for _ in range(steps):
        shares = torch.softmax(scale * images @ expected.T, dim=1)
        means = torch.nn.functional.normalize(shares.T @ images, dim=1)
        expected = torch.nn.functional.normalize((1 - blend) * texts + blend * means, dim=1)
    ours = refine_class_embeddings(7 * TEST, TEST[:4] + 2, logit_scale=scale, blend=blend, steps=steps)
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


def test_without_texts_it_is_a_mixture_of_von_mises_fisher_distributions():
    """The shares of soft-moVMF are those of the densities that scipy gives, of one concentration."""
    images = unit(TEST.astype(float))
    centers = unit(TEST[:4].astype(float) + 2)
    ours = refine_class_embeddings(images, centers, logit_scale=15.0, blend=1.0, steps=4)
    for _ in range(4):
        densities = np.stack([vonmises_fisher(center, 15.0).pdf(images) for center in centers], axis=1)
        centers = unit((densities / densities.sum(axis=1, keepdims=True)).T @ images)
    np.testing.assert_allclose(ours, centers, atol=1e-5)


def test_a_hard_step_without_texts_is_scikit_learns_k_means():
    images, centers = unit(TEST.astype(float)), unit(TEST[:4].astype(float))
    means = KMeans(4, init=centers, n_init=1, max_iter=1).fit(images)
    ours = refine_class_embeddings(images, centers, logit_scale=1e6, blend=1.0, steps=1)
    np.testing.assert_allclose(ours, unit(means.cluster_centers_), atol=1e-5)


def test_refinement_finds_the_groups_that_the_texts_miss():
    centers = unit(np.eye(4, 12))
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 4, 400)
    images = unit(centers[numbers] + 0.12 * rng.normal(size=(400, 12)))
    texts = unit(centers + 0.35 * rng.normal(size=(4, 12)))
    refined = refine_class_embeddings(images, texts, logit_scale=10, blend=0.9)
    before, after = accuracy(images, texts, numbers), accuracy(images, refined, numbers)
    assert before < 0.93 and after > before + 0.03


def accuracy(images: np.ndarray, classes: np.ndarray, numbers: np.ndarray) -> float:
    return float(np.mean(np.argmax(images @ classes.T, axis=1) == numbers))


@pytest.fixture(params=[0, 1, 2])
def like_clip(request) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (1026, 512) and texts (19, 512) that lie as those of a CLIP of logit scale 100, and the images' classes.

    Images and texts fill two narrow cones, a modality gap apart; a text knows its class half.
    """
    rng = np.random.default_rng(request.param)
    of_images, of_texts, *varied = np.linalg.qr(rng.normal(size=(512, 62)))[0].T
    of_texts = 0.3 * of_images + np.sqrt(1 - 0.3**2) * of_texts
    classes, errors = (unit(rng.normal(size=(19, 60))) @ np.stack(varied) for _ in range(2))
    numbers = np.arange(1026) % 19
    noise = unit(rng.normal(size=(1026, 60))) @ np.stack(varied)
    images = unit(0.8 * of_images + 0.25 * classes[numbers] + 0.45 * noise)
    return images, unit(0.93 * of_texts + 0.35 * unit(classes + errors)), numbers


def transclip(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Classes by TransCLIP without shots, by its paper's updates with the constants of the published code."""
    by_texts = softmax(100 * images @ texts.T, axis=1)
    surest = np.argsort(-by_texts, axis=0)[:8]
    means = unit(np.einsum("nc,ncd->cd", np.take_along_axis(by_texts, surest, axis=0), images[surest]))
    variances, shares = np.full(images.shape[1], 1 / images.shape[1]), by_texts
    alike = images @ images.T - 2 * np.eye(len(images))
    near = np.where(alike >= np.sort(alike, axis=1)[:, -3, None], alike, 0)
    for _ in range(11):
        distances = ((images**2) @ (1 / variances))[:, None] - 2 * (images / variances) @ means.T
        likelihood = -0.5 * (distances + (means**2) @ (1 / variances))
        for _ in range(5):
            agreed = (near @ shares + near.T @ shares) / 6
            shares = softmax(np.log(by_texts) + likelihood / 50 + agreed, axis=1)
        means = unit(shares.T @ images)
        variances = np.mean(images**2 - 2 * images * (shares @ means) + shares @ means**2, axis=0)
    return np.argmax(shares, axis=1)


def test_the_models_own_scale_shows_the_gain_that_a_tenth_of_it_hides(like_clip):
    images, texts, numbers = like_clip
    matching = np.sum(images * texts[numbers], axis=1)
    assert np.quantile(matching, 0.01) > 0.2 and np.quantile(matching, 0.99) < 0.36
    before = accuracy(images, texts, numbers)
    refined = {scale: refine_class_embeddings(images, texts, logit_scale=scale) for scale in (10, 100)}
    gains = {scale: accuracy(images, of, numbers) - before for scale, of in refined.items()}
    assert gains[10] == pytest.approx(0.01, abs=0.01) and gains[100] == pytest.approx(0.13, abs=0.02)
    published = float(np.mean(transclip(images, texts) == numbers)) - before
    assert published == pytest.approx(0.11, abs=0.02)


def test_validation_chooses_the_scale_and_test_images_gain(like_clip):
    images, texts, numbers = like_clip
    drawn = np.random.default_rng(0).permutation(len(images))
    val, test = drawn[::2], drawn[1::2]
    refined = {
        split: {
            scale: refine_class_embeddings(images[rows], texts, logit_scale=scale)
            for scale in logit_scales_to_try(100.0)
        }
        for split, rows in (("val", val), ("test", test))
    }
    kept = keep_what_helps(
        {"plain": images[val] @ texts.T} | {f"{s:g}": images[val] @ of.T for s, of in refined["val"].items()},
        numbers[val],
    )
    assert kept.name in ("50", "100")
    before = accuracy(images[test], texts, numbers[test])
    assert accuracy(images[test], refined["test"][float(kept.name)], numbers[test]) > before + 0.08


def test_the_models_own_scale_is_tried_first():
    assert logit_scales_to_try(100.0000076) == [100.0000076, 10, 20, 50]
    assert logit_scales_to_try(15.7) == [15.7, 10, 20, 50, 100]


def test_refinement_that_changes_nothing():
    texts = unit(TEST[:4])
    for still in ({"blend": 0.0}, {"steps": 0}):
        np.testing.assert_allclose(refine_class_embeddings(TEST, texts, logit_scale=10, **still), texts, atol=1e-6)


def test_a_class_without_images_keeps_its_text():
    texts = np.eye(3, 6)
    # The third points away from every text, and least of all from the second.
    images = unit(np.array([[1, 0.1, 0, 0, 0, 0], [0.1, 1, 0, 0, 0, 0], [-0.8, -0.3, -0.9, 0.4, 0, 0]], float))
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        refined = refine_class_embeddings(images, texts, logit_scale=1e3, blend=1.0, steps=1)
    expected = np.stack([images[0], images[1] + images[2], texts[2]])
    np.testing.assert_allclose(refined, unit(expected), atol=1e-6)


def test_only_what_helps_is_kept():
    plain, better, equal = np.eye(3)[[0, 1, 1, 0]], np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 1, 0, 0]]
    labels = [0, 1, 2, 1]
    kept = keep_what_helps({"plain": plain, "better": better, "equal": equal}, labels)
    assert kept.name == "better" and kept.validation_accuracies == {"plain": 0.5, "better": 0.75, "equal": 0.5}
    assert keep_what_helps({"plain": plain, "equal": equal}, labels).name == "plain"
    with pytest.raises(ValueError, match="nothing to choose"):
        keep_what_helps({}, labels)
    with pytest.raises(ValueError, match=r"'plain' have the shape \(4, 3\).*from 0 to 3"):
        keep_what_helps({"plain": plain}, [0, 1, 2, 3])
    with pytest.raises(ValueError, match="nothing to choose"):
        keep_what_helps({"plain": plain[:0]}, [])
    for scores, wrong in ((plain[:3], labels), (plain[0], labels), (plain, [0, 1, 2, -1])):
        with pytest.raises(ValueError, match=r"'plain' have the shape .* do not fit"):
            keep_what_helps({"plain": scores}, wrong)
    with pytest.raises(ValueError, match="'plain' are not finite"):
        keep_what_helps({"plain": np.where(plain == plain.max(), plain, np.nan)}, labels)


def test_what_cannot_be_refined_is_said_in_a_sentence():
    with pytest.raises(ValueError, match=r"12 \(image\) and 5 \(class\) dimensions and do not fit together"):
        refine_class_embeddings(TEST, TEST[:4, :5], logit_scale=10)
    with pytest.raises(ValueError, match=r"image embeddings .* are zero or not finite"):
        refine_class_embeddings(broken(TEST, np.nan), TEST[:4], logit_scale=10)
    for wrong in ({"blend": 1.5}, {"logit_scale": 0.0}, {"logit_scale": np.inf}, {"steps": -1}):
        with pytest.raises(ValueError, match="cannot work"):
            refine_class_embeddings(TEST, TEST[:4], **{"logit_scale": 10.0} | wrong)
