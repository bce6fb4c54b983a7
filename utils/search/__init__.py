"""Search by text and by picture over the embeddings of a collection of pictures.

    index = ImageIndex.build(model, "my pictures", "runs/my index")   # goes on where a killed run stopped
    index = ImageIndex.load("runs/my index", model)
    for hit in index.query_text("a bridge over a river", k=5):
        print(hit.rank, hit.score, hit.path, hit.captions)

`index` answers questions, which `questions` turns into vectors; `building` makes it or takes it over; `collection`
embeds the pictures, in `pieces` that outlive the process, `catalogue` knows them by name, `storage` keeps an index in
a folder, and `engines` find the vectors closest to another.
"""

from utils.search.catalogue import Hit
from utils.search.collection import Skipped
from utils.search.engines import ENGINES, EXACT_BELOW
from utils.search.errors import SearchError
from utils.search.index import ImageIndex

__all__ = ["ENGINES", "EXACT_BELOW", "Hit", "ImageIndex", "SearchError", "Skipped"]
