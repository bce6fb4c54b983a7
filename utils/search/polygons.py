"""Polygons that others have drawn, such as buildings or parcels, named by what a scene shows there."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import AS_STORED, ImageError, ImageReading
from utils.finder.finding import PROMPT, fill, with_named_field
from utils.finder.place import Place, footprints, pixels_of
from utils.finder.presence import write_file
from utils.finder.reading import open_scene
from utils.finder.scene import TileBatches
from utils.finder.tiles import LEAST_DATA, OVERLAP, data_shares
from utils.progress import progress_bar
from utils.search.collection import Collection
from utils.search.engines import SearchError
from utils.search.index import ImageIndex
from utils.search.tiles import Tiling

if TYPE_CHECKING:
    from utils.clip import CLIP

SURROUNDINGS = 0.25  # of a polygon's longer side, that is seen beyond it on every side
LEAST_INSIDE = 0.5  # of a polygon's bounding box; with less in a scene it is not named by that scene
PREFIX = "clip_"
PROPERTIES = "label", "score", "second", "margin", "scene", "reason"
# GeoJSON of before 2016 may name a reference system; these say what is the rule today.
LONGITUDE_LATITUDE = "CRS84", "EPSG:4326", "EPSG::4326"


def name_polygons(
    model: CLIP,
    scenes: ImageIndex | str | Path | Sequence[str | Path],
    geojson_path: str | Path,
    labels: Sequence[str],
    output: str | Path,
    *,
    prompt: str = PROMPT,
    surroundings: float = SURROUNDINGS,
    least_side: int | None = None,
    reading: ImageReading = AS_STORED,
    batch_size: int = 64,
    prefix: str = PREFIX,
    progress: bool = True,
) -> Path:
    """Names each polygon of a GeoJSON file by the label that fits what a scene shows there, and writes them again.

    What is looked at is a square around the polygon's bounding box, within the scene that most of it lies in. Every
    feature is written with all that it had and six properties more: ``clip_label`` and ``clip_score``, the best label
    and its cosine similarity; ``clip_second`` and ``clip_margin``, the second label and how much lower its similarity
    is; ``clip_scene``, the file's name; and ``clip_reason``, null, or why a feature has no label: the other five are
    null then. Properties that already have these names are replaced.

    Args:
        model: The CLIP model.
        scenes: Georeferenced rasters: an index of scenes, whose readings are taken over, a folder, a file or files.
        geojson_path: A FeatureCollection in longitude and latitude (WGS 84, RFC 7946).
        labels: Two or more, each a few words ('storage tanks').
        output: The file to write, which appears whole or not at all.
        prompt: With ``{}`` or ``{feature}`` where the label goes.
        surroundings: The share of the polygon's longer side that is seen beyond it on every side, 0 or more.
        least_side: Of the square in pixels, by default the smallest tile of the index, or the model's input.
        reading: The range of values of what is deeper than 8 bits, and the bands to show; not for an index.
        batch_size: Squares that are embedded at once.
        prefix: What the names of the six properties begin with.
        progress: Whether to show a bar.

    Raises:
        SearchError: If the file is no such GeoJSON, there are fewer than two labels, or no scene has a place.
        ValueError: If a label is empty, or the prompt has no place for it.
    """
    if not 0 <= surroundings < np.inf:
        raise SearchError(f"surroundings is {surroundings}; give the share of a polygon's side to add, 0 or more.")
    if least_side is not None and least_side < 1:
        raise SearchError(f"least_side is {least_side}; give the smallest square to look at, at least one pixel.")
    names, texts = _embedded_labels(model, labels, prompt)
    content = _read_collection(Path(geojson_path))
    sides = scenes.tiling.tile_sizes if isinstance(scenes, ImageIndex) and scenes.tiling else ()
    least = least_side or min(sides, default=model.preprocessing.image_size)
    placed = _placed_scenes(scenes, reading, least)
    outlines = [_outline(feature) for feature in content["features"]]
    number, boxes = _assigned(outlines, placed, surroundings, least)
    outside = f"Less than half of it lies in any one of the {len(placed):,} scenes that have a place."
    answers: list[dict[str, Any]] = [
        {"reason": outline if isinstance(outline, str) else outside} for outline in outlines
    ]
    with progress_bar(total=int((number >= 0).sum()), desc="Naming", unit="polygon", disable=not progress) as bar:
        for index, scene in enumerate(placed):
            rows = np.flatnonzero(number == index)
            for row, answer in zip(rows, scene.answers(model, boxes[rows], names, texts, batch_size), strict=True):
                answers[row] = answer
            bar.update(len(rows))
    for feature, answer in zip(content["features"], answers, strict=True):
        added = {f"{prefix}{name}": answer.get(name) for name in PROPERTIES}
        feature["properties"] = (feature.get("properties") or {}) | added
    return write_file(output, json.dumps(content, ensure_ascii=False) + "\n")


def _embedded_labels(model: CLIP, labels: Sequence[str], prompt: str) -> tuple[list[str], np.ndarray]:
    """Labels, each once, and the embeddings of their prompts (labels, dim) float32."""
    from utils.clip import embed_texts

    names = [labels] if isinstance(labels, str) else list(dict.fromkeys(label.strip() for label in labels))
    if len(names) < 2:
        raise SearchError(f"Of the labels {names} none can be told from another; give at least two.")
    template = with_named_field(prompt)
    return names, embed_texts(model, [fill(template, name) for name in names])


@dataclass(frozen=True)
class _PlacedScene:
    """A scene with a place on the Earth, to be opened when it is looked at."""

    path: Path
    reading: ImageReading
    place: Place
    size: tuple[int, int]  # width and height in pixels

    def answers(
        self, model: CLIP, boxes: np.ndarray, names: Sequence[str], texts: np.ndarray, batch_size: int
    ) -> list[dict[str, Any]]:
        """What the squares (squares, 4) show, by the properties' names."""
        from utils.clip import embed_images

        if not len(boxes):
            return []
        empty = {"reason": f"Less than {LEAST_DATA:.0%} of what is around it in {self.path.name} has data."}
        found: list[dict[str, Any]] = [empty] * len(boxes)
        try:
            with open_scene(self.path, self.reading) as opened:
                seen = np.flatnonzero(data_shares(opened.overview().data, boxes, self.size) >= LEAST_DATA)
                similarities = embed_images(model, TileBatches(model, [(opened, boxes[seen])], batch_size)) @ texts.T
        except ImageError as error:
            return [{"reason": str(error)}] * len(boxes)
        for place, row in zip(seen, similarities, strict=True):
            best, second = np.argsort(-row, kind="stable")[:2]
            found[place] = {
                "label": names[best],
                "score": float(row[best]),
                "second": names[second],
                "margin": float(row[best] - row[second]),
                "scene": self.path.name,
            }
        return found


