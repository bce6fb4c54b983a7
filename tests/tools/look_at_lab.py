"""Runs notebooks in JupyterLab as a student would, takes pictures of all they show and says what is wrong.

python tests/tools/look_at_lab.py --pictures runs/lab/pictures              # every numbered notebook
python tests/tools/look_at_lab.py nbs/01_explore_data.ipynb --pictures runs/lab/pictures
python tests/tools/look_at_lab.py runs/student/*.ipynb      # as a class gets them, after `make student`

JupyterLab serves a copy of their folder in runs/lab, so the notebooks themselves stay as they are. The pictures are
for people to look at. What a program can see is reported, and the exit status is 1 if anything of it is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from utils.course import course_notebooks
from utils.training.launch import free_port

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("--LabApp.app_settings_dir=.jupyter", "--KernelManager.transport_encryption=auto")
# What `make lab` calls, on an address of its own, and with the frontend's objects in the page's reach.
LAB = ("-m", "jupyter", "lab", "nbs", *QUIET)
UNSEEN = ("--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.port_retries=0")
TOKEN = "look"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Quiet, without a sandbox (tests may run as root), and without the browser's own calls home.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Every cell is drawn, also the ones out of sight, so that all of them can be measured.
DRAW_ALL = {"@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"}}
WINDOW = {"width": 1366, "height": 1100}  # as wide as a small laptop
LONGEST_LINE = 117  # characters that fit there, beside the list of files
START = 90.0  # seconds for JupyterLab to answer on a busy machine
PATIENCE = 1800.0  # seconds for one notebook

# Noise that nobody should see in an output, and what stands there when a widget could not be drawn.
NOISE = re.compile(r"\w+Warning\b|\bWARNING\b|deprecated|IProgress|Traceback|^[EW]\d{4} ", re.MULTILINE)
UNDRAWN = re.compile(r"^(HBox|VBox|FloatProgress|Output)\(|Error displaying widget|Loading widget")

MEASURE = """() => {
  const panel = jupyterapp.shell.currentWidget;
  const cells = [...panel.node.querySelectorAll('.jp-Cell')];
  const outputs = [...panel.node.querySelectorAll('.jp-OutputArea-output, .jp-RenderedMarkdown')];
  const wide = e => e.scrollWidth > e.clientWidth + 1;
  const of = e => cells.indexOf(e.closest('.jp-Cell'));
  return {
    notebook: panel.content.model.sharedModel.toJSON(),
    wide: outputs.filter(e => wide(e) || [...e.querySelectorAll('*')].some(
      c => wide(c) && getComputedStyle(c).overflowX !== 'visible' && !c.closest('mjx-container'))).map(of),
    cut: [...panel.node.querySelectorAll('.jp-mod-outputsScrolled, .jp-TrimmedOutputs')].map(of),
    silent: [...panel.node.querySelectorAll('.jp-MarkdownOutput img')].filter(i => !i.alt).map(of),
    raw: [...panel.node.querySelectorAll('.jp-RenderedMarkdown')].filter(
      m => /\\$[^$\\n]+\\$/.test(m.innerText) || [...m.querySelectorAll('mjx-merror, mjx-mtext')].some(
        e => e.matches('mjx-merror') || getComputedStyle(e).color === 'rgb(255, 0, 0)')).map(of),
    bars: panel.node.querySelectorAll('.jp-OutputArea progress, .widget-hprogress').length,
    texts: outputs.map(e => [of(e), e.innerText]),
    popups: [...document.querySelectorAll('.jp-Dialog, .Toastify__toast')].map(e => e.innerText),
  };
}"""


@dataclass
class Sight:
    """What was seen of one notebook.

    Attributes:
        name: Its file name.
        seconds: From the command to run all cells to the end of the last.
        peak: The most memory that its kernel held, in bytes.
        bars: Progress bars that were drawn as bars.
        complaints: What is wrong, a line each.
    """

    name: str
    seconds: float = 0.0
    peak: int = 0
    bars: int = 0
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"{self.name}: {self.seconds:.0f} s, {self.peak / 2**30:.2f} GiB, {self.bars} progress bars"
        return "\n".join([head, *(f"  {complaint}" for complaint in self.complaints or ["nothing wrong"])])


# --- JupyterLab ----------------------------------------------------------------------------------------------


def copy_notebooks(notebooks: Path, folder: Path) -> None:
    """A fresh copy of their folder without profiles, so that the first cell walks on upward to the checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("profiles", ".ipynb_checkpoints")
    shutil.copytree(notebooks, folder / "nbs", ignore=ignored)
    shutil.copytree(ROOT / ".jupyter", folder / ".jupyter")
    for name, settings in DRAW_ALL.items():
        file = folder / "settings" / name
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings))


def exported_by_make(root: Path, name: str) -> str:
    """What the Makefile sets an environment variable to."""
    environment = {key: value for key, value in os.environ.items() if key != name}
    command = ["make", "--no-print-directory", "--eval", f'show: ; @echo "$${name}"', "show"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def served_lab(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """JupyterLab on the copy in a folder, with nobody's settings; gives its address and its process."""
    port = free_port()
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),  # the kernels use this checkout, wherever the copy lies
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        # As `make lab` has them, on a machine where nothing was compiled before.
        "GLIBC_TUNABLES": exported_by_make(ROOT, "GLIBC_TUNABLES"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
    }
    command = [sys.executable, *LAB, *UNSEEN, f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/api/status?token={TOKEN}", server)
            yield address, psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait()


def wait_for(address: str, server: subprocess.Popen) -> None:
    """Returns when something answers; an end of the server or too long a silence is an error."""
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.2)
    raise RuntimeError("JupyterLab did not start; server.log beside the copied notebooks says why.")


def peak_memory(server: psutil.Process) -> int:
    """The most memory that a kernel of the server has held, in bytes; 0 where the system does not say."""
    peaks = [0]
    for process in server.children():
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            peaks.append(int(found[1]) * 1024 if found else 0)
    return max(peaks)


# --- the browser ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise SystemExit(f"None of {', '.join(BROWSERS)} is installed; install one of them.")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS)) as browser,
    ):
        yield browser


