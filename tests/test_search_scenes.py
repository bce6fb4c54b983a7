"""An index of the tiles of scenes: what they are, where they lie, and what need not be done twice."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from PIL import Image
from search_world import OPTIONS, raster

from utils.clip import CLIP
from utils.datasets import ImageReading
from utils.demo import render, thumbnails
from utils.demo.answers import Answers
from utils.finder import embed_scene
from utils.finder.place import Place
from utils.search import ImageIndex, SearchError, TileHit, Tiling, collection, save_geojson
from utils.search.tiles import address

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]


@pytest.fixture
def rasters(tmp_path) -> Path:
    """Two scenes, one with a place and one without."""
    raster(tmp_path / "scenes" / "placed.tif", 1)
    raster(tmp_path / "scenes" / "nowhere.tif", 2, placed=False)
    return tmp_path / "scenes"


def opened(monkeypatch) -> list[str]:
    """The scenes that are opened for embedding from now on."""
    names, original = [], collection.open_scene
    monkeypatch.setattr(
        collection, "open_scene", lambda path, *rest: names.append(Path(path).name) or original(path, *rest)
    )
    return names


def test_tiles_are_those_of_the_finder(rasters, model):
    index = ImageIndex.build_scenes(model, rasters, **OPTIONS)
    assert len(index.dataset.readings) == 1 and index.reading.stretch != "auto"  # one range of values for all
    rows = [number for number, item in enumerate(index.dataset) if item.path.name == "placed.tif"]
    scene = embed_scene(model, rasters / "placed.tif", [40], batch_size=8, reading=index.reading)
    windows = [index.dataset[row].window for row in rows]
    assert windows == [(left, top, 40, 40) for left, top, *_ in scene.boxes.tolist()]
    np.testing.assert_array_equal(index.embeddings[rows], scene.embeddings)
    assert index.tiling == Tiling((40,), 0.5) and "tiles of 2 scenes" in repr(index)
    assert {hit.path.name for hit in index.query_text("port", 5, source="placed.tif")} == {"placed.tif"}


def test_a_hit_lies_where_rasterio_says(rasters, model, tmp_path):
    import rasterio
    from rasterio.warp import transform

    index = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    hits = ImageIndex.load(tmp_path / "index", model).query_text("port", len(index))
    assert [hit.name for hit in hits] == [hit.name for hit in index.query_text("port", len(index))]
    stored = json.loads(save_geojson(hits, tmp_path / "hits.geojson").read_text())
    with rasterio.open(rasters / "placed.tif") as file:
        for hit, feature in zip(hits, stored["features"], strict=True):
            assert isinstance(hit, TileHit) and feature["properties"]["window"] == list(hit.tile.window)
            assert feature["geometry"] == hit.tile.footprint
            if hit.path.name == "nowhere.tif":
                assert hit.tile.footprint is None
                continue
            left, top, width, height = hit.tile.window
            corners = [(x, y) for x in (left, left + width) for y in (top, top + height)]
            east, north = zip(*(file.transform @ corner for corner in corners), strict=True)
            expected = np.transpose(transform(file.crs, "EPSG:4326", east, north))
            ring = np.array(hit.tile.footprint["coordinates"][0])
            assert {tuple(point) for point in ring.round(8)} == {tuple(point) for point in expected.round(8)}
    unplaced = [hit for hit in hits if hit.tile.footprint is None]
    with pytest.raises(SearchError, match=r"nowhere\.tif .* has no coordinate reference system, so nobody knows"):
        save_geojson(unplaced, tmp_path / "none.geojson")
    sinusoidal = rasterio.crs.CRS.from_string("+proj=sinu +R=6371007.181").to_wkt()
    beyond = Place(sinusoidal, Affine(1000, 0, 30_000_000, 0, -1000, 9_000_000))
    with pytest.raises(SearchError, match=r"\) lies beyond the edge of the Earth on its map, so nobody"):
        save_geojson([replace(hits[0], tile=replace(hits[0].tile, place=beyond))], tmp_path / "none.geojson")
    with pytest.raises(SearchError, match="No tiles of scenes were found"):
        save_geojson([], tmp_path / "none.geojson")


def test_only_a_new_or_changed_scene_is_opened(rasters, model, tmp_path, monkeypatch, capsys):
    first = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    names = opened(monkeypatch)
    again = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    assert not names and np.array_equal(again.embeddings, first.embeddings)
    raster(rasters / "new.tif", 3)
    raster(rasters / "placed.tif", 4, width=200)
    more = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    assert names == ["new.tif", "placed.tif"] and more.reading == first.reading
    fresh = ImageIndex.build_scenes(model, rasters, stretch=first.reading.stretch, **OPTIONS)  # from nothing
    assert [item.name for item in more.dataset] == [item.name for item in fresh.dataset]
    np.testing.assert_array_equal(more.embeddings, fresh.embeddings)
    names.clear()
    otherwise = OPTIONS | {"tile_sizes": [80, 40], "progress": True}
    cut = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **otherwise)
    assert "tile/s" in capsys.readouterr().err
    assert len(names) == 3 and len(cut) > len(more)  # cut otherwise, but what is the same is not embedded again


def test_a_killed_build_resumes_within_a_scene(rasters, model, tmp_path, monkeypatch):
    expected = ImageIndex.build_scenes(model, rasters, **OPTIONS)
    counts, original = [], collection.TileBatches

    def killed(*given):
        for batch in itertools.islice(original(*given), 2):
            counts.append(batch["mask"].sum())
            yield batch
        raise KeyboardInterrupt

    monkeypatch.setattr(collection, "TileBatches", killed)
    with pytest.raises(KeyboardInterrupt):
        ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    monkeypatch.setattr(
        collection, "TileBatches", lambda *given: counts.append(len(given[1][0][1])) or original(*given)
    )
    index = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    assert sum(counts) == len(index) == len(expected)  # each tile once
    np.testing.assert_array_equal(index.embeddings, expected.embeddings)
    assert not (tmp_path / "index" / "pieces").exists()


def test_what_has_no_data_is_left_out_and_what_cannot_be_read_is_named(rasters, model, tmp_path):
    raster(rasters / "half.tif", 5, width=160, empty=80)
    raster(rasters / "small.tif", 6, width=30, height=24)  # one tile wide
    (rasters / "letter.tif").write_text("Dear reader")
    index = ImageIndex.build_scenes(model, rasters, **OPTIONS)
    windows = [item.window for item in index.dataset if item.path.name == "half.tif"]
    assert {left for left, *_ in windows} == {60, 80, 100, 120}  # at 60 half of the tile has data
    assert {item.window[2:] for item in index.dataset if item.path.name == "small.tif"} == {(24, 24)}
    assert [one.path.name for one in index.skipped] == ["letter.tif"]
    with pytest.raises(ValueError, match=r"tile size of 40\.5 pixels does not fit"):
        ImageIndex.build_scenes(model, rasters, **OPTIONS | {"tile_sizes": [40.5]})
    with pytest.raises(ValueError, match="overlap of the tiles is 1"):
        ImageIndex.build_scenes(model, rasters, overlap=1, **OPTIONS)
    with pytest.raises(SearchError, match=r"Not one of the 1 scenes can be read: .*letter\.tif"):
        ImageIndex.build_scenes(model, rasters / "letter.tif", **OPTIONS)
    with pytest.raises(SearchError, match="no scene to index"):
        ImageIndex.build_scenes(model, [], **OPTIONS)


def test_an_index_of_scenes_is_not_one_of_images_and_earlier_programs_refuse_it(rasters, model, tmp_path):
    tiles = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    assert json.loads((tmp_path / "index" / "index.json").read_text())["version"] == 2
    whole = ImageIndex.build(model, rasters, tmp_path / "index", batch_size=8, progress=False)
    assert len(whole) == 2 and ImageIndex.load(tmp_path / "index", model).tiling is None
    back = ImageIndex.build_scenes(model, rasters, tmp_path / "index", **OPTIONS)
    np.testing.assert_array_equal(back.embeddings, tiles.embeddings)


def test_the_page_shows_the_tile(rasters, model: CLIP, monkeypatch):
    index = ImageIndex.build_scenes(model, rasters, stretch=(0, 4000), **OPTIONS)
    answers = Answers(index)
    found = answers.by_text("port", 12)
    opened_scenes, original = [], thumbnails.cut_out
    monkeypatch.setattr(thumbnails, "cut_out", lambda *given: opened_scenes.append(given[0]) or original(*given))
    html = render.search_answer(found, answers.rows, answers.thumbnails)
    assert html.count(".jpg") == 12 and len(opened_scenes) == len(set(opened_scenes))
    number = answers.rows[address(found.hits[0])]
    (place,) = answers.thumbnails.addresses([number])
    shown, tile = Image.open(answers.thumbnails.find(f"/{place}")), found.hits[0].tile.image()
    assert place in html and shown.size == tile.size
    np.testing.assert_allclose(np.mean(shown, axis=(0, 1)), np.mean(tile, axis=(0, 1)), atol=3)  # it is a JPEG
    row = str(number)
    member = answers.member(row)
    assert member.image().size == (40, 40) and index.reading == ImageReading((0, 4000))
    assert answers.member_image(row).size == (40, 40)
    alike = answers.by_member(row, 3)
    assert member.name not in [hit.name for hit in alike.hits]
    assert (
        member.name in alike.sentence
        and render.choices(answers.examples(), answers.rows, answers.thumbnails).count("<img") == 6
    )
