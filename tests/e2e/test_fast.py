# SPDX-License-Identifier: GPL-2.0-or-later
"""Fast mode: sampling by code inside the target. It counts as probes do, and it goes."""
import ctypes
import json
import math
import os
import re
import shutil
import signal
import subprocess

import pytest

from alloclib import Run, by_function, losses, workload
from conftest import ROOT, load_json, memwatch, wait_for
from test_alloc import STATIC_JE, STATIC_TC, five_sigma
from test_attach import breakpoints, text_of
from hostilelib import place  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("own_libc")

ALLOCATORS = ["", "-ljemalloc", "-ltcmalloc_minimal"]


def is_fast(err):
    return "code written into it" in err and "no fast mode" not in err


def coarsest(err, rate):
    """The rate, or what it became while more was allocated than is sampled so finely."""
    return max([rate, *(1024 * int(m) for m in
                        re.findall(r"one sample per (\d+)kB for now", err))])


def check_sums(r, rate):
    assert losses(r.profile) == {}, r.err
    rate = coarsest(r.err, rate)
    got = by_function(r.profile, r.expected["functions"])
    for fn, e in r.expected["functions"].items():
        for what in ("alloc", "inuse"):
            n = e[what + "_objects"]
            if not n:
                assert not got[fn][what + "_objects"], (fn, what)
                continue
            size = e[what + "_bytes"] // n
            bound = (five_sigma(size, n, rate) + 1) * size
            assert abs(got[fn][what + "_bytes"] - n * size) <= bound, (fn, what, r.err)


@pytest.mark.parametrize("rate", [32 << 10, 512 << 10])
def test_within_five_standard_errors(rate, target, attach, tmp_path):
    # without frame pointers: what malloc maps for a large block unwinds through the stub's frame
    exe = workload("sampled.c", flags=("-fomit-frame-pointer",), suffix="-nofp")
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", rate)
    assert is_fast(r.err), r.err
    check_sums(r, rate)
    # stacks are whole: each goes back to main, and nothing of memwatch's own is among them
    assert not [k for k in r.profile["loss"] if "stack" in k], r.profile["loss"]
    for s in r.profile["stacks"]:
        names = [f.get("function") for f in s["frames"]]
        assert "main" in names and "wl_wait" not in names, s
        assert not any("memwatch" in f.get("module", "") for f in s["frames"]), s


def test_samples_a_second_are_bounded(target, attach, tmp_path):
    """A target that allocates gigabytes a second is sampled more coarsely, and totals stay right."""
    t = target([workload("torrent.c")])
    t.expect("ready")
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--fast", "--plain", "-v", "--sample-bytes", "4K", "-o", out)
    t.say("go")
    a.wait_for("much is allocated")
    a.proc.send_signal(signal.SIGUSR1)  # for a while it goes on at the new rate
    a.wait_for("wrote")
    t.say("enough")
    expected = json.loads(t.expect("done")[5:])["functions"]
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    rate = coarsest(err, 4 << 10)
    assert rate >= 64 << 10
    p = load_json(out)
    assert losses(p) == {}, err
    got = by_function(p, expected)
    for fn, e in expected.items():
        for what in ("alloc_bytes", "inuse_bytes"):
            # the variance of what is sampled at a rate is their product
            bound = 5 * math.sqrt(e[what] * rate) + rate
            assert abs(got[fn][what] - e[what]) <= bound, (fn, what, got[fn][what], e[what], rate)


ENTRIES = {  # name: (flags, libraries)
    "glibc": ((), ()),
    "glibc-static": (("-static",), ()),
    "glibc-static-pie": (("-static-pie", "-fPIE"), ()),
    "jemalloc": ((), ("-ljemalloc",)),
    "jemalloc-static": ((), STATIC_JE),
    "tcmalloc": ((), ("-ltcmalloc_minimal",)),
    "tcmalloc-static": ((), STATIC_TC),
    "mimalloc": ((), ("-lmimalloc",)),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry(name, target, attach, tmp_path):
    """The whole family of each allocator, each entry with its own probability."""
    flags, libs = ENTRIES[name]
    exe = workload("entries.cpp", flags=flags, libs=libs, suffix="-fast-" + name)
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "16K")
    assert is_fast(r.err), r.err
    check_sums(r, 16 << 10)


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie", "-fPIE")], ids=["static", "pie"])
def test_static(flags, target, attach, tmp_path):
    exe = workload("sampled.c", flags=flags, suffix="".join(flags))
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "32K")
    assert is_fast(r.err), r.err
    check_sums(r, 32 << 10)


