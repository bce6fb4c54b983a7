"""What is no image from above: how far an image lies from those that the model was trained on, and what follows."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from standins.pretraining.earth import CHECKPOINT_FOLDER, PRESENCE

from utils.clip import CLIP, fingerprint, patch_statistics
from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.demo.answers import Answers, FeatureAnswer, verdict
from utils.finder import AerialCheck, PresenceModel, embed_scene, find, learn_aerial
from utils.finder.place import Place

PLAIN = Image.new("RGB", (90, 60), "green")


def check(limit: float, seed: int = 0, size: int = 6, axes: int = 2) -> AerialCheck:
    """A check with directions of its own, of images whose statistics have so many numbers."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(size, axes)))[0].T.astype(np.float16)
    learned_from = {"name": "some", "images": 9, "fingerprint": "f", "held_out": 5, "exceeded_by": 0.01}
    arrays = rng.normal(size=size), directions, np.array([4.0, 2.0])[:axes]
    return AerialCheck(*(array.astype(np.float32) for array in arrays), 0.5, limit, learned_from)


@pytest.fixture(scope="module")
def presence(model) -> PresenceModel:
    return PresenceModel("{feature}", ("A photograph",), 1.0, 0.0, 0.0, 0.95, fingerprint(model))


@pytest.fixture(scope="module")
def start(root) -> CLIP:
    return CLIP.from_pretrained(root / "data" / "checkpoints" / "clip-miniature")


@pytest.fixture(scope="module")
def meadows(tmp_path_factory) -> CaptionDataset:
    """Images of one kind: soft patches of green and brown."""
    folder, rng, items = tmp_path_factory.mktemp("meadows"), np.random.default_rng(0), []
    for number in range(150):
        share = rng.random((9, 9, 1))
        colors = share * [60, 120, 40] + (1 - share) * [120, 90, 50] + rng.normal(0, 8, (9, 9, 3))
        image = Image.fromarray(colors.clip(0, 255).astype(np.uint8)).resize((72, 72), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
        items.append(CaptionedImage(folder / f"{number}.png", ("a meadow",), "train", "meadow", "meadows"))
    return CaptionDataset(items, "meadows")


def test_the_distance_is_that_of_mahalanobis_under_probabilistic_pca():
    own = check(limit=1.0)
    axes = own.axes.astype(np.float64)
    covariance = axes.T @ np.diag(own.variances) @ axes + own.rest * (np.eye(6) - axes.T @ axes)
    points = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    expected = [(point - own.mean) @ np.linalg.inv(covariance) @ (point - own.mean) for point in points]
    np.testing.assert_allclose(own.distances(points), expected, rtol=0.01)  # the axes have 16 bits


def test_statistics_are_those_of_the_patches_that_the_second_block_gives(start):
    pixels = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    hidden = start.vision._embedded(pixels)
    blocks = [start.vision.tokens(pixels, blocks) for blocks in range(4)]
    np.testing.assert_allclose(blocks[0], hidden, atol=1e-6)
    np.testing.assert_allclose(blocks[3], start.vision.tokens(pixels), atol=1e-5)
    patches = np.asarray(blocks[2])[:, 1:]
    found = patch_statistics(start, [{"images": pixels, "mask": np.array([True, False])}], blocks=2)
    np.testing.assert_allclose(found, np.concatenate([patches.mean(1), patches.std(1)], 1)[:1], atol=1e-5)


def test_what_is_like_the_training_images_passes_and_others_do_not(start, meadows):
    aerial = learn_aerial(start, meadows[:80], meadows[80:120])
    assert aerial.learned_from["images"] == 80 and aerial.learned_from["held_out"] == 40
    passed = [aerial.holds_for(start, [item.open()]) for item in meadows[120:]]
    assert np.mean(passed) >= 0.8
    page = Image.fromarray(np.kron(np.indices((9, 9)).sum(0) % 2, np.ones((8, 8))).astype(bool)).convert("RGB")
    assert aerial.holds_for(start, [page]) is False
    assert aerial.holds_for(start, [page, meadows[0].open()]) is True  # a part of it is enough
    assert aerial.holds_for(start, []) is None


def test_too_few_images_are_refused(start, meadows):
    for images, held_out in ((meadows[:2], meadows), (meadows, meadows[:0])):
        with pytest.raises(ValueError, match="too few"):
            learn_aerial(start, images, held_out)


def test_it_survives_the_disk_within_its_presence_model(presence, tmp_path):
    whole = replace(presence, aerial=check(limit=3.0))
    read = PresenceModel.load(whole.save(tmp_path / "presence.json"))
    assert read == whole and read.aerial.limit == 3.0
    points = np.random.default_rng(1).normal(size=(5, 6))
    np.testing.assert_array_equal(read.aerial.distances(points), whole.aerial.distances(points))
    assert PresenceModel.load(presence.save(tmp_path / "plain.json")).aerial is None


@pytest.mark.parametrize(
    "damage", [{"axes": "AAA="}, {"axes": "!"}, {"mean": None}, {"variances": "AA"}, {"limit": ()}]
)
def test_a_damaged_check_is_refused(presence, tmp_path, damage):
    path = replace(presence, aerial=check(limit=3.0)).save(tmp_path / "presence.json")
    content = json.loads(path.read_text())
    content["aerial"] |= damage
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="holds no presence model"):
        PresenceModel.load(path)


