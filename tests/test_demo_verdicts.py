"""Can the page say no to words, on images and scenes whose content is known; does it know English?"""

from dataclasses import replace

import numpy as np
import pytest
from training_world import colors

from utils.category_names import category_words
from utils.clip import CLIP, fingerprint
from utils.datasets import CaptionDataset, load_dataset
from utils.demo.answers import WELL_KNOWN, Answers
from utils.demo.verdicts import LEAST_AUC, NOTHING, CollectionJudge, language_hint, names_in
from utils.finder import PresenceModel
from utils.search import ImageIndex

pytestmark = pytest.mark.usefixtures("quick_compilation")

PRESENT_IN_EACH = 4  # images of each category
ABSENT = (
    "a cat on a sofa", "a bowl of soup", "a person reading a book", "a birthday cake", "a guitar", "an elephant",
    "a plate of spaghetti", "a glass of wine", "a pizza", "a microscope", "wind turbines", "a glacier", "icebergs",
    "a lighthouse", "a castle with a moat", "a vineyard", "greenhouses", "solar panels", "a pyramid", "a ski slope",
)  # fmt: skip


@pytest.fixture(scope="module")
def index(model, tmp_path_factory) -> ImageIndex:
    return ImageIndex.build(model, colors(tmp_path_factory.mktemp("colors")), batch_size=8, progress=False)


@pytest.fixture(scope="module")
def presence(model) -> PresenceModel:
    return PresenceModel("An image of {feature}", ("A photograph",), 1.0, 0.0, 0.0, 0.95, fingerprint(model))


def test_a_search_in_words_says_no_and_still_shows_what_comes_nearest(index, presence):
    no, yes = (Answers(index, replace(presence, intercept=intercept)) for intercept in (-99.0, 99.0))
    denied, found = (answers.by_text("red", 3) for answers in (no, yes))
    assert denied.sentence == f"{NOTHING} {found.sentence}" and denied.hits == found.hits
    assert denied.presence == pytest.approx(0, abs=1e-6) and found.presence == pytest.approx(1)
    assert "probability that any image shows it is 0.00" in denied.remarks[0] and not found.remarks
    assert no.by_text("red", 3, category="blue").remarks[0].count("any of these images") == 1


def test_nothing_is_said_of_sentences_or_where_nothing_was_calibrated(index, presence):
    hopeless = replace(presence, intercept=-99.0)
    for answers, text in (
        (Answers(index), "red"),
        (Answers(index, replace(hopeless, scores={"auc": LEAST_AUC - 0.01})), "red"),
        (Answers(index, hopeless), "seven words are more than are judged"),
    ):
        answer = answers.by_text(text, 3)
        assert answer.presence is None and answer.sentence.startswith("3 images")
        assert not any("probability" in remark for remark in answer.remarks)


def test_the_best_image_decides_and_the_more_there_are_the_better_it_must_be(index, presence, model):
    """As in a scene, whose tiles the images are: the finder's own numbers."""
    from utils.clip import embed_texts

    judged = replace(presence, tiles_weight=-0.7)
    prompt, other = embed_texts(model, ["An image of red", "A photograph"])
    scale = float(np.exp(model.logit_scale[...]))
    margins = scale * (index.embeddings @ prompt - index.embeddings @ other)
    said = CollectionJudge(model, judged).probability(["red"], index.embeddings)
    assert said == pytest.approx(1 / (1 + np.exp(-(margins.max() - 0.7 * np.log(len(index))))), rel=1e-3)


def test_names_are_found_in_a_query():
    assert names_in("a bridge over a large river") == ["bridge", "large river", "river", "large"]
    assert names_in("of the") == ["of the"]
    assert names_in("123 !") == [] and names_in("one word more than the six that count") == []


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("ein Flughafen mit zwei Bahnen", "German"),
        ("le port et la plage", "French"),
        ("el puerto", "Spanish"),
        ("il porto", "Italian"),
        ("um rio com pontes", "Portuguese"),
        ("una playa", "another language"),
        ("aéroport", "another language"),
        ("аэропорт", "other letters"),
        ("飛行場", "other letters"),
        ("a bridge over a river", ""),
        ("a café in Rio de Janeiro", ""),
        ("Los Angeles airport", ""),
        ("42", ""),
    ],
)
def test_another_language_gets_a_hint(text, language, index):
    assert language in language_hint(text) and bool(language) == bool(language_hint(text))
    assert len(Answers(index).by_text(text, 3).hits) == 3  # and never a refusal


@pytest.fixture(scope="module")
def real(shared, root):
    """Answers over a few of RSICD's test images of each category, by the small model of the Earth."""
    folder = root / "data" / "checkpoints" / "clip-earth-small"
    images = load_dataset("rsicd", shared / "data").split("test")
    chosen = [
        item
        for category in images.categories
        for item in [item for item in images if item.category == category][:PRESENT_IN_EACH]
    ]
    index = ImageIndex.build(CLIP.from_pretrained(folder), CaptionDataset(chosen, "some of rsicd"), progress=False)
    return Answers(index, PresenceModel.load(folder / "presence.json"))


def test_on_real_images_what_is_there_is_found_and_what_is_not_denied(real):
    names = real.index.categories
    texts = [WELL_KNOWN.get(name) or category_words(name) for name in names]
    denied = [text for text in texts if real.by_text(text, 1).sentence.startswith(NOTHING)]
    assert len(texts) == 30 and len(denied) <= 2, denied
    passed = [text for text in ABSENT if not real.by_text(text, 1).sentence.startswith(NOTHING)]
    assert len(passed) <= 5, passed
