"""The notebooks' form: what every one of them keeps to, so that a reader of one can read them all."""

import ast
import inspect
import itertools
import re
from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np
import pytest
from flax import nnx
from release import current
from stale_notebooks import stale_notebooks

from utils.course import course_notebooks, try_answer
from utils.course.metrics import read_metrics
from utils.course.parameters import load_profile, resolve_parameters
from utils.course.splits import open_splits

ROOT = Path(__file__).resolve().parents[1]
COURSE = course_notebooks(ROOT)
SOLUTIONS = sorted((ROOT / "nbs" / "solutions").glob("*.ipynb"))
TEMPLATE = ROOT / "nbs" / "template.ipynb"
GLOSSARY = ROOT / "nbs" / "glossary.md"
NAMED = current(ROOT)

LOCAL_PATH = re.compile(r"(?<![\w.])(/(root|home|Users|tmp|work|mnt|private)/|[A-Z]:\\\\)")

every_notebook = pytest.mark.parametrize("path", [*COURSE, TEMPLATE, *SOLUTIONS], ids=lambda path: path.stem)
every_lesson = pytest.mark.parametrize("path", [*COURSE, TEMPLATE], ids=lambda path: path.stem)

every_course_notebook = pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def tagged(path: Path, tag: str) -> list:
    return [cell for cell in cells(path, "code") if tag in cell.metadata.get("tags", [])]


def text_of(cell) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def checkers(path: Path) -> dict[str, str]:
    """The functions that try an answer, by name, in the order of the notebook."""
    found = {}
    for cell in cells(path, "code"):
        # A line for the shell, in the first cell, is no Python; checkers stand in cells without one.
        if "def check_" in cell.source:
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
                    found[node.name] = ast.get_source_segment(cell.source, node)
    return found


@pytest.fixture(scope="module")
def stale() -> list[Path]:
    return stale_notebooks()


@pytest.mark.parametrize(
    "path", [path for path in COURSE if tagged(path, "nbval-check-output")], ids=lambda path: path.stem
)
def test_what_the_course_has_given_is_what_is_committed(path, stale):
    """Of the cells whose output never varies; `make test` gives to nbval the notebooks that are skipped here."""
    if path in stale:
        pytest.skip("make course has not run it as it is now")
    executed = {cell.id: cell for cell in cells(ROOT / "runs" / "miniature" / path.name, "code")}
    for cell in tagged(path, "nbval-check-output"):
        assert text_of(executed[cell.id]) == text_of(cell)


@every_notebook
def test_one_title_and_the_usual_kernel(path):
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) == 1
    assert cells(path, "markdown")[0].source.startswith("# ")
    assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3"


