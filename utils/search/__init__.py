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

    index = ImageIndex.from_shards("vectors", model)   # what make embed has written, on one machine or many

    index.to_milvus("images.db")   # or a server's address: for more than one process holds, or many ask
    ImageIndex.from_milvus("images.db", model).query_text("a bridge over a river", within=(6.9, 50.8, 7.1, 51.0))

From the ground up: `engines` find the vectors closest to another, and `widths` measures how wide a graph must search;
`catalog` says what is known of an image, `tiles` of a part of a raster; `storage` keeps an index in a folder, `pieces`
what a killed build has embedded; `collection` embeds images and scenes, `vectors` takes those that others have,
`filters` says what a search is limited to, `queries` embeds what is asked, `searchable` is what can be asked; `scenes`
answers scene by scene, `index` altogether, and so does `milvus`, by the rows of `milvus_store`. Footprints are written
by `tiles` and `geoparquet`, drawn by `overview`; `polygons` names those that others have drawn.
`embed` has an `embedder` write `shards`, or through `ray_data` many; `to_milvus` loads them into Milvus.
"""

from utils.search.catalog import Hit, Skipped, WithoutFile
from utils.search.engines import ENGINES, EXACT_BELOW, SearchError
from utils.search.geoparquet import save_geoparquet
from utils.search.index import ImageIndex
from utils.search.milvus import MilvusIndex, load_shards
from utils.search.overview import draw_hits
from utils.search.polygons import name_polygons
from utils.search.scenes import IndexedScene, SceneHit
from utils.search.tiles import SceneTile, TileHit, Tiling, merge_overlapping, save_geojson
