#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What whole programs keep of their speed: redis under its own benchmark and a bare malloc+free loop,
unprobed, with --fast and with the default probes. The variants take turns; each ratio is the median
over the turns of that turn's own unprobed run, with the least and the most.
Usage: tools/bench/whole.py [ROUNDS]      (default 7; root)
"""
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from alloc import BIN, LIBS, Pairs, Probe
from benchlib import line

PORT = 16399
VARIANTS = {"--fast": ["--fast"], "probes": []}
LOADS = [("SET", 1, 20000), ("GET", 1, 20000), ("LPUSH", 1, 20000),
         ("SET", 16, 200000), ("GET", 16, 200000), ("LPUSH", 16, 200000)]


def throughput(test, pipeline, n):
    out = subprocess.run(["redis-benchmark", "-p", str(PORT), "-t", test.lower(), "-n", str(n),
                          "-P", str(pipeline), "-r", "10000", "-d", "64", "--csv"],
                         capture_output=True, text=True, check=True).stdout
    return float(re.findall(r'"([\d.]+)"', out.splitlines()[-1])[0])


def report(name, base, with_it, lower_is_better=False):
    ratios = [w / b for b, w in zip(base, with_it)]
    line(name, f"× {statistics.median(ratios):.3f}",
         f"of unprobed, {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} turns")


def redis(rounds):
    server = subprocess.Popen(["redis-server", "--port", str(PORT), "--save", "",
                               "--appendonly", "no"], stdout=subprocess.DEVNULL)
    time.sleep(1)
    try:
        for test, pipeline, n in LOADS:
            throughput(test, pipeline, n)
            got = {v: ([], []) for v in VARIANTS}
            for _ in range(rounds):
                for v, opts in VARIANTS.items():
                    got[v][0].append(throughput(test, pipeline, n))
                    m = Probe([BIN, "-p", server.pid, "--plain", *opts])
                    few = n if opts else n // 5
                    got[v][1].append(throughput(test, pipeline, few))
                    m.end()
            for v, (base, with_it) in got.items():
                report(f"redis {test} pipeline {pipeline}, {v}", base, with_it)
    finally:
        server.terminate()
        server.wait()


def loop(rounds):
    for lib, preload in LIBS.items():
        t = Pairs(preload)
        base, fast = [], []
        for _ in range(rounds):
            base.append(t.ask("pairs 10000000 100"))
            m = Probe([BIN, "-p", t.pid, "--plain", "--fast"])
            fast.append(t.ask("pairs 10000000 100"))
            m.end()
        t.end()
        report(f"malloc+free loop, {lib}, --fast", base, fast)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    loop(rounds)
    redis(rounds)


if __name__ == "__main__":
    main()
