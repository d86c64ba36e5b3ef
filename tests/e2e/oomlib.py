# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory cgroups of the tests' own, programs that fill them, and what the kernel says of its kills."""
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BIN, PATIENCE, ROOT as REPO, build, memwatch, wait_for

MIB = 1 << 20


def memory_root():
    """Mount point and version of the memory controller."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point, kind, options = left.split()[4], right.split()[0], right.split()[2]
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(point), 1
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point = Path(left.split()[4])
        if right.split()[0] == "cgroup2" and "memory" in (point / "cgroup.controllers").read_text():
            return point, 2
    return None, 0


ROOT, VERSION = memory_root()
needs_cgroup = pytest.mark.skipif(not ROOT or not os.access(ROOT, os.W_OK),
                                  reason="no memory cgroup can be made here")


class Group:
    def __init__(self, name, limit=None, parent=None):
        self.dir = (parent.dir if parent else ROOT) / name
        self.dir.mkdir()
        if VERSION == 2:
            if parent:
                (parent.dir / "cgroup.subtree_control").write_text("+memory")
            if limit:
                (self.dir / "memory.max").write_text(str(limit))
                if (self.dir / "memory.swap.max").exists():
                    (self.dir / "memory.swap.max").write_text("0")
        elif limit:
            (self.dir / "memory.limit_in_bytes").write_text(str(limit))
            if (self.dir / "memory.memsw.limit_in_bytes").exists():
                (self.dir / "memory.memsw.limit_in_bytes").write_text(str(limit))

    @property
    def path(self):
        return "/" + str(self.dir.relative_to(ROOT))

    def join(self):
        (self.dir / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for pid in (self.dir / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        wait_for(lambda: not (self.dir / "cgroup.procs").read_text().split())
        # A dying task leaves the list before it leaves the group.
        wait_for(self.rmdir)

    def rmdir(self):
        try:
            self.dir.rmdir()
        except OSError:
            return False
        return True


@pytest.fixture
def group():
    made = []

    def make(limit=None, parent=None):
        g = Group(f"memwatch-test-{os.getpid()}-{len(made)}", limit, parent)
        made.append(g)
        return g

    yield make
    for g in reversed(made):
        g.remove()


@pytest.fixture(scope="module")
def hog():
    return build("oom_hog.c", flags=["-O1", "-fno-omit-frame-pointer"], libs=["-lpthread"])


def kernel_lines():
    """What the kernel's log has now, line by line."""
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                yield os.read(fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:  # overwritten before it was read
                continue
    finally:
        os.close(fd)


def kernel_kills():
    """The kernel's own lines: pid → (anon, file, shmem, total_vm in bytes, comm)."""
    found = {}
    for line in kernel_lines():
        m = re.search(r"Killed process (\d+) \((.*)\) total-vm:(\d+)kB, anon-rss:(\d+)kB, "
                      r"file-rss:(\d+)kB, shmem-rss:(\d+)kB", line)
        if m:
            vm, anon, file, shmem = (int(x) * 1024 for x in m.groups()[2:])
            found[int(m[1])] = dict(total_vm_bytes=vm, anon_rss_bytes=anon, file_rss_bytes=file,
                                    shmem_rss_bytes=shmem, comm=m[2])
    return found


def let_the_kernel_talk():
    """The kernel writes the context of at most ten kills in five seconds, and only the "Killed
    process" line of others. Waits until the next kill gets its context."""
    last = max((int(line.split(",")[2]) / 1e6 for line in kernel_lines() if "Killed process" in line),
               default=0)
    wait_for(lambda: time.clock_gettime(time.CLOCK_MONOTONIC) > last + 5.5)


def kill_in(g, argv, timeout=PATIENCE, **kw):
    """Runs argv in the group until the OOM killer ends it; returns its pid."""
    p = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         preexec_fn=g.join, **kw)
    p.stdin.write(b"go\n")
    p.stdin.close()
    assert p.wait(timeout) == -signal.SIGKILL
    return p.pid


def events(path, schema="memwatch.oom/1"):
    """What was logged; without what has no victim: a machine may run short while tests run."""
    if not Path(path).exists():
        return []
    lines = Path(path).read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["schema"] == schema and e.get("victim", True)]


def victims(text):
    """PIDs of the kills that were printed with --json."""
    return [e["victim"]["pid"] for e in map(json.loads, text.splitlines()) if e["victim"]]


def event_of(path, pid, timeout=PATIENCE):
    return wait_for(lambda: next((e for e in events(path) if e["victim"]["pid"] == pid), None),
                    timeout)


def check(e, g, pid, comm, limit):
    """Everything that the kernel's line says about the same kill."""
    line = kernel_kills()[pid]
    v = e["victim"]
    for key in ("total_vm_bytes", "anon_rss_bytes", "file_rss_bytes", "shmem_rss_bytes"):
        assert v[key] == line[key], key
    assert line["comm"] == v["comm"] == comm
    assert e["source"] == "probe+kmsg"
    assert e["killer"] == "kernel" and e["signal"] == 9
    assert e["constraint"] == "memcg"
    assert e["memcg"]["path"] == g.path
    assert e["memcg"]["limit_bytes"] == limit
    assert limit * 0.9 < e["memcg"]["usage_bytes"] <= limit
    assert v["pgtables_bytes"] > 0 and v["oom_score_adj"] == 0 and v["uid"] == 0
    assert abs(e["time_unix_ms"] / 1000 - time.time()) < 60
    assert any(t["pid"] == pid and t["comm"] == comm for t in e["tasks"])
    assert e["machine"]["total_bytes"] > e["machine"]["free_bytes"] > 0


class Log(str):
    """A path, and how many events were in it at the start."""
    seen = 0


@pytest.fixture
def log(tmp_path):
    """A log that starts now: what the kernel's log has from before is in it already."""
    p = Log(tmp_path / "oom.jsonl")
    memwatch("oom", "--log", p, "-q", "-d", "10ms", check=0)
    p.seen = len(events(p))
    return p


@pytest.fixture
def leak(group, hog):
    """leak(limit, args…): a leaking program in a group of its own, held at the start."""
    running = []

    def start(limit, *args, **kw):
        g = group(limit)
        p = subprocess.Popen([str(hog), *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             text=True, preexec_fn=g.join, **kw)
        running.append(p)
        assert p.stdout.readline() == "ready\n"
        p.group = g
        return p

    def go(p):
        p.stdin.write("go\n")
        p.stdin.flush()

    start.go = go
    yield start
    for p in running:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


def victimless(path, group):
    """What was logged of a group in which nobody could be killed."""
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    return [e for e in map(json.loads, lines) if e["schema"] == "memwatch.oom/1"
            and e["victim"] is None and e["memcg"] and e["memcg"]["path"] == group]


def top_function(profile):
    out = subprocess.run([str(BIN), "report", "--top", "12", str(profile)], capture_output=True,
                         text=True)
    assert out.returncode == 0, out.stderr
    return out.stdout


@pytest.fixture
def datagram(tmp_path):
    """A datagram socket under a path, removed afterwards."""
    made = []

    def make(path):
        if os.path.exists(path):
            pytest.skip(f"{path} belongs to somebody")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(str(path))
        s.settimeout(30)
        made.append((s, path))
        return s

    yield make
    for s, path in made:
        s.close()
        os.unlink(path)


def unit_file():
    """The unit's lines, by key."""
    text = (REPO / "tools/systemd/memwatch-oom.service").read_text()
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.M)), text