@every_notebook
def test_committed_outputs_are_whole(path):
    code = cells(path, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert not tagged(path, "injected-parameters")
    assert path.stat().st_size < 400_000
    assert "widgets" not in nbformat.read(path, as_version=4).metadata


@every_notebook
def test_no_path_of_one_machine(path):
    for cell in nbformat.read(path, as_version=4).cells:
        texts = [cell.source]
        for output in cell.get("outputs", []):
            texts += [output.get("text", ""), str(output.get("data", {}).get("text/plain", ""))]
        found = [match.group() for text in texts for match in LOCAL_PATH.finditer(text)]
        assert not found, cell.source


@every_notebook
def test_every_picture_has_a_text(path):
    for cell in cells(path, "markdown"):
        assert "![](" not in cell.source
    for cell in cells(path, "code"):
        for output in cell.outputs:
            for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
                assert len(output.metadata.get(kind, {}).get("alt", "")) > 10, cell.source


@every_notebook
def test_code_and_printed_lines_fit_the_page_of_a_small_laptop(path):
    for cell in cells(path, "code")[1:]:  # the bootstrap cell is for Colab, in one line
        printed = "".join(output.get("text", "") for output in cell.outputs)
        assert max(map(len, cell.source.splitlines())) <= 120, cell.source
        assert max(map(len, printed.splitlines()), default=0) <= 117, cell.source


@every_notebook
def test_formulas_have_single_backslashes(path):
    for cell in cells(path, "markdown"):  # doubled ones end a line, and show the command's name
        assert not re.search(r"\$[^$]*\\\\[A-Za-z,][^$]*\$", cell.source), cell.source


@every_lesson
def test_parameters_are_annotated_literals_with_a_comment(path):
    (cell,) = tagged(path, "parameters")
    for statement, line in zip(ast.parse(cell.source).body, cell.source.splitlines(), strict=True):
        assert isinstance(statement, ast.AnnAssign), line
        ast.literal_eval(statement.value)
        assert re.search(r"#\s*\w", line), line


@every_lesson
def test_parameters_are_all_used(path):
    (cell,) = tagged(path, "parameters")
    rest = "\n".join(other.source for other in cells(path, "code") if other.source != cell.source)
    if "open_splits(globals()" in rest:  # it reads them there
        rest += inspect.getsource(open_splits)
    for statement in ast.parse(cell.source).body:
        assert re.search(rf"\b{statement.target.id}\b", rest), statement.target.id


@every_notebook
def test_bootstrap_is_the_same_everywhere_and_comes_before_the_rest(path):
    first, usual = cells(path, "code")[0], cells(TEMPLATE, "code")[0]
    assert first.source == usual.source and first.source.startswith("# @title ")


@every_notebook
def test_bootstrap_is_one_line_for_who_reads_in_colab_in_jupyterlab_and_on_the_site(path):
    metadata = cells(path, "code")[0].metadata
    assert metadata.cellView == "form" and metadata.jupyter.source_hidden and "hide-input" in metadata.tags


@every_lesson
def test_badge_opens_this_notebook_as_this_version_has_it(path):
    badges = re.findall(r"\(https://colab[^)]+\.ipynb\)", cells(path, "markdown")[0].source)
    place = f"{NAMED['address']}/blob/v{NAMED['version']}/{path.relative_to(ROOT).as_posix()}"
    assert badges == [f"(https://colab.research.google.com/github/{place})"]


@every_course_notebook
def test_a_lesson_has_its_length_and_its_metrics(path):
    total = len(nbformat.read(path, as_version=4).cells)
    words = sum(len(cell.source.split()) for cell in cells(path, "markdown"))
    assert 25 <= total <= 55 and 600 <= words <= 1600
    assert read_metrics(path)


@every_course_notebook
def test_a_lesson_has_its_exercises_each_under_a_numbered_heading(path):
    fewest = 1 if path.name.startswith("00") else 2
    code = "\n".join(cell.source for cell in cells(path, "code"))
    checked = checkers(path)
    assert fewest <= len(checked) <= 3
    numbers = re.findall(r"^## Exercise (\d): \w", "\n".join(c.source for c in cells(path, "markdown")), re.MULTILINE)
    assert numbers == [str(number + 1) for number in range(len(checked))]
    for name in checked:
        answer = name.removeprefix("check_")
        assert re.search(rf"^(def {answer}\(|{answer} = )", code, re.MULTILINE), f"{name} has no stub {answer}"
        assert f"{name}({answer})" in code, f"{name} is never tried"


@every_course_notebook
def test_a_stub_is_not_the_answer(path):
    printed = [text_of(cell) for cell in cells(path, "code") if "def check_" in cell.source]
    assert all("Not yet: " in text and "That is it." not in text for text in printed), printed


@every_course_notebook
def test_every_exercise_has_a_solution_that_its_own_checker_accepts(path):
    solution = ROOT / "nbs" / "solutions" / path.name
    assert checkers(solution) == checkers(path), "each checker stands in both, word for word and in the same order"
    for cell in cells(solution, "code"):
        tried = [name for name in checkers(path) if f"def {name}(" in cell.source]
        assert text_of(cell).count("That is it.") == len(tried) and "Not yet" not in text_of(cell), cell.source


def raise_an_error(*arguments):
    raise RuntimeError("the answer stops")


def return_not_a_number(*arguments):
    return float("nan")


def return_nothing(*arguments):
    return None


def return_words(*arguments):
    return "seven"


NONSENSE = (None, 7, raise_an_error, return_not_a_number, return_nothing, return_words)


@every_course_notebook
@pytest.mark.parametrize("answer", NONSENSE, ids=lambda answer: getattr(answer, "__name__", str(answer)))
def test_a_checker_refuses_nonsense_and_never_raises(path, answer, capsys):
    """Also without the rest of its notebook: what it misses there is one more reason to say that something is wrong."""
    for name, source in checkers(path).items():
        names = {"np": np, "jnp": jnp, "nnx": nnx, "try_answer": try_answer}
        exec(source, names)
        names[name](answer)
        printed = capsys.readouterr().out
        assert "Not yet: " in printed and "That is it." not in printed, name


@pytest.mark.parametrize("profile", sorted((ROOT / "nbs" / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_profiles_name_only_what_the_notebooks_have(profile):
    assert set(resolve_parameters(COURSE, load_profile(ROOT, profile.stem)[1], {})) == {p.stem for p in COURSE}


def test_miniature_profile_is_what_the_notebooks_have_as_defaults():
    parameters = resolve_parameters(COURSE, load_profile(ROOT, "miniature")[1], {})
    for path in COURSE:
        (cell,) = tagged(path, "parameters")
        defaults = {s.target.id: ast.literal_eval(s.value) for s in ast.parse(cell.source).body}
        assert {name: defaults[name] for name in parameters[path.stem]} == parameters[path.stem]


# What a sentence says, and what stands in the outputs if it is true: who executes again sees which sentence to mend.
BORNE_OUT = (
    ("00", "of 300 scenes in notebook 03 it names 41 %", "03", "as in file names     k=1: 0.410"),
    ("02", "Do the two agree on this data set?", "02", "the same plan for 1,080 of 1,080 images: 3,239 captions"),
    ("02", "631 of the 4,069 differ", "02", "after: 4,069, as CLIP reads: 3,438"),
    ("02", "they drop 760 of 3,239 replacements", "02", "unchanged       760"),
    ("02", "they drop 760 of 3,239 replacements", "02", "3,239 captions replaced"),
    ("03", "in two rows of eight the own caption is highest", "03", "25% of the images are nearest"),
    ("04", "worse than guessing", "04", "at a logit scale of 15.5: 4.10 nats\nguessing would cost log 8 = 2.08"),
    ("04", "cost a little less than guessing", "04", "at a logit scale of  3.0: 2.07 nats"),
    ("04", "This one starts at 5.1", "04", "Training loss runs from 5.1 to 0.804"),
    ("04", "They lie far apart, 0.8 and 2.2", "04", "validation loss from 2.59 to 2.2 nats"),
    ("04", "within 2 % of where it was", "04", "logit scale over step: from 15.5 to 15.7, between 15.4 and 15.7"),
    ("05", "+0.453 and +0.453", "05", "documents    gain +0.453"),
    ("05", "+0.453 and +0.453", "05", "split_names  gain +0.453"),
    ("05", "The ensemble says +0.497", "05", "ensemble     gain +0.497 (+0.433"),
    ("05", "Nearly half of the test captions", "05", "726 of 1,595 (45.5%)"),
    ("06", "finds no bridge at all", "06", "0 of 10 answers of all three come from: a way across the water"),
    ("06", "At one half the stadium is already lost", "06", "text weight 0.5: square, square, square, school, square"),
    ("06", "At 0.2 both are heard", "06", "text weight 0.2: stadium, stadium, square, square, square"),
    ("07", "The tiles as wide as the cells do all the work", "07", "tiles of 128 pixels by themselves: 85%"),
    (
        "07",
        "the higher the best margin of what is *not* there",
        "07",
        "1 tiles: mean best margin +1.85 there, -10.11 not",
    ),
    (
        "07",
        "the higher the best margin of what is *not* there",
        "07",
        "59 tiles: mean best margin +2.32 there, -1.31 not",
    ),
    ("07", "find the same minimum", "07", "by hand    log-odds = 1.089 * best margin -0.891 * log(tiles) +2.933"),
    ("07", "find the same minimum", "07", "the model  log-odds = 1.089 * best margin -0.891 * log(tiles) +2.932"),
    ("07", "they give by hand what `find` says", "07", "by hand 0.114, find says 0.114"),
    ("07", "far below the 86 % of the test mosaics", "07", "area under the curve 0.937, right 0.860"),
    ("07", "far below the 86 % of the test mosaics", "07", "67% of the verdicts are right"),
    ("07", "found in the right cell and denied", "07", "presence 0.05, best in the cell of: storage tanks"),
    ("08", "gives up 0.23 at home and wins 0.28 back", "08", "fine-tuned         home 0.863   other 0.461"),
    ("08", "gives up 0.23 at home and wins 0.28 back", "08", "mixed, alpha 0.5   home 0.637   other 0.744"),
    ("08", "one `jax.tree.map` over both mixes all", "08", "apart from the package's `interpolate` by at most 1e-07"),
    ("08", "from 0.794 to 0.728 and not to 0.639", "08", "home and other     home 0.427   other 0.728"),
    ("08", "both intervals hold 0", "08", "beside baseline: -0.017 (-0.150 to +0.117)"),
    ("08", "both intervals hold 0", "08", "beside home: -0.100 (-0.233 to +0.033)"),
    ("08", "name nearly always the same class", "08", "linear probe 0.790, as above on 97.7%"),
    ("08", "This one holds 0", "08", "on test: +0.003 (-0.013 to +0.020)"),
    ("09", "worse than one that knows nothing", "09", "knowing nothing costs log 1,357 = 7.21 nats a token"),
    ("09", "worse than one that knows nothing", "09", "0.04           12.08"),
    ("09", "by 0.034 in BLEU-1, whose interval nearly holds 0", "09", "BLEU-1 0.034 (0.005 to 0.062)"),
    ("09", "greedy began likelier, with *a*, and ended less likely", "09", "'a' -1.70   'an' -1.96"),
    ("09", "greedy began likelier, with *a*, and ended less likely", "09", "near a parking lot .  -0.614 a token"),
    ("09", "greedy began likelier, with *a*, and ended less likely", "09", "near a parking lot .  -0.470 a token"),
    ("09", "Two in three of its captions", "09", "66.8% from training"),
    ("09", "by BLEU-4 people have 0.893", "09", "all images         319 images   BLEU-4 0.893"),
    ("09", "without repeats 0.519", "09", "no repeats          24 images   BLEU-4 0.519"),
    ("09", "on 24 images, where the captioner has 0.444", "09", "these images     24 images   BLEU-4 0.444"),
    ("09", "given more than people", "09", "people     own image 0.644, another's 0.605"),
    ("09", "so it is under images of others", "09", "captioner  own image 0.686, another's 0.670"),
    ("09", "adds 0.016 to its score; to people's, 0.039", "09", "captioner  own image 0.686, another's 0.670"),
    ("09", "an *airport* where a center is", "09", "model: an airport is near a parking lot"),
    ("09", "but 0.3 nats are a quarter of the probability", "09", "a: 0.2, a: 0.3, railway: 0.2."),
    ("10", "a scene of 49 tiles has 49 chances", "10", "a scene has (2 * 4 - 1)^2 = 49 tiles"),
    ("10", "That is not good enough to call off a search", "10", "of those answered 'not there' 81%"),
    ("10", "cost as much within days", "10", "5,918.31  1,920"),
    ("10", "a million cost more than the embedding did", "10", "5,918.31  1,920  81,682.96"),
    ("10", "A graph a shard finds *more* than one graph over all", "10", "nmslib 16 shards: recall@10 1.000"),
    ("10", "The halves' loss is lower", "10", "whole batch 1.471 nats, mean of its halves 1.327"),
    ("10", "beside them one has it all", "10", "2 processes: loss 4.47335 5.99721 3.72928 3.13574"),
)


def test_sentences_are_borne_out_by_the_outputs():
    said, printed = {}, {}
    for path in COURSE:
        said[path.name[:2]] = "\n".join(cell.source for cell in cells(path, "markdown"))
        outputs = [output for cell in cells(path, "code") for output in cell.outputs]
        texts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs]
        printed[path.name[:2]] = "\n".join(texts)
    for notebook, sentence, where, number in BORNE_OUT:
        assert sentence in said[notebook], f"{notebook}: {sentence}"
        assert number in printed[where], f"{notebook} says {sentence!r}, and {where} does not print {number!r}"


def test_the_factor_on_the_similarities_has_one_name():
    """It is the logit scale, never a temperature."""
    for path in [*COURSE, *SOLUTIONS]:
        assert not [cell.source for cell in nbformat.read(path, as_version=4).cells if "emperature" in cell.source]


def test_committed_scores_are_those_of_a_course_that_works():
    scores = read_metrics(ROOT / "nbs" / "05_evaluate_zero_shot.ipynb")
    assert scores["test_images"] == 300
    assert 0.2 <= scores["baseline_top1"] <= 0.6
    assert scores["finetuned_top1"] >= 0.85
    assert scores["finetuned_top1"] - scores["baseline_top1"] >= 0.25


def test_committed_presence_can_say_no():
    assert read_metrics(ROOT / "nbs" / "07_find_features.ipynb")["test_auc"] >= 0.85


def test_committed_captions_beat_those_that_nobody_wrote_for_their_image():
    scores = read_metrics(ROOT / "nbs" / "09_caption_images.ipynb")
    assert scores["test_cider"] > scores["neighbor_cider"] > scores["commonest_cider"]


def test_links_between_notebooks_lead_somewhere():
    for path in [*COURSE, *SOLUTIONS]:
        for cell in cells(path, "markdown"):
            for target in re.findall(r"\]\(([^)#:]+\.ipynb)\)", cell.source):
                assert (path.parent / target).is_file(), f"{path.name} -> {target}"


def test_every_lesson_points_to_the_glossary():
    for path in [path for path in COURSE if not path.name.startswith("00")]:
        (needed,) = [cell.source for cell in cells(path, "markdown") if "**You need**" in cell.source]
        assert "Words that are new to you stand in the [glossary](glossary.md)." in needed, path.name


def test_glossary_is_in_order_and_leads_to_notebooks():
    entries = re.findall(r"^- \*\*(.+?):\*\* (.+)$", GLOSSARY.read_text(), re.MULTILINE)
    terms = [term.casefold() for term, _ in entries]
    assert len(terms) >= 40
    for before, after in itertools.pairwise(terms):
        assert before < after
    for term, text in entries:
        (target,) = re.findall(r"\]\(([^)]+)\)$", text)
        assert (GLOSSARY.parent / target).is_file() and target.endswith(".ipynb"), term
