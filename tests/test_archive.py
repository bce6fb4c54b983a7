"""A whole archive asked at once: verdicts scene by scene, places that are seen once, and files for a GIS."""

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from search_world import OPTIONS, noisy_pictures, raster

from utils.clip import fingerprint
from utils.datasets import ImageReading
from utils.finder import AerialCheck, PresenceModel, embed_scene, find
from utils.finder.drawing import FRAME
from utils.finder.tiles import apart
from utils.search import ImageIndex, SearchError, draw_hits, merge_overlapping, save_geoparquet, scenes
from utils.search.geoparquet import well_known_binary

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]
SIZES = [80, 40]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Scenes with a place and without, one that is half empty, one in another reference system, and a letter."""
    folder = tmp_path_factory.mktemp("archive")
    raster(folder / "placed.tif", 1, width=200, height=160)
    raster(folder / "nowhere.tif", 2, placed=False)
    raster(folder / "half.tif", 3, width=200, empty=100, placed=False)
    raster(folder / "elsewhere.tif", 4, crs="EPSG:25833")
    (folder / "letter.tif").write_text("Dear reader")
    return folder


@pytest.fixture(scope="module")
def index(archive, model, tmp_path_factory) -> ImageIndex:
    """Its index, out of the folder that it was built in."""
    folder = tmp_path_factory.mktemp("index")
    ImageIndex.build_scenes(model, archive, folder, **OPTIONS | {"tile_sizes": SIZES})
    return ImageIndex.load(folder, model)


@pytest.fixture(scope="module")
def presence(model) -> PresenceModel:
    texts = ("An aerial image of a park", "A photograph")
    return PresenceModel("An aerial image of {feature}", texts, 0.8, -0.4, 0.3, 0.9999, fingerprint(model))


def aerial_check(model, limit: float) -> AerialCheck:
    size = 2 * model.architecture.vision.hidden_size
    return AerialCheck(np.zeros(size, "f"), np.eye(2, size, dtype="f"), np.ones(2, "f"), 0.5, limit)


# --- scene by scene ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 0.0, np.inf])
def test_verdicts_are_those_of_the_finder(archive, index, model, presence, limit):
    if limit is not None:
        presence = replace(presence, aerial=aerial_check(model, limit))
    ranked = index.rank_scenes("a port", presence, tiles=2)
    assert [hit.rank for hit in ranked] == [1, 2, 3, 4, 5]
    for hit in ranked[:-1]:
        scene = embed_scene(model, hit.path, SIZES, batch_size=8, reading=index.reading)
        finding = find(model, scene, "a port", presence)
        assert hit.presence == finding.presence and hit.aerial is finding.aerial
        assert hit.tiles == len(finding.tiles) and hit.score == finding.tiles[0].score
        places = apart(np.array([tile.box for tile in finding.tiles]), 2)
        expected = [finding.tiles[place] for place in places]
        assert [one.tile.box for one in hit.hits] == [tile.box for tile in expected]
        assert [(one.score, one.presence) for one in hit.hits] == [(tile.score, tile.presence) for tile in expected]
        assert [one.rank for one in hit.hits] == list(range(1, len(expected) + 1))
    refused = [hit.name for hit in ranked if hit.aerial is False]
    assert refused == (["nowhere.tif"] if limit == 0 else [])
    said = [hit.presence for hit in ranked[:-1] if hit.aerial is not False]
    assert said == sorted(said, reverse=True) and len(set(said)) == len(said)


def test_a_scene_is_a_line_of_a_table(index, presence, model):
    ranked = index.rank_scenes("a port", replace(presence, aerial=aerial_check(model, 0.0)))
    *lines, refused, letter = map(str, ranked)
    for hit, line in zip(ranked, lines, strict=False):
        assert f"{hit.presence:.2f}" in line and hit.name in line and "here" in line
        assert str(list(hit.hits[0].tile.window))[1:-1] in line
    assert "nowhere.tif" in refused and "is probably no image from above" in refused
    assert letter.split()[:3] == ["5", "-", "-"] and "letter.tif" in letter and ranked[-1].reason in letter
    unasked = index.rank_scenes("a port")
    assert {hit.presence for hit in unasked} == {None} and {hit.verdict for hit in unasked[:-1]} == {""}
    scores = [hit.score for hit in unasked[:-1]]
    assert scores == sorted(scores, reverse=True) and unasked[-1].score is None


def test_only_a_scene_without_a_place_is_opened_and_that_once(archive, model, presence, monkeypatch, tmp_path):
    for name in ("placed.tif", "nowhere.tif"):
        (tmp_path / name).write_bytes((archive / name).read_bytes())
    index = ImageIndex.build_scenes(model, tmp_path, **OPTIONS)
    names, original = [], scenes.open_scene
    monkeypatch.setattr(scenes, "open_scene", lambda path, *rest: names.append(path.name) or original(path, *rest))
    checked = replace(presence, aerial=aerial_check(model, np.inf))
    first, _ = (index.rank_scenes(text, checked) for text in ("a port", "a park"))
    assert names == ["nowhere.tif"] and all(hit.presence is not None for hit in first)
    again = ImageIndex.build_scenes(model, tmp_path, **OPTIONS)
    (tmp_path / "nowhere.tif").unlink()
    (gone,) = [hit for hit in again.rank_scenes("a port", checked) if hit.name == "nowhere.tif"]
    (before,) = [hit for hit in first if hit.name == "nowhere.tif"]
    assert gone.presence is None and "nowhere.tif" in gone.verdict and gone.score == before.score


def test_a_new_scene_takes_its_place(model, presence, tmp_path):
    raster(tmp_path / "scenes" / "first.tif", 1)
    ImageIndex.build_scenes(model, tmp_path / "scenes", tmp_path / "index", **OPTIONS)
    raster(tmp_path / "scenes" / "second.tif", 2)
    grown = ImageIndex.build_scenes(model, tmp_path / "scenes", tmp_path / "index", **OPTIONS)
    assert {hit.name for hit in grown.rank_scenes("a port", presence)} == {"first.tif", "second.tif"}


def test_what_cannot_be_ranked_is_refused_in_a_sentence(index, model, presence, tmp_path):
    with pytest.raises(ValueError, match="feature to look for is empty"):
        index.rank_scenes(" ", presence)
    with pytest.raises(ValueError, match="calibrated for the model another"):
        index.rank_scenes("port", replace(presence, model_fingerprint="another"))
    with pytest.raises(SearchError, match="tiles is 0; ask for at least one"):
        index.rank_scenes("port", tiles=0)
    with pytest.raises(SearchError, match="has no model"):
        replace(index, model=None).rank_scenes("port")
    images = ImageIndex.build(model, noisy_pictures(tmp_path / "pictures", 4), batch_size=4, progress=False)
    with pytest.raises(SearchError, match="of whole images and knows no scenes"):
        images.rank_scenes("port")


# --- each place once -----------------------------------------------------------------------------------------


def shared_share(one, other) -> float:
    """What two tiles share, of the smaller, counted pixel by pixel."""
    seen = np.zeros((2, 200, 200), bool)
    for layer, (left, top, right, bottom) in zip(seen, (one, other), strict=True):
        layer[top:bottom, left:right] = True
    return (seen[0] & seen[1]).sum() / min(seen[0].sum(), seen[1].sum())


def test_hits_that_overlap_merge_into_the_best(index):
    hits = index.query_text("port", len(index))
    merged = merge_overlapping(hits)
    assert 4 <= len(merged) < len(hits) / 2 and [hit.rank for hit in merged] == list(range(1, len(merged) + 1))
    kept = {hit.name for hit in merged}
    assert len(kept) == len(merged) and [hit.name for hit in hits if hit.name in kept] == [hit.name for hit in merged]
    for number, hit in enumerate(hits):
        better = [other for other in hits[:number] if other.name in kept and other.path == hit.path]
        overlaps = any(shared_share(hit.tile.box, other.tile.box) > 0.2 for other in better)
        assert overlaps != (hit.name in kept), hit.name
    assert merge_overlapping([]) == [] and merge_overlapping(merged) == merged


def test_whole_images_do_not_merge(model, tmp_path):
    images = ImageIndex.build(model, noisy_pictures(tmp_path, 4), batch_size=4, progress=False)
    hits = images.query_text("port", 4)
    assert merge_overlapping(hits) == hits


# --- files and images ----------------------------------------------------------------------------------------


def polygon_of(content: bytes) -> np.ndarray:
    """The ring of a polygon in well-known binary, (points, 2), by its specification."""
    order, kind, rings, points = struct.unpack("<BIII", content[:13])
    assert (order, kind, rings) == (1, 3, 1) and len(content) == 13 + 16 * points
    return np.frombuffer(content[13:], "<f8").reshape(points, 2)


def test_geoparquet_says_what_the_hits_know(archive, index, tmp_path):
    import rasterio
    from pyarrow import parquet
    from rasterio.warp import transform

    hits = index.query_text("port", len(index))
    table = parquet.read_table(save_geoparquet(hits, tmp_path / "new" / "hits.parquet"))
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry" and set(geo["columns"]) == {"geometry"}
    column = geo["columns"]["geometry"]
    # Without `crs` it is OGC:CRS84, longitude before latitude.
    assert column["encoding"] == "WKB" and column["geometry_types"] == ["Polygon"] and "crs" not in column
    corners = []
    for hit, row in zip(hits, table.to_pylist(), strict=True):
        assert (row["rank"], row["scene"], row["window"]) == (hit.rank, str(hit.path), list(hit.tile.window))
        assert row["score"] == hit.score and row["presence"] is None
        if not hit.tile.place.crs:
            assert row["geometry"] is row["map_geometry"] is row["map_crs"] is None
            continue
        with rasterio.open(hit.path) as file:
            assert rasterio.crs.CRS.from_wkt(row["map_crs"]) == file.crs
            on_map, (left, top, right, bottom) = polygon_of(row["map_geometry"]), hit.tile.box
            (west, north), (east, south) = file.transform @ (left, top), file.transform @ (right, bottom)
            assert [*on_map.min(axis=0), *on_map.max(axis=0)] == [west, south, east, north]
            degrees = np.transpose(transform(file.crs, "EPSG:4326", *on_map.T))
        assert {tuple(point) for point in degrees.round(8)} == {
            tuple(point) for point in polygon_of(row["geometry"]).round(8)
        }
        assert hit.tile.map_footprint["coordinates"][0] == on_map.tolist()
        corners.append(degrees)
    low, high = np.concatenate(corners).min(axis=0), np.concatenate(corners).max(axis=0)
    np.testing.assert_allclose(column["bbox"], [*low, *high])


def test_another_reader_understands_the_geoparquet(index, tmp_path):
    geopandas = pytest.importorskip("geopandas", reason="GeoPandas, which would read the file, is not installed")
    hits = [hit for hit in index.query_text("port", 20) if hit.tile.place.crs]
    frame = geopandas.read_parquet(save_geoparquet(hits, tmp_path / "hits.parquet"))
    assert frame.crs.to_authority() == ("OGC", "CRS84")
    outlines = [json.loads(json.dumps(one.__geo_interface__)) for one in frame.geometry]
    assert outlines == [hit.tile.footprint for hit in hits]


def test_a_multipolygon_in_well_known_binary():
    squares = [[[[x, 0.0], [x + 1, 0.0], [x, 1.0], [x, 0.0]]] for x in (0.0, 5.0)]
    content = well_known_binary({"type": "MultiPolygon", "coordinates": squares})
    assert struct.unpack("<BII", content[:9]) == (1, 6, 2)
    half = (len(content) - 9) // 2
    assert [polygon_of(content[at : at + half]).tolist() for at in (9, 9 + half)] == [one[0] for one in squares]


def test_scenes_are_drawn_with_their_hits(index):
    hits = merge_overlapping(index.query_text("port", 40))
    sheet = np.asarray(draw_hits(hits, width=300))
    frame = np.array([int(FRAME[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
    assert len({hit.path for hit in hits}) == 4 and 600 <= sheet.shape[1] <= 620  # two beside each other
    for half in (sheet[:, :300], sheet[:, -300:]):
        assert (half == frame).all(axis=2).sum() > 100
    one = [hit for hit in hits if hit.name.startswith("elsewhere")]
    alone = draw_hits(one, width=240)
    assert alone.width == 240 and alone.height == 160 + 20  # 120 x 80 pixels, and its name
    left, top, *_ = (2 * edge for edge in one[0].tile.box)
    assert alone.getpixel((left + 40, top + 20)) == tuple(frame)
    with pytest.raises(SearchError, match="nothing to draw"):
        draw_hits([])
    with pytest.raises(SearchError, match="no footprints to save"):
        save_geoparquet([], "never.parquet")


def test_an_unplaced_scene_has_no_outline(index):
    (hit,) = index.query_text("port", 1, source=index.scenes[0].name)
    assert index.reading != ImageReading() and {scene.name for scene in index.scenes} == set(index.sources)
    nowhere = next(item for item in index.dataset if item.path.name == "nowhere.tif")
    assert nowhere.map_footprint is nowhere.footprint is None and hit.tile.box[2] - hit.tile.box[0] in SIZES


def test_the_page_on_archives_says_what_works(root, folder, presence, tmp_path, monkeypatch, capsys):
    page = (root / "docs" / "archives.md").read_text(encoding="utf-8").split("## Time and memory")[0]
    presence.save(folder / "presence.json")
    for number in (1, 2):
        raster(tmp_path / "scenes" / f"scene_{number}.tif", number, width=300, height=260)
    ring = [[2.163, 41.367], [2.165, 41.367], [2.165, 41.366], [2.163, 41.367]]
    building = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"floors": 3}}
    drawn = {"type": "FeatureCollection", "features": [building]}
    (tmp_path / "buildings.geojson").write_text(json.dumps(drawn))
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for block in blocks:
        exec(block.replace("data/checkpoints/clip-earth-small", folder.as_posix()), known)
    assert len(blocks) == 7 and capsys.readouterr().out.count(" here ") == 2
    (named,) = json.loads((tmp_path / "named.geojson").read_text())["features"]
    assert named["properties"]["clip_label"] in known["labels"] and named["properties"]["floors"] == 3
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"bridges.png", "bridges.geojson", "bridges.parquet", "tanks.parquet"}
