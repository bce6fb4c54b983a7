"""What this machine has and lacks for the course, with what to do about it; ``make check`` prints it.

Notebook 00 shows the same, section by section. Nothing is fetched, made or changed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import textwrap
import tomllib
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.course import find_root

GIB = 2**30
WIDTH = 100  # of a line
NEEDED_MEMORY = 2 * GIB  # what the largest notebook of the miniature, 04, takes
NEEDED_DISK = 1 * GIB  # what a run of the miniature leaves, twice
HUB = "https://huggingface.co"
HUB_MODELS = ("openai/clip-vit-base-patch32", "Helsinki-NLP/opus-mt-en-ROMANCE")
DATASETS = {
    "miniature": "it draws itself when a notebook asks for it, in about 20 seconds",
    "rsicd": "only for real pictures: it is fetched on first use, or put it where data/README.md says",
    "ucm": "only for other real pictures: put it where data/README.md says",
    "sydney": "only for other real pictures: put it where data/README.md says",
}
OPTIONAL_PACKAGES = {
    "gradio": "the page of make demo",
    "hnswlib": "a faster search engine",
    "wandb": "reports to Weights & Biases",
}
# Releases of jaxlib with which the gradient of an embedding is hundreds of times slower on GPUs; with newer ones the
# pinned flax cannot be imported.
SLOW_ON_GPUS = ">=0.10.2,<0.11.1"
FOR_GPUS = "jax[cuda13]==0.10.1"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at.
        found: What was found.
        advice: What to do; empty if all is well.
        needed: Whether the course cannot run on the miniature without it.
        is_version: Whether it is a package and its version, which go on one line with others.
    """

    subject: str
    found: str
    advice: str = ""
    needed: bool = False
    is_version: bool = False

    def __str__(self) -> str:
        """One line, or two with advice."""
        mark = "ok" if not self.advice else "MISSING" if self.needed else "note"
        line = f"{mark:<8} {self.subject:<28} {self.found}"
        return f"{line}\n{'':<9}-> {self.advice}" if self.advice else line


def check_versions() -> list[Finding]:
    """Python, and each package that pyproject.toml asks for, against the range that it names."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    project = tomllib.loads((find_root() / "pyproject.toml").read_text())["project"]
    here = platform.python_version()
    supported = SpecifierSet(project["requires-python"]).contains(here)
    advice = "" if supported else f"install a Python {project['requires-python']}; see the README"
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    findings = [Finding("Python", f"{here} on {system}", advice, needed=True)]
    findings += [_check_package(Requirement(line)) for line in project["dependencies"]]
    if _version("jax"):
        findings.append(_check_jaxlib())
    for name, purpose in OPTIONAL_PACKAGES.items():
        version = _version(name)
        advice = "" if version else f"only for {purpose}: pip install {name}"
        findings.append(Finding(name, version or "not installed", advice, is_version=True))
    return findings


def _check_package(requirement: object) -> Finding:
    version = _version(requirement.name)
    if version is None or not requirement.specifier.contains(version, prereleases=True):
        advice = f"the course needs {requirement}: make a fresh .venv with make, or pip install '{requirement}'"
        return Finding(requirement.name, version or "not installed", advice, needed=True)
    return Finding(requirement.name, version, is_version=True)


def _check_jaxlib() -> Finding:
    """jaxlib, the compiled half of jax: it should be of the same release, though jax starts with some others, too."""
    from packaging.requirements import Requirement

    jax, jaxlib = _version("jax"), _version("jaxlib")
    if jax == jaxlib:
        return Finding("jaxlib", jaxlib, is_version=True)
    asked = next(r for r in map(Requirement, importlib.metadata.requires("jax")) if r.name == "jaxlib")
    taken = jaxlib and asked.specifier.contains(jaxlib, prereleases=True)
    found = f"{jaxlib or 'not installed'}, beside jax {jax}"
    advice = f"the two belong together: pip install jax=={jax} jaxlib=={jax}"
    return Finding("jaxlib", found, advice, needed=not taken)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_devices() -> list[Finding]:
    """Cores, what JAX computes on, and a GPU that it does not see, or is slow on."""
    from standins.scenes.build import usable_cores

    return [Finding("CPU cores", str(usable_cores())), _check_jax_devices()]


def _check_jax_devices() -> Finding:
    from packaging.specifiers import SpecifierSet

    try:
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError) as error:  # jax refuses a jaxlib, or a device that the user asks for
        return Finding("JAX devices", "JAX does not start", str(error), needed=True)
    advice = ""
    if devices[0].platform == "cpu" and (gpu := _nvidia_gpu()):
        advice = f"{gpu} is here, but this JAX is the build for CPUs: pip install '{FOR_GPUS}'"
    elif devices[0].platform == "gpu" and SpecifierSet(SLOW_ON_GPUS).contains(_version("jaxlib")):
        advice = f"this JAX makes training on GPUs slower by far: pip install '{FOR_GPUS}'"
    kinds = ", ".join(sorted({f"{d.platform} ({d.device_kind})" for d in devices}))
    return Finding("JAX devices", f"{len(devices)} x {kinds}", advice)


def _nvidia_gpu() -> str:
    """The name of the first NVIDIA GPU, or nothing."""
    if not shutil.which("nvidia-smi"):
        return ""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return answer.stdout.partition("\n")[0].strip() if answer.returncode == 0 else ""


def check_room(output_dir: str | Path = "runs/miniature") -> list[Finding]:
    """Memory, disk, and whether results can be written where they go."""
    import psutil

    memory = psutil.virtual_memory()
    short = memory.available < NEEDED_MEMORY
    advice = "close other programs, or other notebooks' kernels: a notebook takes 1 to 2 GB" if short else ""
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB are free"
    return [Finding("memory", found, advice, needed=True), _check_folder(Path(output_dir))]


def _check_folder(folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    found = f"{free / GIB:.1f} GiB are free for {folder}"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        advice = "give an OUTPUT_DIR that you may write to"
        return Finding("disk", f"{folder}: {error.strerror}", advice, needed=True)
    advice = "make room: the course leaves about half a gigabyte" if free < NEEDED_DISK else ""
    return Finding("disk", found, advice, needed=True)


def check_data(dataset: str = "miniature", data_dir: str = "", **how: Any) -> list[Finding]:
    """Which data sets are on the disk; the miniature draws itself.

    Args:
        dataset: What the notebooks will read: a name, or the path of your own captions, which are read.
        data_dir: Where the real data sets are; empty: data/ in the course.
        how: Further arguments of `load_dataset` for your own.
    """
    from utils.datasets import find_dataset

    findings = [] if dataset in DATASETS else [_check_captions(dataset, data_dir, how)]
    for name, advice in DATASETS.items():
        folder = find_dataset(name, data_dir or None)
        found = f"in {_short(folder)}" if folder else "not here"
        findings.append(Finding(f"data: {name}", found, "" if folder else advice))
    return findings


def _check_captions(dataset: str, data_dir: str, how: dict[str, Any]) -> Finding:
    from utils.datasets import DatasetError, load_dataset

    try:
        found = load_dataset(dataset, data_dir or None, **how)
    except (DatasetError, OSError) as error:
        return Finding("data: yours", "cannot be read", str(error), needed=True)
    splits = ", ".join(f"{len(found.split(name))} {name}" for name in found.splits) or "no splits yet"
    return Finding("data: yours", f"{len(found)} images ({splits}), {len(found.categories)} categories")


def _short(path: Path) -> str:
    """A path without what lies above the course or the home, which is nobody's business in a bug report."""
    for top, name in ((find_root(), ""), (Path.home(), "~/")):
        if path.resolve().is_relative_to(top.resolve()):
            return name + path.resolve().relative_to(top.resolve()).as_posix()
    return str(path)


