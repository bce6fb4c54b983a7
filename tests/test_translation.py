"""Back-translation: the published rule, the cache, bad input. Marian itself is tested in test_marian.py."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.translation import (
    LANGUAGES,
    BackTranslation,
    TranslationCache,
    TranslationError,
    backtranslate,
    distances,
    find_failures,
    load_or_backtranslate,
)
from utils.translation.backtranslation import plan_replacements


class Echo:
    """A translator that marks what it did and counts how often."""

    name = "echo"
    languages = frozenset(LANGUAGES)

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def translate(self, texts, source, target):
        self.seen += [(source, target, text) for text in texts]
        return [f"{text} [{source}-{target}]" for text in texts]


class Recorded:
    """Answers from a table of what Marian once gave."""

    name = "recorded"
    languages = frozenset(LANGUAGES)

    def __init__(self, path: Path) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        self.answers = {(row["language"], row["caption"]): row["backtranslation"] for row in rows}

    def translate(self, texts, source, target):
        if source == "en":
            return [f"{target}:{text}" for text in texts]
        return [self.answers[source, text.removeprefix(f"{source}:")] for text in texts]


def make_dataset(*rows: tuple[str, ...], split: str = "train") -> CaptionDataset:
    items = [
        CaptionedImage(Path(f"/images/{number}.jpg"), captions, split, None, "own")
        for number, captions in enumerate(rows)
    ]
    return CaptionDataset(items, "own")


# --- the rule ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("captions", "plan"),
    [
        ("abcde", []),
        ("aabcd", [(0, "fr")]),
        ("abcda", [(0, "fr")]),
        ("aabbc", [(0, "fr"), (2, "fr")]),
        ("ababa", [(0, "fr"), (1, "fr"), (2, "es")]),
        ("aaaaa", [(0, "fr"), (1, "es"), (2, "it"), (3, "pt")]),
        ("aaaaaaa", [(0, "fr"), (1, "es"), (2, "it"), (3, "pt")]),
        ("", []),
    ],
)
def test_the_last_copy_stays_and_each_repeated_caption_starts_at_french(captions, plan):
    assert plan_replacements(captions) == plan


def test_replaying_the_recorded_translations_gives_the_published_captions(shared):
    folder = shared / "data" / "backtranslation"
    translator = Recorded(folder / "recorded_marian_train.tsv")
    raw = load_dataset("rsicd", data_dir=shared / "data")
    augmented = backtranslate(raw, translator)
    train = augmented.dataset.split("train")

    ours = [{"filename": f"rsicd_images/{item.name}", "captions": list(item.captions)} for item in train]
    published = (folder / "textaug_train_rsicd.jsonl").read_text().splitlines()
    assert ours == [json.loads(line) for line in published]
    assert len(ours) == 8_734
    assert sum(len(item.captions) for item in train) == 43_670
    assert len({caption for item in raw.split("train") for caption in item.captions}) == 12_973
    assert len({caption for item in train for caption in item.captions}) == 25_874
    for split in ("val", "test"):
        assert list(augmented.dataset.split(split)) == list(raw.split(split))


def test_each_distinct_caption_is_translated_once_for_each_language():
    translator = Echo()
    dataset = make_dataset(("a", "a", "a"), ("a", "a", "b"), ("b", "b", "b"))
    backtranslate(dataset, translator)
    assert len(translator.seen) == len(set(translator.seen))
    there = [(target, text) for source, target, text in translator.seen if source == "en"]
    assert sorted(there) == [("es", "a"), ("es", "b"), ("fr", "a"), ("fr", "b")]


def test_only_the_train_split_is_changed_unless_asked():
    dataset = make_dataset(("a", "a")) + make_dataset(("a", "a"), split="test")
    assert {new.image for new in backtranslate(dataset, Echo()).replacements} == {0}
    everything = backtranslate(dataset, Echo(), splits=None)
    assert {new.image for new in everything.replacements} == {0, 1}
    assert dataset[0].captions == ("a", "a")


def test_three_data_sets_go_through_in_one_call(shared, tmp_path):
    data = shared / "data"
    with pytest.warns(UserWarning, match="604 of 613"):
        sydney = load_dataset("sydney", data_dir=data)
    joined = load_dataset("rsicd", data_dir=data) + load_dataset("ucm", data_dir=data) + sydney
    augmented = backtranslate(joined, Echo())
    touched = {joined[new.image].source for new in augmented.replacements}
    assert touched == {"rsicd", "ucm", "sydney"}

    augmented.write(tmp_path / "all.jsonl")
    again = load_dataset(tmp_path / "all.jsonl", data_dir=joined.image_root)
    assert list(again) == list(augmented.dataset)


# --- provenance and files ------------------------------------------------------------------------------------


def test_the_file_says_where_every_caption_came_from(root, tmp_path):
    raw = load_dataset("miniature").split("train")[:40]
    augmented = backtranslate(raw, Echo())
    augmented.write(tmp_path / "new" / "captions.jsonl")
    again = load_dataset(tmp_path / "new" / "captions.jsonl", data_dir=raw.image_root)
    assert list(again) == list(augmented.dataset)

    lines = [json.loads(line) for line in (tmp_path / "new" / "captions.jsonl").read_text().splitlines()]
    for item, line in zip(raw, lines, strict=True):
        for original, caption, origin in zip(item.captions, line["captions"], line["origins"], strict=True):
            if origin is None:
                assert caption == original
            else:
                assert origin["original"] == original
                assert caption == f"{origin['pivot']} [{origin['language']}-en]"
    assert list(load_dataset("miniature").split("train")[:40]) == list(raw)


def test_a_written_file_gives_its_captions_to_the_same_images_only(tmp_path):
    joined = make_dataset(("a", "a"), ("b", "b"))
    items = [replace(item, path=Path("/images/own") / item.name) for item in joined]
    raw = CaptionDataset([*items, replace(items[0], path=Path("/images/other/0.jpg"), source="other")], "own")
    backtranslate(raw, Echo()).write(tmp_path / "new.jsonl")
    again = load_or_backtranslate(raw[1:2], tmp_path / "new.jsonl", "no model", "no model")
    assert [item.captions for item in again] == [("b [en-fr] [fr-en]", "b")]
    unknown = CaptionDataset([replace(items[1], source="elsewhere", captions=("c",))])
    with pytest.warns(UserWarning, match="no captions for 1 of 1 images"):
        assert load_or_backtranslate(unknown, tmp_path / "new.jsonl", "", "")[0].captions == ("c",)


def test_an_image_in_a_folder_is_not_taken_for_its_namesake_above(tmp_path):
    items = [
        CaptionedImage(Path(f"/images/{name}"), (caption,) * 2, "train", None, "own")
        for name, caption in (("0.jpg", "above"), ("deep/0.jpg", "below"))
    ]
    raw = CaptionDataset(items, "own")
    augmented = backtranslate(raw, Echo())
    augmented.write(tmp_path / "new.jsonl")
    again = load_or_backtranslate(raw, tmp_path / "new.jsonl", "no model", "no model")
    assert list(again) == list(augmented.dataset)


def test_images_named_from_the_working_folder_are_written_and_read_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw = CaptionDataset(
        [CaptionedImage(Path(f"images/{name}.jpg"), (name, name), "train", None, "own") for name in "ab"], "own"
    )
    backtranslate(raw, Echo()).write("new.jsonl")
    assert [json.loads(line)["filename"] for line in Path("new.jsonl").read_text().splitlines()] == ["a.jpg", "b.jpg"]
    again = load_or_backtranslate(raw, "new.jsonl", "no model", "no model")
    assert [item.captions for item in again] == [("a [en-fr] [fr-en]", "a"), ("b [en-fr] [fr-en]", "b")]


def test_without_a_file_the_captions_are_translated_now(root, tmp_path):
    folder = root / "data" / "checkpoints"
    raw = make_dataset(("many planes are parked in an airport .",) * 2)
    models = (folder / "marian-miniature-en-romance", folder / "marian-miniature-romance-en")
    again = load_or_backtranslate(raw, tmp_path / "new.jsonl", *models)
    assert again[0].captions[0] != again[0].captions[1] == raw[0].captions[1]
    assert not (tmp_path / "new.jsonl").exists()


def test_captions_that_the_translators_do_not_know_stay(root, tmp_path, capsys):
    folder = root / "data" / "checkpoints"
    raw = make_dataset(("the committee has postponed its decision until further notice .",) * 2)
    models = (folder / "marian-miniature-en-romance", folder / "marian-miniature-romance-en")
    assert load_or_backtranslate(raw, tmp_path / "new.jsonl", *models)[0].captions == raw[0].captions
    assert "do not know such captions" in capsys.readouterr().out
    different = make_dataset(("a road .", "a river ."))  # nothing repeats, so nothing is asked of them
    assert load_or_backtranslate(different, tmp_path / "new.jsonl", *models)[0].captions == different[0].captions
    assert "do not know" not in capsys.readouterr().out


def test_dropping_a_back_translation_puts_the_original_back():
    augmented = backtranslate(make_dataset(("a", "a", "a")), Echo())
    kept = augmented.without(augmented.replacements[:1])
    assert kept.dataset[0].captions == ("a", "a [en-es] [es-en]", "a")


# --- the cache -----------------------------------------------------------------------------------------------


def test_a_second_run_translates_nothing_and_another_setting_everything(tmp_path):
    dataset = make_dataset(("a", "a"), ("b", "b"))
    with TranslationCache(tmp_path / "cache.sqlite") as cache:
        first = backtranslate(dataset, Echo(), cache)
    with TranslationCache(tmp_path / "cache.sqlite") as cache:
        again, other = Echo(), Echo()
        other.name = "echo with 4 beams"
        assert backtranslate(dataset, again, cache) == first
        backtranslate(dataset, other, cache)
    assert again.seen == []
    assert len(other.seen) == 4


SLOW_RUN = """
import sys, time
from tests.test_translation import Echo, make_dataset
from utils.translation import TranslationCache, backtranslate

