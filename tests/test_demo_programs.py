"""What programs get of the page: data beside the HTML, the example in the documentation, small images as files."""

import io
import json
import re
import threading
import time

import httpx
import pytest
from benchmarks.bench_demo import KINDS, visit
from demo_world import ask, ask_all, listen, served, upload
from PIL import Image
from starlette.exceptions import HTTPException
from training_world import colors

from utils.demo import thumbnails
from utils.demo.answers import Answers
from utils.demo.files import temporary_cache
from utils.demo.guard import check_path
from utils.search import ImageIndex

pytestmark = pytest.mark.usefixtures("quick_compilation")


STORED = io.BytesIO()
Image.new("RGB", (40, 40), "red").save(STORED, "png")
PICTURE = STORED.getvalue()


@pytest.fixture(scope="module")
def index(model, tmp_path_factory) -> ImageIndex:
    return ImageIndex.build(model, colors(tmp_path_factory.mktemp("colors")), batch_size=8, progress=False)


@pytest.fixture(scope="module")
def page(index):
    with served(index) as address, httpx.Client(base_url=address, timeout=30) as client:
        yield client


def example(root) -> str:
    """The Python in the documentation."""
    return re.search(r"```python\n(.*?gradio_client.*?)```", (root / "docs/search_page.md").read_text("utf-8"), re.S)[1]


def test_the_example_of_the_documentation_runs(page, root, tmp_path, monkeypatch, capsys):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "mine.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example(root).replace("http://127.0.0.1:7860/", str(page.base_url)), names)
    printed = capsys.readouterr().out.splitlines()
    assert sum(bool(re.match(r"[123] \w+_\d\.png ", line)) for line in printed) == 3
    assert names["answer"]["size"] == [64, 64] and len(names["answer"]["tiles"][0]["box"]) == 4


def test_answers_are_data_too_with_names_and_without_paths(page, index):
    sent = upload(page, "a.png", PICTURE)
    html, data = ask_all(page, "search_by_text", "red", 3)
    hits = index.query_text("red", 3)
    assert [hit["file"] for hit in data["hits"]] == [hit.path.name for hit in hits]
    assert [hit["score"] for hit in data["hits"]] == pytest.approx([hit.score for hit in hits])
    assert data["hits"][0]["captions"] == list(hits[0].captions) and data["sentence"] in html
    _, like = ask_all(page, "search_by_image", sent, 2)
    *_, found = ask_all(page, "find_feature", sent, "red", "large")
    assert len(like["hits"]) == 2 and found["tiles"][0]["box"] == [0, 0, 40, 40]
    assert ask_all(page, "search_by_text", " ", 3)[1] == {
        "error": "Say in a few words what to look for, such as “a stadium”."
    }
    for answer in (html, data, like, found):
        assert str(index.dataset[0].path.parent) not in json.dumps(answer)


def test_a_search_is_narrowed_and_mixed_with_an_image(page, index):
    sent = upload(page, "a.png", PICTURE)
    html, data = ask_all(page, "search", "something | red", 8, "blue", "", None, 0.5)
    assert {hit["category"] for hit in data["hits"]} == {"blue"} and "in the category blue" in html
    _, everything = ask_all(page, "search", "red", 8, "", "", None, 0.5)
    assert len(everything["hits"]) == len(index)
    _, words = ask_all(page, "search", "red", 8, "", "", sent, 1)
    _, image = ask_all(page, "search", "red", 8, "", "", sent, 0)
    assert [hit["file"] for hit in words["hits"]] == [hit["file"] for hit in everything["hits"]]
    assert image["hits"][0]["score"] != pytest.approx(words["hits"][0]["score"])
    assert "no such category" in ask(page, "search", "red", 8, "../etc", "", None, 0.5)
    assert "weight of the words" in ask(page, "search", "red", 8, "", "", sent, 2)
    assert "up to 8" in ask(page, "search", "a|b|c|d|e|f|g|h|i", 8, "", "", None, 0.5)


@pytest.mark.parametrize("value", [None, True, -1, "\ud800", "x" * 9_000, [], {"a": 1}, {"path": "/etc/passwd"}])
def test_a_wrong_type_in_a_narrowed_search_gets_a_sentence(page, value, capfd):
    right = ["red", 3, "", "", None, 0.5]
    for place in range(len(right)):
        data = [*right[:place], value, *right[place + 1 :]]
        content = json.dumps({"data": data})
        asked = page.post("gradio_api/call/search", content=content, headers={"Content-Type": "application/json"})
        if asked.status_code != 200:
            assert asked.status_code == 403 and isinstance(value, dict)
            continue
        assert 'role="status"' in listen(page, f"gradio_api/call/search/{asked.json()['event_id']}")
    assert "Traceback" not in capfd.readouterr().err


def test_small_images_are_files_that_a_browser_may_keep(page):
    html = ask(page, "search_by_text", "red", 3)
    addresses = re.findall(r'<img src="([^"]+)"', html)
    assert len(set(addresses)) == 3 and "base64" not in html
    for address in addresses:
        answer = page.get(address)
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
        assert "max-age" in answer.headers["cache-control"] and answer.headers["x-content-type-options"] == "nosniff"
    folder, _, name = addresses[0].rpartition("/")
    for wrong in (f"{folder}/8.jpg", f"{folder}/99999.jpg", f"thumbnails/{'0' * 16}/{name}"):
        assert page.get(wrong).status_code == 404
    assert page.get(addresses[0], headers={"Origin": "http://rebound.example"}).status_code == 403
    assert page.post(addresses[0], json={}).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/thumbnails/", "/thumbnails/../config", "/thumbnails/0123456789abcdef/../1.jpg", "/thumbnails/1.jpg",
        "/thumbnails/0123456789abcdef/1.png", "/thumbnails/0123456789abcdef/-1.jpg",
        "/thumbnails/0123456789abcdef/1.jpg/", "/thumbnails/0123456789abcdef/1.jpg\n", "//thumbnails/a/1.jpg",
    ],
)  # fmt: skip
def test_no_other_file_is_asked_for_as_a_small_image(path, index):
    with pytest.raises(HTTPException):
        check_path(path, "GET")
    assert Answers(index).thumbnails.find(path) is None


def test_only_the_last_small_images_are_kept_and_others_are_made_again(index, monkeypatch):
    monkeypatch.setattr(thumbnails, "MOST_FILES", 2)
    with temporary_cache() as folder:
        small = Answers(index).thumbnails
        addresses = small.addresses([0, 1, 2, 3])
        assert all(addresses) and len(list(folder.rglob("*.jpg"))) == 2
        path = small.find(f"/{addresses[0]}")
        assert path is not None and Image.open(path).size <= (thumbnails.SIDE, thumbnails.SIDE)
        assert len(list(folder.rglob("*.jpg"))) == 2


def test_many_visitors_at_once_are_all_answered(page):
    """The benchmark of the page (`make bench BENCH=demo`), for a moment."""
    waits, errors = {kind: [] for kind in KINDS}, []
    until = time.perf_counter() + 1.0
    visitors = [
        threading.Thread(target=visit, args=(str(page.base_url), number, until, waits, errors)) for number in range(8)
    ]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert not errors and all(waits.values())
