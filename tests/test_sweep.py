"""The sweep: rows as published, and running, resuming and failing on small notebooks that train nothing."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from test_course import write_notebook

from utils.course import CourseError
from utils.course.execution import Outcome
from utils.course.parameters import parse_overrides
from utils.course.sweep import runs as runs_module
from utils.course.sweep.__main__ import main
from utils.course.sweep.rows import Row, load_common, load_rows, load_scale, run_parameters, training_parameters
from utils.course.sweep.runs import RowRun, find_captions, run_sweep
from utils.course.sweep.table import as_markdown, make_line, make_table, write_table
from utils.evaluation import PUBLISHED_KS, bootstrap_runs

V1, V2 = "bs128x8-lr1e-4-imgaugs-textaugs", "bs128x8-lr5e-6-adam"

# --- the rows as they are committed --------------------------------------------------------------------------


def test_rows_and_figures_are_the_published_ones(root, shared):
    text = (shared / "design" / "original.md").read_text()
    found = re.findall(r"^\| (\S+?)(?:/(ckpt-\d+))?(?: \([^|]*\))? \|((?: \d\.\d{3} \|){4})", text, re.MULTILINE)
    theirs = {
        name: (checkpoint, [float(score) for score in scores.split("|")[:4]]) for name, checkpoint, scores in found
    }
    ours = {
        row.name: (row.checkpoint, [row.scores[k] for k in PUBLISHED_KS])
        for row in load_rows(load_scale(root, "rsicd", {}))
    }
    assert len(ours) == 10 and ours == theirs
    assert list(ours) == list(theirs)


def test_every_row_file_has_figures_and_says_what_is_known(root):
    published = load_common(root)["published"]
    files = sorted((root / "nbs" / "profiles" / "sweep").glob("*.yaml"))
    assert {file.stem for file in files} == {*published, "common"}
    for file in files:
        if file.stem != "common":
            assert "# Known:" in file.read_text(), file.name


@pytest.mark.parametrize("profile", ["miniature", "rsicd"])
def test_notebooks_and_settings_accept_every_row(root, profile):
    from utils.training import TrainingSettings

    scale = load_scale(root, profile, {})
    for row in load_rows(scale):
        given = run_parameters(scale, row, 1, root / "runs" / "sweep", "captions.jsonl")
        assert given["04_finetune_clip"]["SEED"] == given["05_evaluate_zero_shot"]["SEED"] == 1
        assert given["05_evaluate_zero_shot"]["PROMPT"] == "script"
        if row.is_trained:
            own = training_parameters(scale, row)
            settings, names = own.pop("SETTINGS"), set(own) - {"CAPTIONS_FILE", "COMPARED_IMAGES"}
            TrainingSettings(**{name.lower(): own[name] for name in names}, **settings)


def test_rows_carry_what_is_documented(root):
    scale = load_scale(root, "rsicd", {})
    rows = {row.name: training_parameters(scale, row) for row in load_rows(scale)}
    assert rows[V1]["LEARNING_RATE"] == 1e-4 and rows[V1]["SETTINGS"]["optimizer"] == "adafactor"
    assert rows[V2]["LEARNING_RATE"] == 5e-6 and rows[V2]["SETTINGS"]["optimizer"] == "adamw"
    assert rows[V2]["SETTINGS"]["captions"] == "all" and rows[V2]["SETTINGS"]["loss"] == "plain"
    assert rows["bs128x8-lr5e-5-wd02"]["WEIGHT_DECAY"] == 0.2 and rows[V1]["WEIGHT_DECAY"] == 0.1
    assert {row["BATCH_SIZE"] for row in rows.values()} == {1024}
    scale = load_scale(root, "miniature", {})
    small = {row.name: training_parameters(scale, row) for row in load_rows(scale)}
    assert small[V2]["LEARNING_RATE"] == 6e-4 and small[V1]["LEARNING_RATE"] == 0.012
    assert small[V1]["BATCH_SIZE"] == 40


def test_rows_with_equal_settings_are_one_run(root):
    first = {row.name: (row.same_as or row).name for row in load_rows(load_scale(root, "rsicd", {}))}
    textaugs = "bs128x8-lr5e-5-imgaugs-textaugs"
    assert first[f"{textaugs}-2"] == first[f"{textaugs}-3"] == textaugs
    assert first["bs128x8-lr1e-4-imgaugs"] == "bs128x8-lr1e-4-augs"
    assert len(set(first.values())) == 7


def test_the_command_line_replaces_only_the_settings_that_it_names(root):
    overrides = parse_overrides(["SETTINGS={patience: 2}", "EPOCHS=3"])
    scale = load_scale(root, "miniature", overrides)
    own = training_parameters(scale, load_rows(scale, [V2])[0])
    assert own["SETTINGS"]["patience"] == 2 and own["SETTINGS"]["optimizer"] == "adamw" and own["EPOCHS"] == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rows", "nothing"], "There is no row nothing"),
        (["--seeds", "-1"], "SEED is -1"),
        (["--profile", "rsicd_cpu"], "choose one of rsicd, miniature"),
        (["--set", "EPOCS=1"], "EPOCS"),
        (["--set", "PROMPT=shouted"], "PROMPT is 'shouted'"),
        (["--set", "SEED=4"], "SEEDS="),
        (["--set", "SETTINGS=4"], "SETTINGS is 4"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_anything_runs(words, sentence, root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("make sweep: ") and sentence in error and error.count("\n") == 1


# --- the table -----------------------------------------------------------------------------------------------


def scores(base: float, model: str = "finetuned", images: int = 300) -> dict[str, float]:
    figures = {f"{model}_top{k}": base + k / 100 for k in PUBLISHED_KS}
    return {**figures, f"{model}_split_names_top1": base, "test_images": images}


def made_up() -> tuple[list[Row], dict[str, list[RowRun]]]:
    rows = [
        Row("baseline", {"EPOCHS": 0}, "", {1: 0.572, 3: 0.745, 5: 0.837, 10: 0.939}),
        Row("good", {}, "ckpt-2", {1: 0.8, 3: 0.9, 5: 0.95, 10: 0.99}),
        Row("mine", {}),
        Row("bad", {}),
    ]
    return rows, {
        "baseline": [RowRun(0, "ok", metrics=scores(0.4, "baseline"))],
        "good": [RowRun(seed, "ok", metrics=scores(0.1 * (seed + 1))) for seed in range(3)],
        "mine": [RowRun(0, "ok", metrics=scores(0.5, images=290)), RowRun(1, "failed", error="broke | here")],
        "bad": [RowRun(0, "failed", error="cell 3: ValueError: no")],
    }


def test_mean_and_sample_deviation_are_over_the_seeds_that_worked():
    rows, runs = made_up()
    baseline, good, mine, bad = (make_line(row, runs[row.name], Path()) for row in rows)
    assert good.mean[1] == pytest.approx(0.21) and good.deviation[1] == pytest.approx(0.1)
    assert good.seeds == [0, 1, 2] and good.status == "ok" and good.split_names == pytest.approx(0.2)
    assert baseline.mean[10] == pytest.approx(0.5) and baseline.deviation == {}
    assert mine.status == "1 of 2 failed" and mine.mean[1] == 0.51 and mine.images == [290]
    assert bad.status == "failed" and bad.mean == {} and "ValueError" in bad.note
    twin = make_line(replace(rows[1], same_as=rows[0]), runs["good"], Path())
    assert good.note == "" and "settings are those of baseline" in twin.note


def test_a_table_says_how_it_was_measured(root, tmp_path):
    rows, runs = made_up()
    by_hand = {"IMAGES_PER_SPLIT": 48, "DATA_DIR": "somewhere", "MODEL": "a/model", "SETTINGS": {"patience": 2}}
    table = make_table(load_scale(root, "rsicd", by_hand), rows, runs)
    assert table.caveat.endswith("Set by hand for every row: IMAGES_PER_SPLIT 48, patience 2.")
    write_table(table, runs, tmp_path)
    kept = json.loads((tmp_path / "table.json").read_text())
    assert kept["runs"]["good"][2]["seed"] == 2 and kept["caveat"] == table.caveat
    assert [line["mean"] for line in kept["lines"]] == [{str(k): v for k, v in of.mean.items()} for of in table.lines]

    text = (tmp_path / "table.md").read_text()
    assert text == as_markdown(table)
    assert "| good/ckpt-2 | 3 | 300 | 0.210 ± 0.100 |" in text
    assert "| 0.572 | 0.745 | 0.837 | 0.939 | ok |" in text and "broke \\| here" in text
    assert "Aerial photograph of {category}" in text and "only 48 images" in text and "a/model" in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}
    assert widths == {14}

    other = make_table(load_scale(root, "rsicd", by_hand | {"DATASET": "mine.csv"}), rows, runs)
    assert "ublished k=1" not in as_markdown(other) and "0.572" not in as_markdown(other)
    assert {line.count("|") for line in as_markdown(other).replace("\\|", "").splitlines() if "|" in line} == {10}


def keep_ranks(folder: Path, ranks: list[int], images: str) -> float:
    """Leaves what a run has kept of its images; gives its score@1."""
    zero_shot = {
        "images": list(images),
        "categories": ["port"] * len(images),
        "ranks": {"prompt": {"fine-tuned": ranks}},
    }
    (folder / "evaluation").mkdir(parents=True)
    kept = json.dumps({"data": "mine test", "zero_shot": zero_shot})
    (folder / "evaluation" / "predictions.json").write_text(kept)
    return float(np.mean(np.array(ranks) < 1))


def test_seeds_on_the_same_images_have_a_joined_interval(tmp_path):
    everything = [[0, 0, 1, 0, 0, 12], [0, 1, 1, 0, 0, 12]]
    runs = []
    for seed, ranks in enumerate(everything):
        images = "abcdef"
        if seed:  # the same images in another order
            ranks, images = ranks[::-1], images[::-1]
        score = keep_ranks(tmp_path / f"row/seed-{seed}", ranks, images)
        metrics = scores(0.5) | {"finetuned_top1": score}
        runs.append(RowRun(seed, "ok", metrics=metrics, folder=f"row/seed-{seed}"))
    line = make_line(Row("row", {}), runs, tmp_path)
    expected = bootstrap_runs(np.array(everything) < 1)
    assert line.interval[1] == [expected.low, expected.high] and line.mean[1] == pytest.approx(7 / 12)
    assert 3 not in line.interval, "the scores are not those of what was kept"
    keep_ranks(tmp_path / "row/seed-2", [0] * 6, "abcdeg")
    runs.append(RowRun(2, "ok", metrics=scores(1), folder="row/seed-2"))
    others = make_line(Row("row", {}), runs, tmp_path)
    assert others.interval == {} and "other test images" in others.note


# --- your own grid -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no such file"),
        ("", "is not a grid: write the name of a row"),
        ("- x", "is not a grid"),
        ("low: 3", "is not a grid"),
        ("../x: {EPOCHS: 1}", "'../x' cannot be the name of a row"),
        ("low: {EPOCHS: 1, EPOCHS: 2}", "'EPOCHS' is given twice"),
        ("low: {EPOCS: 2}", "The row low: No notebook has the parameters EPOCS"),
        ("low: {EPOCHS: many}", "The row low: EPOCHS is 'many'"),
        ("low: {EPOCHS: -2}", "The row low: EPOCHS is -2"),
        ("low: {LEARNING_RATE: low}", "declares it as float"),
        ("low: {SEED: 3}", "sets SEED, one for all rows; set it"),
        ("low: {DATASET: x}", "sets DATASET, one for all rows"),
        ("low: {SETTINGS: 3}", "it must be a mapping"),
        ("low: {CAPTIONS_FILE: mine.jsonl}", "a row takes backtranslated.jsonl, categories or"),
        ("low: {LEARNING_RATE: }", "The row low: LEARNING_RATE is None"),
    ],
)
def test_a_grid_that_cannot_work_is_one_sentence_before_anything_runs(
    content, sentence, root, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "grid.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.chdir(root)
    assert main(["--grid", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("make sweep: ") and sentence in error and error.count("\n") == 1


def test_rows_of_a_grid_differ_from_the_profile_and_nothing_of_the_published_is_in_them(root, tmp_path):
    profile, grid = tmp_path / "mine.yaml", tmp_path / "rates.yaml"
    sections = {
        "common": {"DATASET": "pictures/captions.csv"},
        "04_finetune_clip": {"EPOCHS": 7, "SETTINGS": {"patience": 2}},
    }
    profile.write_text(yaml.safe_dump(sections))
    grid.write_text("low: {LEARNING_RATE: 5.0e-5, SETTINGS: {lora_rank: 8}}\nplain:\n")
    scale = load_scale(root, str(profile), {"WARMUP_STEPS": 3}, grid)
    low, plain = load_rows(scale)
    given = run_parameters(scale, low, 1, root / "runs" / "sweep")
    training, evaluation = given["04_finetune_clip"], given["05_evaluate_zero_shot"]
    assert (training["LEARNING_RATE"], training["EPOCHS"], training["WARMUP_STEPS"]) == (5e-5, 7, 3)
    assert training["SETTINGS"] == {"patience": 2, "lora_rank": 8, "keep_last": 1, "tensorboard": False}
    assert training["CAPTIONS_FILE"] == "" and training["SEED"] == 1 and "BATCH_SIZE" not in training
    assert evaluation["AUDIT"] is False and "PROMPT" not in evaluation
    assert training_parameters(scale, plain)["SETTINGS"]["patience"] == 2
    assert scale.folder == root / "runs" / "sweep" / "mine-rates" and scale.output_dir == "runs/mine"
    assert load_scale(root, "miniature", {"DATASET": "pictures/captions.csv"}).folder.name == "miniature-pictures"
    with pytest.raises(CourseError, match="or give your own rows with GRID="):
        load_scale(root, str(profile), {})


def test_captions_made_of_categories_are_for_all_rows_or_for_one(root, tmp_path):
    profile, grid = tmp_path / "mine.yaml", tmp_path / "rates.yaml"
    grid.write_text("a: {CAPTIONS_FILE: categories}\nb:\nc: {CAPTIONS_FILE: backtranslated.jsonl}\n")

    def captions(sections: dict, overrides: dict) -> list[str]:
        profile.write_text(yaml.safe_dump(sections))
        scale = load_scale(root, str(profile), overrides, grid)
        assert scale.captions_file == ""
        rows = load_rows(scale)
        assert [row.needs_captions for row in rows] == [False, False, True]
        given = [run_parameters(scale, row, 0, root, "it" if row.needs_captions else "") for row in rows]
        assert {of["05_evaluate_zero_shot"]["DATASET"] for of in given} == {"miniature"}, "as the notebook has it"
        return [of["04_finetune_clip"]["CAPTIONS_FILE"] for of in given]

    common = {"SEED": 0}
    assert captions({"common": common}, {}) == ["categories", "", "it"]
    for_all = ["categories", "categories", "it"]
    assert captions({"common": common}, {"CAPTIONS_FILE": "categories"}) == for_all
    assert captions({"common": common | {"CAPTIONS_FILE": "categories"}}, {}) == for_all
    assert captions({"04_finetune_clip": {"CAPTIONS_FILE": "categories"}}, {}) == for_all


def test_a_grid_runs_into_a_folder_of_its_own(small_sweep, capsys):
    (small_sweep / "mine.yaml").write_text("slow: {RATE: 0.25}\nuntrained: {EPOCHS: 0}\n")
    assert main(["--grid", "mine.yaml", "--seeds", "0", "1"]) == 0
    out = capsys.readouterr().out
    assert "# The rows of mine.yaml: profile miniature" in out and "| slow | 2 | 7 |" in out
    table = json.loads((small_sweep / "runs" / "sweep" / "miniature-mine" / "table.json").read_text())
    assert [line["run"] for line in table["lines"]] == ["slow", "untrained"] and table["grid"] == "mine.yaml"


# --- running, on notebooks that train nothing ----------------------------------------------------------------

TRAIN = """
from pathlib import Path
assert RATE < 1, "too fast"
from utils.course import record
folder = Path("..") / OUTPUT_DIR / "finetuned" / "model"
folder.mkdir(parents=True, exist_ok=True)
words = len((Path("..") / CAPTIONS_FILE).read_text().split()) if CAPTIONS_FILE else 0
(folder / "config.json").write_text(str(RATE + SEED / 100 + words))
record(steps=1)
"""
EVALUATE = """
from pathlib import Path
from utils.course import record
score = float((Path("..") / OUTPUT_DIR / "finetuned" / "model" / "config.json").read_text())
figures = {f"{model}_top{k}": score for model in ("baseline", "finetuned") for k in (1, 3, 5, 10)}
record(test_images=7, baseline_split_names_top1=score, finetuned_split_names_top1=score, **figures)
"""
COMMON = {
    "training": {"RATE": 0.5, "EPOCHS": 2},
    "evaluation": {"PROMPT": "script"},
    "scales": {"miniature": {"caveat": "Nothing is trained.", "learning_rate_factor": 1}},
    "published": {
        "baseline": {"scores": {1: 0.572}},
        "first": {"checkpoint": "ckpt-1", "scores": {1: 0.8}},
        **{name: {} for name in ("broken", "texts", "twin")},
    },
}


@pytest.fixture
def small_sweep(tmp_path, monkeypatch) -> Path:
    """A checkout whose notebooks take two seconds and train nothing."""
    folder = tmp_path / "nbs" / "profiles" / "sweep"
    folder.mkdir(parents=True)
    (tmp_path / "utils").mkdir()
    shared = "DATASET: str = 'x'\nMODEL: str = 'x'\nOUTPUT_DIR: str = 'x'\nSEED: int = 0\nIMAGES_PER_SPLIT: int = 0"
    training = f"{shared}\nEPOCHS: int = 1\nRATE: float = 0.1\nCAPTIONS_FILE: str = ''"
    write_notebook(tmp_path / "nbs" / "04_finetune_clip.ipynb", TRAIN, training)
    write_notebook(tmp_path / "nbs" / "05_evaluate_zero_shot.ipynb", EVALUATE, f"{shared}\nPROMPT: str = 'script'")
    profile = {"common": {"DATASET": "x", "MODEL": "start", "OUTPUT_DIR": "runs/miniature"}}
    (folder.parent / "miniature.yaml").write_text(yaml.safe_dump(profile))
    rows = {
        "baseline": {"EPOCHS": 0},
        "broken": {"RATE": 2.0},
        "first": {"RATE": 0.25},
        "texts": {"CAPTIONS_FILE": "backtranslated.jsonl"},
        "twin": {"RATE": 0.25},
    }
    for name, content in {**rows, "common": COMMON}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    (tmp_path / "untrained").mkdir()
    (tmp_path / "untrained" / "config.json").write_text("0.125")
    monkeypatch.setattr(runs_module, "find_checkpoint", lambda model: tmp_path / "untrained")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(root: Path, names: list[str], seeds: list[int], **overrides) -> dict[str, list[RowRun]]:
    scale = load_scale(root, "miniature", overrides)
    return run_sweep(scale, load_rows(scale, names), seeds, len)


def statuses(runs: dict[str, list[RowRun]]) -> dict[str, list[str]]:
    return {name: [run.status for run in of_row] for name, of_row in runs.items()}


def test_a_sweep_goes_past_a_failure_and_keeps_what_is_finished(small_sweep, capsys):
    words = ["--rows", "first", "broken", "baseline", "twin", "--seeds", "0", "1"]
    assert main(words) == 1
    table = json.loads((small_sweep / "runs" / "sweep" / "miniature" / "table.json").read_text())
    baseline, first, broken, twin = table["lines"]  # in the order of the table
    assert (baseline["run"], baseline["seeds"], baseline["mean"]["1"]) == ("baseline", [0], 0.125)
    assert first["run"] == "first/ckpt-1" and first["mean"]["1"] == pytest.approx(0.255)
    assert first["deviation"]["1"] == pytest.approx(0.01 / 2**0.5)
    assert broken["status"] == "failed" and "AssertionError: too fast" in broken["note"]
    assert "\n" not in broken["note"] and twin["mean"] == first["mean"] and "first/ckpt-1" in twin["note"]
    assert "| broken | 0 | - |" in capsys.readouterr().out

    again = sweep(small_sweep, ["first", "twin", "baseline"], [0, 1])
    assert statuses(again) == {"baseline": ["kept"], "first": ["kept"] * 2, "twin": ["kept"] * 2}
    assert statuses(sweep(small_sweep, ["first"], [0], IMAGES_PER_SPLIT=3)) == {"first": ["ok"]}
    assert statuses(sweep(small_sweep, ["first"], [0])) == {"first": ["kept"]}, "the other settings took its place"


def test_captions_are_wanted_before_anything_runs_and_their_content_counts(small_sweep):
    with pytest.raises(CourseError, match=r"runs/miniature/backtranslated\.jsonl is not there: make course NB=02"):
        sweep(small_sweep, ["baseline", "texts"], [0])
    captions = small_sweep / "runs" / "miniature" / "backtranslated.jsonl"
    captions.parent.mkdir(parents=True)
    captions.write_text("one two")
    (run,) = sweep(small_sweep, ["texts"], [0])["texts"]
    assert (run.status, run.metrics["finetuned_top1"]) == ("ok", 2.5)
    (small_sweep / "mine.jsonl").write_text("one two three")
    (run,) = sweep(small_sweep, ["texts"], [0], CAPTIONS_FILE="mine.jsonl")["texts"]
    assert (run.status, run.metrics["finetuned_top1"]) == ("ok", 3.5)
    with pytest.raises(CourseError, match=r"gone\.jsonl"):
        sweep(small_sweep, ["texts"], [0], CAPTIONS_FILE="gone.jsonl")


def fake_outcomes(monkeypatch, *endings: Outcome) -> list[list[str]]:
    """Has notebooks end as told, and gives the list of what was asked for."""
    asked = []

    def run_notebooks(root, notebooks, parameters, output_dir, **_):
        asked.append([path.stem for path in notebooks])
        return list(endings)

    monkeypatch.setattr(runs_module, "run_notebooks", run_notebooks)
    monkeypatch.setattr(runs_module, "read_metrics", lambda path: {})
    return asked


def test_the_untrained_row_is_evaluated_once_and_never_trained(small_sweep, monkeypatch):
    asked = fake_outcomes(monkeypatch, Outcome("05_evaluate_zero_shot", "ok"))
    assert len(sweep(small_sweep, ["baseline"], [3, 4], EPOCHS=5)["baseline"]) == 1
    assert asked == [["05_evaluate_zero_shot"]]


def test_what_the_notebooks_leave_out_is_a_failure_with_its_reason(small_sweep, monkeypatch):
    endings = [Outcome("04_finetune_clip", "left out", error="No captions."), Outcome("05_evaluate_zero_shot", "ok")]
    fake_outcomes(monkeypatch, *endings)
    (run,) = sweep(small_sweep, ["first"], [0])["first"]
    assert (run.status, run.error) == ("failed", "04_finetune_clip, No captions.")
    fake_outcomes(monkeypatch, replace(endings[0], status="ok", error=""), endings[1])
    (run,) = sweep(small_sweep, ["first"], [0])["first"]
    assert run.status == "failed" and "no test image has a category" in run.error


@pytest.mark.parametrize("kind", ["TrainingStopped", "KeyboardInterrupt"])
def test_an_interrupted_notebook_ends_the_sweep_and_is_no_failure(small_sweep, monkeypatch, capsys, kind):
    fake_outcomes(monkeypatch, Outcome("04_finetune_clip", "failed", error=f"cell 9: {kind}: stopped"))
    assert main(["--rows", "first"]) == 130
    assert "the same command resumes it" in capsys.readouterr().err


def test_a_training_whose_model_is_gone_is_run_again(small_sweep):
    assert statuses(sweep(small_sweep, ["first"], [0])) == {"first": ["ok"]}
    (model,) = (small_sweep / "runs" / "sweep" / "miniature" / "first").glob("seed-0-*/finetuned/model")
    shutil.rmtree(model)
    assert statuses(sweep(small_sweep, ["first"], [0])) == {"first": ["ok"]} and model.is_dir()


def test_captions_of_a_part_of_the_images_are_refused(small_sweep):
    for number in range(3):
        for folder in ("train", "test"):
            picture = small_sweep / "pictures" / folder / "field" / f"{number}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(picture)
    captions = small_sweep / "runs" / "miniature-pictures" / "backtranslated.jsonl"
    captions.parent.mkdir(parents=True)  # of these data, and not of the profile's own
    lines = [{"filename": f"{n}.png", "captions": ["a field"], "split": "train"} for n in range(2)]
    captions.write_text("\n".join(map(json.dumps, lines)))
    pictures = str(small_sweep / "pictures")
    with pytest.raises(CourseError, match="2 training images, and a run is to have 3"):
        find_captions(load_scale(small_sweep, "miniature", {"DATASET": pictures}))
    small = {"DATASET": pictures, "IMAGES_PER_SPLIT": 2}
    assert find_captions(load_scale(small_sweep, "miniature", small)).endswith("lated.jsonl")


def test_the_command_line_has_help():
    done = subprocess.run([sys.executable, "-m", "utils.course.sweep", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--seeds" in done.stdout
