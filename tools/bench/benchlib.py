# SPDX-License-Identifier: GPL-2.0-or-later
"""For the benchmarks in Python."""
import re
from pathlib import Path


def line(name, value, what):
    """One result: what it is called, its value with a unit, against what and how often."""
    print(f"{name:<34} {value:>10}  ({what})", flush=True)


def cpu_ns(pid):
    """Time on a CPU of all threads."""
    return sum(int((t / "schedstat").read_text().split()[0]) for t in
               Path(f"/proc/{pid}/task").iterdir())


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
