#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What `memwatch daemon` takes while nothing happens among 500 processes; how many heap profiles and metrics a second
it answers at once while what it profiles allocates; what a day of history takes, and questions about it."""
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from benchlib import BIN, cpu_ns, family, idle_processes, line, start_daemon, stop_daemon  # noqa: E402
from conftest import build  # noqa: E402

SECONDS = float(os.environ.get("MEMWATCH_BENCH_SECONDS", 20))
STACKS = 2000
HEAPS_S, METRICS_S = 50, 1000


def whole_cpu_ns(pid):
    """Of the daemon with its helpers, those that have ended too."""
    reaped = lambda p: sum(int(n) for n in Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[13:15])
    return sum(cpu_ns(p) + reaped(p) * 1000000000 // os.sysconf("SC_CLK_TCK") for p in family(pid))


def resident_kb(pid):
    """Of the daemon with its helpers; what they share is counted once."""
    pss = lambda p: int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{p}/smaps_rollup").read_text(), re.M)[1])
    return sum(pss(p) for p in family(pid))


def idle(where):
    with idle_processes():
        d = start_daemon(where, "")
        time.sleep(45)  # young processes are not in the history; sixteen programs a second are looked at, whether they are Go's
        a, t = whole_cpu_ns(d.pid), time.monotonic()
        time.sleep(SECONDS)
        s = time.monotonic() - t
        n = sum(p.name.isdigit() for p in Path("/proc").iterdir())
        line("daemon idle cpu", f"{(whole_cpu_ns(d.pid) - a) / s / 1e7:.2f} %", f"of one core with its helpers, {n} processes, {s:.0f} s; limit 0.5 %")
        line("daemon rss", f"{resident_kb(d.pid) / 1024:.1f} MiB", f"with its {len(family(d.pid)) - 1} helpers, page faults sampled, nothing profiled; limit 60 MiB")
        stop_daemon(d)


def get(c, d, path):
    c.request("GET", path, headers={"Authorization": "Bearer " + d.token})
    r = c.getresponse()
    body = r.read()
    if r.status != 200:
        sys.exit(f"daemon: {path}: {r.status}")
    return body


def ask_steadily(d, path, rate, seconds, ret_ms):
    """As many questions a second over one connection, or as many as it answers; what each took."""
    c, begin = http.client.HTTPConnection(d.address), time.monotonic()
    while time.monotonic() - begin < seconds:
        wait = begin + len(ret_ms) / rate - time.monotonic()
        time.sleep(max(0, wait))
        t = time.monotonic()
        get(c, d, path)
        ret_ms.append((time.monotonic() - t) * 1000)


def ask_metrics(d, seconds):
    """Questions a second over eight connections that are kept."""
    p = subprocess.run(["ab", "-q", "-k", "-l", "-c", "8", "-t", str(seconds), "-n", "1000000", "-H",
                        f"Authorization: Bearer {d.token}", f"http://{d.address}/metrics"], check=True, capture_output=True, text=True)
    if not re.search(r"Failed requests:\s+0$", p.stdout, re.M) or "Non-2xx" in p.stdout:
        sys.exit(f"daemon: /metrics: {p.stdout}")
    return float(re.search(r"Requests per second:\s+([\d.]+)", p.stdout)[1])


def load(where):
    """Two programs are profiled: one that allocates all the time, and one with many stacks, which is asked for."""
    many, busy = where / "many", where / "busy"
    many.symlink_to(build("stacks.c", flags=["-O1", "-fno-omit-frame-pointer"]))
    busy.symlink_to(build("shapes.c", flags=["-O1"]))
    asked = subprocess.Popen([many, str(STACKS)])
    t = subprocess.Popen([busy, "10", "100000"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    d = start_daemon(where, "max-overhead = 100%\nmax-overhead-total = 100%\n[profile busy]\ncomm = ^busy$\n"
                            "[profile many]\ncomm = ^(many|done)$\nsample-bytes = 1\n")
    c = http.client.HTTPConnection(d.address)
    while len(json.loads(get(c, d, "/sd"))) < 2:
        time.sleep(0.1)
    asked.send_signal(signal.SIGUSR1)
    t.stdin.write("go\n")
    t.stdin.flush()
    while "done" not in Path(f"/proc/{asked.pid}/comm").read_text():
        time.sleep(0.1)
    path, took = f"/p/{asked.pid}/debug/pprof/heap", []
    get(c, d, path)
    heaps = threading.Thread(target=ask_steadily, args=(d, path, HEAPS_S, SECONDS, took))
    heaps.start()
    metrics = ask_metrics(d, SECONDS)
    heaps.join()
    line("daemon heap profiles", f"{len(took) / SECONDS:.1f} /s", f"of {STACKS} stacks, one connection; at least {HEAPS_S} /s; median {statistics.median(took):.1f} ms")
    line("daemon /metrics at the same time", f"{metrics:.0f} /s", f"eight connections; at least {METRICS_S} /s")
    for p in (t, asked):
        p.kill()
        p.wait()
    lost = re.search(r"(\d+) events lost", stop_daemon(d))
    line("daemon events lost meanwhile", lost[1] if lost else "?", "of a program that allocates all the time; none may be")


def wall_ms(*args):
    took = []
    for _ in range(5):
        t = time.monotonic()
        subprocess.run([BIN, "history", *args], check=True, stdout=subprocess.DEVNULL)
        took.append((time.monotonic() - t) * 1000)
    return statistics.median(took)


def history(where):
    """A day of 500 processes, fifty of them profiled: the file's size, and what questions take from the command line."""
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", "build/tests/history_day"], check=True, capture_output=True)
    said = subprocess.run([ROOT / "build/tests/history_day", where, "500", "86400"], check=True, capture_output=True,
                          text=True).stdout
    line("history of a day", re.search(r"hours: (.*)", said)[1], "500 processes, 50 profiled, others come and go; limit 100 MiB")
    line("history: a pass", re.search(r"a pass .*: (.*)", said)[1], "CPU, of each second")
    line("history: a profile", re.search(r"a profile .*: (.*)", said)[1], "CPU, of 400 stacks, 50 in ten minutes")
    end = int(re.search(r"end: (\d+)", said)[1])
    since = lambda s: ("--since", f"@{end - s}", "--until", f"@{end}")
    for what, args in (("everything, a day", since(86400)), ("everything, half an hour", since(1800)), ("growth, a day", ("--growth", *since(86400))),
                       ("growth, an hour", ("--growth", *since(3600))), ("one process, a day", ("-p", "1000", *since(86400))),
                       ("its difference, a day", ("-p", "1000", "--diff", *since(80000))), ("profiles, a day", ("--profiles", *since(86400))),
                       ("events, a day", ("--events", *since(86400)))):
        line(f"history: {what}", f"{wall_ms('--state-dir', where, *args):.0f} ms", "from the command line, 5 runs, median; limit 200 ms")


def main():
    parts = {p.__name__: p for p in (idle, load, history)}
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory(prefix="memwatch-bench-") as where:
            parts[name](Path(where))


main()
