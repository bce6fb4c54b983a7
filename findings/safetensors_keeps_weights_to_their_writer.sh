#!/usr/bin/env bash
# One would guess: a file that save_file writes can be read by whom the umask says, as any other file.
# What happens: since safetensors 0.8 it has mode 0600, and a file that is replaced loses the mode that it had. So all
#   of a model's folder can be read by others (a group, the user of a container, a web server) but its weights. 0.7
#   did as the umask says.
# Seen with: safetensors 0.8.0 and 0.7.0, Python 3.11, Linux. Source: the run below, offline; safetensors#782: since
#   #764 files are written under a temporary name by the tempfile crate, which keeps them to their owner, then renamed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
umask 022
found=""
for version in 0.7.0 0.8.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "safetensors==$version" numpy==2.4.6 2>/dev/null
  found="$found $("$folder/$version/bin/python" - <<'END'
import os
import stat

import numpy as np
from safetensors.numpy import save_file

modes = []
for name in ("new", "replaced"):
    if name == "replaced":
        open(name, "w").close()
        os.chmod(name, 0o640)
    save_file({"weight": np.zeros(3, np.float32)}, name)
    modes.append(oct(stat.S_IMODE(os.stat(name).st_mode)))
    os.remove(name)
print(",".join(modes))
END
)"
  echo "safetensors $version, umask 022, a new file, and one that had 0o640:${found##* }"
done
test "$found" = " 0o644,0o640 0o600,0o600"
