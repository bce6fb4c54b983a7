#!/usr/bin/env bash
# One would guess: pip installs orbax-checkpoint, a package of pure Python that names requirements for Windows, on
#   any Windows.
# What happens: from 0.11.34 on its wheel holds checkpoints for its own tests, 268 paths of more than 200 and up to 238
#   characters. Windows takes 259 unless an administrator has allowed more, and `.venv\Lib\site-packages\` alone has
#   24, so that there is no folder short enough: pip ends with OSError, "No such file or directory", for everybody who
#   installs it, or flax, which requires it. The release before, 0.11.33, wants uvloop, which has no wheel for Windows;
#   0.11.32 is the last one that installs there. Machines of CI do not show it: they allow long paths.
# Seen with: orbax-checkpoint 0.12.8, 0.11.34, 0.11.33 and 0.11.32, Python 3.11, Linux, by reading the wheels.
#   Source: the wheels; learn.microsoft.com, Maximum Path Length Limitation; pip's page on it,
#   pip.pypa.io/warnings/enable-long-paths.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 0.12.8 0.11.34 0.11.33 0.11.32; do
  "$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder" \
    "orbax-checkpoint==$version"
done
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
import zipfile
from pathlib import Path, PureWindowsPath

SHORTEST = PureWindowsPath(r"C:\c\.venv\Lib\site-packages")  # a checkout of one letter
seen = {}
for path in sorted(Path(sys.argv[1]).glob("*.whl")):
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        wanted = [line for line in wheel.read(metadata).decode().splitlines() if line.startswith("Requires-Dist: uvloop")]
    length = max(len(str(SHORTEST / name)) for name in names)
    everywhere = any(";" not in line for line in wanted)
    version = path.name.split("-")[1]
    seen[version] = (length > 259, everywhere)
    print(f"{version}: the longest path below {SHORTEST} has {length} characters; wants uvloop everywhere: {everywhere}")
expected = {"0.11.32": (False, False), "0.11.33": (False, True), "0.11.34": (True, False), "0.12.8": (True, False)}
sys.exit(seen != expected)
PYTHON
