"""Search by text and by image over the embeddings of a collection of images.

    index = ImageIndex.build(model, "my images", "runs/my index")   # resumes where a killed run stopped; or load
    for hit in index.query_text("a bridge over a river", k=5):
        print(hit.rank, hit.score, hit.path, hit.captions)

    index = ImageIndex.build_scenes(model, "my rasters", "runs/my scenes")   # tiles of rasters of any size
    save_geojson(index.query_text("a bridge over a river"), "bridges.geojson")

    for scene in index.rank_scenes("storage tanks", presence_model):   # where in each scene, and is it there at all
        print(scene)
    hits = merge_overlapping(index.query_text("a bridge", k=200))      # each place once
    save_geoparquet(hits, "bridges.parquet"), draw_hits(hits)
    name_polygons(model, index, "buildings.geojson", ["church", "school"], "named.geojson")

    index = ImageIndex.from_vectors("published embeddings")   # no image and no model is needed to look around in it
    index.query_member("airport_1.jpg")

From the ground up: `engines` find the vectors closest to another, and `widths` measures how wide a graph must search;
`catalog` says what is known of an image, `tiles` of a part of a raster; `storage` keeps an index in a folder, `pieces`
what a killed build has embedded; `collection` embeds images and scenes, `vectors` takes those that others have,
`queries` embeds what is asked; `scenes` answers scene by scene, `index` altogether. Footprints are written by `tiles`
and `geoparquet`, drawn by `overview`; `polygons` names those that others have drawn.
"""

from utils.search.catalog import Hit, Skipped, WithoutFile
from utils.search.engines import ENGINES, EXACT_BELOW, SearchError
from utils.search.geoparquet import save_geoparquet
from utils.search.index import ImageIndex
from utils.search.overview import draw_hits
from utils.search.polygons import name_polygons
from utils.search.scenes import IndexedScene, SceneHit
from utils.search.tiles import SceneTile, TileHit, Tiling, merge_overlapping, save_geojson
