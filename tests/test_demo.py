"""The page without a browser: answers, hostile images, and requests that no browser would send."""

import asyncio
import errno
import io
import json
import os
import shutil
import socket
import struct
import threading
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest
from captioner_world import tiny_captioner
from demo_world import ask, served, upload
from PIL import Image
from starlette.exceptions import HTTPException
from training_world import colors, tiny_model

from utils.captioning import caption
from utils.clip import fingerprint
from utils.course import CourseError
from utils.datasets import ImageError
from utils.demo import demo_blocks, render, serve
from utils.demo.__main__ import _trained_in, load_captioner, load_index_and_presence, main
from utils.demo.answers import MAX_LETTERS, Answers
from utils.demo.decoding import read_upload
from utils.demo.files import Downloads, temporary_cache
from utils.demo.guard import Guard, check_path
from utils.demo.limits import MAX_BYTES
from utils.demo.results import FeatureAnswer, SearchAnswer
from utils.demo.server import _listen
from utils.demo.verdicts import verdict
from utils.finder import Finding, PresenceModel, embed_scene, find
from utils.search import ImageIndex

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),  # the bombs are ours
]


@pytest.fixture(scope="module")
def index(model, tmp_path_factory) -> ImageIndex:
    return ImageIndex.build(model, colors(tmp_path_factory.mktemp("colors")), batch_size=8, progress=False)


