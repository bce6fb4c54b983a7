"""What a run of the course refuses before its first kernel, and where its results go."""

import json
import re
from dataclasses import fields
from pathlib import Path

import nbformat
import pytest
import yaml
from test_course import write_notebook

from utils.choices import SETTINGS
from utils.course import CourseError, check_values, course_notebooks, few_steps_warning, output_file
from utils.course.parameters import load_profile, notebook_parameters, parse_overrides
from utils.course.run import plan_course, results_folder, run_course
from utils.course.values import CHOICES, RULES, check_places

ROOT = Path(__file__).resolve().parents[1]
COURSE = course_notebooks(ROOT)
TEMPLATE = ROOT / "nbs" / "template.ipynb"

# `open_splits` checks before it loads.
CHECKS = r"(?:check_values|open_splits)\(globals\(\)"
every_notebook = pytest.mark.parametrize("path", [*COURSE, TEMPLATE], ids=lambda path: path.stem)


@pytest.fixture
def profile(tmp_path):
    """Writes a profile of somebody's own and gives its path."""

    def write(content: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(content)
        return str(path)

    return write


# --- values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"EPOCHS": -1}, "EPOCHS is -1; it must be a whole number, 1 or more"),
        ({"BATCH_SIZE": 0}, "BATCH_SIZE is 0; it must be a whole number, 1 or more"),
        ({"IMAGES_PER_SPLIT": -5}, "IMAGES_PER_SPLIT is -5"),
        ({"LEARNING_RATE": 0.0}, "LEARNING_RATE is 0.0; it must be a number above zero"),
        ({"AUGMENTATION": "wild"}, "AUGMENTATION is 'wild'; it must be one of aerial, zoom, published, none"),
        ({"PROMPT": "shouted"}, "PROMPT is 'shouted'; it must be documents, script, notebook, or a text with one {}"),
        ({"PROMPT": "a {} beside a {}"}, "PROMPT is 'a {} beside a {}'"),
        ({"PROMPT": "a photo of {category}"}, "PROMPT is 'a photo of {category}'"),
        ({"PROMPT": "a {} of {place}"}, "and no other brace"),
        ({"EPOCHS": "three"}, "EPOCHS is 'three', and 04_finetune_clip declares it as int"),
        ({"EPOCHS": 1.5}, "EPOCHS is 1.5, and 04_finetune_clip declares it as int"),
        ({"EPOCHS": True}, "EPOCHS is True"),
        ({"LEARNING_RATE": "low"}, "LEARNING_RATE is 'low', and 04_finetune_clip declares it as float"),
        ({"OUTPUT_DIR": 2024}, "declares it as str; put it in quotes"),
        ({"AUDIT": "yes please"}, "AUDIT is 'yes please', and 05_evaluate_zero_shot declares it as bool"),
        ({"SETTINGS": "patience"}, "declares it as dict"),
        ({"SETTINGS": {"optim": "adamw"}}, "SETTINGS is {'optim': 'adamw'}; it must be empty, or of .* b1,"),
        ({"SETTINGS": {"optimizer": "adam"}}, r"optimizer \(adamw or adafactor\)"),
        ({"SETTINGS": {"epochs": 3}}, "SETTINGS is"),  # EPOCHS is there for it
        ({"STRETCH": 3000}, "STRETCH is 3000, and .* declares it as list"),
        ({"STRETCH": [3000, 0]}, r"STRETCH is \[3000, 0\]; it must be empty, or two numbers, the lower first"),
        ({"STRETCH": [0, float("inf")]}, "STRETCH is"),
        ({"STRETCH": [0, "3000"]}, "STRETCH is"),
        ({"BANDS": [4, 3]}, r"BANDS is \[4, 3\]; it must be empty, or three whole numbers"),
        ({"BANDS": [0, 1, 2]}, "counted from 1"),
        ({"BANDS": [True, 1, 2]}, "BANDS is"),
        ({"RENAME": ["port"]}, r"RENAME is \['port'\], and .* declares it as dict"),
        ({"RENAME": {"port": 3}}, r"RENAME is \{'port': 3\}; it must be empty, or names of categories"),
        ({"OTHER_RENAME": {3: "port"}}, r"OTHER_RENAME is \{3: 'port'\}; it must be"),
        ({"VAL_FROM_TRAIN": 0.6}, "VAL_FROM_TRAIN is 0.6; it must be a number from 0 to 0.5"),
        ({"VAL_FROM_TRAIN": float("nan")}, "VAL_FROM_TRAIN is nan"),
        ({"SEED": -1}, "SEED is -1; it must be a whole number from 0 to 4,294,967,295"),
        ({"SEED": 2**32}, "SEED is 4294967296; it must be a whole number from 0 to 4,294,967,295"),
        ({"EPOCS": 3}, r"EPOCS \(command line\)"),
        ({"DATASET": "no/such/captions.csv"}, "DATASET is 'no/such/captions.csv', and there is no"),
        ({"DATASET": "captions.csv"}, "DATASET is 'captions.csv', and there is no"),
        ({"DATASET": "data-{000..003}.tar"}, r"DATASET is 'data-\{000\.\.003\}\.tar', and there is no"),
        ({"CAPTION_TOKENS": 1}, "CAPTION_TOKENS is 1; it must be a whole number, 2 or more"),
        ({"BEAM_SIZE": 0}, "BEAM_SIZE is 0; it must be a whole number, 1 or more"),
        ({"SCENES": 0}, "SCENES is 0; it must be a whole number, 1 or more"),
        ({"METERS": 0}, "METERS is 0; it must be a number above zero"),
        ({"PRICE": -1}, "PRICE is -1; it must be a number, zero or more"),
        ({"PICTURES": "no/such/folder"}, "PICTURES is 'no/such/folder', and there is no folder"),
        ({"DECODER": "data/checkpoints/clip-miniature"}, "DECODER is .*, and there is no GPT-2 in"),
        ({"DECODER": "./no/such/folder"}, "DECODER is './no/such/folder', and there is no GPT-2 in"),
        ({"DATA_DIR": "no/such/folder"}, "DATA_DIR is 'no/such/folder', and there is no folder"),
        ({"MODEL": "nbs"}, "MODEL is 'nbs', and .* holds no CLIP"),
        ({"MODEL": "data/checkpoints/marian-miniature-en-romance"}, "holds no CLIP"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(overrides, sentence):
    with pytest.raises(CourseError, match=sentence):
        plan_course(ROOT, "miniature", overrides)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("common: [1\n", "cannot be read as YAML"),
        ("common:\n  SEED: 1\n  SEED: 2\n", "'SEED' is given twice in .*, line 2"),
        ("common:\n  SEED: 1\ncommon:\n  EPOCHS: 2\n", "'common' is given twice"),
        ("04_finetune_clip:\n  SETTINGS: {patience: 1, patience: 2}\n", "'patience' is given twice"),
        ("DATASET: pictures/captions.csv\n", "is not a profile: write a section common:"),
        ("- a list\n", "is not a profile"),
        ("common:\n  EPOCS: 1\n", r"EPOCS \(common\)"),
        ("04_finetune_clip:\n  EPOCHS: many\n", "EPOCHS is 'many'"),
    ],
)
def test_a_profile_that_cannot_work_is_refused(profile, content, sentence):
    with pytest.raises(CourseError, match=sentence):
        plan_course(ROOT, profile(content), {})