@pytest.mark.parametrize("name,lib", [("badalloc.cpp", ""), ("threads.c", ""), ("storm.c", ""),
                                      ("threads.c", "-lmimalloc"), ("storm.c", "-lmimalloc")])
def test_programs_run_on(name, lib, target, attach, tmp_path):
    """Exceptions through operator new, threads that come and go, forks: the
    program ends as without memwatch (it verifies itself), and nothing is lost without a word."""
    exe = workload(name, libs=(lib,) if lib else (), suffix=lib)
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "4K")
    assert is_fast(r.err), r.err
    assert losses(r.profile) == {}, r.err


@pytest.mark.parametrize("lib", ALLOCATORS)  # mimalloc ends this program without our help
def test_exceptions_pass_children_and_allocators(lib, target, attach, tmp_path):
    """Each child throws through its allocations and verifies itself; so does the parent."""
    exe = workload("forkthrow.cpp", libs=(lib,) if lib else (), suffix=lib)
    t = target([exe])
    t.expect("ready")
    a = attach("-p", t.pid, "--fast", "--plain", "--sample-bytes", "1K")
    t.say("go")
    before, after = t.expect("done")[5:].split()
    assert before == after != "0"
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    t.say("x")
    assert t.proc.wait(180) == 0


TRACE = "/sys/kernel/tracing"


class Foreign:
    """Another tracer's probes on the first instructions of malloc and free, and on the return of
    malloc: its address on the stack is then the kernel's."""

    PROBES = (("p", "malloc"), ("p", "free"), ("r", "malloc"))

    def __init__(self, pid, behind=0):
        with open(f"/proc/{pid}/maps") as f:
            self.path = next(line.split()[-1] for line in f if "/libc.so.6" in line)
        nm = subprocess.run(["nm", "-D", self.path], capture_output=True, text=True).stdout
        at = {line.split()[-1].split("@")[0]: line.split()[0] for line in nm.splitlines()
              if " T " in line}
        self.write("uprobe_events", "".join(
            f"{kind}:mwtest/{kind}_{n} {self.path}:0x{int(at[n], 16) + behind:x}\n"
            for kind, n in self.PROBES if not behind or (kind, n) == ("p", "malloc")))
        self.write("events/mwtest/enable", "1")

    def write(self, name, text):
        fd = os.open(f"{TRACE}/{name}", os.O_WRONLY | os.O_APPEND)  # open() would seek
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def close(self):
        self.write("events/mwtest/enable", "0")
        self.write("uprobe_events", "".join(
            f"-:mwtest/{e}\n" for e in os.listdir(f"{TRACE}/events/mwtest")
            if os.path.isdir(f"{TRACE}/events/mwtest/{e}")))


