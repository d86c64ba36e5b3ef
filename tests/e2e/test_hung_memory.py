# SPDX-License-Identifier: GPL-2.0-or-later
"""A page of a target is of a file whose file system does not answer: whoever reads it for memwatch is
left behind, and holds up neither the watching, nor the end, nor the target."""
import os
import signal
import sys

import pytest

from conftest import load_json, wait_for
from fuselib import READ
from hostilelib import USER, ended_in_time, helpers, place  # noqa: F401 (a fixture)
from test_boxes import opened, readers_of
from test_hung_disk import hung  # noqa: F401 (a fixture)
from test_processes import family

pytestmark = pytest.mark.alone  # the kernel's readers of such a process wait as well

# What it maps passes for a Java virtual machine's library, whose tables are read in its memory. It
# never looks there itself; at each word it maps something else, and lets go of it.
TARGET = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
library = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
print("ready", flush=True)
for line in sys.stdin:
    blocks = [bytearray(1 << 20) for _ in range(8)]
    del blocks
    print("ok", flush=True)
"""


# The same in the place of a C library's data, where a heap is looked for: it is in memory when that is
# looked at, and at the first word gone.
HEAP = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
library = mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
library[0]
print("ready", flush=True)
for line in sys.stdin:
    library.madvise(mmap.MADV_DONTNEED)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    blocks = [bytearray(1 << 20) for _ in range(8)]
    del blocks
    print("ok", flush=True)
"""


def readers(pid):
    return [p for p, (s, _) in family(pid).items() if s["Name"] == "memwatch-memory"]


def test_a_page_that_does_not_come(target, attach, hung, tmp_path):  # noqa: F811
    library, out = hung.at / "libjvm.so", tmp_path / "p.json"
    library.write_bytes(bytes(8192))
    t = target([sys.executable, "-c", TARGET, library])
    t.expect("ready")
    with open(library, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    hung.hold(READ)
    m = attach("-p", t.pid, "--plain", "--exact", "-v", "-o", out)
    m.wait_for(f"PID {t.pid}: what is in its memory does not come")
    t.say()
    t.expect("ok")  # its mappings are nobody's
    wait_for(lambda: "libjvm.so" in open(f"/proc/{t.pid}/smaps").read())
    assert [node for op, _, node, _ in hung.waiting if op == READ]
    left = readers(m.proc.pid)
    ended_in_time(m)
    assert load_json(out)["totals"]["alloc_objects"] >= 8
    hung.release()
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in left))
    t.stop()  # and its mapping of the mount


def test_a_page_of_a_heap_that_does_not_come(target, attach, hung, place):  # noqa: F811
    """The helper that looks for heaps, and who reads for it, are left behind."""
    library = hung.at / "libc.so.6"
    library.write_bytes(bytes(8192))
    t = target([*USER, sys.executable, "-c", HEAP, library])
    t.expect("ready")
    m = attach("-p", t.pid, "--plain", "--ledger", "-i", "50ms")
    m.more_reports(1)
    [starter], _ = helpers(m.proc.pid)
    os.kill(starter, signal.SIGSTOP)
    answer = "/memfd:memwatch-answer (deleted)"  # of a helper that has not been started
    wait_for(lambda: not readers_of(m.proc.pid) and answer in opened(m.proc.pid))
    t.say()
    t.expect("ok")
    hung.hold(READ)
    os.kill(starter, signal.SIGCONT)
    wait_for(lambda: hung.waiting)
    t.say()
    t.expect("ok")  # its mappings are nobody's
    m.more_reports(2)
    left = readers(m.proc.pid)
    ended_in_time(m)
    hung.release()
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in left))
    t.stop()
