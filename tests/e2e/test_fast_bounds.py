# SPDX-License-Identifier: GPL-2.0-or-later
"""Where --fast must not go, or not like this: allocators that would notice, functions that only are
named like an allocator's, workers with their parent's jumps, addresses that the heap will need."""
import json
import os
import re
import signal

import pytest

from alloclib import Run, losses, workload
from conftest import load_json, memwatch, wait_for
from daemonlib import attached, daemon  # noqa: F401 (a fixture)
from test_attach import breakpoints, text_of
from test_fast import is_fast, stubs
from test_kinds import check_sums

pytestmark = pytest.mark.usefixtures("own_libc")

LIBS = "/usr/lib/x86_64-linux-gnu"


def refused(t, attach, why, *opts):
    """Attaches to what is ready and has it work: it is not written to, and goes on."""
    a = attach("-p", t.pid, "--fast", "--plain", *opts)
    t.say("go")
    t.expect("done")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and re.search("no fast mode for .*" + why, err), err
    t.say("x")
    assert t.proc.wait(180) == 0


ACCOUNTS = "it checks which function each block is from"


def test_sanitized_programs(target, attach):
    t = target([workload("entries.cpp", flags=("-fsanitize=address",), suffix="-asan")],
               env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    t.expect("ready")
    refused(t, attach, f"({ACCOUNTS}|it lies over another allocator)")


@pytest.mark.parametrize("lib", ["libtcmalloc_debug.so.4", "libtcmalloc_minimal_debug.so.4"])
def test_debugging_allocators(lib, target, attach):
    t = target([workload("cxx.cpp")], env={**os.environ, "LD_PRELOAD": f"{LIBS}/{lib}"})
    t.expect("ready")
    refused(t, attach, ACCOUNTS)


def test_an_operator_new_of_its_own(target, attach):
    """Its blocks may not be what its malloc's are."""
    t = target([workload("ownnew.cpp")])
    t.expect("ready")
    refused(t, attach, "(it throws, and malloc might not do what it does|it calls nothing)")


@pytest.mark.parametrize("how", ["", "HOOKS", "FLAGS", "UNITS", "FAMOUS", "RESERVED"])
def test_names_that_end_as_an_allocators(how, target, attach, tmp_path):
    """No stub gets into a function whose arguments are others: it would take an integer for the
    place where the block is stored."""
    exe = workload("families.c", flags=["-O2", "-Wno-unused", *([f"-D{how}"] if how else [])],
                   suffix=f"-{how}-O2")
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "1K")
    assert is_fast(r.err) and losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 1 << 10)


@pytest.mark.parametrize("how", ["", "ARENA", "PLAIN"])
def test_a_name_is_no_proof(how, target, attach, tmp_path):
    exe = workload("pools.c", flags=["-O2", *([f"-D{how}"] if how else ())], suffix=f"-{how}-O2")
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "1K")
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 1 << 10)


def start_workers(target, tmp_path, comm):
    link = tmp_path / comm
    link.symlink_to(workload("workers.c"))
    t = target([link], start_new_session=True)
    t.expect("ready")
    return t


def fork_worker(t):
    t.say("fork")
    return int(t.expect("worker").split()[1])


def ends_well(t):
    t.say("x")
    assert t.proc.wait(180) == 0


def test_workers_of_a_service(target, tmp_path, daemon):  # noqa: F811
    """Each is attached to by the rule that fits them all: the jumps that it was forked with are its
    parent's, count for nobody, and give way to its own."""
    comm = f"workers{os.getpid()}"
    t = start_workers(target, tmp_path, comm)
    d = daemon(f"[profile w]\ncomm = ^{comm}$\nfast = yes\n")
    attached(d, t.pid)
    workers = [fork_worker(t) for _ in range(3)]
    for pid in workers:
        attached(d, pid)
    status, _, err = d.finish(signal.SIGTERM)
    assert status == 0 and "is being sampled by another" not in err, err
    ends_well(t)


def test_samples_a_second_are_bounded(target, tmp_path, daemon):  # noqa: F811
    """In the daemon as elsewhere."""
    comm = f"torrent{os.getpid()}"
    (tmp_path / comm).symlink_to(workload("torrent.c"))
    t = target([tmp_path / comm])
    t.expect("ready")
    d = daemon("sample-bytes = 4K\nmax-overhead = 100%\nmax-overhead-total = 100%\n"
               f"[profile t]\ncomm = ^{comm}$\nfast = yes\n", "-v")
    d.wait_for(rf"attached to PID {t.pid} .*\(--fast\), one sample per 4.00kB")
    t.say("go")
    d.wait_for("much is allocated: one sample per [0-9]+kB for now")
    t.say("enough")
    t.expect("done")
    d.wait_for("much is allocated: one sample per 4kB for now")  # little is, now
    assert d.finish(signal.SIGTERM)[0] == 0
    t.say("x")
    assert t.proc.wait(180) == 0


