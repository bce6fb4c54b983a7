"""Images that can be asked for by text, by another image, by both, or by one of themselves."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from utils.datasets import AS_STORED, CaptionDataset, ImageReading
from utils.finder.tiles import OVERLAP
from utils.progress import progress_bar
from utils.search.catalog import Catalog, Hit, WithoutFile
from utils.search.collection import Collection, build_index
from utils.search.engines import ExactEngine, SearchError, largest
from utils.search.filters import NO_PLACES, Only, bounds_of, overlaps
from utils.search.milvus import COLLECTION, MilvusIndex, batches_of, note_of
from utils.search.milvus_store import MilvusStore
from utils.search.queries import check_model
from utils.search.scenes import IndexedScene, SceneHit, rank_scenes, scenes_of
from utils.search.searchable import Searchable
from utils.search.shards import contents_of_shards
from utils.search.storage import Contents, check_free, read_index, recorded_reading, sole_writer, write_index
from utils.search.tiles import Tiling, hit_of
from utils.search.vectors import Captions, NamedVectors, index_contents, read_names, read_vectors

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.finder import PresenceModel


@dataclass(frozen=True, eq=False, repr=False)
class ImageIndex(Contents, Searchable):
    """A collection of images that can be searched; `utils.search.storage.Contents` has its other attributes.

    What ``category``, ``source`` and ``within`` leave is searched exactly, so that there are k hits if there are that
    many images.
    """

    model: CLIP | None = field(kw_only=True)  # that embedded the images and embeds the queries; None if it is not here

    @overload
    @classmethod
    def build(
        cls,
        model: CLIP,
        dataset_or_folder: CaptionDataset | str | Path,
        folder: str | Path | None = None,
        *,
        batch_size: int = 64,
        engine: str = "auto",
        uri: None = None,
        progress: bool = True,
    ) -> ImageIndex: ...

    @overload
    @classmethod
    def build(
        cls,
        model: CLIP,
        dataset_or_folder: CaptionDataset | str | Path,
        folder: str | Path | None = None,
        *,
        batch_size: int = 64,
        engine: Literal["milvus"],
        uri: str | Path,
        progress: bool = True,
    ) -> MilvusIndex: ...

    @classmethod
    def build(
        cls,
        model: CLIP,
        dataset_or_folder: CaptionDataset | str | Path,
        folder: str | Path | None = None,
        *,
        batch_size: int = 64,
        engine: str = "auto",
        uri: str | Path | None = None,
        progress: bool = True,
    ) -> ImageIndex | MilvusIndex:
        """Embeds every image of a data set, a folder (those below it are categories) or a captions file.

        The index is kept in a folder if one is named; other files there stay. The finished index of the same model and
        images is returned, from a read-only disk too; any other is replaced once the new one is whole. Of one of the
        same model, and of what a killed build has left, the vectors of images with the same path, size and time of
        change are taken over; vectors from batches of another size differ by rounding, about 1e-7. The engine is
        ``exact``, ``nmslib``, ``hnswlib`` or ``rabitqlib`` where these are installed, or ``auto``: exact below
        `EXACT_BELOW` images, else NMSLib. With ``milvus`` and the ``uri`` of a file or a server it is written there, as
        by `to_milvus`. With ``progress`` a bar is shown, and said what is new and what was built.

        A `SearchError` says that there is no image, none can be read, or the folder holds something else; an OSError,
        that the disk takes no more, or another process writes an index there (a FolderInUseError).
        """
        collection = Collection.of_images(dataset_or_folder, recorded_reading(folder))
        return cls._built(model, collection, folder, engine, uri, batch_size, progress)

    @overload
    @classmethod
    def build_scenes(
        cls,
        model: CLIP,
        scenes: str | Path | Sequence[str | Path],
        folder: str | Path | None = None,
        *,
        tile_sizes: int | Sequence[int] | None = None,
        overlap: float = OVERLAP,
        stretch: str | tuple[float, float] = "auto",
        bands: Sequence[int] | None = None,
        batch_size: int = 64,
        engine: str = "auto",
        uri: None = None,
        progress: bool = True,
    ) -> ImageIndex: ...

    @overload
    @classmethod
    def build_scenes(
        cls,
        model: CLIP,
        scenes: str | Path | Sequence[str | Path],
        folder: str | Path | None = None,
        *,
        tile_sizes: int | Sequence[int] | None = None,
        overlap: float = OVERLAP,
        stretch: str | tuple[float, float] = "auto",
        bands: Sequence[int] | None = None,
        batch_size: int = 64,
        engine: Literal["milvus"],
        uri: str | Path,
        progress: bool = True,
    ) -> MilvusIndex: ...

    @classmethod
    def build_scenes(
        cls,
        model: CLIP,
        scenes: str | Path | Sequence[str | Path],
        folder: str | Path | None = None,
        *,
        tile_sizes: int | Sequence[int] | None = None,
        overlap: float = OVERLAP,
        stretch: str | tuple[float, float] = "auto",
        bands: Sequence[int] | None = None,
        batch_size: int = 64,
        engine: str = "auto",
        uri: str | Path | None = None,
        progress: bool = True,
    ) -> ImageIndex | MilvusIndex:
        """Cuts rasters of any size into square tiles and makes these searchable, each with its place on the Earth.

        Scenes are a folder of rasters at any depth, or files. They are cut as `utils.finder.embed_scene` cuts, and
        tiles of which less than a quarter has data are left out. Hits are `TileHit`s, and ``source`` asks for one scene
        by its file's name. An unfinished build is resumed, and an unchanged scene is not opened again.

        The tile sizes are in pixels, by default the model's input, and the overlap is the share of a tile that the next
        one sees too, 0 to less than 1; a ValueError says that so nothing can be cut. Stretch, the values that become
        black and white in all scenes, and bands, those shown as red, green and blue, counted from 1, are by default
        those of an index in the folder, or measured over the scenes, and as the files say. Other arguments and errors
        are those of `build`.
        """
        reading = ImageReading(stretch, None if bands is None else tuple(bands))
        recorded = recorded_reading(folder) if reading == AS_STORED else None
        sizes = np.atleast_1d(model.preprocessing.image_size if tile_sizes is None else tile_sizes).tolist()
        collection = Collection.of_scenes(scenes, reading, Tiling(tuple(sizes), float(overlap)), recorded)
        return cls._built(model, collection, folder, engine, uri, batch_size, progress)

    @classmethod
    def from_vectors(
        cls,
        vectors: np.ndarray | str | Path,
        names: Sequence[str] | str | Path | None = None,
        captions: Captions | None = None,
        *,
        model: CLIP | None = None,
        image_dir: str | Path | None = None,
        engine: str = "auto",
    ) -> ImageIndex:
        """Makes vectors searchable that others have computed, such as published ones; no image need be here.

        They are an array (images, dim) of float16, bfloat16, float32 or float64, of any length, or a file or folder
        of one of the forms in `utils.search.vectors`, such as clip-retrieval's, which brings names and captions along.
        Names, one for each, or a file of them, tell images apart; a caption is a text, several, or None.

        The model that gave the vectors embeds queries in words and by image. Without it the index is asked by
        `query_member` and `query_vector`, and `load` takes the model later. Images are shown if their names lead to
        files below ``image_dir``; other members are names alone (``hit.has_file``). Whether the vectors can be of the
        model is tried on a few images, or else on captions; without either only the caller knows.

        A `SearchError` says that vectors are zero, not finite, or of another number than names or captions, a name
        stands there twice, a file cannot be read, or the model gives other vectors; a warning, that it does not find
        the images by their captions.
        """
        given = read_vectors(Path(vectors)) if isinstance(vectors, str | Path) else NamedVectors(np.asarray(vectors))
        if isinstance(names, str | Path):
            named = read_names(Path(names))
            given = replace(given, names=named.names, captions=named.captions)
        elif names is not None:
            given = replace(given, names=list(names))
        if captions is not None:
            given = replace(given, captions=captions)
        index = cls._of(model, index_contents(given, None if image_dir is None else Path(image_dir), engine))
        if model is not None:
            check_model(model, index)
        return index

    @classmethod
    def from_shards(cls, folder: str | Path, model: CLIP | None = None, *, engine: str = "auto") -> ImageIndex:
        """Makes searchable what ``make embed`` has written into a folder, see `utils.search.shards`.

        Images, or tiles with their places, are as `build`, or `build_scenes`, would have them, but without categories;
        what could not be read is in ``skipped``. Without a model it is asked by `query_member` and `query_vector`.

        A `SearchError` says that the folder holds no shards or unfinished ones, one is damaged, or they are of another
        model; a warning, that files are no longer there.
        """
        from utils.clip import fingerprint

        index = cls._of(model, contents_of_shards(Path(folder), fingerprint(model) if model else "", engine))
        index._warn_of_missing(folder)
        return index

    @classmethod
    def load(cls, folder: str | Path, model: CLIP | None = None) -> ImageIndex:
        """Reads an index that `save` or `build` has written.

        Without a model it cannot be asked in words or by another image. Images that are no longer there are named in a
        warning and listed in ``missing``. A `SearchError` says that the folder holds no index, a file of it is damaged,
        or it was built with another model.
        """
        from utils.clip import fingerprint

        index = cls._of(model, read_index(Path(folder), fingerprint(model) if model else ""))
        if model is not None and not index.made_by:
            check_model(model, index)
        index._warn_of_missing(folder)
        return index

    def save(self, folder: str | Path) -> None:
        """Writes the index into a folder, in place of an index that is there.

        Images below the folder or beside it are noted relative to it, so that the two can move together. A
        `SearchError` says that its ``index.json`` is of something else; an OSError, which leaves what was there as it
        was, that the disk takes no more, or another process writes there.
        """
        from utils.clip import fingerprint

        folder = Path(folder)
        check_free(folder)
        with sole_writer(folder):
            write_index(folder, self, fingerprint(self.model) if self.model else self.made_by)

    def to_milvus(self, uri: str | Path, collection: str = COLLECTION, *, progress: bool = True) -> MilvusIndex:
        """Writes the index into Milvus, where any number of processes can ask it; see `utils.search.milvus`.

        The address is a file that ends with .db, or a server's. Members that are there already, by their paths and
        windows, are replaced, and the others stay; what is there unchanged is not sent again, so that a killed call is
        resumed by another. The width of the search is measured and written beside the vectors.

        A `SearchError` says that Milvus does not answer, another process has the file open, or the collection holds
        vectors of another model or something else.
        """
        from utils.clip import fingerprint

        dim, made_by = self.embeddings.shape[1], fingerprint(self.model) if self.model else self.made_by
        note = note_of(dim, made_by, self.reading)
        with progress_bar(total=len(self), desc="To Milvus", unit="image", disable=not progress) as bar:
            return MilvusIndex.filled(uri, collection, note, batches_of(self), self.model, bar)

    @staticmethod
    def from_milvus(uri: str | Path, model: CLIP | None = None, collection: str = COLLECTION) -> MilvusIndex:
        """Opens what `to_milvus` has written, see `MilvusIndex.open`."""
        return MilvusIndex.open(uri, model, collection)

    def _warn_of_missing(self, folder: str | Path) -> None:
        if self.missing:
            warnings.warn(
                f"{len(self.missing):,} of {len(self.dataset):,} images of the index {folder} are not where they "
                f"were, {self.missing[0]} the first; they are found but cannot be shown.",
                stacklevel=3,
            )

    @classmethod
    def _of(cls, model: CLIP | None, contents: Contents) -> ImageIndex:
        return cls(model=model, **{one.name: getattr(contents, one.name) for one in fields(Contents)})

    @classmethod
    def _built(
        cls,
        model: CLIP,
        images: Collection,
        folder: str | Path | None,
        engine: str,
        uri: str | Path | None,
        batch_size: int,
        progress: bool,
    ) -> ImageIndex | MilvusIndex:
        if (engine == "milvus") != (uri is not None):
            raise SearchError(
                'engine="milvus" and uri=, a file that ends with .db or a server\'s address, go together.'
            )
        if uri is not None:
            MilvusStore(uri, COLLECTION).close()  # whoever does not answer is told of before the work
        own_engine = engine if uri is None else "exact"  # of what is kept in the folder
        index = cls._of(model, build_index(model, images, folder, own_engine, batch_size, progress))
        built = index if uri is None else index.to_milvus(uri, progress=progress)
        if progress:
            print(built)
        return built

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.dataset)

    def __repr__(self) -> str:
        """Returns one line: how many images, how they are searched, what was left out."""
        images, dim = self.embeddings.shape
        how = "compared exactly"
        if self.engine.width:
            parameters = ", ".join(f"{name} {value}" for name, value in self.engine.query_parameters.items())
            how = f"searched by {self.engine.name} ({parameters}; recall@10 {self.recall:.3f} on held-out queries)"
        skipped = f", {len(self.skipped):,} unreadable ones left out" if self.skipped else ""
        kind = "images" if self.tiling is None else f"tiles of {len(self.sources):,} scenes"
        names = sum(isinstance(item, WithoutFile) for item in self.dataset)
        alone = f" ({names:,} by name alone)" if names else ""
        return f"ImageIndex of {images:,} {kind}{alone}, vectors of {dim}, {how}{skipped}"

    @property
    def categories(self) -> tuple[str, ...]:
        """Sorted names that ``category`` may be."""
        return self._catalog.names("category")

    @property
    def sources(self) -> tuple[str, ...]:
        """Sorted names that ``source`` may be."""
        return self._catalog.names("source")

    def _dim(self) -> int:
        return self.embeddings.shape[1]

    def rank_scenes(self, text: str, presence_model: PresenceModel | None = None, *, tiles: int = 3) -> list[SceneHit]:
        """Says of each scene where in it a text fits best, and whether what it names is there at all.

        The text is a few words ('storage tanks'), asked by the prompt of `utils.finder.find`, whose verdict on the same
        tiles this is; without a presence model scenes are ranked by their best tile and nothing is said on presence.
        Of each scene so many best places come along, tiles that overlap merged. Scenes that could not be read come
        last. Every tile is compared; no scene is opened, but for one without a place on the Earth, once, to see
        whether it is from above.

        A `SearchError` says that the index is of whole images or has no model; a ValueError, that the presence model is
        of another model, or the text empty.
        """
        return rank_scenes(self, self.asking_model, self.scenes, text, presence_model, tiles)

    @cached_property
    def scenes(self) -> tuple[IndexedScene, ...]:
        """The scenes whose tiles are the members, in their order; none if these are whole images."""
        return scenes_of(self.dataset)

    def _closest(self, vector: np.ndarray, k: int, only: Only, exact: bool, without: Sequence[int] = ()) -> list[Hit]:
        rows = self._rows_of(only)
        wanted = min(k + len(without), len(self) if rows is None else len(rows))
        numbers = self._nearest(vector, wanted, rows, exact)
        numbers = numbers[~np.isin(numbers, without)]
        scores = self.embeddings[numbers] @ vector
        order = np.argsort(-scores, kind="stable")[:k]
        best = enumerate(order, start=1)
        return [hit_of(self.dataset[int(numbers[place])], rank, float(scores[place])) for rank, place in best]

    def _nearest(self, vector: np.ndarray, k: int, rows: np.ndarray | None, exact: bool) -> np.ndarray:
        """Numbers of the k closest images, of all or of some rows."""
        if rows is not None:
            return rows[largest((self.embeddings @ vector)[None, rows], k)[0]]
        numbers = (self._exact if exact else self.engine).nearest(vector[None], k)[0]
        return numbers if np.all(numbers >= 0) else self._exact.nearest(vector[None], k)[0]

    def _rows_of(self, only: Only) -> np.ndarray | None:
        """Rows (count,) int64 of the members that a search is limited to; None for all."""
        rows = self._catalog.rows_of(only.category, only.source)
        if only.within is None:
            return rows
        if np.isnan(self._bounds).all():
            raise SearchError(NO_PLACES)
        there = np.flatnonzero(overlaps(self._bounds, only.within))
        return there if rows is None else np.intersect1d(rows, there)

    @cached_property
    def _bounds(self) -> np.ndarray:
        return bounds_of(self.dataset)

    @cached_property
    def _exact(self) -> ExactEngine:
        return self.engine if isinstance(self.engine, ExactEngine) else ExactEngine(self.embeddings)

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self.dataset)

    def _member(self, file_name: str) -> tuple[np.ndarray, int]:
        row = self._catalog.find(file_name)
        return self.embeddings[row], row

    def _members_at(self, path: Path) -> list[int]:
        return self._catalog.rows_at(path)
