"""Tiles of scenes as members of an index: which part of which file, where that lies on the Earth, how it looks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import CaptionedImage, ImageReading
from utils.finder.place import NO_PLACE, Place, footprints
from utils.finder.presence import write_file
from utils.finder.reading import open_scene
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
    def footprint(self) -> dict[str, Any] | None:
        """Its outline as GeoJSON has it, longitude and latitude on WGS 84; None where nobody knows the place."""
        left, top, width, height = self.window
        return footprints(np.array([[left, top, left + width, top + height]]), self.place)[0]

    def image(self, longest: int | None = None) -> Image.Image:
        """The tile, cut from the scene, see `cut_out`."""
        return cut_out(self.path, self.reading, [self.window], longest)[0]


@dataclass(frozen=True, kw_only=True)
class TileHit(Hit):
    """A tile that was found; ``path`` is the scene's file."""

    tile: SceneTile  # with its window, footprint and image

    @property
    def name(self) -> str:
        """The scene's name and the window, for people to read."""
        return self.tile.name


def as_hit(rank: int, score: float, item: CaptionedImage) -> Hit:
    """A member that was found."""
    facts = (rank, float(score), item.path, item.captions, item.category, item.source, item.reading)
    if isinstance(item, SceneTile):
        return TileHit(*facts, tile=item)
    return Hit(*facts, given=item.given if isinstance(item, WithoutFile) else None)


def address(member: CaptionedImage | Hit) -> Path:
    """What tells members apart: the path of an image, and of a tile its scene's with the window behind it."""
    item = member.tile if isinstance(member, TileHit) else member
    return item.path.with_name(f"{item.path.name} {item.window}") if isinstance(item, SceneTile) else item.path


def place_as_json(place: Place) -> dict[str, Any]:
    """A scene's place, to be noted beside its tiles."""
    corners = None if place.transform is None else list(place.transform)[:6]
    return {"crs": place.crs, "transform": corners, "reason": place.reason}


def place_of_json(stored: dict[str, Any]) -> Place:
    """What `place_as_json` gave."""
    from affine import Affine

    transform = None if stored["transform"] is None else Affine(*stored["transform"])
    return Place(stored["crs"], transform, stored["reason"])


def cut_out(
    scene: Path, reading: ImageReading, windows: Sequence[Window], longest: int | None = None
) -> list[Image.Image]:
    """Parts of a scene, which is opened once; a longer side than ``longest`` pixels is reduced to it.

    An `ImageError` says that the scene cannot be read, or has become smaller.
    """
    with open_scene(scene, reading) as opened:
        return [opened.crop((left, top, left + width, top + height), longest) for left, top, width, height in windows]


def save_geojson(hits: Sequence[Hit], path: str | Path) -> Path:
    """Writes the footprints of tiles that were found as GeoJSON in longitude and latitude (WGS 84, RFC 7946).

    A tile without a place on the Earth has no geometry there; if no tile among the hits has one, it is a `SearchError`.
    The file appears whole or not at all.
    """
    found = [hit for hit in hits if isinstance(hit, TileHit)]
    if not found:
        raise SearchError("No tiles of scenes were found, so there are no footprints to save; try another query.")
    outlines = [hit.tile.footprint for hit in found]
    if not any(outlines):
        reason = found[0].tile.place.reason or "lies beyond the edge of the Earth on its map"
        raise SearchError(f"{found[0].name} {reason}, so nobody knows where it lies; index georeferenced scenes.")
    features = [
        {
            "type": "Feature",
            "geometry": outline,
            "properties": {"rank": hit.rank, "score": hit.score, "scene": str(hit.path), "window": hit.tile.window},
        }
        for hit, outline in zip(found, outlines, strict=True)
    ]
    return write_file(path, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")
