# SPDX-License-Identifier: GPL-2.0-or-later
"""What led to a kill: stalls in reclaim and compaction, who set the score; and real pressure."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import build, memwatch, wait_for
from test_oom import (MIB, event_of, events, group, hog, kill_in, log,  # noqa: F401 (fixtures)
                      pytestmark as needs_cgroup)

pytestmark = needs_cgroup
PRESSURE = Path("/proc/pressure/memory")
TRACING = Path("/sys/kernel/tracing")


@pytest.fixture
def thrash(target, tmp_path):
    """thrash(group, step_kb=0): walks over a mapped file of twice the group's limit."""
    exe = build("thrash.c", flags=["-O1"])

    def start(g, limit, step_kb=0):
        t = target([exe, tmp_path / f"walked-{os.path.basename(g.path)}", str(limit * 2 >> 10),
                    str(step_kb)], preexec_fn=g.join)
        t.expect("ready")
        return t

    return start


class Trace:
    """The kernel's own record of events, of one process, in a buffer of its own."""

    def __init__(self, event, pid):
        self.dir = TRACING / f"instances/memwatch-test-{os.getpid()}"
        self.dir.mkdir()
        (self.dir / "buffer_size_kb").write_text("8192")
        (self.dir / f"events/{event}/filter").write_text(f"common_pid == {pid}")
        (self.dir / f"events/{event}/enable").write_text("1")

    def values(self, name):
        """[(seconds before the last of them, value)]"""
        text = (self.dir / "trace").read_text()
        kept, written = re.search(r"entries-written: (\d+)/(\d+)", text).groups()
        assert kept == written, "the buffer was too small"
        found = [(float(at), int(v)) for at, v in re.findall(rf" (\d+\.\d+): .* {name}=(\d+)", text)]
        return [(found[-1][0] - at, v) for at, v in found]

    def remove(self):
        self.dir.rmdir()


@pytest.fixture
def trace():
    made = []

    def start(event, pid):
        made.append(Trace(event, pid))
        return made[-1]

    yield start
    for t in made:
        t.remove()


def some10():
    return float(re.match(r"some avg10=([\d.]+)", PRESSURE.read_text())[1])


def stalled_us():
    return int(re.match(r"some .* total=(\d+)", PRESSURE.read_text())[1])


def test_alert_on_real_pressure(group, thrash, tmp_path, attach):
    """A program that walks over more than its group may hold, and the machine's own pressure."""
    if not PRESSURE.exists():
        pytest.skip("this kernel has no pressure stall information")
    log = tmp_path / "log"
    p = thrash(group(24 * MIB), 24 * MIB)
    before = stalled_us()
    p.say()  # it walks, and stalls, until it is stopped: how much of a second is the disk's matter
    wait_for(lambda: stalled_us() > before and some10() > 0)
    threshold, began = 0.01, time.time() * 1000
    mw = attach("-p", p.pid, "-q", "-v", "--oom-log", log, "--alert-dir", tmp_path,
                "--alert-psi", f"some={threshold:.2f}%", ready=False)
    mw.wait_for(r"alert psi: machine \(largest: PID \d+, thrash\): memory pressure [\d.]+%, threshold [\d.]+%")
    assert p.proc.poll() is None
    p.stop()
    mw.finish(sig=None)
    a = events(log, "memwatch.alert/1")[0]
    assert a["pid"] == p.pid and a["rule"] == "psi" and a["time_unix_ms"] > began
    assert threshold <= a["value"] <= 100 and a["unit"] == "percent"
    assert os.path.exists(a["profile"]) and os.path.exists(a["timeline"])


def test_reclaim_before_a_kill(group, thrash, log, attach, trace):
    """Count and freed pages are those of the kernel's own trace of the same process."""
    g = group(24 * MIB)
    mw = attach("oom", "--log", log)
    p = thrash(g, 24 * MIB, 4096)
    before = trace("vmscan/mm_vmscan_memcg_reclaim_end", p.pid)
    # What it took to write the file was before the trace: the window is all that follows.
    first = time.monotonic()
    p.say()
    assert p.proc.wait(600) == -signal.SIGKILL
    took = time.monotonic() - first
    s = event_of(log, p.pid)["stalls"]
    freed = before.values("nr_reclaimed")
    page = os.sysconf("SC_PAGESIZE")
    mine = s["victim"]["reclaim"]["last_60s"]
    assert len(freed) > 100
    # A walk may take longer than the window; its edges are where the trace's are, give or take.
    least = [n for ago, n in freed if ago < 50]
    most = [n for ago, n in freed if ago < 70]
    assert mine["count"] >= len(least) and mine["freed_bytes"] >= sum(least) * page
    # To make the file it wrote 48 MiB, each page of them reclaimed at most once.
    assert mine["count"] <= len(most) + 48 * MIB / page
    assert mine["freed_bytes"] <= sum(most) * page + 48 * MIB
    assert 0 < mine["stall_us"] / 1e6 < took + 30
    assert s["group"]["path"] == g.path
    assert s["group"]["reclaim"] == s["victim"]["reclaim"] == s["trigger"]["reclaim"]
    for window in ("last_10s", "last_60s"):
        assert s["machine"]["reclaim"][window]["count"] >= s["group"]["reclaim"][window]["count"]
    assert 1 <= s["watched_s"] <= 60
    out = mw.finish()[1]
    m = re.search(rf"reclaim   in the \d+ s before, in cgroup {g.path}: (\d+) direct reclaims, "
                  r"\S+ stalled, \S+ freed", out)
    assert int(m[1]) in (w["count"] for w in s["group"]["reclaim"].values())
    shown = memwatch("oom", "--list", "--log", log, check=0).stdout
    assert m[0] in shown