def _placed_scenes(
    scenes: ImageIndex | str | Path | Sequence[str | Path], reading: ImageReading, side: int
) -> list[_PlacedScene]:
    """The scenes that have a place; of those that cannot be read a warning tells, and of none a `SearchError`."""
    if isinstance(scenes, ImageIndex):
        known = [(scene.path, scene.reading) for scene in scenes.scenes if scene.place.crs is not None]
    else:
        items = Collection.of_scenes(scenes, reading, Tiling((side,), OVERLAP)).dataset
        known = [(item.path, item.reading) for item in items]
    placed, reasons = [], []
    for path, how in known:
        try:
            with open_scene(path, how) as opened:
                if opened.place.crs is None:
                    reasons.append(f"{opened.name} {opened.place.reason}.")
                else:
                    placed.append(_PlacedScene(path, how, opened.place, opened.size))
        except ImageError as error:
            reasons.append(str(error))
    first = f" {reasons[0]}" if reasons else ""
    if not placed:
        raise SearchError(f"No scene has a place on the Earth, so no polygon can be found in one.{first}")
    if reasons:
        warnings.warn(f"{len(reasons):,} of {len(known):,} scenes are not looked at:{first}", stacklevel=3)
    return placed


def _read_collection(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SearchError(f"{path} cannot be read as GeoJSON ({error}); give a file of polygons.") from None
    kind = content.get("type") if isinstance(content, dict) else type(content).__name__
    features = content.get("features") if kind == "FeatureCollection" else None
    if not isinstance(features, list) or not all(map(_is_feature, features)):
        raise SearchError(f"{path} is a GeoJSON {kind} without a list of features; give a FeatureCollection.")
    named = content.get("crs")
    if named is not None and not json.dumps(named).rstrip('}" ').endswith(LONGITUDE_LATITUDE):
        raise SearchError(
            f"{path} names the reference system {json.dumps(named)}; turn it into longitude and latitude on WGS 84 "
            "first, as in: ogr2ogr -t_srs EPSG:4326 -lco RFC7946=YES out.geojson in.geojson"
        )
    return content


def _is_feature(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(name) or {}, dict) for name in ("geometry", "properties"))


