"""RSICD from the Hugging Face Hub, written down once in the layout in which RSICD is published."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captions import DatasetError, split_name
from utils.files import leads_out, move, workshop, write_whole

FETCHED_FROM = "fetched_from.json"  # in a data set's folder: the repository and the revision it came from
RSICD_REPOSITORY = "arampacha/rsicd"
_COLUMNS = ["filename", "captions", "image"]
_ROWS_A_BATCH = 256


def fetch_rsicd(folder: Path) -> Path:
    """Downloads RSICD, half a gigabyte, and lays it out in a folder, which is returned; or a `DatasetError`."""
    from huggingface_hub import snapshot_download

    print(f"RSICD is not on this machine: fetching {RSICD_REPOSITORY} from the Hugging Face Hub", flush=True)
    try:
        snapshot = snapshot_download(RSICD_REPOSITORY, repo_type="dataset", allow_patterns="data/*.parquet")
    except Exception as error:  # offline mode, no route, a proxy's page, a full disk: each its own class
        raise DatasetError(
            f"RSICD is not on this machine and could not be fetched from the Hugging Face Hub "
            f"({type(error).__name__}): put dataset_rsicd.json and the folder RSICD_images into "
            f"{folder}, or say with data_dir where they lie"
        ) from error
    return convert_rsicd_parquet(Path(snapshot), folder)


def convert_rsicd_parquet(parquet_folder: Path, folder: Path) -> Path:
    """Turns the Hub's Parquet files, at any depth, into a folder in RSICD's published layout, and returns it.

    The rows hold `filename` ("rsicd_images/airport_1.jpg"), `captions` (a list) and `image` (`bytes`, `path`);
    the split is the start of the Parquet file's name. The bytes of images stay, and the folder is whole or not there.
    What is not RSICD is a `DatasetError`.
    """
    files = sorted(path for path in parquet_folder.rglob("*.parquet") if path.is_file())
    if not files:
        raise DatasetError(f"{parquet_folder}: no Parquet files are here; delete the folder and fetch it again")
    try:
        with workshop(folder, "laying out RSICD") as draft:
            (draft / "RSICD_images").mkdir()
            rows = ((file, row) for file in files for row in _rows(file))
            entries = [_entry(row, number, file, draft / "RSICD_images") for number, (file, row) in enumerate(rows)]
            content = {"images": entries, "dataset": "rsicd"}
            write_whole(draft / "dataset_rsicd.json", json.dumps(content, ensure_ascii=False))
            if parquet_folder.parent.name == "snapshots":  # of the Hub
                source = {"repository": RSICD_REPOSITORY, "revision": parquet_folder.name}
                write_whole(draft / FETCHED_FROM, json.dumps(source) + "\n")
            move(draft, folder)
    except OSError as error:
        if not (folder / "dataset_rsicd.json").is_file():  # there if another process was first
            raise DatasetError(f"{folder}: RSICD could not be written there ({error.strerror})") from error
    return folder


def _rows(file: Path) -> Iterator[dict]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as parquet:
            if absent := set(_COLUMNS) - set(parquet.schema_arrow.names):
                raise DatasetError(f"{file}: the column {min(absent)!r} is missing; this is not RSICD")
            for batch in parquet.iter_batches(_ROWS_A_BATCH, columns=_COLUMNS):
                yield from batch.to_pylist()
    except ArrowInvalid as error:
        raise DatasetError(f"{file}: this is not a whole Parquet file; delete it and fetch it again") from error


def _entry(row: dict, image_id: int, file: Path, image_folder: Path) -> dict:
    """Writes the image of a row and returns its entry in Karpathy's form."""
    name = PurePosixPath(row["filename"] or "").name
    if leads_out(name):
        raise DatasetError(f"{file}: {row['filename']!r} leads out of the folder; the file is not used")
    content = (row["image"] or {}).get("bytes")
    if not name or not content:
        raise DatasetError(f"{file}: the row of {row['filename']!r} holds no image; fetch the file again")
    target = image_folder / name
    if target.exists():
        raise DatasetError(f"{file}: {name} stands in the data set twice; fetch the files again")
    target.write_bytes(content)
    sentences = [{"raw": caption, "imgid": image_id} for caption in row["captions"] or ()]
    split = split_name(file.name.split("-")[0])
    return {"filename": name, "imgid": image_id, "split": split, "sentences": sentences}


def data_source(dataset: CaptionDataset) -> dict[str, str]:
    """Returns the repository and the revision that a data set was fetched from; empty if nothing is noted of it."""
    for folder in dataset[0].path.parents[:2] if len(dataset) else ():
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads((folder / FETCHED_FROM).read_text(encoding="utf-8"))
            return {"repository": str(noted["repository"]), "revision": str(noted["revision"])}
    return {}
