#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Two builds of memwatch beside each other in one run: each measure is taken with the one and the
other in turns, the first of a turn changing; printed is the median of the turns' ratios, with the
least and the most, where more than 1 means that this build takes more. One build beside itself
tells what is noise here.
Usage: tools/bench/beside.py BASE [ROUNDS]     (BASE: the other memwatch; default 7 rounds; root)
       make bench BASE=path/to/other/memwatch
MEMWATCH_BENCH_ONLY=RE: the measures whose names match.
"""
import contextlib
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import alloc
import mm
import unwind
from benchlib import BIN, line

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from protogen import Profile  # noqa: E402


def large_profile(path, samples=100_000, functions=8000, depth=30):
    rnd, p = random.Random(1), Profile()
    for t in ("inuse_objects", "count"), ("inuse_space", "bytes"):
        p.value_type(*t)
    m = p.mapping(0x400000, 0x4000000, 0, "/bin/service", "abc")
    locs = [p.location(m, 0x400000 + 16 * i, [(p.function(f"part{i % 97}::method{i}", "a.cc"), 7)])
            for i in range(functions)]
    for _ in range(samples):
        p.sample([locs[(rnd.randrange(functions) * (k < depth - 10) + k) % functions] for k in range(depth)],
                 [1, 64 << rnd.randrange(8)])
    p.header(period=524288)
    p.write(path, True)


def pair(t, binary, n, *options):
    """Nanoseconds of an allocation and its free while memwatch looks on."""
    p = alloc.Probe([binary, "-p", t.pid, "--plain", "-i", "60s", *options])
    t.ask("pairs 1000 100")
    took = t.ask(f"pairs {n} 100")
    p.end()
    return took


def command(*argv):
    """CPU seconds and the peak of resident bytes of a command."""
    p = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        raise SystemExit(f"{argv[0]} {argv[1]} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def measures(tmp, resources):
    """Of a name: what takes a binary and returns a number, less of which is better."""
    target = alloc.Pairs()
    resources.callback(target.end)
    big = tmp / "big.pb.gz"
    large_profile(big)
    out = tmp / "out.json"
    yield "pair, sampling", lambda b: pair(target, b, 100_000)
    yield "pair, exact", lambda b: pair(target, b, 50_000, "--exact")
    yield "further frame, tables", lambda b: unwind.further_frame("tables", b)
    yield "further frame, frame pointers", lambda b: unwind.further_frame("frame pointers", b)
    yield "CPU per event, come and go", lambda b: 1 / alloc.drained(b, out)[1]
    yield "CPU per event, staying", lambda b: alloc.kept(b, out)[1]
    yield "memory per live block", lambda b: alloc.kept(b, out)[2]
    yield "report --top, CPU", lambda b: command(b, "report", "--top", big)[0]
    yield "report --top, memory", lambda b: command(b, "report", "--top", big)[1]
    yield "report -o x.html, CPU", lambda b: command(b, "report", "-o", tmp / "x.html", big)[0]
    yield "top, CPU per refresh", lambda b: mm.per_tick((), few=5, many=55, binary=b)
    redis = resources.enter_context(alloc.busy_redis(tmp))
    yield "attach to first numbers, redis", lambda b: alloc.first_report(b, redis)


def in_turns(take, binaries, rounds):
    """Of each turn the values of both."""
    got = []
    for turn in range(rounds):
        values = {which: take(binaries[which]) for which in ((0, 1) if turn % 2 else (1, 0))}
        got.append((values[0], values[1]))
    return got


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(__doc__)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    wanted = re.compile(os.environ.get("MEMWATCH_BENCH_ONLY", ""))
    subprocess.run(["make", "-s", "-C", ROOT, "bench-tools", "bench-unwind-tools"], check=True)
    with contextlib.ExitStack() as resources:
        tmp = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        # As they are now: a build meanwhile does not matter.
        binaries = [shutil.copy2(b, tmp / f"memwatch{i}") for i, b in enumerate((BIN, sys.argv[1]))]
        for name, take in measures(tmp, resources):
            if not wanted.search(name):
                continue
            got = in_turns(take, binaries, rounds)
            ratios = sorted(ours / theirs for ours, theirs in got)
            line(name, f"{statistics.median(ratios):.3f} x",
                 f"{ratios[0]:.2f}–{ratios[-1]:.2f}; here {statistics.median(g[0] for g in got):.4g}, "
                 f"there {statistics.median(g[1] for g in got):.4g}; {rounds} turns")


if __name__ == "__main__":
    main()
