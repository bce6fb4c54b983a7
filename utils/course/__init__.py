"""Runs the course: every notebook under papermill with one profile's parameters, results in one folder.

Notebooks use what this page hands on: `check_values` refuses parameters that cannot work, `record` notes a metric in
the notebook's own output, `try_answer` checks exercises, `output_folder` says where results go, and `LeftOut` is raised
where the data give a notebook nothing to work on; `utils.course.splits` opens data as a notebook's parameters say. The
rest runs them, and they do not stand on it: ``python -m utils.course``, which is ``make course``, begins in `run`.
Nothing in here ever imports JAX: the kernels do, and on a TPU only one process may.
"""

from utils.course.exercises import try_answer
from utils.course.metrics import record
from utils.course.places import CourseError, LeftOut, course_notebooks, find_root, output_file, output_folder
from utils.course.values import check_values, few_steps_warning
