"""An index of scenes asked scene by scene: where in each of them is a feature, and in which is it not at all?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.datasets import CaptionedImage, ImageError, ImageReading
from utils.files import printable
from utils.finder.aerial import AerialCheck, square_statistics
from utils.finder.finding import FeatureQuery, embed_feature
from utils.finder.place import Place
from utils.finder.presence import PresenceModel, presence_in_words
from utils.finder.reading import open_scene
from utils.finder.scene import squares_of
from utils.finder.tiles import FULL, apart, data_shares, tile_boxes
from utils.search.engines import SearchError
from utils.search.storage import Contents
from utils.search.tiles import SceneTile, TileHit, Tiling, hit_of

if TYPE_CHECKING:
    from utils.clip import CLIP


@dataclass(eq=False)
class IndexedScene:
    """A scene whose tiles are members of an index."""

    path: Path
    name: str  # of its file, for people to read
    reading: ImageReading  # how it was read
    place: Place  # where it lies, or why nobody knows
    rows: np.ndarray  # (tiles,) int64, of its tiles in the index
    boxes: np.ndarray  # (tiles, 4) int64, left, top, right, bottom in pixels
    _statistics: np.ndarray | None = None  # of its squares, kept from the first time on: it is opened for them

    def aerial(self, model: CLIP, check: AerialCheck, tiling: Tiling) -> bool | None:
        """Whether it may be an image from above, as `utils.finder.find` says; None if nothing tells.

        An `ImageError` says that it has gone, or cannot be read anymore.
        """
        if self.place.crs is not None:
            return None
        if self._statistics is None:
            self._statistics = self._measured(model, tiling)
        return check.allows(self._statistics)

    def _measured(self, model: CLIP, tiling: Tiling) -> np.ndarray:
        with open_scene(self.path, self.reading) as opened:
            overview, size = opened.overview(), opened.size
            sides = tiling.sizes_for(size)
            boxes = np.concatenate([tile_boxes(*size, side, tiling.overlap) for side in sides])
            partly_empty = bool((data_shares(overview.data, boxes, size) < FULL).any())
            return square_statistics(model, squares_of(overview.image, opened.place, partly_empty))


def scenes_of(items: Iterable[CaptionedImage]) -> tuple[IndexedScene, ...]:
    """The scenes that tiles are of, in the order of their first tiles."""
    tiles: dict[Path, list[tuple[int, SceneTile]]] = {}
    for row, item in enumerate(items):
        if isinstance(item, SceneTile):
            tiles.setdefault(item.path, []).append((row, item))
    scenes = []
    for path, found in tiles.items():
        rows, boxes = np.array([row for row, _ in found]), np.array([tile.box for _, tile in found])
        first = found[0][1]
        scenes.append(IndexedScene(path, printable(path.name), first.reading, first.place, rows, boxes))
    return tuple(scenes)


@dataclass(frozen=True)
class SceneHit:
    """What a scene shows of a feature; printed, it is a line of a table."""

    rank: int  # 1 for the best
    path: Path
    score: float | None  # cosine similarity of its best tile, -1 to 1; None if it could not be read
    presence: float | None  # the probability that it shows the feature anywhere; None if nothing can be said
    aerial: bool | None  # whether it may be an image from above; None if nothing tells
    hits: tuple[TileHit, ...]  # its best places, best first; of tiles that overlap, the best
    tiles: int  # that it was cut into
    reason: str = ""  # why it has no score, or no presence, a sentence

    @property
    def name(self) -> str:
        """The scene's file name, for people to read."""
        return printable(self.path.name)

    @property
    def verdict(self) -> str:
        """What is said on presence, in words; empty without a presence model."""
        if self.reason:
            return self.reason
        if self.aerial is False:
            return "is probably no image from above"
        return "" if self.presence is None else presence_in_words(self.presence)

    def __str__(self) -> str:
        """Returns rank, presence, score, name, verdict and the best places in a line."""
        presence, score = (f"{'-' if one is None else f'{one:.2f}':>5}" for one in (self.presence, self.score))
        windows = "; ".join(", ".join(map(str, hit.tile.window)) for hit in self.hits)
        said = f"{self.rank:>4} {presence} {score}  {self.name:<28}  {self.verdict}"
        return f"{said}  [{windows}]" if windows else said


def rank_scenes(
    contents: Contents,
    model: CLIP,
    scenes: Sequence[IndexedScene],
    text: str,
    presence_model: PresenceModel | None,
    tiles: int,
) -> list[SceneHit]:
    """Ranks the scenes of an index by a text, see `utils.search.ImageIndex.rank_scenes`."""
    from utils.clip import fingerprint

    if contents.tiling is None:
        raise SearchError("The index is of whole images and knows no scenes; build one with ImageIndex.build_scenes.")
    if tiles < 1:
        raise SearchError(f"tiles is {tiles}; ask for at least one of each scene.")
    query = embed_feature(model, fingerprint(model), text, presence_model)
    found = [_asked(scene, contents, model, query, tiles) for scene in scenes]
    found.sort(key=lambda hit: (hit.presence is None, -(hit.presence or 0), -(hit.score or 0)))
    skipped = [SceneHit(0, one.path, None, None, None, (), 0, printable(one.reason)) for one in contents.skipped]
    return [replace(hit, rank=rank) for rank, hit in enumerate([*found, *skipped], start=1)]


def _asked(scene: IndexedScene, contents: Contents, model: CLIP, query: FeatureQuery, tiles: int) -> SceneHit:
    """What one scene shows of a feature."""
    embeddings = contents.embeddings[scene.rows]
    scores, aerial, reason = query.scores(embeddings), None, ""
    check = query.presence_model.aerial if query.presence_model else None
    presences = None
    try:
        if check is not None and contents.tiling is not None:
            aerial = scene.aerial(model, check, contents.tiling)
        presences = query.presences(embeddings, aerial)
    except ImageError as error:
        reason = str(error)
    order = np.argsort(-scores, kind="stable")
    hits = []
    for rank, place in enumerate(order[apart(scene.boxes[order], tiles)], start=1):
        hit = hit_of(contents.dataset[int(scene.rows[place])], rank, float(scores[place]))
        assert isinstance(hit, TileHit)  # the scene has tiles alone
        hits.append(hit if presences is None else replace(hit, presence=float(presences[place])))
    presence = None if presences is None else float(presences.max())
    return SceneHit(0, scene.path, float(scores.max()), presence, aerial, tuple(hits), len(scores), reason)