@pytest.mark.skipif(not os.path.exists(f"{TRACE}/uprobe_events"), reason="no tracefs")
@pytest.mark.alone  # every program of the machine has these probes
@pytest.mark.parametrize("when", ["before", "during"])
def test_foreign_probes(when, target, attach, tmp_path):
    """The first instructions stay, so other tracers' probes on them work on, and so do we."""
    t = target([workload("sampled.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    f = Foreign(t.pid) if when == "before" else None
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--fast", "--plain", "--sample-bytes", "32K", "-o", out)
    f = f or Foreign(t.pid)
    try:
        t.say("go")
        r = Run.__new__(Run)
        r.expected = json.loads(t.expect("done")[5:])
        status, _, r.err = a.finish(signal.SIGINT)
    finally:
        f.close()
    assert status == 0 and is_fast(r.err), r.err
    r.profile = load_json(out)
    check_sums(r, 32 << 10)
    wait_for(lambda: breakpoints(t.pid, clean) == 0)
    t.say("x")
    assert t.proc.wait(180) == 0


@pytest.mark.skipif(not os.path.exists(f"{TRACE}/uprobe_events"), reason="no tracefs")
@pytest.mark.alone
def test_a_foreign_probe_in_the_midst(target, attach, tmp_path):
    """It stays where it is, and is said to be what it is; probes do the work beside it."""
    t = target([workload("sampled.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    shown = json.loads(memwatch("features", "--json", "-p", t.pid, check=0).stdout)["fast"]
    code = next(x["instructions"] for a in shown["allocators"] for x in a["functions"]
                if x["function"] == "malloc")
    assert code[1]["becomes"] == "moved"
    f = Foreign(t.pid, code[1]["address"] - code[0]["address"])
    out = tmp_path / "x.json"
    try:
        wait_for(lambda: breakpoints(t.pid, clean) == 1)
        a = attach("-p", t.pid, "--fast", "--plain", "--sample-bytes", "32K", "-o", out)
        t.say("go")
        r = Run.__new__(Run)
        r.expected = json.loads(t.expect("done")[5:])
        status, _, r.err = a.finish(signal.SIGINT)
        assert breakpoints(t.pid, clean) == 1
    finally:
        f.close()
    assert status == 0, r.err
    assert re.search("no fast mode for .*malloc: another tracer's probe is there.*uprobes", r.err)
    r.profile = load_json(out)
    check_sums(r, 32 << 10)
    t.say("x")
    assert t.proc.wait(180) == 0


def test_every_byte_is_restored(target, attach, tmp_path):
    t = target([workload("threads.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    assert breakpoints(t.pid, clean) > 30  # 5 bytes at each of malloc's family
    assert a.finish(signal.SIGINT)[0] == 0
    assert breakpoints(t.pid, clean) == 0
    t.say("go")
    t.expect("done")
    t.say("x")
    assert t.proc.wait(180) == 0


def stubs(pid):
    with open(f"/proc/{pid}/maps") as f:
        return f.read().count("memwatch-fast")


def claim(pid, owner):
    """Has the target say that another process samples it."""
    with open(f"/proc/{owner}/stat") as f:
        began = int(f.read().rsplit(")", 1)[1].split()[19]) * 10000000
    with open(f"/proc/{pid}/maps") as f:
        end = int(re.search(r"-(\w+) r-xp .*memwatch-fast", f.read())[1], 16)
    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as mem:
        mem.seek(end + 16)  # DATA_OWNER
        mem.write(owner.to_bytes(8, "little") + began.to_bytes(8, "little"))


def test_a_target_does_not_say_who_samples_it(target, attach):
    """What it writes there keeps nobody from taking the jumps out, and has nobody end another process: init,
    nor a process of its own that has that code open."""
    t = target([workload("sampled.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    for owner in (1, t.pid):
        a = attach("-p", t.pid, "--fast", "--plain")
        a.proc.kill()
        a.proc.wait()
        wait_for(lambda: breakpoints(t.pid, clean) > 30)
        claim(t.pid, owner)
        p = memwatch("detach", "-p", t.pid, check=0)
        assert "jumps taken out" in p.stderr and "is being sampled" not in p.stderr


def test_killed_then_detached_then_attached(target, attach, tmp_path):
    t = target([workload("sampled.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    # a second one keeps out while the first is at work, and leaves everything as it is
    p = memwatch("-p", t.pid, "-d", "1", "--plain")
    assert p.returncode == 1 and "another memwatch" in p.stderr
    p = memwatch("detach", "-p", t.pid)
    assert p.returncode == 1 and "is being sampled" in p.stderr
    a.proc.kill()
    a.proc.wait()
    wait_for(lambda: breakpoints(t.pid, clean) > 30)
    p = memwatch("detach", "-p", t.pid, check=0)
    assert "jumps taken out" in p.stderr and "stay mapped" in p.stderr
    assert breakpoints(t.pid, clean) == 0
    p = memwatch("detach", "-p", t.pid, check=0)
    assert " 0 jumps" in p.stderr
    # the same stubs serve again
    assert stubs(t.pid) == 1
    a = attach("-p", t.pid, "--fast", "--plain")
    assert stubs(t.pid) == 1
    # killed again: probes keep out, a second --fast cleans up by itself
    a.proc.kill()
    a.proc.wait()
    p = memwatch("-p", t.pid, "-d", "1", "--plain")
    assert p.returncode == 1 and "memwatch detach" in p.stderr
    a = attach("-p", t.pid, "--fast", "--plain", "-o", tmp_path / "x.json")
    t.say("go")
    t.expect("done")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err)
    assert breakpoints(t.pid, clean) == 0
    t.say("x")
    assert t.proc.wait(180) == 0


def test_processes_of_other_users(target, attach, place):  # noqa: F811
    """What root attaches to is another user's more often than not: its memory is that user's file."""
    exe = place / "program"
    shutil.copy(workload("sampled.c"), exe)
    r = Run(target, attach, place, [exe], "--fast", "--sample-bytes", "32K", user=65534, group=65534,
            extra_groups=[])
    assert is_fast(r.err), r.err
    check_sums(r, 32 << 10)
    t = target([exe], user=65534, group=65534, extra_groups=[])
    t.expect("ready")
    a = attach("-p", t.pid, "--fast", "--plain")
    a.proc.kill()
    a.proc.wait()
    assert "taken out" in memwatch("detach", "-p", t.pid, check=0).stderr
    t.say("go")
    t.expect("done")


def test_nothing_of_it_in_other_processes():
    p = memwatch("detach", "-p", os.getpid(), check=0)
    assert "nothing of --fast" in p.stderr
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert memwatch("detach", "-p", gone.pid).returncode == 4
    assert memwatch("detach").returncode == 2


def test_killed_at_every_step():
    """Cycles in and out of a program that verifies its memory, under signals, threads and forks;
    then the writer is killed at each of its steps. FAST_CYCLES=1000 makes a soak of it."""
    exe = ROOT / "build/unit/test_fast_inject"
    subprocess.run(["make", "-s", "-C", ROOT, "build/unit/test_fast_inject"], check=True,
                   stdout=subprocess.DEVNULL, timeout=300)
    env = {"FAST_CYCLES": "25", **os.environ}
    p = subprocess.run([exe], capture_output=True, text=True, env=env, timeout=1800)
    assert p.returncode == 0, p.stdout + p.stderr
    assert int(re.search(r"killed at (\d+) steps", p.stdout)[1]) > 30


def seccomp_filter():
    """A filter that lets everything pass; its presence alone is what counts."""
    class Prog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("insns", ctypes.c_void_p)]

    code = (ctypes.c_uint64 * 1)(0x7fff000000000006)  # ret ALLOW
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)
    assert libc.prctl(22, 2, ctypes.byref(Prog(1, ctypes.addressof(code)))) == 0


def test_filtered_programs_are_left_alone(target, attach, tmp_path):
    r = Run(target, attach, tmp_path, [workload("sampled.c")], "--fast", "--sample-bytes", "32K",
            preexec_fn=seccomp_filter)
    assert "no fast mode" in r.err and "seccomp" in r.err and not is_fast(r.err)
    check_sums(r, 32 << 10)
    assert not stubs(os.getpid())


def test_debugged_programs_are_left_alone(target, attach, tmp_path):
    t = target([workload("sampled.c")])
    t.expect("ready")
    gdb = subprocess.Popen(["gdb", "-q", "-nx", "-p", str(t.pid), "-ex", "continue"],
                           stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)

    def traced():
        with open(f"/proc/{t.pid}/status") as f:
            text = f.read()
        return "TracerPid:\t0\n" not in text and "State:\tt" not in text

    wait_for(traced)
    a = attach("-p", t.pid, "--fast", "--plain", "-o", tmp_path / "x.json")
    t.say("go")
    t.expect("done")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "no fast mode" in err and "debugger" in err
    assert not stubs(t.pid)
    gdb.terminate()
    gdb.wait()
    t.say("x")
    t.proc.wait(180)


@pytest.mark.parametrize("args", [["--fast", "--exact"], ["--fast", "--faults"]])
def test_wrong_usage(args):
    assert memwatch("-p", os.getpid(), *args).returncode == 2
    assert memwatch("run", *args, "--", "true").returncode == 2
