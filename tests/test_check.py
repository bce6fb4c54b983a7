"""`make check`: what it says when something is missing, and that it says nothing false when all is there."""

import importlib
import importlib.metadata
import re
import sys
from types import SimpleNamespace

import pytest

from utils import check
from utils.check import (
    Check,
    as_text,
    check_data,
    check_devices,
    check_memory_and_disk,
    check_models,
    check_network,
    check_versions,
    verdict,
)


@pytest.fixture(autouse=True)
def at_the_top(root, monkeypatch):
    monkeypatch.chdir(root)


def missing(checks):
    return [check.subject for check in checks if check.is_missing]


def test_this_environment_has_what_the_course_needs():
    assert missing([*check_versions(), *check_data(), *check_models()]) == []


def test_a_package_out_of_range_or_absent_is_named_with_the_way_out(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "nmslib":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.4.1" if name == "jax" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    checks = {check.subject: check for check in check_versions()}
    assert missing(checks.values()) == ["jax", "nmslib"]
    assert "0.4.1" in str(checks["jax"]) and "jax<0.13,>=0.7" in checks["jax"].advice
    assert "not installed" in str(checks["nmslib"])
    assert verdict(checks.values()) == "The course cannot run yet: see jax, nmslib above."


@pytest.mark.parametrize(("jaxlib", "slow"), [("0.10.1", False), ("0.10.2", True), ("0.11.0", True), ("0.11.1", False)])
def test_a_jax_that_is_slow_on_gpus_is_told_where_one_is(monkeypatch, jaxlib, slow):
    gpu = SimpleNamespace(platform="gpu", device_kind="a GPU")
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=lambda: [gpu]))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: jaxlib)
    devices = check_devices()[-1]
    assert devices.found == "1 x gpu (a GPU)" and bool(devices.advice) == slow and not devices.needed
    assert not slow or check.FOR_GPUS in devices.advice


def test_a_gpu_that_jax_does_not_see_is_told_and_on_windows_that_there_is_no_jax_for_it(monkeypatch):
    cpu = SimpleNamespace(platform="cpu", device_kind="cpu")
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=lambda: [cpu]))
    monkeypatch.setattr(check.shutil, "which", lambda name: name)
    for system, advice in ("Linux", f'-m pip install "{check.FOR_GPUS}"'), ("Windows", "in WSL there is"):
        monkeypatch.setattr(check.platform, "system", lambda system=system: system)
        assert check_devices()[-1].advice.count(advice) == 1


def test_advice_names_the_python_that_runs_and_quotes_as_every_shell_does(monkeypatch, tmp_path, root):
    monkeypatch.setattr(sys, "executable", str(root / ".venv" / "Scripts" / "python.exe"))
    assert check._install("hnswlib").replace("\\", "/") == ".venv/Scripts/python.exe -m pip install hnswlib"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert check._install("gradio>=6,<7") == 'python -m pip install "gradio>=6,<7"'


def test_a_jax_that_does_not_start_is_told(monkeypatch):
    def refuse_devices():
        raise RuntimeError("jaxlib version 0.11.0 is newer than and incompatible with jax version 0.10.2.")

    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=refuse_devices))
    devices = check_devices()[-1]
    assert devices.needed and "incompatible" in devices.advice


COMMANDS = {
    "utils.course.__main__": [],
    "utils.course.sweep.__main__": ["--rows", "baseline"],
    "utils.demo.__main__": [],
    "utils.clip.convert": ["data/checkpoints/clip-miniature", "--to", "never"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_first_what_keeps_jax_from_starting(command, monkeypatch, capsys):
    module = importlib.import_module(command)
    monkeypatch.setattr(module, "jax_trouble", lambda: "JAX does not start with A=b: why; unset A.")
    assert module.main(COMMANDS[command]) == 2
    assert re.fullmatch(r"make \w+: JAX does not start with A=b: why; unset A.\n", capsys.readouterr().err)


def test_the_check_says_it_too(monkeypatch):
    monkeypatch.setattr(check, "jax_trouble", lambda: "JAX does not start with A=b: why; unset A.")
    devices = check_devices()[-1]
    assert devices.is_missing and devices.advice == "JAX does not start with A=b: why; unset A."


def test_the_page_of_machines_names_the_same_jax_for_gpus(root):
    page = (root / "docs" / "machines.md").read_text()
    assert f'"{check.FOR_GPUS}"' in page and "jax[cuda13]==0.10.2" not in page


def test_no_network_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(check, "HUB", "http://127.0.0.1:9")
    (network,) = check_network()
    assert "does not answer" in network.found and network.advice and not network.needed
    assert verdict([network]).startswith("The course can run")


def test_little_memory_and_a_folder_that_takes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(check, "NEEDED_MEMORY", 2**60)
    monkeypatch.setattr(check.tempfile, "TemporaryFile", refuse)
    assert missing(check_memory_and_disk(str(tmp_path / "runs"))) == ["memory", "disk"]
    assert not (tmp_path / "runs").exists()  # it only looks


def refuse(**options):
    raise PermissionError(13, "Permission denied")


def test_own_captions_are_read_and_a_wrong_path_is_told(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("filename,caption,category\na.png,a field,field\n")
    mine = check_data(str(tmp_path / "captions.csv"))[0]
    assert mine.found == "1 images (no splits yet), 1 categories" and not mine.advice
    wrong = check_data(str(tmp_path / "nothing.csv"))[0]
    assert wrong.needed and "nothing.csv" in wrong.advice


@pytest.mark.parametrize("name", ["no/such/folder/here", "/nowhere at all"])
def test_a_model_that_is_neither_folder_nor_hub_name(name):
    assert missing(check_models(name)) == [f"model: {name.rpartition('/')[2]}"]


def test_an_empty_model_folder_is_told(tmp_path):
    assert missing(check_models(str(tmp_path))) == [f"model: {tmp_path.name}"]


def test_a_check_reads_as_a_line_with_its_advice_below():
    text = as_text([Check("disk", "full", "make room", needed=True), Check("jax", "0.10", is_version=True)])
    assert text.splitlines() == [
        "MISSING  disk                         full",
        "         -> make room",
        "ok       jax 0.10",
    ]
