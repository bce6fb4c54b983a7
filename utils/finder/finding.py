"""Searching a scene for a feature: which tiles come first, and whether it is there at all."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets.captions import has_letters
from utils.finder.drawing import heat_map, overlay
from utils.finder.place import footprints
from utils.finder.presence import PresenceModel, write_file
from utils.finder.scene import SceneEmbeddings
from utils.finder.tiles import FULL

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP

PROMPT = "An aerial image of {feature}"  # as the published demo asks
FORMAT = 1  # of the JSON file
# Of a tile in GeoJSON.
PROPERTIES = "feature", "rank", "score", "probability", "presence", "scene_presence", "data_share", "partly_empty"


@dataclass(frozen=True)
class Tile:
    """What one tile scored."""

    rank: int  # 1 for the best
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive
    score: float  # cosine similarity of tile and prompt, -1 to 1
    probability: float  # its share of the softmax over all tiles: which tile, given that there is one, never whether
    presence: float | None  # the probability that it shows the feature, 0 to 1; None as the scene's
    data_share: float  # of the tile, 0 to 1

    @property
    def partly_empty(self) -> bool:
        """Whether more than a hundredth of it has no data."""
        return self.data_share < FULL

    def as_json(self) -> dict[str, Any]:
        """Itself as files have it."""
        return asdict(self) | {"data_share": round(self.data_share, 4), "partly_empty": self.partly_empty}


@dataclass(frozen=True, eq=False)
class Finding:
    """What a scene shows of one feature."""

    feature: str  # what was searched for
    prompt: str  # the text that was embedded
    tiles: tuple[Tile, ...]  # best first; of equal scores the one that was cut first
    # The probability that the scene shows it anywhere, 0 to 1; None without a presence model, or if it is not aerial.
    presence: float | None
    scene: SceneEmbeddings  # what was searched
    aerial: bool | None = None  # whether the scene may be an image from above; None if nothing tells

    def heat_map(self, width: int = 512) -> np.ndarray:
        """Where the feature is, (height, width) float32, 0 to 1; the maximum lies in the best tile.

        The tiles' shares relative to the best tile's, times the presence where that is known: the map of a feature
        that is not there stays dark.
        """
        shares = np.array([tile.probability for tile in self.tiles])
        presence = 1.0 if self.presence is None else self.presence
        values = (presence * shares / shares.max()).astype(np.float32)
        return heat_map(_boxes(self.tiles), values, self.scene.size, width)

    def overlay(self, width: int = 800, boxes: int = 3) -> Image.Image:
        """The scene, ``width`` pixels wide, with the heat map upon it and the ``boxes`` best tiles framed, as RGB."""
        scale = width / self.scene.size[0]
        return overlay(self.scene.thumbnail, self.heat_map(width), _boxes(self.tiles[:boxes]), scale)

    def save_json(self, path: str | Path) -> Path:
        """Writes everything that was found; the file appears whole or not at all."""
        place = self.scene.place
        content = {
            "format": FORMAT,
            "feature": self.feature,
            "prompt": self.prompt,
            "presence": self.presence,
            "aerial": self.aerial,
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
            "tiles": [tile.as_json() for tile in self.tiles],
        }
        return write_file(path, json.dumps(content, indent=1) + "\n")

    def save_geojson(self, path: str | Path, tiles: int | None = None) -> Path:
        """Writes so many of the best tiles, or all, as GeoJSON in longitude and latitude (WGS 84, RFC 7946).

        If nobody knows where the scene lies on the Earth, a ValueError says why.
        """
        place, chosen = self.scene.place, self.tiles[:tiles]
        if place.crs is None:
            raise ValueError(
                f"{self.scene.name or 'The image'} {place.reason}, so nobody knows where its tiles lie on the Earth; "
                "save the finding as JSON, which is in pixels, or give a georeferenced image."
            )
        features = []
        for tile, geometry in zip(chosen, footprints(_boxes(chosen), place), strict=True):
            known = {"feature": self.feature, "scene_presence": self.presence} | tile.as_json()
            properties = {name: known[name] for name in PROPERTIES}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
        return write_file(path, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")


def _boxes(tiles: Sequence[Tile]) -> np.ndarray:
    return np.array([tile.box for tile in tiles], np.int64).reshape(-1, 4)


@dataclass(frozen=True, eq=False)
class FeatureQuery:
    """A feature that is embedded, to be looked for in any number of scenes."""

    feature: str  # what is looked for
    prompt: str  # the text that was embedded
    embedding: np.ndarray  # (dim,) float32, of unit length
    background: np.ndarray  # (texts, dim) float32, of the presence model's texts
    scale: float  # the model's logit scale
    presence_model: PresenceModel | None

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Cosine similarities of tiles (tiles, dim), (tiles,) float32."""
        return embeddings @ self.embedding

    def presences(self, embeddings: np.ndarray, aerial: bool | None = None) -> np.ndarray | None:
        """That the tiles (tiles, dim) of one scene show the feature, (tiles,) float64; the best speaks for the scene.

        None without a presence model, or if the scene is no image from above.
        """
        if self.presence_model is None or aerial is False:
            return None
        margins = self.presence_model.margins(embeddings, self.embedding, self.background, self.scale)
        return self.presence_model.probabilities(margins, np.log(len(margins)))


