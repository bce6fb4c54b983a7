"""Runs the course: every notebook under papermill with one profile's parameters, results in one folder.

``python -m utils.course`` is what ``make course`` calls. Notebooks use what is small in here: `record` notes a
metric in the notebook's own output, `check_values` refuses parameters that cannot work, `output_folder` says where
results go, and `LeftOut` is raised where the data give a notebook nothing to work on. Nothing in here ever imports
JAX: the kernels do, and on a TPU only one process may.
"""

from utils.course.errors import CourseError, LeftOut
from utils.course.execution import Outcome, drop_widgets, refresh_notebooks, run_in_order
from utils.course.ledger import Ledger
from utils.course.metrics import METRIC_MIME, read_metrics, record
from utils.course.parameters import (
    declared_values,
    load_profile,
    notebook_parameters,
    parse_overrides,
    profile_name,
    read_yaml,
    resolve_parameters,
)
from utils.course.places import course_notebooks, find_root, output_file, output_folder
from utils.course.reports import zero_shot_table
from utils.course.run import Plan, plan_course, results_folder, run_course
from utils.course.values import check_places, check_values, few_steps_warning

__all__ = [
    "METRIC_MIME",
    "CourseError",
    "Ledger",
    "LeftOut",
    "Outcome",
    "Plan",
    "check_places",
    "check_values",
    "course_notebooks",
    "declared_values",
    "drop_widgets",
    "few_steps_warning",
    "find_root",
    "load_profile",
    "notebook_parameters",
    "output_file",
    "output_folder",
    "parse_overrides",
    "plan_course",
    "profile_name",
    "read_metrics",
    "read_yaml",
    "record",
    "refresh_notebooks",
    "resolve_parameters",
    "results_folder",
    "run_course",
    "run_in_order",
    "zero_shot_table",
]
