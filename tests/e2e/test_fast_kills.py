# SPDX-License-Identifier: GPL-2.0-or-later
"""`run --fast` is killed at each step of what it does to its command, to the children and to later
images: all of them go on and find what they hold as they left it. FAST_KILLS=1000 takes every step."""
import os
import re
import signal
import subprocess

import pytest

from alloclib import workload
from conftest import ROOT, memwatch, wait_for

pytestmark = pytest.mark.usefixtures("own_libc")

KILLED = ROOT / "build/unit/killed_run"
KILLS = int(os.environ.get("FAST_KILLS", "24"))


def changed_bytes(pid):
    """How many bytes of a process's code are not as in its files."""
    n = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            m = re.match(r"(\w+)-(\w+) r-xp (\w+) \S+ [1-9]\d*\s+(/(?!memfd:).*)", line)
            if not m:
                continue
            lo, hi, off = (int(x, 16) for x in m.groups()[:3])
            mem.seek(lo)
            with open(m[4], "rb") as f:
                f.seek(off)
                was = f.read(hi - lo)
            n += sum(a != b for a, b in zip(mem.read(len(was)), was))
    return n


def run_killed(step, exe, err):
    """The status of memwatch."""
    p = subprocess.Popen([KILLED, str(step), "--fast", "--follow", "--plain", "-q", "--", exe],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
    try:
        pid = int(p.stdout.readline().split()[1])
        wait_for(lambda: p.poll() is not None or changed_bytes(pid))
        p.send_signal(signal.SIGINT)  # which the command ignores
        wait_for(lambda: p.poll() is not None or not changed_bytes(pid))
        if p.poll() is not None:
            memwatch("detach", "-p", pid, check=0)
            again = memwatch("detach", "-p", pid, check=0).stderr
            assert " 0 jumps" in again or "nothing of --fast" in again
        assert changed_bytes(pid) == 0
        p.stdin.write("x\n")
        p.stdin.close()
        assert p.stdout.read() == "done\n"
        return p.wait(60)
    finally:
        p.stdout.close()
        p.kill()
        p.wait()


def test_killed_at_every_step(tmp_path):
    subprocess.run(["make", "-s", "-C", ROOT, "build/unit/killed_run"], check=True,
                   stdout=subprocess.DEVNULL, timeout=300)
    exe = workload("phases.c")
    log = tmp_path / "steps"
    with open(log, "w") as f:
        assert run_killed(0, exe, f) == 0
    steps = [line for line in log.read_text().splitlines() if line.startswith("step: ")]
    assert len(steps) > 120 and {"a jump written", "a jump taken out", "call entered"} <= {
        s[6:] for s in steps}
    every = max(1, len(steps) // KILLS)
    for step in range(1, len(steps) - 2, every):
        assert run_killed(step, exe, subprocess.DEVNULL) == -signal.SIGKILL, steps[step]
