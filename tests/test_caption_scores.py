"""Scores of captions against pycocoevalcap and sacrebleu, on values that it gave, and on cases reckoned by hand."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from scipy import stats
from tiny_clip import tiny_config, write_checkpoint
from training_world import colors

from utils.captioning import (
    DocumentFrequency,
    against_the_rest,
    best_single_caption,
    by_repeated_references,
    caption_score_table,
    caption_words,
    cider_d,
    clip_score,
    clip_scores,
    commonest_captions,
    nearest_captions,
    ref_clip_score,
    score_captions,
    scores,
)
from utils.clip import CLIP, embed_texts
from utils.datasets import CaptionDataset
from utils.evaluation import embed_dataset

CANDIDATES = [
    "two white planes are parked near a terminal",
    "many green trees are on both sides of the river",
    "a bridge is over a river",
    "some boats are in the port",
    "a bridge a bridge",
    "",
]
REFERENCES = [
    [
        "two planes are parked near the terminal building",
        "two planes are parked near the terminal building",
        "several white planes stand beside a terminal with a long roof",
        "the airport has two planes",
        "white planes are parked in a line",
    ],
    [
        "a river goes through a forest",
        "many green trees are on both sides of a curved river",
        "many green trees are on both sides of a curved river",
    ],
    ["a bridge is over a river"] * 3,
    [
        "many boats are in a port near some buildings",
        "a port with many white boats",
        "boats of all sizes are in the port",
    ],
    ["a long bridge over the sea", "a bridge with some cars on it"],
    ["a playground is near a school", "it is a playground with a green lawn"],
]
# Of these, by Bleu(4), Rouge() and Cider() of pycocoevalcap 1.2 on the texts as they stand, in Python 3.11.
THEIR_BLEU = [0.6997170761682167, 0.6382538244480022, 0.592895875937616, 0.5516371641061737]
THEIR_ROUGE = [0.75, 0.8498452, 1.0, 0.69634703, 0.38607595, 0.0]
THEIR_CIDER = [3.13576751, 5.01264207, 10.0, 2.99393727, 0.56482023, 0.0]


def drawn(images: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Captions of few words, so that many n-grams are shared, some of them repeated."""
    generator = np.random.default_rng(seed)

    def caption() -> str:
        return " ".join(
            generator.choice(["a", "the", "river", "plane", "green", "near", "2.5"], generator.integers(1, 14))
        )

    references = [[caption() for _ in range(generator.integers(1, 6))] for _ in range(images)]
    references = [of + of[:1] * int(generator.integers(0, 3)) for of in references]
    mixed = [of[0] if generator.random() < 0.3 else caption() for of in references]
    return [*mixed[1:], ""], references


@pytest.fixture(scope="module")
def rsicd(shared) -> dict[str, list[list[str]]]:
    """The real captions, as published, by split."""
    images = json.loads((shared / "data" / "RSICD" / "dataset_rsicd.json").read_text(encoding="utf-8"))["images"]
    return {
        split: [[one["raw"] for one in image["sentences"]] for image in images if image["split"] == split]
        for split in ("train", "val", "test")
    }


