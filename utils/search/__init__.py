"""Search by text and by image over the embeddings of a collection of pictures."""

from utils.search.index import BUILD_PARAMETERS, QUERY_PARAMETERS, Hit, ImageIndex

__all__ = ["BUILD_PARAMETERS", "QUERY_PARAMETERS", "Hit", "ImageIndex"]
