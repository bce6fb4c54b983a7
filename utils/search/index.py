"""Pictures that can be asked for by text, by another picture, by both, or by one of themselves."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.datasets import CaptionDataset, ImageReading
from utils.datasets.images.reading import AS_STORED
from utils.search.catalog import Catalog, Hit
from utils.search.collection import Collection, Skipped, embed_collection
from utils.search.engines import EXACT_BELOW, Engine, ExactEngine, choose_engine, largest
from utils.search.errors import SearchError
from utils.search.pieces import Mark
from utils.search.questions import embed_picture, embed_question, mix
from utils.search.storage import check_free, owned, recorded_reading
from utils.search.tiles import SceneTile, TileHit, Tiling

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP

    Picture = str | Path | bytes | Image.Image | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class ImageIndex:
    """A collection of pictures that can be searched.

    A query raises a `SearchError` with one sentence if it cannot be answered. What ``category`` and ``source`` leave
    is searched exactly, so that there are k answers if there are that many pictures.

    Attributes:
        model: The CLIP model that embedded the pictures and embeds the queries.
        dataset: The pictures, in the order of the vectors.
        embeddings: (images, dim) float32, of unit length.
        engine: What finds the closest of them.
        recall: Share of the ten true neighbors that the engine finds, measured on queries that are no members, of
            those like pictures or those like texts, whichever have less of it; 1 for exact search.
        skipped: Pictures that could not be read, with the reason.
        pictures: Mark over the names, sizes and times of the pictures that it was built from.
        missing: Members whose file was not there when the index was loaded; they are found, but cannot be shown.
        marks: Size and time of change of each member, by which an edited one is known; empty where they are not
            known.
        tiling: How the scenes were cut whose tiles are the members; None where these are whole pictures.
    """

    model: CLIP
    dataset: CaptionDataset
    embeddings: np.ndarray
    engine: Engine
    recall: float
    skipped: tuple[Skipped, ...] = ()
    pictures: str = ""
    missing: tuple[Path, ...] = ()
    marks: tuple[Mark, ...] = ()
    tiling: Tiling | None = None

    @classmethod
    def build(
        cls,
        model: CLIP,
        dataset_or_folder: CaptionDataset | str | Path,
        folder: str | Path | None = None,
        *,
        batch_size: int = 64,
        engine: str = "auto",
        progress: bool = True,
    ) -> ImageIndex:
        """Embeds every picture and makes the embeddings searchable.

        Of an index of the same model in the folder, and of what a killed build has left there, the vectors of all
        pictures are taken over whose path, size and time of change are the same: after a picture was added, one is
        embedded. Vectors that were computed in batches of other sizes differ from those of a build from scratch by
        rounding, about 1e-7.

        Args:
            model: The CLIP model.
            dataset_or_folder: The pictures: a data set, a folder of pictures at any depth (folders below it are
                their categories), or a captions file.
            folder: Where to keep the index; other files may be there too, and stay. If it holds the finished index
                of the same model and pictures, that is given back, from a read-only disk too; any other index is
                replaced once the new one is whole. None keeps nothing.
            batch_size: Pictures encoded at once.
            engine: ``exact``, ``nmslib``, ``hnswlib`` where that is installed, or ``auto``: exact up to the size where
                NMSLib gets faster (`EXACT_BELOW`).
            progress: Whether to show a bar, and say what is new and what was built.

        Raises:
            SearchError: If there is no picture, none can be read, or the folder holds something else.
            FolderInUseError: If another process writes an index into the folder; it is an OSError.
            OSError: If the disk takes no more.
        """
        from utils.search.building import build_index

        collection = Collection.of(dataset_or_folder, recorded_reading(folder))
        if not len(collection.dataset):
            raise SearchError(f"There is no image to index in {collection.dataset.name or 'the data set'}.")
        choose_engine(engine, len(collection.dataset))  # refuses what cannot be before hours of embedding
        embed = partial(embed_collection, model, collection, batch_size=batch_size, progress=progress)
        index = build_index(model, collection, None if folder is None else Path(folder), engine, embed)
        if progress:
            print(index)
        return index

    @classmethod
    def build_scenes(
        cls,
        model: CLIP,
        scenes: str | Path | Sequence[str | Path],
        folder: str | Path | None = None,
        *,
        tile_sizes: int | Sequence[int] | None = None,
        overlap: float = 0.5,
        stretch: str | tuple[float, float] = "auto",
        bands: Sequence[int] | None = None,
        batch_size: int = 64,
        engine: str = "auto",
        progress: bool = True,
    ) -> ImageIndex:
        """Cuts rasters of any size into square tiles and makes these searchable, each with its place on the Earth.

        They are cut as `utils.finder.embed_scene` cuts, read window by window, and tiles of which less than a quarter
        has data are left out. Answers are `TileHit`s, and ``source`` asks for one scene by its file's name. In the
        folder an unfinished build goes on, and an unchanged scene is neither opened nor embedded again.

        Args:
            model: The CLIP model.
            scenes: A folder of rasters at any depth, or their files.
            folder: Where to keep the index, see `build`.
            tile_sizes: In pixels, one or several; by default the model's input. Larger tiles are fewer, and show small
                things smaller.
            overlap: The share of a tile that the next one sees too, 0 to less than 1.
            stretch: The values that become black and white in all scenes. By default those that the folder's index
                was made with, else they are measured over the scenes.
            bands: The bands shown as red, green and blue, counted from 1; None as `stretch`, else as the files say.
            batch_size: Tiles encoded at once.
            engine: See `build`.
            progress: Whether to show a bar, and say what was built.

        Raises:
            ValueError: If tiles of these sizes and this overlap cannot be cut.
            SearchError: If there is no scene, none can be read, or the folder holds something else.
            FolderInUseError: If another process writes an index into the folder; it is an OSError.
            OSError: If the disk takes no more.
        """
        from utils.search.building import build_index
        from utils.search.scenes import SceneCollection, embed_scenes

        choose_engine(engine, EXACT_BELOW)
        reading = ImageReading(stretch, bands)
        if reading == AS_STORED:
            reading = recorded_reading(folder) or reading
        sizes = np.atleast_1d(model.preprocessing.image_size if tile_sizes is None else tile_sizes).tolist()
        collection = SceneCollection.of_scenes(scenes, reading, Tiling(tuple(sizes), float(overlap)))
        if not len(collection.dataset):
            raise SearchError("There is no scene to index; name a folder of rasters, or their files.")
        embed = partial(embed_scenes, model, collection, batch_size=batch_size, progress=progress)
        index = build_index(model, collection, None if folder is None else Path(folder), engine, embed)
        if progress:
            print(index)
        return index

    @classmethod
    def load(cls, folder: str | Path, model: CLIP) -> ImageIndex:
        """Reads an index that `save` or `build` has written.

        Pictures that are no longer there are told in a warning and stand in ``missing``.

        Args:
            folder: The folder of the index.
            model: The model that it was built with.

        Raises:
            SearchError: If the folder holds no index, a file of it is damaged, or it was built with another model.
        """
        from utils.clip import fingerprint
        from utils.search.building import read_saved

        index = read_saved(Path(folder), model, fingerprint(model))
        if index.missing:
            warnings.warn(
                f"{len(index.missing):,} of {len(index.dataset):,} pictures of the index {folder} are not where "
                f"they were, {index.missing[0]} the first; they are found but cannot be shown.",
                stacklevel=2,
            )
        return index

    def save(self, folder: str | Path) -> None:
        """Writes the index into a folder, in place of an index that is there.

        Pictures below the folder or beside it are noted relative to it, so that the two can move together; others
        by their whole path.

        Args:
            folder: Where to; made if it is not there.

        Raises:
            SearchError: If the folder has an ``index.json`` of something else.
            FolderInUseError: If another process writes an index into the folder; it is an OSError.
            OSError: If the disk takes no more; what was there before is as it was.
        """
        from utils.search.building import write_saved

        check_free(Path(folder))
        with owned(Path(folder)):
            write_saved(self, Path(folder))

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.dataset)

    def __repr__(self) -> str:
        """Return one line: how many pictures, how they are searched, what was left out."""
        images, dim = self.embeddings.shape
        how = "compared exactly"
        if self.engine.width:
            parameters = ", ".join(f"{name} {value}" for name, value in self.query_parameters.items())
            how = f"searched by {self.engine.name} ({parameters}; recall@10 {self.recall:.3f} on strangers)"
        skipped = f", {len(self.skipped):,} unreadable ones left out" if self.skipped else ""
        kind = "pictures" if self.tiling is None else f"tiles of {len(self.sources):,} scenes"
        return f"ImageIndex of {images:,} {kind}, vectors of {dim}, {how}{skipped}"

    @property
    def query_parameters(self) -> dict[str, int]:
        """What the engine's queries run with, empty for exact search."""
        return dict(self.engine.query_parameters)

    @property
    def categories(self) -> tuple[str, ...]:
        """Sorted names that ``category`` may be."""
        return self._catalog.names("category")

    @property
    def sources(self) -> tuple[str, ...]:
        """Sorted names that ``source`` may be."""
        return self._catalog.names("source")

    def query_text(
        self,
        text: str | Sequence[str],
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the pictures closest to a text, best first.

        Args:
            text: What to look for. Of several texts, which say one thing in different words, the mean of the
                embeddings is looked for, at unit length (as prompt ensembles are, Radford et al. 2021).
            k: How many.
            category: Only pictures of this category.
            source: Only pictures of this data set.
            exact: Compare with every picture.
        """
        return self._answer(embed_question(self.model, text), k, category, source, exact)

    def query_image(
        self,
        image: Picture,
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the pictures closest to a picture, best first.

        Args:
            image: A path, the content of a file, a Pillow picture, or an array (height, width) or (height, width,
                channels) of any type. What has more than 8 bits is read as the index's own pictures are, if these
                are all read alike. The path of a member is left out of its own answer.
            k: How many.
            category: Only pictures of this category.
            source: Only pictures of this data set.
            exact: Compare with every picture.
        """
        vector = embed_picture(self.model, image, self.reading)
        return self._answer(vector, k, category, source, exact, self._members_at(image))

    def query_text_and_image(
        self,
        text: str | Sequence[str],
        image: Picture,
        k: int = 10,
        *,
        text_weight: float = 0.5,
        category: str | None = None,
        source: str | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds pictures like a picture that a text fits too, best first.

        The query is ``text_weight * text + (1 - text_weight) * image`` at unit length. With published CLIP models
        pictures are much closer to a picture than to any text, so the picture is the louder one at one half.

        Args:
            text: As in `query_text`.
            image: As in `query_image`; a member is left out of its own answer.
            k: How many.
            text_weight: From 0, the picture alone, to 1, the text alone.
            category: Only pictures of this category.
            source: Only pictures of this data set.
            exact: Compare with every picture.
        """
        vector = mix(embed_question(self.model, text), embed_picture(self.model, image, self.reading), text_weight)
        return self._answer(vector, k, category, source, exact, self._members_at(image))

    @cached_property
    def reading(self) -> ImageReading:
        """How its pictures of more than 8 bits are read, if all are read alike."""
        readings = self.dataset.readings
        return readings[0] if len(readings) == 1 else AS_STORED

    def query_member(
        self,
        file_name: str,
        k: int = 10,
        *,
        category: str | None = None,
        source: str | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Finds the pictures closest to a member, which is left out, best first; its file is not read.

        Args:
            file_name: The member's file name, with as many folders before it as tell it from others.
            k: How many.
            category: Only pictures of this category.
            source: Only pictures of this data set.
            exact: Compare with every picture.
        """
        row = self._catalog.find(file_name)
        return self._answer(self.embeddings[row], k, category, source, exact, [row])

    # --- how it is done ----------------------------------------------------------------------------------------

    def _answer(
        self,
        vector: np.ndarray,
        k: int,
        category: str | None,
        source: str | None,
        exact: bool,
        without: Sequence[int] = (),
    ) -> list[Hit]:
        """The k pictures closest to a unit vector (dim,), among those asked for."""
        if k < 1:
            raise SearchError(f"k is {k}; ask for at least one image.")
        rows = self._catalog.rows_of(category, source)
        wanted = min(k + len(without), len(self) if rows is None else len(rows))
        numbers = self._nearest(vector, wanted, rows, exact)
        numbers = numbers[~np.isin(numbers, without)]
        scores = self.embeddings[numbers] @ vector
        order = np.argsort(-scores, kind="stable")[:k]
        return [self._hit(rank, numbers[place], scores[place]) for rank, place in enumerate(order, start=1)]

    def _nearest(self, vector: np.ndarray, k: int, rows: np.ndarray | None, exact: bool) -> np.ndarray:
        """Numbers of the k closest pictures, of all or of some rows."""
        if rows is not None:
            # Many rows are cheaper to pass over than to copy.
            many = 4 * len(rows) > len(self)
            scores = (self.embeddings @ vector)[rows] if many else self.embeddings[rows] @ vector
            return rows[largest(scores[None], k)[0]]
        if not exact:
            numbers = self.engine.nearest(vector[None], k)[0]
            if np.all(numbers >= 0):
                return numbers
        return ExactEngine(self.embeddings).nearest(vector[None], k)[0]

    def _hit(self, rank: int, number: int, score: float) -> Hit:
        item = self.dataset[int(number)]
        facts = (rank, float(score), item.path, item.captions, item.category, item.source, item.reading)
        return TileHit(*facts, tile=item) if isinstance(item, SceneTile) else Hit(*facts)

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self.dataset)

    def _members_at(self, image: Picture) -> list[int]:
        """Rows of the members that a path leads to; none for anything but a path."""
        return self._catalog.rows_at(Path(image)) if isinstance(image, str | Path) else []
