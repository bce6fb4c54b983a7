"""What is run: the rows of the published table or of a grid, and how each is brought to the scale of a profile.

A grid is a YAML file of your own rows by name, ``make sweep GRID=mine.yaml``. A row is how its run differs, as
parameters of the training notebook, from what the profile gives to all: ``low-rank: {SETTINGS: {lora_rank: 8}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from utils.course import CourseError, check_values, course_notebooks
from utils.course.parameters import declared_values, load_profile, read_sections, read_yaml, resolve_parameters
from utils.course.run import results_folder
from utils.course.values import check_places, is_of_type

TRAINING, EVALUATION = "04_finetune_clip", "05_evaluate_zero_shot"
PUBLISHED = Path("nbs") / "profiles" / "sweep"  # the published rows, and what they share
BACKTRANSLATED = "backtranslated.jsonl"
CATEGORIES = "categories"  # as CAPTIONS_FILE: captions made of the names of categories
OF_ALL_ROWS = ("SEED", "OUTPUT_DIR", "DATASET", "DATA_DIR", "MODEL", "IMAGES_PER_SPLIT")


@dataclass(frozen=True)
class Row:
    """A row of the published table or of a grid, which has neither checkpoint nor figures."""

    name: str  # of its file, or in a grid
    parameters: dict[str, Any]  # how it differs from what is common, as parameters of the training notebook
    checkpoint: str = ""  # which one was published
    scores: dict[int, float] = field(default_factory=dict)  # published score@k by k
    same_as: Row | None = None  # the first row with equal parameters, if it is another: the two are one run

    @property
    def is_trained(self) -> bool:
        """Whether there is anything to train: the baseline has no epochs."""
        return self.parameters.get("EPOCHS") != 0

    @property
    def needs_captions(self) -> bool:
        """Whether it trains on back-translated captions."""
        return self.parameters.get("CAPTIONS_FILE") not in (None, "", CATEGORIES)

    @property
    def scored(self) -> str:
        """Which of the two models of the evaluation notebook is its own, as metrics call it."""
        return "finetuned" if self.is_trained else "baseline"

    @property
    def title(self) -> str:
        """Its name as published, with the checkpoint."""
        return f"{self.name}/{self.checkpoint}" if self.checkpoint else self.name


@dataclass(frozen=True)
class Scale:
    """What a sweep is run with, whatever the row."""

    root: Path  # top of the checkout
    profile: str  # its name
    sections: dict[str, dict[str, Any]]  # parameters of the profile by notebook, with the evaluation's of the sweep
    training: dict[str, Any]  # what rows share as parameters of the training notebook, the profile's scale included
    learning_rate_factor: float  # of published learning rates
    caveat: str  # what a reader of the table must know
    overrides: dict[str, Any]  # from the command line, but for the two below
    settings: dict[str, Any]  # SETTINGS from the command line, which are merged
    captions_file: str  # CAPTIONS_FILE from the command line, if it is a file; it goes to the rows that want one
    grid: Path | None = None  # the file of the rows, if they are not the published ones

    @property
    def output_dir(self) -> str:
        """Where the profile's own course leaves its files, from the top of the checkout."""
        return self.sections["common"]["OUTPUT_DIR"]

    @property
    def folder(self) -> Path:
        """Where the sweep leaves everything, named by profile, data or a model that are not the profile's, and grid."""
        name = Path(self.output_dir).name
        return self.root / "runs" / "sweep" / (f"{name}-{self.grid.stem}" if self.grid else name)


def load_common(root: Path) -> dict[str, Any]:
    """Reads what the rows share, the scales, and the published figures."""
    return read_yaml(root / PUBLISHED / "common.yaml")


def load_rows(scale: Scale, wanted: Iterable[str] = ()) -> list[Row]:
    """Reads all rows or those wanted, of a grid or of the published table, in its order.

    A file that cannot be read, or a wanted row that does not exist, raises a `CourseError`.
    """
    if scale.grid:
        found = [Row(name, parameters) for name, parameters in read_grid(scale.grid).items()]
    else:
        folder, published = scale.root / PUBLISHED, load_common(scale.root)["published"]
        found = [Row(name, read_yaml(folder / f"{name}.yaml"), **known) for name, known in published.items()]
    rows: dict[str, Row] = {}
    first: dict[str, Row] = {}
    for row in found:
        run = json.dumps([training_parameters(scale, row), row.needs_captions, row.is_trained], sort_keys=True)
        rows[row.name] = replace(row, same_as=first.get(run))
        first.setdefault(run, row)
    if unknown := [name for name in wanted if name not in rows]:
        raise CourseError(f"There is no row {', '.join(unknown)}; choose of {', '.join(rows)}.")
    chosen = set(wanted) or set(rows)
    return [row for name, row in rows.items() if name in chosen]


def read_grid(path: Path) -> dict[str, dict[str, Any]]:
    """Reads the rows of a grid by name, in their order; what no grid or row can be raises a `CourseError`."""
    if not path.is_file():
        raise CourseError(f"GRID is {str(path)!r}, and there is no such file; give the path of a .yaml of rows.")
    wanted = "a grid: write the name of a row and a colon, and below it lines NAME: value, moved in by two spaces"
    rows = read_sections(path, wanted)
    if not rows:
        raise CourseError(f"{path} is not {wanted}.")
    for name, parameters in rows.items():
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise CourseError(f"{path}: {name!r} cannot be the name of a row; use letters, digits, '-' and '.' alone.")
        row = f"{path}: the row {name}"
        if of_all := [parameter for parameter in parameters if parameter in OF_ALL_ROWS]:
            raise CourseError(f"{row} sets {of_all[0]}, one for all rows; set it in the profile, with SET= or SEEDS=.")
        if not isinstance(settings := parameters.get("SETTINGS", {}), dict):
            raise CourseError(f"{row} has SETTINGS {settings!r}; it must be a mapping, as {{patience: 2}}.")
        if (file := parameters.get("CAPTIONS_FILE")) not in (None, "", BACKTRANSLATED, CATEGORIES):
            raise CourseError(
                f"{row} sets CAPTIONS_FILE to {file!r}; a row takes {BACKTRANSLATED}, {CATEGORIES} or nothing: name "
                "your own file with SET=."
            )
    return rows


