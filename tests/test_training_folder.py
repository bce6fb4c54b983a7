"""The folder of a run never mixes two runs, and passes nothing old or damaged for what it is not."""

from pathlib import Path

from utils.datasets import CaptionDataset, CaptionedImage, data_fingerprint


def test_the_mark_of_a_data_set_is_that_of_earlier_folders(tmp_path):
    (tmp_path / "red.png").write_bytes(b"123")
    paths = (tmp_path / "red.png", Path("not there.png"))
    items = [CaptionedImage(path, ("red", "a field"), "train", None, "test") for path in paths]
    assert data_fingerprint(CaptionDataset(items, "colours")) == "26ad24bba83e3ede"
