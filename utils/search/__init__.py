"""Search by text and by image over the embeddings of a collection of images.

    index = ImageIndex.build(model, "my images", "runs/my index")   # resumes where a killed run stopped; or load
    for hit in index.query_text("a bridge over a river", k=5):
        print(hit.rank, hit.score, hit.path, hit.captions)

    index = ImageIndex.build_scenes(model, "my rasters", "runs/my scenes")   # tiles of rasters of any size
    save_geojson(index.query_text("a bridge over a river"), "bridges.geojson")

    index = ImageIndex.from_vectors("published embeddings")   # no image and no model is needed to look around in it
    index.query_member("airport_1.jpg")

    index = ImageIndex.from_shards("vectors", model)   # what make embed has written, on one machine or many

From the ground up: `engines` find the vectors closest to another, and `widths` measures how wide a graph must search;
`catalog` says what is known of an image, `tiles` of a part of a raster; `storage` keeps an index in a folder, `pieces`
what a killed build has embedded; `collection` embeds images and scenes, `vectors` takes those that others have,
`queries` embeds what is asked; `index` answers. `embed` has an `embedder` write `shards`, or through `ray_data` many.
"""

from utils.search.catalog import Hit, Skipped, WithoutFile
from utils.search.engines import ENGINES, EXACT_BELOW, SearchError
from utils.search.index import ImageIndex
from utils.search.tiles import SceneTile, TileHit, Tiling, save_geojson
