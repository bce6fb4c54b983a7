"""One picture of a data set, and all that is known of it in one record.

So nothing that a data set is put through can give a caption to another picture.
"""

from dataclasses import dataclass
from pathlib import Path

from utils.datasets.captions import has_words
from utils.datasets.images.reading import AS_STORED
from utils.datasets.images.stretch import ImageReading
from utils.files import printable


@dataclass(frozen=True)
class CaptionedImage:
    """One picture and what is known of it.

    Attributes:
        path: The file. It identifies the picture; file names repeat between data sets.
        captions: Zero, one or more captions, verbatim.
        split: "train", "val", "test" or another name; None where there are no splits.
        category: Name of the category, or None where it is not known.
        source: Name of the data set that the picture comes from.
        reading: How its file becomes 8-bit colors, where it is deeper or has other bands.
    """

    path: Path
    captions: tuple[str, ...]
    split: str | None
    category: str | None
    source: str
    reading: ImageReading = AS_STORED

    @property
    def name(self) -> str:
        """The file name, for people to read; ``path.name`` is what the system calls it."""
        return printable(self.path.name)

    @property
    def spoken(self) -> tuple[str, ...]:
        """The captions that have words."""
        return tuple(filter(has_words, self.captions))
