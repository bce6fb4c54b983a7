"""``auto``: the type that a model's transformers are fastest in on this machine, by a short measurement that is kept.

An accelerator gets bfloat16. Of CPUs only some multiply it faster than float32, which nothing tells for certain, so a
block of the model's size is timed in both. What was measured lies in the user's cache folder, for the next process.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from utils.clip.configuration import TowerConfig
from utils.clip.transformer import Block
from utils.files import from_home, read_json, write_whole

AUTO = "auto"
ENOUGH = 1.15  # times as fast as float32: for less, no digits are lost, and noise must not decide
TURNS = 7  # of each type


def compute_type(dtype: Any, config: TowerConfig) -> Any:
    """A type as it is given, and for ``auto`` the one that a tower of this size is fastest in, said once."""
    if not (isinstance(dtype, str) and dtype == AUTO):
        return dtype
    if jax.default_backend() != "cpu":
        return jnp.dtype(jnp.bfloat16)
    return jnp.dtype(jnp.bfloat16 if _speed_of_bfloat16(config) >= ENOUGH else jnp.float32)


@cache
def _speed_of_bfloat16(config: TowerConfig) -> float:
    """How many times as fast as in float32 a block is in bfloat16 here: as measured before, or now; prints it."""
    path, key = kept_file(), f"{processor()}, jaxlib {version('jaxlib')}, width {config.hidden_size}"
    kept = read_json(path)
    speed = kept.get(key)
    if not (isinstance(speed, float) and 0 < speed < 1000):
        speed = round(measured_speed(config), 2)
        with suppress(OSError):  # to be measured again is no harm
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(kept | {key: speed}, indent=1))
    chosen = "bfloat16" if speed >= ENOUGH else "float32"
    print(f"Computing in {chosen}: on this processor bfloat16 is {speed:.2f} times as fast as float32 ({path}).")
    return speed


def kept_file() -> Path:
    """Where measurements are kept, by processor, release of jaxlib and width of the tower."""
    folder = from_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return folder / "clip-earth-course" / "compute_types.json"


def processor() -> str:
    """The processor's name and eight digits for its instructions, since one name may stand for several."""
    name, flags = platform.processor() or platform.machine(), ""
    with suppress(OSError):  # Linux alone has the file
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            field, _, value = (part.strip() for part in line.partition(":"))
            name = value if field == "model name" else name
            flags = value if field in ("flags", "Features") else flags
    return f"{name} {sha256(flags.encode()).hexdigest()[:8]}"


def measured_speed(config: TowerConfig) -> float:
    """How many times as fast as in float32 a block's gradient is in bfloat16; the types take turns, the best counts."""
    calls = {dtype: _gradient_of_block(config, dtype) for dtype in (jnp.float32, jnp.bfloat16)}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(TURNS):
        for dtype, call in calls.items():
            start = time.perf_counter()
            call()
            best[dtype] = min(best[dtype], time.perf_counter() - start)
    return best[jnp.float32] / best[jnp.bfloat16]


def _gradient_of_block(config: TowerConfig, dtype: Any) -> Callable[[], object]:
    """A compiled gradient of one block for 256 tokens, a tenth of a second's work in the towers of a ViT-B."""
    definition, parameters = nnx.split(Block(config, causal=False, dtype=dtype, rngs=nnx.Rngs(0)))
    hidden = jax.random.normal(jax.random.key(0), (4, 64, config.hidden_size), dtype)

    @jax.jit
    def gradient(parameters: nnx.State, hidden: jax.Array) -> Any:
        def total(parameters: nnx.State, hidden: jax.Array) -> jax.Array:
            return jnp.sum(nnx.merge(definition, parameters)(hidden), dtype=jnp.float32)

        return jax.grad(total, argnums=(0, 1))(parameters, hidden)

    jax.block_until_ready(gradient(parameters, hidden))
    return lambda: jax.block_until_ready(gradient(parameters, hidden))
