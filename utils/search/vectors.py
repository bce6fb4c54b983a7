"""Vectors that others have computed and published, with the names and captions of their images: read and checked.

    img_emb/img_emb_0.npy, metadata/metadata_0.parquet   in a folder as clip-retrieval writes it, any number of parts
    vectors.parquet, or a folder of such files           a column of vectors beside columns of texts, as on the Hub
    vectors.npz                                          arrays: vectors, names, perhaps captions
    vectors.npy                                          vectors alone: the names are given, or stand in a file

Columns and arrays are known by what they hold, and by the names that the field gives them. Nothing is unpickled.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath, isfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import CaptionDataset, CaptionedImage
from utils.datasets.formats import CAPTION_FIELDS, FILE_FIELDS
from utils.files import printable
from utils.search.catalog import WithoutFile
from utils.search.engines import SearchError, choose_engine, make_engine
from utils.search.shards import has_shards
from utils.search.storage import Contents
from utils.search.widths import choose_widths

if TYPE_CHECKING:
    import pyarrow

# By which of its columns an image is named, the first of those that are there. LAION writes URL and TEXT.
NAME_FIELDS = (*FILE_FIELDS, "filenames", "file", "path", "paths", "name", "names", "image_names", "url", "key", "id")
_CAPTION_FIELDS = (*CAPTION_FIELDS, "texts")
_TEXT_VECTORS = re.compile("text|txt|caption", re.IGNORECASE)  # in the name of vectors that are not of images
_PART = re.compile(r"(?:img_emb|metadata)_(\d+)\.(?:npy|parquet)")

Captions = Sequence[str | Sequence[str] | None]


@dataclass(frozen=True)
class NamedVectors:
    """What a file holds, unchecked."""

    vectors: np.ndarray  # (images, dim)
    names: Sequence[str] | None = None
    captions: Captions | None = None
    source: str = ""  # what the file is called


def read_vectors(path: Path) -> NamedVectors:
    """Reads a file or folder of vectors of one of the forms above; a `SearchError` says what is wrong with it."""
    found = _read(path, _of_folder if path.is_dir() else _READERS.get(path.suffix.lower(), _of_unknown), "vectors")
    return replace(found, source=path.stem)


def read_names(path: Path) -> NamedVectors:
    """Reads the names, and captions if there are any, of vectors that stand elsewhere.

    A text file has a name in each line, JSON is a list of names, Parquet a column of them.
    """
    return _read(path, _NAME_READERS.get(path.suffix.lower(), _of_unknown_names), "names")


def index_contents(given: NamedVectors, image_dir: Path | None, engine: str) -> Contents:
    """What an index of vectors holds, if these are sound; a `SearchError` says in a sentence what is not.

    See `utils.search.ImageIndex.from_vectors`.
    """
    vectors, names = np.asarray(given.vectors), given.names
    if names is None:
        raise SearchError("The vectors have no names; give names=, one for each, or the file that holds them.")
    if vectors.ndim != 2 or not vectors.size:
        raise SearchError(f"The vectors have the shape {vectors.shape}; give (images, dim), at least one row.")
    captions: Captions = [None] * len(names) if given.captions is None else given.captions
    for what, count in (("names", len(names)), ("captions", len(captions))):
        if count != len(vectors):
            raise SearchError(f"{len(vectors):,} vectors do not fit {count:,} {what}; give one for each, in order.")
    members = _members(_checked_names(names), captions, image_dir, given.source)
    embeddings = _checked(vectors, names)
    searched_by = make_engine(choose_engine(engine, len(embeddings)), embeddings)
    recall = choose_widths(searched_by, embeddings)
    return Contents(CaptionDataset(members, given.source), embeddings, searched_by, recall)


def _checked(vectors: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The vectors (images, dim) float32 at unit length, whatever their floating type was."""
    if vectors.dtype.kind != "f" and vectors.dtype.name != "bfloat16":
        # numpy.save writes bfloat16 as raw bytes, which come back without their meaning.
        hint = " (bfloat16, if JAX has saved them)" if vectors.dtype == np.dtype("V2") else ""
        raise SearchError(f"The vectors are of type {vectors.dtype}{hint}; give float16, float32 or float64.")
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told
        rows = vectors.astype(np.float32)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    for wrong, what in ((~np.isfinite(lengths), "not finite numbers"), (lengths == 0, "nothing but zeros")):
        if wrong.any():
            first = int(np.argmax(wrong))
            raise SearchError(
                f"{wrong.sum():,} of {len(rows):,} vectors are {what}, row {first} ({printable(names[first])}) the "
                "first; leave them out, with their names."
            )
    return rows / lengths