def load_scale(root: Path, profile: str, overrides: dict[str, Any], grid: Path | None = None) -> Scale:
    """Reads what a profile and the command line say; the rows of a grid differ from the profile's own training.

    A `CourseError` says if the sweep has no scale for the profile, or a value cannot be what it is.
    """
    for parameter in ("OUTPUT_DIR", "SEED"):
        if parameter in overrides:
            raise CourseError(f"The sweep sets {parameter} itself; leave it out, and name seeds with SEEDS=.")
    settings, captions_file = overrides.get("SETTINGS", {}), str(overrides.get("CAPTIONS_FILE", ""))
    overrides = {name: value for name, value in overrides.items() if name not in ("SETTINGS", "CAPTIONS_FILE")}
    if not isinstance(settings, dict):
        raise CourseError(f"SETTINGS is {settings!r}; it must be a mapping, as in SET=\"'SETTINGS={{patience: 2}}'\".")
    common, (name, sections) = load_common(root), load_profile(root, profile)
    given = sections.get("common", {})
    if grid:
        for_all, training = common.get("grid", {}), sections.get(TRAINING, {})
        # Captions made of categories are for all rows, paraphrases for those that say so.
        if (captions_file or (given | training).get("CAPTIONS_FILE")) == CATEGORIES:
            training, captions_file = training | {"CAPTIONS_FILE": CATEGORIES}, ""
        caveat = f"The rows are those of {grid.name}; what they leave out is as the profile {name} has it."
        scale: dict[str, Any] = {"caveat": caveat, "training": training}
    elif name in common["scales"]:
        for_all, scale = common, common["scales"][name]
    else:
        raise CourseError(
            f"The sweep has no scale for the profile {name!r}, at which to run the published rows; choose one of "
            f"{', '.join(common['scales'])}, or give your own rows with GRID=."
        )
    declared = declared_values(root / "nbs" / f"{EVALUATION}.ipynb")
    output_dir = {"OUTPUT_DIR": results_folder(root, name, given, overrides)}
    sections["common"] = {parameter: declared[parameter] for parameter in ("DATASET", "MODEL")} | given | output_dir
    sections[EVALUATION] = sections.get(EVALUATION, {}) | for_all.get("evaluation", {})
    return Scale(
        root=root,
        profile=name,
        sections=sections,
        training=merge(for_all.get("training", {}), scale.get("training", {})),
        learning_rate_factor=float(scale.get("learning_rate_factor", 1)),
        caveat=scale["caveat"],
        overrides=overrides,
        settings=settings,
        captions_file=captions_file,
        grid=grid,
    )


def merge(*layers: dict[str, Any]) -> dict[str, Any]:
    """Lays parameters over each other; of SETTINGS each layer replaces only what it names."""
    merged = {name: value for layer in layers for name, value in layer.items() if name != "SETTINGS"}
    settings = {name: value for layer in layers for name, value in layer.get("SETTINGS", {}).items()}
    return merged | ({"SETTINGS": settings} if settings else {})


def training_parameters(scale: Scale, row: Row) -> dict[str, Any]:
    """What the training notebook is given for a row, but for its seed and its folders: the command line wins."""
    own = dict(row.parameters)
    if is_of_type(own.get("LEARNING_RATE"), "float"):  # 120 x 5e-6 is 6e-4, without the dust of floating point
        own["LEARNING_RATE"] = float(f"{own['LEARNING_RATE'] * scale.learning_rate_factor:.6g}")
    merged = merge(scale.training, own, {"SETTINGS": scale.settings})
    return merged | {name: value for name, value in scale.overrides.items() if name in merged}


def run_parameters(scale: Scale, row: Row, seed: int, folder: Path, captions: str = "") -> dict[str, dict[str, Any]]:
    """What each notebook is given for one run, by its stem; captions are the file for a row that wants one.

    A parameter of the row or of the command line that no notebook has raises a `CourseError`.
    """
    own = training_parameters(scale, row)
    own["CAPTIONS_FILE"] = captions or (CATEGORIES if own.get("CAPTIONS_FILE") == CATEGORIES else "")
    place = {"OUTPUT_DIR": folder.relative_to(scale.root).as_posix(), "SEED": seed}
    sections = scale.sections | {"common": scale.sections["common"] | place, TRAINING: own}
    return resolve_parameters(course_notebooks(scale.root), sections, scale.overrides)


def check_rows(scale: Scale, rows: Iterable[Row]) -> None:
    """Refuses rows whose parameters cannot work with a `CourseError`."""
    for row in rows:
        try:
            given = run_parameters(scale, row, 0, scale.folder)
            for stem in (TRAINING, EVALUATION) if row.is_trained else (EVALUATION,):
                check_values(given.get(stem, {}))
                check_places(scale.root, given.get(stem, {}))
        except CourseError as error:
            raise CourseError(f"The row {row.name}: {error}" if scale.grid else str(error)) from None
