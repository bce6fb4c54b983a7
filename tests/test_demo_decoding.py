"""Small files that hold large images: what they become, and what they may take on the way."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hostile_images import HOSTILE, turned
from PIL import Image, ImageOps

from utils.datasets import ImageError, ImageReading, read_image, to_rgb
from utils.datasets.images.reading import AS_STORED
from utils.demo.decoding import MAX_SCANS, check_decoder, read_upload
from utils.demo.features import OVERLAY_PIXELS, overlay_width


@pytest.mark.parametrize("name", HOSTILE)
def test_a_large_image_is_made_smaller_before_it_is_converted(name, tmp_path, monkeypatch):
    side = 1_200
    (tmp_path / name).write_bytes(HOSTILE[name](side))
    converted = []
    monkeypatch.setattr("utils.demo.decoding.to_rgb", lambda image: converted.append(image.size) or to_rgb(image))
    monkeypatch.setattr("utils.demo.decoding.STRIP_PIXELS", 100_000)
    upload = read_upload(tmp_path / name, 100_000)
    assert upload.size == (side, side) and upload.factor == 4 and upload.image.size == (300, 300)
    assert all(width * height <= 100_000 for width, height in converted)  # those of 8 bits
    monkeypatch.undo()
    with Image.open(tmp_path / name) as image:
        expected = to_rgb(ImageOps.exif_transpose(image)).reduce(4)
    difference = np.asarray(upload.image, np.int16) - np.asarray(expected, np.int16)
    assert np.abs(difference).max() <= 2


def test_a_turned_image_that_was_made_smaller_is_upright_and_measured_so(tmp_path):
    pixels = np.zeros((600, 1_001, 3), np.uint8)
    pixels[:300] = 255
    for name in ("turned.png", "turned.tif", "turned.jpg"):
        Image.fromarray(pixels).save(tmp_path / name, exif=turned())
        upload = read_upload(tmp_path / name, 200_000)
        assert upload.size == (600, 1_001) and upload.image.size == (300, 501)
        assert upload.image.getpixel((280, 200)) == (255, 255, 255)  # the upper half lies on the right now


def test_an_image_is_refused_for_what_its_decoder_would_take(tmp_path, monkeypatch):
    monkeypatch.setattr("utils.demo.decoding.MAX_DECODED", 10_000_000)
    for name, opened in (("palette.gif", True), ("canvas.webp", False), ("strip.tif", False)):
        (tmp_path / name).write_bytes(HOSTILE[name](1_000))
        with Image.open(tmp_path / name) as image:
            if opened:
                check_decoder(image, tmp_path / name)
                continue
            with pytest.raises(ImageError, match="smaller one, or a JPEG"):
                check_decoder(image, tmp_path / name)


def test_an_image_in_very_many_scans_is_refused(tmp_path):
    content = HOSTILE["turned.jpg"](64)
    start = content.index(b"\xff\xda")
    (tmp_path / "scans.jpg").write_bytes(content[:start] + content[start:-2] * (MAX_SCANS + 1) + content[-2:])
    with pytest.raises(ImageError, match="scans"):
        read_upload(tmp_path / "scans.jpg")


def test_a_long_image_is_drawn_narrow():
    assert overlay_width(400, 300) == 800
    width = overlay_width(24, 16_384)
    assert width >= 1 and width * (width * 16_384 / 24) <= OVERLAY_PIXELS


DECODE = """
import sys, threading
from pathlib import Path
from types import SimpleNamespace
from utils.demo.decoding import return_freed_memory
return_freed_memory()
from utils.demo.answers import Answers
from utils.datasets.images.reading import AS_STORED
def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
answers = Answers(SimpleNamespace(reading=AS_STORED))
answers.decode(Path(sys.argv[1]), 10_000)  # what decoders load is not the image's
Path("/proc/self/clear_refs").write_text("5")
before = most()
threads = [threading.Thread(target=answers.decode, args=(Path(name), 2_000_000)) for name in sys.argv[1:]]
for thread in threads: thread.start()
for thread in threads: thread.join()
print((most() - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there does the system say what a process has taken")
def test_eight_hostile_images_at_once_take_the_memory_of_one(tmp_path, root):
    side, names = 2_000, list(HOSTILE)[:8]
    for name in names:
        (tmp_path / name).write_bytes(HOSTILE[name](side))
    command = [sys.executable, "-c", DECODE, *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert not done.stderr
    assert int(done.stdout) < 40 * side**2  # bytes; decoded side by side they took 72 a pixel


def test_tiles_are_told_in_pixels_of_the_image_that_was_sent(folder, tmp_path, monkeypatch):
    from utils.clip import CLIP
    from utils.demo import answers

    monkeypatch.setattr(answers, "FOUND_PIXELS", 20_000)
    monkeypatch.setattr(answers, "uploaded_path", lambda path: path)
    Image.new("RGB", (301, 200), "red").save(tmp_path / "scene.png")
    asked = answers.Answers(SimpleNamespace(asking_model=CLIP.from_pretrained(folder), reading=AS_STORED))
    found = asked.find_feature(tmp_path / "scene.png", "red", "large").finding
    assert found.scene.size == (301, 200) and found.scene.tile_sizes == (200,)
    boxes = found.scene.boxes
    assert boxes[:, 2].max() == 301 and boxes[:, 3].max() == 200 and boxes.min() == 0


@pytest.mark.parametrize(("bands", "kind"), [(3, "uint16"), (4, "uint8"), (13, "uint16"), (3, "float32")])
def test_a_raster_is_shown_as_the_rest_of_the_course_reads_it(tmp_path, bands, kind):
    import rasterio

    values = np.random.default_rng(0).integers(0, 250, (bands, 64, 48)).astype(kind)
    options = {"height": 64, "width": 48, "count": bands, "dtype": kind}
    with rasterio.open(tmp_path / "raster.tif", "w", driver="GTiff", crs="EPSG:32631", **options) as file:
        file.write(values)
    assert np.array_equal(read_upload(tmp_path / "raster.tif").image, read_image(tmp_path / "raster.tif"))
    narrow = ImageReading((0, 1000))
    stretched = read_upload(tmp_path / "raster.tif", reading=narrow).image
    assert np.array_equal(stretched, read_image(tmp_path / "raster.tif", narrow))


def test_a_raster_is_refused_for_what_all_its_bands_would_take(tmp_path, monkeypatch):
    import rasterio

    monkeypatch.setattr("utils.demo.decoding.MAX_DECODED", 64 * 64 * 13 * 2 - 1)
    options = {"height": 64, "width": 64, "count": 13, "dtype": "uint16"}
    with rasterio.open(tmp_path / "raster.tif", "w", driver="GTiff", **options):
        pass
    with pytest.raises(ImageError, match="64 x 64 pixels of 26 bytes"):
        read_upload(tmp_path / "raster.tif")