def _outline(feature: Mapping[str, Any]) -> np.ndarray | str:
    """The outer points of a feature in degrees, (points, 2) float64, or why it has none, a sentence."""
    geometry = feature.get("geometry") or {}
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if not coordinates:
        return "It has no geometry."
    if kind not in ("Polygon", "MultiPolygon"):
        return f"Its geometry is a {kind}; only a Polygon or MultiPolygon is named."
    try:
        polygons = [coordinates] if kind == "Polygon" else coordinates
        points = np.array([point[:2] for polygon in polygons for point in polygon[0]], np.float64).reshape(-1, 2)
    except (TypeError, ValueError, IndexError, KeyError):
        return f"Its coordinates are not those of a {kind}."
    if len(points) < 3:
        return "Its outline has fewer than three points."
    if not (np.isfinite(points).all() and (np.abs(points) <= (180, 90)).all()):
        return "Its coordinates are not longitude and latitude in degrees."
    return points


def _assigned(
    outlines: Sequence[np.ndarray | str], scenes: Sequence[_PlacedScene], surroundings: float, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which scene each polygon is looked at in, (features,) int64, -1 for none, and its square there (features, 4)."""
    rows = np.array([row for row, outline in enumerate(outlines) if not isinstance(outline, str)], np.int64)
    chosen, most = np.full(len(outlines), -1), np.zeros(len(outlines))
    squares = np.zeros((len(outlines), 4), np.int64)
    known = [outline for outline in outlines if not isinstance(outline, str)]
    extents = np.array([[*points.min(axis=0), *points.max(axis=0)] for points in known]).reshape(-1, 4)
    for number, scene in enumerate(scenes):
        near = _near(extents, scene)
        if not near.any():
            continue
        points = [known[place] for place in np.flatnonzero(near)]
        starts = np.cumsum([0, *map(len, points[:-1])])
        pixels = pixels_of(np.concatenate(points), scene.place)
        boxes = np.concatenate([np.minimum.reduceat(pixels, starts), np.maximum.reduceat(pixels, starts)], axis=1)
        shares = _shares_inside(boxes, scene.size)
        better = (shares >= LEAST_INSIDE) & (shares > most[rows[near]])
        target = rows[near][better]
        chosen[target], most[target] = number, shares[better]
        squares[target] = _squares(boxes[better], scene.size, surroundings, least)
    return chosen, squares


def _near(extents: np.ndarray, scene: _PlacedScene) -> np.ndarray:
    """Which extents (polygons, 4) in degrees may meet a scene: only these are turned into its pixels."""
    outline = footprints(np.array([[0, 0, *scene.size]]), scene.place)[0]
    if outline is None:  # it reaches beyond the edge of its map, or holds a pole
        return np.ones(len(extents), bool)
    polygons = [outline["coordinates"]] if outline["type"] == "Polygon" else outline["coordinates"]
    points = np.array([point for polygon in polygons for point in polygon[0]])
    low, high = points.min(axis=0), points.max(axis=0)
    return (extents[:, :2] <= high).all(axis=1) & (extents[:, 2:] >= low).all(axis=1)


def _shares_inside(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The share of each box (boxes, 4) in pixels that lies in a scene, (boxes,) float64; 0 off its map."""
    inside = np.minimum(boxes[:, 2:], size) - np.maximum(boxes[:, :2], 0)
    whole = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-9)
    return np.nan_to_num(np.clip(inside / whole, 0, 1).prod(axis=1))


def _squares(boxes: np.ndarray, size: tuple[int, int], surroundings: float, least: int) -> np.ndarray:
    """Squares (boxes, 4) int64 around boxes in pixels, moved and cut to lie within a scene."""
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    sides = np.clip(np.round(longer * (1 + 2 * surroundings)), least, None)
    sides = np.minimum(sides, min(size)).astype(np.int64)[:, None]
    corners = np.round((boxes[:, :2] + boxes[:, 2:] - sides) / 2).astype(np.int64)
    corners = np.clip(corners, 0, np.array(size) - sides)
    return np.concatenate([corners, corners + sides], axis=1)
