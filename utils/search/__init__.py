"""Search by text and by picture over the embeddings of a collection of pictures.

    index = ImageIndex.build(model, "my pictures", "runs/my index")   # goes on where a killed run stopped
    index = ImageIndex.load("runs/my index", model)
    for hit in index.query_text("a bridge over a river", k=5):
        print(hit.rank, hit.score, hit.path, hit.captions)

    index = ImageIndex.build_scenes(model, "my rasters", "runs/my scenes")   # tiles of rasters of any size
    save_geojson(index.query_text("a bridge over a river"), "bridges.geojson")

`index` answers questions, which `questions` turns into vectors; `building` makes it or takes it over; `collection`
embeds the pictures, in `pieces` that outlive the process, `catalog` knows them by name, `storage` keeps an index in
a folder with its `members`, and `engines` find the vectors closest to another, of equal ones by way of `distinct`.
`scenes` and `tiles` make members of parts of rasters, which `utils.finder` cuts and reads.
"""

from utils.search.catalog import Hit
from utils.search.collection import Skipped
from utils.search.engines import ENGINES, EXACT_BELOW
from utils.search.errors import SearchError
from utils.search.index import ImageIndex
from utils.search.scenes import save_geojson
from utils.search.tiles import SceneTile, TileHit, Tiling

__all__ = [
    "ENGINES",
    "EXACT_BELOW",
    "Hit",
    "ImageIndex",
    "SceneTile",
    "SearchError",
    "Skipped",
    "TileHit",
    "Tiling",
    "save_geojson",
]
