"""Searching a scene for a feature: which tiles come first, and whether it is there at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.finder.drawing import heat_map, overlay
from utils.finder.geojson import as_geojson
from utils.finder.presence import PresenceModel, write_file
from utils.finder.scene import SceneEmbeddings

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP

PROMPT = "An aerial image of {feature}"  # as the published demo asks
FORMAT = 1  # of the JSON file


@dataclass(frozen=True)
class Tile:
    """What one tile scored.

    Attributes:
        rank: 1 for the best.
        box: Left, top, right, bottom in pixels, right and bottom exclusive.
        score: Cosine similarity of tile and prompt, -1 to 1.
        probability: The tile's share of the softmax over all tiles, as published: it says which tile, given
            that there is one, and never that there is none.
        presence: The probability that this tile, one of as many as there are, shows the feature, 0 to 1; None
            without a presence model. The highest of them is the scene's.
        data_share: The share of the tile that has data, 0 to 1; what has none is black to the model.
    """

    rank: int
    box: tuple[int, int, int, int]
    score: float
    probability: float
    presence: float | None
    data_share: float = 1.0

    @property
    def partly_empty(self) -> bool:
        """Whether more than a hundredth of it has no data."""
        return self.data_share < 0.99

    def as_json(self) -> dict[str, Any]:
        """Everything but the box, as JSON knows it."""
        return {
            "rank": self.rank,
            "score": self.score,
            "probability": self.probability,
            "presence": self.presence,
            "data_share": round(self.data_share, 4),
            "partly_empty": self.partly_empty,
        }


@dataclass(frozen=True, eq=False)
class Finding:
    """What a scene shows of one feature.

    Attributes:
        feature: What was searched for.
        prompt: The text that was embedded.
        tiles: Best first; of equal scores the one that was cut first.
        presence: The probability that the scene shows the feature anywhere, 0 to 1; None without a presence
            model.
        scene: What was searched.
    """

    feature: str
    prompt: str
    tiles: tuple[Tile, ...]
    presence: float | None
    scene: SceneEmbeddings

    def heat_map(self, width: int = 512) -> np.ndarray:
        """Where the feature is, ``width`` pixels wide, by `utils.finder.drawing.heat_map`.

        Returns:
            (height, width) float32, 0 to 1: the tiles' shares of the softmax relative to the best tile's, times
            the presence where that is known: the map of a feature that is not there stays dark. The maximum lies in
            the best tile.
        """
        shares = np.array([tile.probability for tile in self.tiles])
        presence = 1.0 if self.presence is None else self.presence
        values = (presence * shares / shares.max()).astype(np.float32)
        return heat_map(_boxes(self.tiles), values, self.scene.size, width)

    def overlay(self, width: int = 800, boxes: int = 3) -> Image.Image:
        """The scene, ``width`` pixels wide, with the heat map upon it and the ``boxes`` best tiles framed, as RGB."""
        scale = width / self.scene.size[0]
        return overlay(self.scene.thumbnail, self.heat_map(width), _boxes(self.tiles[:boxes]), scale)

    def as_json(self) -> dict[str, Any]:
        """Everything that was found, as JSON knows it."""
        place = self.scene.place
        return {
            "format": FORMAT,
            "feature": self.feature,
            "prompt": self.prompt,
            "presence": self.presence,
            "picture": {
                "name": self.scene.name,
                "width": self.scene.size[0],
                "height": self.scene.size[1],
                "crs": place.crs,
                "transform": None if place.transform is None else list(place.transform)[:6],
            },
            "tile_sizes": list(self.scene.tile_sizes),
            "tiles_without_data": self.scene.left_out,
            "model": self.scene.model_fingerprint,
            "tiles": [{"rank": tile.rank, "box": list(tile.box)} | tile.as_json() for tile in self.tiles],
        }

    def save_json(self, path: str | Path) -> Path:
        """Writes `as_json`; the file appears whole or not at all."""
        return write_file(path, json.dumps(self.as_json(), indent=1) + "\n")

    def save_geojson(self, path: str | Path, tiles: int | None = None) -> Path:
        """Writes so many of the best tiles, or all, as GeoJSON in longitude and latitude (WGS 84, RFC 7946).

        The file appears whole or not at all.

        Raises:
            ValueError: If nobody knows where the scene lies on the Earth.
        """
        chosen = self.tiles[:tiles]
        properties = []
        for tile in chosen:
            known = tile.as_json()
            data = {name: known.pop(name) for name in ("data_share", "partly_empty")}
            properties.append({"feature": self.feature, **known, "scene_presence": self.presence, **data})
        collection = as_geojson(_boxes(chosen), self.scene.place, self.scene.name, properties)
        return write_file(path, json.dumps(collection) + "\n")


def _boxes(tiles: Sequence[Tile]) -> np.ndarray:
    return np.array([tile.box for tile in tiles], np.int64).reshape(-1, 4)


def find(
    model: CLIP,
    scene: SceneEmbeddings,
    feature: str,
    presence_model: PresenceModel | None = None,
    template: str | None = None,
) -> Finding:
    """Ranks the tiles of a scene by a text, and says how probable it is that any of them shows it.

    Args:
        model: The model that embedded the scene.
        scene: From `embed_scene`.
        feature: What to look for, in a few words ('stadium').
        presence_model: From `calibrate_presence` with the same model; without it nothing is said on presence.
        template: The prompt, with ``{}`` or ``{feature}`` where the feature goes; by default that of the presence
            model, without one `PROMPT`.

    Raises:
        ValueError: If the feature is empty, the template has no place for it, or the presence model was
            calibrated for another model than the scene's or with another template.
    """
    from scipy.special import softmax

    from utils.clip import embed_texts

    if presence_model is not None:
        presence_model.check_model(scene.model_fingerprint)
        presence_model.check_template(with_named_field(template or presence_model.template))
        template = presence_model.template
    prompt = fill(template or PROMPT, feature)
    background = () if presence_model is None else presence_model.background
    text_embeddings = embed_texts(model, [prompt, *background])
    scale = logit_scale(model)
    scores = scene.embeddings @ text_embeddings[0]
    shares = softmax(scale * scores)
    tile_presences: list[float] | None = None
    if presence_model is not None:
        margins = presence_model.margins(scene.embeddings, text_embeddings[0], text_embeddings[1:], scale)
        tile_presences = presence_model.tile_probabilities(margins).tolist()
    data_shares = np.ones(len(scores)) if scene.data_shares is None else scene.data_shares
    boxes = scene.boxes.tolist()
    tiles = tuple(
        Tile(
            rank=rank,
            box=tuple(boxes[number]),
            score=float(scores[number]),
            probability=float(shares[number]),
            presence=None if tile_presences is None else tile_presences[number],
            data_share=float(data_shares[number]),
        )
        for rank, number in enumerate(np.argsort(-scores, kind="stable").tolist(), 1)
    )
    return Finding(feature.strip(), prompt, tiles, max(tile_presences) if tile_presences else None, scene)


def fill(template: str, feature: str) -> str:
    """The prompt for a feature.

    Raises:
        ValueError: If the feature is empty, or the template does not name its place exactly once.
    """
    if not feature.strip():
        raise ValueError("The feature to look for is empty; say in a few words what it is, such as 'stadium'.")
    named = with_named_field(template)
    if named.count("{feature}") != 1:
        raise ValueError(
            f"The template {template!r} needs exactly one '{{}}' or '{{feature}}' where the feature's name goes."
        )
    return named.replace("{feature}", feature.strip())


def with_named_field(template: str) -> str:
    """A template with ``{feature}``, also where it has ``{}`` as those for classes do."""
    return template.replace("{}", "{feature}")


def logit_scale(model: CLIP) -> float:
    """What the model multiplies cosine similarities by before a softmax."""
    return float(np.exp(np.asarray(model.logit_scale[...])))
