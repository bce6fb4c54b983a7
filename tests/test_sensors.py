"""Rasters as programs of the field write them: opacity, single bands without data, scales, and places on the Earth."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window
from test_reading import pixels, raster, reflectance, rings, seen_by_the_finder, stretched, usual_range

from utils.datasets import ImageReading
from utils.finder.place import on_the_globe
from utils.finder.reading import open_scene

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.mark.parametrize("compress", ["none", "deflate"])
def test_blocks_that_were_never_written_are_black(tmp_path, compress):
    shape = {"count": 3, "height": 64, "width": 64, "dtype": "uint8", "photometric": "rgb"}
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True, "compress": compress}
    with rasterio.open(tmp_path / "sparse.tif", "w", driver="GTiff", **shape, **blocks) as file:
        file.write(np.full((3, 16, 16), 200, np.uint8), window=Window(16, 32, 16, 16))
    expected = np.zeros((64, 64, 3))
    expected[32:48, 16:32] = 200
    np.testing.assert_array_equal(pixels(tmp_path / "sparse.tif"), expected)


@pytest.mark.parametrize("full", [1, 255, 65535])
def test_opacity_of_a_deep_raster_may_end_at_the_value_of_a_shallow_one(tmp_path, full):
    values = reflectance(4)
    values[3] = np.where(np.arange(64) < 20, 0, full)[:, None]
    path = raster(tmp_path / "cut.tif", values, photometric="rgb", alpha="yes")
    expected = stretched(values[:3], *usual_range(values[:3, 20:]))
    expected[:20] = 0
    assert np.abs(pixels(path) - expected).max() <= 1


def test_colours_that_are_laid_on_black_already_are_not_laid_on_it_twice(tmp_path):
    values = reflectance(4, top=250, dtype=np.uint8)
    values[3] = np.where(np.arange(64) < 8, 128, 255)[:, None]
    values[:3, :8] //= 2
    path = raster(tmp_path / "laid.tif", values, photometric="rgb", alpha="premultiplied", crs="EPSG:32631")
    for seen in (pixels(path), seen_by_the_finder(path)):
        assert np.abs(seen - values[:3].transpose(1, 2, 0)).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "nodata"), [(np.uint16, 65535), (np.int16, -32768), (np.float32, 1e20), (np.float32, np.nan)]
)
def test_a_band_without_data_is_black_where_others_have_some(tmp_path, dtype, nodata):
    values = reflectance(dtype=dtype)
    if dtype == np.float32:
        values = (values / -100).astype(dtype)  # as decibels: zero would be bright
    limits = usual_range(np.concatenate([values[0, :, 16:].ravel(), values[1:].ravel()]))
    expected = stretched(values, *limits)
    expected[:, :16, 0] = 0
    values[0, :, :16] = nodata
    path = raster(tmp_path / "edge.tif", values, nodata=nodata)
    assert np.abs(pixels(path) - expected).max() <= 1
    means = seen_by_the_finder(path, longest=8)
    assert means[:, :2, 0].max() == 0
    np.testing.assert_allclose(means[..., 1:], expected[4::8, 4::8, 1:], atol=1)
    with open_scene(path) as opened:
        assert opened.overview().data.min() == 1


def test_a_band_without_data_is_black_though_its_own_type_has_no_value_so_low(tmp_path):
    values = reflectance()
    values[0, :, :16] = 0
    expected = stretched(values, -1000, 3000)
    expected[:, :16, 0] = 0
    path = raster(tmp_path / "edge.tif", values, nodata=0)
    assert np.abs(pixels(path, ImageReading((-1000, 3000))) - expected).max() <= 1


def test_bands_on_several_scales_are_brought_to_one(tmp_path):
    values = reflectance()
    path = raster(tmp_path / "packed.tif", values)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4, 2e-4, 4e-4), (0, -0.1, -0.2)
    physical = values * np.reshape([1e-4, 2e-4, 4e-4], (3, 1, 1)) - np.reshape([0, 0.1, 0.2], (3, 1, 1))
    assert np.abs(pixels(path) - stretched(physical, *usual_range(physical))).max() <= 1
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
    assert np.abs(pixels(path) - stretched(values, *usual_range(values))).max() <= 1


# --- place ---------------------------------------------------------------------------------------------------


def placed(tmp_path, crs, transform):
    path = raster(tmp_path / "placed.tif", reflectance(), crs=crs, transform=transform)
    with open_scene(path) as opened:
        return opened.place


SITE = 'LOCAL_CS["site grid",UNIT["metre",1]]'


@pytest.mark.parametrize("crs", [SITE, "+proj=longlat +R=1737400 +no_defs", "EPSG:4978"])
def test_what_is_no_map_of_the_earth_is_no_place_on_it(tmp_path, crs):
    place = placed(tmp_path, crs, from_origin(10, 50, 0.1, 0.1))
    assert place.crs is None and "no longitude and latitude follow" in place.reason


def outline(crs, left, bottom, right, top):
    (geometry,) = on_the_globe(np.array([[[left, top], [left, bottom], [right, bottom], [right, top]]]), crs)
    return geometry


def test_a_grid_whose_pixels_lie_on_the_pole_ends_there():
    (ring,) = rings(outline("EPSG:4326", 0, 45, 60, 90.5))
    assert (ring[:, 0].min(), ring[:, 0].max(), ring[:, 1].min(), ring[:, 1].max()) == (0, 60, 45, 90)


def test_a_tile_of_all_longitudes_is_all_around():
    (ring,) = rings(outline("EPSG:4326", -180, -60, 180, 60))
    assert (ring.min(axis=0) == (-180, -60)).all() and (ring.max(axis=0) == (180, 60)).all()


@pytest.mark.parametrize(
    ("crs", "side"),
    [("+proj=sinu +lon_0=0 +R=6371007.181 +units=m", 2e7), ("+proj=geos +h=35785831 +lon_0=0 +sweep=y", 5.5e6)],
)
def test_beyond_the_edge_of_a_map_of_the_globe_lies_nothing(crs, side):
    inner = np.array([[[-1e5, 1e5], [-1e5, -1e5], [1e5, -1e5], [1e5, 1e5]]])
    corner = inner + np.array([-0.95 * side, 0.45 * side])
    found, beyond = on_the_globe(np.concatenate([inner, corner]), crs)
    (ring,) = rings(found)
    assert np.abs(ring).max() == pytest.approx(0.9, abs=0.02)  # a hundred kilometers in degrees
    assert beyond is None
