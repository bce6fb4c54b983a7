"""A run of the course: every notebook with one profile's parameters, results and reports in one folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.course import results
from utils.course.execution import LEFT_OUT, Outcome, run_notebooks
from utils.course.ledger import Ledger
from utils.course.metrics import read_metrics
from utils.course.parameters import load_profile, notebook_parameters, resolve_parameters
from utils.course.places import CourseError, course_notebooks
from utils.course.values import check_places, check_values
from utils.files import disk_trouble_in_words, from_home, read_json, sole_owner, write_whole
from utils.files.hub import WEIGHT_SUFFIXES
from utils.files.provenance import PROVENANCE, versions

EVALUATION = Path("evaluation") / "evaluation.json"
KS = (1, 3, 5, 10)


@dataclass(frozen=True)
class Plan:
    """What a run will do, checked before anything starts: parameters are what each notebook is given, by its stem."""

    profile: str
    output_dir: Path
    parameters: dict[str, dict[str, Any]]


def plan_course(root: Path, profile: str, overrides: dict[str, Any]) -> Plan:
    """Decides parameters and folder of a run, by a profile and overrides; what cannot work raises a `CourseError`."""
    name, sections = load_profile(root, profile)
    notebooks = course_notebooks(root)
    resolve_parameters(notebooks, sections, overrides)  # refuses names and types before they name a folder
    folder = results_folder(root, name, sections.get("common", {}), overrides)
    results.check_results_folder(root, root / folder)
    if any("OUTPUT_DIR" in notebook_parameters(path) for path in notebooks):
        overrides = {**overrides, "OUTPUT_DIR": folder}
    parameters = resolve_parameters(notebooks, sections, overrides)
    for values in parameters.values():
        check_values(values)
        check_places(root, values)
    for model in sorted({str(values.get("MODEL", "")) for values in parameters.values()}):
        _check_model(root, model)
    return Plan(name, root / folder, parameters)


def _check_model(root: Path, model: str) -> None:
    """Refuses with a `CourseError` a file of weights, or a folder of another program, that would not load later.

    It says too little, as of its activation, or holds another model. What transformers wrote is left to those who
    load it.
    """
    place = root / from_home(model)
    if not model or not place.exists() or (place / "config.json").is_file():
        return
    from utils.clip.forms import open_checkpoint

    try:
        open_checkpoint(place)
    except (OSError, ValueError) as error:
        raise CourseError(f"MODEL is {model!r}: {error}") from error


def results_folder(root: Path, name: str, common: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """Where a run of the profile ``name`` leaves everything: a path from the top of the checkout, or an absolute one.

    Data or a model from the command line (``overrides``) that are not the profile's (``common``) get a folder of their
    own; an OUTPUT_DIR from there is taken as it is, ``~`` the home folder.
    """
    if "OUTPUT_DIR" in overrides:
        return str(from_home(overrides["OUTPUT_DIR"]))
    folder = str(from_home(common.get("OUTPUT_DIR", f"runs/{name}")))
    for parameter in ("DATASET", "MODEL"):
        ours, theirs = (str(values.get(parameter, "")) for values in (overrides, common))
        if ours and root / ours != root / theirs:
            path = Path(ours)  # pictures/captions.csv is called pictures
            short = path.name
            if parameter == "DATASET" and path.suffix:
                short = path.parent.name or path.stem
            elif path.suffix in WEIGHT_SUFFIXES:
                short = path.stem
            folder += "-" + re.sub(r"[^\w.-]+", "-", short)
    return folder


def run_course(
    root: Path, profile: str, overrides: dict[str, Any], only: str = "", fresh: bool = False
) -> list[Outcome]:
    """Runs the notebooks, writes what they gave, and returns how each ended, failures last.

    The profile is a name or a path, and overrides replace its parameters. With ``only`` those notebooks are run whose
    name begins so ('04'); ``fresh`` first deletes what earlier runs have left in the folder, trained models included.

    Raises:
        CourseError: If profile, parameters, folder or selection cannot work; nothing has run then.
        FolderInUseError: If another run is at work in the folder.
        OSError: If the disk takes no more; what was written before is whole.
    """
    plan = plan_course(root, profile, overrides)
    notebooks, folder = course_notebooks(root), plan.output_dir
    if not any(path.name.startswith(only) for path in notebooks):
        raise CourseError(f"No notebook begins with {only!r}; there are {', '.join(p.stem for p in notebooks)}.")
    if fresh and only:
        raise CourseError("FRESH=1 begins the whole run again and NB= runs one notebook of it; give one of them.")
    if fresh and not results.is_of_a_run(root, folder):
        raise CourseError(
            f"FRESH=1 deletes what runs of the course have left, and none has left its stamp in {folder}; leave "
            "FRESH out, or name another OUTPUT_DIR."
        )
    with disk_trouble_in_words(folder), sole_owner(folder, "running the course"):
        if fresh and (gone := results.delete_results(root, folder)):
            print(f"Deleted, to begin again, from {folder}: {', '.join(gone)}.", flush=True)
        results.claim_folder(folder)
        outcomes = run_notebooks(root, notebooks, plan.parameters, folder, only)
        ran = {outcome.stem for outcome in outcomes}
        outdated = [stem for stem in Ledger(root, folder, plan.parameters).outdated(notebooks) if stem not in ran]
        write_reports(plan, outcomes, outdated)
    return outcomes


def write_reports(plan: Plan, outcomes: list[Outcome], outdated: list[str]) -> None:
    """Writes metrics.json, parameters.json and summary.md beside the executed notebooks.

    Noted are the parameters of the notebooks that ran, and the metrics of all whose stem is not among the outdated.
    """
    folder = plan.output_dir
    copies = [path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")) if path.stem not in outdated]
    metrics = {path.stem: values for path in copies if (values := read_metrics(path))}
    content: dict[str, Any] = metrics | {PROVENANCE: _provenance(folder)}
    write_whole(folder / results.METRICS, json.dumps(content, indent=2) + "\n")
    noted = read_json(folder / results.PARAMETERS).get("parameters", {})
    noted |= {outcome.stem: plan.parameters[outcome.stem] for outcome in outcomes}
    content = {"made_by": results.MADE_BY, "profile": plan.profile, "parameters": dict(sorted(noted.items()))}
    write_whole(folder / results.PARAMETERS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    lines = [f"# The course, profile {plan.profile}", "", "| notebook | status | seconds |", "|---|---|---|"]
    lines += [f"| [{o.stem}]({o.stem}.html) | {o.status} | {o.seconds:.0f} |" for o in outcomes]
    lines += [f"\n{o.stem} was left out: {o.error}" for o in outcomes if o.status == LEFT_OUT]
    if outdated:
        lines += [f"\nNot in here, for they are of an earlier run: {', '.join(outdated)}; `make course` mends that."]
    if table := zero_shot_table(metrics, read_json(folder / EVALUATION)):
        lines += ["", "## Zero-shot, test split", "", table]
    write_whole(folder / results.SUMMARY, "\n".join(lines) + "\n")


def _provenance(output_dir: Path) -> dict[str, Any]:
    """The versions here, and of the training, if there was one, its device, data and starting model."""
    # The short one, which 05 to 08 may have made, comes second.
    runs = sorted(output_dir.glob("finetuned*/run.json"))
    noted = next(filter(None, (read_json(run).get(PROVENANCE) for run in runs)), None)
    of_training = {name: noted[-1][name] for name in ("device", "data", "model")} if noted else {}
    return {"versions": versions(), **of_training}


def zero_shot_table(metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """Scores of an ``evaluation.json`` at k = 1, 3, 5, 10, as Markdown; empty if this run did not evaluate."""
    if "05_evaluate_zero_shot" not in metrics or not evaluation.get("zero_shot"):
        return ""
    of = evaluation["zero_shot"][evaluation.get("prompt", "documents")]
    rows = ["| model | k=1 | k=3 | k=5 | k=10 |", "|---|---|---|---|---|"]
    for name, by_k in of["scores"].items():
        figures = [by_k[str(k)] for k in KS]
        cells = [f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" for figure in figures]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", f'Prompt "{of["templates"][0]}"; in brackets: {evaluation["intervals"]}.'])
