"""What the page answers: the index and the finder asked by visitors, in sentences and images.

Nothing here knows Gradio. A question that cannot be answered raises a ValueError with a sentence for the visitor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.category_names import category_words
from utils.datasets import CaptionDataset
from utils.datasets.captions import has_letters
from utils.demo.decoding import DecodedUpload, read_upload
from utils.demo.files import uploaded_path
from utils.demo.map import outline_of_scene
from utils.demo.results import ArchiveAnswer, FeatureAnswer, SearchAnswer
from utils.demo.thumbnails import Thumbnails
from utils.demo.verdicts import DOUBTFUL, LEAST_AUC, NOTHING, CollectionJudge, language_hint, verdict, without_article
from utils.finder import embed_scene, find, tile_boxes
from utils.search import SceneTile, WithoutFile, merge_overlapping
from utils.search.tiles import address

if TYPE_CHECKING:
    from PIL import Image

    from utils.captioning import Captioner
    from utils.datasets import CaptionedImage
    from utils.finder import Finding, PresenceModel, SceneEmbeddings
    from utils.search import Hit, ImageIndex

MAX_IMAGES = 30  # that one answer shows
MAX_LETTERS = 200  # of a text
MAX_WORDINGS = 8  # of one query
MAX_TILES = 1500  # of one image: some seconds of a small model
# An image of more is reduced first. For a model that sees a few hundred pixels nothing is lost by it.
SEARCHED_PIXELS, FOUND_PIXELS = 4_000_000, 16_000_000
TILE_SIDE = 1024  # pixels of a tile of the index that is shown as a whole, at most
SCENES_KEPT = 8  # so that another text about the same image costs nothing
SUGGESTIONS = 6
SEEN_BY = 12  # tiles that see the same place, at most, as they overlap by a half
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
WITHOUT_CATEGORIES = ("a bridge over a river", "a forest", "a river", "farmland", "a beach", "a parking lot")
# Name on the page: the tiles' sides as parts of the image's shorter side.
TILE_SCALES = {"all sizes": (1, 2, 4), "large": (1,), "medium": (2,), "small": (4,), "very small": (8,)}


@dataclass(frozen=True)
class Answers:
    """Answers from one index, and perhaps a presence model made for the same CLIP model, and a captioner of any.

    The index's model reads images for `find_feature`, too; without a presence model their tiles are only ranked.
    """

    index: ImageIndex
    presence: PresenceModel | None = None
    captioner: Captioner | None = None
    # The only thread in which images are decoded. Several would each keep memory for the next image.
    decoder: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "decoder"))

    def by_text(
        self, text: Any, k: Any, category: Any = None, source: Any = None, payload: Any = None, weight: Any = 0.5
    ) -> SearchAnswer:
        """The images that fit a text best, of one category or source if these are named.

        Several wordings are on lines of their own or between bars. With an image that a visitor sent, images like it
        that the text fits too, the text by its weight, 0 to 1.
        """
        wordings, count = clean_wordings(text), check_count(k)
        only: dict[str, Any] = {"category": self._known(category, "category"), "source": self._known(source, "source")}
        where = "".join(f" in the {kind} {name}" for kind, name in only.items() if name)
        quoted = " or ".join(f"“{wording}”" for wording in wordings)
        if payload:
            image = self.decode(uploaded_path(payload), SEARCHED_PIXELS).image
            hits = self.index.query_text_and_image(wordings, image, count, text_weight=check_weight(weight), **only)
            return _found(hits, f"like yours for {quoted}{where}, best first.", remarks=self._hints(wordings))
        hits = self.index.query_text(wordings, count, **only)
        probability = self._probability(wordings, **only)
        remarks = self._hints(wordings) + self._doubts(probability, **only)
        return _found(hits, f"for {quoted}{where}, best first.", probability, remarks)

    def by_upload(self, payload: Any, k: Any) -> SearchAnswer:
        """The images most like one that a visitor sent."""
        image = self.decode(uploaded_path(payload), SEARCHED_PIXELS).image
        return _found(self.index.query_image(image, check_count(k)), "like yours, the most similar first.")

    def by_member(self, row: Any, k: Any) -> SearchAnswer:
        """The images most like one of the index, given by its row in the data set."""
        item = self.member(row)
        hits = self.index.query_member(str(address(item)), check_count(k))
        return _found(hits, f"like {item.name}, the most similar first.")

    def in_scenes(self, text: Any, k: Any) -> ArchiveAnswer:
        """The places in the index's scenes that fit a text best, and of each scene whether it is there at all."""
        asked, count = clean_text(text), check_count(k)
        several = self.index.query_text(asked, min(len(self.index), count * SEEN_BY))
        hits = merge_overlapping(several)[:count]
        scenes = self.index.rank_scenes(without_article(asked), self.presence, tiles=1)
        sentence = f"{len(hits)} place{'' if len(hits) == 1 else 's'} for “{asked}”, best first."
        best = max((scene.presence for scene in scenes if scene.presence is not None), default=None)
        if best is not None and best < DOUBTFUL:
            sentence = f"{NOTHING} {sentence}"
        return ArchiveAnswer(sentence, hits, self._hints([asked]), best, tuple(scenes))

    def describe(self, payload: Any) -> str:
        """A sentence about an image that a visitor sent, by the captioner, which must be there."""
        from utils.captioning import caption
        from utils.datasets import ImageError

        assert self.captioner is not None
        image = self.decode(uploaded_path(payload), SEARCHED_PIXELS).image
        try:
            return caption(self.captioner, image, progress=False)[0]
        except ImageError as error:
            raise ValueError(error.reason) from None  # a visitor knows of no file

    def find_feature(self, payload: Any, text: Any, scale: Any) -> FeatureAnswer:
        """Where in an image that a visitor sent a feature is, and whether it is there at all."""
        asked, path = clean_text(text), uploaded_path(payload)
        if not isinstance(scale, str) or scale not in TILE_SCALES:
            raise ValueError(f"The size of the tiles must be one of: {', '.join(TILE_SCALES)}.")
        finding = find(self.index.asking_model, self._scene(path, scale), without_article(asked), self.presence)
        return FeatureAnswer(verdict(asked, finding), self._basis(finding), finding)

    def member(self, row: Any) -> CaptionedImage:
        """An image of the index by its row, as the page names it."""
        if not (isinstance(row, str) and row.isdecimal() and len(row) < 10 and int(row) < len(self.index)):
            raise ValueError("There is no such image in the index; choose one of those shown.")
        return self.index.dataset[int(row)]

    def member_image(self, row: Any) -> Image.Image | None:
        """An image of the index for the page to show; None if there is none, or it cannot be read any more."""
        with suppress(ValueError):
            member = self.member(row)
            return member.image(TILE_SIDE) if isinstance(member, SceneTile) else member.open()
        return None

    def _known(self, name: Any, kind: str) -> str | None:
        """A category or source as the index has it, None for all; a ValueError if it has no such one."""
        if name in (None, ""):
            return None
        if name not in (self.index.categories if kind == "category" else self.index.sources):
            raise ValueError(f"The index has no such {kind}; choose one of those on the page, or none for all.")
        return str(name)

    def _probability(self, texts: Sequence[str], category: str | None, source: str | None) -> float | None:
        """That any image shows what texts name; None if it cannot be told."""
        if self._judge is None:
            return None
        chosen = np.ones(len(self.index), bool)
        for kind, name in (("category", category), ("source", source)):
            if name is not None:
                chosen &= self._values(kind) == name
        whole = chosen.all()
        return self._judge.probability(texts, self.index.embeddings if whole else self.index.embeddings[chosen])

    def _doubts(self, probability: float | None, category: str | None, source: str | None) -> tuple[str, ...]:
        """What the sentence rests on that says no, if it is said."""
        if probability is None or probability >= DOUBTFUL:
            return ()
        among = "any image" if category is None and source is None else "any of these images"
        return (
            f"The probability that {among} shows it is {probability:.2f}, by what the presence model of Find "
            "feature makes of the best ones. Below are those that come nearest; whole sentences are not judged.",
        )

    def _hints(self, wordings: Sequence[str]) -> tuple[str, ...]:
        from utils.clip import cut_in_words

        languages = list(filter(None, map(language_hint, wordings)))[:1]
        return tuple(filter(None, [*languages, cut_in_words(self.index.asking_model, wordings)]))

    @cached_property
    def _judge(self) -> CollectionJudge | None:
        if self.presence is None or self.presence.scores.get("auc", 1.0) < LEAST_AUC:
            return None
        return CollectionJudge(self.index.asking_model, self.presence)

    @cached_property
    def _values(self) -> Callable[[str], np.ndarray]:
        """The images' values (images,) of an attribute, as objects; kept."""
        return lru_cache(2)(lambda kind: np.array([getattr(item, kind) for item in self.index.dataset], object))

    def decode(self, path: Path, max_pixels: int) -> DecodedUpload:
        """Decodes an upload, read as the images of the index are, after all others that came before."""
        return self.decoder.submit(read_upload, path, max_pixels, self.index.reading).result()

    @cached_property
    def thumbnails(self) -> Thumbnails:
        """The index's images, small, as files."""
        return Thumbnails(self.index.dataset)

    @cached_property
    def scene_outlines(self) -> list[tuple[str, dict[str, Any]]]:
        """Names of the index's scenes and their outlines on the Earth, of those that have a place."""
        outlines = ((scene.name, outline_of_scene(scene)) for scene in self.index.scenes)
        return [(name, outline) for name, outline in outlines if outline is not None]

    @cached_property
    def rows(self) -> dict[Path, int]:
        """The rows of the images by their addresses."""
        return {address(item): row for row, item in enumerate(self.index.dataset)}

    @cached_property
    def top(self) -> Path | None:
        """The folder below which all images of the index lie; None where there is none, as on two drives."""
        files = [item for item in self.index.dataset if not isinstance(item, WithoutFile)]
        try:
            return CaptionDataset(files).image_root
        except ValueError:
            return None

    def examples(self) -> list[CaptionedImage]:
        """An image of each of a few categories, or the first few."""
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
        return category_words(IN_THE_SAMPLE if IN_THE_SAMPLE in known else next(iter(known), "water"))

    def _categories(self) -> list[str]:
        """Categories of the index, those that anybody knows first."""
        present = self.index.categories
        known = [name for name in WELL_KNOWN if name in present]
        return [*known, *(name for name in present if name not in known)][:SUGGESTIONS]

    @cached_property
    def _scene(self) -> Callable[[Path, str], SceneEmbeddings]:
        """`_embed`, which keeps the last images by their paths (which hold a digest)."""
        return lru_cache(SCENES_KEPT)(self._embed)

    def _embed(self, path: Path, scale: str) -> SceneEmbeddings:
        """An image cut into tiles and embedded, with its tiles in pixels of what was sent."""
        upload = self.decode(path, FOUND_PIXELS)
        scene = embed_scene(self.index.asking_model, upload.image, self._tile_sizes(upload.image.size, scale))
        boxes = np.minimum(scene.boxes * upload.factor, upload.size * 2)
        sizes = tuple(size * upload.factor for size in scene.tile_sizes)
        return replace(scene, boxes=boxes, size=upload.size, tile_sizes=sizes, place=upload.place)

    def _tile_sizes(self, size: tuple[int, int], scale: str) -> tuple[int, ...]:
        """The sides of the tiles in pixels, none smaller than the model sees, few enough to wait for."""
        side = min(size)
        smallest = min(side, self.index.asking_model.preprocessing.image_size)
        sizes = tuple(dict.fromkeys(max(side // part, smallest) for part in TILE_SCALES[scale]))
        tiles = sum(len(tile_boxes(*size, tile_size)) for tile_size in sizes)
        if tiles > MAX_TILES:
            raise ValueError(
                f"The image is so long that it would be cut into {tiles:,} tiles, and up to {MAX_TILES:,} are "
                "searched here; choose larger tiles, or cut it in two."
            )
        return sizes

    def _basis(self, finding: Finding) -> str:
        from utils.clip import cut_in_words

        tiles = f"{len(finding.tiles):,} tiles of {', '.join(map(str, finding.scene.tile_sizes))} pixels, "
        tiles += f"each compared with “{finding.prompt}”."
        if cut := cut_in_words(self.index.asking_model, [finding.prompt]):
            tiles += f" {cut}"
        if self.presence is None:
            return f"{tiles} No presence model was given, so the tiles are ranked and nothing more is claimed."
        if finding.aerial is False and self.presence.aerial is not None:
            known = self.presence.aerial.learned_from
            return (
                f"{tiles} Your image differs more from {known['images']:,} that the model was trained on than "
                f"{1 - known['exceeded_by']:.0%} of {known['held_out']:,} other images from above do. Not everything "
                "that is no image from above is told so."
            )
        made = self.presence.calibrated_on
        if not made:
            return tiles
        text = (
            f"{tiles} The probability was calibrated on {made['scenes']:,} scenes of known content, made of the "
            f"{made['images']:,} images of {made['name']}"
        )
        if "accuracy" in self.presence.scores:
            text += f", where yes or no was right in {self.presence.scores['accuracy']:.0%} of the questions"
        return f"{text}; images of another kind may deserve another number."


def clean_text(text: Any) -> str:
    """A text as it is asked for, in single spaces; a ValueError if it has no letters, is too long, or is no text."""
    # Half a surrogate pair, which JSON can carry, is in no encoding.
    cleaned = text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""
    cleaned = " ".join(cleaned.split())
    if not has_letters(cleaned):
        raise ValueError("Say in a few words what to look for, such as “a stadium”.")
    if len(cleaned) > MAX_LETTERS:
        raise ValueError(f"The text has {len(cleaned):,} letters; up to {MAX_LETTERS} are read: shorten it.")
    return cleaned


def clean_wordings(text: Any) -> list[str]:
    """The wordings of a text, see `clean_text`; a ValueError also if they are too many."""
    if not isinstance(text, str):
        return [clean_text(text)]
    parts = [part for part in text.replace("|", "\n").splitlines() if part.strip()]
    clean_text(" ".join(parts))  # together they are no longer than one
    if len(parts) > MAX_WORDINGS:
        raise ValueError(f"There are {len(parts)} wordings; give up to {MAX_WORDINGS}.")
    return [clean_text(part) for part in parts]


def check_weight(weight: Any) -> float:
    """The weight of the text; a ValueError if that is not a number from 0 to 1."""
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1:
        raise ValueError("The weight of the words must be from 0 to 1.")
    return float(weight)


def check_count(k: Any) -> int:
    """How many images to show; a ValueError if that is not a number from 1 to `MAX_IMAGES`."""
    if isinstance(k, bool) or not isinstance(k, int | float) or not 1 <= k <= MAX_IMAGES:
        raise ValueError(f"The number of images must be from 1 to {MAX_IMAGES}.")
    return int(k)


def _found(
    hits: Sequence[Hit], how: str, probability: float | None = None, remarks: Sequence[str] = ()
) -> SearchAnswer:
    sentence = f"{len(hits)} image{'' if len(hits) == 1 else 's'} {how}"
    if probability is not None and probability < DOUBTFUL:
        sentence = f"{NOTHING} {sentence}"
    return SearchAnswer(sentence, hits, remarks, probability)
