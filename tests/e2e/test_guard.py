# SPDX-License-Identifier: GPL-2.0-or-later
"""Alerts on pressure and in top; what is recorded of a victim that was being watched."""
import ctypes
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, load_json, memwatch, wait_for
from oomlib import (MIB, event_of, events, group, hog, leak, log,  # noqa: F401 (fixtures)
                    needs_cgroup as pytestmark)

PRESSURE = Path("/proc/pressure/memory")
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000


class Pressure:
    """A file of the kernel's own form in place of the machine's pressure, for one process."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, some, full=0):
        # Of the same length every time and written at once: a reader sees one or the other.
        text = "".join(f"{k} avg10={v:05.2f} avg60=00.00 avg300=00.00 total=000000\n"
                       for k, v in (("some", some), ("full", full)))
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT)
        os.pwrite(fd, text.encode(), 0)
        os.close(fd)

    def mount(self):
        """In the child, before exec: a mount namespace of its own."""
        libc = ctypes.CDLL(None, use_errno=True)
        for ok in (libc.unshare(CLONE_NEWNS) == 0,
                   libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0,
                   libc.mount(str(self.path).encode(), str(PRESSURE).encode(), None, MS_BIND,
                              None) == 0):
            if not ok:
                raise OSError(ctypes.get_errno(), "no mount namespace of its own")


@pytest.fixture
def pressure(tmp_path):
    if not PRESSURE.exists():
        pytest.skip("this kernel has no pressure stall information")
    # What the kernel writes has the form that is imitated here.
    assert re.fullmatch(r"(some|full) avg10=\d+\.\d\d avg60=\d+\.\d\d avg300=\d+\.\d\d total=\d+",
                        PRESSURE.read_text().splitlines()[0])
    return Pressure(tmp_path / "pressure")


def looks(mw, n):
    """Waits until memwatch has printed n more reports; the rules were looked at in between."""
    have = len(re.findall(r"^  RSS ", mw.out, re.M))
    mw.wait_for(r"(?s)(^  RSS .*?){%d}" % (have + n), stream="out")


@pytest.mark.parametrize("kind", ["some", "full"])
def test_alert_on_pressure(kind, leak, tmp_path, attach, pressure):
    log = tmp_path / "log"
    p = leak(48 * MIB, "-b", "1024")
    mw = attach("-p", p.pid, "--exact", "--plain", "-i", "300ms", "--oom-log", log, "--alert-dir",
                tmp_path, "--alert-psi", f"{kind}=20%", "--alert-cooldown", "0",
                preexec_fn=pressure.mount)
    said = (r"warning: alert psi: machine \(largest: PID \d+, oom_hog\): memory pressure 25\.00%, "
            r"threshold 20\.00%")

    def at(value):
        # The other line stands high all the time: it is not what was asked for.
        pressure.set(*((value, 90) if kind == "some" else (90, value)))

    at(19)
    looks(mw, 5)
    assert events(log, "memwatch.alert/1") == []
    at(25)
    mw.wait_for(said)
    at(19)  # not clearly gone back
    looks(mw, 5)
    at(25)
    looks(mw, 5)
    assert len(re.findall(said, mw.err)) == 1
    at(5)
    mw.wait_for(r"warning: alert psi resolved after [\d.]+m?s: machine .*: memory pressure 5\.00%")
    at(25)
    mw.wait_for(f"(?s){said}.*{said}")
    assert p.poll() is None
    assert mw.finish()[0] == 0
    alerts = events(log, "memwatch.alert/1")
    assert [(a["rule"], a["state"]) for a in alerts] == [("psi", "firing"), ("psi", "resolved"),
                                                         ("psi", "firing")]
    for a in alerts[::2]:
        assert a["scope"] == "machine"
        assert (a["value"], a["threshold"], a["unit"]) == (25, 20, "percent")
        assert a["pid"] == p.pid and os.path.exists(a["profile"])
        assert Path(a["timeline"]).read_text().startswith("time_unix_ms,pid,")


def test_alert_on_pressure_while_nobody_is_watched(tmp_path, attach, pressure):
    """The machine's alarm, and its end, need no process."""
    log = tmp_path / "log"
    pressure.set(25)
    mw = attach("top", "--name", f"^nobody{os.getpid()}$", "--plain", "-i", "300ms", "-n", "100000", "--oom-log", log,
                "--alert-dir", tmp_path, "--alert-psi", "some=20%", "--on-alert", "printenv MEMWATCH_ALERT_STATE",
                preexec_fn=pressure.mount, ready=False)
    mw.wait_for(r"alert psi: machine: memory pressure 25\.00%")
    pressure.set(5)
    mw.wait_for(r"alert psi resolved after [\d.]+m?s: machine: memory pressure 5\.00%")
    assert mw.finish()[0] == 4  # nobody matched
    alerts = events(log, "memwatch.alert/1")
    assert [(a["state"], a["scope"], a["pid"], a["profile"], a["timeline"]) for a in alerts] == [
        ("firing", "machine", None, None, None), ("resolved", "machine", None, None, None)]
    assert re.search("^firing$", mw.err, re.M) and re.search("^resolved$", mw.err, re.M)


