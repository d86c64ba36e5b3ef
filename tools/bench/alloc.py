#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What attaching costs, side by side in one run: nanoseconds per malloc+free pair unprobed, under
default sampling, exactly, and under a peer; how fast userspace drains events; memwatch's own
memory per live block; how soon the first numbers are there. Each value is the median of runs that
alternate with those it is compared with.
Usage: tools/bench/alloc.py [ROUNDS]      (default 5; root)
"""
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchlib import cpu_s, line

ROOT = Path(__file__).resolve().parents[2]
B = ROOT / "build"
BIN = os.environ.get("MEMWATCH", str(B / "memwatch"))
LIBS = {"glibc": None, "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}


def library(pid, name):
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if re.search(rf"/{name}[^/]*$", line):
            return line.split()[-1]
    raise SystemExit(f"no {name} in {pid}")


class Pairs:
    """The target program."""

    def __init__(self, preload=None):
        env = {**os.environ, **({"LD_PRELOAD": preload} if preload else {})}
        self.p = subprocess.Popen([B / "bench/pairs"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, env=env)
        assert self.p.stdout.readline() == "ready\n"
        self.pid = self.p.pid

    def ask(self, command):
        self.p.stdin.write(command + "\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())

    def end(self):
        self.p.stdin.close()
        self.p.wait()


class Probe:
    """A tracer that says 'attached' on stderr; left by SIGINT."""

    def __init__(self, argv):
        self.p = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        self.pid = self.p.pid
        for line in self.p.stderr:
            if "attached" in line:
                return
        raise SystemExit(f"{argv[0]} did not attach")

    def end(self):
        self.p.send_signal(signal.SIGINT)
        err = self.p.stderr.read()
        self.p.wait()
        return err


def cost(rounds):
    """ns per pair of 100 bytes, per allocator; the variants take turns."""
    for lib, preload in LIBS.items():
        t = Pairs(preload)
        path = library(t.pid, "libc.so" if lib == "glibc" else lib.join(("lib", "")))
        variants = {
            "sampling": ([BIN, "-p", t.pid, "--plain", "-i", "60s"], 100000),
            "exact": ([BIN, "-p", t.pid, "--plain", "-i", "60s", "--exact"], 50000),
            "peer": ([B / "bench/entry_uprobe", t.pid, path], 10000),
        }
        got = {v: [] for v in ("unprobed", *variants)}
        for _ in range(rounds):
            got["unprobed"].append(t.ask("pairs 1000000 100"))
            for v, (argv, n) in variants.items():
                p = Probe(argv)
                t.ask("pairs 1000 100")
                got[v].append(t.ask(f"pairs {n} 100"))
                p.end()
        m = {v: statistics.median(x) for v, x in got.items()}
        for v in variants:
            line(f"{lib}: pair, {v}", f"{m[v] - m['unprobed']:.0f} ns",
                 f"added to {m['unprobed']:.0f} ns unprobed, {rounds} runs, median")
        for v in ("sampling", "exact"):
            line(f"{lib}: peer / {v}", f"{m['peer'] / m[v]:.1f} x",
                 f"entry-symbol uprobes against memwatch, {rounds} runs, median")
        t.end()


def rss(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def drained(binary, out):
    """Two threads allocate without a pause: events, events per second of memwatch's own CPU time
    and of the time it took, how many were lost."""
    t = Pairs("libjemalloc.so.2")
    p = Probe([binary, "-p", t.pid, "--plain", "-i", "60s", "--exact", "-o", out])
    before = cpu_s(p.pid)
    wall = t.ask("threads 2 400000")
    # The ring is empty when memwatch has stopped using the CPU.
    at = cpu_s(p.pid)
    while (now := (time.sleep(0.2), cpu_s(p.pid))[1]) - at > 0.005:
        at = now
    p.end()
    t.end()
    prof = json.loads(Path(out).read_text())
    events = prof["totals"]["alloc_objects"] + prof["totals"]["free_objects"]
    lost = sum(v for k, v in prof["loss"].items() if re.search("ring|lost|full", k))
    return events, events / (at - before), events / wall * 1e9, lost


def drain(rounds, tmp):
    runs = [drained(BIN, f"{tmp}/drain.json") for _ in range(rounds)]
    line("drain, blocks that come and go", f"{statistics.median(r[1] for r in runs) / 1e6:.2f} M",
         f"events per CPU second, {runs[-1][0]:.0f} arriving at "
         f"{statistics.median(r[2] for r in runs) / 1e6:.2f} M/s, "
         f"{sum(r[3] for r in runs):.0f} lost, {rounds} runs, median")


def kept(binary, out, n=1000000):
    """n new blocks that stay, exactly: those in use, CPU seconds for them, bytes of RSS each."""
    t = Pairs()
    p = Probe([binary, "-p", t.pid, "--plain", "-i", "60s", "--exact", "-o", out])
    before, cpu = rss(p.pid), cpu_s(p.pid)
    t.ask(f"live {n} 64")
    at = -1
    while at != (now := rss(p.pid)):
        at = now
        time.sleep(0.3)
    cpu = cpu_s(p.pid) - cpu
    p.end()
    t.end()
    inuse = json.loads(Path(out).read_text())["totals"]["inuse_objects"]
    return inuse, cpu, (at - before) / inuse


def memory(tmp):
    """memwatch's RSS per live block, exact mode."""
    n = 1000000
    inuse, cpu, each = kept(BIN, f"{tmp}/live.json", n)
    line("drain, blocks that stay", f"{n / cpu / 1e6:.2f} M",
         f"events per CPU second, {n} new blocks from 64 places, table growing")
    line("memory per live block", f"{each:.0f} bytes",
         f"memwatch's RSS growth over {inuse:.0f} live blocks")


