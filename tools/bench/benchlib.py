# SPDX-License-Identifier: GPL-2.0-or-later
"""For the benchmarks in Python."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(os.environ.get("MEMWATCH", Path(__file__).resolve().parents[2] / "build/memwatch"))


def line(name, value, what):
    """One result: what it is called, its value with a unit, against what and how often."""
    print(f"{name:<34} {value:>10}  ({what})", flush=True)


def cpu_ns(pid):
    """Time on a CPU of all threads, those that have ended included: clock_getcpuclockid(3)."""
    return time.clock_gettime_ns(~int(pid) << 3 | 2)


def cpu_s(pid):
    return cpu_ns(pid) / 1e9


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def family(pid):
    """The process and all below it."""
    kids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(x for k in kids for x in family(int(k)))]


def settle(pid, most=15):
    """Until the process and all below it have next to nothing to do: what comes first is done. That
    may be never; after so many seconds it is enough."""
    def took():
        ns = 0
        for x in family(pid):
            with contextlib.suppress(OSError):
                ns += cpu_ns(x)
        return ns

    end, before = time.monotonic() + most, took()
    while time.monotonic() < end:
        time.sleep(0.5)
        now = took()
        if now - before < 0.5e9 / 50:
            return
        before = now


@contextlib.contextmanager
def idle_processes(n=500):
    started = [subprocess.Popen(["sleep", "1000"]) for _ in range(n)]
    try:
        yield
    finally:
        for p in started:
            p.kill()
            p.wait()


def start_daemon(where, rules):
    """When it is ready; with its address, token and page."""
    conf = where / "daemon.conf"
    conf.write_text(f"[daemon]\nlisten = 127.0.0.1:0\nstate-dir = {where}/state\n{rules}")
    d = subprocess.Popen([BIN, "daemon", "--config", conf], stderr=subprocess.PIPE, text=True)
    said = ""
    for text in d.stderr:
        said += text
        if "daemon ready" in text:
            d.address = re.search(r"listening on http://(\S+)", said)[1]
            d.token = re.search(r"token: (\S+)", said)[1]
            d.page = re.search(r"page: (\S+)", said)[1]
            return d
    sys.exit(f"daemon: it did not start: {said}")


def stop_daemon(d):
    """What it has said since it was ready."""
    d.send_signal(signal.SIGTERM)
    said = d.stderr.read()
    d.wait()
    return said
