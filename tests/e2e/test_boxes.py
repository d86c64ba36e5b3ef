# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read of a target's memory is read by helpers without privileges: one that dies, hangs or
drowns costs what it was asked for, and a line says so."""
import contextlib
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from conftest import load_json, memwatch, wait_for
from golib import Pprof, assert_same, go_build
from test_go import round_of, start
from hostilelib import (HANG, MAX_RSS, ended_in_time, helpers, hostmaps,  # noqa: F401
                        peak_rss, place, same_address)
from test_privilege import status_of
from test_processes import family


def readers_of(memwatch_pid):
    """Helpers that have somebody read a target's memory: one socket is to who asks, one to him."""
    out = []
    for pid in helpers(memwatch_pid)[1]:
        try:
            fds = {os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir()}
        except OSError:
            continue
        if sum(f.startswith("socket:") for f in fds) == 2:
            out.append(pid)
    return out


def looked_into(memwatch_pid, seen=()):
    """A helper that reads the target's memory, none of those seen before."""
    return wait_for(lambda: [p for p in readers_of(memwatch_pid) if p not in seen], timeout=HANG)[0]


def first_of(m, out):
    """Waits until a first profile stands in the file."""
    wait_for(lambda: m.proc.send_signal(signal.SIGUSR1) or out.exists(), step=0.3)


