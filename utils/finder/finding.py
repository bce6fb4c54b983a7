"""Asking a scene for a feature: which tiles come first, and whether it is there at all."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.files import disk_trouble_in_words, write_whole
from utils.finder.scene import SceneEmbeddings

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP
    from utils.finder.presence import PresenceModel

PROMPT = "An aerial image of {feature}"  # as the published demo asks
FORMAT = 1  # of the JSON file


@dataclass(frozen=True)
class Tile:
    """One tile's answer.

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


@dataclass(frozen=True, eq=False)
class Finding:
    """What a scene answers to one feature.

    Attributes:
        feature: What was asked for.
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
        """Where the feature is, in the picture's aspect; see `utils.finder.drawing.heat_map`.

        Args:
            width: In pixels.

        Returns:
            (height, width) float32, 0 to 1: the tiles' shares of the softmax relative to the best tile's, times
            the presence where that is known. The maximum lies in the best tile.
        """
        from utils.finder.drawing import heat_map

        return heat_map(self, width)

    def overlay(self, width: int = 800, boxes: int = 3) -> Image.Image:
        """The picture with the heat map upon it and frames around the best tiles, as an RGB picture.

        Args:
            width: In pixels.
            boxes: How many of the best tiles to frame.
        """
        from utils.finder.drawing import overlay

        return overlay(self, width, boxes)

    def as_json(self) -> dict[str, Any]:
        """Everything that was found, as JSON knows it: what was asked, the picture, the presence, every tile."""
        return {
            "format": FORMAT,
            "feature": self.feature,
            "prompt": self.prompt,
            "presence": self.presence,
            "picture": {
                "name": self.scene.name,
                "width": self.scene.size[0],
                "height": self.scene.size[1],
                "crs": self.scene.crs,
                "transform": None if self.scene.transform is None else list(self.scene.transform)[:6],
            },
            "tile_sizes": list(self.scene.tile_sizes),
            "tiles_without_data": self.scene.left_out,
            "model": self.scene.model_fingerprint,
            "tiles": [
                {
                    "rank": tile.rank,
                    "box": list(tile.box),
                    "score": tile.score,
                    "probability": tile.probability,
                    "presence": tile.presence,
                    "data_share": round(tile.data_share, 4),
                    "partly_empty": tile.partly_empty,
                }
                for tile in self.tiles
            ],
        }

    def save_json(self, path: str | Path) -> Path:
        """Writes `as_json`; the file appears whole or not at all."""
        return write_file(path, json.dumps(self.as_json(), indent=1) + "\n")

    def save_png(self, path: str | Path, width: int = 800, boxes: int = 3) -> Path:
        """Writes `overlay` as a PNG file; it appears whole or not at all."""
        encoded = io.BytesIO()
        self.overlay(width, boxes).save(encoded, "png")
        return write_file(path, encoded.getvalue())

    def save_geojson(self, path: str | Path, tiles: int | None = None) -> Path:
        """Writes the tiles as GeoJSON in longitude and latitude (WGS 84), as RFC 7946 wants it.

        Args:
            path: The file, which appears whole or not at all.
            tiles: How many of the best; None writes all.

        Raises:
            ValueError: If the picture has no place on the Earth.
        """
        from utils.finder.geojson import as_geojson

        return write_file(path, json.dumps(as_geojson(self, tiles)) + "\n")


def find(
    model: CLIP,
    scene: SceneEmbeddings,
    feature: str,
    presence: PresenceModel | None = None,
    template: str | None = None,
) -> Finding:
    """Ranks the tiles of a scene by a text, and says how probable it is that any of them shows it.

    Args:
        model: The model that embedded the scene.
        scene: From `embed_scene`.
        feature: What to look for, in a few words ('stadium').
        presence: From `calibrate_presence` with the same model; without it nothing is said on presence.
        template: The prompt, with ``{}`` or ``{feature}`` where the feature goes; by default that of the presence
            model, without one `PROMPT`.

    Raises:
        ValueError: If the feature is empty, the template has no place for it, or the presence model was
            calibrated for another model than the scene's or with another template.
    """
    from utils.clip import embed_texts

    if presence is not None:
        presence.check_model(scene.model_fingerprint)
        presence.check_template(named_place(template or presence.template))
        template = presence.template
    prompt = fill(template or PROMPT, feature)
    texts = [prompt] if presence is None else [prompt, *presence.background]
    text_embeddings = embed_texts(model, texts)
    scale = logit_scale(model)
    scores = scene.embeddings @ text_embeddings[0]
    shares = softmax(scale * scores)
    there, tile_presences = None, [None] * len(scores)
    if presence is not None:
        margins = presence.margins(scene.embeddings, text_embeddings[0], text_embeddings[1:], scale)
        tile_presences = presence.tile_probabilities(margins).tolist()
        there = max(tile_presences)
    shares_of_data = np.ones(len(scores)) if scene.data_shares is None else scene.data_shares
    tiles = tuple(
        Tile(
            rank=rank,
            box=tuple(scene.boxes[number].tolist()),
            score=float(scores[number]),
            probability=float(shares[number]),
            presence=tile_presences[number],
            data_share=float(shares_of_data[number]),
        )
        for rank, number in enumerate(np.argsort(-scores, kind="stable"), 1)
    )
    return Finding(feature.strip(), prompt, tiles, there, scene)


def fill(template: str, feature: str) -> str:
    """The prompt for a feature.

    Raises:
        ValueError: If either cannot work.
    """
    if not feature.strip():
        raise ValueError("The feature to look for is empty; say in a few words what it is, such as 'stadium'.")
    named = named_place(template)
    if named.count("{feature}") != 1:
        raise ValueError(
            f"The template {template!r} needs exactly one '{{}}' or '{{feature}}' where the feature's name goes."
        )
    return named.replace("{feature}", feature.strip())


def named_place(template: str) -> str:
    """A template in the finder's own form: with ``{feature}``, also where it has ``{}`` as those for classes do."""
    return template.replace("{}", "{feature}")


def logit_scale(model: CLIP) -> float:
    """What the model multiplies cosine similarities by before a softmax."""
    return float(np.exp(np.asarray(model.logit_scale[...])))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares over the last axis, which sum to 1."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Writes a file, whole or not at all, and its folder if there is none."""
    path = Path(path)
    with disk_trouble_in_words(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return path