def _checked_names(names: Sequence[str]) -> Sequence[str]:
    rows: dict[str, int] = {}
    for row, name in enumerate(names):
        if not isinstance(name, str) or not PurePosixPath(name).name or PurePosixPath(name).name == "..":
            raise SearchError(f"The name of row {row} is {name!r}; give each vector a text that names its image.")
        if (first := rows.setdefault(str(PurePosixPath(name)), row)) != row:
            raise SearchError(
                f"Rows {first} and {row} have one name, {printable(name)}; give each image a name of its own, or leave "
                "one of them out."
            )
    return names


def _members(names: Sequence[str], captions: Captions, image_dir: Path | None, source: str) -> list[CaptionedImage]:
    """The images by name; those that have a file below a folder, by its path."""
    files: list[Path | None] = [None] * len(names) if image_dir is None else _files_below(image_dir, names)
    members: list[CaptionedImage] = []
    for row, (name, given, file) in enumerate(zip(names, captions, files, strict=True)):
        texts = (given,) if isinstance(given, str) else () if given is None else given
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise SearchError(
                f"The caption of row {row} ({printable(name)}) is {given!r}; give a text, several, or None."
            )
        texts = tuple(texts)
        if file is None:
            members.append(WithoutFile(Path(name), texts, None, None, source, given=name))
        else:
            members.append(CaptionedImage(file, texts, None, None, source))
    return members


def _files_below(folder: Path, names: Sequence[str]) -> list[Path | None]:
    """The file of each name, None where there is none; a `SearchError` if that is so of all.

    Absolute names are of the machine where the vectors were computed: what they have in common is the folder there. No
    name leads out of the folder, as published ones could.
    """
    top, places = Path.absolute(folder), [PurePosixPath(re.sub("^/+", "/", name)) for name in names]
    folders = [place.parent for place in places if place.is_absolute()]
    there = commonpath(folders) if folders else ""
    files: list[Path | None] = []
    for place in places:
        if place.is_absolute():
            place = place.relative_to(top if place.is_relative_to(top) else there)
        found = ".." not in place.parts and isfile(top / place)  # noqa: PTH113  # False for names that no file can have
        files.append(top / place if found else None)
    if not any(files):
        raise SearchError(
            f"{folder} has a file for none of the {len(names):,} names, {printable(names[0])} the first; name the "
            "folder that they count from, or leave image_dir out."
        )
    return files


# --- the forms of files -----------------------------------------------------------------------------------


def _read(path: Path, reader: Any, what: str) -> NamedVectors:
    from pyarrow import ArrowException

    try:
        return reader(path)
    except SearchError:
        raise
    except FileNotFoundError:
        raise SearchError(f"There is no {path}; name a file of {what}.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, ArrowException) as error:
        said = " ".join(str(error).split())
        if "allow_pickle" in said:  # NumPy's own word for Python objects in a file
            said = "it holds Python objects, which are not opened: store names as numpy.array(names, dtype=str)"
        raise SearchError(f"{path} cannot be read ({said}); fetch or write it again.") from None


def _of_npy(path: Path) -> NamedVectors:
    return NamedVectors(np.load(path, mmap_mode="r", allow_pickle=False))


def _of_npz(path: Path) -> NamedVectors:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    matrices = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"]
    texts = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind == "U" and array.ndim in (1, 2)}
    vectors = arrays[_vectors_among(matrices, path)]
    return NamedVectors(vectors, _first_of(NAME_FIELDS, texts), _first_of(_CAPTION_FIELDS, texts))


def _of_parquet(path: Path) -> NamedVectors:
    from pyarrow import parquet, types

    fields = list(parquet.read_schema(path))
    lists = [field for field in fields if hasattr(field.type, "value_type") and not types.is_dictionary(field.type)]
    vectors = _vectors_among([field.name for field in lists if types.is_floating(field.type.value_type)], path)
    column = parquet.read_table(path, columns=[vectors])[vectors].combine_chunks()
    named = _names_of_parquet(path)
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    if column.null_count or len(numbers) % max(1, len(column)) or _lengths_differ(column):
        raise SearchError(f"{path}: the vectors of the column {vectors!r} are not all of one length; leave others out.")
    return replace(named, vectors=numbers.reshape(len(column), -1))


def _lengths_differ(column: pyarrow.Array) -> bool:
    from pyarrow import compute

    return len(compute.unique(compute.list_value_length(column))) > 1


