"""How Sphinx builds the site from what `tests/tools/build_site.py` has laid out: ``make site``.

Nothing is executed, and no page asks another host for a script, a font or an image.
"""

import sys
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "data")]  # the docstrings of this checkout, whichever is installed

_project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
project = "CLIP for the Earth from above"
author = "The authors of the CLIP Earth course"
release = version = _project["version"]
copyright = f"{author}, Apache-2.0"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design"]
suppress_warnings = [
    "misc.highlighting_failure",  # a line of IPython's own, such as %pip, is not Python
    "ref.python",  # two modules may have an alias of one name
    "mystnb.unknown_mime_type",  # metrics that notebooks record are for programs
]

nb_execution_mode = "off"  # the outputs that are committed
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4  # as GitHub makes them
myst_links_external_new_tab = False

default_role = "py:obj"  # `name` in a docstring is a link wherever that name is documented
autodoc_typehints = "signature"
autodoc_preserve_defaults = True  # as written, not where the checkout lies on this machine
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries = False  # a reference page lists modules beside it, not hundreds of names

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_search_scorer = str(ROOT / "docs" / "search_order.js")  # Sphinx looks for it where the pages are
html_favicon = "_static/favicon.svg"
html_show_copyright = html_show_sphinx = False
html_last_updated_fmt = None
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}  # dark or light as the reader's system is, until another is clicked
html_theme_options = {
    "repository_url": _project["urls"]["Repository"],
    "repository_branch": f"v{version}",
    "path_to_docs": "",
    "use_repository_button": True,
    "use_issues_button": True,
    "use_fullscreen_button": False,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "navbar_start": [],  # what stands there by default stands beside the page, too
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def as_mathml(translator, node) -> None:
    """Writes a formula as MathML, which browsers show themselves: no script, no font."""
    block = isinstance(node, nodes.math_block)
    applied = "<mo>&ApplyFunction;</mo>"  # invisible, and without the thin space of TeX: log B, not logB
    formula = tex2mathml(node.astext(), as_block=block)
    translator.body.append(formula.replace(applied, f'{applied}<mspace width="0.1667em"></mspace>'))
    raise nodes.SkipNode


def mark_code(app, what, name, obj, options, lines: list[str]) -> None:
    """Makes of an indented block in a docstring what its author meant: code, which wants ``::`` before it."""
    depth = 0  # of the last line that says anything
    for number in range(len(lines)):
        here = len(lines[number]) - len(lines[number].lstrip())
        if not lines[number].strip():
            continue
        if here >= depth + 4 and number > 1 and not lines[number - 1].strip():
            lines[number - 1] = "\n".join(["", " " * depth + "::", ""])
        depth = here
    lines[:] = "\n".join(lines).split("\n")


def setup(app) -> None:
    """Registers the two above; the second one before napoleon reads the docstrings."""
    app.add_html_math_renderer("mathml", (as_mathml, None), (as_mathml, None))
    app.connect("autodoc-process-docstring", mark_code, priority=100)