def test_workers_after_the_end(target, attach, tmp_path):
    """They still have the jumps, which are taken out by name."""
    t = start_workers(target, tmp_path, "workers")
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    workers = [fork_worker(t) for _ in range(3)]
    assert breakpoints(workers[0], clean) > 30
    # while the parent is sampled it is nobody's business what its children have
    assert "jumps taken out" in memwatch("detach", "-p", workers[0], check=0).stderr
    assert breakpoints(workers[0], clean) == 0 and breakpoints(t.pid, clean) > 30
    assert a.finish(signal.SIGINT)[0] == 0
    p = memwatch("-p", workers[1], "-d", "1", "--plain")
    assert p.returncode == 1 and "in the process that it was forked from" in p.stderr
    assert f"memwatch detach -p {workers[1]}" in p.stderr
    assert "jumps taken out" in memwatch("detach", "-p", workers[1], check=0).stderr
    assert breakpoints(workers[1], clean) == 0
    a = attach("-p", workers[2], "--fast", "--plain")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    assert breakpoints(workers[2], clean) == 0
    ends_well(t)


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie", "-fPIE")], ids=["static", "pie"])
def test_the_heap_has_room_to_grow(flags, target, attach):
    t = target([workload("sampled.c", flags=flags, suffix="".join(flags))])
    t.expect("ready")
    a = attach("-p", t.pid, "--fast", "--plain")
    with open(f"/proc/{t.pid}/maps") as f:
        maps = f.read()
    with open(f"/proc/{t.pid}/stat") as f:
        brk = int(f.read().rsplit(")", 1)[1].split()[44])
    code = int(re.search(r"^(\w+)-.*memwatch-fast", maps, re.M)[1], 16)
    heap = re.search(r"^\w+-(\w+) .*\[heap\]", maps, re.M)
    end = int(heap[1], 16) if heap else brk
    assert code < brk or code - end >= 128 << 20, maps
    assert a.finish(signal.SIGINT)[0] == 0
    t.say("go")
    t.expect("done")
    t.say("x")
    assert t.proc.wait(180) == 0


def test_opened_elsewhere_each_time(target, attach, tmp_path):
    """What was mapped for a library goes when it is opened somewhere else."""
    own = workload("jealloc.c", suffix="-inlined.so",
                   flags=("-shared", "-fPIC", "-DAS_LIBRARY", "-O3", "-fomit-frame-pointer",
                          "-finline-limit=1000"))
    t = target([workload("reopen.c", libs=("-ldl",)), own])
    t.expect("ready")
    a = attach("-p", t.pid, "--fast", "--plain", "-o", tmp_path / "x.json")
    places = set()
    for n in range(4):
        t.say()
        t.expect("loaded")
        wait_for(lambda: stubs(t.pid) == 2)
        with open(f"/proc/{t.pid}/maps") as f:
            places.add(next(line for line in f if own.name in line).split("-")[0])
        a.proc.send_signal(signal.SIGUSR1)  # what was mapped has been looked at
        wait_for(lambda: a.err.count("wrote") > n)
        assert stubs(t.pid) == 2
        t.say()
        t.expect("closed")
    assert len(places) == 4
    assert a.finish(signal.SIGINT)[0] == 0
    t.proc.stdin.close()
    assert t.proc.wait(180) == 0


@pytest.mark.parametrize("how", [("--fast", "--sample-bytes", "8K"), ("--exact",)], ids=["fast", "exact"])
def test_loaded_twice(how, target, attach, tmp_path):
    """A second copy of the C library in the process, in a namespace of its own, is sampled, too."""
    t = target([workload("twice.c", libs=("-ldl",))])
    t.expect("ready")
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, *how, "--plain", "-o", out)
    t.say()
    t.expect("loaded")
    if "--fast" in how:
        wait_for(lambda: stubs(t.pid) == 2)
    a.proc.send_signal(signal.SIGUSR1)  # what was mapped has been looked at
    a.wait_for("wrote")
    t.say()
    expected = json.loads(t.expect("done")[5:])
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "not sampled" not in err, err
    assert is_fast(err) == ("--fast" in how), err
    check_sums(load_json(out), expected, 8192 if "--fast" in how else 1)
    t.say()
    assert t.proc.wait(180) == 0
