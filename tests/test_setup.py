"""The set-up: one source of truth for versions, light imports, a README that names what exists."""

import importlib.metadata
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from look_at_lab import exported_by_make
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def pins(root) -> dict[str, str]:
    """The pins of Linux, and of those that no system takes but Windows."""
    return pins_of(root, "win32") | pins_of(root, "linux")


def pins_of(root, system: str) -> dict[str, str]:
    lines = map(Requirement, (root / "requirements.txt").read_text().splitlines())
    return {line.name: str(line.specifier)[2:] for line in lines if taken(line, system)}


def taken(requirement: Requirement, system: str) -> bool:
    return not requirement.marker or requirement.marker.evaluate({"sys_platform": system})


@pytest.fixture(scope="module")
def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def test_requirements_are_pins_without_addresses(root, pins):
    text = (root / "requirements.txt").read_text()
    assert "://" not in text and "--index" not in text
    assert all(re.fullmatch(r"[\w.+!]+", version) for version in pins.values())


@pytest.mark.parametrize("system", ["linux", "win32"])
def test_every_dependency_is_pinned_within_its_range(root, project, system):
    extras, pins = project["optional-dependencies"], pins_of(root, system)
    for requirement in map(Requirement, [*project["dependencies"], *extras["lab"], *extras["test"]]):
        if taken(requirement, system):
            assert requirement.specifier.contains(pins[requirement.name]), requirement


def test_what_is_installed_fits_the_paths_of_windows(project):
    """Windows takes 260 characters as it comes, and only an administrator can allow more."""
    long = set()
    for one in importlib.metadata.distributions():
        for line in (one.read_text("RECORD") or "").splitlines():
            if len(line.split(",")[0]) > 150:
                long.add(one.name)
    assert long <= {"orbax_checkpoint", "orbax-checkpoint"}
    (orbax,) = [one for one in map(Requirement, project["dependencies"]) if "orbax" in one.name and taken(one, "win32")]
    assert orbax.specifier.contains("0.11.32") and not orbax.specifier.contains("0.11.34")  # the first with such paths


def test_ranges_admit_colab(project):
    wanted = [one for one in map(Requirement, project["dependencies"]) if taken(one, "linux")]
    ranges = {one.name: one.specifier for one in wanted}
    colab = {"jax": "0.7.2", "optax": "0.2.8", "orbax-checkpoint": "0.12.0", "numpy": "2.1.0", "transformers": "5.15.0"}
    assert {name: ranges[name].contains(version) for name, version in colab.items()} == dict.fromkeys(colab, True)


def test_conda_environment_takes_the_same_pins(root):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert {entry.split("=")[0] for entry in plain} == {"python", "pip"}
    (from_pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert from_pip == ["-r requirements.txt", "-e ."]


def test_pip_takes_what_conda_hands_to_it(root, tmp_path):
    """conda writes the list into a requirements file, where not every option of the command line is allowed."""
    dependencies = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    (from_pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    shutil.copy(root / "requirements.txt", tmp_path)
    (tmp_path / "from_conda.txt").write_text("\n".join(from_pip))
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "-r", str(tmp_path / "from_conda.txt")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)  # conda calls pip beside environment.yml
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("already satisfied") > 100
    assert "Would install clip-earth-course" in done.stdout


def test_the_time_of_the_course_is_one(root):
    times = re.compile(r"\d+ to \d+ minutes")
    help_text = re.search(r"^course:.*## (.*)$", (root / "Makefile").read_text(), re.MULTILINE)[1]
    (told,) = [line for line in (root / "README.md").read_text().splitlines() if "`make course` then takes" in line]
    assert times.search(help_text)[0] == times.search(told)[0]


def test_no_table_of_the_documents_swallows_a_paragraph(root):
    """In Markdown a table goes on until an empty line or another block."""
    for path in (*root.glob("*.md"), root / "data" / "README.md", *(root / "docs").glob("*.md")):
        lines = path.read_text().splitlines()
        for row, after in itertools.pairwise(lines):
            if row.startswith("|"):
                assert not after.strip() or after.startswith(("|", "<!--")), f"{path.name}: {after}"


@pytest.mark.parametrize(
    "module", ["utils", "utils.datasets", "standins.scenes", "utils.evaluation", "utils.search", "utils.finder",
               "utils.course", "utils.plots", "utils.course.sweep.__main__"]
)  # fmt: skip
def test_import_is_light(module):
    code = f"import sys, {module}; print([m for m in ('torch', 'jax', 'nmslib', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_package_imports_its_own_command(root):
    """``python -m`` would run a second copy of it, after a warning of Python's."""
    commands: dict[str, list[str]] = {}
    for top in (root, root / "data"):
        for path in sorted([*top.glob("utils/**/*.py"), *top.glob("standins/**/*.py")]):
            if path.stem != "__main__" and '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
                parts = path.relative_to(top).with_suffix("").parts
                commands.setdefault(".".join(parts[:-1]), []).append(".".join(parts))
    assert "utils.search.to_milvus" in commands["utils.search"]
    for package, modules in commands.items():
        code = f"import sys, {package}; print([module for module in {modules} if module in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", package


def test_logging_is_left_to_the_program(root, tmp_path):
    """Which may import all of the course first."""
    log = tmp_path / "log.txt"
    rooms = [f"utils.{path.name}" for path in (root / "utils").iterdir() if (path / "__init__.py").is_file()]
    code = f"""
import importlib, logging
for room in {rooms}:
    importlib.import_module(room)
logging.basicConfig(filename={str(log)!r}, level="INFO", format="%(message)s")
logging.info("heard")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "heard" in log.read_text().splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of Linux's C library")
def test_make_keeps_the_work_space_of_a_step(root):
    settings = exported_by_make(root, "GLIBC_TUNABLES")
    code = """
import resource, jax, jax.numpy as jnp
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
multiply = jax.jit(lambda x: ((x @ x.T) @ x).sum())  # 144 MB between the two products
x = jnp.ones((6000, 100))
for _ in range(3):
    multiply(x).block_until_ready()
counts = []
for _ in range(8):
    before = faults()
    multiply(x).block_until_ready()
    counts.append(faults() - before)
print(min(counts))  # a busy system takes pages back now and then
"""
    environment = {**os.environ, "GLIBC_TUNABLES": settings, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 150  # large pages alone leave 470 a call, small ones 35,000
