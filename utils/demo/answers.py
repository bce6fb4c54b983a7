"""What the page answers: the index and the finder asked by strangers, in sentences and pictures.

This is the only place that knows `utils.search` and `utils.finder`. Nothing here knows Gradio's components.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.category_names import category_words
from utils.demo.uploads import Reader, Upload, uploaded_path
from utils.finder import embed_scene, find, tile_boxes
from utils.search.tiles import address

if TYPE_CHECKING:
    from utils.datasets import CaptionedImage
    from utils.finder import Finding, PresenceModel, SceneEmbeddings
    from utils.search import Hit, ImageIndex

MOST_PICTURES = 30  # that one answer shows
MOST_LETTERS = 200  # of a text
MOST_TILES = 1500  # of one picture: some seconds of a small model
# A picture of more is made smaller first. For a model that sees a few hundred pixels nothing is lost by it.
SEARCHED_PIXELS, FOUND_PIXELS = 4_000_000, 16_000_000
SCENES_KEPT = 8  # so that another text about the same picture costs nothing
SUGGESTIONS = 6
# Categories of RSICD that anybody knows from above, as people would ask for them.
WELL_KNOWN = {
    "stadium": "a stadium",
    "airport": "planes at an airport",
    "bridge": "a bridge over a river",
    "storagetanks": "round storage tanks",
    "port": "ships in a port",
    "baseballfield": "a baseball field",
}
IN_THE_SAMPLE = "baseballfield"  # notebook 07 puts one into its scene, and leaves the stadium out
WITHOUT_CATEGORIES = ("a road", "water", "houses", "trees", "a field", "a bridge")
# Name on the page: the tiles' sides as parts of the picture's shorter side.
TILE_SCALES = {"all sizes": (1, 2, 4), "large": (1,), "medium": (2,), "small": (4,), "very small": (8,)}


@dataclass(frozen=True)
class Pictures:
    """Pictures that were found.

    Attributes:
        sentence: What they are, or why there are none.
        hits: Best first.
        failed: Whether the question could not be answered.
    """

    sentence: str
    hits: tuple[Hit, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Found:
    """What was found in one picture.

    Attributes:
        sentence: The verdict, or why there is none.
        details: What the verdict rests on.
        finding: The tiles; None if the question could not be answered.
    """

    sentence: str
    details: str = ""
    finding: Finding | None = None


@dataclass(frozen=True)
class Answers:
    """Answers from one index, and perhaps a presence model made for the same CLIP model.

    Attributes:
        index: What is searched; its model reads pictures for `find_feature`, too.
        presence: Says whether a feature is there at all; without it tiles are only ranked.
        scenes: Pictures embedded last, by their content and the size of their tiles.
        lock: For ``scenes``.
        reader: Of what visitors send.
    """

    index: ImageIndex
    presence: PresenceModel | None = None
    scenes: OrderedDict[tuple, SceneEmbeddings] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)
    reader: Reader = field(default_factory=Reader)

    def by_text(self, text: str, k: Any) -> Pictures:
        """The pictures that fit a text best."""

        def ask() -> Pictures:
            asked = clean_text(text)
            hits = self.index.query_text(asked, count(k))
            return Pictures(f"{_counted(hits)} for “{asked}”, best first.", tuple(hits))

        return _pictures(ask)

    def by_upload(self, payload: Any, k: Any) -> Pictures:
        """The pictures most like one that a visitor sent."""

        def ask() -> Pictures:
            picture = self.reader.read(uploaded_path(payload), SEARCHED_PIXELS, self.index.reading).picture
            hits = self.index.query_image(picture, count(k))
            return Pictures(f"{_counted(hits)} like yours, the most similar first.", tuple(hits))

        return _pictures(ask)

    def by_member(self, row: Any, k: Any) -> Pictures:
        """The pictures most like one of the index, given by its row in the data set."""

        def ask() -> Pictures:
            item = self.member(row)
            hits = self.index.query_member(str(address(item)), count(k))
            return Pictures(f"{_counted(hits)} like {item.name}, the most similar first.", tuple(hits))

        return _pictures(ask)

    def find_feature(self, payload: Any, text: str, scale: Any) -> Found:
        """Where in a picture that a visitor sent a feature is, and whether it is there at all."""
        try:
            asked = clean_text(text)
            finding = find(self.index.model, self._scene(uploaded_path(payload), scale), asked, self.presence)
        except ValueError as error:
            return Found(str(error))
        return Found(verdict(asked, finding), self._basis(finding), finding)

    def member(self, row: Any) -> CaptionedImage:
        """A picture of the index by its row, as the page names it.

        Raises:
            ValueError: If there is none.
        """
        if not (isinstance(row, str) and row.isdecimal() and len(row) < 10 and int(row) < len(self.index)):
            raise ValueError("There is no such picture in the index; choose one of those shown.")
        return self.index.dataset[int(row)]

    @cached_property
    def rows(self) -> dict[Path, int]:
        """The rows of the pictures by their addresses."""
        return {address(item): row for row, item in enumerate(self.index.dataset)}

    def examples(self) -> list[CaptionedImage]:
        """A picture of each of a few categories, or the first few."""
        missing = set(self.index.missing)
        there = [item for item in self.index.dataset if item.path not in missing]
        firsts = {item.category: item for item in reversed(there)}
        return [firsts[name] for name in self._categories() if name in firsts] or there[:SUGGESTIONS]

    def suggestions(self) -> list[str]:
        """Texts worth trying first, the best one first."""
        names = self._categories()
        return [WELL_KNOWN.get(name) or category_words(name) for name in names] or [*WITHOUT_CATEGORIES]

    def first_feature(self) -> str:
        """A feature worth looking for first."""
        known = self._categories()
        name = IN_THE_SAMPLE if IN_THE_SAMPLE in known else next(iter(known), "water")
        return category_words(name)

    def _categories(self) -> list[str]:
        present = self.index.categories
        known = [name for name in WELL_KNOWN if name in present]
        others = [name for name in present if name not in known]
        return [*known, *others][:SUGGESTIONS]

    def _scene(self, path: Path, scale: Any) -> SceneEmbeddings:
        """A picture cut and embedded, or kept from the last time."""
        if not isinstance(scale, str) or scale not in TILE_SCALES:
            raise ValueError(f"The size of the tiles must be one of: {', '.join(TILE_SCALES)}.")
        upload = self.reader.read(path, FOUND_PIXELS, self.index.reading)
        sizes = self._tile_sizes(upload.picture.size, scale)
        key = (upload.content, sizes)
        with self.lock:
            if key in self.scenes:
                self.scenes.move_to_end(key)
                return self.scenes[key]
        scene = as_sent(embed_scene(self.index.model, upload.picture, sizes), upload)
        with self.lock:
            self.scenes[key] = scene
            while len(self.scenes) > SCENES_KEPT:
                self.scenes.popitem(last=False)
        return scene

    def _tile_sizes(self, size: tuple[int, int], scale: str) -> tuple[int, ...]:
        """The sides of the tiles in pixels, none smaller than the model sees, few enough to wait for."""
        side = min(size)
        smallest = min(side, self.index.model.preprocessing.image_size)
        sizes = tuple(dict.fromkeys(max(side // part, smallest) for part in TILE_SCALES[scale]))
        tiles = sum(len(tile_boxes(*size, tile_size)) for tile_size in sizes)
        if tiles > MOST_TILES:
            raise ValueError(
                f"The picture is so long that it would be cut into {tiles:,} tiles, and up to {MOST_TILES:,} are "
                "searched here; choose larger tiles, or cut it in two."
            )
        return sizes

    def _basis(self, finding: Finding) -> str:
        tiles = f"{len(finding.tiles):,} tiles of {', '.join(map(str, finding.scene.tile_sizes))} pixels, "
        tiles += f"each compared with “{finding.prompt}”."
        if self.presence is None:
            return f"{tiles} No presence model was given, so the tiles are ranked and nothing more is claimed."
        made = self.presence.calibrated_on
        if not made:
            return tiles
        text = (
            f"{tiles} The probability was calibrated on {made['scenes']:,} scenes of known content, made of the "
            f"{made['images']:,} pictures of {made['name']}"
        )
        if "accuracy" in self.presence.scores:
            text += f", where yes or no was right in {self.presence.scores['accuracy']:.0%} of the questions"
        return f"{text}; pictures of another kind may deserve another number."


def as_sent(scene: SceneEmbeddings, upload: Upload) -> SceneEmbeddings:
    """A scene with its tiles in pixels of the picture that was sent, where that was made smaller first."""
    if upload.factor == 1:
        return scene
    return replace(
        scene,
        boxes=np.minimum(scene.boxes * upload.factor, upload.size * 2),
        size=upload.size,
        tile_sizes=tuple(size * upload.factor for size in scene.tile_sizes),
    )


def verdict(feature: str, finding: Finding) -> str:
    """Presence in words, with the probability."""
    if finding.presence is None:
        return f"If “{feature}” is here, then most likely in the tiles ranked first."
    words = (
        (0.9, "is very probably here"),
        (0.65, "is probably here"),
        (0.35, "may be here or not"),
        (0.1, "is probably not here"),
        (-math.inf, "is very probably not here"),
    )
    said = next(text for least, text in words if finding.presence >= least)
    return f"“{feature}” {said}: probability {finding.presence:.2f}."


def clean_text(text: Any) -> str:
    """A text as it is asked for.

    Raises:
        ValueError: If it is empty, too long, or none.
    """
    # Half a surrogate pair, which JSON can carry, is in no encoding.
    cleaned = text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""
    cleaned = " ".join(cleaned.split())
    if not cleaned:
        raise ValueError("Say in a few words what to look for, such as “a stadium”.")
    if len(cleaned) > MOST_LETTERS:
        raise ValueError(f"The text has {len(cleaned):,} letters; up to {MOST_LETTERS} are read: shorten it.")
    return cleaned


def count(k: Any) -> int:
    """How many pictures to show.

    Raises:
        ValueError: If it is no number from 1 to `MOST_PICTURES`.
    """
    if isinstance(k, bool) or not isinstance(k, int | float) or not 1 <= k <= MOST_PICTURES:
        raise ValueError(f"The number of pictures must be from 1 to {MOST_PICTURES}.")
    return int(k)


def _pictures(ask: Callable[[], Pictures]) -> Pictures:
    try:
        return ask()
    except ValueError as error:
        return Pictures(str(error), failed=True)


def _counted(hits: Sequence[Hit]) -> str:
    return "1 picture" if len(hits) == 1 else f"{len(hits)} pictures"