def embed_feature(
    model: CLIP,
    model_fingerprint: str,
    feature: str,
    presence_model: PresenceModel | None = None,
    template: str | None = None,
) -> FeatureQuery:
    """Embeds a feature's prompt, and the texts that it is held against; the first half of `find`, with its errors.

    A warning says that the prompt is longer than the model reads.
    """
    from utils.clip import cut_in_words, embed_texts

    template = with_named_field(template or (presence_model.template if presence_model else PROMPT))
    background: tuple[str, ...] = ()
    if presence_model is not None:
        presence_model.check_model(model_fingerprint)
        if template != presence_model.template:
            raise ValueError(
                f"The presence model was calibrated with the prompt {presence_model.template!r} and not {template!r}; "
                "leave the template out, or calibrate it again with calibrate_presence."
            )
        background = presence_model.background
    prompt = fill(template, feature)
    if cut := cut_in_words(model, [prompt]):
        warnings.warn(cut, stacklevel=3)
    embedding, *others = embed_texts(model, [prompt, *background])
    return FeatureQuery(
        feature.strip(), prompt, embedding, np.reshape(others, (-1, len(embedding))), logit_scale(model), presence_model
    )


def find(
    model: CLIP,
    scene: SceneEmbeddings,
    feature: str,
    presence_model: PresenceModel | None = None,
    template: str | None = None,
) -> Finding:
    """Ranks the tiles of a scene by a text, and says how probable it is that any of them shows it.

    The model embedded the scene, see `embed_scene`; with it the presence model was calibrated, see
    `calibrate_presence`, without which nothing is said on presence, and neither is if its `AerialCheck` finds that the
    scene is no image from above. The feature is a few words ('stadium'), and the template, with ``{}`` or
    ``{feature}``, by default the presence model's, without one `PROMPT`. A presence model of another model or template,
    an empty feature, or a template without a place for it, are a ValueError.
    """
    from scipy.special import softmax

    query = embed_feature(model, scene.model_fingerprint, feature, presence_model, template)
    scores = query.scores(scene.embeddings)
    shares = softmax(query.scale * scores)
    aerial = None
    if presence_model is not None and presence_model.aerial is not None:
        aerial = presence_model.aerial.holds_for(model, scene.squares())
    presences = query.presences(scene.embeddings, aerial)
    presence = None if presences is None else float(presences.max())
    each_presence = np.full(len(scores), None) if presences is None else presences
    order = np.argsort(-scores, kind="stable")
    columns = [each[order].tolist() for each in (scene.boxes, scores, shares, each_presence, scene.data_shares)]
    tiles = tuple(Tile(rank, tuple(box), *values) for rank, (box, *values) in enumerate(zip(*columns, strict=True), 1))
    return Finding(query.feature, query.prompt, tiles, presence, scene, aerial)


def fill(template: str, feature: str) -> str:
    """The prompt for a feature; a ValueError if that is empty, or has no letters."""
    if not has_letters(feature):
        what = f"{feature.strip()!r}, without any letters" if feature.strip() else "empty"
        raise ValueError(f"The feature to look for is {what}; say in a few words what it is, such as 'stadium'.")
    return template.replace("{feature}", feature.strip())


def with_named_field(template: str) -> str:
    """A template with one ``{feature}``, also where it has ``{}`` as those for classes do; else a ValueError."""
    named = template.replace("{}", "{feature}")
    if named.count("{feature}") != 1:
        raise ValueError(
            f"The template {template!r} needs exactly one '{{}}' or '{{feature}}' where the feature's name goes."
        )
    return named


def logit_scale(model: CLIP) -> float:
    """What the model multiplies cosine similarities by before a softmax."""
    return float(np.exp(np.asarray(model.logit_scale[...])))