@pytest.mark.parametrize(("steps", "epochs", "enough"), [(12, 5, 42), (99, 3, 4), (1, 1, 100)])
def test_a_training_of_few_steps_is_told_how_many_epochs_would_do(steps, epochs, enough):
    told = few_steps_warning(steps, epochs)
    assert f"{steps} steps" in told and f"EPOCHS: {enough} would" in told
    assert (enough - 1) * steps / epochs < 100 <= enough * steps / epochs
    assert not few_steps_warning(100, 3) and not few_steps_warning(270, 10)


def test_a_lone_tilde_is_a_path():
    assert parse_overrides(["OUTPUT_DIR=~"]) == {"OUTPUT_DIR": "~"}


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        *(("3", 3), ("-1", -1), ("0", 0), ("1e-4", 1e-4), ("1.0e-4", 1e-4), ("5E3", 5e3), (".5", 0.5), ("2.", 2.0)),
        *((name, name) for name in ("2024_11", "0010", "1:30", "2024-11-30", "0x1F", "1_000", "1e", "nan", "1.2.3")),
        *(("[1e-5, 3000]", [1e-5, 3000]), ("{patience: 2}", {"patience": 2}), ("true", True), ("'7'", "7")),
    ],
)
def test_numbers_are_what_people_take_for_numbers_and_names_stay_names(typed, value, tmp_path):
    read = parse_overrides([f"X={typed}"])["X"]
    assert read == value and type(read) is type(value)
    (tmp_path / "mine.yaml").write_text(f"common: {{X: {typed}}}\n")
    assert load_profile(ROOT, str(tmp_path / "mine.yaml"))[1] == {"common": {"X": value}}


