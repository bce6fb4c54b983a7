"""Training batches whose images lie on the devices."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from PIL import Image
from training_world import SETTINGS, colors, same, tiny_model

from utils.datasets import CaptionDataset, CaptionedImage, ImagePreprocessing, eval_transform, train_batches
from utils.datasets.images.stretch import ImageError
from utils.training import TrainingSettings, TrainingStopped, data_mesh, train
from utils.training.device_batches import DeviceBatches, random_view
from utils.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = ImagePreprocessing(image_size=12)


def words_to_numbers(texts):
    return np.array([[sum(text.encode()), len(text)] for text in texts], np.int32)


@pytest.fixture
def dataset(tmp_path) -> CaptionDataset:
    return colors(tmp_path / "colors", 8)


def batches(dataset, **options):
    settings = {"batch_size": 4, "epochs": 3, "seed": 7, "augmentation": "zoom", "captions": "one", "workers": 2}
    sharding = NamedSharding(data_mesh(), PartitionSpec("data"))
    return DeviceBatches(dataset, SMALL, words_to_numbers, side=16, sharding=sharding, **settings | options)


def test_batches_have_the_form_of_those_from_files(dataset):
    ours = next(batches(dataset))
    theirs = next(train_batches(dataset, SMALL, words_to_numbers, batch_size=4, epochs=3, seed=7))
    assert {name: (value.shape, value.dtype) for name, value in ours.items()} == {
        name: (value.shape, value.dtype) for name, value in theirs.items()
    }


@pytest.mark.parametrize("captions", ["one", "all"])
def test_an_epoch_shows_every_record_once_with_captions_of_its_own(dataset, captions):
    seen = list(batches(dataset, epochs=1, captions=captions))
    index = np.concatenate([batch["index"] for batch in seen])
    ids = np.concatenate([batch["caption_ids"] for batch in seen])
    own = np.concatenate([batch["caption_sets"] for batch in seen])
    assert all(one in mine for one, mine in zip(ids, own, strict=True))
    if captions == "one":
        assert sorted(index) == list(range(8))
    else:  # whole batches alone
        pairs = list(zip(index, ids, strict=True))
        assert len(set(pairs)) == len(pairs) == sum(len(item.captions) for item in dataset) // 4 * 4


def test_one_seed_is_one_stream_and_a_position_is_found_again(dataset):
    stream = batches(dataset)
    first = [next(stream) for _ in range(3)]
    state, rest = stream.get_state(), list(stream)
    again = batches(dataset)
    again.set_state(state)
    for one, other in zip(rest, again, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert any(
        not np.array_equal(one["images"], other["images"])
        for one, other in zip(first, batches(dataset, seed=8), strict=False)
    )


def test_without_augmentation_they_are_what_evaluation_sees(dataset):
    batch = next(batches(dataset, augmentation="none"))
    for index, pixels in zip(batch["index"], batch["images"], strict=True):
        kept = dataset.open(int(index)).resize((16, 16), Image.Resampling.BICUBIC)
        # Pillow rounds to a level of 255 after each direction, which is 0.015 here.
        np.testing.assert_allclose(pixels, eval_transform(kept, SMALL), atol=0.05)


def test_views_show_all_eight_symmetries_and_crops_of_the_asked_size():
    corner = np.zeros((16, 16, 3), np.float32)
    corner[1:4, 0:2] = 1  # higher than wide, so that a turn shows
    views = [np.asarray(random_view(corner, key, 16, 1.0)[..., 0]) for key in jax.random.split(jax.random.key(0), 120)]
    kinds = set()
    for view in views:
        rows, columns = np.nonzero(view > view.max() / 2)
        kinds.add((rows.mean() > 8, columns.mean() > 8, np.ptp(rows) > np.ptp(columns)))
    assert len(kinds) == 8
    ramp = np.linspace(0.3, 0.7, 32, dtype=np.float32)
    slope = np.broadcast_to(ramp[None, :, None], (32, 32, 3))
    spans = [np.ptp(random_view(slope, key, 16, 0.3)) for key in jax.random.split(jax.random.key(1), 100)]
    whole = [np.ptp(random_view(slope, key, 16, 0.8)) for key in jax.random.split(jax.random.key(1), 100)]
    assert min(spans) < 0.75 * min(whole)  # 0.47 of a side and less, where 0.8 of the area shows 0.77 and more


def test_a_damaged_image_is_named_and_the_next_takes_its_place(dataset):
    dataset[3].path.write_bytes(b"no image")
    with pytest.warns(UserWarning, match=f"{dataset[3].name}.*The next image takes its place"):
        stream = batches(dataset, epochs=1)
    index = np.concatenate([batch["index"] for batch in stream])
    assert sorted(index) == [0, 1, 2, 4, 4, 5, 6, 7]


def test_where_none_can_be_decoded_it_says_why(tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    with pytest.warns(UserWarning), pytest.raises(ImageError, match="None of 1 images can be decoded"):
        batches(CaptionDataset([CaptionedImage(path, ("a field",), "train", "field", "test")]), batch_size=1)


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match="images_on_device cannot be had with the augmentation published"):
        TrainingSettings(images_on_device=128, augmentation="published")
    with pytest.raises(ValueError, match="images_on_device is 0; it must be above zero"):
        TrainingSettings(images_on_device=0)


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, dataset, monkeypatch):
    model = tiny_model(tmp_path / "start")
    settings = replace(SETTINGS, images_on_device=20, augmentation="zoom", tensorboard=False)
    whole = train(model, dataset, dataset, settings, tmp_path / "whole").model
    advance = TrainingRun.advance

    def interrupted(run):
        advance(run)
        if run.step == 3:
            import signal

            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingRun, "advance", interrupted)
    with pytest.raises(TrainingStopped):
        train(model, dataset, dataset, settings, tmp_path / "stopped")
    monkeypatch.setattr(TrainingRun, "advance", advance)
    assert same(train(model, dataset, dataset, settings, tmp_path / "stopped").model, whole)
    assert not same(train(model, dataset, dataset, replace(settings, seed=2), tmp_path / "other").model, whole)