@pytest.fixture(scope="module")
def presence(model) -> PresenceModel:
    made = {"name": "colors", "images": 8, "scenes": 20, "questions": 40}
    return PresenceModel(
        "An aerial image of {feature}", ("A photograph",), 1.0, 0.0, 0.0, 0.95,
        fingerprint(model), made, {"accuracy": 0.9},
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(index, presence):
    with served(index, presence) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stored = io.BytesIO()
    image.save(stored, kind, **options)
    return stored.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


PLAIN = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
HOSTILE = {
    "text.jpg": (b"not an image at all", "not a JPEG"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a JPEG"),
    "empty.png": (b"", "not a JPEG"),
    "page.png": (b"%PDF-1.7", "not a JPEG"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a JPEG"),
    "truncated.jpg": (encoded(PLAIN, "jpeg")[:600], "damaged"),
    "point.png": (encoded(PLAIN.resize((1, 1)), "png"), "at least 8"),
    "ribbon.png": (encoded(Image.new("1", (50_000, 20)), "png"), "50,000 x 20"),
    "bomb.png": (png_header(12_000, 12_000), "12,000 x 12,000"),
    "larger bomb.png": (png_header(60_000, 60_000), "60,000 x 60,000"),
}
FRIENDLY = {
    "print.jpg": encoded(PLAIN.convert("CMYK"), "jpeg"),
    "deep.png": encoded(Image.fromarray(np.full((40, 60), 40_000, np.uint16)), "png"),
    "deep.tif": encoded(Image.fromarray(np.full((40, 60), 40_000, np.uint16)), "tiff"),
    "moving.gif": encoded(PLAIN, "gif", save_all=True, append_images=[PLAIN.rotate(90)]),
    "moving.webp": encoded(PLAIN, "webp", save_all=True, append_images=[PLAIN.rotate(90)]),
    "palette.png": encoded(PLAIN.quantize(8), "png"),
    "clear.png": encoded(PLAIN.convert("RGBA"), "png"),
    "plain.bmp": encoded(PLAIN, "bmp"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_image_is_answered_by_a_sentence_and_never_decoded(name, tmp_path, monkeypatch):
    content, expected = HOSTILE[name]
    (tmp_path / name).write_bytes(content)
    if expected != "damaged":
        monkeypatch.setattr("utils.demo.decoding.to_rgb", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match=expected) as caught:
        read_upload(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", FRIENDLY)
def test_a_rare_image_is_read(name, tmp_path):
    (tmp_path / name).write_bytes(FRIENDLY[name])
    image = read_upload(tmp_path / name).image
    assert (image.mode, image.size) == ("RGB", (60, 40))


def test_a_turned_image_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "turned.jpg").write_bytes(encoded(PLAIN, "jpeg", exif=exif.tobytes()))
    upload = read_upload(tmp_path / "turned.jpg")
    assert upload.image.size == upload.size == (40, 60)


def test_answers_are_those_of_the_index(index):
    found = Answers(index).by_text("  something \t red ", 3)
    assert found.hits == index.query_text("something red", 3)
    for several in ("something red\n\nblue", "something red | blue |"):
        assert Answers(index).by_text(several, 3).hits == index.query_text(["something red", "blue"], 3)
    like = Answers(index).by_member("2", 7)
    assert index.dataset[2].path not in [hit.path for hit in like.hits] and len(like.hits) == 7


@pytest.mark.parametrize(
    ("text", "k", "expected"),
    [
        (" \n", 3, "few words"),
        (None, 3, "few words"),
        ("?!", 3, "few words"),
        ("red | \u200b", 3, "few words"),
        ("\U0001f6f0\ufe0f", 3, "few words"),
        ("x" * (MAX_LETTERS + 1), 3, "shorten"),
        ("red", 0, "from 1"),
        ("red", 10**9, "from 1"),
        ("red", float("nan"), "from 1"),
        ("red", "3", "from 1"),
        ("red", True, "from 1"),
    ],
)
def test_a_question_that_cannot_be_answered_gets_a_sentence(index, text, k, expected):
    with pytest.raises(ValueError, match=expected):
        Answers(index).by_text(text, k)


@pytest.mark.filterwarnings("ignore:The model reads the first")
def test_a_text_that_the_model_does_not_read_to_its_end_is_remarked(index):
    long = "7 " * (MAX_LETTERS // 2)
    answers = Answers(index)
    assert not [one for one in answers.by_text("a port", 3).remarks if "not its end" in one]
    assert [one for one in answers.by_text(long, 3).remarks if "not its end" in one]


@pytest.mark.parametrize("row", ["8", "-1", "1e3", "٣" * 12, "../../etc/passwd", "", None, 3, ["0"], {"a": 1}])
def test_only_members_are_opened_by_name(index, row):
    with pytest.raises(ValueError, match="shown"):
        Answers(index).by_member(row, 3)


def test_suggestions_and_examples_come_from_the_collection(index):
    answers = Answers(index)
    assert answers.suggestions()[0] in ("a bridge over a river", *index.categories)
    examples = answers.examples()
    assert 1 <= len(examples) <= 6 and all(item in index.dataset for item in examples)


def finding(presence: float | None) -> Finding:
    return Finding("port", "An aerial image of port", (), presence, None)


def test_presence_is_said_in_words_with_the_number():
    said = [verdict("port", finding(p)) for p in (0.97, 0.7, 0.5, 0.2, 0.01)]
    assert len({text.split(":")[0] for text in said}) == 5
    assert "very probably here" in said[0] and "0.97" in said[0]
    assert "very probably not here" in said[-1] and "0.01" in said[-1]
    assert "probab" not in verdict("port", finding(None))


def test_what_was_found_is_escaped_and_described(index, model):
    nasty = "<script>alert(1)</script>${1}{{2}}\" onload='x'"
    hit = index.query_text("red", 1)[0]
    html = render.search_answer(
        SearchAnswer(nasty, [type(hit)(1, 0.5, hit.path, (nasty, nasty), nasty, "x")], [nasty]),
        {hit.path: 0},
        Answers(index).thumbnails,
    )
    assert "<script" not in html and "onload='" not in html
    assert html.count("alt=") == 1 and 'role="status"' in html
    assert "more caption" not in html  # the same caption twice is one
    scene = embed_scene(model, PLAIN)
    answer = find(model, scene, nasty)
    html = render.feature_answer(FeatureAnswer("said", "why", answer), answer.overlay())
    assert "<script" not in html and html.count("<img") == html.count('alt="') == min(7, 1 + len(scene.boxes))
    assert "softmax" in html and "times the probability" not in html
    judged = replace(answer, presence=0.25)
    assert "times the probability 0.25" in render.feature_answer(FeatureAnswer("said", "why", judged), judged.overlay())


def test_the_same_image_is_embedded_once(index, presence, tmp_path, monkeypatch):
    from utils.demo import answers

    calls = []
    monkeypatch.setattr(answers, "embed_scene", lambda *a: calls.append(a) or embed_scene(*a))
    monkeypatch.setattr(answers, "uploaded_path", lambda path: path)
    PLAIN.save(tmp_path / "scene.png")
    asked = Answers(index, presence)
    for text in ("red", "blue"):
        assert asked.find_feature(tmp_path / "scene.png", text, "all sizes").finding.tiles
    assert len(calls) == 1
    unjudged = Answers(index).find_feature(tmp_path / "scene.png", "red", "large")
    assert "nothing more is claimed" in unjudged.details and unjudged.finding.presence is None
    with pytest.raises(ValueError, match="size of the tiles"):
        asked.find_feature(tmp_path / "scene.png", "red", "tiny")
    Image.new("RGB", (16_000, 8)).save(tmp_path / "ribbon.png")
    with pytest.raises(ValueError, match="so long"):
        asked.find_feature(tmp_path / "ribbon.png", "red", "all sizes")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://example.org/x.png",
        "/gradio_api/proxy=http://example.org/",
        "/gradio_api/process_recording",
        "/gradio_api/component_server",
        "/gradio_api/vibe-edit",
        "/gradio_api/run/search_by_text",
        "/gradio_api/stream/1",
        "/monitoring",
        "/openapi.json",
    ],
)
def test_what_the_page_does_not_use_is_not_served(path):
    with pytest.raises(HTTPException):
        check_path(path, "GET")


def hostile_questions(address: str) -> dict[str, dict]:
    """Ways to name a file that was not uploaded, as the image's input."""
    meta = {"_type": "gradio.FileData"}
    tiny = "data:image/png;base64,iVBORw0KGgo="
    return {
        "path": {"path": "/etc/passwd", "meta": meta},
        "path without meta": {"path": "/etc/passwd"},
        "path that climbs": {"path": "{uploaded}/../../../../../etc/passwd", "meta": meta},
        "member of the checkout": {"path": "README.md", "meta": meta},
        "address": {"path": f"{address}/image.png", "meta": meta},
        "address as a stream": {"path": f"{address}/image.png", "meta": meta, "is_stream": True},
        "file address": {"path": "file:///etc/passwd", "meta": meta},
        "address beside": {"path": "/etc/passwd", "url": f"{address}/image.png", "meta": meta},
        "data": {"url": tiny},
        "data with a path": {"path": "{uploaded}", "url": " DATA:image/png;base64,xx"},
        "nested": {"a": [{"b": {"path": "/etc/passwd", "meta": meta}}]},
        "no string": {"path": ["/etc/passwd"], "meta": meta},
        "null byte": {"path": "{uploaded}\0", "meta": meta},
    }


@pytest.fixture
def listener():
    """A server that notes who calls."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            self.send_response(404)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", calls
    server.shutdown()
    server.server_close()


def test_no_file_or_address_of_a_visitor_is_opened(page, listener):
    address, calls = listener
    sent = upload(page, "plain.png", encoded(PLAIN, "png"))
    for name, payload in hostile_questions(address).items():
        text = json.dumps(payload).replace("{uploaded}", sent["path"])
        for endpoint, inputs in (
            ("search_by_image", f"[{text}, 3]"),
            ("search_by_text", f"[{text}, 3]"),
            ("find_feature", f'[{text}, "red", "all sizes"]'),
        ):
            response = page.post(
                f"gradio_api/call/{endpoint}",
                content=f'{{"data": {inputs}}}',
                headers={"Content-Type": "application/json"},
            )
            assert response.status_code == 403, (name, endpoint, response.text)
    assert not calls
    assert "4 images like yours" in ask(page, "search_by_image", sent, 4)


def test_the_answers_behind_the_guard_refuse_the_same(index, listener):
    address, calls = listener
    with temporary_cache():
        for payload in hostile_questions(address).values():
            with pytest.raises(ImageError) as refused:
                Answers(index).by_upload(payload, 3)
            assert "/etc/passwd" not in str(refused.value)
    assert not calls


def test_an_image_is_described_where_there_is_a_captioner(index, model, page, tmp_path):
    assert "Describe a picture" not in page.get("config").text
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        ask(page, "describe", None)
    tiny_captioner(model).save_pretrained(tmp_path / "captioner" / "model")
    captioner = load_captioner(tmp_path)
    (text,) = caption(captioner, PLAIN, progress=False)  # and compiled, which takes long on a busy machine
    with served(index, captioner=captioner) as address, httpx.Client(base_url=address, timeout=30) as client:
        assert "Describe a picture" in client.get("config").text
        sent = upload(client, "plain.png", encoded(PLAIN, "png"))
        said = ask(client, "describe", sent)
        assert render.status(render._sentence(text)) in said and "Written by a machine" in said
        assert "is not a JPEG" in ask(client, "describe", upload(client, "a.png", b"no image"))
        thin = upload(client, "thin.png", encoded(Image.new("L", (4000, 30)), "png"))
        assert ">The image is 4,000 pixels wide" in ask(client, "describe", thin)
        for name, payload in hostile_questions(address).items():
            data = json.dumps({"data": [payload]}).replace("{uploaded}", sent["path"])
            headers = {"Content-Type": "application/json"}
            response = client.post("gradio_api/call/describe", content=data, headers=headers)
            assert response.status_code == 403, (name, response.text)


def test_what_a_captioner_writes_is_escaped_and_may_be_nothing():
    assert "&lt;b&gt;" in render.description("<b>") and "<b>" not in render.description("<b>")
    assert "found no words" in render.description("")


def test_a_captioner_is_loaded_only_where_there_is_one(tmp_path):
    assert load_captioner(tmp_path) is None
    with pytest.raises(CourseError, match=r"is no captioner: it has no config\.json"):
        load_captioner(tmp_path, str(tmp_path))


def test_files_of_the_server_are_not_handed_out(page, root):
    for path in ("/etc/passwd", root / "README.md", "http://127.0.0.1:1/x.png", "/etc/../etc/hostname"):
        assert page.get(f"gradio_api/file={path}").status_code == 403
    sent = upload(page, "page.html", b"<script>alert(1)</script>")
    answer = page.get(f"gradio_api/file={sent['path']}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_what_is_too_long_or_no_json_is_refused(page):
    assert page.post("gradio_api/upload", files={"files": b"x" * (MAX_BYTES + 2**16)}).status_code == 413
    assert page.post("gradio_api/queue/join", content=b"[" * 100_000).status_code == 413
    for body in (b"[" * 60_000, b"\xff", b"{", b"{'path'}"):
        assert page.post("gradio_api/queue/join", content=body).status_code == 400
    unsized = page.post("gradio_api/queue/join", content=iter([b"{}"]))
    assert unsized.status_code == 411


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload"])
def test_a_length_that_is_not_that_of_the_body_is_refused(page, path):
    """In HTTP/1.1 chunks go before a length, so that both together could carry anything behind a small number."""
    host = page.base_url.netloc.decode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b" " * 2**16 + b"\r\n"
    with socket.create_connection((page.base_url.host, page.base_url.port), timeout=10) as connection:
        connection.sendall(head.encode() + 4 * chunk + b"0\r\n\r\n")
        assert b" 411 " in connection.recv(100)


def test_what_is_no_http_is_not_let_through(index):
    async def pass_on(scope, receive, send):
        pytest.fail("the application was asked")

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(pass_on, None, None, None)({"type": "websocket", "path": "/"}, None, send))
    assert sent == [{"type": "websocket.close"}]


def test_hostile_images_are_answered_and_the_server_continues(page):
    for name, (content, expected) in HOSTILE.items():
        sent = upload(page, name, content)
        assert expected in ask(page, "search_by_image", sent, 3), name
        assert expected in ask(page, "find_feature", sent, "red", "all sizes"), name
    for name, content in FRIENDLY.items():
        assert "3 images like yours" in ask(page, "search_by_image", upload(page, name, content), 3), name
    assert "probability" in ask(page, "find_feature", upload(page, "a.png", FRIENDLY["deep.png"]), "red", "large")
    assert "few words" in ask(page, "search_by_text", "", 3)
    assert "from 1" in ask(page, "search_by_text", "red", ["a"])


def test_uploads_and_downloads_are_bounded(page, monkeypatch, model, tmp_path):
    answer = find(model, embed_scene(model, PLAIN), "red")
    monkeypatch.setattr("utils.demo.files.FINDINGS_KEPT", 2)
    downloads = Downloads(tmp_path)
    files = [downloads.save(answer, answer.overlay()) for _ in range(4)]
    assert [Path(file).exists() for pair in files for file in pair[:2]] == [False] * 4 + [True] * 4
    assert json.loads(Path(files[-1][0]).read_text())["feature"] == "red"
    assert Image.open(files[-1][1]).format == "PNG"
    monkeypatch.setattr(Finding, "save_json", lambda *_: Path("/dev/full").write_text(" "))
    for _ in range(3):
        with pytest.raises(OSError, match="space"):
            downloads.save(answer, answer.overlay())
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("utils.demo.limits.MAX_STORED", 0)
    upload_again = page.post("gradio_api/upload", files={"files": b"x"})
    assert upload_again.status_code == 507 and "try again" in upload_again.text


def test_the_page_asks_nobody_else_and_reports_nothing(page):
    config = page.get("config").json()
    assert config["analytics_enabled"] is False
    assert not [address for address in config["stylesheets"] if "//" in address]
    styles = page.get("theme.css").text
    assert "@import" not in styles and "url(http" not in styles and "googleapis" not in page.get("/").text


def test_files_go_when_the_page_goes(index, model, presence):
    before = os.environ.get("GRADIO_TEMP_DIR")
    with served(index, presence) as address, httpx.Client(base_url=address, timeout=30) as client:
        cache = os.environ["GRADIO_TEMP_DIR"]
        sent = upload(client, "plain.png", encoded(PLAIN, "png"))
        assert "probability" in ask(client, "find_feature", sent, "red", "large")
        kept = [name for _, _, files in os.walk(cache) for name in files]
        assert {"plain.png", "finding.json", "finding.png"} <= set(kept)
    assert not Path(cache).exists() and os.environ.get("GRADIO_TEMP_DIR") == before


def test_the_command_says_what_is_missing(folder, tmp_path, capsys):
    assert main(["--index", str(tmp_path / "none"), "--model", str(folder)]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.count("\n") == 1 and "make course" in said.err


def test_a_short_training_that_stood_in_for_notebook_04_has_its_page(tmp_path):
    """As where a class has skipped 04: notebook 06 has trained, and indexed by that model."""
    assert _trained_in(tmp_path) == tmp_path / "finetuned" / "model"  # which is then said to be missing
    for number, name in enumerate(("finetuned-short", "finetuned-short-1", "finetuned")):
        (tmp_path / name / "model").mkdir(parents=True)
        os.utime(tmp_path / name / "model", (number, number))
        assert _trained_in(tmp_path) == tmp_path / name / "model"


def test_a_port_that_is_taken_is_named(index, page):
    port = page.base_url.port
    with pytest.raises(OSError, match=f"port {port} .*another port"), temporary_cache():
        serve(demo_blocks(index), port=port)


def test_a_port_that_the_system_keeps_for_itself_is_passed_over(monkeypatch):
    """As Windows does with some."""
    create, kept = socket.create_server, []

    def keep_the_first(address, **options):
        if not kept:
            kept.append(address[1])
            raise PermissionError(errno.EACCES, "Permission denied")
        return create(address, **options)

    monkeypatch.setattr(socket, "create_server", keep_the_first)
    with _listen("127.0.0.1", None) as listening:
        assert listening.getsockname()[1] > kept[0]


def test_index_model_and_presence_model_must_fit_each_other(index, presence, folder, tmp_path):
    index.save(tmp_path / "index")
    loaded, judge = load_index_and_presence(tmp_path / "run", str(tmp_path / "index"), str(folder), "")
    assert len(loaded) == len(index) and judge is None
    presence.save(tmp_path / "presence.json")
    assert (
        load_index_and_presence(
            tmp_path / "run", str(tmp_path / "index"), str(folder), str(tmp_path / "presence.json")
        )[1]
        == presence
    )
    with pytest.raises(CourseError, match="no presence model"):
        load_index_and_presence(
            tmp_path / "run", str(tmp_path / "index"), str(folder), str(tmp_path / "index" / "index.json")
        )
    shutil.copytree(folder, tmp_path / "judged")
    presence.save(tmp_path / "judged" / "presence.json")
    assert load_index_and_presence(tmp_path / "run", str(tmp_path / "index"), str(tmp_path / "judged"))[1] == presence
    tiny_model(tmp_path / "other", text={"hidden_size": 16})
    presence.save(tmp_path / "run" / "presence.json")
    replace(presence, model_fingerprint="another's").save(tmp_path / "judged" / "presence.json")
    judged = load_index_and_presence(tmp_path / "run", str(tmp_path / "index"), str(tmp_path / "judged"))[1]
    assert judged == presence  # that of the run goes before, and one that does not fit is passed over
    with pytest.raises(CourseError, match="another model"):
        load_index_and_presence(tmp_path / "run", str(tmp_path / "index"), str(tmp_path / "other"), "")
