# SPDX-License-Identifier: GPL-2.0-or-later
"""`run --fast` is killed at each step of what it does to its command, to the children and to later
images, `-p` at each of what it does to a process under load: all of them go on and find what they hold
as they left it. FAST_KILLS=1000 takes every step."""
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
            now = mem.read(len(was))
            for at in range(0, len(was), 4096):  # few pages differ, if any
                if now[at:at + 4096] != was[at:at + 4096]:
                    n += sum(a != b for a, b in zip(now[at:at + 4096], was[at:at + 4096]))
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


def all_steps(tmp_path, whole):
    """What they are called, of a run in which nobody is killed: whole(FILE) writes them there."""
    subprocess.run(["make", "-s", "-C", ROOT, "build/unit/killed_run"], check=True,
                   stdout=subprocess.DEVNULL, timeout=300)
    log = tmp_path / "steps"
    with open(log, "w") as f:
        assert whole(f) == 0
    return [line[6:] for line in log.read_text().splitlines() if line.startswith("step: ")]


def test_killed_at_every_step(tmp_path):
    exe = workload("phases.c")
    steps = all_steps(tmp_path, lambda f: run_killed(0, exe, f))
    assert len(steps) > 120 and {"a jump written", "a jump taken out", "call entered"} <= set(steps)
    every = max(1, len(steps) // KILLS)
    for step in range(1, len(steps) - 2, every):
        assert run_killed(step, exe, subprocess.DEVNULL) == -signal.SIGKILL, steps[step]


def attach_killed(target, step, err):
    """The status of memwatch. Its target is under load all the while, and verifies what it holds."""
    t = target([workload("odd.c")])
    t.expect("ready")
    p = subprocess.Popen([KILLED, str(step), "-p", str(t.pid), "--fast", "--plain", "-q"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
    try:
        wait_for(lambda: p.poll() is not None or changed_bytes(t.pid) > 30, step=0.01)
        p.send_signal(signal.SIGINT)
        status = p.wait(180)
    finally:
        p.kill()
        p.wait()
    memwatch("detach", "-p", t.pid, check=0)
    # the kernel takes the probes of one that was killed out when it gets to it
    wait_for(lambda: changed_bytes(t.pid) == 0, step=0.01)
    t.say()
    t.expect("going")
    t.say()
    assert int(t.expect("done").split()[1]) > 10
    assert t.proc.wait(180) == 0
    return status


def test_attached_and_killed_at_every_step(target, tmp_path):
    steps = all_steps(tmp_path, lambda f: attach_killed(target, 0, f))
    assert {"a jump written", "a jump taken out", "call entered"} <= set(steps)
    every = max(1, len(steps) // (KILLS // 6))
    for step in range(1, len(steps) - 2, every):
        assert attach_killed(target, step, subprocess.DEVNULL) == -signal.SIGKILL, steps[step]
