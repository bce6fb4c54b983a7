#!/usr/bin/env bash
# One would guess: datasets.load_dataset("imagefolder") makes a class of each folder, whatever it is called.
# What happens: a folder whose name holds "train" or "test" as a word of its own, such as train_station or test_site, is
#   taken for a split. Every other folder is then left out without a word, and so is the label: of a train station, a
#   harbor and an airport only the station's images are loaded, as the split train. A name of a file does the same.
# Seen with: datasets 5.2.0, Python 3.11, Linux. Source: the run below, offline; KEYWORDS_IN_FILENAME_BASE_PATTERNS and
#   KEYWORDS_IN_DIR_NAME_BASE_PATTERNS in data_files.py, which allow -._ and blanks around the word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pillow==12.3.0 2>/dev/null
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - 2>/dev/null <<'END'
import logging
import sys
import warnings
from pathlib import Path

import datasets
from PIL import Image

log = []
handler = logging.Handler()
handler.emit = lambda record: log.append(record.getMessage()) if record.levelno >= logging.WARNING else None
datasets.utils.logging.get_logger().addHandler(handler)


def found(name, *paths):
    for path in paths:
        (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(Path(name) / path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read = datasets.load_dataset("imagefolder", data_dir=name)
    count = {split: (len(part), *sorted(part.features)) for split, part in read.items()}
    print(f"{', '.join(paths)}\n  -> {count}; warnings: {len(told) + len(log)}")
    return count, len(told) + len(log)


print("datasets", datasets.__version__)
results = [
    found("plain", "railwaystation/1.png", "harbor/1.png", "airport/1.png"),
    found("station", "train_station/1.png", "harbor/1.png", "airport/1.png"),
    found("site", "test site/1.png", "harbor/1.png", "airport/1.png"),
    found("file", "harbor/test_1.png", "harbor/2.png", "airport/1.png"),
]
expected = [({"train": (3, "image", "label")}, 0), ({"train": (1, "image")}, 0)] + [({"test": (1, "image")}, 0)] * 2
sys.exit(results != expected)
END