def _names_of_parquet(path: Path) -> NamedVectors:
    from pyarrow import parquet, types

    texts = [
        field.name
        for field in parquet.read_schema(path)
        if types.is_string(kind := getattr(field.type, "value_type", field.type))
        or types.is_large_string(kind)
        or types.is_string_view(kind)
    ]
    wanted = [name for name in texts if name.lower() in (*NAME_FIELDS, *_CAPTION_FIELDS)]
    columns = parquet.read_table(path, columns=wanted).to_pydict()
    return NamedVectors(_NONE, _first_of(NAME_FIELDS, columns), _first_of(_CAPTION_FIELDS, columns))


def _of_folder(path: Path) -> NamedVectors:
    """Parts as clip-retrieval writes them, or else Parquet files that hold vectors, one after the other."""
    if has_shards(path):
        raise SearchError(f"{path} holds shards of make embed; open them with ImageIndex.from_shards({str(path)!r}).")
    parts = {file.name: file for folder in (path, path / "img_emb", path / "metadata") for file in folder.glob("*_*.*")}
    numbers = {name: int(found[1]) for name in parts if (found := _PART.fullmatch(name))}
    kinds = [{numbers[name]: parts[name] for name in numbers if name.endswith(end)} for end in (".npy", ".parquet")]
    if not numbers:
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise SearchError(f"{path} holds no img_emb_0.npy beside metadata_0.parquet, and no other Parquet file.")
        return _joined(map(_of_parquet, files))
    if lonely := set(kinds[0]) ^ set(kinds[1]):
        raise SearchError(f"{path}: part {min(lonely)} lacks its img_emb_*.npy or metadata_*.parquet; fetch it too.")
    pairs = [(kinds[0][number], kinds[1][number]) for number in sorted(kinds[0])]
    return _joined(replace(_names_of_parquet(texts), vectors=_of_npy(part).vectors) for part, texts in pairs)


def _joined(parts: Iterable[NamedVectors]) -> NamedVectors:
    """Parts in one; names and captions are kept if all parts have them."""
    read = list(parts)
    return NamedVectors(
        np.concatenate([part.vectors for part in read]),
        _joined_texts([(part.vectors, part.names) for part in read], "names"),
        _joined_texts([(part.vectors, part.captions) for part in read], "captions"),
    )


def _joined_texts(parts: Sequence[tuple[np.ndarray, Sequence[Any] | None]], what: str) -> list[Any] | None:
    joined: list[Any] = []
    for number, (vectors, texts) in enumerate(parts):
        if texts is None:
            return None
        if len(texts) != len(vectors):
            raise SearchError(f"Part {number} has {len(vectors):,} vectors and {len(texts):,} {what}; fetch it again.")
        joined += texts
    return joined


def _of_unknown(path: Path) -> NamedVectors:
    if not path.exists():
        raise FileNotFoundError
    raise SearchError(f"{path} is no file of vectors; give .npy, .npz, .parquet, or a folder as clip-retrieval writes.")


def _of_unknown_names(path: Path) -> NamedVectors:
    if not path.exists():
        raise FileNotFoundError
    raise SearchError(f"{path} is no file of names; give .txt, a name in each line, .json, a list, or .parquet.")


def _of_lines(path: Path) -> NamedVectors:
    return NamedVectors(_NONE, path.read_text(encoding="utf-8-sig").splitlines())


def _of_json(path: Path) -> NamedVectors:
    names = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(names, list):
        raise SearchError(f"{path} is no list of names; write one.")
    return NamedVectors(_NONE, names)


def _vectors_among(names: Sequence[str], path: Path) -> str:
    """The name of the only vectors of images among arrays or columns of vectors."""
    of_images = [name for name in names if not _TEXT_VECTORS.search(name)]
    if len(of_images) != 1:
        raise SearchError(
            f"{path} must hold one matrix or column of image vectors, and has {', '.join(names) or 'none'}; read the "
            "right one with NumPy or pandas, and give it with names=."
        )
    return of_images[0]


def _first_of(fields: Sequence[str], columns: Mapping[str, Any]) -> Any:
    """The first column that is there, whatever its case; None if none is."""
    known = {name.lower(): values for name, values in columns.items()}
    return next((known[field] for field in fields if field in known), None)


_NONE = np.zeros((0, 0), np.float32)
_READERS = {".npy": _of_npy, ".npz": _of_npz, ".parquet": _of_parquet}
_NAME_READERS = {".txt": _of_lines, ".json": _of_json, ".parquet": _names_of_parquet}
