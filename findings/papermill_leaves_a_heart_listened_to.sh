#!/usr/bin/env bash
# One would guess: a notebook that papermill runs in a kernel manager of yours (km=...) leaves nothing behind once the
#   run has returned and you have shut the kernel down.
# What happens: the client that nbclient made for the run stays connected, out of your reach. Its heartbeat thread goes
#   on for as long as the process lives, a thread for each notebook, and asks a kernel that is gone once a second; with
#   TCP it may ask whoever has the port now. Without km nothing stays.
# Seen with: papermill 2.7.0, nbclient 0.11.0, jupyter_client 8.10.0, Python 3.11, Linux. Source: cleanup_kc in
#   setup_kernel of nbclient/client.py, which papermill's clientwrap.py never sets. What helps: a kernel manager
#   whose client() remembers what it gives, and stop_channels() on that.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check papermill==2.7.0 nbclient==0.11.0 \
  jupyter_client==8.10.0 ipykernel==7.4.0 2>/dev/null
export JUPYTER_PLATFORM_DIRS=1 IPYTHONDIR="$folder/ipython"
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys
import threading
import time

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), "one.ipynb")


def threads_after(runs: int, own: bool) -> int:
    before = threading.active_count()
    for _ in range(runs):
        kernel = AsyncKernelManager(kernel_name="python3") if own else None
        if kernel:
            run_sync(kernel.start_kernel)()
        papermill.execute_notebook("one.ipynb", "out.ipynb", kernel_name="python3", km=kernel, progress_bar=False)
        if kernel:
            run_sync(kernel.shutdown_kernel)()
    time.sleep(3)  # thrice the time in which a heart is to beat
    return threading.active_count() - before


left = {own: threads_after(3, own) for own in (False, True)}
print(f"threads left by 3 notebooks: {left[False]} with papermill's own kernels, {left[True]} with kernels that it was given")
sys.exit(left != {False: 0, True: 3})
END
