#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What a stack costs: nanoseconds per further frame by unwind tables and by frame pointers, default
sampling of a 40-frame program by either, the time and size of unwind tables, and what loading them
adds to an attach. Variants take turns; each value is the median of the rounds.
Usage: tools/bench/unwind.py [ROUNDS]     (default 5; root)
"""
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from glob import glob
from pathlib import Path

from benchlib import line

ROOT = Path(__file__).resolve().parents[2]
B = ROOT / "build"
BIN = os.environ.get("MEMWATCH", str(B / "memwatch"))
WAYS = {"tables": ("deep", {}), "frame pointers": ("deep-fp", {"MEMWATCH_STACKS": "fp"})}


class Target:
    def __init__(self, name):
        self.p = subprocess.Popen([B / "bench" / name], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "ready\n"

    def ask(self, *command):
        self.p.stdin.write(" ".join(str(c) for c in command) + "\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())

    def end(self):
        self.p.stdin.close()
        self.p.wait()


class Attached:
    def __init__(self, pid, env, *options, binary=BIN):
        start = time.monotonic()
        self.p = subprocess.Popen([binary, "-p", str(pid), "--plain", "-i", "60s", *options],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, **env})
        for text in self.p.stderr:
            if "attached" in text:
                self.ms = (time.monotonic() - start) * 1e3
                return
        raise SystemExit("memwatch did not attach")

    def end(self):
        self.p.send_signal(signal.SIGINT)
        self.p.stderr.read()
        self.p.wait()


def further_frame(way, binary=BIN):
    """Nanoseconds."""
    name, env = WAYS[way]
    t = Target(name)
    a = Attached(t.p.pid, env, "--exact", binary=binary)
    t.ask(10, 1000, 100)
    shallow = t.ask(10, 30000, 100)
    far = t.ask(110, 30000, 100)
    a.end()
    t.end()
    return (far - shallow) / 100


def per_frame(rounds):
    got = {w: [] for w in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            got[way].append(further_frame(way))
    m = {w: statistics.median(v) for w, v in got.items()}
    for w in WAYS:
        line(f"further frame, {w}", f"{m[w]:.0f} ns", f"110 against 10 frames, {rounds} runs, median")
    line("further frame, tables / frame pointers", f"{m['tables'] / m['frame pointers']:.2f} x",
         f"{rounds} runs, median")


def sampling(rounds):
    got = {w: [] for w in WAYS}
    bare = {w: [] for w in WAYS}
    for _ in range(rounds):
        for way, (name, env) in WAYS.items():
            t = Target(name)
            bare[way].append(t.ask(38, 500000, 4096))
            a = Attached(t.p.pid, env)
            t.ask(38, 1000, 4096)
            got[way].append(t.ask(38, 100000, 4096))
            a.end()
            t.end()
    m = {w: statistics.median(v) for w, v in got.items()}
    b = {w: statistics.median(v) for w, v in bare.items()}
    for w in WAYS:
        line(f"40 frames, default sampling, {w}", f"{m[w]:.0f} ns",
             f"pair of 4 KiB, {b[w]:.0f} ns unprobed, {rounds} runs, median")
    line("40 frames, tables / frame pointers", f"{m['tables'] / m['frame pointers']:.2f} x",
         f"{rounds} runs, median")


def building(rounds):
    largest = {}
    for pattern in ("/lib/*-linux-gnu/libc.so.6", "/usr/bin/node", "/usr/lib/llvm-*/lib/libLLVM-*.so.1"):
        for path in glob(pattern)[:1]:
            largest[Path(path).name] = path
    for name, path in largest.items():
        runs = [[float(x) for x in subprocess.run([B / "bench/unwind_build", path], check=True,
                                                  capture_output=True, text=True).stdout.split()]
                for _ in range(rounds)]
        ms = statistics.median(r[3] for r in runs)
        line(f"table of {name}", f"{ms:.0f} ms",
             f"{runs[0][0]:.0f} rows, {runs[0][1]:.2f} bytes a row, {runs[0][2]:.2f} with the index, "
             f"{rounds} runs, median")


def attaching(rounds):
    tmp = tempfile.TemporaryDirectory()
    srv = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", f"{tmp.name}/sock",
                            "--save", ""], stdout=subprocess.PIPE, text=True)
    for text in srv.stdout:
        if "ready to accept" in text:
            break
    got = {w: [] for w in WAYS}
    for _ in range(rounds):
        for way, (_, env) in WAYS.items():
            a = Attached(srv.pid, env)
            got[way].append(a.ms)
            a.end()
    srv.kill()
    srv.wait()
    tmp.cleanup()
    m = {w: statistics.median(v) for w, v in got.items()}
    for w in WAYS:
        line(f"attach to redis, {w}", f"{m[w]:.0f} ms",
             f"from the start to the last probe, {rounds} runs, median")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    subprocess.run(["make", "-s", "-C", ROOT, "all", "bench-unwind-tools"], check=True)
    per_frame(rounds)
    sampling(rounds)
    building(rounds)
    attaching(rounds)


if __name__ == "__main__":
    main()