def idle_cpu(pid):
    """CPU seconds once the process does nothing but wait."""
    at = cpu_s(pid)
    while (now := (time.sleep(0.5), cpu_s(pid))[1]) - at > 0.02:
        at = now
    return now


def residency(tmp):
    """What looking at the pages of all live blocks adds to one profile."""
    n, cost = 1000000, {}
    for opts in ((), ("--touched",)):
        t = Pairs()
        p = Probe([BIN, "-p", t.pid, "--plain", "-i", "60s", "--exact", "-o", f"{tmp}/r.json",
                   *opts])
        t.ask(f"live {n} 64")
        before = idle_cpu(p.pid)
        os.kill(p.pid, signal.SIGUSR1)
        cost[opts] = idle_cpu(p.pid) - before
        p.end()
        t.end()
    line("profile with --touched", f"{(cost['--touched',] - cost[()]) * 1e9 / n:.0f} ns",
         f"more CPU per live block than without, {n} live blocks")


@contextlib.contextmanager
def busy_redis(tmp):
    sock = f"{tmp}/redis.sock"
    redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", sock, "--save", ""],
                             stdout=subprocess.DEVNULL)
    while subprocess.run(["redis-cli", "-s", sock, "ping"], capture_output=True).stdout != b"PONG\n":
        time.sleep(0.05)
    load = subprocess.Popen(["redis-benchmark", "-s", sock, "-q", "-l", "-t", "set", "-c", "2",
                             "-d", "1000", "-r", "100000"], stdout=subprocess.DEVNULL)
    try:
        yield redis.pid
    finally:
        for p in load, redis:
            p.kill()
            p.wait()


def first_report(binary, pid):
    """Seconds from the start of memwatch to its first report."""
    start = time.monotonic()
    p = subprocess.Popen([binary, "-p", str(pid), "--plain"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
    p.stdout.readline()
    took = time.monotonic() - start
    p.send_signal(signal.SIGINT)
    p.communicate()
    return took


def first_numbers(rounds, tmp):
    if not shutil.which("redis-server"):
        return
    with busy_redis(tmp) as pid:
        times = [first_report(BIN, pid) for _ in range(rounds)]
    line("attach to first numbers, redis", f"{statistics.median(times):.2f} s",
         f"from start to first report, under load, {rounds} runs, median")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    subprocess.run(["make", "-s", "bench-tools"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as tmp:
        cost(rounds)
        drain(min(rounds, 3), tmp)
        memory(tmp)
        residency(tmp)
        first_numbers(rounds, tmp)


if __name__ == "__main__":
    main()