def test_your_own_prompt_is_given_to_every_notebook_that_asks():
    plan = plan_course(ROOT, "miniature", parse_overrides(["PROMPT=a photo of {}"]))
    asking = [stem[:2] for stem, of in plan.parameters.items() if of.get("PROMPT") == "a photo of {}"]
    assert asking == ["03", "05", "06", "07", "08"]


def test_an_assignment_that_is_no_yaml_or_given_twice_is_refused():
    with pytest.raises(CourseError, match="EPOCHS is set twice"):
        parse_overrides(["EPOCHS=1", "EPOCHS=2"])
    with pytest.raises(CourseError, match="'patience' is given twice"):
        parse_overrides(["SETTINGS={patience: 1, patience: 2}"])
    for unreadable in ("SETTINGS={a: [}", "SEED=" + "9" * 5000):
        with pytest.raises(CourseError, match="cannot be read"):
            parse_overrides([unreadable])
    assert parse_overrides(["CAPTIONS_FILE="]) == {"CAPTIONS_FILE": ""}


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "nbs" / "profiles").glob("*.yaml")))
def test_the_profiles_of_the_course_are_not_refused(name):
    plan = plan_course(ROOT, name, {})
    assert plan.output_dir == ROOT / "runs" / name
    assert {of["OUTPUT_DIR"] for of in plan.parameters.values() if "OUTPUT_DIR" in of} == {f"runs/{name}"}


def test_defaults_of_the_notebooks_are_not_refused():
    for path in COURSE:
        defaults = {name: yaml.safe_load(of["default"]) for name, of in notebook_parameters(path).items()}
        check_values(defaults)
        check_places(ROOT, defaults)


@every_notebook
def test_every_notebook_checks_its_values_before_it_loads_anything(path):
    code = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    (checking,) = [source for source in code if re.search(CHECKS, source)]
    before, after = re.split(CHECKS, checking)
    loads = [source for source in code if "load_dataset(" in source]
    assert not {*loads} & {*code[: code.index(checking)]}
    assert "load_dataset(" not in before and "from_pretrained" not in before
    assert "load_dataset(" in after or "open_splits(" in checking or not loads  # 00 only looks


# --- help ------------------------------------------------------------------------------------------------------


@every_notebook
def test_papermill_explains_every_parameter_with_its_type_default_and_a_sentence(path):
    for name, of in notebook_parameters(path).items():
        assert of["inferred_type_name"] in ("str", "int", "float", "bool", "dict", "list"), name
        assert of["default"] and len(of["help"].split()) >= 2, name
        assert name not in CHOICES or all(choice in of["help"] for choice in CHOICES[name]), name


