"""What a search is limited to: boxes of the Earth against a filter written out in NumPy, and boxes that are none."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from utils.datasets import CaptionDataset, CaptionedImage
from utils.finder.place import Place
from utils.search import ImageIndex, SceneTile, SearchError
from utils.search.engines import ExactEngine
from utils.search.filters import Only, bounds_of, overlaps

EAST = Place("EPSG:4326", Affine(0.1, 0, 170, 0, -0.1, 10))  # its tiles go on beyond 180 degrees
WEST = Place("EPSG:4326", Affine(0.1, 0, -10, 0, -0.1, 50))


def tiles(place: Place, name: str) -> list[SceneTile]:
    """Tiles of 5 by 5 degrees, four in a row, three rows."""
    facts = (Path("/scenes") / name, (), None, None, name)
    corners = [(left, top) for top in (0, 50, 100) for left in (0, 50, 80, 150)]
    return [SceneTile(*facts, window=(left, top, 50, 50), place=place) for left, top in corners]


ITEMS = [*tiles(EAST, "east.tif"), *tiles(WEST, "west.tif"), CaptionedImage(Path("/a.jpg"), (), None, None, "files")]


@pytest.fixture(scope="module")
def index() -> ImageIndex:
    vectors = np.random.default_rng(0).normal(size=(len(ITEMS), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ImageIndex(CaptionDataset(ITEMS), vectors, ExactEngine(vectors), model=None)


def test_bounds_go_on_beyond_the_antimeridian():
    bounds = bounds_of(ITEMS)
    np.testing.assert_allclose(bounds[:4, 0], [170, 175, 178, -175], atol=1e-6)
    np.testing.assert_allclose(bounds[:4, 2], [175, 180, 183, -170], atol=1e-6)
    np.testing.assert_allclose(bounds[12], [-10, 45, -5, 50], atol=1e-6)
    assert np.isnan(bounds[-1]).all()


@pytest.mark.parametrize(
    "box",
    [(-10, 45, -5, 50), (-7, 46, 2, 47), (171, -90, 172, 90), (-179, 0, -178, 20), (179, -3, -179, 9), (0, 0, 0, 0)],
)
def test_a_box_leaves_what_touches_it_in_some_turn_of_the_globe(index, box):
    west, south, east, north = box
    across = np.linspace(west, east + 360 * (east < west), 400)  # longitudes of the box, densely

    def meets(bounds) -> bool:
        turned = across[:, None] + np.array([-360, 0, 360])
        return bool(((bounds[0] - 1e-6 <= turned) & (turned <= bounds[2] + 1e-6)).any())

    bounds = bounds_of(ITEMS[:-1])
    expected = {number for number, one in enumerate(bounds) if meets(one) and one[1] <= north and one[3] >= south}
    rows = set(np.flatnonzero(overlaps(bounds_of(ITEMS), Only(within=box).within)))
    assert rows == expected
    if expected:
        hits = index.query_vector(np.ones(8), 99, within=box)
        assert {hit.tile for hit in hits} == {ITEMS[row] for row in expected}
        assert {hit.path.name for hit in index.query_vector(np.ones(8), 99, within=box, source="west.tif")} <= {
            "west.tif"
        }


@pytest.mark.parametrize(
    "box", [(0, 0, 1), (0, 2, 1, 1), (0, 0, 181, 1), (0, -91, 1, 1), (0, 0, float("nan"), 1), "box"]
)
def test_what_is_no_box_is_told(index, box):
    with pytest.raises(SearchError, match=r"give \(west, south, east, north\) in degrees"):
        index.query_vector(np.ones(8), within=box)


def test_where_nothing_has_a_place_a_box_is_refused():
    vectors = np.eye(3, dtype=np.float32)
    index = ImageIndex.from_vectors(vectors, ["a", "b", "c"])
    with pytest.raises(SearchError, match="No image of the index has a place on the Earth; index georeferenced"):
        index.query_vector(np.ones(3), within=(0, 0, 1, 1))
