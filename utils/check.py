"""What this machine has and lacks for the course, with what to do about it: ``make check``, and notebook 00.

Nothing is fetched, made or changed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
import textwrap
import tomllib
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from utils import jax_trouble
from utils.course import find_root
from utils.files import from_home, usable_cores
from utils.files.hub import looks_like_clip

GIB = 2**30
WIDTH = 100  # of a line
NEEDED_MEMORY = 2 * GIB  # what the largest notebook of the miniature, 04, takes
NEEDED_DISK = 1 * GIB  # what a run of the miniature leaves, twice
HUB = "https://huggingface.co"
HUB_MODELS = ("openai/clip-vit-base-patch32", "Helsinki-NLP/opus-mt-en-ROMANCE")
DATASETS = {
    "miniature": "it draws itself when a notebook asks for it, in about 20 seconds",
    "rsicd": "only for real images: it is fetched on first use, or put it where data/README.md says",
    **dict.fromkeys(("ucm", "sydney"), "only for other real images: put it where data/README.md says"),
}
OPTIONAL_PACKAGES = {"gradio": "the page of make demo", "hnswlib": "a faster search engine"}
# Releases of jaxlib with which the gradient of an embedding is hundreds of times slower on GPUs; with newer ones the
# pinned flax cannot be imported.
SLOW_ON_GPUS = ">=0.10.2,<0.11.1"
FOR_GPUS = "jax[cuda13]==0.10.1"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and advice if all is not well."""

    subject: str
    found: str
    advice: str = ""
    needed: bool = False  # the course cannot run on the miniature without it
    is_version: bool = False  # of a package; those go on one line together

    @property
    def is_missing(self) -> bool:
        """Whether the course cannot run for it."""
        return self.needed and bool(self.advice)

    def __str__(self) -> str:
        """One line, or two with advice."""
        mark = "ok" if not self.advice else "MISSING" if self.needed else "note"
        line = f"{mark:<8} {self.subject:<28} {self.found}"
        return f"{line}\n{'':<9}-> {self.advice}" if self.advice else line


