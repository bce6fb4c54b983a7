"""The reader of pictures that come from outside: depth, bands, data, place and size, against plain arithmetic."""

import json
import os
import socket
import threading
import warnings

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import from_origin
from rasterio.warp import transform

from utils.datasets import (
    CaptionDataset,
    CaptionedImage,
    ImageError,
    ImagePreprocessing,
    ImageReading,
    data_fingerprint,
    eval_batches,
    image_of_array,
    load_dataset,
    read_image,
    train_batches,
)
from utils.datasets.images import reading
from utils.datasets.images.reading import AS_STORED, damage
from utils.finder import embed_scene, find
from utils.finder.reading import open_scene

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
PLACE = {"crs": "EPSG:32631", "transform": from_origin(430000, 4580000, 0.5, 0.5)}


def raster(path, values: np.ndarray, driver="GTiff", names=None, kinds=None, mask=None, **options):
    """Writes (bands, height, width)."""
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
    with rasterio.open(path, "w", driver=driver, dtype=values.dtype, **shape, **options) as file:
        if kinds:
            file.colorinterp = [ColorInterp[kind] for kind in kinds]
        if names:
            file.descriptions = names
        file.write(values)
        if mask is not None:
            file.write_mask(mask)
    return path


def pixels(path, how=AS_STORED) -> np.ndarray:
    return np.asarray(read_image(path, how), int)


def seen_by_the_finder(path, how=AS_STORED, longest=None) -> np.ndarray:
    with open_scene(path, how) as opened:
        return np.asarray(opened.crop((0, 0, *opened.size), longest), int)


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """(bands, height, width) to (height, width, bands) 0 to 255, by hand."""
    return np.clip((values.astype(float) - low) / (high - low) * 255, 0, 255).transpose(1, 2, 0)


def usual_range(values) -> tuple[float, float]:
    """From the 2nd to the 98th percentile and a quarter more on either side, as far as there are values."""
    low, high = np.percentile(values, (2, 98))
    return max(low - (high - low) / 4, np.min(values)), min(high + (high - low) / 4, np.max(values))


