"""What embeds shards: a model and the files of a shard, read, cut, embedded and written, in whichever process."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from utils.datasets import CaptionedImage, ImageReading
from utils.files import disk_trouble_in_words, printable
from utils.search.catalog import Mark
from utils.search.collection import Work, mark_of
from utils.search.engines import SearchError
from utils.search.shards import Settings, Shard, has_shards, write_shard

if TYPE_CHECKING:
    from utils.clip import CLIP


@dataclass(frozen=True)
class ModelFacts:
    """What is asked of a model before there is work for it."""

    fingerprint: str
    dim: int
    image_size: int

    @classmethod
    def of(cls, model: CLIP) -> ModelFacts:
        """Asks a model."""
        from utils.clip import fingerprint

        return cls(fingerprint(model), model.architecture.projection_dim, model.preprocessing.image_size)


@dataclass(frozen=True)
class Job:
    """What all processes that embed have to know."""

    source: Path
    folder: Path
    model: str
    settings: Settings
    batch_size: int


class Workers(Protocol):
    """What embeds: this process, or the actors of a cluster."""

    stream: Any  # where the progress is shown; None for the usual place

    def facts(self, model: str) -> ModelFacts:
        """What a model is."""

    def embed(self, job: Job, shards: Sequence[Shard], bar: Any) -> None:
        """Embeds and writes shards; the bar, whose total is what they may hold, counts what they do."""


class Embedder:
    """Embeds shards with a model and writes them."""

    def __init__(self, job: Job, model: CLIP, bar: Any) -> None:
        self._job, self._work = job, Work(model, job.batch_size, bar)

    def embed(self, shard: Shard) -> int:
        """Embeds one, and returns its rows.

        A `SearchError` says that none of its files, or not the folder, is seen from this machine.
        """
        job, settings = self._job, self._job.settings
        reading = ImageReading(**settings.reading)
        files = [
            (CaptionedImage(job.source / name, (), None, None, job.source.name, reading), mark)
            for name, mark in shard.files
        ]
        self._check_seen(files)
        if settings.tiling is None:
            embedded = self._work.images(files)
        else:
            embedded = self._work.tiles(*files[0], settings.tiling, slice(*shard.part))
        vectors = [result for *_, result in embedded if not isinstance(result, str)]
        if vectors and not np.isfinite(vectors).all():
            raise SearchError("The model gives vectors that are not finite numbers; load one that has not diverged.")
        with disk_trouble_in_words(job.folder):
            write_shard(job.folder, shard, job.source, settings.dim, embedded)
        return len(embedded)

    def _check_seen(self, files: Sequence[tuple[CaptionedImage, Mark]]) -> None:
        lost = [] if has_shards(self._job.folder) else [self._job.folder]
        if all(mark is not None and mark_of(item.path) is None for item, mark in files):
            lost.append(files[0][0].path)
        if lost:
            raise SearchError(
                f"{printable(lost[0])} is not seen from {platform.node()}: SOURCE and TO must be at the same place on "
                "every machine, and stay there while they are embedded."
            )


class ThisProcess:
    """Embeds in this process."""

    stream = None

    def facts(self, model: str) -> ModelFacts:
        """See `Workers`."""
        from utils.clip import CLIP

        self._model = CLIP.from_pretrained(model)
        return ModelFacts.of(self._model)

    def embed(self, job: Job, shards: Sequence[Shard], bar: Any) -> None:
        """See `Workers`."""
        embedder = Embedder(job, self._model, bar)
        for shard in shards:
            bar.total -= shard.count  # the work adds what there is
            embedder.embed(shard)