def check_versions() -> list[Check]:
    """Python, and each package that pyproject.toml asks for, against the range that it names."""
    project = tomllib.loads((find_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    here, asked = platform.python_version(), project["requires-python"]
    advice = "" if SpecifierSet(asked).contains(here) else f"install a Python {asked}; see the README"
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    checks = [Check("Python", f"{here} on {system}", advice, needed=True)]
    for requirement in map(Requirement, project["dependencies"]):
        if requirement.marker and not requirement.marker.evaluate():
            continue  # of another system
        version = _version(requirement.name)
        fits = version and requirement.specifier.contains(version, prereleases=True)
        advice = f"the course needs {requirement}: make a fresh .venv with make, or {_install(str(requirement))}"
        checks.append(_package(requirement.name, "" if fits else advice, needed=True))
    checks.append(_package("jaxlib"))
    for name, purpose in OPTIONAL_PACKAGES.items():
        checks.append(_package(name, "" if _version(name) else f"only for {purpose}: {_install(name)}"))
    return checks


def _package(name: str, advice: str = "", needed: bool = False) -> Check:
    return Check(name, _version(name) or "not installed", advice, needed, is_version=True)


def _version(name: str) -> str:
    """The version of a package; empty if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _install(requirement: str) -> str:
    """What to type, with the quotes that every shell knows, from the top of the checkout.

    A .venv there need not be the one that is active.
    """
    python = Path(sys.executable)
    here = python.relative_to(find_root()) if python.is_relative_to(find_root()) else "python"
    quoted = f'"{requirement}"' if re.search(r"[<>\[\]=!~, ;]", requirement) else requirement
    return f"{here} -m pip install {quoted}"


def check_devices() -> list[Check]:
    """Cores, what JAX computes on, and a GPU that it does not see, or is slow on."""
    cores = Check("CPU cores", str(usable_cores()))
    if trouble := jax_trouble():
        return [cores, Check("JAX devices", "JAX does not start", trouble, needed=True)]
    try:
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError) as error:  # jax refuses a jaxlib, or a device that the user asks for
        return [cores, Check("JAX devices", "JAX does not start", str(error), needed=True)]
    advice = ""
    if devices[0].platform == "cpu" and shutil.which("nvidia-smi"):
        advice = f"an NVIDIA GPU seems to be here, but this JAX is the build for CPUs: {_for_gpus()}"
    elif devices[0].platform == "gpu" and SpecifierSet(SLOW_ON_GPUS).contains(_version("jaxlib")):
        advice = f"this JAX makes training on GPUs slower by far: {_for_gpus()}"
    kinds = ", ".join(sorted({f"{d.platform} ({d.device_kind})" for d in devices}))
    return [cores, Check("JAX devices", f"{len(devices)} x {kinds}", advice)]


def _for_gpus() -> str:
    if platform.system() == "Windows":
        return "none is built for GPUs on Windows; in WSL there is, see docs/machines.md"
    return _install(FOR_GPUS)


def check_memory_and_disk(output_dir: str | Path = "runs/miniature") -> list[Check]:
    """Memory, disk, and whether results can be written where they go."""
    import psutil

    memory, folder = psutil.virtual_memory(), Path(output_dir)
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB are free"
    close = "close other programs, or other notebooks' kernels: a notebook takes 1 to 2 GB"
    checks = [Check("memory", found, close if memory.available < NEEDED_MEMORY else "", needed=True)]
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    found = f"{free / GIB:.1f} GiB are free for {folder}"
    advice = "make room: the course leaves about half a gigabyte" if free < NEEDED_DISK else ""
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        found, advice = f"{folder}: {error.strerror}", "give an OUTPUT_DIR that you may write to"
    return [*checks, Check("disk", found, advice, needed=True)]


def check_data(dataset: str = "miniature", data_dir: str = "", **how: Any) -> list[Check]:
    """Which data sets are on the disk, in a folder or in data/; your own captions are read as `load_dataset` does."""
    from utils.datasets import DatasetError, find_dataset, load_dataset

    checks = []
    if dataset not in DATASETS:
        try:
            mine = load_dataset(dataset, data_dir or None, **how)
            splits = ", ".join(f"{len(mine.split(name))} {name}" for name in mine.splits) or "no splits yet"
            found, advice = f"{len(mine)} images ({splits}), {len(mine.categories)} categories", ""
        except (DatasetError, OSError) as error:
            found, advice = "cannot be read", str(error)
        checks = [Check("data: yours", found, advice, needed=True)]
    for name, advice in DATASETS.items():
        folder = find_dataset(name, data_dir or None)
        found, advice = (f"in {_short(folder)}", "") if folder else ("not here", advice)
        checks.append(Check(f"data: {name}", found, advice))
    return checks


def _short(path: Path) -> str:
    """A path without what lies above the course or the home, which is nobody's business in a bug report."""
    for top, name in ((find_root().resolve(), ""), (Path.home().resolve(), "~/")):
        if path.resolve().is_relative_to(top):
            return name + path.resolve().relative_to(top).as_posix()
    return str(path)


def check_models(model: str = "data/checkpoints/clip-miniature") -> list[Check]:
    """The small models that come with the course, the folder or Hub name to start from, and those on the Hub."""
    small = find_root() / "data" / "checkpoints"
    count = len(list(small.glob("*/model.safetensors")))
    advice = "" if count == 4 else "four come with the course: git checkout data/checkpoints"
    checks = [Check("models: small", f"{count} in data/checkpoints", advice, needed=True)]
    return checks + [_check_model(name) for name in dict.fromkeys([model, *HUB_MODELS])]


def _check_model(name: str) -> Check:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    folder = from_home(name)
    subject = f"model: {folder.name}"
    if folder.exists():
        advice = "" if looks_like_clip(folder) else "it holds no CLIP of the forms that docs/checkpoints.md lists"
        return Check(subject, f"in {_short(folder)}", advice, needed=True)
    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return Check(subject, "neither a folder nor a Hub name", "give one of them as MODEL", needed=True)
    return Check(subject, "here" if cached else "not here", "" if cached else "it is fetched when it is asked for")


def check_network() -> list[Check]:
    """Whether the Hugging Face Hub answers within three seconds."""
    try:
        urllib.request.urlopen(urllib.request.Request(HUB, method="HEAD"), timeout=3).close()
    except (OSError, ValueError) as error:
        advice = "the miniature needs none; real data and models go by hand where data/README.md says"
        return [Check("network", f"{HUB} does not answer ({type(error).__name__})", advice)]
    return [Check("network", f"{HUB} answers")]


def as_text(checks: Iterable[Check]) -> str:
    """The checks line by line, versions that are as they should be on one line."""
    checks = list(checks)
    versions = [check for check in checks if check.is_version and not check.advice]
    lines = [str(check) for check in checks if check not in versions]
    if row := ", ".join(f"{check.subject} {check.found}" for check in versions):
        lines.append(textwrap.fill(f"ok       {row}", WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False))
    return "\n".join(lines)


def verdict(checks: Iterable[Check]) -> str:
    """One sentence on what all checks together mean."""
    if missing := [check.subject for check in checks if check.is_missing]:
        return f"The course cannot run yet: see {', '.join(missing)} above."
    return "The course can run on the miniature. What is only noted is for real data, or for more speed."


def main() -> int:
    """Prints everything; the exit status is 0 if the course can run."""
    os.chdir(find_root())
    kinds = (check_versions, check_devices, check_memory_and_disk, check_data, check_models, check_network)
    checks = [check for kind in kinds for check in kind()]
    print(f"{as_text(checks)}\n{verdict(checks)}")
    return int(any(check.is_missing for check in checks))


if __name__ == "__main__":
    raise SystemExit(main())