def test_settings_are_those_of_a_training_that_have_no_parameter_of_their_own():
    from utils.training import TrainingSettings

    (path,) = (path for path in COURSE if path.stem == "04_finetune_clip")
    lesson = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    call = re.search(r"^settings = TrainingSettings\(\n(.*?)^    \*\*", lesson, re.MULTILINE | re.DOTALL)
    given = set(re.findall(r"^ +(\w+)=", call[1], re.MULTILINE))
    assert SETTINGS.keys() == {field.name for field in fields(TrainingSettings)} - given and len(given) == 9


def test_rules_are_those_of_parameters_that_exist():
    declared = set().union(*(notebook_parameters(path) for path in COURSE))
    assert RULES.keys() <= declared


@pytest.mark.parametrize(
    "values", [{"STRETCH": [0, 3000]}, {"BANDS": [4]}, {"VAL_FROM_TRAIN": 0.5}, {"RENAME": {"a": "b"}}]
)
def test_readings_and_shares_that_can_be_are_not_refused(values):
    assert plan_course(ROOT, "miniature", values).parameters["05_evaluate_zero_shot"].items() >= values.items()


# --- where results go --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        ({}, "runs/small"),
        ({"EPOCHS": 3}, "runs/small"),
        ({"DATASET": "pictures/captions.csv"}, "runs/small-pictures"),
        ({"DATASET": "captions.csv"}, "runs/small-captions"),
        ({"DATASET": "/data/my pictures/"}, "runs/small-my-pictures"),
        ({"MODEL": "openai/clip-vit-base-patch32"}, "runs/small-clip-vit-base-patch32"),
        ({"MODEL": str(ROOT / "start")}, "runs/small"),  # the profile's own, written in full
        ({"DATASET": "ucm", "MODEL": "other/clip"}, "runs/small-ucm-clip"),
        ({"DATASET": "ucm", "OUTPUT_DIR": "runs/mine"}, "runs/mine"),
    ],
)
def test_other_data_and_models_have_a_folder_of_their_own(overrides, folder):
    common = {"DATASET": "miniature", "MODEL": "start"}
    assert results_folder(ROOT, "small", common, overrides) == folder


def test_your_own_profile_names_its_folder(profile):
    plan = plan_course(ROOT, profile("common:\n  DATASET: miniature\n"), {})
    assert plan.profile == "mine" and plan.output_dir == ROOT / "runs" / "mine"
    assert plan.parameters["04_finetune_clip"]["OUTPUT_DIR"] == "runs/mine"


def test_a_bare_name_lies_in_the_folder_for_results():
    assert output_file("runs/mine", "captions.jsonl") == Path("runs/mine/captions.jsonl")
    assert output_file("runs/mine", "runs/other/captions.jsonl") == Path("runs/other/captions.jsonl")
    assert output_file("runs/mine", "/elsewhere/captions.jsonl") == Path("/elsewhere/captions.jsonl")


# --- notebooks that are left out -----------------------------------------------------------------------------------


def test_a_notebook_without_data_to_work_on_is_left_out_and_the_run_goes_on(tmp_path):
    (tmp_path / "nbs" / "profiles").mkdir(parents=True)
    (tmp_path / "nbs" / "profiles" / "small.yaml").write_text("common:\n  TIMES: 3\n")
    for name, code in {
        "01_a": "from utils.course import LeftOut\nraise LeftOut('no categories')",
        "02_b": "TIMES",
    }.items():
        write_notebook(tmp_path / "nbs" / f"{name}.ipynb", code)
    outcomes = run_course(tmp_path, "small", {})
    assert [(outcome.status, outcome.error) for outcome in outcomes] == [("left out", "no categories"), ("ok", "")]
    folder = tmp_path / "runs" / "small"
    assert "01_a was left out: no categories" in (folder / "summary.md").read_text()
    noted = json.loads((folder / "parameters.json").read_text())
    assert noted["parameters"] == {"01_a": {"TIMES": 3}, "02_b": {"TIMES": 3}} and noted["profile"] == "small"
