#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What watching for OOM kills costs while nothing happens, and how soon a kill is on disk."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from benchlib import cpu_ns, rss_kb  # noqa: E402
from conftest import BIN, build  # noqa: E402
import test_oom  # noqa: E402

IDLE_S = float(os.environ.get("MEMWATCH_BENCH_SECONDS", 20))
KILLS = int(os.environ.get("MEMWATCH_BENCH_RUNS", 15))


def idle(pid):
    a, t = cpu_ns(pid), time.monotonic_ns()
    time.sleep(IDLE_S)
    return (cpu_ns(pid) - a) / (time.monotonic_ns() - t) * 100


def main():
    if not test_oom.ROOT:
        sys.exit("oom: no memory cgroup here")
    hog = build("oom_hog.c", flags=["-O1", "-fno-omit-frame-pointer"], libs=["-lpthread"])
    log = Path(tempfile.mkdtemp(prefix="memwatch-bench-")) / "log"
    mw = subprocess.Popen([BIN, "oom", "-q", "-v", "--log", log], stderr=subprocess.PIPE, text=True)
    for line in mw.stderr:
        if "failed" in line:
            sys.exit(line)
        if "lower its own" in line or log.exists():
            break
    time.sleep(2)
    mine, rss = idle(mw.pid), rss_kb(mw.pid)
    nprocs = sum(p.name.isdigit() for p in Path("/proc").iterdir())
    print(f"oom idle cpu     {mine:.4f} %   (of one core over {IDLE_S:.0f} s, {nprocs} processes)")
    print(f"oom rss          {rss / 1024:.1f} MiB  (after start)")
    peer = shutil.which("earlyoom")
    if peer:  # it only watches: no kill
        p = subprocess.Popen([peer, "--dryrun", "-r", "0"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        time.sleep(1)
        theirs = idle(p.pid)
        print(f"oom idle ratio   {mine / theirs:.2f}     (memwatch oom vs earlyoom --dryrun, cpu)")
        print(f"oom rss ratio    {rss / rss_kb(p.pid):.2f}     (memwatch oom vs earlyoom)")
        p.kill()
        p.wait()
    g = test_oom.Group(f"memwatch-bench-{os.getpid()}", 8 << 20)
    lag = []
    for _ in range(KILLS):
        size = log.stat().st_size
        child = subprocess.Popen([hog, "-u", "100"], stdin=subprocess.PIPE, preexec_fn=g.join,
                                 stdout=subprocess.DEVNULL)
        child.stdin.write(b"go\n")
        child.stdin.close()
        while log.stat().st_size == size:
            time.sleep(0.0002)
        seen = time.time() * 1000
        child.wait()
        lag.append(seen - json.loads(log.read_text().splitlines()[-1])["time_unix_ms"])
    g.remove()
    print(f"oom kill to log  {statistics.median(lag):.1f} ms  (kill to synced line, {KILLS} runs, "
          f"median; worst {max(lag):.1f})")
    mw.terminate()
    mw.wait()
    shutil.rmtree(log.parent)


main()