def reflectance(bands=3, top=3200, dtype=np.uint16, seed=0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(200, top, (bands, 8, 8))
    return np.kron(coarse, np.ones((1, 8, 8))).astype(dtype)


# --- depth ---------------------------------------------------------------------------------------------------

DEEP = {
    "eleven bits": reflectance(),
    "signed": reflectance(dtype=np.int16) - 900,
    "reflectance": (reflectance() / 1e4).astype(np.float32),
    "one band": reflectance(1),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_deep_pictures_are_stretched_alike_for_data_sets_and_the_finder(tmp_path, name, interleave):
    values = DEEP[name]
    path = raster(tmp_path / "deep.tif", values, interleave=interleave)
    low, high = usual_range(values)  # one range for all bands: colors keep their hue
    expected = np.broadcast_to(stretched(values, low, high), (64, 64, 3))
    for seen in (pixels(path), seen_by_the_finder(path)):
        assert np.abs(seen - expected).max() <= 1
    array = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    np.testing.assert_array_equal(np.asarray(image_of_array(array)[0]), pixels(path))


@pytest.mark.parametrize(("driver", "ending"), [("PNG", "png"), ("JP2OpenJPEG", "jp2")])
@pytest.mark.parametrize("bands", [1, 3])
def test_sixteen_bit_png_and_jpeg_2000_are_stretched(tmp_path, driver, ending, bands):
    values = reflectance(bands)
    options = {"reversible": "YES", "quality": 100} if ending == "jp2" else {}
    path = raster(tmp_path / f"deep.{ending}", values, driver, **options)
    expected = stretched(values, *usual_range(values))
    assert np.abs(pixels(path) - expected).max() <= 1


def test_a_given_range_is_the_same_for_every_picture_and_bands_are_chosen(tmp_path):
    values = reflectance(5)
    path = raster(tmp_path / "five.tif", values)
    how = ImageReading([0, 4000], [5, 4, 1])
    expected = stretched(values[[4, 3, 0]], 0, 4000)
    for seen in (pixels(path, how), seen_by_the_finder(path, how)):
        assert np.abs(seen - expected).max() <= 1
    assert np.abs(pixels(path, ImageReading((0, 4000), (2,))) - stretched(values[[1]], 0, 4000)).max() <= 1
    with pytest.raises(ImageError, match=r"five\.tif has 5 bands and none of number 6"):
        pixels(path, ImageReading(bands=[6, 5, 4]))
    assert how.describe() == {"stretch": [0.0, 4000.0], "bands": [5, 4, 1]}
    assert ImageReading(**how.describe()) == how


@pytest.mark.parametrize("ending", ["bmp", "gif", "png", "jpg", "webp", "tif"])
def test_bands_are_chosen_in_every_format(tmp_path, ending):
    path = tmp_path / f"plain.{ending}"
    Image.fromarray(np.full((16, 16, 3), (200, 100, 0), np.uint8)).save(path)
    assert np.abs(pixels(path, ImageReading(bands=(3, 2, 1))).mean((0, 1)) - (0, 100, 200)).max() <= 4
    assert np.abs(pixels(path, ImageReading(bands=(2,))) - 100.0).max() <= 4
    with pytest.raises(ImageError, match="none of number 4"):
        pixels(path, ImageReading(bands=(4, 3, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stretch": "strong"}, "stretch is 'strong'"),
        ({"stretch": (5, 5)}, "lower first"),
        ({"stretch": (0, float("nan"))}, "stretch is"),
        ({"bands": [4, 3]}, r"bands are \[4, 3\]"),
        ({"bands": [0, 1, 2]}, "counted from 1"),
        ({"bands": "432"}, "bands are '432'"),
    ],
)
def test_a_reading_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ImageReading(**options)


@pytest.mark.parametrize(("ending", "kind"), [("jfif", "JPEG"), ("JPE", "JPEG"), ("avif", "AVIF"), ("webp", "WEBP")])
def test_photographs_of_browsers_and_telephones_are_found_and_read(tmp_path, ending, kind):
    colors = np.full((40, 60, 3), (200, 120, 40), np.uint8)
    colors[:, 30:] = (40, 90, 160)
    Image.fromarray(colors).save(tmp_path / f"one.{ending}", kind)
    (item,) = load_dataset(tmp_path)
    read = np.asarray(read_image(item.path)).astype(int)
    assert read.shape == colors.shape and np.abs(read - colors).mean() < 3


def test_photographs_with_more_digits_stay_as_they_are(tmp_path):
    levels = np.random.default_rng(1).integers(0, 256, (3, 40, 50), np.uint8)
    expected = levels.transpose(1, 2, 0)
    files = [
        raster(tmp_path / "half.png", levels.astype(np.uint16) * 257, "PNG"),
        raster(tmp_path / "half.tif", levels.astype(np.uint16) * 257),
        raster(tmp_path / "unit.tif", (levels / 255).astype(np.float32)),
    ]
    for path in files:
        np.testing.assert_array_equal(pixels(path), expected)
    for array in (expected / 255.0, expected.astype(np.uint16) * 257):
        np.testing.assert_array_equal(np.asarray(image_of_array(array)[0]), expected)


def test_a_picture_of_one_value_is_gray_and_not_black(tmp_path):
    assert set(pixels(raster(tmp_path / "flat.tif", np.full((1, 9, 9), 700, np.uint16))).ravel()) == {128}


# --- one range for a data set ----------------------------------------------------------------------------------


def folder_of(tmp_path, pictures) -> CaptionDataset:
    for number, values in enumerate(pictures):
        folder = tmp_path / ("train" if number % 2 else "test") / "place"
        folder.mkdir(parents=True, exist_ok=True)
        raster(folder / f"{number}.tif", values)
    return load_dataset(tmp_path)


def test_all_pictures_of_a_sensor_share_one_range(tmp_path):
    dark, bright = reflectance(top=700), reflectance(top=3000, seed=1)
    dataset = folder_of(tmp_path, [dark, bright, dark, bright])
    (how,) = dataset.readings
    low, high = usual_range([dark, bright, dark, bright])
    assert how.stretch == pytest.approx((low, high))
    assert f"from {low:g} to {high:g}" in dataset.summary()
    for part in (dataset, dataset.split("train"), dataset[:2], dataset + dataset, dataset.subset(2)):
        assert part.readings == (how,)
    batch = next(eval_batches(dataset, ImagePreprocessing(64, (0, 0, 0), (1, 1, 1)), batch_size=4))
    for item, seen in zip(dataset, batch["images"], strict=True):
        values = dark if item.name in ("0.tif", "2.tif") else bright
        assert np.abs(seen * 255 - stretched(values, low, high)).max() <= 1
    kept = dataset.with_cache()
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(kept.open(0)), pixels(dataset[0].path, how))
    other = kept.with_reading((low, 2 * high))
    assert (np.asarray(other.open(0)) != np.asarray(kept.open(0))).any()
    plain = CaptionDataset([CaptionedImage(i.path, (), i.split, i.category, i.source) for i in dataset])
    assert data_fingerprint(plain) != data_fingerprint(dataset)


def test_a_data_set_of_several_types_or_of_8_bits_has_no_range(tmp_path):
    mixed = folder_of(tmp_path / "mixed", [reflectance(), reflectance(dtype=np.int16)])
    eight = folder_of(tmp_path / "eight", [reflectance(top=250, dtype=np.uint8)] * 2)
    assert mixed.readings == eight.readings == (ImageReading(),)
    assert eight.with_reading((0, 50)).readings == (ImageReading((0, 50)),)
    np.testing.assert_array_equal(
        pixels(eight[0].path, ImageReading((0, 50))), reflectance(top=250, dtype=np.uint8).transpose(1, 2, 0)
    )


def test_pictures_of_11_bits_score_as_the_same_ones_of_8(model, tmp_path):
    """Embeddings, which all scores come of, hardly move when each picture is stored as a sensor's counts."""
    from utils.clip import embed_images

    rng = np.random.default_rng(3)
    found = {}
    plain = [np.kron(rng.integers(0, 256, (3, 8, 8)), np.ones((1, 8, 8))).astype(np.uint8) for _ in range(8)]
    for name, pictures in (("eight", plain), ("eleven", [(values.astype(np.uint16) * 7 + 120) for values in plain])):
        dataset = folder_of(tmp_path / name, pictures)
        found[name] = embed_images(model, eval_batches(dataset, model.preprocessing, batch_size=8))
    assert (found["eight"] * found["eleven"]).sum(axis=1).min() > 0.999


def test_an_index_remembers_how_its_pictures_are_read(model, tmp_path):
    from utils.search import ImageIndex

    dataset = folder_of(tmp_path / "pictures", [reflectance(seed=seed) for seed in range(4)])
    built = ImageIndex.build(model, dataset, tmp_path / "index", progress=False)
    loaded = ImageIndex.load(tmp_path / "index", model)
    assert loaded.dataset.readings == dataset.readings != (AS_STORED,)
    with rasterio.open(dataset[1].path) as file:
        array = file.read().transpose(1, 2, 0)
    copy = tmp_path / "copy.tif"
    copy.write_bytes(dataset[1].path.read_bytes())
    for picture in (copy, array):
        best = loaded.query_image(picture, 1)[0]
        assert best.path == dataset[1].path and best.score == pytest.approx(1, abs=1e-5)
    raster(tmp_path / "pictures" / "test" / "place" / "bright.tif", reflectance(top=9000))
    folder = ImageIndex.build(model, tmp_path / "pictures", tmp_path / "index", progress=False)
    assert folder.reading == built.reading and len(folder) == 5  # so that one picture more is one embedded
    again = ImageIndex.build(model, dataset.with_reading((0, 20000)), tmp_path / "index", progress=False)
    assert again.reading.stretch == (0, 20000) and np.abs(again.embeddings - built.embeddings).max() > 1e-3


def test_the_first_deep_file_of_an_index_changes_none_of_the_others(model, tmp_path, capsys):
    from utils.search import ImageIndex

    (tmp_path / "pictures").mkdir()
    for number in range(3):
        raster(tmp_path / "pictures" / f"{number}.tif", reflectance(top=250, dtype=np.uint8, seed=number))
    builds = {"image": ImageIndex.build, "scene": ImageIndex.build_scenes}
    for kind, build in builds.items():
        build(model, tmp_path / "pictures", tmp_path / kind, progress=False)
    raster(tmp_path / "pictures" / "deep.tif", reflectance(top=3000))
    for kind, build in builds.items():
        capsys.readouterr()
        assert build(model, tmp_path / "pictures", tmp_path / kind).reading == ImageReading()
        assert f"New or changed: 1 of 4 {kind}s; kept from before: 3.\n" in capsys.readouterr().out


# --- bands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "kinds", "taken"),
    [
        (("B02", "B03", "B04"), None, (2, 1, 0)),
        (("B4, central wavelength 665 nm", "B3", "B2", "B8"), None, (0, 1, 2)),
        (("Band 1 - Coastal", "Band 2 - Blue", "Band 3 - Green", "Band 4 - Red", "Red Edge"), None, (3, 2, 1)),
        (("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"), None, (5, 3, 1)),
        (("Near Infrared", "infra-red", "red", "green", "blue"), None, (2, 3, 4)),
        (None, ("blue", "green", "red"), (2, 1, 0)),
        (("B", "G", "R", "N"), None, (2, 1, 0)),
        (("SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"), None, (2, 1, 0)),  # Landsat 5
        (("B1", "B2", "B3", "B4", "B5", "ST_B6", "B7"), None, (2, 1, 0)),
        (("B1", "B2", "B3", "B4", "B5", "B6_VCID_1", "B6_VCID_2", "B7"), None, (2, 1, 0)),  # Landsat 7
        (tuple(f"SR_B{number}" for number in range(1, 8)), None, (3, 2, 1)),  # Landsat 8
        ((None,) * 13, None, (0, 1, 2)),
        (("Herb", "Fog", "Fir", "Soil"), None, (0, 1, 2)),  # they only end in b, g and r
        (("VV", "VH"), None, (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_are_those_that_the_file_names(tmp_path, names, kinds, taken, dtype):
    values = reflectance(len(names or kinds), top=250, dtype=dtype)
    path = raster(tmp_path / "bands.tif", values, names=names, kinds=kinds, photometric="minisblack")
    chosen = values[list(taken)]
    expected = chosen.transpose(1, 2, 0)
    if dtype == np.uint16:
        expected = stretched(chosen, *usual_range(values[sorted(set(taken))]))
    for seen in (pixels(path), seen_by_the_finder(path)):
        assert np.abs(seen - expected).max() <= 1


@pytest.mark.parametrize("place", [{}, PLACE])
def test_infrared_that_is_marked_as_opacity_is_none(tmp_path, place):
    values = reflectance(4, top=250, dtype=np.uint8)
    path = raster(tmp_path / "naip.tif", values, **place)
    with rasterio.open(path) as file:
        assert file.colorinterp[3] == ColorInterp.alpha
    for seen in (pixels(path), seen_by_the_finder(path)):
        np.testing.assert_array_equal(seen, values[:3].transpose(1, 2, 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_opacity_is_opacity(tmp_path, dtype, ending):
    values = reflectance(4, top=250, dtype=dtype)
    values[3] = np.iinfo(dtype).max
    values[3, :20] = 0
    options = {"photometric": "rgb", "alpha": "yes"} if ending == "tif" else {"driver": "PNG"}
    path = raster(tmp_path / f"cut.{ending}", values, **options)
    expected = values[:3].transpose(1, 2, 0).astype(float)
    if dtype == np.uint16:
        expected = stretched(values[:3], *usual_range(values[:3, 20:]))
    expected[:20] = 0
    for seen in (pixels(path), seen_by_the_finder(path)):
        assert np.abs(seen - expected).max() <= 1


# --- data ----------------------------------------------------------------------------------------------------


def holed(kind: str, tmp_path):
    """A picture whose upper third has no data, said in one of the ways of the field, and the colors below."""
    values = reflectance()
    values[:, :20] = 0
    path = tmp_path / f"{kind}.tif"
    if kind == "nodata":
        raster(path, values, nodata=0)
    elif kind == "nan":
        floats = values.astype(np.float32)
        floats[:, :20] = np.nan
        raster(path, floats)
    elif kind == "low":
        signed = values.astype(np.int16)
        signed[:, :20] = -32768
        raster(path, signed, nodata=-32768)
    elif kind == "mask":
        values[:, :20] = 9000
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            raster(path, values, mask=np.repeat([0, 255], [20, 44])[:, None].repeat(64, 1).astype(np.uint8))
    else:
        raster(path, values)  # a frame of zeros, and not a word
    return path, values[:, 20:]


@pytest.mark.parametrize("kind", ["nodata", "nan", "low", "mask", "frame"])
def test_what_has_no_data_is_black_and_does_not_stretch_the_rest(tmp_path, kind):
    path, below = holed(kind, tmp_path)
    expected = stretched(below, *usual_range(below))
    for seen in (pixels(path), seen_by_the_finder(path)):
        assert seen[:20].max() == 0 and np.abs(seen[20:] - expected).max() <= 1
    with open_scene(path) as opened:
        data = opened.overview().data
    assert data[:20].max() == 0 and data[20:].min() == 1


@pytest.mark.parametrize("nodata", [None, 7])
def test_what_stands_beside_a_picture_counts_where_it_changes_it(tmp_path, nodata):
    values = np.random.default_rng(0).integers(0, 20, (1, 30, 40), np.uint8)
    path = raster(tmp_path / "beside.png", values, "PNG")
    with rasterio.open(path, "r+") as file:
        file.update_tags(made="by somebody")
        if nodata is not None:
            file.nodata = nodata
    assert (tmp_path / "beside.png.aux.xml").exists()
    expected = np.where(values[0] == nodata, 0, values[0]) if nodata else values[0]
    np.testing.assert_array_equal(pixels(path)[..., 0], expected)


def test_a_palette_with_a_number_for_no_data(tmp_path):
    numbers = np.repeat([0, 1, 2], [10, 10, 12])[:, None].repeat(32, 1).astype(np.uint8)
    path = tmp_path / "classes.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=32, width=32, dtype="uint8", nodata=0, **PLACE
    ) as file:
        file.write_colormap(1, {0: (255, 0, 0), 1: (0, 200, 0), 2: (10, 20, 30)})
        file.write(numbers, 1)
    for seen in (pixels(path), seen_by_the_finder(path)):
        assert [tuple(seen[row, 5]) for row in (5, 15, 25)] == [(0, 0, 0), (0, 200, 0), (10, 20, 30)]
    with open_scene(path) as opened:
        assert opened.overview().data[:10].max() == 0
        half = np.asarray(opened.crop((0, 16, 32, 24), longest=8))  # colors are averaged, not their numbers
    assert tuple(half[0, 0]) == (0, 200, 0) and tuple(half[1, 0]) == (10, 20, 30)


@pytest.mark.parametrize("nodata", [0, None])
def test_tiles_without_data_are_left_out_and_partly_empty_ones_marked(model, tmp_path, nodata):
    canvas = np.zeros((3, 192, 192), np.uint8)
    canvas[:, 64:144, 48:128] = reflectance(3, top=250, dtype=np.uint8)[:, :1, :1] | np.random.default_rng(0).integers(
        1, 250, (3, 80, 80), dtype=np.uint8
    )
    scene = embed_scene(model, raster(tmp_path / "flight.tif", canvas, nodata=nodata, **PLACE), [192, 64])
    inside = canvas.any(axis=0)
    shares = [inside[top:bottom, left:right].mean() for left, top, right, bottom in scene.boxes]
    np.testing.assert_allclose(scene.data_shares, shares, atol=0.01)
    assert min(shares) >= 0.25 and len(scene.boxes) + scene.left_out == 1 + 25
    finding = find(model, scene, "port")
    partly = {tile.box for tile in finding.tiles if tile.partly_empty}
    assert partly == {tuple(box) for box, share in zip(scene.boxes.tolist(), shares, strict=True) if share < 0.99}
    tile = json.loads(finding.save_json(tmp_path / "port.json").read_text())["tiles"][0]
    assert tile["partly_empty"] == (finding.tiles[0].data_share < 0.99) and "data_share" in tile
    with pytest.raises(ImageError, match="has data in at most 0% of a tile"):
        embed_scene(model, raster(tmp_path / "empty.tif", np.zeros_like(canvas), nodata=nodata, **PLACE))


def test_a_scene_with_a_strip_of_data_says_what_to_do(model, tmp_path):
    canvas = np.zeros((3, 192, 192), np.uint8)
    canvas[:, :, 90:100] = 90
    path = raster(tmp_path / "strip.tif", canvas, nodata=0, **PLACE)
    with pytest.raises(ImageError, match=r"at most 5% of a tile.*smaller tile sizes"):
        embed_scene(model, path, [192])
    assert len(embed_scene(model, path, [32]).boxes)


# --- size ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overviews", [False, True])
def test_what_is_read_smaller_is_the_mean_of_what_lies_under_it(tmp_path, overviews):
    values = (np.random.default_rng(0).random((3, 512, 512)) < 0.5).astype(np.uint8) * 255
    path = raster(tmp_path / "noise.tif", values, tiled=True, blockxsize=64, blockysize=64, **PLACE)
    if overviews:
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4, 8])  # as most programs do, by picking every other pixel
    means = values.reshape(3, 64, 8, 64, 8).mean(axis=(2, 4)).transpose(1, 2, 0)
    assert np.abs(seen_by_the_finder(path, longest=64) - means).max() <= 1


def test_means_do_not_count_what_has_no_data(tmp_path):
    values = reflectance(1, top=250, dtype=np.uint8)
    values[0, ::2] = 0
    path = raster(tmp_path / "lines.tif", values, nodata=0, **PLACE)
    np.testing.assert_array_equal(
        seen_by_the_finder(path, longest=32)[..., 0], values[0, 1::2].reshape(32, 32, 2).mean(axis=2)
    )


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_more_pixels_than_pillow_decodes_are_averaged_down_with_a_word(tmp_path, monkeypatch, ending):
    values = np.kron(np.arange(64).reshape(8, 8), np.ones((16, 16))).astype(np.uint8)
    path = tmp_path / f"large.{ending}"
    Image.fromarray(values).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 128 * 128 - 1)
    monkeypatch.setattr(reading, "LARGEST_SIDE", 32)
    with pytest.warns(UserWarning, match=r"large\.\w+ has 128 x 128 pixels; it is read at 32 x 32"):
        seen = pixels(path)
    np.testing.assert_array_equal(seen[..., 0], values.reshape(32, 4, 32, 4).mean(axis=(1, 3)))


# --- place ---------------------------------------------------------------------------------------------------


def geojson(model, path, tmp_path):
    scene = embed_scene(model, path, [64])
    return json.loads(find(model, scene, "port").save_geojson(tmp_path / "port.geojson").read_text())


def rings(geometry):
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [np.array(polygon[0]) for polygon in polygons]


def area(ring):
    x, y = ring.T
    return np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2


def test_a_reference_system_without_a_transform_is_no_place(model, tmp_path):
    path = raster(tmp_path / "lost.tif", reflectance(), crs="EPSG:32631")
    with pytest.raises(ValueError, match=r"lost\.tif names a coordinate reference system, but no transform"):
        geojson(model, path, tmp_path)


def test_ground_control_points_and_camera_models_are_no_place(model, tmp_path):
    points = [GroundControlPoint(row, column, 2 + column * 1e-4, 41) for row in (0, 64) for column in (0, 64)]
    with pytest.raises(ValueError, match=r"gcps\.tif has ground control points in place .*gdalwarp"):
        geojson(model, raster(tmp_path / "gcps.tif", reflectance(), gcps=points, crs="EPSG:4326"), tmp_path)
    line = [0.0] * 20
    rpc = RPC(0, 1, 41, 1, line, line, 32, 32, 2, 1, line, line, 32, 32)
    with pytest.raises(ValueError, match=r"camera model .*orthorectify"):
        geojson(model, raster(tmp_path / "rpc.tif", reflectance(), rpcs=rpc), tmp_path)


@pytest.mark.parametrize(
    ("crs", "origin", "step"),
    [
        ("EPSG:32660", (780000, 100000), 2000),  # UTM 60 N
        ("EPSG:32701", (120000, 8100000), 2000),  # UTM 1 S
        ("EPSG:3857", (2.0e7, 1e6), 2000),
        ("EPSG:4326", (175, 10), 0.2),  # beyond 180
        ("EPSG:3031", (-1e5, -5e5), 3000),  # beside the South Pole
    ],
)
def test_outlines_over_the_antimeridian_are_cut(model, tmp_path, crs, origin, step):
    path = raster(tmp_path / "dateline.tif", reflectance(), crs=crs, transform=from_origin(*origin, step, step))
    (feature,) = geojson(model, path, tmp_path)["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    west, east = sorted(rings(feature["geometry"]), key=lambda ring: -ring[:, 0].mean())
    for ring in (west, east):
        assert area(ring) > 0 and np.abs(ring[:, 0]).max() == 180 and np.ptp(ring[:, 0]) < 30
        np.testing.assert_array_equal(ring[0], ring[-1])
    assert west[:, 0].min() > 0 > east[:, 0].max()
    # Every corner is a point of one of the parts, where PROJ says that it lies.
    left, top = origin
    corners = [(left + x * 64 * step, top - y * 64 * step) for x in (0, 1) for y in (0, 1)]
    for longitude, latitude in zip(*transform(crs, "EPSG:4326", *zip(*corners, strict=True)), strict=True):
        wrapped = (longitude + 180) % 360 - 180
        distances = np.abs(np.concatenate([west, east]) - (wrapped, latitude)).max(axis=1)
        assert distances.min() < 1e-6


@pytest.mark.parametrize("crs", ["EPSG:3413", "EPSG:3031"])
@pytest.mark.parametrize(("left", "top"), [(-1.1e6, 1.2e6), (0, 0), (-1e6, 0)], ids=["within", "corner", "edge"])
def test_a_tile_that_holds_a_pole_has_no_outline(model, tmp_path, crs, left, top):
    path = raster(tmp_path / "pole.tif", reflectance(), crs=crs, transform=from_origin(left, top, 31250, 31250))
    (feature,) = geojson(model, path, tmp_path)["features"]
    assert feature["geometry"] is None and feature["properties"]["rank"] == 1


# --- files ---------------------------------------------------------------------------------------------------


def in_time(function, *arguments):
    """Calls a function in a thread, so that one that waits for ever fails the test instead."""
    found = []

    def call():
        try:
            found.append(function(*arguments))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it waits for ever"
    return found[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_what_is_no_regular_file_never_hangs(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket.jpg"))
        for name in ("pipe", "folder", "nowhere", "socket"):
            path = tmp_path / f"{name}.jpg"
            for how in (read_image, seen_by_the_finder):
                error = in_time(how, path)
                assert isinstance(error, ImageError) and f"{name}.jpg" in str(error)
            assert damage(path)


def whole(path, ending):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "bmp", "webp", "gif", "avif"])
def test_damage_is_seen_and_wholeness_too(tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    content = whole(path, ending)
    assert damage(path) == ""
    path.write_bytes(content[: len(content) // 2])
    assert damage(path)
    path.write_bytes(b"<html>not found</html>")
    assert damage(path) == "not an image"
    path.write_bytes(b"")
    assert damage(path)
    if ending == "jpg":
        path.write_bytes(content + bytes(10))  # padded, and whole
        assert damage(path) == ""
    if ending == "png":
        path.write_bytes(content[:2000] + b"?" + content[2001:])
        assert damage(path)


def test_damaged_pictures_are_left_out_counted_and_named(tmp_path):
    for number in range(6):
        folder = tmp_path / ("train" if number < 4 else "val") / "port"
        folder.mkdir(parents=True, exist_ok=True)
        content = whole(folder / f"{number}.jpg", "jpg")
        if number in (1, 5):
            (folder / f"{number}.jpg").write_bytes(content[:600])
    with pytest.warns(UserWarning, match=r"2 images are damaged and are left out: 1\.jpg, 5\.jpg"):
        dataset = load_dataset(tmp_path)
    assert [item.name for item in dataset] == ["0.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert "damaged 2: 1.jpg, 5.jpg" in dataset.summary()
    assert [item.name for item, _ in dataset.split("val").damaged] == ["5.jpg"]
    assert {path.name for path, _ in dataset.verify().unreadable} == {"1.jpg", "5.jpg"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*of one category")
        assert len(load_dataset(tmp_path, check_files=False)) == 6


def test_training_goes_on_past_a_picture_that_breaks_later(tmp_path):
    items = []
    for number in range(5):
        whole(tmp_path / f"{number}.png", "png")
        items.append(CaptionedImage(tmp_path / f"{number}.png", (f"picture {number}",), "train", None, "test"))
    (tmp_path / "2.png").write_bytes(b"broken")
    settings = {"batch_size": 5, "epochs": 1, "seed": 0, "workers": 0}
    with pytest.warns(UserWarning, match=r"2\.png .* next image takes its place"):
        (batch,) = train_batches(
            CaptionDataset(items), ImagePreprocessing(32), lambda texts: np.arange(len(texts))[:, None], **settings
        )
    assert sorted(batch["index"]) == [0, 1, 3, 3, 4] and (batch["tokens"][:, 0] == batch["index"]).all()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_tiffs_are_turned_once(tmp_path, orientation, depth, compression):
    values = np.full((40, 80), 50, depth)
    values[:20, :20] = 200
    values[30:, 70:] = 90
    Image.fromarray(values).save(tmp_path / "turned.tif", tiffinfo={274: orientation}, compression=compression)
    ways = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a.T, 2),
        8: lambda a: np.rot90(a),
    }
    upright = ways.get(orientation, lambda a: a)(values)
    expected = upright if depth == np.uint8 else stretched(upright[None], 50, 200)[..., 0]
    for seen in (pixels(tmp_path / "turned.tif"), seen_by_the_finder(tmp_path / "turned.tif")):
        assert seen.shape[:2] == upright.shape and np.abs(seen[..., 0] - expected).max() <= 1


def test_a_scene_shares_its_stretch_among_its_tiles(tmp_path):
    values = np.stack([np.arange(64 * 64).reshape(64, 64)] * 3).astype(np.uint16)
    path = raster(tmp_path / "ramp.tif", values, **PLACE)
    expected = stretched(values, *usual_range(values))
    with open_scene(path) as opened:
        for box in ((0, 0, 16, 16), (40, 40, 64, 64)):
            left, top, right, bottom = box
            assert np.abs(np.asarray(opened.crop(box), int) - expected[top:bottom, left:right]).max() <= 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_turned_pngs_are_turned_once(tmp_path, monkeypatch, depth):
    values = np.full((40, 80), 50, depth)
    values[:20, :20] = 200
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(values, -1)
    expected = upright if depth == np.uint8 else stretched(upright[None], 50, 200)[..., 0]
    for limit in (10**6, 40 * 80 - 1):  # whole, and as one that is too large for Pillow
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert np.abs(pixels(tmp_path / "turned.png")[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_that_breaks_off_is_refused_by_whatever_reads_it(dtype, tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (60, 50)).astype(dtype)
    Image.fromarray(values).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    assert (damage(tmp_path / "whole.png"), damage(tmp_path / "cut.png") != "") == ("", True)
    for how in (ImageReading(), ImageReading(bands=(1,))):
        with pytest.raises(ImageError, match="truncated"):
            read_image(tmp_path / "cut.png", how)
        assert read_image(tmp_path / "whole.png", how).size == (50, 60)


def test_complex_numbers_and_deep_inks_are_refused(tmp_path):
    radar = raster(tmp_path / "radar.tif", np.ones((1, 9, 9), np.complex64))
    for how in (read_image, seen_by_the_finder):
        with pytest.raises(ImageError, match=r"radar\.tif holds complex numbers"):
            how(radar)
