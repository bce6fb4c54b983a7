"""Search by text and by image over the embeddings of a collection of images.

    index = ImageIndex.build(model, "my images", "runs/my index")   # resumes where a killed run stopped; or load
    for hit in index.query_text("a bridge over a river", k=5):
        print(hit.rank, hit.score, hit.path, hit.captions)

    index = ImageIndex.build_scenes(model, "my rasters", "runs/my scenes")   # tiles of rasters of any size
    save_geojson(index.query_text("a bridge over a river"), "bridges.geojson")

    index = ImageIndex.from_vectors("published embeddings")   # no image and no model is needed to look around in it
    index.query_member("airport_1.jpg")

    index = ImageIndex.from_shards("vectors", model)   # what make embed has written, on one machine or many

    index.to_milvus("images.db")   # or a server's address: for more than one process holds, or many ask
    ImageIndex.from_milvus("images.db", model).query_text("a bridge over a river", within=(6.9, 50.8, 7.1, 51.0))

From the ground up: `engines` find the vectors closest to another, and `widths` measures how wide a graph must search;
`catalog` says what is known of an image, `tiles` of a part of a raster; `storage` keeps an index in a folder, `pieces`
what a killed build has embedded; `collection` embeds images and scenes, `vectors` takes those that others have,
`filters` says what a search is limited to, `queries` embeds what is asked, `searchable` is what can be asked; `index`
answers, and so does `milvus`, by the rows of `milvus_store`. `embed` embeds more than one machine should, into
`shards`, through `ray_data` on many.
"""

from utils.search.catalog import Hit, Skipped, WithoutFile
from utils.search.engines import ENGINES, EXACT_BELOW, SearchError
from utils.search.index import ImageIndex
from utils.search.milvus import MilvusIndex, load_shards
from utils.search.tiles import SceneTile, TileHit, Tiling, save_geojson
