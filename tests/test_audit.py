"""The audit before scores: real RSICD, edited copies, its measures beside scipy's and Pillow's, known overlaps."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.bench_audit import make_copies
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.evaluation import near_duplicates
from utils.evaluation.audit import Audit, CaptionOverlap, audit_overlap, caption_overlap, draw_pairs, overlap_warning
from utils.evaluation.near_duplicates import SMALL, DuplicatePair, find_near_duplicates, outlines, shrink_images, turned
from utils.evaluation.registration import WHOLE, Level, agreement, register, stretch_weights


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
            *("stadium_151 stadium_55", "stadium_161 stadium_181", "stadium_169 stadium_56", "stadium_170 stadium_71"),
            *("stadium_204 stadium_208", "stadium_205 stadium_209", "stadium_206 stadium_210"),
            *("industrial_20 industrial_58", "industrial_21 industrial_62"),
            *("railwaystation_100 railwaystation_20", "railwaystation_212 railwaystation_81"),
            *("railwaystation_52 railwaystation_9", "railwaystation_8 railwaystation_91"),
        )
    }
    upside_down = [pair for pair in pairs if pair.orientation == "upside down"]
    assert names(upside_down) == {frozenset(f"stadium_{n}.jpg" for n in pair) for pair in ((204, 208), (206, 210))}
    assert sum(pair.first.split != pair.second.split for pair in pairs) == 10


def test_four_stadiums_of_rsicds_test_split_stand_in_train(rsicd):
    stadiums = of_categories(rsicd, "stadium")
    found = audit_overlap(stadiums.split("train"), stadiums.split("test"))
    assert found.leaked == ("stadium_55.jpg", "stadium_56.jpg", "stadium_63.jpg", "stadium_71.jpg")
    total = len(found.test)
    assert found.warning.startswith(
        f"4 of {total} rsicd test images are near-duplicates of training images: stadium_55.jpg (stadium_151.jpg), "
    )
    assert found.warning.endswith("their scores are too high.")
    assert found.warning in str(found)
    assert len(found.clean_test) == total - 4


def test_eleven_percent_of_rsicds_test_captions_stand_in_train(rsicd):
    overlap = caption_overlap(rsicd.split("train"), rsicd.split("test"))
    assert overlap.total == 5465
    assert overlap.share == pytest.approx(0.11, abs=0.005)


def test_99_of_100_copies_of_real_images_are_found(rsicd, tmp_path):
    """Cropped down to 0.8 of each side, turned or mirrored, resized, stored as JPEG; the benchmark takes more."""
    originals = rsicd.split("test").subset(300, seed=1)
    made = make_copies(originals, tmp_path, seed=1)
    pairs = find_near_duplicates(originals + made)
    found = {pair.second.name for pair in pairs if pair.first.path.stem == pair.second.path.stem}
    assert len(found) >= 0.99 * len(made)
    others = {frozenset(pair.split()) for pair in ("parking_381 parking_56", "parking_382 parking_58")}
    assert {frozenset((p.first.path.stem, p.second.path.stem)) for p in pairs if p.second.name not in found} <= others


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
        "turned": picture.transpose(Image.Transpose.ROTATE_90),
        "mirrored": picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "corner": picture.crop((width // 5, height // 5, width, height)),
        "crop of AID": picture.crop([round(edge * width) for edge in (0.0625, 0.0625, 0.9375, 0.9375)]),
        "upside down": picture.crop((0, 0, round(0.85 * width), height)).transpose(Image.Transpose.ROTATE_180),
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
    originals, edited_kinds = {item.path.stem for item in scenes}, {item.source for item in edited}
    hits = Counter()
    for pair in pairs:
        assert pair.first.path.stem.split("-")[0] == pair.second.path.stem.split("-")[0], str(pair)
        if pair.first.path.stem in originals:
            hits[pair.second.source] += 1
            assert pair.first.split != pair.second.split
    assert {kind: hits[kind] for kind in edited_kinds - {"all"} if hits[kind] < 40} == {}
    assert hits["all"] >= 38


# --- measures ---------------------------------------------------------------------------------------------


def test_outlines_are_scipys_cosine_coefficients():
    """Of a quarter of a picture, halved: all coefficients up to a frequency, weighted, without the mean."""
    from scipy.fft import dctn

    picture = np.random.default_rng(0).integers(0, 256, (SMALL, SMALL)).astype(np.uint8)
    found = outlines(picture[None], np.array([[0.5, 0.5, 0.5, 0]], np.float32))[0, 0]
    quarter = picture[SMALL // 2 :, : SMALL // 2].astype(float)
    expected = [
        coefficient * np.hypot(*place) ** 0.5
        for place, coefficient in np.ndenumerate(dctn(quarter, norm="ortho")[:6, :6])
        if 0 < np.hypot(*place) <= 6
    ]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_detail_is_what_scipys_blur_takes_off():
    from scipy.ndimage import gaussian_filter

    picture = np.random.default_rng(0).uniform(40, 200, (1, 32, 32)).astype(np.float32)
    plain = picture[0] - gaussian_filter(picture[0], 2.0)
    even = plain / np.sqrt(gaussian_filter(plain**2, 2.0) + 9)
    for level, expected in ((Level(32, 2.0), plain), (Level(32, 2.0, noise=3.0), even)):
        expected = expected - expected.mean()
        found = level.detail(picture, WHOLE)[0]
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("size, side", [(32, 64), (16, 32), (32, 48)])
def test_views_average_areas_as_pillow_does(size, side):
    picture = np.random.default_rng(1).integers(0, 256, (side, side), dtype=np.uint8)
    share, start = 0.8, 0.125
    box = (0, start * side, side, (start + share) * side)
    expected = Image.fromarray(picture).resize((side, size), Image.Resampling.BOX, box=box)
    weights = stretch_weights(np.array([[share, start]], np.float32), size, side)[0]
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-4)
    if (share * side / size).is_integer():
        np.testing.assert_allclose(weights @ picture, np.asarray(expected), atol=1)


def test_the_view_that_a_copy_shows_is_found(scenes):
    """Pillow cuts; the steps find where, to half a percent of a side, from a view that is 4 percent off."""
    pictures = [Image.open(item.path).convert("L").resize((320, 320), Image.Resampling.BICUBIC) for item in scenes]
    generator, boxes, images, copies = np.random.default_rng(2), [], [], []
    for picture in pictures:
        height, width = generator.uniform(0.82, 0.96, 2)
        top, left = generator.uniform(0, 1, 2) * (1 - np.array([height, width]))
        boxes.append([height, top, width, left])
        box = tuple(320 * edge for edge in (left, top, left + width, top + height))
        images.append(np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BOX)))
        copies.append(np.asarray(picture.resize((SMALL, SMALL), Image.Resampling.BOX, box=box)))
    near = np.array(boxes, np.float32) + np.array([[0.04, -0.02, -0.03, 0.02]], np.float32)
    left, correlations, views = register(np.stack(images), np.stack(copies), near, Level(32, 4.0), [-1.0] * 7)
    assert left.tolist() == list(range(len(scenes))), "no bar was set"
    sure = correlations > 0.9
    assert sure.mean() > 0.9
    assert np.abs(views - boxes)[sure].max() < 0.01


def test_orientations_are_pillows():
    picture = np.random.default_rng(3).integers(0, 256, (5, 5), dtype=np.uint8)
    ways = [
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.ROTATE_180,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE,
    ]
    for number, way in enumerate(ways):
        image = Image.fromarray(picture)
        expected = np.asarray(image if way is None else image.transpose(way))
        np.testing.assert_array_equal(turned(picture[None], number)[0], expected)


def test_equal_images_without_any_detail_are_equal(tmp_path):
    flat = [stored(Image.new("RGB", (96, 96), color), tmp_path / f"{color}.png") for color in ("navy", "teal")]
    again = stored(Image.new("RGB", (50, 50), "teal"), tmp_path / "again.png")
    (pair,) = find_near_duplicates(items(*flat, again))
    assert (pair.first.name, pair.second.name, pair.detail_correlation) == ("teal.png", "again.png", 1.0)


def test_equal_images_are_registered_as_one(tmp_path, monkeypatch):
    equal = [noise(tmp_path / f"{number}.png", 1) for number in range(3)]
    mirrored = [
        stored(Image.open(equal[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT), tmp_path / f"m{number}.png")
        for number in range(2)
    ]
    seen, register = [], near_duplicates._registered_pairs
    monkeypatch.setattr(near_duplicates, "_registered_pairs", lambda small: seen.append(len(small)) or register(small))
    pairs = find_near_duplicates(items(*equal, *mirrored))
    assert seen == [2]
    assert len(names(pairs)) == len(pairs) == 5 * 4 / 2
    assert sum(pair.orientation == "mirrored" for pair in pairs) == 3 * 2


def test_small_blocks_give_the_same_pairs(tmp_path, monkeypatch):
    paths = [noise(tmp_path / f"{number}.png", number % 7) for number in range(20)]
    whole = find_near_duplicates(items(*paths))
    assert len(whole) == 6 * 3 + 1, "six groups of three and one of two"
    for sizes in ({"BLOCK": 3, "CHUNK": 4}, {"COLUMNS": 7, "CHUNK": 5}):
        for name, size in sizes.items():
            monkeypatch.setattr(near_duplicates, name, size)
        assert find_near_duplicates(items(*paths)) == whole
    assert find_near_duplicates(items()) == ()


def test_equal_detail_in_opposite_light_is_no_copy(tmp_path):
    """The detail of the two agrees; what differs is what anyone sees first."""
    texture = np.asarray(Image.open(noise(tmp_path / "noise.png", 3)).convert("L"), float) - 128
    light = np.linspace(-80, 80, 96)
    paths = [
        stored(Image.fromarray((128 + 0.3 * texture + side * light).astype(np.uint8)), tmp_path / f"{side}.png")
        for side in (1, -1)
    ]
    small, _ = shrink_images(items(*paths))
    assert agreement(small[:1], small[1:], WHOLE, near_duplicates.FINE)[0] > 0.9
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
        DuplicatePair(train[0], train[1], 0.91),
        *(DuplicatePair(train[0], test[number], 0.987) for number in range(4)),
        DuplicatePair(train[1], test[0], 0.8, 0.874, "turned by a quarter"),
    )
    unsplit = replace(pairs[5], second=replace(test[0], split=None))
    how = "(detail 0.80, 87% of a side, turned by a quarter)"
    assert str(unsplit) == f"other val b.png and mine no split 0.png {how}"
    found = Audit(train, test, pairs, CaptionOverlap(1200, 6000, 1100, ("a port",)), ("7.png",))
    assert found.across == pairs[1:] and found.leaked == ("0.png", "1.png", "2.png", "3.png")
    assert len(found.clean_test) == 1496 and found.clean_test.name == "mine test"
    assert str(found).splitlines() == [
        "mine test (1,500 images) beside mine train (2 images)",
        "  near-duplicates  6 pairs, 5 of them across",
        *(f"    mine train a.png and mine test {n}.png (detail 0.99)" for n in range(4)),
        "    other val b.png and mine test 0.png (detail 0.80, 87% of a side, turned by a quarter)",
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


@pytest.mark.parametrize(
    "folder, told",
    [
        ("AID", "RSICD holds images of AID"),
        ("aid_dataset/images", "RSICD holds images of AID"),
        ("WHU-RS19", "RSICD holds images of WHU-RS19: 636 of its 1,005 images"),
        ("whu_rs19/test", "RSICD holds images of WHU-RS19"),
        ("RS19", "RSICD holds images of WHU-RS19"),
    ],
)
def test_what_rsicd_holds_is_known_by_name(folder, told, tmp_path):
    """By the name that was asked for, by a name on the Hub, and by the folders that the images lie in."""
    for name in ("Airport", "Beach"):
        noise(tmp_path / "data" / folder / name / "1.png", len(name))
    other = load_dataset(tmp_path / "data" / folder)
    unnamed = items(tmp_path / "published" / "RSICD_images" / "a.png", source="captions")
    for one in ("rsicd", "flax-community/clip-rsicd-v2", items(tmp_path / "a.png", source="rsicd"), unnamed):
        assert told in overlap_warning(one, other)
        assert overlap_warning(one, other) == overlap_warning(other, one)
    assert overlap_warning("rsicd", folder.split("/")[0]).startswith(told)
    assert told in overlap_warning("data/checkpoints/clip-earth-small", other)
    assert overlap_warning("ucm", other) is None


def test_other_names_draw_no_warning(tmp_path):
    """Nor does a folder that both data sets lie in, whatever its name."""
    both = tmp_path / "rsicd_and_aid" / "data"
    one, other = (items(both / name / "1.png", source=name) for name in ("mine", "ucm"))
    assert overlap_warning(one, other) is None
    names = ("ucm", "Sydney", "EuroSAT", "braid", "rs1", "said")
    assert not any(overlap_warning("rsicd", name) for name in names)
    assert overlap_warning("rsicd", "rsicd") is overlap_warning("aid", "whu-rs19") is None


def test_rsicds_file_names_tell_aids_counts(rsicd):
    """The counts that Xia et al. published for AID's 30 categories, in alphabetical order of RSICD's names."""
    published = (
        *(360, 310, 220, 400, 360, 260, 240, 350, 410, 300, 370, 250, 390, 280, 290),
        *(340, 350, 390, 370, 420, 380, 260, 290, 410, 300, 300, 330, 290, 360, 420),
    )
    named = rsicd.named()
    counts = Counter(item.category for item in named)
    assert len(named) == 10_000 and [counts[name] for name in sorted(counts)] == list(published)


def test_pairs_are_drawn_side_by_side(tmp_path):
    paths = [noise(tmp_path / f"{number}.png", 0) for number in range(3)]
    figure = draw_pairs(find_near_duplicates(items(*paths)))
    titles = [axis.get_title(loc="center") for axis in figure.axes if axis.images]
    assert titles == [f"mine train\n{number}.png" for number in (0, 1, 0, 2, 1, 2)]


def test_what_cannot_be_audited_is_said_in_a_sentence(tmp_path):
    one = items(noise(tmp_path / "1.png", 1))
    with pytest.raises(ValueError, match="needs training and test images, not 0 and 1"):
        audit_overlap(items(), one)
