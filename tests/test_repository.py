"""What GitHub, editors and pre-commit read of the repository: it parses, and calls what there is."""

import configparser
import json
import os
import re
import subprocess
import tomllib

import pytest
import yaml


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workflows(root) -> dict:
    return {path.name: load(path) for path in sorted((root / ".github" / "workflows").glob("*.yml"))}


@pytest.fixture(scope="module")
def targets(root) -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (root / "Makefile").read_text(), re.MULTILINE))


def test_every_yaml_file_parses(root):
    paths = [*root.glob("*.yml"), *root.glob("*.yaml"), *root.glob(".*.yaml"), root / "CITATION.cff"]
    paths += sorted((root / ".github").rglob("*.y*ml"))
    assert len(paths) >= 7
    for path in paths:
        assert isinstance(load(path), dict), path


def test_workflows_call_only_targets_that_exist(workflows, targets):
    steps = [step for flow in workflows.values() for job in flow["jobs"].values() for step in job["steps"]]
    called = re.findall(r"\bmake ([\w-]+)", "\n".join(step.get("run", "") for step in steps))
    assert {"lint", "test", "course"} <= set(called) <= targets


def test_publishing_the_site_may_write_pages_and_nothing_else(workflows):
    for name, flow in workflows.items():
        assert flow["permissions"] == {"contents": "read"}, name
        wider = {job: given["permissions"] for job, given in flow["jobs"].items() if "permissions" in given}
        assert wider == ({"publish": {"pages": "write", "id-token": "write"}} if name == "site.yml" else {})
    publish = workflows["site.yml"]["jobs"]["publish"]
    assert publish["if"] == "github.event_name == 'push'" and publish["needs"] == "build"
    assert not [step for step in publish["steps"] if "run" in step]  # nothing of a pull request runs with those rights


