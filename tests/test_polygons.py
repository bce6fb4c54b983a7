"""Polygons named by what a scene shows in them: the right label, the right square, and nothing lost on the way."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from standins.scenes import CATEGORIES

from utils.clip import CLIP, embed_images, embed_texts
from utils.datasets import CaptionDataset, eval_batches, eval_transform, load_dataset
from utils.finder import feature_name
from utils.finder.calibration import make_mosaic
from utils.finder.scene import TileBatches
from utils.search import ImageIndex, SearchError, name_polygons
from utils.search.polygons import PROPERTIES

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]

CELL = 40  # pixels
COLORS = {"meadow": (40, 160, 60), "pond": (30, 60, 200), "roof": (210, 60, 40)}
ROWS = (("meadow", "pond", "roof", "pond"), ("roof", "meadow", "pond", "meadow"))
UTM, PLACE = "EPSG:32631", Affine(2, 0.3, 430000, 0.2, -2, 4580000)  # a little turned
OPTIONS = {"surroundings": 0, "least_side": 8, "batch_size": 4, "progress": False}


def write_scene(path: Path, pixels: np.ndarray, crs: str | None = UTM, place: Affine = PLACE) -> Path:
    """A GeoTIFF of (height, width, 3)."""
    import rasterio

    size = {"count": 3, "height": pixels.shape[0], "width": pixels.shape[1], "dtype": pixels.dtype}
    with rasterio.open(path, "w", driver="GTiff", **size, **({"crs": crs, "transform": place} if crs else {})) as file:
        file.write(np.moveaxis(pixels, 2, 0))
    return path


def ring(left: float, top: float, right: float, bottom: float, crs: str = UTM, place: Affine = PLACE) -> list:
    """A rectangle in pixels as longitudes and latitudes, by rasterio."""
    from rasterio.warp import transform

    corners = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    east, north = zip(*(place @ corner for corner in corners), strict=True)
    return [list(point) for point in zip(*transform(crs, "EPSG:4326", east, north), strict=True)]


def feature(geometry, **properties) -> dict:
    return {"type": "Feature", "id": properties.get("name"), "geometry": geometry, "properties": properties}


def cell_ring(row: int, column: int, inset: float = 6, **where) -> list:
    left, top = column * CELL, row * CELL
    return ring(left + inset, top + inset, left + CELL - inset, top + CELL - inset, **where)


def cells() -> list[dict]:
    """A polygon inside of each cell, in an order of its own, which knows what is there."""
    found = [
        feature({"type": "Polygon", "coordinates": [cell_ring(row, column)]}, name=f"{row}{column}", truth=truth)
        for row, line in enumerate(ROWS)
        for column, truth in enumerate(line)
    ]
    return found[::-1]


def write(path: Path, features: list, **members) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **members}))
    return path


def read(path: Path) -> list[dict]:
    return json.loads(path.read_text())["features"]


@pytest.fixture(scope="module")
def colors() -> np.ndarray:
    """(80, 160, 3) uint8: two rows of four cells, each of one color."""
    rows = [np.concatenate([np.full((CELL, CELL, 3), COLORS[name], np.uint8) for name in row], axis=1) for row in ROWS]
    return np.concatenate(rows)


@pytest.fixture
def scene(tmp_path, colors) -> Path:
    (tmp_path / "scenes").mkdir()
    return write_scene(tmp_path / "scenes" / "cells.tif", colors)


@pytest.fixture
def labels_as_they_look(model, monkeypatch) -> list[str]:
    """Labels whose texts mean what the cells look like, since a model of chance knows no words."""

    def embedded(_, texts: list[str]) -> np.ndarray:
        named = [COLORS[text.removeprefix("a photograph of ")] for text in texts]
        pixels = [np.full((CELL, CELL, 3), color, np.uint8) for color in named]
        images = np.stack([eval_transform(Image.fromarray(one), model.preprocessing) for one in pixels])
        return embed_images(model, [{"images": images}])

    monkeypatch.setattr("utils.clip.embed_texts", embedded)
    return list(COLORS)


def named(model: CLIP, scenes, path: Path, labels: list[str], **options) -> list[dict]:
    output = path.with_name("named.geojson")
    given = {"prompt": "a photograph of {}", **OPTIONS, **options}
    assert name_polygons(model, scenes, path, labels, output, **given) == output
    return read(output)


def test_polygons_get_the_label_of_what_lies_there(model, scene, labels_as_they_look, tmp_path):
    path = write(tmp_path / "cells.geojson", cells(), name="my cells")
    found = named(model, scene, path, labels_as_they_look)
    assert [one["properties"]["clip_label"] for one in found] == [one["properties"]["truth"] for one in cells()]
    for one, before in zip(found, cells(), strict=True):
        properties = one.pop("properties")
        assert properties["clip_score"] == pytest.approx(1, abs=1e-5) and properties["clip_scene"] == "cells.tif"
        assert properties["clip_second"] not in (None, properties["clip_label"]) and properties["clip_margin"] > 0
        assert properties["clip_reason"] is None and properties == before["properties"] | {
            f"clip_{name}": properties[f"clip_{name}"] for name in PROPERTIES
        }
        assert one == {name: value for name, value in before.items() if name != "properties"}
    assert json.loads((tmp_path / "named.geojson").read_text())["name"] == "my cells"
    again = named(model, scene, tmp_path / "named.geojson", labels_as_they_look[:2])  # over its own file
    assert {one["properties"]["clip_label"] for one in again} == set(labels_as_they_look[:2])


def test_what_cannot_be_named_is_kept_with_its_reason(model, scene, labels_as_they_look, tmp_path):
    left_half = [cell_ring(0, 0), cell_ring(1, 1)]
    features = [
        feature(None, name="nothing"),
        feature({"type": "Polygon", "coordinates": []}, name="empty"),
        feature({"type": "Point", "coordinates": [2.1, 41.3]}, name="point"),
        feature({"type": "Polygon", "coordinates": [ring(-400, -400, -300, -300)]}, name="outside"),
        feature({"type": "Polygon", "coordinates": [[[0, 0], [430000, 4580000], [1, 1]]]}, name="meters"),
        feature({"type": "Polygon", "coordinates": [["a", "b", "c"]]}, name="letters"),
        feature({"type": "Polygon", "coordinates": [[[2, 41], [2, 42]]]}, name="line"),
        feature({"type": "MultiPolygon", "coordinates": [[part] for part in left_half]}, name="two"),
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [cell_ring(0, 2)]}, "properties": None},
    ]
    found = named(model, scene, write(tmp_path / "odd.geojson", features), labels_as_they_look)
    reasons = [one["properties"]["clip_reason"] for one in found]
    assert reasons[:4] == [
        "It has no geometry.",
        "It has no geometry.",
        "Its geometry is a Point; only a Polygon or MultiPolygon is named.",
        "Less than half of it lies in any one of the 1 scenes that have a place.",
    ]
    assert "not longitude and latitude" in reasons[4] and "not those of a Polygon" in reasons[5]
    assert "fewer than three points" in reasons[6] and reasons[7:] == [None, None]
    assert found[8]["properties"]["clip_label"] == "roof" and found[7]["properties"]["clip_label"] == "meadow"
    for one, before in zip(found[:7], features, strict=False):
        assert one["geometry"] == before["geometry"] and one["properties"]["name"] == before["properties"]["name"]
        assert {one["properties"][f"clip_{name}"] for name in PROPERTIES[:-1]} == {None}


def test_of_several_scenes_the_one_that_holds_most_of_it_counts(model, colors, labels_as_they_look, tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    write_scene(folder / "whole.tif", colors)
    part = Affine(*PLACE) @ Affine.translation(2 * CELL + 10, 0)  # begins within the third column
    write_scene(folder / "a_part.tif", np.zeros_like(colors) + 128, place=part)
    geographic = Affine(1e-4, 0, 11.0, 0, -1e-4, 48.0)
    write_scene(folder / "elsewhere.tif", colors, "EPSG:4326", geographic)
    write_scene(folder / "nowhere.tif", colors, None)
    (folder / "letter.tif").write_text("Dear reader")
    third = {"type": "Polygon", "coordinates": [cell_ring(0, 2)]}
    far = {"type": "Polygon", "coordinates": [cell_ring(1, 0, crs="EPSG:4326", place=geographic)]}
    path = write(tmp_path / "two.geojson", [feature(third), feature(far)])
    with pytest.warns(UserWarning, match=r"2 of 5 scenes are not looked at: .*letter\.tif"):
        found = named(model, folder, path, labels_as_they_look)
    assert [one["properties"]["clip_scene"] for one in found] == ["whole.tif", "elsewhere.tif"]
    assert [one["properties"]["clip_label"] for one in found] == ["roof", "roof"]
    index = ImageIndex.build_scenes(model, folder, tile_sizes=[40, 20], batch_size=4, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert named(model, index, path, labels_as_they_look) == found


def test_the_square_has_surroundings_and_the_least_side(model, colors, labels_as_they_look, tmp_path, monkeypatch):
    path = write_scene(tmp_path / "cells.tif", colors)
    boxes = []
    monkeypatch.setattr(
        "utils.search.polygons.TileBatches",
        lambda model, scenes, size: boxes.extend(scenes[0][1].tolist()) or TileBatches(model, scenes, size),
    )
    outlines = [ring(60, 30, 80, 40), ring(2, 2, 6, 6), ring(0, 0, 160, 80), ring(148, 70, 168, 80)]
    drawn = write(tmp_path / "four.geojson", [feature({"type": "Polygon", "coordinates": [one]}) for one in outlines])
    named(model, path, drawn, labels_as_they_look, surroundings=0.5, least_side=20)
    expected = [[50, 15, 90, 55], [0, 0, 20, 20], [40, 0, 120, 80], [120, 40, 160, 80]]
    np.testing.assert_allclose(boxes, expected, atol=1)


def test_where_the_scene_has_no_data_nothing_is_named(model, colors, labels_as_they_look, tmp_path):
    import rasterio

    empty = colors.copy()
    empty[:, : 2 * CELL] = 0
    path = write_scene(tmp_path / "empty.tif", empty)
    with rasterio.open(path, "r+") as file:
        file.nodata = 0
    found = named(model, path, write(tmp_path / "cells.geojson", cells()), labels_as_they_look)
    for one in found:
        if one["properties"]["name"][1] in "01":
            assert one["properties"]["clip_reason"] == "Less than 25% of what is around it in empty.tif has data."
        else:
            assert one["properties"]["clip_label"] == one["properties"]["truth"]


BAD_FILES = [
    ("no JSON", r"bad\.geojson cannot be read as GeoJSON"),
    ("[]", r"is a GeoJSON list without a list of features"),
    ('{"type": "Topology", "features": []}', "is a GeoJSON Topology without"),
    ('{"type": "FeatureCollection", "features": [1]}', "without a list of features"),
    ('{"type": "FeatureCollection", "features": [{"geometry": "here"}]}', "without a list of features"),
    ('{"type": "FeatureCollection", "features": [{"properties": [1]}]}', "without a list of features"),
    (
        '{"type": "FeatureCollection", "features": [], "crs": {"properties": {"name": "EPSG:32631"}}}',
        "names the reference system .*EPSG:32631.*ogr2ogr",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_other_files_are_refused_in_a_sentence(model, scene, tmp_path, content, message):
    (tmp_path / "bad.geojson").write_text(content)
    with pytest.raises(SearchError, match=message):
        named(model, scene, tmp_path / "bad.geojson", ["pond", "roof"])
    assert not (tmp_path / "named.geojson").exists()


def test_a_reference_system_that_is_the_rule_is_taken(model, scene, labels_as_they_look, tmp_path):
    old = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    found = named(model, scene, write(tmp_path / "old.geojson", cells(), crs=old), labels_as_they_look)
    assert found[0]["properties"]["clip_label"] == "meadow"


def test_bad_words_and_scenes_are_refused_in_a_sentence(model, scene, colors, tmp_path):
    path = write(tmp_path / "cells.geojson", cells())
    for labels in (["pond"], ["pond", " pond"], "pond"):
        with pytest.raises(SearchError, match="give at least two"):
            named(model, scene, path, labels)
    with pytest.raises(ValueError, match="is empty"):
        named(model, scene, path, ["pond", ""])
    with pytest.raises(ValueError, match="needs exactly one"):
        named(model, scene, path, ["pond", "roof"], prompt="a photograph")
    with pytest.raises(SearchError, match="least_side is 0"):
        named(model, scene, path, ["pond", "roof"], least_side=0)
    with pytest.raises(SearchError, match="surroundings is -1"):
        named(model, scene, path, ["pond", "roof"], surroundings=-1)
    with pytest.raises(SearchError, match=r"No scene has a place .* nowhere\.tif has no coordinate reference system"):
        named(model, write_scene(tmp_path / "nowhere.tif", colors, None), path, ["pond", "roof"])


def test_real_images_are_named_in_a_mosaic_as_they_are_alone(root, shared, tmp_path):
    """The small Earth model, on test images of RSICD, which it was not trained on."""
    test = load_dataset("rsicd", shared / "data" / "RSICD").split("test")
    test = CaptionDataset([item for item in test if item.category]).subset(36, 0)
    mosaic = make_mosaic(list(test), 6, 224)
    path = write_scene(tmp_path / "mosaic.tif", np.asarray(mosaic.image))
    outlines = [[ring(*mosaic.cell_box(number))] for number in range(36)]
    drawn = [feature({"type": "Polygon", "coordinates": outline}) for outline in outlines]
    given = write(tmp_path / "given.geojson", drawn)
    labels = [feature_name(name) for name in CATEGORIES]
    model = CLIP.from_pretrained(root / "data" / "checkpoints" / "clip-earth-small")
    name_polygons(model, path, given, labels, tmp_path / "named.geojson", surroundings=0, progress=False)
    said = [one["properties"]["clip_label"] for one in read(tmp_path / "named.geojson")]
    alone = embed_images(model, eval_batches(test, model.preprocessing, batch_size=36))
    texts = embed_texts(model, [f"An aerial image of {label}" for label in labels])
    assert said == [labels[number] for number in (alone @ texts.T).argmax(axis=1)]
    truths = [feature_name(item.category) for item in mosaic.items]
    assert np.mean([one == truth for one, truth in zip(said, truths, strict=True)]) >= 0.6  # of 30 labels
