#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The page in Chromium: what the daemon's first view fetches and how soon it can be used, among 500
processes; how long a click takes in a flame graph of 20,000 stacks."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from benchlib import BIN, idle_processes, line, start_daemon, stop_daemon  # noqa: E402
from test_pictures import big_profile  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
RUNS = 8


def look(url, hash=""):
    p = subprocess.run(["node", ROOT / "tests/web/timing.mjs", url, str(RUNS), hash], check=True, capture_output=True,
                       text=True, env={**os.environ, "CHROMIUM": CHROMIUM})
    return json.loads(p.stdout)


def first_view(where):
    with idle_processes():
        d = start_daemon(where, "")
        seen = look(d.page)
        stop_daemon(d)
    line("page: first view", f"{max(seen['bytes']) / 1024:.0f} KiB", f"compressed, all that it fetches, of the daemon; limit 300 KiB, {RUNS} runs, most")
    line("page: usable after", f"{statistics.median(seen['usable_ms']):.0f} ms", f"first view painted; limit 500 ms, {RUNS} runs, median")


def flame(where):
    (where / "big.json").write_text(json.dumps(big_profile(20000)))
    p = subprocess.Popen([BIN, "report", "--http", where / "big.json"], stderr=subprocess.PIPE, text=True)
    url = next(m[1] for m in (re.search(r"page: (\S+)$", said) for said in p.stderr) if m)
    seen = look(url)
    p.terminate()
    p.wait()
    line("page: flame graph of 20,000 stacks", f"{statistics.median(seen['usable_ms']):.0f} ms", f"from the address to the first painted frame, {RUNS} runs, median")
    clicks = seen["click_ms"]
    line("page: click in it", f"{statistics.median(clicks):.0f} ms", f"to the next painted frame; limit 100 ms, {len(clicks)} clicks, median; most {max(clicks):.0f} ms")


def main():
    if not shutil.which(CHROMIUM) or not shutil.which("node"):
        print("page: skipped  (no Chromium or no node on this machine)")
        return
    for part in (first_view, flame):
        with tempfile.TemporaryDirectory(prefix="memwatch-bench-") as where:
            part(Path(where))


main()
