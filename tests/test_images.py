"""Decoding, transforms and the pipeline, against transformers' processor and against themselves."""

import io
import pickle
import struct
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.datasets import (
    CaptionDataset,
    CaptionedImage,
    ImageError,
    ImagePreprocessing,
    caption_table,
    eval_batches,
    eval_transform,
    read_image,
    steps_per_epoch,
    train_batches,
    train_transform,
)
from utils.datasets.transforms import PublishedDraw, draw_published, published_view

SMALL = ImagePreprocessing(image_size=32)


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A smooth colored picture, so that resampling differences stay small."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def dataset(tmp_path) -> CaptionDataset:
    items = []
    for number in range(10):
        path = tmp_path / f"park_{number}.png"
        picture(number).save(path)
        captions = (f"picture {number}", f"image {number}", "a green park")
        items.append(CaptionedImage(path, captions, "train", "park", "test"))
    return CaptionDataset(items, "test")


def words_to_numbers(texts):
    """A stand-in for a tokenizer that keeps texts apart."""
    return np.array([[sum(text.encode()), len(text)] for text in texts], np.int32)


def run(dataset, **options):
    settings = {"batch_size": 4, "epochs": 3, "seed": 7, "augmentation": "aerial", "workers": 2}
    return list(train_batches(dataset, SMALL, words_to_numbers, **settings | options))


@pytest.mark.parametrize("size", [(48, 40), (300, 200), (33, 90), (32, 32)])
def test_eval_transform_is_what_transformers_does(size):
    from transformers import CLIPImageProcessor

    image = picture(1, size)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    theirs = np.asarray(processor(image, return_tensors="np")["pixel_values"])[0].transpose(1, 2, 0)
    ours = eval_transform(image, SMALL)
    assert ours.dtype == np.float32
    # One level of 255 is 0.0146 after normalization: rounding may differ by one level, no more.
    np.testing.assert_allclose(ours, theirs, atol=0.016)


# Of an odd number of pixels too many torchvision's crop, and so open_clip's, leaves half a pixel on another side.
@pytest.mark.parametrize("size", [(48, 40), (40, 48), (300, 200), (32, 32), (224, 224)])
def test_eval_transform_sees_what_open_clip_sees_to_the_last_pixel(size):
    from open_clip import image_transform

    image = picture(1, size)
    theirs = image_transform(32, is_train=False)(image).numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(eval_transform(image, SMALL), theirs, atol=1e-6)


def test_train_transform_stays_in_range_and_varies():
    generator = np.random.default_rng(0)
    draws = [train_transform(picture(2), SMALL, "aerial", generator) for _ in range(8)]
    assert all(draw.shape == (32, 32, 3) and np.isfinite(draw).all() for draw in draws)
    assert len({draw.tobytes() for draw in draws}) == 8


def torchvision_list() -> list:
    """The published list of transforms, as torchvision's own classes."""
    from torchvision.transforms import InterpolationMode, v2

    return [
        v2.RandomCrop(179),
        v2.ColorJitter(),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomVerticalFlip(0.5),
        v2.RandomResizedCrop(179, scale=(0.8, 1.2), ratio=(1, 1)),
        v2.Resize(224, interpolation=InterpolationMode.BICUBIC),
        v2.CenterCrop(224),
    ]


@pytest.mark.parametrize("size", [(224, 224), (256, 240), (500, 500), (179, 300)])
def test_published_view_is_torchvisions_to_the_last_pixel(size):
    import torch

    image = picture(3, size)
    for seed in range(8):
        transforms = torchvision_list()
        crop, _, mirror, turn, resized_crop, *_ = transforms
        drawn: dict = {}
        for transform in (crop, resized_crop, mirror, turn):
            apply = transform.transform

            def record(inputs, parameters, transform=transform, apply=apply, drawn=drawn):
                drawn[transform] = parameters
                return apply(inputs, parameters)

            transform.transform = record
        torch.manual_seed(seed)
        expected = image
        for transform in transforms:
            expected = transform(expected)
        boxes = [
            tuple(drawn[transform][name] for name in ("top", "left", "height", "width"))
            for transform in (crop, resized_crop)
        ]
        if size == (179, 300):  # a picture smaller than RSICD's is cut in proportion, which torchvision is not
            assert draw_published(300, 179, np.random.default_rng(seed)).first_crop[2:] == (143, 143)
        draw = PublishedDraw(boxes[0], (mirror in drawn, turn in drawn), boxes[1])
        np.testing.assert_array_equal(published_view(image, draw, 224), expected)


