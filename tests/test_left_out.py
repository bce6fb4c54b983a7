"""What turns out not to decode, and captions without words: left out everywhere, counted, named, said beside scores."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_world import SETTINGS, colors, tiny_model

from utils.clip import CLIP
from utils.datasets import CaptionDataset, CaptionedImage, DatasetError, ImageError, ImagePreprocessing, train_batches
from utils.datasets.images.reading import damage
from utils.datasets.transforms import train_transform
from utils.evaluation import (
    audit_overlap,
    embed_dataset,
    evaluate,
    find_near_duplicates,
    recall_table,
    score_table,
    summary_text,
    zero_shot,
)
from utils.finder import calibrate_presence
from utils.training.validation import validate

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SAYS = r"colors: 2 of 14 images cannot be decoded and are left out: 0\.jpg, 1\.jpg"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> CLIP:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> CaptionDataset:
    return colors(tmp_path_factory.mktemp("colors"), 12)


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> list[CaptionedImage]:
    """Two files that begin and end as JPEG does and hold nothing between, so that loading lets them pass."""
    items = []
    for number in range(2):
        path = tmp_path_factory.mktemp("broken") / f"{number}.jpg"
        path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(40) + b"\xff\xd9")
        items.append(CaptionedImage(path, ("red", "lost"), "train", "red", "test"))
        assert damage(path) == ""
    return items


@pytest.fixture(scope="module")
def mixed(whole, broken) -> CaptionDataset:
    """The broken ones first and in the middle, so that every row behind them would belong to another picture."""
    return CaptionDataset([broken[0], *whole[:5], broken[1], *whole[5:]], "colors")


def retrieval(model: CLIP, dataset: CaptionDataset):
    return evaluate(model, model, dataset).retrieval["strict"]["baseline"]


def test_rows_belong_to_what_is_left_and_nothing_else_changes(model, whole, mixed):
    vectors, kept = embed_dataset(model, whole)
    assert kept is whole
    with pytest.warns(UserWarning, match=SAYS):
        mixed_vectors, mixed_kept = embed_dataset(model, mixed, batch_size=5)
    assert list(mixed_kept) == list(whole) and [item.name for item, _ in mixed_kept.damaged] == ["0.jpg", "1.jpg"]
    np.testing.assert_allclose(mixed_vectors, vectors, atol=1e-6)


def test_scores_are_those_of_what_is_left_and_say_how_many_are_not(model, whole, mixed):
    with pytest.warns(UserWarning, match=SAYS):
        shown, found = zero_shot(model, mixed), retrieval(model, mixed)
    assert shown.scores() == zero_shot(model, whole).scores() and found.recalls == retrieval(model, whole).recalls
    assert (shown.left_out, found.left_out, zero_shot(model, whole).left_out) == (2, 2, 0)
    assert "| 12 (2 left out) |" in score_table({"a": shown})
    assert recall_table({"a": found}).count("| 12 (2 left out) |") == 2
    with pytest.warns(UserWarning, match=SAYS):
        page = evaluate(model, model, mixed)
    content, same = page.as_json(), evaluate(model, model, whole).as_json()
    assert content.pop("left_out") == 2 and content == same and list(page.scored) == list(whole)
    assert "(2 images that cannot be decoded are left out)" in summary_text(page.as_json())
    assert "left out" not in summary_text(same)
    assert page.zero_shot["documents"]["baseline"].left_out == page.retrieval["strict"]["baseline"].left_out == 2


def test_validation_audits_and_presence_leave_them_out(model, whole, mixed):
    with pytest.warns(UserWarning, match=SAYS):
        measured = validate(model, mixed, SETTINGS)
    assert measured == pytest.approx(validate(model, whole, SETTINGS), abs=1e-6)
    with pytest.warns(UserWarning, match=SAYS):
        pairs = find_near_duplicates(mixed)
    assert pairs == find_near_duplicates(whole)
    with pytest.warns(UserWarning, match="colors and colors: 2 of 14 images cannot be decoded"):
        assert len(audit_overlap(mixed, whole).pairs) == len(audit_overlap(whole, whole).pairs)
    with pytest.warns(UserWarning, match=SAYS):
        presence = calibrate_presence(model, mixed)
    same = calibrate_presence(model, whole)
    assert presence.calibrated_on["images"] == 12 and presence.intercept == pytest.approx(same.intercept)


def test_where_nothing_is_left_one_sentence_says_so(model, broken):
    data = CaptionDataset(broken, "own")
    for ask in (
        lambda: zero_shot(model, data),
        lambda: evaluate(model, model, data),
        lambda: validate(model, data, SETTINGS),
        lambda: find_near_duplicates(data),
    ):
        with pytest.raises(DatasetError, match=r"^own: not one of its 2 images can be decoded") as caught:
            ask()
        assert "\n" not in str(caught.value)
    batches = train_batches(
        data, model.preprocessing, lambda texts: np.zeros((len(texts), 4), np.int32), batch_size=1, epochs=1, seed=0
    )
    with warnings.catch_warnings(), pytest.raises(ImageError, match="2 images in a row cannot be decoded"):
        warnings.simplefilter("ignore")
        next(batches)


def test_captions_without_words_ask_for_nothing(model, whole):
    wordless = [CaptionedImage(item.path, (*item.captions, " ."), None, item.category, "") for item in whole[:3]]
    bare = CaptionedImage(whole[3].path, (" .",), None, "white", "")
    mixed = CaptionDataset([*wordless, bare, *whole[4:]], "own")
    right = CaptionDataset([*whole[:3], *whole[4:]], "own")
    with pytest.warns(UserWarning, match="own: 3 of .* captions have no words and are left out, under red_0"):
        found = retrieval(model, mixed)
    assert found.recalls == retrieval(model, right).recalls and found.left_out == 0
    with pytest.warns(UserWarning, match=r"own: 1 of 12 images have no caption and are left out: white_3\.png"):
        page = evaluate(model, model, mixed)
    content = page.as_json()
    assert (content["images"], content["captions"]) == (12, sum(len(item.captions) for item in right))
    assert page.retrieval["strict"]["baseline"].recalls == found.recalls
    kept = page.per_image()["retrieval"]
    assert kept["images"] == [item.name for item in right] and len(kept["recalls"]["baseline"]) == len(right)
    with pytest.warns(UserWarning, match="have no words"):
        assert validate(model, mixed, SETTINGS) == validate(model, right, SETTINGS)


def wide(path: Path) -> Image.Image:
    """320 x 120 pixels, red at its left end and blue at its right one."""
    pixels = np.full((120, 320, 3), 128, np.uint8)
    pixels[:, :80], pixels[:, -80:] = (255, 0, 0), (0, 0, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("augmentation", ["none", "aerial", "published"])
def test_the_training_view_of_a_model_that_squashes_shows_both_ends(augmentation, tmp_path):
    picture, views = wide(tmp_path), {}
    for squash in (True, False):
        preprocessing = ImagePreprocessing(32, (0.0,) * 3, (1.0,) * 3, squash)
        views[squash] = [
            train_transform(picture, preprocessing, augmentation, np.random.default_rng(seed)) for seed in range(20)
        ]
    for view in views[True]:
        assert view.shape == (32, 32, 3)
        ends = [np.mean(view[..., one] - view[..., other] > 0.4) for one, other in ((0, 2), (2, 0))]
        assert min(ends) > (0.2 if augmentation == "none" else 0.02)
    cut = [
        min(np.mean(view[..., 0] - view[..., 2] > 0.4), np.mean(view[..., 2] - view[..., 0] > 0.4))
        for view in views[False]
    ]
    assert min(cut) == 0  # the square of the others never holds both


def test_square_pictures_are_trained_on_alike_whether_a_model_squashes_or_not():
    picture = wide(Path()).resize((120, 120))
    for augmentation in ("none", "aerial", "published"):
        one, other = (
            train_transform(picture, ImagePreprocessing(32, squash=squash), augmentation, np.random.default_rng(3))
            for squash in (False, True)
        )
        assert np.array_equal(one, other)
