#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What walking a glibc heap for the ledger takes, and what a program notices of it. Root."""
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchlib import line

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build" / "memwatch"
OUT = ROOT / "build" / "workloads"
RUNS = 7


class Heap:
    def __init__(self, *commands):
        exe = OUT / "bench-glibcheap"
        OUT.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O1", "-fno-builtin", "-o", exe,
                        ROOT / "tests/workloads/glibcheap.c", "-lpthread"], check=True)
        self.proc = subprocess.Popen([exe], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     text=True, bufsize=1)
        self.proc.stdout.readline()
        for c in commands:
            self.do(c)

    def do(self, command):
        """Seconds until it is done."""
        start = time.monotonic()
        self.proc.stdin.write(command + "\n")
        self.proc.stdout.readline()
        return time.monotonic() - start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()
        self.proc.wait()


def ledger(pid):
    """Seconds, and the ledger."""
    start = time.monotonic()
    out = subprocess.run([BIN, "top", "--ledger", "--json", "-p", str(pid)], check=True,
                         capture_output=True, text=True).stdout
    return time.monotonic() - start, json.loads(out)


def walk(commands):
    """Seconds of a ledger of a heap beyond those of an empty one; the ledger."""
    with Heap() as empty, Heap(*commands) as full:
        base = statistics.median(ledger(empty.proc.pid)[0] for _ in range(RUNS))
        took = [ledger(full.proc.pid) for _ in range(RUNS)]
        return statistics.median(t for t, _ in took) - base, took[0][1]


def noticed():
    """How much longer the program's own work takes with a ledger a second."""
    ratios = []
    with Heap("fill 200000 300") as h:
        for _ in range(RUNS):
            alone = sum(h.do("spin 30") for _ in range(8))
            w = subprocess.Popen(["/bin/sh", "-c", f"while sleep 1; do {BIN} top --ledger --json "
                                  f"-p {h.proc.pid}; done"], stdout=subprocess.DEVNULL,
                                 process_group=0)
            with_it = sum(h.do("spin 30") for _ in range(8))
            os.killpg(w.pid, 15)
            w.wait()
            ratios.append(with_it / alone)
    return statistics.median(ratios)


def main():
    t, d = walk(["fill 1000000 100"])
    line("heapwalk_million_chunks", f"{t * 1e3:.0f}ms",
         f"ledger of {d['heap_walk']['chunks']} chunks / of an empty program, {RUNS} runs, median")
    t, d = walk(["fill 250000 4000"])
    gib = d["rss_bytes"] / (1 << 30)
    line("heapwalk_gib", f"{t / gib * 1e3:.0f}ms",
         f"for a GiB of resident heap, chunks of 4 KB, {RUNS} runs, median")
    line("heapwalk_target", f"{noticed():.3f}",
         f"allocating and freeing with a ledger of 67 MB a second / without, {RUNS} runs, median")


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("root is needed")
    main()
