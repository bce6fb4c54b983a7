"""What every index can be asked: in words, by an image, by both, by one of its members, by a vector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.search.catalog import Hit
from utils.search.engines import SearchError
from utils.search.filters import Box, Only
from utils.search.queries import AnyImage, embed_image, embed_text, mix

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import ImageReading


class Searchable:
    """An index by what it is asked; where its members are is told by those that inherit from this.

    A query raises a `SearchError` with one sentence if it cannot be answered.
    """

    model: CLIP | None  # that embeds the queries; None if it is not here

    @property
    def reading(self) -> ImageReading:
        """How its images of more than 8 bits are read, if all are read alike."""
        raise NotImplementedError

    @property
    def asking_model(self) -> CLIP:
        """The model that embeds queries; a `SearchError` if the index is here without one."""
        if self.model is None:
            raise SearchError(
                "This index has no model, so it can be asked by a member or a vector alone; load it with the model "
                "that its vectors are of, to ask in words or by an image."
            )
        return self.model

    def query_text(
        self,
        text: str | Sequence[str],
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        within: Box | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the k images closest to a text, best first, of one category or data set if these are named.

        Several texts, which say one thing in different words, are looked for by the mean of their embeddings at unit
        length (as prompt ensembles are, Radford et al. 2021). With ``exact`` every image is compared.

        ``within`` is a box (west, south, east, north) in degrees of longitude and latitude: tiles of scenes whose
        footprints' bounds meet it are found. West may be more than east, where the box holds the antimeridian.
        """
        return self._hits(embed_text(self.asking_model, text), k, Only(category, source, within), exact)

    def query_image(
        self,
        image: AnyImage,
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        within: Box | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the images closest to an image, best first; other arguments as in `query_text`.

        The image is a path, whose own member is left out, a Pillow image, or an array (height, width) or (height,
        width, channels) of any type. More than 8 bits are read as the index's own, if all are alike.
        """
        vector = embed_image(self.asking_model, image, self.reading)
        return self._hits(vector, k, Only(category, source, within), exact, self._at(image))

    def query_text_and_image(
        self,
        text: str | Sequence[str],
        image: AnyImage,
        k: int = 10,
        *,
        text_weight: float = 0.5,
        category: str | None = None,
        source: str | None = None,
        within: Box | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds images like an image that a text fits too, best first; see `query_text` and `query_image`.

        The query is ``text_weight * text + (1 - text_weight) * image`` at unit length; the weight is from 0 to 1. With
        published CLIP models images are much closer to an image than to any text, so at one half that is louder.
        """
        model = self.asking_model
        vector = mix(embed_text(model, text), embed_image(model, image, self.reading), text_weight)
        return self._hits(vector, k, Only(category, source, within), exact, self._at(image))

    def query_member(
        self,
        file_name: str,
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        within: Box | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the images closest to a member, which is left out, best first; other arguments as in `query_text`.

        The file name may have as many folders before it as tell it from others.
        """
        vector, key = self._member(file_name)
        return self._hits(vector, k, Only(category, source, within), exact, [key])

    def query_vector(
        self,
        vector: np.ndarray,
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        within: Box | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the images closest to a vector (dim,) of the model that made the index's, such as a published text's.

        It may have any length but zero; other arguments as in `query_text`.
        """
        query, dim = np.asarray(vector, np.float32), self._dim()
        length = np.linalg.norm(query)
        if query.shape != (dim,) or not 0 < length < np.inf:
            raise SearchError(
                f"A vector of shape {query.shape} and length {length:.3g} cannot be searched for; give ({dim},) finite "
                "numbers that are not all zero."
            )
        return self._hits(query / length, k, Only(category, source, within), exact)

    def _hits(self, vector: np.ndarray, k: int, only: Only, exact: bool, without: Sequence[Any] = ()) -> list[Hit]:
        if k < 1:
            raise SearchError(f"k is {k}; ask for at least one image.")
        return self._closest(vector, k, only, exact, without)

    def _at(self, image: AnyImage) -> Sequence[Any]:
        return self._members_at(Path(image)) if isinstance(image, str | Path) else ()

    def _closest(self, vector: np.ndarray, k: int, only: Only, exact: bool, without: Sequence[Any] = ()) -> list[Hit]:
        """The k members closest to a unit vector (dim,), of those that are asked for and not left out by key."""
        raise NotImplementedError

    def _dim(self) -> int:
        """Numbers a vector."""
        raise NotImplementedError

    def _member(self, file_name: str) -> tuple[np.ndarray, Any]:
        """Vector (dim,) and key of the member of a name; a `SearchError` unless it is one."""
        raise NotImplementedError

    def _members_at(self, path: Path) -> Sequence[Any]:
        """Keys of the members that a path leads to."""
        raise NotImplementedError
