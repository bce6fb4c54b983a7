"""Many visitors at once: the page served as `make demo` does, asked over HTTP for a bounded time.

    python tests/benchmarks/bench_demo.py --clients 32 --seconds 60

Starts the server itself, with the small starting checkpoint and an index over pictures of the miniature. Each
client asks one question after another, in turn by words (and has the small images sent), by an uploaded picture, by
both, and for a feature in one, and waits for each answer. Prints answers a second, latency quantiles, errors, and the
server's memory.
"""

import argparse
import io
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from demo_world import ask, upload  # noqa: E402
from standins.scenes import build_miniature  # noqa: E402

from utils.clip import CLIP  # noqa: E402
from utils.search import ImageIndex  # noqa: E402
from utils.training.launch import free_port  # noqa: E402

MODEL = ROOT / "data" / "checkpoints" / "clip-miniature"
TEXTS = ("a stadium", "planes at an airport", "a bridge over a river", "ships in a port", "a green forest")
KINDS = ("by words", "by picture", "by both", "find feature")
SETTLING = 5.0  # seconds before the first look at memory: every shape compiled, every thread made


def start_server(folder: Path) -> tuple[subprocess.Popen, str]:
    """Serves the page in a process of its own and waits for its address."""
    pictures = build_miniature(folder / "miniature", images_per_split={"test": 1}, progress=False, workers=1)
    ImageIndex.build(CLIP.from_pretrained(MODEL), pictures / "RSICD_images", folder / "index", progress=False)
    command = [sys.executable, "-m", "utils.demo", "--model", str(MODEL), "--index", str(folder / "index")]
    server = subprocess.Popen([*command, "--port", str(free_port())], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        if line.startswith("http"):
            print(line.strip())
            return server, line.split()[0]
    raise SystemExit("The server did not start.")


def picture(number: int) -> bytes:
    """A picture of a client's own, 256 x 256, as PNG."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    stored = io.BytesIO()
    small.resize((256, 256), Image.Resampling.BICUBIC).save(stored, "png")
    return stored.getvalue()


def visit(address: str, number: int, until: float, waits: dict[str, list[float]], errors: list[str]) -> None:
    """One client: question after question until the time is over."""
    with httpx.Client(base_url=address, timeout=120) as client:
        turn = number
        while time.perf_counter() < until:
            kind = KINDS[turn % len(KINDS)]
            start = time.perf_counter()
            try:
                answer = question(client, kind, turn, number)
            except Exception as error:
                errors.append(f"{kind}: {type(error).__name__}: {error}")
            else:
                if answer == "error" or 'class="said failed"' in answer:
                    errors.append(f"{kind}: {answer[:200]}")
                waits[kind].append(time.perf_counter() - start)
            turn += 1


def question(client: httpx.Client, kind: str, turn: int, number: int) -> str:
    """Asks one question and gives the answer's HTML."""
    if kind == "by words":
        answer = ask(client, "search_by_text", TEXTS[turn % len(TEXTS)], 12)
        for address in re.findall(r'<img src="(thumbnails/[^"]+)"', answer):
            client.get(address).raise_for_status()
        return answer
    sent = upload(client, "mine.png", picture(number))
    if kind == "by picture":
        return ask(client, "search_by_image", sent, 12)
    if kind == "by both":
        return ask(client, "search", TEXTS[turn % len(TEXTS)], 12, "", "", sent, 0.5)
    return ask(client, "find_feature", sent, TEXTS[turn % len(TEXTS)], "all sizes")


def resident_megabytes(process: subprocess.Popen) -> float:
    """Memory of the server that is really in use; nan where the system does not say."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    except (OSError, StopIteration):
        return float("nan")


def report(waits: dict[str, list[float]], errors: list[str], seconds: float) -> None:
    """Prints what was seen."""
    total = sum(map(len, waits.values()))
    print(f"{total} answers in {seconds:.0f} s, {total / seconds:.1f} a second, {len(errors)} errors")
    for kind, times in waits.items():
        if len(times) > 1:
            cuts = statistics.quantiles(times, n=100, method="inclusive")
            said = ", ".join(f"{name} {cuts[at]:.2f}" for name, at in (("50 %", 49), ("90 %", 89), ("99 %", 98)))
            print(f"  {kind:<13} {len(times):5d} answers; seconds waited: {said}, longest {max(times):.2f}")
    for error in errors[:5]:
        print("  error:", error)


def run(address: str, server: subprocess.Popen, clients: int, seconds: float) -> int:
    """Sends the clients, looks at memory as they go, and gives the number of errors."""
    waits: dict[str, list[float]] = {kind: [] for kind in KINDS}
    errors: list[str] = []
    start = time.perf_counter()
    visitors = [
        threading.Thread(target=visit, args=(address, number, start + seconds, waits, errors))
        for number in range(clients)
    ]
    print(f"Memory before: {resident_megabytes(server):.0f} MiB")
    for visitor in visitors:
        visitor.start()
    for at in (min(SETTLING, seconds / 5), *(seconds * part / 4 for part in range(1, 5))):
        time.sleep(max(0.0, start + at - time.perf_counter()))
        print(f"Memory after {at:3.0f} s: {resident_megabytes(server):.0f} MiB", flush=True)
    for visitor in visitors:
        visitor.join()
    report(waits, errors, time.perf_counter() - start)
    print(f"Memory at the end: {resident_megabytes(server):.0f} MiB")
    return len(errors)


def main() -> int:
    """Runs the benchmark; the exit status is 1 if any question went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(Path(folder))
        try:
            return int(run(address, server, arguments.clients, arguments.seconds) > 0)
        finally:
            server.terminate()
            server.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main())