@pytest.fixture
def program(target, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    return t


def test_a_reader_of_go_memory_that_dies_is_replaced(program, attach, tmp_path):
    out = tmp_path / "p.pb.gz"
    m = attach("go", "-p", program.pid, "-i", "50ms", "-o", out)
    first_of(m, out)
    seen = []
    for _ in range(3):
        seen.append(looked_into(m.proc.pid, seen))
        os.kill(seen[-1], signal.SIGSEGV)
    m.proc.send_signal(signal.SIGUSR1)
    m.wait_for("broke its reader", timeout=HANG)  # and not again and again
    assert not [p for p in readers_of(m.proc.pid) if p not in seen]
    status, _, err = m.finish(signal.SIGINT, timeout=HANG)
    assert status == 0, err
    assert_same(Pprof(out).multiset(), Pprof(program.own / "heap.pb.gz").multiset(),
                "what was read before")


def test_a_reader_of_go_memory_that_hangs_holds_nobody_up(program, attach, tmp_path):
    out = tmp_path / "p.pb.gz"
    m = attach("go", "-p", program.pid, "-i", "50ms", "-o", out)
    first_of(m, out)
    os.kill(looked_into(m.proc.pid), signal.SIGSTOP)
    ended_in_time(m)
    assert_same(Pprof(out).multiset(), Pprof(program.own / "heap.pb.gz").multiset(),
                "what was read before")


def test_an_attached_go_program_is_read_apart(program, attach, tmp_path):
    """A run that only looks at Go besides: the reader dies, the profile of before remains."""
    out = tmp_path / "p.pb.gz"
    m = attach("-p", program.pid, "--plain", "-i", "100ms", "-o", out)
    first_of(m, out)
    os.kill(looked_into(m.proc.pid), signal.SIGKILL)
    ended_in_time(m)
    assert out.exists()


def opened(pid):
    return {os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir()}


def who_reads(memwatch_pid):
    """The process that starts those who read memory, and those."""
    all_ = [p for p, (s, _) in family(memwatch_pid).items() if s["Name"] == "memwatch-memory"]
    first = [p for p in all_ if int(status_of(p)["PPid"]) == memwatch_pid]
    return first[0], [p for p in all_ if p not in first]


def test_readers_of_go_memory_have_it_not_open(program, attach):
    """Whoever reads /proc/PID/mem keeps the target's mappings while a page does not come."""
    m = attach("go", "-p", program.pid, "-i", "50ms")
    helper = looked_into(m.proc.pid)
    assert f"/proc/{program.pid}/mem" not in opened(helper)
    ended_in_time(m)


def test_who_reads_for_helpers_takes_little(program, attach):
    m = attach("go", "-p", program.pid, "-i", "50ms")
    looked_into(m.proc.pid)
    for pid in who_reads(m.proc.pid)[1]:
        s = status_of(pid)
        assert int(s["RssAnon"].split()[0]) + int(s["RssShmem"].split()[0]) < 8192
    ended_in_time(m)


@pytest.fixture
def heap_walk(hostmaps, attach):
    """A run whose helper for a heap has been started, and waits for who is to read that for it."""
    t = hostmaps()
    m = attach("-p", t.pid, "--plain", "--ledger", "-i", "50ms")
    m.more_reports(1)
    m.starts_readers = who_reads(m.proc.pid)[0]
    os.kill(m.starts_readers, signal.SIGSTOP)
    m.helper = looked_into(m.proc.pid)
    m.target = t
    return m


def test_readers_of_heaps_have_the_memory_not_open(heap_walk):
    m = heap_walk
    files = opened(m.helper)
    assert f"/proc/{m.target.pid}/pagemap" in files and f"/proc/{m.target.pid}/mem" not in files
    os.kill(m.starts_readers, signal.SIGCONT)
    m.more_reports(2)
    ended_in_time(m)


def test_a_heap_whose_memory_nobody_reads(heap_walk):
    """Whoever is to read it dies: that costs the heap's lines."""
    os.kill(heap_walk.starts_readers, signal.SIGKILL)
    heap_walk.wait_for("the process that reads memory has died", "out")
    ended_in_time(heap_walk)


def test_a_heap_is_not_waited_for_at_the_end(heap_walk):
    ended_in_time(heap_walk)


@contextlib.contextmanager
def ring_of_records(pid):
    """Makes the second of the runtime's memory records lead to the first again, as only somebody who
    means harm does; the list is as it was at the end."""
    syms = os.popen(f"nm {go_build('shapes', '-plain')}").read()
    at = int(re.search(r"^(\w+) \w runtime\.mbuckets$", syms, re.M)[1], 16)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as mem:
        def word(at):
            mem.seek(at)
            return int.from_bytes(mem.read(8), "little")

        def write(at, value):
            mem.seek(at)
            mem.write(value.to_bytes(8, "little"))

        first = word(at)
        link = word(first + 8) + 8
        following = word(link)
        write(link, first)
        yield
        write(link, following)


def test_records_in_a_ring_are_no_profile(program):
    """A list without an end."""
    with ring_of_records(program.pid):
        r = memwatch("go", "-p", program.pid)
        assert r.returncode == 1 and not r.stdout
        assert f"process {program.pid}" in r.stderr
    memwatch("go", "-p", program.pid, check=0)


def test_rings_do_not_fill_the_main_process(program, attach):
    m = attach("go", "-p", program.pid, "-i", "50ms")
    with ring_of_records(program.pid):
        m.wait_for(f"process {program.pid}", timeout=HANG)
        rss = peak_rss(m.proc.pid)
        m.finish(signal.SIGINT, timeout=HANG)
    assert rss < MAX_RSS


def test_many_files_of_one_process_share_its_budget(hostmaps, attach, place):  # noqa: F811
    """Forty files, each within what a file may take, all together not: the process has had what it
    may, a line says so, and what needs no reading goes on; what allocates was looked at first. They are root's, so that only the
    process is to blame."""
    one = same_address(place)
    libs = []
    for i in range(40):
        libs.append(place / f"many{i}.so")
        shutil.copy(one, libs[-1])  # root's
    t = hostmaps(*libs)
    out = place / "p.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-v", "-o", out,
               env=dict(os.environ, MEMWATCH_PARSE_CPU="1s"))
    t.say()
    t.expect("ok")
    a.proc.send_signal(signal.SIGUSR1)  # names are read, of one file after the other
    a.wait_for(f"PID {t.pid}: the processor time for reading its files and memory is used up",
               timeout=4 * HANG)
    wait_for(out.exists, timeout=HANG)
    rss = peak_rss(a.proc.pid)
    err = ended_in_time(a)
    assert rss < MAX_RSS and err.count("is used up") == 1
    assert load_json(out)["totals"]["alloc_objects"], "what allocates was not looked at in time"
    assert load_json(out)["totals"]["alloc_objects"] >= 40  # what needs no reading is all there
    took, unit = re.search(r"lost to their files, ([\d.]+) (m?s) of processor time", err).groups()
    assert float(took) / (1000 if unit == "ms" else 1) < 10  # a file each may have taken a second
