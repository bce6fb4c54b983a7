"""Runs the course: every notebook under papermill with one profile's parameters, results in one folder.

Notebooks use what this page hands on: `record` notes a metric in the notebook's own output, `check_values` refuses
parameters that cannot work, `output_folder` says where results go, and `LeftOut` is raised where the data give a
notebook nothing to work on. The rest runs them, and they do not stand on it: ``python -m utils.course``, which is
``make course``, begins in `run`. Nothing in here ever imports JAX: the kernels do, and on a TPU only one process may.
"""

from utils.course.errors import CourseError, LeftOut
from utils.course.metrics import record
from utils.course.places import course_notebooks, find_root, output_file, output_folder
from utils.course.values import check_values, few_steps_warning