def test_alert_on_pressure_that_is_not_told(target, pressure):
    """The file is there and has nothing in it, as where the kernel was booted with psi=0."""
    pressure.path.write_text("")
    p = target(["sleep", "100"])
    r = memwatch("-p", p.pid, "--alert-psi", "some=20%", "-d", "100ms", check=0,
                 preexec_fn=pressure.mount)
    assert "--alert-psi cannot fire" in r.stderr


def test_victims_timeline_is_the_runs(leak, tmp_path, attach):
    """With --timeline the record has the rows of the run, not one in five seconds."""
    log, csv = tmp_path / "log", tmp_path / "t.csv"
    p = leak(24 * MIB, "-s", "128", "-u", "20000")
    mw = attach("-p", p.pid, "-v", "-i", "100ms", "--oom-log", log, "--alert-dir", tmp_path,
                "--timeline", csv)
    mw.wait_for("watched", stream="out")  # the rows begin
    leak.go(p)
    assert p.wait(180) == -signal.SIGKILL
    assert mw.finish(sig=None)[0] == 0
    points = event_of(log, p.pid)["timeline"]
    times = [x["time_unix_ms"] for x in points]
    assert times == sorted(times)
    rows = {int(r.split(",")[0]): int(r.split(",")[3]) for r in csv.read_text().splitlines()[1:]
            if r.split(",")[3]}
    same = [x for x in points if rows.get(x["time_unix_ms"]) == x["rss_bytes"]]
    assert len(same) >= 8 and len(same) >= len(points) - 1
    assert points[-1]["rss_bytes"] > 20 * MIB > 10 * MIB > points[0]["rss_bytes"]


def test_page_fault_profile_of_a_victim(leak, tmp_path, attach):
    log = tmp_path / "log"
    p = leak(24 * MIB, "-s", "128", "-u", "5000")
    mw = attach("-p", p.pid, "--faults=16", "-q", "-v", "--oom-log", log, "--alert-dir", tmp_path)
    leak.go(p)
    assert p.wait(180) == -signal.SIGKILL
    assert mw.finish(sig=None)[0] == 0
    e = event_of(log, p.pid)
    memwatch("report", "-o", tmp_path / "p.json", e["profile"], check=0)
    prof = load_json(tmp_path / "p.json")
    held = sum(s["inuse_bytes"] for s in prof["stacks"]
               if any(f["function"] == "hoard" for f in s["frames"]))
    anon = e["victim"]["anon_rss_bytes"]
    assert 0.6 * anon <= held <= 1.2 * anon, (held, anon)


def test_alerts_in_top(leak, tmp_path, attach):
    log = tmp_path / "log"
    p = leak(32 * MIB, "-s", "128", "-u", "5000")
    mw = attach("top", "-p", p.pid, "--plain", "-i", "60", "--alert-rss", "8M", "--alert-dir",
                tmp_path, "--oom-log", log, "--on-alert", "printenv MEMWATCH_ALERT_PID", ready=False)
    mw.wait_for("oom_hog", stream="out")
    leak.go(p)
    mw.wait_for(rf"alert rss: PID {p.pid} \(oom_hog\): RSS [\d.]+MB, threshold 8.00MB")
    assert p.wait(180) == -signal.SIGKILL
    kill = event_of(log, p.pid)
    mw.finish()
    a, over = events(log, "memwatch.alert/1")
    assert over["state"] == "resolved" and over["ended"]
    assert a["pid"] == p.pid and a["profile"] is None and os.path.exists(a["timeline"])
    assert kill["victim"]["comm"] == "oom_hog"
    assert re.search(rf"^{p.pid}$", mw.err, re.M)
    r = memwatch("top", "--alert-rss", "8M", check=2)
    assert "needs -p PID" in r.stderr


# The first process of a PID namespace: what runs in there sees and reaches nothing else.
SHUT_IN = """
set -eu
sleep 1000 &
victim=$!
until read -r name </proc/$victim/comm && [ "$name" = sleep ]; do :; done
echo 1000 >/proc/$victim/oom_score_adj
"$1" -M $3,$3 -s 100,100 -r 0 >"$2" 2>&1 &
wait $victim || echo "victim $?"
"""


def test_earlyoom_itself(log, attach, tmp_path):
    """The real daemon, told that whatever is available is too little."""
    daemon = shutil.which("earlyoom") or ROOT / "build/earlyoom/usr/bin/earlyoom"
    if not os.access(daemon, os.X_OK):
        pytest.skip("earlyoom is not here")
    total = re.search(r"MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text())[1]
    attach("oom", "--log", log)
    p = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c",
                        SHUT_IN, "bash", str(daemon), str(tmp_path / "said"), total], timeout=180,
                       capture_output=True, text=True)
    said = (tmp_path / "said").read_text()
    assert p.stdout == "victim 137\n", p.stderr + said
    assert re.search(r"sending SIGKILL to process \d+ uid 0 \"sleep\"", said)
    e = wait_for(lambda: next((e for e in events(log)[log.seen:]
                               if e["victim"]["oom_score_adj"] == 1000), None))
    assert e["killer"] == "daemon" and e["signal"] == 9
    assert e["trigger"]["comm"] == "earlyoom" and e["victim"]["comm"] == "sleep"
