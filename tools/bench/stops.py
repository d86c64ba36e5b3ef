#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
How long --fast holds the threads of a program that all want the processors: from the first request
until they are let go, with the jumps written or taken out in between. Beside it, in turns, what stopping
them takes alone, as a debugger does it. Medians.
Usage: tools/bench/stops.py [ROUNDS]      (default 7; root)
"""
import re
import signal
import statistics
import subprocess
import sys

from alloc import B, BIN, ROOT, Pairs
from benchlib import line

THREADS = 16
STOPPED = re.compile(r"threads were stopped for ([\d.]+) ms")


def by_fast(pid):
    """In and out: two stops."""
    p = subprocess.Popen([BIN, "-p", str(pid), "--fast", "--plain", "-v"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    said = ""
    for text in p.stderr:
        said += text
        if "attached to" in text:
            break
    p.send_signal(signal.SIGINT)
    said += p.communicate(timeout=60)[1]
    return [float(ms) for ms in STOPPED.findall(said)]


def alone(pid):
    return float(subprocess.run([B / "bench/stopall", str(pid)], capture_output=True, text=True,
                                check=True).stdout)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    subprocess.run(["make", "-s", "bench-tools"], cwd=ROOT, check=True)
    t = Pairs()
    t.p.stdin.write(f"threads {THREADS} {10 ** 12}\n")  # as long as it takes
    t.p.stdin.flush()
    fast, peer = [], []
    for _ in range(rounds):
        fast += by_fast(t.pid)
        peer += [alone(t.pid), alone(t.pid)]
    t.p.kill()
    t.p.wait()
    if not fast:
        sys.exit("it was never stopped")
    ms, least = statistics.median(fast), statistics.median(peer)
    line(f"--fast: stop of {THREADS} busy threads", f"{ms:.2f} ms",
         f"at most {max(fast):.1f} ms, {len(fast)} stops; 5 ms promised")
    line("the stop alone, by ptrace", f"{least:.2f} ms", f"at most {max(peer):.1f} ms, as many")
    line("--fast / the stop alone", f"x {ms / least:.2f}", "medians")


if __name__ == "__main__":
    main()
