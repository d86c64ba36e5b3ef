#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `memwatch daemon` takes while nothing happens among 500 processes, and how many questions a
second it answers while a profiled program allocates; what a day of history takes."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from benchlib import cpu_ns, line, rss_kb  # noqa: E402
from conftest import BIN, build  # noqa: E402

SECONDS = float(os.environ.get("MEMWATCH_BENCH_SECONDS", 20))
IDLERS = 500


def start(where, rules):
    conf = where / "daemon.conf"
    conf.write_text(f"[daemon]\nlisten = 127.0.0.1:0\nstate-dir = {where}/state\n{rules}")
    d = subprocess.Popen([BIN, "daemon", "--config", conf], stderr=subprocess.PIPE, text=True)
    d.address = d.token = None
    for said in d.stderr:
        m = re.search(r"listening on http://(\S+)", said)
        d.address = m[1] if m else d.address
        m = re.search(r"token: (\S+)", said)
        d.token = m[1] if m else d.token
        if "daemon ready" in said:
            return d
    sys.exit("daemon: it did not start")


def end(d):
    d.send_signal(signal.SIGTERM)
    said = d.stderr.read()
    d.wait()
    return said


def whole_cpu_ns(pid):
    """Of the daemon with its helpers, those that have ended too."""
    reaped = sum(int(n) for n in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[13:15])
    kids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_ns(pid) + reaped * 1000000000 // os.sysconf("SC_CLK_TCK") + sum(whole_cpu_ns(int(k)) for k in kids)


def idle(where):
    idlers = [subprocess.Popen(["sleep", "1000"]) for _ in range(IDLERS)]
    d = start(where, "")
    time.sleep(45)  # young processes are not in the history; sixteen programs a second are looked at, whether they are Go's
    a, t = whole_cpu_ns(d.pid), time.monotonic()
    time.sleep(SECONDS)
    s = time.monotonic() - t
    n = sum(p.name.isdigit() for p in Path("/proc").iterdir())
    line("daemon idle cpu", f"{(whole_cpu_ns(d.pid) - a) / s / 1e7:.2f} %", f"of one core with its helpers, {n} processes, {s:.0f} s")
    line("daemon rss", f"{rss_kb(d.pid) / 1024:.1f} MiB", "page faults sampled, nothing profiled")
    end(d)
    for p in idlers:
        p.kill()
        p.wait()


def ask(d, path, seconds):
    """Questions a second over one connection."""
    c, n = http.client.HTTPConnection(d.address), 0
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        c.request("GET", path, headers={"Authorization": "Bearer " + d.token})
        r = c.getresponse()
        r.read()
        if r.status != 200:
            sys.exit(f"daemon: {path}: {r.status}")
        n += 1
    return n / seconds


def load(where):
    exe = where / "benched"
    exe.symlink_to(build("shapes.c", flags=["-O1"]))
    t = subprocess.Popen([exe, "10", "100000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    d = start(where, "max-overhead = 100%\nmax-overhead-total = 100%\n[profile p]\ncomm = ^benched$\n")
    t.stdin.write("go\n")
    t.stdin.flush()
    while not json.loads(get(d, "/sd")):
        time.sleep(0.1)
    time.sleep(1)
    line("daemon /metrics", f"{ask(d, '/metrics', 5):.0f} /s", "one connection")
    line("daemon heap profile", f"{ask(d, f'/p/{t.pid}/debug/pprof/heap', 5):.0f} /s", "one connection")
    t.kill()
    t.wait()
    lost = re.search(r"(\d+) events lost", end(d))
    line("daemon events lost meanwhile", lost[1] if lost else "?", "of a program that allocates all the time")


def get(d, path):
    c = http.client.HTTPConnection(d.address)
    c.request("GET", path, headers={"Authorization": "Bearer " + d.token})
    return c.getresponse().read()


def history(where):
    """A day of 500 processes, fifty of them profiled: the file's size, and what questions take."""
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", "build/tests/history_day"], check=True, capture_output=True)
    said = subprocess.run([ROOT / "build/tests/history_day", where, "500", "86400"], check=True, capture_output=True,
                          text=True).stdout
    line("history of a day", re.search(r"hours: (.*)", said)[1], "500 processes; limit 100 MiB")
    line("history: a pass", re.search(r"a pass .*: (.*)", said)[1], "writing, of each second")
    for what, took in re.findall(r"^(who grew in .*|the timeline of one): ([\d.]+ ms)", said, re.M):
        line(f"history: {what}", took, "limit 200 ms")


def main():
    for part in (idle, load, history):
        with tempfile.TemporaryDirectory(prefix="memwatch-bench-") as where:
            part(Path(where))


main()