def test_scores_are_those_that_pycocoevalcap_gave():
    ours = score_captions(CANDIDATES, REFERENCES)
    assert [ours.values[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx(THEIR_BLEU, abs=1e-9)
    assert ours.rouge_l == pytest.approx(THEIR_ROUGE, abs=1e-8)
    assert ours.cider_d == pytest.approx(THEIR_CIDER, abs=1e-8)
    assert cider_d(CANDIDATES, REFERENCES) == ours.values["CIDEr-D"] == pytest.approx(np.mean(THEIR_CIDER))


@pytest.mark.parametrize("which", ["drawn", "rsicd"])
def test_scores_are_those_of_pycocoevalcap(which, request):
    pytest.importorskip("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    candidates, references = drawn(200)
    if which == "rsicd":
        references = request.getfixturevalue("rsicd")["test"]
        candidates = [of[0] if n % 3 else references[n - 1][2] for n, of in enumerate(references)]
    ours = score_captions(candidates, references)
    theirs = {n: [" ".join(caption_words(text)) for text in of] for n, of in enumerate(references)}
    said = {n: [" ".join(caption_words(text))] for n, text in enumerate(candidates)}
    bleus = Bleu(4).compute_score(theirs, said, verbose=0)[0]
    assert [ours.values[f"BLEU-{n}"] for n in (1, 2, 3, 4)] == pytest.approx(bleus, abs=1e-9)
    assert ours.rouge_l == pytest.approx(Rouge().compute_score(theirs, said)[1], abs=1e-12)
    assert ours.cider_d == pytest.approx(Cider().compute_score(theirs, said)[1], abs=1e-9)


def test_words_are_those_of_pycocoevalcaps_java(rsicd):
    tokenizer = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer").PTBTokenizer()
    if not shutil.which("java"):
        pytest.skip("Java is not on this machine")
    captions = {text: [{"caption": text}] for split in ("val", "test") for of in rsicd[split] for text in of}
    captions |= {text: [{"caption": text}] for text in ("It's 1,000 well-kept trees, isn't it?", "we can't; he cannot")}
    differ = [text for text, (words,) in tokenizer.tokenize(captions).items() if " ".join(caption_words(text)) != words]
    assert len(captions) == 5603 and differ == []


def test_words():
    assert caption_words("It\u2019s a semi-circle, 1,000.5 m: isn't it?") == caption_words(
        "it's a semi-circle 1,000.5 m isn't it"
    )
    assert caption_words("a river\r\nin a\u2028town") == ("a", "river", "in", "a", "town")
    assert caption_words(" .") == caption_words("") == ()


def test_bleu_is_sacrebleus_without_smoothing():
    candidates, references = drawn(60, seed=1)
    most = max(map(len, references))
    streams = [[of[n] if n < len(of) else None for of in references] for n in range(most)]
    ours = score_captions(candidates, references).values
    for n in (1, 2, 3, 4):
        theirs = BLEU(tokenize="none", smooth_method="none", max_ngram_order=n, force=True)
        assert 100 * ours[f"BLEU-{n}"] == pytest.approx(theirs.corpus_score(candidates, streams).score)
    assert score_captions(["a big port"], [["a big port"]]).values["BLEU-4"] == 0  # there is no run of four words


def test_rouge_of_a_caption_that_equals_no_reference():
    ours = score_captions(["a b c d"], [["a b c d e f", "b c"]])  # precision by the first, recall by the second
    assert ours.values["ROUGE-L"] == 1.0


def test_cider_knows_nothing_rare_in_one_image_and_goes_to_ten_only_where_references_agree():
    assert cider_d(["a port"], [["a port", "a port"]]) == 0
    assert (
        cider_d(["a red port by the sea", "two planes in a field"], [["a red port by the sea"], ["one big church"]])
        == 5
    )
    spread = score_captions(["a port"] * 2, [["a port", "some boats near a pier"], ["one big church"]])
    assert 0 < spread.cider_d[0] < 5


def test_cider_by_another_document_frequency():
    frequency = DocumentFrequency.of_texts([["a port"], ["a river"], ["a port", "a port"]], "three images")
    ours = score_captions(["a port", "a bay"], [["a port"], ["a bay"]], frequency=frequency)
    # "a" is in all images and weighs nothing; "port" is in two of three; runs of three words there are none.
    assert ours.cider_d == pytest.approx([5, 5]) and "three images" in str(ours)
    own = score_captions(["a port", "a bay"], [["a port"], ["a bay"]])
    with pytest.raises(ValueError, match="another document frequency"):
        ours.differences(own)


def test_repeats_change_cider_alone():
    once = [list(dict.fromkeys(of)) for of in REFERENCES]
    ours = by_repeated_references(CANDIDATES, REFERENCES)
    published, unique = ours["as published"].values, ours["each reference once"].values
    assert unique == score_captions(CANDIDATES, once).values
    assert {name for name in published if published[name] != unique[name]} == {"CIDEr-D"}
    assert ours["without repeats"].cider_d == pytest.approx(ours["as published"].cider_d[3:])
    assert ours["with repeats"].cider_d == pytest.approx(ours["as published"].cider_d[:3])


def test_intervals_are_scipys():
    candidates, references = drawn(40, seed=2)
    ours = score_captions(candidates, references)

    def bleu_4(images):
        chosen = [[candidates[n] for n in images], [references[n] for n in images]]
        return score_captions(*chosen).values["BLEU-4"]

    theirs = stats.bootstrap(
        (np.arange(40),), bleu_4, vectorized=False, n_resamples=20, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    found = ours.intervals(draws=20, seed=3)
    assert (found["BLEU-4"].low, found["BLEU-4"].high) == pytest.approx((theirs.low, theirs.high))
    assert found["BLEU-4"].value == ours.values["BLEU-4"] and list(found) == list(ours.values)


def test_differences_take_the_same_images_for_both():
    candidates, references = drawn(80, seed=4)
    better, worse = score_captions([of[0] for of in references], references), score_captions(candidates, references)
    gains = better.differences(worse)
    for name, gain in gains.items():
        assert gain.value == pytest.approx(better.values[name] - worse.values[name]) and gain.low > 0, name
    assert all(gain.low == gain.high == 0 for gain in worse.differences(worse).values())
    with pytest.raises(ValueError, match="not scored on the same references"):
        better.differences(score_captions(candidates[:9], references[:9]))


@pytest.mark.parametrize(
    ("candidates", "references", "said"),
    [
        (["a"], [["a"], ["b"]], "1 candidates do not fit references of 2 images"),
        ([], [], "There are no images"),
        (["a", "b"], [["a"], []], "1 of 2 images have no reference with words, the first is image 1"),
        (["a"], [[" ."]], "leave them out, as dataset.captioned"),
        (["a", "b"], [["a"], "b"], "references of image 1 are one text"),
        ("a", [["a"]], "candidates are one text"),
    ],
)
def test_what_cannot_be_scored_is_refused(candidates, references, said):
    with pytest.raises(ValueError, match=said):
        score_captions(candidates, references)


def test_captions_without_words_score_nothing_and_are_counted():
    ours = score_captions(["", " ."], [["a port"], ["a river"]])
    assert set(ours.values.values()) == {0.0}
    assert "| empty      | 2 of 2 " in str(ours)


def test_the_table_fits_beside_117_characters_and_says_how_it_was_made():
    known = score_captions(CANDIDATES, REFERENCES, training_captions=[CANDIDATES[2].upper()], clip_score=np.ones(6))
    table = caption_score_table(
        {"a|b": known} | {f"captioner {n}": score_captions(CANDIDATES, REFERENCES) for n in range(5)}
    )
    assert max(map(len, table.splitlines())) <= 117
    assert table.count("| CIDEr-D ") == 2 and "a\\|b" in table
    for said in (
        scores.TOKENIZER,
        "the references scored",
        "18, 14 unique",
        "16.7% from training",
        "6 of 6",
        "CLIPScore",
    ):
        assert said in table.replace("\n", " "), said
    with pytest.raises(ValueError, match=r"shape \(5,\), not of 6 images"):
        score_captions(CANDIDATES, REFERENCES, clip_score=np.ones(5))


def test_meteor_is_pycocoevalcaps_or_says_what_it_needs(monkeypatch):
    if find_spec("pycocoevalcap") and shutil.which("java"):
        assert score_captions(CANDIDATES, REFERENCES, with_meteor=True).meteor == pytest.approx(0.35655, abs=1e-5)
    monkeypatch.setattr(scores.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="install Java and pycocoevalcap"):
        score_captions(CANDIDATES, REFERENCES, with_meteor=True)


def test_the_commonest_caption_is_that_of_the_most_images():
    captions = [["A port."] * 5, ["a river", "a bridge"], ["a  river !", " ."], ["a bridge"], [" ."], [" ."], [" ."]]
    assert commonest_captions(captions, most=3) == ["a river", "a bridge", "A port."]
    with pytest.raises(ValueError, match="No training caption has words"):
        commonest_captions([[" ."]])


def test_the_best_single_caption_is_chosen_by_cider():
    training = [["a port"], ["a port"], ["many boats in a port"], ["a church"]]
    val = [["many boats in a port"], ["many boats by a pier"], ["one church"]]
    best, score = best_single_caption(training, val)
    assert best == "many boats in a port" and score == cider_d([best] * 3, val)


def test_the_nearest_neighbor_lends_the_caption_that_it_has_most_often():
    training = np.array([[1, 0], [0, 2.0], [3, 3]])
    captions = [["one"], ["two", "three", "three"], ["four", "five"]]
    assert nearest_captions(training, captions, np.array([[0.1, 5], [1, 1], [7, 0]])) == ["three", "four", "one"]
    with pytest.raises(ValueError, match="3 training embeddings do not fit the captions of 2 images"):
        nearest_captions(training, captions[:2], training)


def test_people_are_compared_with_people_in_turn():
    references = [["a b c", "a b d"], ["g f", "g f"], ["g h", "i j", "g j"]]
    people = against_the_rest(references)
    assert len(people.references) == 2 and people.distinct == 5
    assert people.values["BLEU-1"] == pytest.approx(
        (3 * 2 + 1 + 1 + 2) / 15
    )  # words found in three turns, of all words
    everyone = against_the_rest(references, all_different=False)
    assert everyone.rouge_l[1] == 1 and everyone.rouge_l[[0, 2]] == pytest.approx(people.rouge_l)
    assert everyone.cider_d[[0, 2]] == pytest.approx(people.cider_d)
    ours = against_the_rest(references, ["a b c", "", "g h"])
    assert set(people.differences(ours)) == set(people.values)
    with pytest.raises(ValueError, match="No image has two references with words or more, all different"):
        against_the_rest([["a", "a"], ["b"]])


def test_what_baselines_reach_on_rsicd(rsicd):
    (commonest,) = commonest_captions(rsicd["train"])
    assert commonest.startswith("many buildings and green trees are in a dense residential area")
    test = rsicd["test"]
    ours = by_repeated_references([commonest] * len(test), test)
    published, once = ours["as published"].values, ours["each reference once"].values
    assert (published["BLEU-4"], published["CIDEr-D"]) == pytest.approx((0.110, 0.170), abs=5e-4)
    assert once["CIDEr-D"] == pytest.approx(0.206, abs=5e-4) and once["BLEU-4"] == published["BLEU-4"]
    assert len(ours["without repeats"].references) == 63


def test_clip_score_by_hand():
    images, captions = np.array([[1.0, 0], [0, 2], [1, 0]]), np.array([[3.0, 0], [1, 1], [-1, 0]])
    score = clip_score(images, captions)
    assert score == pytest.approx([2.5, 2.5 / np.sqrt(2), 0])
    references = [np.array([[0, 1.0], [5, 0]]), np.array([[-1.0, -1]]), np.array([[-1.0, 0]])]
    assert ref_clip_score(score, captions, references) == pytest.approx([2 * 2.5 / 3.5, 0, 0])


@pytest.fixture(scope="module")
def judges(folder, model, tmp_path_factory):
    """The captioner's CLIP, loaded twice, and another one."""
    other = tmp_path_factory.mktemp("other")
    write_checkpoint(other, tiny_config(), seed=1)
    return model, CLIP.from_pretrained(folder), CLIP.from_pretrained(other)


def test_clip_score_is_of_another_model(judges, tmp_path):
    captioners, same, judge = judges
    dataset = colors(tmp_path, 3)
    candidates = ["red", "", "a field"]
    found = clip_scores(judge, captioners, dataset, candidates, prompt="{}")
    images, texts = embed_dataset(judge, dataset)[0], embed_texts(judge, candidates)
    cosines = (images * texts).sum(axis=1)
    assert found.own == pytest.approx(2.5 * np.maximum(cosines, 0) * [1, 0, 1], abs=1e-6)
    others = (images * texts[[2, 0, 1]]).sum(axis=1)
    assert found.of_others == pytest.approx(2.5 * np.maximum(others, 0) * [1, 1, 0], abs=1e-6)
    # The caption of the third image is one of its references, which lie at a cosine of 1.
    third = found.own[2]
    assert found.with_references[1:] == pytest.approx([0, 2 * third / (third + 1)], abs=1e-6)
    bare = CaptionDataset([replace(item, captions=()) for item in dataset])
    assert clip_scores(judge, captioners, bare, candidates, prompt="{}").with_references is None
    for own in (captioners, same):
        with pytest.raises(ValueError, match="The judge is the CLIP that captioned"):
            clip_scores(own, captioners, dataset, candidates)
    with pytest.raises(ValueError, match="2 captions do not fit 3 images"):
        clip_scores(judge, captioners, dataset, candidates[:2])
    with pytest.raises(ValueError, match=r"has no \{\} where the caption goes"):
        clip_scores(judge, captioners, dataset, candidates, prompt="a photo")


def test_cider_d_has_the_same_bits_in_every_process(root):
    """Python shuffles sets from one process to the next, and sums of floats depend on their order."""
    draw = random.Random(0)
    captions = [" ".join(draw.choices("abcdefghijklmn", k=9)) for _ in range(40)]
    code = f"from utils.captioning import score_captions as score\ncaptions = {captions}\n"
    code += "print(score(captions, [[caption] * 5 for caption in captions]).cider_d.tobytes().hex())"
    said = set()
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
        said.add(run.stdout or run.stderr)
    assert len(said) == 1 and len(said.pop()) == 40 * 16 + 1
