"""Tiles of scenes as members of an index: which part of which file, where that lies on the Earth, how it looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import CaptionedImage, ImageReading
from utils.finder.place import NO_PLACE, Place, closed, corners_on_map, footprints
from utils.finder.presence import write_file
from utils.finder.reading import Box, open_scene
from utils.finder.tiles import apart
from utils.search.catalog import Hit, WithoutFile
from utils.search.engines import SearchError

if TYPE_CHECKING:
    from PIL import Image

# Left and top edge, width and height in pixels, as rasterio's Window has them.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tiling:
    """How scenes are cut; a smaller scene is cut into tiles of its shorter side."""

    tile_sizes: tuple[int, ...]  # sides of the tiles in pixels
    overlap: float  # the share of a tile that the next one sees too

    def sizes_for(self, size: tuple[int, int]) -> list[int]:
        """The sides of the tiles of a scene of this width and height."""
        return [min(side, *size) for side in self.tile_sizes]


@dataclass(frozen=True, kw_only=True)
class SceneTile(CaptionedImage):
    """A tile of a scene; ``path`` is the scene's file, and ``source`` its name."""

    window: Window  # which part of the scene it is
    place: Place = NO_PLACE  # where the scene lies, or why nobody knows

    @property
    def name(self) -> str:
        """The scene's name and the window, for people to read."""
        return f"{super().name} {self.window}"

    @property
    def box(self) -> Box:
        """Its left, top, right and bottom edge in pixels of the scene, right and bottom exclusive."""
        left, top, width, height = self.window
        return left, top, left + width, top + height

    @property
    def footprint(self) -> dict[str, Any] | None:
        """Its outline as GeoJSON has it, longitude and latitude on WGS 84; None where nobody knows the place."""
        return footprints(np.array([self.box]), self.place)[0]

    @property
    def map_footprint(self) -> dict[str, Any] | None:
        """Its outline in the coordinates of the scene's own map, ``place.crs``; None where that has none."""
        corners = corners_on_map(np.array([self.box]), self.place)
        return None if corners is None else {"type": "Polygon", "coordinates": [closed(corners[0])]}

    def image(self, longest: int | None = None) -> Image.Image:
        """The tile, cut from the scene, see `cut_out`."""
        return cut_out(self.path, self.reading, [self.window], longest)[0]


@dataclass(frozen=True, kw_only=True)
class TileHit(Hit):
    """A tile that was found; ``path`` is the scene's file."""

    tile: SceneTile  # with its window, footprint and image
    presence: float | None = None  # the probability that it shows what was asked for, where a presence model was

    @property
    def name(self) -> str:
        """The scene's name and the window, for people to read."""
        return self.tile.name


def address(member: CaptionedImage | Hit) -> Path:
    """What tells members apart: the path of an image, and of a tile its scene's with the window behind it."""
    item = member.tile if isinstance(member, TileHit) else member
    return item.path.with_name(f"{item.path.name} {item.window}") if isinstance(item, SceneTile) else item.path


def cut_out(
    scene: Path, reading: ImageReading, windows: Sequence[Window], longest: int | None = None
) -> list[Image.Image]:
    """Parts of a scene, which is opened once; a longer side than ``longest`` pixels is reduced to it.

    An `ImageError` says that the scene cannot be read, or has become smaller.
    """
    with open_scene(scene, reading) as opened:
        return [opened.crop((left, top, left + width, top + height), longest) for left, top, width, height in windows]


def hit_of(item: CaptionedImage, rank: int, score: float) -> Hit:
    """A member of an index as what a search found."""
    facts = (rank, score, item.path, item.captions, item.category, item.source, item.reading)
    if isinstance(item, SceneTile):
        return TileHit(*facts, tile=item)
    return Hit(*facts, given=item.given if isinstance(item, WithoutFile) else None)


def merge_overlapping(hits: Sequence[Hit]) -> list[Hit]:
    """The hits that show different places, ranked again: of tiles of a scene that overlap, the best alone stays.

    What overlaps is as `utils.finder.tiles.apart` has it; the hits come best first, as a query gives them. Ask for
    several times as many as you want to see: with half overlap, nine tiles see each place.
    """
    scenes: dict[Path, list[int]] = {}
    kept = []
    for number, hit in enumerate(hits):
        if isinstance(hit, TileHit):
            scenes.setdefault(hit.path, []).append(number)
        else:
            kept.append(number)
    for numbers in scenes.values():
        boxes = np.array([hit.tile.box for number in numbers if isinstance(hit := hits[number], TileHit)])
        kept += [numbers[place] for place in apart(boxes)]
    return [replace(hits[number], rank=rank) for rank, number in enumerate(sorted(kept), start=1)]


def with_footprints(hits: Sequence[Hit]) -> list[tuple[TileHit, dict[str, Any] | None]]:
    """The tiles among hits with their footprints; a `SearchError` if there is none, or none with a place."""
    found = [hit for hit in hits if isinstance(hit, TileHit)]
    if not found:
        raise SearchError("No tiles of scenes were found, so there are no footprints to save; try another query.")
    outlines = [hit.tile.footprint for hit in found]
    if not any(outlines):
        reason = found[0].tile.place.reason or "lies beyond the edge of the Earth on its map"
        raise SearchError(f"{found[0].name} {reason}, so nobody knows where it lies; index georeferenced scenes.")
    return list(zip(found, outlines, strict=True))


def properties_of(hit: TileHit) -> dict[str, Any]:
    """What files of footprints say of a hit."""
    return {
        "rank": hit.rank,
        "score": hit.score,
        "presence": hit.presence,
        "scene": str(hit.path),
        "window": list(hit.tile.window),
    }


def save_geojson(hits: Sequence[Hit], path: str | Path) -> Path:
    """Writes the footprints of tiles that were found as GeoJSON in longitude and latitude (WGS 84, RFC 7946).

    A tile without a place on the Earth has no geometry there; if no tile among the hits has one, it is a `SearchError`.
    The file appears whole or not at all.
    """
    features = [
        {"type": "Feature", "geometry": outline, "properties": properties_of(hit)}
        for hit, outline in with_footprints(hits)
    ]
    return write_file(path, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")