def test_published_draws_are_distributed_as_torchvisions():
    import torch
    from scipy.stats import chi2_contingency, ks_2samp

    count = 3000
    generator, crop = np.random.default_rng(0), torchvision_list()[4]
    ours = [draw_published(224, 224, generator) for _ in range(count)]
    torch.manual_seed(0)
    empty = [torch.zeros(3, 179, 179)]
    theirs = [crop.make_params(empty) for _ in range(count)]
    for number, name in enumerate(("top", "left", "height")):
        columns = [draw.second_crop[number] for draw in ours], [draw[name] for draw in theirs]
        assert ks_2samp(*columns).pvalue > 0.01, name
    # From 160, the square root of 0.8, to 179: a scale above 1 never comes.
    sides = {draw.second_crop[2] for draw in ours}
    assert sides == {draw["height"] for draw in theirs} == set(range(160, 180))
    starts = [draw.first_crop[0] for draw in ours]
    assert set(starts) == set(range(46)) and ks_2samp(starts, np.arange(46).repeat(65)).pvalue > 0.01
    flips = np.array([draw.flips for draw in ours])
    assert np.abs(flips.mean(axis=0) - 0.5).max() < 0.03
    assert chi2_contingency(np.histogram2d(*flips.T, bins=2)[0]).pvalue > 0.01


def test_published_training_saw_58_percent_of_a_picture_and_colors_stayed():
    generator = np.random.default_rng(1)
    sides = np.array([draw_published(224, 224, generator).second_crop[2] for _ in range(2000)])
    assert np.mean((sides / 224) ** 2) == pytest.approx(0.58, abs=0.01)
    flat = Image.new("RGB", (224, 224), (200, 100, 50))
    levels = {
        name: {train_transform(flat, SMALL, name, np.random.default_rng(seed)).mean().round(3) for seed in range(6)}
        for name in ("published", "aerial")
    }
    # ColorJitter() without arguments is dead; the course's own list does change colors.
    assert len(levels["published"]) == 1 and len(levels["aerial"]) == 6


@pytest.mark.parametrize("size", [(20, 20), (64, 48), (224, 224)])
def test_published_view_fits_any_picture_and_model(size):
    generator = np.random.default_rng(2)
    views = [train_transform(picture(4, size), SMALL, "published", generator) for _ in range(6)]
    assert all(view.shape == (32, 32, 3) for view in views) and len({view.tobytes() for view in views}) == 6


def test_every_caption_stays_with_its_image_however_many_it_has(dataset):
    uneven = CaptionDataset(
        [
            CaptionedImage(item.path, (*item.captions, item.captions[0])[: 1 + number % 4], "train", None, "test")
            for number, item in enumerate(dataset)
        ]
    )
    texts, _ = caption_table(uneven)
    pairs = [(index, caption) for index, item in enumerate(uneven) for caption in item.captions]
    assert len(pairs) == 23 and steps_per_epoch(uneven, 23, "all") == 1
    orders = []
    for batch in run(uneven, batch_size=23, epochs=2, captions="all", augmentation="none"):
        seen = [(int(i), texts[c]) for i, c in zip(batch["index"], batch["caption_ids"], strict=True)]
        assert sorted(seen) == sorted(pairs)  # each image once for each of its captions
        for index, pixels in zip(batch["index"], batch["images"], strict=True):
            np.testing.assert_array_equal(pixels, eval_transform(read_image(uneven[int(index)].path), SMALL))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_workers_do_not_change_a_pixel(dataset):
    one, four = run(dataset, workers=1), run(dataset, workers=4)
    for first, second in zip(one, four, strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize(("kept", "read"), [(10, 10), (3, 24), (0, 30)])
def test_later_epochs_read_only_what_was_not_kept(kept, read, dataset, monkeypatch):
    paths = []
    every_epoch = run(dataset, batch_size=5, workers=0)
    monkeypatch.setattr("utils.datasets.captioned_image.KEPT_BYTES", kept * 48 * 40 * 4 + 1)
    monkeypatch.setattr(
        "utils.datasets.captioned_image.read_image", lambda path, how: paths.append(path) or read_image(path, how)
    )
    again = run(dataset.with_cache(), batch_size=5, workers=0)
    assert len(paths) == read  # of three epochs of ten pictures
    for first, second in zip(every_epoch, again, strict=True):
        np.testing.assert_array_equal(first["images"], second["images"])


def test_parts_of_a_data_set_share_its_cache(dataset):
    kept = dataset.with_cache()
    parts = kept[:3], kept.subset(4), kept + dataset, kept.captioned(), kept.with_random_splits().split("test")
    assert all(part.cache is kept.cache for part in (*parts, kept.with_cache(), dataset.with_cache(kept.cache)))
    assert dataset.cache is None
    kept.open(1)
    dataset[1].path.unlink()
    assert kept.open(1) == parts[0].open(1)


def test_what_a_caller_draws_on_an_image_is_not_kept(dataset):
    kept = dataset.with_cache()
    for _ in range(3):
        image = kept.open(2)
        assert image == dataset.open(2)
        image.paste("red", (0, 0, *image.size))


def test_a_copy_of_a_data_set_with_a_cache_keeps_images_for_itself(dataset):
    kept = dataset.with_cache()
    kept.open(0)
    again = pickle.loads(pickle.dumps(kept))
    assert list(again) == list(kept) and again.cache not in (None, kept.cache)
    assert len(pickle.dumps(kept)) == len(pickle.dumps(dataset.with_cache()))
    assert again.open(0) == kept.open(0)


def test_threads_that_decode_one_image_at_once_keep_it_once(dataset, monkeypatch):
    monkeypatch.setattr("utils.datasets.captioned_image.KEPT_BYTES", 2 * 48 * 40 * 4)  # of two images
    together = threading.Barrier(4, timeout=20)
    with monkeypatch.context() as slow:
        slow.setattr(
            "utils.datasets.captioned_image.read_image", lambda path, how: (read_image(path, how), together.wait())[0]
        )
        kept = dataset.with_cache()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(kept.open, [0] * 4))
    kept.open(1)
    for item in dataset[:2]:
        item.path.unlink()
    assert kept.open(0).size == kept.open(1).size == (48, 40)


