"""Nobody reads what is not theirs, and no visitor takes the page from the others."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from demo_world import ask, listen, upload
from hostile_images import HOSTILE
from starlette.exceptions import HTTPException
from training_world import colors

from utils.demo import demo_blocks, limits, server
from utils.demo.files import sweep, temporary_cache
from utils.demo.guard import Guard, Hosts
from utils.demo.limits import UploadLimits, client_of, in_turn
from utils.demo.server import serve
from utils.search import ImageIndex

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def index(model, tmp_path_factory) -> ImageIndex:
    return ImageIndex.build(model, colors(tmp_path_factory.mktemp("colors")), batch_size=8, progress=False)


@pytest.fixture(scope="module")
def blocks(index):
    with temporary_cache():
        blocks = demo_blocks(index)
        yield blocks
        blocks.close(verbose=False)


@pytest.fixture(scope="module")
def page(blocks):
    with httpx.Client(base_url=serve(blocks), timeout=30) as client:
        yield client


def image(side: int = 40) -> bytes:
    return HOSTILE["clear.png"](side)


def scope(host: str, local: str = "127.0.0.1", method: str = "GET", **headers: str) -> dict:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"method": method, "server": (local, 7860), "headers": [(b"host", host.encode()), *named]}


def answers(hosts: Hosts, asked: dict) -> bool:
    try:
        hosts.check(asked)
    except HTTPException as refusal:
        assert refusal.status_code == 403 and refusal.detail.count(".") == 1
        return False
    return True


@pytest.mark.parametrize(
    ("host", "added", "asked", "local", "right"),
    [
        ("127.0.0.1", (), "127.0.0.1:7860", "127.0.0.1", True),
        ("127.0.0.1", (), "LocalHost:7860", "127.0.0.1", True),
        ("127.0.0.1", (), "[0:0::1]:7860", "127.0.0.1", True),
        ("::1", (), "[::1]:7860", "::1", True),
        ("127.0.0.1", (), "localhost.:7860", "127.0.0.1", False),
        ("127.0.0.1", (), "0.0.0.0:7860", "127.0.0.1", False),
        ("127.0.0.1", (), "2130706433:7860", "127.0.0.1", False),
        ("127.0.0.1", (), "127.0.0.1:7860, rebound.example", "127.0.0.1", False),
        ("127.0.0.1", (), "127.0.0.1:7861", "127.0.0.1", False),
        ("127.0.0.1", (), "127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", (), "rebound.example:7860", "127.0.0.1", False),
        ("127.0.0.1", (), "127.0.0.1.rebound.example:7860", "127.0.0.1", False),
        ("127.0.0.1", (), "a@127.0.0.1:7860", "127.0.0.1", False),
        ("127.0.0.1", (), "", "127.0.0.1", False),
        ("0.0.0.0", (), "192.0.2.7:7860", "192.0.2.7", True),
        ("0.0.0.0", (), "192.0.2.8:7860", "192.0.2.7", False),
        ("0.0.0.0", (), "rebound.example:7860", "192.0.2.7", False),
        ("0.0.0.0", (), "localhost:7860", "127.0.0.1", True),
        ("::", (), "192.0.2.7:7860", "::ffff:192.0.2.7", True),
        ("::", (), "[2001:db8::1]:7860", "2001:db8::1", True),
        ("demo.lan", (), "demo.lan:7860", "192.0.2.7", True),
        ("demo.lan", (), "localhost:7860", "192.0.2.7", False),
        ("127.0.0.1", ("hub.example",), "hub.example", "127.0.0.1", True),
        ("127.0.0.1", ("hub.example",), "hub.example:8443", "127.0.0.1", True),
        ("127.0.0.1", ("hub.example",), "not-hub.example", "127.0.0.1", False),
        ("127.0.0.1", ("hub.example:81",), "hub.example:82", "127.0.0.1", False),
        ("127.0.0.1", ("*.hub.example",), "a.hub.example", "127.0.0.1", True),
        ("127.0.0.1", ("*.hub.example",), "ahub.example", "127.0.0.1", False),
    ],
)
def test_the_page_answers_to_its_own_names_and_added_ones(host, added, asked, local, right):
    assert answers(Hosts(host, added), scope(asked, local)) is right


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({"origin": "http://127.0.0.1:7860"}, True),
        ({"origin": "http://127.0.0.1:7861"}, False),
        ({"origin": "http://localhost:7860"}, False),
        ({"origin": "http://rebound.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "file://"}, False),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, True),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, False),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"}, False),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, True),  # a link, or a notebook's frame
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "method": "POST"}, False),
    ],
)
def test_another_sites_page_gets_no_answer(headers, right):
    assert answers(Hosts("127.0.0.1"), scope("127.0.0.1:7860", **headers)) is right


def test_a_proxy_with_an_added_name_is_the_page_itself():
    hosts = Hosts("127.0.0.1", ("hub.example",))
    assert answers(hosts, scope("hub.example", origin="https://hub.example"))
    assert answers(hosts, scope("127.0.0.1:7860", origin="https://hub.example"))
    assert not answers(hosts, scope("hub.example", origin="https://other.example"))


@pytest.mark.parametrize(
    ("forwarded", "right"),
    [("hub.example", True), ("hub.example, inner", True), ("rebound.example", False), ("", False)],
)
def test_a_proxy_that_names_another_host_is_not_answered(forwarded, right):
    hosts = Hosts("127.0.0.1", ("hub.example",))
    assert answers(hosts, scope("127.0.0.1:7860", x_forwarded_host=forwarded)) is right
    assert answers(hosts, scope("hub.example", x_forwarded_host=forwarded)) is right


def test_only_a_proxy_that_was_told_of_may_speak_for_others():
    headers = scope("127.0.0.1:7860", x_forwarded_host="a", forwarded="host=a", x_gradio_server="http://a", accept="*")

    def told(*added: str) -> list[bytes]:
        return [name for name, _ in Hosts("127.0.0.1", added).without_hearsay(headers)["headers"]]

    assert told() == [b"host", b"accept"]
    assert told("hub.example") == [b"host", b"x-forwarded-host", b"forwarded", b"accept"]


@pytest.mark.parametrize("name", ["", "*", "http://hub.example", "a b", "hub.example/", "hub.example:x"])
def test_an_added_name_that_is_not_a_name_is_said(name):
    with pytest.raises(ValueError, match="not the name of a host"):
        Hosts("127.0.0.1", (name,))
    with pytest.raises(ValueError, match="not the name of a host"):
        serve(None, allow_hosts=[name])


@pytest.mark.parametrize(
    "headers", [{"Host": "rebound.example"}, {"Origin": "http://rebound.example"}, {"Origin": "null"}]
)
def test_no_route_and_no_method_answers_another_site(page, blocks, headers):
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    routes = {path: {"options", "put", *methods} for path, methods in blocks.app.openapi()["paths"].items()}
    assert len(routes) > 50 and {"/config", "/assets/{path}", "/gradio_api/queue/join"} <= routes.keys()
    for route, methods in {**routes, "/nothing": {"get"}}.items():
        for method in methods:
            more = (asks if method == "options" else {}) | (upgrade if method == "get" else {})
            answer = page.request(method.upper(), re.sub(r"{.*?}", "a", route), headers=headers | more)
            assert answer.status_code == 403, (method, route)
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert method == "head" or answer.text.count(".") == 1


@pytest.mark.parametrize("target", ["http://rebound.example/config", "//rebound.example/config", "*"])
def test_an_address_in_the_request_line_opens_nothing(page, target):
    with socket.create_connection((page.base_url.host, page.base_url.port), timeout=20) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {page.base_url.netloc.decode()}\r\n\r\n".encode())
        assert b" 404 " in connection.recv(100)


@pytest.mark.parametrize("lines", ["", "Host: {own}\r\nHost: rebound.example\r\n"])
def test_no_host_or_two_are_refused(page, lines):
    own = page.base_url.netloc.decode()
    with socket.create_connection((page.base_url.host, page.base_url.port), timeout=20) as connection:
        connection.sendall(f"GET /config HTTP/1.1\r\n{lines.format(own=own)}\r\n".encode())
        assert b" 400 " in connection.recv(100)


def test_what_a_visitor_says_of_proxies_changes_no_address_and_no_account(page, monkeypatch, capfd):
    said = {
        "X-Forwarded-Host": "rebound.example", "X-Gradio-Server": "http://rebound.example",
        "X-Forwarded-Proto": "https", "Forwarded": "host=rebound.example",
    }  # fmt: skip
    config = page.get("config", headers=said).json()
    assert config["root"] == str(page.base_url).rstrip("/")
    monkeypatch.setattr(limits, "MAX_UPLOADS_PER_CLIENT", 0)
    for visitor in ("203.0.113.7", "a:b:c", "[::1", "unknown", ""):
        sent = page.post("gradio_api/upload", files={"files": b"x"}, headers={"X-Forwarded-For": visitor})
        assert sent.status_code == 429 and "your images" in sent.text
    assert "Traceback" not in capfd.readouterr().err


def test_behind_a_proxy_each_visitor_has_an_account_of_his_own(page, blocks, monkeypatch):
    assert blocks.server.config.proxy_headers is False
    listening = socket.create_server(("127.0.0.1", 0))
    seen = []
    monkeypatch.setattr(limits.UploadLimits, "upload", lambda self, client, length: seen.append(client))
    guard = Guard(None, Hosts("127.0.0.1", ("hub.example",)), None, None)
    behind = server.Server(guard, listening, Path(), behind_proxy=True)
    behind.start()
    headers = {"Host": "hub.example"}
    for visitor in ("203.0.113.7", "2001:db8::7", "a:b:c"):
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            client.post("gradio_api/upload", files={"files": b"x"}, headers={**headers, "X-Forwarded-For": visitor})
    behind.close()
    assert seen == ["203.0.113.7", "2001:db8::/64", ""]


def test_the_page_itself_invites_nobody(page):
    own = str(page.base_url).rstrip("/")
    answer = page.get("config", headers={"Origin": own})
    assert answer.status_code == 200
    asked = {"Origin": own, "Access-Control-Request-Method": "POST"}
    preflight = page.options("gradio_api/queue/join", headers=asked)
    assert preflight.status_code == 405
    for headers in (answer.headers, preflight.headers):
        assert not [name for name in headers if name.startswith("access-control")]


WRONG = (
    None, True, 3, -1, 1e308, float("nan"), "", "3", "\ud800", "x" * 9_000, [], ["a"], [[[]]], {}, {"a": 1},
    {"path": None}, {"path": 5}, {"path": "{sent}"}, {"path": "{sent}", "meta": 5},
    {"path": "{sent}", "size": "x", "meta": {"_type": "gradio.FileData"}}, {"__type__": "update"},
)  # fmt: skip
SENTENCE = re.compile(r'<p role="status" class="said[^>]*>[^<]+[.?!]</p>')


def test_a_wrong_type_gets_a_sentence_and_the_log_no_traceback(page, capfd):
    sent = upload(page, "a.png", image())
    right = {"search_by_text": ["red", 3], "search_by_image": [sent, 3], "find_feature": [sent, "red", "large"]}
    for name, inputs in right.items():
        for place in range(len(inputs)):
            for value in WRONG:
                asked = json.dumps({"data": [*inputs[:place], value, *inputs[place + 1 :]]})
                asked = asked.replace("{sent}", sent["path"])
                said = answer_of(page, f"gradio_api/call/{name}", asked)
                assert SENTENCE.match(said) or re.fullmatch(r'{"detail":".*\."}', said), (name, place, value, said)
        for data in (inputs[:-1], [*inputs, 1], [], None, "x", {"a": 1}):
            refused = page.post(f"gradio_api/call/{name}", json={"data": data})
            assert refused.status_code == 422 and f"{len(inputs)} inputs" in refused.json()["detail"]
    assert not [line for line in capfd.readouterr().err.splitlines() if "Traceback" in line]


def answer_of(client: httpx.Client, path: str, content: str) -> str:
    answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
    if answer.status_code != 200:
        return answer.text
    return listen(client, f"{path}/{answer.json()['event_id']}")


@pytest.mark.parametrize(
    "change",
    [
        {"session_hash": 5}, {"session_hash": None}, {"session_hash": []}, {"session_hash": "x" * 100},
        {"session_hash": ""}, {"fn_index": None}, {"fn_index": "0"}, {"fn_index": 99}, {"fn_index": -1},
        {"fn_index": True}, {"fn_index": 0.0}, {"fn_index": []}, {"data": 5}, {"data": []},
    ],
)  # fmt: skip
def test_a_question_of_another_shape_is_refused_in_a_sentence(page, change, capfd):
    question = {"data": ["red", 3], "fn_index": 0, "session_hash": "shape"} | change
    refused = page.post("gradio_api/queue/join", json=question)
    assert refused.status_code == 422 and refused.json()["detail"].endswith(".")
    assert page.post("gradio_api/call/nothing", json={"data": []}).status_code == 404
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/queue/data?session_hash=nobody",
        "gradio_api/queue/data",
        "gradio_api/call/search_by_text/nobody",
        "gradio_api/upload_progress",
        "assets/nothing.js",
        "assets/" + "x" * 5_000,
        "config?" + "x" * 60_000,
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(page, path, capfd):
    answer = page.get(path)
    assert answer.status_code in (404, 414, 422) and answer.text.strip().endswith((".", '."}'))
    assert "Traceback" not in capfd.readouterr().err


def files_below(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def begin_upload(client: httpx.Client, announced: int, content: bytes) -> socket.socket:
    netloc = client.base_url.netloc.decode()
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: {announced}\r\n"
        "Content-Type: multipart/form-data; boundary=bound\r\n\r\n--bound\r\n"
        'Content-Disposition: form-data; name="files"; filename="half.png"\r\n\r\n'
    )
    connection = socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)
    connection.sendall(head.encode() + content)
    return connection


def wait_until(holds) -> None:
    """Waits for what must come, as long as a busy machine may need."""
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_an_upload_that_breaks_off_leaves_nothing(page, capfd):
    folder = os.environ["GRADIO_TEMP_DIR"]
    before = set(files_below(folder))
    with begin_upload(page, 5_000_000, bytes(300_000)):
        wait_until(lambda: sum(p.stat().st_size for p in set(files_below(folder)) - before) >= 200_000)
    wait_until(lambda: set(files_below(folder)) == before)
    assert "Traceback" not in capfd.readouterr().err


def test_what_a_broken_upload_leaves_nevertheless_goes_by_age(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "full").mkdir()
    for name in ("tmpold", "tmpnew", "kept.png", "full/a.png"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("tmpold", "kept.png", "full/a.png", "old", "full"):
        os.utime(tmp_path / name, (1, 1))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"tmpnew", "kept.png", "full"}


def test_a_begun_upload_counts_by_what_it_announces_and_a_broken_one_by_what_came(monkeypatch):
    monkeypatch.setattr(limits, "MAX_STORED", 10_000_000)
    monkeypatch.setattr(limits, "MAX_STORED_PER_CLIENT", 6_000_000)
    account = UploadLimits()
    with account.upload("a", 5_000_000) as begun:
        with pytest.raises(HTTPException, match="of your images are kept"), account.upload("a", 2_000_000):
            pass
        with account.upload("b", 4_000_000):
            pass
        begun.received = 100_000
    with account.upload("a", 5_000_000):
        pass


def test_one_client_does_not_take_all_places_for_uploads(monkeypatch):
    monkeypatch.setattr(limits, "MAX_UPLOADS_PER_CLIENT", 2)
    account = UploadLimits()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(account.upload("a", 1))
        with pytest.raises(HTTPException) as refused, account.upload("a", 1):
            pass
        assert refused.value.status_code == 429
        stack.enter_context(account.upload("b", 1))
    with account.upload("a", 1):
        pass


def test_uploads_are_forgotten_when_their_files_are_deleted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(limits, "MAX_STORED_PER_CLIENT", 1_000_000)
    account = UploadLimits()
    with account.upload("a", 900_000) as sent:
        sent.received = 900_000
    with pytest.raises(HTTPException), account.upload("a", 900_000):
        pass
    now[0] = limits.SECONDS_KEPT + 2 * limits.SECONDS_BETWEEN_SWEEPS + 1
    with account.upload("a", 900_000):
        pass


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nX: ", b"", b"POST /gradio_api/queue/join HTTP/1.1\r\n"])
def test_headers_that_never_end_end(page, monkeypatch, start):
    monkeypatch.setattr(server, "SECONDS_FOR_HEADERS", 0.3)
    with socket.create_connection((page.base_url.host, page.base_url.port), timeout=30) as connection:
        assert drip(connection, start) == b""


@pytest.mark.parametrize(
    ("path", "kind"), [("queue/join", "application/json"), ("upload", "multipart/form-data; boundary=bound")]
)
def test_a_body_that_never_ends_ends(page, monkeypatch, path, kind):
    monkeypatch.setattr(limits, "SECONDS_TO_BEGIN", 0.3)
    monkeypatch.setattr(server, "SECONDS_FOR_HEADERS", 0.3)
    head = (
        f"POST /gradio_api/{path} HTTP/1.1\r\nHost: {page.base_url.netloc.decode()}\r\nContent-Type: {kind}\r\n"
        "Content-Length: 9999\r\n\r\n"
    )
    with socket.create_connection((page.base_url.host, page.base_url.port), timeout=30) as connection:
        assert re.search(rb"HTTP/1.1 40[08] .*\.", drip(connection, head.encode()), re.DOTALL)


def drip(connection: socket.socket, start: bytes) -> bytes:
    """Sends a byte now and then until the server hangs up, and gives what it said."""
    stop, said = threading.Event(), b""

    def send() -> None:
        with contextlib.suppress(OSError):
            connection.sendall(start)
            while start and not stop.wait(0.05):
                connection.sendall(b"x")

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(4096):
            said += part
    stop.set()
    sender.join()
    return said


def test_one_client_has_only_so_many_connections(page, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS_PER_CLIENT", 3)
    place = (page.base_url.host, page.base_url.port)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(place, timeout=20)) for _ in range(5)]
        with contextlib.suppress(ConnectionError):
            assert opened[-1].recv(1) == b""
        other = stack.enter_context(socket.create_connection(place, 20, source_address=("127.0.0.2", 0)))
        other.sendall(f"GET /theme.css HTTP/1.0\r\nHost: {page.base_url.netloc.decode()}\r\n\r\n".encode())
        assert b" 200 " in other.recv(100)


def test_answers_that_nobody_reads_turn_nobody_else_away(page, monkeypatch):
    monkeypatch.setattr(limits, "MAX_WAITING_PER_CLIENT", 3)
    asked = {"data": ["red", 2]}
    statuses = [page.post("gradio_api/call/search_by_text", json=asked).status_code for _ in range(5)]
    assert statuses.count(503) >= 2 and statuses[0] == 200
    other = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=page.base_url, timeout=30, transport=other) as client:
        assert "2 images" in ask(client, "search_by_text", "red", 2)
    monkeypatch.setattr(limits, "SECONDS_UNREAD", 0.0)  # by now nobody came to read them
    assert "2 images" in ask(page, "search_by_text", "red", 2)


def test_questions_on_their_way_count_too(monkeypatch):
    monkeypatch.setattr(limits, "MAX_WAITING_PER_CLIENT", 2)
    queue = SimpleNamespace(pending_event_ids_session={}, event_queue_per_concurrency_id={})
    waiting = limits.QuestionLimits(queue)

    async def ask_three() -> None:
        async with waiting.asking("a", "a1"), waiting.asking("a", "a2"):
            async with waiting.asking("c", "c1"):
                pass
            with pytest.raises(HTTPException, match="read those first"):
                async with waiting.asking("a", "a3"):
                    pass
        async with waiting.asking("a", "a1"):
            pass

    asyncio.run(ask_three())


def test_everybodys_first_question_comes_before_anybodys_second():
    def asked(client: str, number: int) -> SimpleNamespace:
        request = SimpleNamespace(scope={"client": (f"2001:db8:0:{client}::", 1)})
        return SimpleNamespace(request=request, name=f"{client}{number}")

    waiting = [*(asked("a", number) for number in range(3)), asked("b", 0), asked("c", 0), asked("b", 1)]
    in_turn(waiting)
    assert [event.name for event in waiting] == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_signals_end_the_page_and_proxies_do_not(index, folder, tmp_path, root):
    """Gradio's own start asks for the page through the proxy that the environment names."""
    index.save(tmp_path / "index")
    (tmp_path / "temporary").mkdir()
    proxies = {
        name: address
        for proxy, address in (
            ("HTTP_PROXY", "http://127.0.0.1:9"),
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
            ("ALL_PROXY", "socks5://127.0.0.1:9"),
        )
        for name in (proxy, proxy.lower())
    }
    command = [sys.executable, "-m", "utils.demo", "--index", str(tmp_path / "index"), "--model", str(folder)]
    environment = os.environ | proxies | {"TMPDIR": str(tmp_path / "temporary")}
    process = subprocess.Popen(
        [*command, "--port", "0", "--allow-host", "hub.example"],
        cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("http"):
                break
        else:
            pytest.fail("".join(lines))
        with (
            httpx.Client(base_url=line.split()[0], trust_env=False, timeout=30) as client,
            client.stream("GET", "gradio_api/heartbeat/a"),
            begin_upload(client, 5_000_000, bytes(1_000)),
        ):
            assert client.get("config", headers={"Host": "hub.example"}).status_code == 200
            assert list((tmp_path / "temporary").glob("demo-*"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    finally:
        process.kill()
    assert "Traceback" not in process.stdout.read()
    assert not list((tmp_path / "temporary").glob("demo-*"))


def test_a_client_is_an_address_or_of_ipv6_a_network():
    hosts = ["10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "2001:db8::2", "fe80::1%eth0", "::ffff:0:a00:7", "", "a:b:c"]
    clients = [client_of((host, 1)) for host in hosts]
    assert clients == ["10.0.0.7", "10.0.0.7", "2001:db8::/64", "2001:db8::/64", "fe80::/64", "::/64", "", ""]
    assert client_of(None) == ""