def test_the_matrix_has_every_python_of_the_course_and_only_a_newer_jax_may_fail(root, workflows):
    job = workflows["ci.yml"]["jobs"]["course"]
    matrix, extra = job["strategy"]["matrix"], job["strategy"]["matrix"]["include"]
    asked = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
    lowest, beyond = (int(number) for number in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", asked).groups())
    assert matrix["python"] == [f"3.{minor}" for minor in range(lowest, beyond)]
    assert {row["python"] for row in extra} <= set(matrix["python"])
    assert job["continue-on-error"] == "${{ matrix.jax == 'newest' }}" and matrix["jax"] == ["pinned"]


def test_a_checkout_is_the_same_on_every_system(root):
    """Windows' git writes other line ends unless told not to, and its disks tell no capitals apart."""
    told = subprocess.run(["git", "ls-files", "--eol"], cwd=root, capture_output=True, text=True, check=True).stdout
    names = []
    for line in told.splitlines():
        (stored, _, *rule), name = line.partition("\t")[0].split(), line.partition("\t")[2]
        assert stored in ("i/lf", "i/none", "i/-text"), f"{name} has line ends of Windows"
        assert "eol=lf" in rule or "-text" in rule[0], f"{name}: no rule of .gitattributes holds its line ends"
        names.append(name)
    assert len({name.lower() for name in names}) == len(names)
    reserved = re.compile(r"(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.|/|$)|[<>:\"|?*\\]|[. ](/|$)", re.IGNORECASE)
    assert not [name for name in names if reserved.search(name)]
    assert max(map(len, names)) < 100  # below C:/Users/some.student/Documents/ all is still short


def test_pre_commit_runs_what_ci_runs_and_fetches_nothing(root, targets):
    (source,) = load(root / ".pre-commit-config.yaml")["repos"]
    (hook,) = source["hooks"]
    assert source["repo"] == "local" and hook["language"] == "system" and not hook["pass_filenames"]
    assert hook["entry"].removeprefix("make ") in targets
    for name in ("utils/check.py", "nbs/template.ipynb", "pyproject.toml"):
        assert re.search(hook["files"], name)


def test_forms_for_issues_have_what_github_asks_for(root):
    forms = {path.stem: load(path) for path in (root / ".github" / "ISSUE_TEMPLATE").glob("*.yml")}
    assert forms.keys() == {"bug", "feature", "question"}
    for name, form in forms.items():
        assert form["name"] and form["description"], name
        fields = [field["id"] for field in form["body"]]
        assert len(fields) == len(set(fields)) and all(field["attributes"]["label"] for field in form["body"])
    assert any("make check" in field["attributes"]["label"] for field in forms["bug"]["body"])


def test_editors_are_told_what_ruff_holds(root):
    editor = configparser.ConfigParser()
    editor.read_string("[top]\n" + (root / ".editorconfig").read_text())
    ruff = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["ruff"]
    assert editor["*.py"]["max_line_length"] == str(ruff["line-length"])
    assert editor["Makefile"]["indent_style"] == "tab"


def test_every_path_that_contributing_names_exists(root):
    page = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:utils|data|nbs|tests)/[\w./-]+)`", page.replace("nbs/NN_verb_object.ipynb", ""))
    assert len(paths) > 20
    assert [path for path in paths if not (root / path).exists()] == []


# Each reads well to whoever wrote it; CONTRIBUTING says which word to use. British spellings are codespell's.
STUMBLED_OVER = re.compile(r"\bMind:|\banew\b|\bgiven away\b|\bstrangers\b|\bone's own\b|\btold_apart\b", re.IGNORECASE)


def prose_and_code(root) -> dict[str, str]:
    """What the repository says, by file; of a notebook its cells, not their outputs."""
    files = [*root.glob("*.md"), *root.glob("nbs/*.md"), *root.glob("data/*.md"), *root.glob("docs/*.md")]
    files += [path for folder in ("utils", "data/standins") for path in (root / folder).rglob("*.py")]
    texts = {str(path): path.read_text(encoding="utf-8") for path in files}
    for path in (root / "nbs").rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts[str(path)] = "\n".join("".join(cell["source"]) for cell in cells)
    return texts


def test_words_that_readers_stumbled_over_are_gone(root):
    found = {
        (name, line.strip())
        for name, text in prose_and_code(root).items()
        for line in text.splitlines()
        if STUMBLED_OVER.search(line) and not line.startswith("| donated |")
    }
    assert not found


def test_make_hands_the_data_set_on_beside_other_settings(root):
    named = ["DATASET=my pictures/d-{0..3}.tar", "SET=EPOCHS=3 RENAME='{a: b}'"]
    command = ["make", "--no-print-directory", "-n", "course", *named]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert said.rstrip().endswith("--set EPOCHS=3 RENAME='{a: b}' \"DATASET=my pictures/d-{0..3}.tar\"")


def test_other_doors_install_the_same_pins_with_a_torch_for_cpus(root, targets):
    docker, binder = ((root / name).read_text() for name in ("Dockerfile", ".binder/postBuild"))
    for text in (docker, binder):
        text = " ".join(text.replace("\\\n", " ").split())
        assert '--torch-backend cpu --constraint requirements.txt --editable ".[lab,demo]"' in text
    codespace = json.loads((root / ".devcontainer" / "devcontainer.json").read_text())
    assert re.fullmatch(r"make (\w+) TORCH=cpu", codespace["postCreateCommand"])[1] in targets
    assert (root / ".binder" / "postBuild").stat().st_mode & 0o111
    # torch's own pins bring CUDA where its build wants it, so a build without it is not given it.
    assert not re.search(r"^(nvidia|cuda|triton)", (root / "requirements.txt").read_text(), re.MULTILINE)


def test_the_container_has_no_root_and_writes_results_alone(root):
    stage = (root / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER student$", stage, re.MULTILINE) and "VOLUME /course/runs" in stage
    assert "HEALTHCHECK" in stage and "chown" not in stage.replace("--owner student /course/runs", "")
    ignored = (root / ".dockerignore").read_text().split()
    assert {".git", ".venv", "runs", "data/*"} <= set(ignored)
    assert [name for name in ignored if name.startswith("!")] == [
        "!data/README.md",
        "!data/checkpoints",
        "!data/standins",
    ]


def test_make_lab_hands_on_arguments_and_lets_root_in(root):
    command = ["make", "--no-print-directory", "-n", "lab", "ARGS=--port 8900"]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True).stdout
    assert shown.rstrip().endswith("--port 8900") and ("--allow-root" in shown) == (os.getuid() == 0)


def test_make_installs_a_torch_for_cpus_where_it_is_asked_for(root, tmp_path):
    for name in ("Makefile", "requirements.txt"):
        (tmp_path / name).write_text((root / name).read_text())
    for asked, backends in ([], 0), (["TORCH=cpu"], 1):
        command = ["make", "-n", ".venv/ready", *asked]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert shown.count("--torch-backend cpu") == backends and shown.count("-r requirements.txt") == 1


def test_windows_runs_what_make_does(root, workflows):
    steps = "\n".join(step.get("run", "") for step in workflows["ci.yml"]["jobs"]["windows"]["steps"])
    makefile = (root / "Makefile").read_text()
    for module in re.findall(r"-m (utils[\w.]*)", steps):
        assert f"-m {module}" in makefile
    installed = re.findall(r"-m pip install --quiet (.*)", steps)
    for options in installed:
        assert options in makefile.replace(" --disable-pip-version-check", "")
    section = (
        (root / "docs" / "machines.md").read_text(encoding="utf-8").partition("## Windows")[2].partition("\n## ")[0]
    )
    assert re.findall(r"-m pip install (.*)", section) == installed
    told = set(re.findall(r"\| `(utils[\w.]*)", section))
    assert len(told) > 8 and all(f"-m {module}" in makefile for module in told)
    assert set(re.findall(r"\$\(RUN\) -m (utils[\w.]*)", makefile)) - told == {"utils.evaluation"}  # for maintainers
    assert workflows["ci.yml"]["jobs"]["windows"]["defaults"]["run"]["shell"] == "powershell"
