"""The audit before scores: real RSICD, copies that were edited, ImageHash's own distances, names known to overlap."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.evaluation import near_duplicates
from utils.evaluation.audit import Audit, CaptionOverlap, audit_overlap, caption_overlap, draw_pairs, overlap_warning
from utils.evaluation.near_duplicates import SMALL, DuplicatePair, detail_correlation, find_near_duplicates, hash_images


@pytest.fixture(scope="module")
def rsicd(shared: Path) -> CaptionDataset:
    return load_dataset("rsicd", shared / "data")


@pytest.fixture(scope="module")
def scenes() -> CaptionDataset:
    """Miniature pictures of every category, flat ones among them."""
    return load_dataset("miniature", split="val").named().subset(40)


def stored(picture: Image.Image, path: Path, **options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def noise(path: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return stored(Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC), path)


def items(*paths: Path, split: str = "train", source: str = "mine") -> CaptionDataset:
    rows = [CaptionedImage(path, (f"caption of {path.stem}",), split, None, source) for path in paths]
    return CaptionDataset(rows, f"{source} {split}")


def names(pairs) -> set[frozenset[str]]:
    return {frozenset((pair.first.name, pair.second.name)) for pair in pairs}


# --- real images ------------------------------------------------------------------------------------------


def of_categories(dataset: CaptionDataset, *names: str) -> CaptionDataset:
    return CaptionDataset([item for item in dataset if item.category in names], dataset.name)


def test_real_rsicd_holds_these_pairs_and_no_others(rsicd):
    """Every one was looked at; the flat categories are where false alarms would come from."""
    built = of_categories(rsicd, "industrial", "port", "railwaystation", "stadium")
    flat = of_categories(rsicd, "bareland", "beach", "desert", "farmland", "meadow", "pond")
    pairs = find_near_duplicates(built + flat.subset(400))
    assert names(pairs) == {
        frozenset(f"{name}.jpg" for name in pair.split())
        for pair in (
            "industrial_203 industrial_205",
            "industrial_222 industrial_302",
            "port_183 port_248",
            "railwaystation_221 railwaystation_234",
            "stadium_190 stadium_63",
            "stadium_6 stadium_93",
            "stadium_188 stadium_194",
            "stadium_100 stadium_95",
        )
    }
    assert sum(pair.first.split != pair.second.split for pair in pairs) == 3


def test_a_stadium_of_rsicds_test_split_stands_in_train(rsicd):
    stadiums = of_categories(rsicd, "stadium")
    found = audit_overlap(stadiums.split("train"), stadiums.split("test"))
    assert found.leaked == ("stadium_63.jpg",)
    total = len(found.test)
    assert found.warning.startswith(
        f"1 of {total} rsicd test images are near-duplicates of training images: stadium_63.jpg (stadium_190.jpg)"
    )
    assert found.warning.endswith("their scores are too high.")
    assert found.warning in str(found)
    assert len(found.clean_test) == total - 1


def test_eleven_percent_of_rsicds_test_captions_stand_in_train(rsicd):
    overlap = caption_overlap(rsicd.split("train"), rsicd.split("test"))
    assert overlap.total == 5465
    assert overlap.share == pytest.approx(0.11, abs=0.005)


def copies(picture: Image.Image) -> dict[str, Image.Image]:
    width, height = picture.size
    right, lower = round(0.95 * width), round(0.95 * height)
    margin = round(0.025 * width)
    cropped = picture.crop((width - right, height - lower, width, height))
    return {
        "half": picture.resize((width // 2, height // 2)),
        "enlarged": picture.resize((width * 3 // 2, height * 3 // 2)),
        "jpeg": Image.open(io.BytesIO(jpeg(picture))),
        "middle": picture.crop((margin, margin, width - margin, height - margin)),
        "all": Image.open(io.BytesIO(jpeg(cropped.resize((width * 4 // 5, height * 4 // 5))))),
    }


def jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=60)
    return data.getvalue()


def test_edited_copies_are_found_and_unrelated_images_are_not(scenes, tmp_path):
    edited = []
    for item in scenes:
        for kind, picture in copies(Image.open(item.path).convert("RGB")).items():
            path = stored(picture, tmp_path / f"{item.path.stem}-{kind}.png")
            edited.append(replace(item, path=path, split="test", source=kind))
    pairs = find_near_duplicates(scenes + CaptionDataset(edited))
    originals = {item.path.stem for item in scenes}
    hits = Counter()
    for pair in pairs:
        assert pair.first.path.stem.split("-")[0] == pair.second.path.stem.split("-")[0], str(pair)
        if pair.first.path.stem in originals:
            hits[pair.second.source] += 1
            assert pair.first.split != pair.second.split
    assert [hits[kind] for kind in ("half", "enlarged", "jpeg", "middle")] == [40] * 4
    assert hits["all"] >= 37


# --- measures ---------------------------------------------------------------------------------------------


def test_hash_distance_is_what_imagehash_says(scenes):
    chosen = scenes[:6]
    hashes, *_ = hash_images(chosen)
    ours = (256 - hashes @ hashes.T) / 2
    theirs = [imagehash.phash(Image.open(item.path).convert("L"), hash_size=16) for item in chosen]
    assert ours.tolist() == [[one - other for other in theirs] for one in theirs]


def test_detail_correlation_against_scipy():
    """Of two pictures that line up as they are: numpy's correlation of what scipy's blur takes off."""
    from scipy.ndimage import gaussian_filter, zoom

    rng = np.random.default_rng(0)
    base = zoom(rng.uniform(40, 200, (16, 16)), 3, order=0)
    first = base.astype(np.uint8)[None]
    second = np.clip(base + rng.normal(0, 25, base.shape), 0, 255).astype(np.uint8)[None]

    def detail(picture: np.ndarray) -> np.ndarray:
        # Thirds of 48 pixels make halves of 32: doubling and averaging by three is the exact mean of areas.
        doubled = picture[0].repeat(2, axis=0).repeat(2, axis=1).astype(float)
        small = doubled.reshape(32, 3, 32, 3).mean(axis=(1, 3))
        return small - gaussian_filter(small, 2.0)

    expected = np.corrcoef(detail(first).ravel(), detail(second).ravel())[0, 1]
    assert 0.5 < expected < 0.99
    assert detail_correlation(first, second)[0] == pytest.approx(expected, abs=1e-4)


def test_equal_images_without_any_detail_are_equal():
    flat = np.full((2, SMALL, SMALL), 7, np.uint8)
    other = np.stack([flat[0], flat[1] + 60])
    assert detail_correlation(flat, other).tolist() == pytest.approx([1, 0], abs=1e-6)


def test_small_blocks_give_the_same_pairs(tmp_path, monkeypatch):
    paths = [noise(tmp_path / f"{number}.png", number % 7) for number in range(20)]
    whole = find_near_duplicates(items(*paths))
    assert len(whole) == 6 * 3 + 1, "six groups of three and one of two"
    for sizes in ({"BLOCK": 3, "CHUNK": 4}, {"BLOCK": 20, "CHUNK": 5}):
        for name, size in sizes.items():
            monkeypatch.setattr(near_duplicates, name, size)
        assert find_near_duplicates(items(*paths)) == whole
    assert find_near_duplicates(items()) == ()


def test_equal_detail_in_opposite_light_is_no_copy(tmp_path):
    """The hash and the detail of the two agree; what differs is what anyone sees first."""
    texture = np.asarray(Image.open(noise(tmp_path / "noise.png", 3)).convert("L"), float) - 128
    light = np.linspace(-80, 80, 96)
    paths = [
        stored(Image.fromarray((128 + 0.3 * texture + side * light).astype(np.uint8)), tmp_path / f"{side}.png")
        for side in (1, -1)
    ]
    hashes, small, _ = hash_images(items(*paths))
    assert np.sum(hashes[0] != hashes[1]) < 104
    assert detail_correlation(small[:1], small[1:]) > 0.9
    assert find_near_duplicates(items(*paths)) == ()


# --- what a score must say --------------------------------------------------------------------------------


def test_a_training_image_in_the_test_set_is_named_as_such(tmp_path):
    paths = [noise(tmp_path / f"{number}.png", number) for number in range(3)]
    found = audit_overlap(items(*paths), items(paths[0], noise(tmp_path / "new.png", 9), split="test"))
    assert found.shared_files == ("0.png",)
    assert "1 of 2 mine test images are training images themselves" in found.warning
    assert [item.name for item in found.clean_test] == ["new.png"]


def test_a_report_made_by_hand():
    train = CaptionDataset([*items(Path("a.png")), *items(Path("b.png"), split="val", source="other")], "mine train")
    test = items(*(Path(f"{number}.png") for number in range(1500)), split="test")
    pairs = (
        DuplicatePair(train[0], train[1], 9, 0.91),
        *(DuplicatePair(train[0], test[number], 30, 0.987) for number in range(4)),
        DuplicatePair(train[1], test[0], 31, 0.8),
    )
    unsplit = replace(pairs[5], second=replace(test[0], split=None))
    assert str(unsplit).startswith("other val b.png and mine no split 0.png (31 of 256 bits")
    found = Audit(train, test, pairs, CaptionOverlap(1200, 6000, 1100, ("a port",)), ("7.png",))
    assert found.across == pairs[1:] and found.leaked == ("0.png", "1.png", "2.png", "3.png")
    assert len(found.clean_test) == 1496 and found.clean_test.name == "mine test"
    assert str(found).splitlines() == [
        "mine test (1,500 images) beside mine train (2 images)",
        "  near-duplicates  6 pairs, 5 of them across",
        *(f"    mine train a.png and mine test {n}.png (30 of 256 bits, detail 0.99)" for n in range(4)),
        "    other val b.png and mine test 0.png (31 of 256 bits, detail 0.80)",
        "  same captions    1,200 of 6,000 (20.0%), on 1,100 images",
        "    a port",
        "  1 of 1,500 mine test images are training images themselves. 4 of 1,500 mine test images are near-duplicates "
        "of training images: 0.png (a.png), 1.png (a.png), 2.png (a.png), ...; their scores are too high.",
    ]


def test_equal_captions_are_counted_by_hand():
    def with_captions(*rows: tuple[str, ...]) -> CaptionDataset:
        return CaptionDataset(CaptionedImage(Path("x.png"), row, "test", None, "mine") for row in rows)

    train = with_captions(("a", "b"), ("c", "d", "e"))
    test = with_captions(("a", "a", "x"), ("b",), ("z",), ("b", "b", "c", "d", "d"))
    found = caption_overlap(train, test)
    assert found == CaptionOverlap(8, 10, 3, ("b", "a", "d")) and found.share == 0.8
    assert caption_overlap(train, with_captions(())).share == 0


def test_nothing_found_needs_no_warning(tmp_path):
    train, test = (items(noise(tmp_path / f"{seed}.png", seed)) for seed in (1, 2))
    found = audit_overlap(train, test)
    assert found.warning is None and found.leaked == () and len(found.clean_test) == 1
    assert [text.get_text() for text in draw_pairs(found.pairs).axes[0].texts] == ["no images"]


def test_aid_is_known_to_be_inside_rsicd(tmp_path):
    for name in ("Airport", "Beach"):
        noise(tmp_path / "AID" / name / "1.png", len(name))
    aid = load_dataset(tmp_path / "AID")
    rsicd = items(tmp_path / "a.png", source="rsicd")
    for train, test in ((rsicd, aid), ("rsicd", "AID"), ("aid", "rsicd test")):
        assert "RSICD holds images of AID" in overlap_warning(train, test)
    assert overlap_warning(rsicd, "ucm") is None
    assert overlap_warning("ucm", aid) is None
    assert overlap_warning("aid", "ucm") is overlap_warning("ucm", "rsicd") is None


def test_pairs_are_drawn_side_by_side(tmp_path):
    paths = [noise(tmp_path / f"{number}.png", 0) for number in range(3)]
    figure = draw_pairs(find_near_duplicates(items(*paths)))
    titles = [axis.get_title(loc="center") for axis in figure.axes if axis.images]
    assert titles == [f"mine train\n{number}.png" for number in (0, 1, 0, 2, 1, 2)]


def test_what_cannot_be_audited_is_said_in_a_sentence(tmp_path):
    one = items(noise(tmp_path / "1.png", 1))
    with pytest.raises(ValueError, match="needs training and test images, not 0 and 1"):
        audit_overlap(items(), one)
