"""One image of a data set with all that is known of it, so that no caption can slip to another image."""

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from PIL import Image

from utils.datasets.captions import has_words
from utils.datasets.images.reading import read_image
from utils.datasets.images.stretch import AS_STORED, ImageError, ImageReading
from utils.files import printable

KEPT_BYTES = 256 << 20  # of decoded images: all of the miniature, a seventh of RSICD


@dataclass(frozen=True)
class CaptionedImage:
    """One image and what is known of it."""

    path: Path  # of the file, which identifies the image: file names repeat between data sets
    captions: tuple[str, ...]  # verbatim
    split: str | None  # "train", "val", "test" or another name; None where there are no splits
    category: str | None
    source: str  # the data set that it comes from
    reading: ImageReading = AS_STORED  # how its file becomes 8-bit colors
    written_by: str | None = None  # the program that wrote the captions, if no person did

    @property
    def name(self) -> str:
        """The file name, for people to read; ``path.name`` is what the system calls it."""
        return printable(self.path.name)

    @property
    def captions_with_words(self) -> tuple[str, ...]:
        """The captions that say something, unlike " ."."""
        return tuple(filter(has_words, self.captions))

    def open(self) -> Image.Image:
        """Decodes the image to 8-bit RGB, as its reading says; an `ImageError` names its file."""
        return read_image(self.path, self.reading)

    def reason_against(self) -> str:
        """Decodes the image, and returns why that cannot be; empty if it can."""
        try:
            self.open()
        except ImageError as error:
            return printable(error.reason)
        return ""


class ImageCache:
    """Decoded images, kept in memory as far as `KEPT_BYTES` goes; data sets and threads share it."""

    def __init__(self) -> None:
        self._images: dict[tuple[Path, ImageReading], Image.Image] = {}
        self._room = KEPT_BYTES
        self._lock = Lock()

    def __reduce__(self) -> tuple[type["ImageCache"], tuple[()]]:
        """Copies and pickles are empty: another process decodes for itself."""
        return ImageCache, ()

    def open(self, item: CaptionedImage) -> Image.Image:
        """Decodes an image as `CaptionedImage.open` does, or copies what was kept of it: the caller may change it."""
        key = (item.path, item.reading)
        if (kept := self._images.get(key)) is not None:
            return kept.copy()
        image = item.open()
        size = 4 * image.width * image.height  # as Pillow holds RGB
        with self._lock:
            if key in self._images or size > self._room:
                return image
            self._images[key] = image
            self._room -= size
        return image.copy()