def check_models(model: str = "data/checkpoints/clip-miniature") -> list[Finding]:
    """The small models that come with the course, the one to start from, and those that the Hub keeps for it.

    Args:
        model: A CLIP folder, or a name on the Hub.
    """
    small = find_root() / "data" / "checkpoints"
    names = [path.parent.name for path in sorted(small.glob("*/model.safetensors"))]
    advice = "" if len(names) == 3 else "three come with the course: git checkout data/checkpoints"
    findings = [Finding("models: small", ", ".join(names) or "none", advice, needed=True)]
    return findings + [_check_model(name) for name in dict.fromkeys([model, *HUB_MODELS])]


def _check_model(name: str) -> Finding:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    folder = Path(name).expanduser()
    subject = f"model: {folder.name}"
    if folder.is_dir():
        is_clip = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
        advice = "" if is_clip else "a model folder holds config.json and model.safetensors, as transformers saves it"
        return Finding(subject, f"in {_short(folder)}", advice, needed=True)
    try:
        cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return Finding(subject, "neither a folder nor a Hub name", "give one of them as MODEL", needed=True)
    return Finding(subject, "here" if cached else "not here", "" if cached else "it is fetched when it is asked for")


def check_network() -> list[Finding]:
    """Whether the Hugging Face Hub answers within three seconds."""
    request = urllib.request.Request(HUB, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=3):
            return [Finding("network", f"{HUB} answers")]
    except (OSError, ValueError) as error:
        found = f"{HUB} does not answer ({type(error).__name__})"
    advice = "the miniature needs none; real data and models go by hand where data/README.md says"
    return [Finding("network", found, advice)]


def as_text(findings: Iterable[Finding]) -> str:
    """The findings line by line, versions that are as they should be on one line."""
    findings = list(findings)
    versions = [finding for finding in findings if finding.is_version and not finding.advice]
    lines = [str(finding) for finding in findings if finding not in versions]
    if versions:
        row = ", ".join(f"{finding.subject} {finding.found}" for finding in versions)
        lines.append(textwrap.fill(f"ok       {row}", WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False))
    return "\n".join(lines)


def verdict(findings: Iterable[Finding]) -> str:
    """One sentence on what all findings together mean."""
    lacking = [finding.subject for finding in findings if finding.needed and finding.advice]
    if lacking:
        return f"The course cannot run yet: see {', '.join(lacking)} above."
    return "The course can run on the miniature. What is only noted is for real data, or for more speed."


def main() -> int:
    """Prints everything; the exit status is 0 if the course can run."""
    os.chdir(find_root())
    checks = (check_versions, check_devices, check_room, check_data, check_models, check_network)
    findings = [finding for check in checks for finding in check()]
    print(as_text(findings))
    print(verdict(findings))
    return int(any(finding.needed and finding.advice for finding in findings))


if __name__ == "__main__":
    raise SystemExit(main())
