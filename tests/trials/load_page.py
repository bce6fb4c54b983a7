"""The page under load: many visitors for a minute, some of them careless or hostile, on a page of this machine.

    python tests/trials/load_page.py --clients 32 --seconds 60

Starts the page itself, as `make demo` does, with the small starting checkpoint and an index over pictures of the
miniature, and speaks to 127.0.0.1 alone. Each client asks one thing after another: by words, by a picture that it
sends, for a feature in one; now and then it breaks an upload off, sends a small file that holds a large picture,
asks without ever reading, or asks as another site would. Then eight hostile pictures are asked for at once. Prints
what came back by kind, how long it took, and the most memory that the server ever had. Time and number of requests
are bounded. Not part of the tests.
"""

import argparse
import contextlib
import random
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "benchmarks")]

from bench_demo import TEXTS, picture, start_server  # noqa: E402
from demo_world import ask, upload  # noqa: E402
from hostile_images import HOSTILE, SIDE  # noqa: E402

MOST_REQUESTS = 400  # of one client
PATIENCE = 120  # seconds for an answer
AT_ONCE = 8  # hostile pictures
SEARCH_HOSTILE, FIND_HOSTILE = "deep-colors.png", "deep-gray.png"


@dataclass
class Seen:
    """What came back.

    Attributes:
        answers: By kind of question and of answer, how often.
        waits: By kind of question, in seconds.
        wrong: Answers that should not have been.
    """

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, seconds: float, answer: str, right: bool) -> None:
        """Adds one answer."""
        with self.lock:
            self.answers[kind, answer] += 1
            self.waits[kind].append(seconds)
            if not right:
                self.wrong.append(f"{kind}: {answer}")


def said(html: str) -> str:
    """The sentence of an answer, without its numbers and quotations."""
    found = re.search(r"<p[^>]*>(.*?)</p>", html)
    return re.sub(r"“.*?”", "...", re.sub(r"[\d.,]*\d", "N", found[1] if found else html))[:60]


def by_words(client: httpx.Client, number: int) -> tuple[str, bool]:
    """A text search."""
    answer = ask(client, "search_by_text", random.choice(TEXTS), 12)
    return said(answer), "12 images" in answer


def by_picture(client: httpx.Client, number: int) -> tuple[str, bool]:
    """An image search."""
    answer = ask(client, "search_by_image", upload(client, "mine.png", picture(number)), 12)
    return said(answer), "like yours" in answer


def feature(client: httpx.Client, number: int) -> tuple[str, bool]:
    """A feature in a picture."""
    sent = upload(client, "mine.png", picture(number))
    answer = ask(client, "find_feature", sent, random.choice(TEXTS), "all sizes")
    return "a verdict" if "Heat map" in answer else said(answer), "Heat map" in answer


def broken_off(client: httpx.Client, number: int) -> tuple[str, bool]:
    """An upload whose connection is closed midway."""
    host, port = client.base_url.host, client.base_url.port
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9000000\r\n"
        "Content-Type: multipart/form-data; boundary=bound\r\n\r\n--bound\r\n"
        'Content-Disposition: form-data; name="files"; filename="half.png"\r\n\r\n'
    )
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode() + bytes(200_000))
    return "closed by the client", True


def unread(client: httpx.Client, number: int) -> tuple[str, bool]:
    """A question whose answer nobody reads."""
    answer = client.post("gradio_api/call/search_by_text", json={"data": ["a port", 3]})
    return f"status {answer.status_code}", answer.status_code in (200, 503)