@pytest.mark.parametrize("limit", [0.0, np.inf])
def test_nothing_is_said_on_presence_in_what_is_no_image_from_above(model, presence, tmp_path, limit):
    size = 2 * model.architecture.vision.hidden_size
    scene = embed_scene(model, PLAIN)
    finding = find(model, scene, "port", replace(presence, aerial=check(limit, size=size)))
    passes = limit > 0
    assert finding.aerial is passes
    assert (finding.presence is not None) == passes == (finding.tiles[0].presence is not None)
    assert json.loads(finding.save_json(tmp_path / "found.json").read_text())["aerial"] is passes
    assert find(model, scene, "port", presence).aerial is None
    assert [tile.box for tile in finding.tiles] == [tile.box for tile in find(model, scene, "port", presence).tiles]
    assert ("no image from above" in verdict("port", finding)) != passes


def test_squares_show_the_whole_scene_where_it_has_data(model):
    scene = embed_scene(model, PLAIN, [20])
    assert {square.size for square in scene.squares()} == {(60, 60)} and len(scene.squares()) == 2
    half_empty = np.zeros((60, 90, 3), np.uint8)
    half_empty[:, :60] = 90
    placed = replace(scene, place=Place("EPSG:32631"))
    ribbon = replace(scene, thumbnail=Image.new("RGB", (1024, 5)))
    for other in (embed_scene(model, half_empty, [30]), placed, ribbon):
        assert other.squares() == []


def test_the_page_says_what_the_refusal_rests_on(model, presence):
    size = 2 * model.architecture.vision.hidden_size
    judge = replace(presence, aerial=check(0.0, size=size))
    finding = find(model, embed_scene(model, PLAIN), "port", judge)
    answers = Answers(SimpleNamespace(asking_model=model), judge)
    answer = FeatureAnswer(verdict("port", finding), answers._basis(finding), finding)
    assert "than 99% of 5 other images" in answer.details and "calibrated" not in answer.details


# --- the small Earth model ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def earth() -> tuple[CLIP, PresenceModel]:
    return CLIP.from_pretrained(CHECKPOINT_FOLDER), PresenceModel.load(CHECKPOINT_FOLDER / PRESENCE)


def test_the_committed_presence_model_fits_the_weights_beside_it(earth):
    model, presence = earth
    presence.check_model(fingerprint(model))
    assert presence.scores["auc"] > 0.9 and presence.aerial is not None
    assert (CHECKPOINT_FOLDER / PRESENCE).stat().st_size < 120_000


@pytest.mark.parametrize("name", ["rsicd", "ucm"])
def test_few_aerial_images_are_refused(earth, shared, name):
    model, presence = earth
    images = load_dataset(name, shared / "data", split="test").subset(100)
    passed = [presence.aerial.holds_for(model, [item.open()]) for item in images]
    assert np.mean(passed) >= 0.95  # of all test images 0.98 and more


def test_aerial_scenes_are_judged_and_text_is_not(earth, shared):
    model, presence = earth
    for path in sorted((shared / "data" / "large_scenes").glob("*.jpg")):
        with Image.open(path) as image:
            image.thumbnail((400, 400))
            scene = embed_scene(model, image, [300])
        assert find(model, scene, "harbor", presence).presence is not None
    white = Image.new("RGB", (300, 200), "white")
    assert find(model, embed_scene(model, white), "harbor", presence).aerial is False