def test_seed_governs_order_and_pixels(dataset):
    first, again, other = run(dataset), run(dataset), run(dataset, seed=8)
    assert all(np.array_equal(a["images"], b["images"]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a["index"], b["index"]) for a, b in zip(first, other, strict=True))


def test_an_epoch_visits_no_image_twice_and_the_next_has_another_order(dataset):
    order = [batch["index"].tolist() for batch in run(dataset)]
    epochs = [order[0] + order[1], order[2] + order[3], order[4] + order[5]]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_caption_stays_with_its_image(dataset):
    texts, _ = caption_table(dataset)
    drawn = set()
    for batch in run(dataset, epochs=20):
        rows = zip(*(batch[name] for name in ("index", "tokens", "caption_ids", "caption_sets")), strict=True)
        for index, tokens, caption_id, caption_set in rows:
            assert {texts[number] for number in caption_set} == set(dataset[int(index)].captions)
            assert texts[caption_id] in dataset[int(index)].captions
            assert tokens.tolist() == words_to_numbers([texts[caption_id]])[0].tolist()
            drawn.add((int(index), int(caption_id)))
    assert len(drawn) == 30  # every caption of every image gets its turn


def test_caption_table_shares_numbers_and_pads(dataset):
    doubled = CaptionedImage(dataset[0].path, ("a green park", "a green park"), "train", "park", "test")
    texts, table = caption_table(CaptionDataset([*dataset[:2], doubled]))
    assert texts == ["picture 0", "image 0", "a green park", "picture 1", "image 1"]
    assert table.tolist() == [[0, 1, 2], [3, 4, 2], [2, -1, -1]]


def test_resumed_stream_goes_on_bit_for_bit(dataset):
    arguments = {"batch_size": 4, "epochs": 3, "seed": 7}
    stream = train_batches(dataset, SMALL, words_to_numbers, **arguments)
    next(stream), next(stream)
    state = stream.get_state()
    rest = list(stream)
    resumed = train_batches(dataset, SMALL, words_to_numbers, **arguments)
    resumed.set_state(state)
    for expected, got in zip(rest, resumed, strict=True):
        np.testing.assert_array_equal(expected["images"], got["images"])
        np.testing.assert_array_equal(expected["tokens"], got["tokens"])


def test_eval_batches_give_every_image_once_in_order_and_mask_the_padding(dataset):
    batches = list(eval_batches(dataset, SMALL, batch_size=4))
    assert [batch["images"].shape for batch in batches] == [(4, 32, 32, 3)] * 3
    assert batches[-1]["mask"].tolist() == [True, True, False, False]
    seen = np.concatenate([batch["index"][batch["mask"]] for batch in batches])
    assert seen.tolist() == list(range(10))
    expected = eval_transform(read_image(dataset[9].path), SMALL)
    np.testing.assert_array_equal(batches[-1]["images"][1], expected)