class Slow(Echo):
    def translate(self, texts, source, target):
        time.sleep(0.02)
        with open(sys.argv[2], "a") as log:
            log.writelines(f"{source} {target} {text}\\n" for text in texts)
        return super().translate(texts, source, target)

dataset = make_dataset(*[(f"caption {number}",) * 5 for number in range(100)])
with TranslationCache(sys.argv[1]) as cache:
    backtranslate(dataset, Slow(), cache, batch_size=4)
    print(len(cache))
"""


def start_run(root: Path, cache: Path, log: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", SLOW_RUN, str(cache), str(log)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, lines: int, process: subprocess.Popen) -> None:
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)


def test_a_killed_run_resumes_without_repeating_finished_work(root, tmp_path):
    cache, log = tmp_path / "cache.sqlite", tmp_path / "log.txt"
    process = start_run(root, cache, log)
    wait_for_lines(log, 300, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with TranslationCache(cache) as kept:
        finished = len(kept)
    assert 0 < finished < 800

    rest = tmp_path / "rest.txt"
    process = start_run(root, cache, rest)
    assert process.communicate(timeout=60)[0].strip() == "800"
    assert len(rest.read_text().splitlines()) == 800 - finished
    assert len(set(log.read_text().splitlines()) & set(rest.read_text().splitlines())) <= 4  # the batch cut off


def test_two_runs_at_once_share_one_cache(root, tmp_path):
    runs = [start_run(root, tmp_path / "cache.sqlite", tmp_path / f"{name}.txt") for name in "ab"]
    assert [run.communicate(timeout=120)[0].strip() for run in runs] == ["800", "800"]
    assert [run.returncode for run in runs] == [0, 0]


def test_a_full_disk_keeps_what_was_there(tmp_path):
    with TranslationCache(tmp_path / "cache.sqlite") as cache:
        cache.add("echo", "en", "fr", {"kept": "gardé"})
        cache._connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(TranslationError, match=r"cache\.sqlite: the disk is full .* safe"):
            cache.add("echo", "en", "fr", {f"caption {number}": "x" * 1000 for number in range(100)})
    with TranslationCache(tmp_path / "cache.sqlite") as cache:
        assert cache.find("echo", "en", "fr", ["kept", "caption 1"]) == {"kept": "gardé"}


def test_a_file_that_is_not_a_cache_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are notes. " * 100)
    with pytest.raises(TranslationError, match="not a cache of translations"):
        TranslationCache(path)
    assert path.read_text() == "These are notes. " * 100


# --- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("a", "a")], {"languages": ("fr", "xx")}, "echo knows es, fr, it, pt, .* not fr, xx"),
        ([("a", "a")], {"languages": ("fr", "fr")}, "each to be named once, not fr, fr"),
        ([("a", "a"), (" ", " ")], {}, r"caption 1 of /images/1\.jpg has 0 words"),
        ([("tree " * 300,) * 2], {}, r"caption 1 of /images/0\.jpg has 300 words"),
    ],
)
def test_bad_input_is_refused_before_anything_is_translated(rows, options, message):
    translator = Echo()
    with pytest.raises(TranslationError, match=message):
        backtranslate(make_dataset(*rows), translator, **options)
    assert translator.seen == []


def test_a_batch_of_no_text_is_refused():
    for size in (0, -1):
        with pytest.raises(TranslationError, match=f"batch size is {size}"):
            backtranslate(make_dataset(("a", "a")), Echo(), batch_size=size)


def test_a_translator_that_loses_a_text_is_found_out():
    class Forgetful(Echo):
        def translate(self, texts, source, target):
            return super().translate(texts, source, target)[1:]

    with pytest.raises(TranslationError, match="gave 0 texts for 1"):
        backtranslate(make_dataset(("a", "a")), Forgetful())


# --- quality -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pivot", "text", "failure"),
    [
        ("beaucoup d'arbres", "", "empty"),
        ("beaucoup d'arbres", " . ", "empty"),
        ("many green trees .", "many verdant trees", "untranslated"),
        ("beaucoup d'arbres", "beaucoup d'arbres", "untranslated"),
        ("beaucoup d'arbres", "many gray gray gray trees", "degenerate"),
        ("beaucoup d'arbres", "near the sea near the sea near the sea", "degenerate"),
        ("beaucoup d'arbres", "many " + "fine " * 2 + "old green trees and bushes", "degenerate"),
        ("beaucoup d'arbres", "trees", "degenerate"),
        ("beaucoup d'arbres", "Many green trees.", "unchanged"),
        ("beaucoup d'arbres", "lots of green trees", None),
    ],
)
def test_failures_are_found_by_the_stated_rule(pivot, text, failure):
    new = BackTranslation(0, 0, "fr", "many green trees .", pivot, text)
    found = find_failures([new])
    assert {name for name, cases in found.items() if cases} == ({failure} if failure else set())


def test_distances_of_known_pairs():
    pairs = [("many planes", "many planes"), ("many planes", "several ships"), ("a b c d", "a b x y")]
    measured = distances([BackTranslation(0, 0, "fr", before, "", after) for before, after in pairs])
    assert measured.chrf[0] == pytest.approx(100)
    assert measured.chrf[1] < 20
    assert measured.token_overlap.tolist() == pytest.approx([1, 0, 2 / 6])


def test_captions_that_come_back_as_others_are_told_from_helsinkis_translations(shared):
    path = shared / "data" / "backtranslation" / "recorded_marian_train.tsv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[::100]
    real = [BackTranslation(0, 0, "fr", row["caption"], "", row["backtranslation"]) for row in rows]
    assert distances(real).are_small
    shifted = zip(real, real[len(real) // 2 :] + real[: len(real) // 2], strict=True)
    assert not distances([replace(ours, text=theirs.text) for ours, theirs in shifted]).are_small
    assert not distances([]).are_small


def test_the_published_captions_hold_what_the_rule_finds(shared):
    translator = Recorded(shared / "data" / "backtranslation" / "recorded_marian_train.tsv")
    augmented = backtranslate(load_dataset("rsicd", data_dir=shared / "data"), translator)
    failures = find_failures(augmented.replacements)
    assert {name: len(cases) for name, cases in failures.items()} == {
        "empty": 0,
        "untranslated": 0,
        "degenerate": 2,
        "unchanged": 7_392,
    }
    assert any("catene-catene-catene" in new.text for new in failures["degenerate"])
