"""What a search is limited to: a category, a source, a part of the Earth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from utils.datasets import CaptionedImage
from utils.finder.place import NO_PLACE, footprints
from utils.search.engines import SearchError
from utils.search.tiles import SceneTile

# West, south, east and north in degrees of longitude and latitude; where west is more than east, it holds 180 degrees.
Box = tuple[float, float, float, float]
TURNS = (-360.0, 0.0, 360.0)  # by which a box that holds the antimeridian is moved to meet others
NO_PLACES = "No image of the index has a place on the Earth; index georeferenced scenes, or leave within= out."


@dataclass(frozen=True)
class Only:
    """What a search is limited to; None for all. A `SearchError` says that a box is none."""

    category: str | None = None
    source: str | None = None
    within: Box | None = None  # tiles whose footprint's bounds meet this

    def __post_init__(self) -> None:
        """Checks the box."""
        if self.within is not None:
            object.__setattr__(self, "within", _checked(self.within))


def _checked(box: Sequence[float]) -> Box:
    """A box whose east is not less than its west, and up to 540 degrees then."""
    try:
        west, south, east, north = map(float, box)
    except (TypeError, ValueError):
        west = south = east = north = np.nan
    if not (abs(west) <= 180 and abs(east) <= 180 and -90 <= south <= north <= 90):
        raise SearchError(
            f"within is {box!r}; give (west, south, east, north) in degrees, -180 to 180 and -90 to 90, south first."
        )
    return west, south, east + 360 if east < west else east, north


def bounds_of(items: Sequence[CaptionedImage]) -> np.ndarray:
    """West, south, east and north of the footprint of each item, (items, 4) float64, NaN where it has none.

    East is more than 180 for a tile that the antimeridian cuts.
    """
    bounds = np.full((len(items), 4), np.nan)
    places = [item.place if isinstance(item, SceneTile) else NO_PLACE for item in items]
    for place, group in groupby(range(len(items)), key=places.__getitem__):
        rows = list(group)
        if place.crs is None:
            continue
        windows = np.array([items[row].window for row in rows])  # type: ignore[attr-defined]
        boxes = np.concatenate([windows[:, :2], windows[:, :2] + windows[:, 2:]], axis=1)
        for row, outline in zip(rows, footprints(boxes, place), strict=True):
            if outline:
                bounds[row] = _bounds(outline)
    return bounds


def _bounds(outline: dict) -> list[float]:
    whole = outline["type"] == "Polygon"
    pieces = [np.array((part if not whole else outline["coordinates"])[0]) for part in outline["coordinates"]]
    if not whole:  # cut at the antimeridian: what lies east of it, with negative longitudes, goes on beyond 180
        for piece in pieces:
            piece[:, 0] += 360 * (piece[:, 0].max() <= 0)
    points = np.concatenate(pieces)
    return [*points.min(axis=0), *points.max(axis=0)]


def overlaps(bounds: np.ndarray, box: Box) -> np.ndarray:
    """Which bounds (items, 4) meet a box, (items,) bool; those that are NaN meet none."""
    west, south, east, north = box
    across = [(bounds[:, 0] <= east + turn) & (bounds[:, 2] >= west + turn) for turn in TURNS]
    return np.any(across, axis=0) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