def refaults(g):
    """Pages that a group took in again after it had to let go of them."""
    return int(re.search(r"^workingset_refault_file (\d+)", (g.dir / "memory.stat").read_text(),
                         re.M)[1])


def test_reclaim_of_others_is_not_the_victims(group, thrash, hog, log, attach):
    """A neighbour that thrashes counts for the machine and for the group above both."""
    outer = group()
    noisy, quiet = group(24 * MIB, outer), group(16 * MIB, outer)
    attach("oom", "--log", log)
    p = thrash(noisy, 24 * MIB)
    p.say()
    # Many times more than the quiet one's 4,096 pages could need, however long that takes.
    wait_for(lambda: refaults(noisy) > 20000, timeout=600)
    s = event_of(log, kill_in(quiet, [hog]))["stalls"]
    mine = s["group"]["reclaim"]["last_60s"]
    assert s["group"]["path"] == quiet.path and mine["count"] > 0
    assert mine["freed_bytes"] < 16 * MIB
    assert s["machine"]["reclaim"]["last_60s"]["count"] > mine["count"]
    assert p.proc.poll() is None


def test_reclaim_below_a_groups_limit(group, thrash, hog, log, attach):
    """Of the group that hit its limit, whichever of those in it stalled."""
    outer = group(32 * MIB)
    noisy, quiet = group(8 * MIB, outer), group(None, outer)
    attach("oom", "--log", log)
    p = thrash(noisy, 8 * MIB)
    p.say()
    wait_for(lambda: refaults(noisy) > 2000, timeout=600)
    e = event_of(log, kill_in(quiet, [hog]))
    s = e["stalls"]
    assert e["memcg"]["path"] == s["group"]["path"] == outer.path
    assert e["victim"]["cgroup"] == quiet.path
    # It goes on during the kill, so it is in the window at whatever speed.
    assert s["group"]["reclaim"]["last_60s"]["count"] > s["victim"]["reclaim"]["last_60s"]["count"]


def test_compaction_before_a_kill(group, hog, log, attach):
    compact = Path("/proc/sys/vm/compact_memory")
    if not compact.exists():
        pytest.skip("this kernel does not compact memory")
    mw = attach("oom", "--log", log)
    compact.write_text("1")
    e = event_of(log, kill_in(group(16 * MIB), [hog]))
    assert e["stalls"]["machine"]["compaction"]["last_60s"]["count"] >= 1
    assert re.search(r"; compaction \d+ times, ", mw.finish()[1])


def test_who_set_the_score(group, hog, log, attach):
    mw = attach("oom", "--log", log)
    g = group(16 * MIB)
    p = subprocess.Popen([hog], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                         preexec_fn=g.join)
    assert p.stdout.readline() == "ready\n"
    before = time.time() * 1000
    Path(f"/proc/{p.pid}/oom_score_adj").write_text("500")
    after = time.time() * 1000
    p.communicate("go\n", timeout=180)
    e = event_of(log, p.pid)
    by = e["victim"]["oom_score_adj_set"]
    assert e["victim"]["oom_score_adj"] == 500
    assert (by["pid"], by["of_pid"]) == (os.getpid(), p.pid)
    assert by["comm"] == Path("/proc/self/comm").read_text().strip()
    assert before - 100 <= by["time_unix_ms"] <= after + 100
    # Nobody wrote that of the next one.
    e = event_of(log, kill_in(g, [hog]))
    assert e["victim"]["oom_score_adj_set"] is None
    out = mw.finish()[1]
    said = f"score     oom_score_adj 500, set \\S+ before by {by['comm']} \\(pid {os.getpid()}\\)\n"
    assert len(re.findall(said, out)) == 1
    assert len(re.findall(said, memwatch("oom", "--list", "--log", log, check=0).stdout)) == 1


def test_score_from_a_parent(group, hog, log, attach, target):
    """A child has the score of its parent, and is told with it."""
    attach("oom", "--log", log)
    p = target([hog, "-c"], preexec_fn=group(16 * MIB).join)
    p.expect("ready")
    Path(f"/proc/{p.pid}/oom_score_adj").write_text("300")
    p.say()
    child = int(p.expect("child").split()[1])
    e = event_of(log, child)
    by = e["victim"]["oom_score_adj_set"]
    assert e["victim"]["oom_score_adj"] == 300
    assert (by["pid"], by["of_pid"]) == (os.getpid(), p.pid)
