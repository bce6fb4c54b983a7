"""Where things lie: GeoTIFFs that visitors send, the map, and the tab over an index of scenes."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
import rasterio
from demo_world import ask_all, served, upload
from rasterio.transform import from_origin

from utils.datasets import ImageError
from utils.datasets.images.reading import AS_STORED
from utils.demo import answers, archive, map
from utils.demo.decoding import read_upload
from utils.demo.map import Outline, draw_map, place_in_words
from utils.demo.results import ArchiveAnswer, center_of, verdict_of
from utils.finder.place import NO_PLACE
from utils.search import ImageIndex, SceneHit, merge_overlapping

pytestmark = pytest.mark.usefixtures("quick_compilation")


def write_scene(path: Path, west: float = 10.0, size: tuple[int, int] = (120, 90), **options) -> Path:
    """A raster of noise whose upper left corner is at 50 degrees north; a pixel has a thousandth of a degree."""
    width, height = size
    values = np.random.default_rng(0).integers(1, 250, (3, height, width)).astype(np.uint8)
    settings = {"crs": "EPSG:4326", "transform": from_origin(west, 50, 0.001, 0.001), "nodata": 0} | options
    values[:, :, : width // 4] = 0
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8", **settings
    ) as file:
        file.write(values)
    return path


@pytest.fixture(scope="module")
def scenes(model, tmp_path_factory) -> ImageIndex:
    folder = tmp_path_factory.mktemp("scenes")
    write_scene(folder / "east.tif", nodata=None)
    write_scene(folder / "west.tif", 9.7, nodata=None)
    write_scene(folder / "nowhere.tif", crs=None, transform=None, nodata=None)
    return ImageIndex.build_scenes(model, folder, tile_sizes=45, progress=False)


@pytest.fixture(scope="module")
def page(scenes):
    with served(scenes) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def shapes(html: str) -> list[str]:
    """The classes of the shapes on a map."""
    drawing = ElementTree.fromstring(re.search(r"<svg class.*?</svg>", html)[0])
    return [group.get("class") for group in drawing.iter("g")]


def test_a_geotiff_keeps_its_place_and_what_has_no_data_is_clear(tmp_path):
    small = read_upload(write_scene(tmp_path / "a.tif"), 3_000)
    assert (small.factor, small.size) == (2, (120, 90)) and small.image.mode == "RGBA"
    assert small.place.transform.c == 10 and small.place.crs
    assert small.image.getpixel((5, 5))[3] == 0 and small.image.getpixel((40, 5))[3] == 255
    assert read_upload(write_scene(tmp_path / "b.tif", crs=None, transform=None)).place == NO_PLACE


def test_a_geotiff_may_be_larger_than_what_is_decoded_as_a_whole(tmp_path, monkeypatch):
    scene = write_scene(tmp_path / "a.tif", size=(400, 400), tiled=True, blockxsize=16, blockysize=16)
    plain = write_scene(tmp_path / "b.tif", crs=None, transform=None, size=(400, 400))
    monkeypatch.setattr("utils.demo.decoding.MAX_PIXELS", 1_000)
    assert read_upload(scene).size == (400, 400)
    with pytest.raises(ImageError, match="400 x 400"):
        read_upload(plain)
    monkeypatch.setattr("utils.demo.decoding.MAX_BLOCK", 400)
    with pytest.raises(ImageError, match="pieces too large"):
        read_upload(scene)
    monkeypatch.setattr("utils.demo.decoding.MAX_SCENE_PIXELS", 1_000)
    with pytest.raises(ImageError, match="of a GeoTIFF up to") as refused:
        read_upload(scene)
    assert str(tmp_path) not in str(refused.value)


def test_a_geotiff_that_promises_the_earth_is_refused_before_it_is_read(tmp_path, monkeypatch):
    options = {"tiled": True, "sparse_ok": True, "crs": "EPSG:4326", "transform": from_origin(0, 50, 1e-6, 1e-6)}
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=60_000, height=60_000, count=3, dtype="uint8", **options
    ):
        pass
    monkeypatch.setattr("utils.demo.decoding.open_raster", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ImageError, match="60,000 x 60,000 pixels; of a GeoTIFF up to 100 million"):
        read_upload(tmp_path / "a.tif")


def test_tiles_of_a_geotiff_lie_where_they_were_found(model, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "FOUND_PIXELS", 3_000)
    monkeypatch.setattr(answers, "uploaded_path", lambda path: path)
    asked = answers.Answers(SimpleNamespace(asking_model=model, reading=AS_STORED))
    answer = asked.find_feature(write_scene(tmp_path / "a.tif", nodata=None), "red", "all sizes")
    for tile in answer.as_json()["tiles"]:
        left, top, right, bottom = tile["box"]
        assert tile["longitude"] == pytest.approx(10 + (left + right) / 2000)
        assert tile["latitude"] == pytest.approx(50 - (top + bottom) / 2000)


def test_a_geotiff_is_found_in_drawn_and_taken_to_a_gis(page, tmp_path):
    sent = upload(page, "a.tif", write_scene(tmp_path / "a.tif").read_bytes())
    html, row, _, _, as_map, data = ask_all(page, "find_feature", sent, "red", "all sizes")
    assert shapes(html) == ["graticule", "scene", *["hit"] * min(3, len(data["tiles"]))]
    assert html.count("<image ") == 1 and "49.9550° N, 10.0600° E" in html
    saved = page.get(as_map["value"]["url"].partition(page.base_url.netloc.decode())[2]).json()
    assert saved["features"][0]["geometry"]["type"] == "Polygon" and row["visible"]
    plain = upload(page, "b.tif", write_scene(tmp_path / "b.tif", crs=None, transform=None).read_bytes())
    html, *_, as_map, _ = ask_all(page, "find_feature", plain, "red", "large")
    assert "<svg" not in html and not as_map["visible"]


def test_scenes_and_hits_are_on_the_map_and_in_a_file(page, scenes):
    html, saved, data = ask_all(page, "search_archive", "red", 30)
    placed = [hit for hit in data["hits"] if hit["longitude"] is not None]
    assert 0 < len(placed) < len(data["hits"])  # one scene lies nowhere
    assert shapes(html) == ["graticule", "scene", "scene", *["hit"] * len(placed)]
    assert "2 of 3 scenes have a place" in html and "no place on the Earth" in html
    assert html.count('loading="lazy"') == len(data["hits"])
    for hit, found in zip(data["hits"], merge_overlapping(scenes.query_text("red", len(scenes))), strict=True):
        assert hit["file"] == found.path.name and hit["box"] == list(found.tile.box)
    assert {scene["file"] for scene in data["scenes"]} == {"east.tif", "west.tif", "nowhere.tif"}
    content = page.get(saved["value"]["url"].partition(page.base_url.netloc.decode())[2]).json()
    assert {one["properties"]["scene"] for one in content["features"]} <= {"east.tif", "west.tif", "nowhere.tif"}
    assert len(content["features"]) == len(data["hits"])
    assert "few words" in ask_all(page, "search_archive", "", 3)[0]


def test_where_a_scene_lies_on_the_disk_is_not_told():
    gone = Path("/somewhere/secret/a.tif")
    scene = SceneHit(1, gone, None, None, None, (), 0, f"{gone} cannot be decoded.")
    assert verdict_of(scene) == "a.tif cannot be decoded."
    answer = ArchiveAnswer("said", [], scenes=(scene,))
    assert "secret" not in json.dumps(answer.as_json()) + archive._scenes_of(answer)


def test_scenes_of_which_nothing_can_be_said_are_counted_apart():
    def summary(*presences: float | None) -> str:
        scenes = tuple(SceneHit(1, Path("a.tif"), None, one, None, (), 0, "" if one else "Gone.") for one in presences)
        said = archive._scenes_of(ArchiveAnswer("said", [], scenes=scenes))
        return said.partition("</summary>")[0].rpartition(">")[2]

    assert summary(0.9, 0.1, None) == "In 1 of 2 scenes it is more probably there than not; 1 not judged"
    assert summary(0.9, 0.1) == "In 1 of 2 scenes it is more probably there than not"
    assert summary(None) == "1 not judged"  # as without a presence model, which says nothing of the others


def square(west: float, south: float, side: float) -> dict:
    east, north = west + side, south + side
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.mark.parametrize("side", [1e-5, 0.01, 1.0, 25.0, 89.0])
def test_a_map_has_some_lines_of_either_kind_at_any_scale(side):
    html = draw_map([Outline(square(12.34, -0.1, side), "scene", "a")], "title")
    labels = re.findall(r">([\d.]+°[^<]*)<", html)
    assert 2 <= len(re.findall(r'd="M[\d.]+ 0V', html)) <= 10, labels
    assert 2 <= len(re.findall(r'd="M0 [\d.]+H', html)) <= 10, labels
    named = [label for label in labels if float(label.partition("°")[0])]
    assert len(set(named)) == len(named)


def test_what_lies_on_both_sides_of_the_antimeridian_is_drawn_side_by_side():
    sides = [Outline(square(179.0, 10, 1), "scene", "a"), Outline(square(-180.0, 10, 1), "hit", "b")]
    html = draw_map(sides, "title")
    paths = re.findall(r'class="(?:scene|hit)".*?d="([^"]+)"', html)
    east, west = ([float(x) for x in re.findall(r"[ML](-?[\d.]+) ", path)] for path in paths)
    assert max(east) == pytest.approx(min(west), abs=0.2) and max(west) <= map.WIDTH
    assert "180.0°<" in html and "179.5° W" in html


def test_labels_are_escaped_and_nothing_comes_from_elsewhere():
    html = draw_map([Outline(square(1, 2, 3), "scene", '"><script>', "<b>")], "<script>")
    assert "<script" not in html and "<b>" not in html and "http" not in html
    assert draw_map([], "title") == ""


def test_places_in_words():
    assert place_in_words((-10.5, -3.25)) == "3.2500° S, 10.5000° W"
    assert place_in_words(None) == "" and center_of(None) is None
    assert center_of(square(1, 2, 2)) == (2, 3)
    assert json.dumps(center_of(square(1, 2, 2)))
