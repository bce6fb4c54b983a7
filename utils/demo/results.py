"""What an answer consists of, for the page to draw and for programs as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from utils.files import printable
from utils.search import Hit, SceneHit, TileHit

if TYPE_CHECKING:
    from utils.finder import Finding

TILES_TOLD = 30  # of a finding as data; the file to download has all
SCENES_TOLD = 100


@dataclass(frozen=True)
class SearchAnswer:
    """Images of the index, best first, and sentences that say what they are."""

    sentence: str
    hits: Sequence[Hit]
    remarks: Sequence[str] = ()  # what else a visitor should know
    presence: float | None = None  # the probability that any image shows what was asked for; None if nobody knows

    def as_json(self) -> dict[str, Any]:
        """Itself as programs get it."""
        return {
            "sentence": self.sentence,
            "remarks": list(self.remarks),
            "presence": self.presence,
            "hits": [hit_as_json(hit) for hit in self.hits],
        }


@dataclass(frozen=True)
class ArchiveAnswer(SearchAnswer):
    """Places in the scenes of an index, and what each scene shows."""

    scenes: tuple[SceneHit, ...] = ()  # best first

    def as_json(self) -> dict[str, Any]:
        """Itself as programs get it."""
        scenes = [
            {"file": scene.name, "presence": scene.presence, "score": scene.score, "verdict": verdict_of(scene)}
            for scene in self.scenes[:SCENES_TOLD]
        ]
        return super().as_json() | {"scenes": scenes}


@dataclass(frozen=True)
class FeatureAnswer:
    """The tiles of one image, ranked, with the verdict and what it rests on."""

    sentence: str
    details: str
    finding: Finding

    def as_json(self) -> dict[str, Any]:
        """Itself as programs get it, with the best tiles."""
        finding = self.finding
        return {
            "sentence": self.sentence,
            "details": self.details,
            "presence": finding.presence,
            "aerial": finding.aerial,
            "size": list(finding.scene.size),
            "tiles": [
                {"rank": tile.rank, "score": tile.score, "box": list(tile.box), "presence": tile.presence}
                | _center(center_of(outline))
                for tile, outline in zip(finding.tiles[:TILES_TOLD], outlines_of(finding, TILES_TOLD), strict=True)
            ],
        }


def verdict_of(scene: SceneHit) -> str:
    """What is said of a scene, without the path that an error of its file has."""
    return scene.verdict.replace(str(scene.path), scene.name)


def hit_as_json(hit: Hit) -> dict[str, Any]:
    """A hit as programs get it: by its file's name, never its path."""
    tile = hit.tile if isinstance(hit, TileHit) else None
    return {
        "rank": hit.rank,
        "score": hit.score,
        "file": printable(hit.path.name) if hit.has_file else hit.given,
        "captions": list(hit.captions),
        "category": hit.category,
        "source": hit.source,
        "box": None if tile is None else list(tile.box),
    } | _center(center_of(None if tile is None else tile.footprint))


def outlines_of(finding: Finding, count: int) -> list[dict[str, Any] | None]:
    """The outlines of the best tiles on the Earth as GeoJSON geometries, None where they have no place."""
    import numpy as np

    from utils.finder.place import footprints

    boxes = np.array([tile.box for tile in finding.tiles[:count]], np.int64).reshape(-1, 4)
    return footprints(boxes, finding.scene.place)


def rings_of(geometry: dict[str, Any]) -> list[list[list[float]]]:
    """The outer rings of a Polygon or a MultiPolygon of GeoJSON, each of (longitude, latitude)."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [polygon[0] for polygon in polygons]


def center_of(geometry: dict[str, Any] | None) -> tuple[float, float] | None:
    """Longitude and latitude of the middle of an outline, of its first part where the antimeridian cuts it."""
    if geometry is None:
        return None
    ring = rings_of(geometry)[0][:-1]
    return sum(point[0] for point in ring) / len(ring), sum(point[1] for point in ring) / len(ring)


def _center(center: tuple[float, float] | None) -> dict[str, float | None]:
    longitude, latitude = (None, None) if center is None else (round(degrees, 6) for degrees in center)
    return {"longitude": longitude, "latitude": latitude}
