"""Names the notebooks that `make course` has not run as they are now: ``python tests/tools/stale_notebooks.py``."""

from pathlib import Path

from utils.course.ledger import Ledger
from utils.course.places import course_notebooks
from utils.course.run import plan_course

ROOT = Path(__file__).resolve().parents[2]


def stale_notebooks(root: Path = ROOT) -> list[Path]:
    """Of all in nbs/, those without an executed copy of the default run that a run would give now as well."""
    plan = plan_course(root, "miniature", {})
    ledger = Ledger(root, plan.output_dir, plan.parameters)
    stale = [path for path in course_notebooks(root) if not ledger.is_current(path)]
    return sorted([root / "nbs" / "template.ipynb", *stale])


if __name__ == "__main__":
    print(*(path.relative_to(ROOT) for path in stale_notebooks()))