def save(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_every_mode_becomes_the_same_picture(tmp_path):
    image = picture(3)
    plain = np.asarray(image).astype(int)
    opaque = image.copy()
    opaque.putalpha(255)
    for path in (
        save(tmp_path, image, "rgb.png"),
        save(tmp_path, opaque, "alpha.png"),
        save(tmp_path, image, "rgb.tif"),
        save(tmp_path, image.convert("CMYK"), "cmyk.tif"),
        save(tmp_path, image, "lossless.webp", lossless=True),
    ):
        got = read_image(path)
        assert got.mode == "RGB"
        assert np.abs(np.asarray(got).astype(int) - plain).max() <= 2, path.name


def test_gray_palette_and_sixteen_bit(tmp_path):
    gray = picture(4).convert("L")
    levels = np.asarray(gray)
    sixteen = Image.fromarray(levels.astype(np.uint16) * 257)
    for path in (save(tmp_path, gray, "gray.png"), save(tmp_path, sixteen, "sixteen.png")):
        np.testing.assert_array_equal(np.asarray(read_image(path)), np.stack([levels] * 3, axis=-1))
    palette = read_image(save(tmp_path, picture(4).quantize(16), "palette.gif"))
    assert palette.mode == "RGB" and len(palette.getcolors()) <= 16


def test_transparent_becomes_black(tmp_path):
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 0))
    assert read_image(save(tmp_path, image, "clear.png")).getextrema() == ((0, 0),) * 3


def test_exif_turn_is_applied(tmp_path):
    image = picture(5, (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by a quarter to see it upright"
    turned = read_image(save(tmp_path, image, "turned.png", exif=exif))
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(image.transpose(Image.Transpose.ROTATE_270)))


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    picture(6, (200, 200)).save(buffer, "JPEG")
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(buffer.getvalue()[:600])
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    for path in (truncated, text, tmp_path / "absent.jpg"):
        with pytest.raises(ImageError, match=path.name):
            read_image(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="more pixels"):  # in a format that is not read in parts
        read_image(save(tmp_path, picture(7), "bomb.bmp"))
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(ImageError, match="144, where the limit is 100"):
        read_image(save(tmp_path, picture(7, (12, 12)), "small bomb.bmp"))


def exif_with_text_for_a_number() -> bytes:
    """A quarter turn, and a width that is a word: a turn has EXIF written again, and the word does not fit."""
    entries = [(0x0100, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack("<HH", 6, 0))]
    fields = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4)


def test_whatever_a_decoder_raises_the_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"wordy\.jpg cannot be decoded"):
        read_image(save(tmp_path, picture(8), "wordy.jpg", exif=exif_with_text_for_a_number()))


def test_decoding_in_threads_leaves_the_warnings_of_others_alone(tmp_path, monkeypatch):
    paths = [save(tmp_path, picture(number), f"{number}.png") for number in range(2)]
    opened, done = [threading.Event(), threading.Event()], threading.Event()
    open_image = Image.open

    def interleaved(source):
        """The second begins within the first and ends behind it."""
        number = paths.index(Path(source.name))
        opened[number].set()
        (done if number else opened[1]).wait(5)
        return open_image(source)

    monkeypatch.setattr(Image, "open", interleaved)
    first, second = (threading.Thread(target=read_image, args=[path]) for path in paths)
    with warnings.catch_warnings():
        before = list(warnings.filters)
        first.start()
        opened[0].wait(5)
        second.start()
        first.join()
        done.set()
        second.join()
        assert warnings.filters == before


def test_a_picture_of_which_a_square_shows_nothing_is_named(dataset, tmp_path):
    path = save(tmp_path, Image.new("RGB", (1, 500)), "thread.png")
    threads = CaptionDataset([CaptionedImage(path, ("a line",), "train", None, "test")] * 4)
    with pytest.raises(ImageError, match=r"thread\.png"):
        next(eval_batches(threads, SMALL))
    with pytest.raises(ImageError, match=r"thread\.png"):
        run(threads, augmentation="none")


def test_impossible_arguments_are_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="batch of 11"):
        run(dataset, batch_size=11)
    with pytest.raises(ValueError, match="pairs cannot be drawn from 30"):
        run(dataset, batch_size=31, captions="all")
    with pytest.raises(ValueError, match="five"):
        run(dataset, captions="five")
    with pytest.raises(ValueError, match="sunny"):
        run(dataset, augmentation="sunny")
    with pytest.raises(ValueError, match="sunny"):
        train_transform(picture(9), SMALL, "sunny", np.random.default_rng(0))
    with pytest.raises(ValueError, match="epoch"):
        run(dataset, epochs=0)
    bare = CaptionDataset([*dataset, CaptionedImage(tmp_path / "bare.png", (), "train", None, "test")], "test")
    with pytest.raises(ValueError, match=r"bare\.png"):
        run(bare)
