"""Puts the newest figures into a page, so that none is copied by hand: ``python -m utils.evaluation docs/results.md``.

They stand between the marks ``<!-- measured: FOLDER -->`` and ``<!-- end -->``.
"""

import argparse
import json
import re
from pathlib import Path

from utils.evaluation.tables import summary_text
from utils.files import write_whole

MEASURED = re.compile(r"(<!-- measured: (?P<folder>[^ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_page(page: str, root: Path) -> str:
    """Fills the marked places of a Markdown page whose folders, relative to ``root``, have an `evaluation.json`."""

    def fill(match: re.Match[str]) -> str:
        file = root / match["folder"] / "evaluation.json"
        if not file.is_file():
            return match.group()
        return f"{match[1]}{summary_text(json.loads(file.read_text(encoding='utf-8')))}\n{match[3]}"

    return MEASURED.sub(fill, page)


def main() -> None:
    """Fills a page from the command line."""
    parser = argparse.ArgumentParser(description="Put the measured figures into a page that marks their places.")
    parser.add_argument("page", type=Path, help="a Markdown file, in the folder that its marks are relative to")
    page = parser.parse_args().page
    write_whole(page, fill_page(page.read_text(encoding="utf-8"), page.parent))


if __name__ == "__main__":
    main()
