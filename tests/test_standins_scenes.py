"""The miniature: pixels, files, captions and what happens when a build goes wrong."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standins.scenes import CATEGORIES, build, build_miniature
from standins.scenes.english import NOUNS, NUMBERS
from standins.scenes.grammar import write_caption, write_captions
from standins.scenes.render import SIZE, SceneFacts, Thing, render_scene

from utils.files import workers

COUNTS = {"train": 2, "val": 1, "test": 1}
COLORS = ("red", "orange", "brown", "gray", "white", "blue", "green", "yellow")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A small miniature, drawn by two processes."""
    folder = tmp_path_factory.mktemp("built") / "miniature"
    return build_miniature(folder, images_per_split=COUNTS, progress=False, workers=2)


@pytest.fixture(scope="module")
def annotations(built) -> dict:
    return json.loads((built / "dataset_rsicd.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scenes() -> list[SceneFacts]:
    """Facts of three scenes of each category."""
    return [
        render_scene(category, np.random.default_rng([7, label, number]))[1]
        for label, category in enumerate(CATEGORIES)
        for number in range(3)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_scene_is_the_same_to_the_pixel_for_a_seed():
    for category in CATEGORIES[::6]:
        first, again, other = (render_scene(category, np.random.default_rng(seed)) for seed in (3, 3, 4))
        assert first[0].size == (SIZE, SIZE) and first[0].mode == "RGB"
        np.testing.assert_array_equal(first[0], again[0])
        assert first[1] == again[1]
        assert not np.array_equal(first[0], other[0])


def test_the_number_of_processes_changes_nothing(built, tmp_path):
    alone = build_miniature(tmp_path / "alone", images_per_split=COUNTS, progress=False, workers=1)
    assert files_of(alone) == files_of(built)


def test_where_no_process_can_be_started_one_draws_them_all(built, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))  # of its locks, where /dev/shm takes no file

    monkeypatch.setattr(workers, "ProcessPoolExecutor", refuse)
    alone = build_miniature(tmp_path / "alone", images_per_split=COUNTS, progress=False, workers=2)
    assert files_of(alone) == files_of(built)


def test_another_seed_gives_other_images(tmp_path):
    first, second = (
        build_miniature(tmp_path / str(seed), seed, {"train": 1}, progress=False, workers=1) for seed in (0, 1)
    )
    images, others = files_of(first), files_of(second)
    assert images.keys() == others.keys()
    jpegs = [name for name in images if name.endswith(".jpg")]
    assert all(images[name] != others[name] for name in jpegs)


def test_every_category_has_its_share_of_every_split(annotations):
    named = [image for image in annotations["images"] if image["filename"].find("_") > 0]
    shares = Counter((image["filename"].split("_")[0], image["split"]) for image in named)
    assert shares == {(category, split): n for category in CATEGORIES for split, n in COUNTS.items()}


def test_the_default_is_300_named_test_images_and_some_unnamed_ones():
    jobs = build._plan(Path(), 0, build.IMAGES_PER_SPLIT)
    test = [job.filename for job in jobs if job.split == "test"]
    named = [name for name in test if name.find("_") > 0]
    assert len(named) == 300
    assert 0.04 <= 1 - len(named) / len(test) <= 0.07
    assert len({job.filename for job in jobs}) == len({job.seed for job in jobs}) == len(jobs)


def test_every_image_is_listed_and_readable(built, annotations):
    names = [image["filename"] for image in annotations["images"]]
    assert sorted(names) == sorted(path.name for path in (built / "RSICD_images").iterdir())
    for name in names[::17]:
        with Image.open(built / "RSICD_images" / name) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (224, 224))


def test_class_lists_name_the_class_of_every_image(built, annotations):
    classes = {
        name: path.stem.replace(" ", "")
        for path in (built / "txtclasses_rsicd").glob("*.txt")
        for name in path.read_text(encoding="utf-8").split()
    }
    assert classes.keys() == {image["filename"] for image in annotations["images"]}
    assert all(name.split("_")[0] == kind for name, kind in classes.items() if "_" in name)
    assert "playfields" in classes.values()


def shape_of(value) -> object:
    """The keys and types of a JSON value, lists by their first entry."""
    if isinstance(value, dict):
        return {key: shape_of(entry) for key, entry in value.items()}
    return [shape_of(value[0])] if isinstance(value, list) else type(value)


def test_the_json_has_the_form_of_rsicd(annotations, shared):
    published = json.loads((shared / "data" / "RSICD" / "dataset_rsicd.json").read_text(encoding="utf-8"))
    assert shape_of(annotations) == shape_of(published)
    images = annotations["images"]
    assert [image["imgid"] for image in images] == list(range(len(images)))
    sentences = [sentence for image in images for sentence in image["sentences"]]
    assert [sentence["sentid"] for sentence in sentences] == list(range(len(sentences)))
    assert all(len(image["sentences"]) == 5 for image in images)
    for sentence in sentences:
        assert sentence["raw"] == " ".join(sentence["tokens"]) + " ."
        assert sentence["raw"] == sentence["raw"].lower()


def test_captions_repeat_as_often_as_in_rsicd(scenes):
    groups = [
        (number, write_captions(facts, np.random.default_rng([seed, number])))
        for number, facts in enumerate(scenes)
        for seed in range(12)
    ]
    assert all(len(captions) == 5 for _, captions in groups)
    single = np.mean([len(set(captions)) == 1 for _, captions in groups])
    assert 0.45 < single < 0.6
    assert {len(set(captions)) for _, captions in groups} == {1, 2, 3, 4, 5}


def test_captions_are_shared_between_images_but_not_all(scenes):
    images = defaultdict(set)
    for number, facts in enumerate(scenes):
        for caption in write_captions(facts, np.random.default_rng(number)):
            images[caption].add(number)
    shared_share = np.mean([len(numbers) > 1 for numbers in images.values()])
    assert 0.02 < shared_share < 0.5


def things_called(facts: SceneFacts, word: str) -> list[Thing]:
    """The things of a scene that a word of a caption may stand for."""
    return [
        thing
        for thing in (facts.main, *facts.within, *facts.around)
        if any(word in (noun.one, noun.many) for noun in NOUNS[thing.name])
    ]


def claims_of(caption: str) -> list[tuple[str | None, str | None, str]]:
    """What a caption claims of its things: (number word, color, noun)."""
    nouns = sorted({form for entry in NOUNS.values() for noun in entry for form in (noun.one, noun.many)}, key=len)
    numbers = "|".join([*list(NUMBERS.values())[1:], "several", "many"])
    pattern = (
        rf"(?:\b({numbers}) )?(?:pieces? of )?(?:(?:round|oval|rectangular|irregular|curved|hexagonal|ring-shaped) )?"
        rf"(?:\b({'|'.join(COLORS)}) )?\b({'|'.join(reversed(nouns))})\b"
    )
    return [match.groups() for match in re.finditer(pattern, caption)]


def test_numbers_and_colors_in_captions_are_true(scenes):
    words = {word: count for count, word in NUMBERS.items()}
    checked = Counter()
    for number, facts in enumerate(scenes):
        for seed in range(15):
            caption = write_caption(facts, np.random.default_rng([seed, number]))
            for quantity, color, noun in claims_of(caption):
                things = things_called(facts, noun)
                if quantity in words and things:
                    assert words[quantity] in [thing.count for thing in things], caption
                    checked["number"] += 1
                if quantity in ("several", "many") and things:
                    assert max(thing.count for thing in things) >= 3, caption
                if color and things:
                    assert color in [thing.color for thing in things], caption
                    checked["color"] += 1
    assert min(checked["number"], checked["color"]) > 100, "too few claims were found to have tested anything"


def test_a_scene_without_a_thing_never_speaks_of_it():
    bare = SceneFacts("stadium", Thing("stadium", 1, "white", "oval"))
    for seed in range(200):
        caption = write_caption(bare, np.random.default_rng(seed))
        assert "stadium" in caption
        assert not re.search(r"tree|parking|building|house|road|many|several|\{", caption), caption


def test_most_captions_name_the_category_as_rsicd_speaks(scenes):
    captions = [
        (facts, write_caption(facts, np.random.default_rng([seed, number])))
        for number, facts in enumerate(scenes)
        for seed in range(5)
    ]
    named = [
        any(form in caption for noun in NOUNS[facts.main.name] for form in (noun.one, noun.many))
        for facts, caption in captions
    ]
    assert 0.8 < np.mean(named) < 1
    spoken = " ".join(caption for _, caption in captions)
    for words in ("storage tank", "baseball field", "railway station", "bare land", "dense residential area"):
        assert words in spoken


def test_an_unknown_category_is_refused():
    with pytest.raises(ValueError, match="no category 'volcano'"):
        render_scene("volcano", np.random.default_rng(0))


def test_a_second_build_draws_nothing(built, monkeypatch):
    monkeypatch.setattr(build, "_draw_all", lambda *_: pytest.fail("it was drawn again"))
    before = files_of(built)
    assert build_miniature(built, images_per_split=COUNTS, progress=False) == built
    assert files_of(built) == before


def test_other_parameters_replace_the_old_build(tmp_path):
    folder = tmp_path / "miniature"
    build_miniature(folder, images_per_split={"train": 1}, progress=False, workers=1)
    build_miniature(folder, images_per_split={"val": 1}, progress=False, workers=1)
    images = json.loads((folder / "dataset_rsicd.json").read_text(encoding="utf-8"))["images"]
    assert {image["split"] for image in images} == {"val"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_build_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    drawn = []

    def run_dry(category, rng):
        drawn.append(category)
        if len(drawn) > 5:
            raise OSError("no space left on device")
        return render_scene(category, rng)

    folder = tmp_path / "miniature"
    with monkeypatch.context() as patch:
        patch.setattr(build, "render_scene", run_dry)
        with pytest.raises(OSError, match="no space"):
            build_miniature(folder, images_per_split={"train": 1}, progress=False, workers=1)
    assert list(tmp_path.iterdir()) == []
    build_miniature(folder, images_per_split={"train": 1}, progress=False, workers=1)
    assert len(list((folder / "RSICD_images").iterdir())) == len(CATEGORIES)


def test_a_build_that_is_killed_leaves_no_data_set_and_can_be_repeated(tmp_path, root):
    folder = tmp_path / "miniature"
    process = subprocess.Popen(
        [sys.executable, "-m", "standins.scenes", str(folder)],
        cwd=root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not any(tmp_path.rglob("*.jpg")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert any(tmp_path.rglob("*.jpg")), "it had not begun to draw"
    assert not folder.exists()
    leftover = next(tmp_path.iterdir())
    os.utime(leftover, (0, 0))  # as if it had lain there for long
    build_miniature(folder, images_per_split={"train": 1}, progress=False, workers=1)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_other_things_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(FileExistsError, match="not a miniature"):
        build_miniature(tmp_path, images_per_split={"train": 1}, progress=False)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "years of work"