def foreign(client: httpx.Client, number: int) -> tuple[str, bool]:
    """Another site's question."""
    headers = random.choice(({"Host": "rebound.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}))
    answer = client.get("config", headers=headers)
    return f"status {answer.status_code}", answer.status_code == 403


def hostile(client: httpx.Client, number: int) -> tuple[str, bool]:
    """A small file that holds a large picture."""
    content = hostile_file(SEARCH_HOSTILE)
    answer = ask(client, "search_by_image", upload(client, SEARCH_HOSTILE, content), 3)
    return said(answer), "like yours" in answer


KINDS: dict[str, tuple[Callable, int]] = {
    "by words": (by_words, 40),
    "by picture": (by_picture, 25),
    "find feature": (feature, 20),
    "upload broken off": (broken_off, 6),
    "never read": (unread, 4),
    "another site": (foreign, 4),
    "hostile picture": (hostile, 1),
}
FILES: dict[str, bytes] = {}


def hostile_file(name: str) -> bytes:
    """A hostile picture, made once."""
    if name not in FILES:
        FILES[name] = HOSTILE[name](SIDE)
    return FILES[name]


def visit(address: str, number: int, until: float, seen: Seen) -> None:
    """One client: one thing after another until the time is over."""
    chance = random.Random(number)
    names, weights = list(KINDS), [weight for _, weight in KINDS.values()]
    with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
        for _ in range(MOST_REQUESTS):
            if time.perf_counter() > until:
                return
            measure(chance.choices(names, weights)[0], client, number, seen)
            time.sleep(chance.uniform(0, 0.2))


def measure(kind: str, client: httpx.Client, number: int, seen: Seen) -> None:
    """Asks once and notes what came back."""
    start = time.perf_counter()
    try:
        answer, right = KINDS[kind][0](client, number)
    except Exception as error:
        answer, right = f"{type(error).__name__}: {error}"[:80], False
    seen.note(kind, time.perf_counter() - start, answer, right)


def attack(address: str, seen: Seen) -> None:
    """Eight hostile pictures at once, of several kinds, searched and looked into."""

    def one(number: int, name: str) -> None:
        start = time.perf_counter()
        with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
            try:
                sent = upload(client, name, hostile_file(name))
                if number % 2:
                    answer = said(ask(client, "search_by_image", sent, 3))
                else:
                    html = ask(client, "find_feature", sent, "a port", "large")
                    answer = "a verdict" if "Heat map" in html else said(html)
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"[:80]
        seen.note("eight at once", time.perf_counter() - start, answer, "Error" not in answer)

    names = list(HOSTILE)[:AT_ONCE]
    for name in names:
        hostile_file(name)
    run_all([threading.Thread(target=one, args=pair) for pair in enumerate(names)])


def run_all(threads: list[threading.Thread]) -> None:
    """Starts threads and waits for them."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def most_memory(process: int) -> str:
    """The most memory that a process ever had, where the system says it."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return f"{int(line.split()[1]) / 1024:,.0f} MiB"
    return "unknown"


def report(seen: Seen) -> None:
    """Prints the table."""
    print(f"{'asked':<18} {'answers':>8} {'p50 s':>7} {'p95 s':>7}  what came back")
    for kind, waits in seen.waits.items():
        p95 = statistics.quantiles(waits, n=20, method="inclusive")[18] if len(waits) > 1 else waits[0]
        back = [f"{count} {answer}" for (asked, answer), count in seen.answers.most_common() if asked == kind]
        print(f"{kind:<18} {len(waits):>8} {statistics.median(waits):>7.2f} {p95:>7.2f}  {'; '.join(back[:4])}")
    print(f"{len(seen.wrong)} errors")
    for line in seen.wrong[:8]:
        print("  ", line)


def main() -> int:
    """Runs the trial; the exit status is 1 if anything came back that should not have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    hostile_file(SEARCH_HOSTILE)
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(Path(folder))
        try:
            print(f"Memory when it is ready: {most_memory(server.pid)}")
            until = time.perf_counter() + min(arguments.seconds, 600)
            visitors = [(address, number, until, seen) for number in range(min(arguments.clients, 128))]
            run_all([threading.Thread(target=visit, args=visitor) for visitor in visitors])
            print(f"Most memory under load: {most_memory(server.pid)}")
            attack(address, seen)
            print(f"Most memory at all: {most_memory(server.pid)}")
            report(seen)
        finally:
            start = time.perf_counter()
            server.terminate()
            server.wait(timeout=30)
            print(f"It ended {time.perf_counter() - start:.1f} s after SIGTERM.")
    return int(bool(seen.wrong))


if __name__ == "__main__":
    sys.exit(main())
