"""Decoding, transforms and the pipeline, against transformers' processor and against themselves."""

import io

import numpy as np
import pytest
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage
from utils.images import (
    ImageError,
    ImagePreprocessing,
    caption_table,
    eval_batches,
    eval_transform,
    read_image,
    train_batches,
    train_transform,
)

SMALL = ImagePreprocessing(image_size=32)


def picture(seed: int, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """A smooth coloured picture, so that resampling differences stay small."""
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
    # One level of 255 is 0.0146 after normalisation: rounding may differ by one level, no more.
    np.testing.assert_allclose(ours, theirs, atol=0.016)


def test_train_transform_stays_in_range_and_varies():
    generator = np.random.default_rng(0)
    draws = [train_transform(picture(2), SMALL, "aerial", generator) for _ in range(8)]
    assert all(draw.shape == (32, 32, 3) and np.isfinite(draw).all() for draw in draws)
    assert len({draw.tobytes() for draw in draws}) == 8


def test_workers_do_not_change_a_pixel(dataset):
    one, four = run(dataset, workers=1), run(dataset, workers=4)
    for first, second in zip(one, four, strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


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


def test_grey_palette_and_sixteen_bit(tmp_path):
    grey = picture(4).convert("L")
    levels = np.asarray(grey)
    sixteen = Image.fromarray(levels.astype(np.uint16) * 257)
    for path in (save(tmp_path, grey, "grey.png"), save(tmp_path, sixteen, "sixteen.png")):
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
    with pytest.raises(ImageError, match="more pixels"):
        read_image(save(tmp_path, picture(7), "bomb.png"))


def test_impossible_arguments_are_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="batch of 11"):
        run(dataset, batch_size=11)
    with pytest.raises(ValueError, match="sunny"):
        run(dataset, augmentation="sunny")
    with pytest.raises(ValueError, match="epoch"):
        run(dataset, epochs=0)
    bare = CaptionDataset(
        [*dataset, CaptionedImage(tmp_path / "bare.png", (), "train", None, "test")], "test"
    )
    with pytest.raises(ValueError, match=r"bare\.png"):
        run(bare)
