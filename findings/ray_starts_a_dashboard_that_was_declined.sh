#!/usr/bin/env bash
# One would guess: with include_dashboard=False Ray starts no process of its dashboard.
# What happens: two start all the same, a head without pages (it would send the usage report) and an agent, which every
#   machine has, about 80 MB each. The raylet waits for its agent's ports, so Ray can be late because of a dashboard that
#   was declined: on a busy machine ray.init ended with a time-out there, which the run below does not provoke.
# Seen with: ray 2.60.0, Python 3.11, Linux. Source: the run below, and the raylet's log.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0 psutil==7.2.2 2>/dev/null
cd "$folder"
RAY_USAGE_STATS_ENABLED=0 "$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

import psutil
import ray

ray.init("local", include_dashboard=False, num_cpus=1, log_to_driver=False, logging_level="ERROR")
found = {}
for process in psutil.process_iter(["cmdline", "memory_info"]):
    line = " ".join(process.info["cmdline"] or [])
    if "ray/dashboard/dashboard.py" in line or "ray::DashboardAgent" in line:
        name = "dashboard.py" if "dashboard.py" in line else "ray::DashboardAgent"
        found[name] = process.info["memory_info"].rss // 10**6
        print(f"{name}: {found[name]} MB")
ray.shutdown()
sys.exit(len(found) != 2)
END