def look_at(browser: Any, address: str, server: psutil.Process, name: str, pictures: Path | None) -> Sight:
    """Opens one notebook in JupyterLab, runs all its cells, and says what a student would see.

    Args:
        browser: As from `open_browser`.
        address: Where JupyterLab answers.
        server: Its process.
        name: The notebook's file name in nbs/.
        pictures: A folder for pictures of all of it; None takes none.
    """
    sight = Sight(name)
    page = browser.new_page(viewport=WINDOW, color_scheme="light")
    page.set_default_timeout(START * 1000)
    listen(page, address, sight.complaints)
    page.goto(f"{address}/lab/tree/{name}?token={TOKEN}&reset")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    start = time.monotonic()
    run_all_cells(page)
    sight.seconds = time.monotonic() - start
    page.wait_for_timeout(1000)  # the last outputs are drawn
    judge(page.evaluate(MEASURE), sight)
    sight.peak = peak_memory(server)
    if pictures:
        take_pictures(page, pictures, Path(name).stem)
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()
    return sight


def listen(page: Any, address: str, complaints: list[str]) -> None:
    """Notes what the browser's console complains of, except for hosts that an offline machine cannot reach."""

    def of_the_server(url: str) -> bool:
        return not url or urlsplit(url).netloc == urlsplit(address).netloc

    def note(said: Any) -> None:
        if said.type == "error" and of_the_server(said.location["url"]):
            complaints.append(f"the console says: {said.text} ({said.location['url']})")

    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(f"an error in the page: {error}"))


def run_all_cells(page: Any) -> None:
    """Gives the command of the menu and waits for its end; a cell that fails ends it too."""
    page.evaluate(
        """() => { jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ended = true }) }"""
    )
    page.wait_for_function("window.ended", timeout=PATIENCE * 1000, polling=200)


def take_pictures(page: Any, folder: Path, stem: str) -> None:
    """Photographs a notebook from its top to its end, a screen a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    scroller = page.locator(".jp-NotebookPanel:visible .jp-WindowedPanel-outer")
    height, screen = scroller.evaluate(  # without the empty screen that lies below the last cell
        """e => [e.scrollTop + [...e.querySelectorAll('.jp-Cell')].at(-1).getBoundingClientRect().bottom
              - e.getBoundingClientRect().top, e.clientHeight]"""
    )
    for number, top in enumerate(range(0, int(height), screen - 40)):
        scroller.evaluate("(e, top) => { e.scrollTop = top }", top)
        page.wait_for_timeout(300)
        page.screenshot(path=folder / f"{stem}-{number:02d}.png")


def judge(seen: dict[str, Any], sight: Sight) -> None:
    """Turns what was measured into complaints."""
    sight.bars = seen["bars"]
    cells = seen["notebook"]["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            sight.complaints += [f"{cell['id']} {words}" for words in complaints_of_cell(cell)]
    for number, text in seen["texts"]:
        if UNDRAWN.search(text):
            sight.complaints.append(f"{cells[number]['id']} shows a widget as text: {text[:80]}")
    for kind, words in (
        ("wide", "is wider than the page"),
        ("cut", "has its output cut"),
        ("silent", "has a picture without an alternative text"),
        ("raw", "shows a formula as raw text"),
    ):
        sight.complaints += [f"{cells[number]['id']} {words}" for number in sorted(set(seen[kind]))]
    sight.complaints += [f"a popup says: {text}" for text in seen["popups"]]


def complaints_of_cell(cell: dict[str, Any]) -> Iterator[str]:
    """What is wrong with the outputs of one code cell."""
    if not cell["execution_count"]:
        yield "was not run"
    for output in cell["outputs"]:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        text = "".join(text) if isinstance(text, list) else text
        if output["output_type"] == "error":
            yield f"failed: {output['ename']}: {output['evalue'][:200]}"
        elif output.get("name") == "stderr":
            yield f"writes to stderr: {text[:200].strip()}"
        elif NOISE.search(text):
            yield f"shows noise: {text[:200].strip()}"
        elif output["output_type"] == "stream" and max(map(len, text.splitlines()), default=0) > LONGEST_LINE:
            yield f"prints a line that is broken off at the edge: {max(text.splitlines(), key=len)[:60]} ..."
        kinds = {"image/png", "image/jpeg"} & set(output.get("data", {}))
        if any(not output["metadata"].get(kind, {}).get("alt") for kind in kinds):
            yield "has a figure without an alternative text"


def main(argv: list[str] | None = None) -> int:
    """Looks at notebooks from the command line; the exit status is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=course_notebooks(ROOT), metavar="NB")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of all that is shown")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that JupyterLab is stopped then too
    folder = ROOT / "runs" / "lab"
    copy_notebooks(arguments.notebooks[0].resolve().parent, folder)
    wrong = 0
    with served_lab(folder) as (address, server), open_browser() as browser:
        for notebook in arguments.notebooks:
            sight = look_at(browser, address, server, notebook.name, arguments.pictures)
            print(sight, flush=True)
            wrong += bool(sight.complaints)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
