# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks that are deep, that begin on a fibre, that go through Go; and marks where they are cut."""
import array
import ctypes
import fcntl
import os
import re
import shutil
import signal
import subprocess
import termios
import threading

import pytest
from conftest import BIN, build, load_json, memwatch, wait_for
from golib import go_build


def stacks_of_size(profile, size):
    """The stacks of the blocks of one size: (objects, function names without the allocator)."""
    found = []
    for s in profile["stacks"]:
        if s["alloc_objects"] and s["alloc_bytes"] == size * s["alloc_objects"]:
            found.append((s["alloc_objects"], [f["function"] for f in s["frames"]]))
    return found


def run_fibres(attach, target, tmp_path, depth, *options):
    exe = build("fibres.c", flags=("-O2", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"))
    t = target([exe, depth])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json", *options)
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    return load_json(tmp_path / "p.json")


def test_fibres_end_at_their_entry_and_deep_stacks_reach_the_root(attach, target, tmp_path):
    p = run_fibres(attach, target, tmp_path, 1000)
    for size, function in ((1001, "in_ucontext"), (1002, "in_boost")):
        (n, names), = stacks_of_size(p, size)
        assert n == 10 and names[:2] == ["allocate", function] and names[-1] == "[fibre]", names
    # a zero that a guessed frame pointer leads to is not the root
    (n, names), = stacks_of_size(p, 1003)
    assert n == 10 and names[-1] == "[stack cut: no unwind rule]", names
    assert p["loss"]["stack cut: no unwind rule"] == 10
    # a fibre's end is no loss
    assert not any("fibre" in cause for cause in p["loss"])
    (n, names), = stacks_of_size(p, 1004)
    assert n == 10 and names.count("recurse") == 1001 and names[-1] == "_start"


def test_max_depth(attach, target, tmp_path):
    p = run_fibres(attach, target, tmp_path, 1000, "--max-depth", "50")
    (n, names), = stacks_of_size(p, 1004)
    assert n == 10 and len(names) == 51 and names[-1] == "[stack cut: too deep]"
    assert names[:2] == ["allocate", "recurse"]
    assert p["loss"]["stack cut: too deep"] == 10


@pytest.mark.skipif(not shutil.which("go"), reason="no Go compiler")
@pytest.mark.parametrize("flags", [(), ("-ldflags=-s -w",)], ids=["debug", "stripped"])
def test_go_and_c_call_each_other(attach, target, tmp_path, flags):
    exe = go_build("callback", suffix="-s" if flags else "", flags=flags, CGO_ENABLED="1")
    t = target([exe])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json")
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    called = calling = 0
    for s in load_json(tmp_path / "p.json")["stacks"]:
        names = [f["function"] for f in s["frames"]]
        if not 3000 <= s["alloc_bytes"] / max(s["alloc_objects"], 1) < 3200:
            continue
        assert not names[-1].startswith("[stack cut"), names
        if names[-1] == "[fibre]":
            calling += s["alloc_objects"]
            assert flags or "main.goInside" in names and names[-2] == "runtime.cgocallback"
        else:
            called += s["alloc_objects"]
            assert flags or names[-5:] == ["main._Cfunc_c_alloc", "main.goCaller", "main.main",
                                           "runtime.main", "runtime.goexit"]
    assert (called, calling) == (100, 100)


def hold_thread(tid):
    """Stops one thread; returns what lets it go."""
    libc = ctypes.CDLL(None, use_errno=True)
    seize, interrupt, detach = 0x4206, 0x4207, 17

    def ask(request):
        assert libc.ptrace(request, tid, None, None) == 0, os.strerror(ctypes.get_errno())

    ask(seize)
    ask(interrupt)
    os.waitpid(tid, 0x40000000)  # __WALL
    return lambda: ask(detach)


def test_events_are_read_while_the_loop_stands_still(attach, target, tmp_path):
    """More events than the kernel's ring holds, and nobody to work on them."""
    t = target([build("many.c"), 500000])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json")
    release = hold_thread(a.proc.pid)
    t.say()
    t.expect("done")
    release()
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    p = load_json(tmp_path / "p.json")
    assert not [cause for cause in p["loss"] if "ring full" in cause], p["loss"]
    assert p["totals"]["alloc_objects"] >= 500000

def test_a_snapshot_of_many_stacks_while_events_come(attach, target, tmp_path):
    """Writing takes a while; what is allocated meanwhile is all there."""
    t = target([build("manystacks.c", flags=("-O1", "-fno-optimize-sibling-calls")), 16])
    t.expect("ready")
    out = tmp_path / "p.pb.gz"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
    t.say()
    t.expect("all")
    for _ in range(2):
        os.kill(a.proc.pid, signal.SIGUSR1)
        a.wait_for("wrote")
        a.err = ""
    t.say()
    made = int(t.expect("done").split()[1])
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    seen, lost = re.search(r"done: (\d+) allocations .*, (\d+) events lost", err).groups()
    assert lost == "0" and int(seen) >= made > 1 << 16, err
    assert "stacks truncated" in err and ", 0 stacks truncated" in err, err


def test_events_are_worked_on_while_a_snapshot_is_written(attach, target, tmp_path):
    """Nobody reads the pipe that it goes to, and the loop comes round all the same."""
    t = target([build("manystacks.c", flags=("-O1", "-fno-optimize-sibling-calls")), 13])
    t.expect("ready")
    out = tmp_path / "p.json"
    os.mkfifo(out)
    pipe = os.open(out, os.O_RDWR)
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "1s", "-o", out)
    t.say()
    t.expect("all")
    os.kill(a.proc.pid, signal.SIGUSR1)
    waiting = array.array("i", [0])
    wait_for(lambda: fcntl.ioctl(pipe, termios.FIONREAD, waiting) == 0 and waiting[0])
    os.kill(a.proc.pid, signal.SIGUSR1)  # another one is made after this
    a.more_reports(3)
    assert "wrote" not in a.err
    got = bytearray()

    def read():
        while data := os.read(pipe, 1 << 20):
            got.extend(data)

    threading.Thread(target=read, daemon=True).start()
    wait_for(lambda: a.err.count("wrote") == 2)
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0 and err.count("wrote") == 3 and ", 0 events lost" in err, err
    wait_for(lambda: got.count(b'"schema"') == 3)


@pytest.mark.parametrize("sampling", [("--exact",), ("--sample-bytes", "4K")], ids=" ".join)
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_threads_of_musl_begin_where_they_do(attach, target, tmp_path, static, sampling):
    """The C library has no unwind information: where threads start is known by a rule."""
    exe = build("roots.c", "musl-gcc", ("-O2", *(("-static",) if static else ())),
                suffix="-musl-static" if static else "-musl")
    t = target([exe])
    t.expect("ready")
    a = attach("-p", t.pid, *sampling, "--plain", "-o", tmp_path / "p.json")
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    seen = set()
    for s in load_json(tmp_path / "p.json")["stacks"]:
        names = [f["function"] for f in s["frames"]]
        if names[0] == "allocate":
            caller, root = names[1:]
            assert not root.startswith("["), names
            seen.add(caller)
            assert sampling != ("--exact",) or s["alloc_objects"] == 1000
    assert seen == {"main", "in_posix", "in_c11", "in_clone"}


def complete(profile):
    """(objects whose stack reaches the root, all objects)"""
    whole = every = 0
    for s in profile["stacks"]:
        every += s["alloc_objects"]
        if not s["frames"][-1]["function"].startswith("["):
            whole += s["alloc_objects"]
    return whole, every


@pytest.mark.skipif(not shutil.which("perl"), reason="no perl")
def test_run_holds_the_command_at_every_exec(tmp_path):
    """No table is cached, and still not one stack of the second and third image is cut."""
    env = {**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state")}
    p = memwatch("run", "--exact", "--plain", "-q", "-o", tmp_path / "p.json", "--",
                 "sh", "-c", "exec env A=1 perl -e 'my @a = map { \"x$_\" } 1 .. 20000; exit 5'",
                 env=env, check=5, stdin=subprocess.DEVNULL)
    profile = load_json(tmp_path / "p.json")
    assert profile["comm"] == "perl", p.stderr
    whole, every = complete(profile)
    assert every > 20000 and whole == every, profile["loss"]
    assert "stack cut: no unwind table" not in profile["loss"]


@pytest.mark.parametrize("follow", [(), ("--follow",)], ids=["alone", "follow"])
def test_run_holds_the_command_at_its_end(tmp_path, follow):
    """It ends within moments of loading its last libraries, whose tables nobody has built."""
    script = "import decimal, lzma, bz2, sqlite3"
    for i in range(3):
        env = {**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / f"state{i}")}
        memwatch("run", *follow, "--exact", "--plain", "-q", "-o", tmp_path / "p.json", "--",
                 "python3", "-c", script, env=env, timeout=180, check=0)
        p = load_json(tmp_path / "p.json")
        whole, every = complete(p)
        assert every > 1000 and whole >= every * 0.999, p["loss"]


@pytest.mark.skipif(not shutil.which("perl"), reason="no perl")
def test_run_holds_the_children_too(tmp_path):
    env = {**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state")}
    script = "perl -e 'my @a = map { \"x$_\" } 1 .. 20000' & perl -e 'exit 3'; wait; kill -TERM $$"
    p = memwatch("run", "--follow", "--exact", "--plain", "-q", "-o", tmp_path / "p.json", "--",
                 "sh", "-c", script, env=env, check=128 + signal.SIGTERM, stdin=subprocess.DEVNULL)
    profile = load_json(tmp_path / "p.json")
    whole, every = complete(profile)
    assert every > 20000 and whole == every, (profile["loss"], p.stderr)
    assert not [c for c in profile["loss"] if "child" in c], profile["loss"]


@pytest.mark.skipif(not shutil.which("perl"), reason="no perl")
@pytest.mark.parametrize("budget", [None, "1"], ids=["enough", "exceeded"])
def test_copies_of_stacks_have_a_budget(attach, target, tmp_path, budget):
    """exec while attached, no table cached: stacks are copied until perl's table is there. What
    exceeds the budget is cut, and stands under a cause of its own."""
    cause = "stack cut: over the copy budget"
    env = {**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state")}
    if budget:
        env["MEMWATCH_COPY_BYTES"] = budget
    script = "my @a = map { \"x$_\" } 1 .. 20000; $| = 1; print \"done\\n\"; <STDIN>"
    t = target(["bash", "-c", f"echo ready; read x; exec perl -e '{script}'"])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json", env=env)
    t.say()
    t.expect("done")
    a.wait_for("is now 'perl' .exec.")
    t.say()
    t.proc.wait(180)
    rc, _, err = a.finish(None)
    assert rc == 0, err
    p = load_json(tmp_path / "p.json")
    whole, every = complete(p)
    cut = sum(s["alloc_objects"] for s in p["stacks"] if s["frames"][-1]["function"] == f"[{cause}]")
    assert every > 20000 and whole + cut == every, p["loss"]
    assert (cut > 0) == bool(budget) == (cause in p["loss"]), p["loss"]


def test_a_killed_run_lets_its_command_go_on(tmp_path):
    with subprocess.Popen([BIN, "run", "--plain", "-q", "--", "sh", "-c",
                           "echo $$; read line"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as m:
        pid = int(m.stdout.readline())
        m.kill()
        wait_for(lambda: "TracerPid:\t0" in open(f"/proc/{pid}/status").read())
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: "State:\tT" in open(f"/proc/{pid}/status").read())
        os.kill(pid, signal.SIGCONT)
        assert "State:\tT" not in open(f"/proc/{pid}/status").read()
        os.kill(pid, signal.SIGKILL)


def test_signals_reach_a_command_that_is_traced(tmp_path):
    """Stopped and continued, and a signal handled: as without memwatch."""
    script = "trap 'echo got' USR1; echo $$; while :; do sleep 0.1; done"
    with subprocess.Popen([BIN, "run", "--plain", "-q", "--", "bash", "-c", script],
                          stdout=subprocess.PIPE, text=True) as m:
        pid = int(m.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: re.search(r"State:\t[Tt]", open(f"/proc/{pid}/status").read()))
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGCONT)
        assert m.stdout.readline() == "got\n"
        os.kill(pid, signal.SIGTERM)
        assert m.wait(180) == 128 + signal.SIGTERM


def test_text_in_anonymous_memory_is_the_files(attach, target, tmp_path):
    t = target([build("movedtext.c", flags=("-O2", "-fomit-frame-pointer",
                                            "-fno-optimize-sibling-calls"))])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json")
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    (n, names), = stacks_of_size(load_json(tmp_path / "p.json"), 1000)
    assert n == 1000
    assert names[:3] == ["hold", "outer", "main"] and names[-1] == "_start", names


def run_late(target, attach, tmp_path, *args):
    """What a library allocates the moment it is opened, nothing being known of it."""
    lib = build("latelib.c", flags=("-O1", "-shared", "-fPIC", "-fomit-frame-pointer"),
                suffix=".so")
    exe = build("lateload.c", flags=("-O1", "-fomit-frame-pointer"), libs=("-lpthread", "-ldl"))
    t = target([exe, lib, *map(str, args)])
    out = tmp_path / "p.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out,
               env={**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state")})
    t.say()
    t.expect("done")
    a.finish()
    return load_json(out)


@pytest.mark.parametrize("threads,depth", [(0, 0), (4, 0), (0, 55)])
def test_a_library_that_works_the_moment_it_is_opened(target, attach, tmp_path, threads, depth):
    """Its table is not there for the first calls; their stacks are those of the later ones."""
    n = 3000
    p = run_late(target, attach, tmp_path, threads, n, depth)
    found = stacks_of_size(p, 777)
    assert sum(count for count, _ in found) == n * max(threads, 1), p["loss"]
    assert len(found) == 1, [(c, names[:6] + names[-2:]) for c, names in found][:5]
    names = found[0][1]
    assert [f for f in names if "late" in f] == ["late_inner", "late_work",
                                                 *["call_late"] * (depth + 1)], names
    assert names[-1] == ("clone3" if threads else "_start") or names[-1] == "__clone", names
    whole, every = complete(p)
    assert whole == every, p["loss"]


def test_what_a_copy_of_a_stack_does_not_hold(target, attach, tmp_path):
    """Copies have their size, and that is what is said of deeper stacks."""
    p = run_late(target, attach, tmp_path, 0, 3000, 100)
    assert sum(count for count, _ in stacks_of_size(p, 777)) == 3000
    assert set(c for c in p["loss"] if "stack" in c) == {"stack cut: over the copy budget"}


LATE_PYTHON = """
import sys
print("ready", flush=True)
sys.stdin.readline()
import json, decimal, ssl, lzma, bz2, ctypes, hashlib, sqlite3, xml.etree.ElementTree, pickle
import unicodedata, socket, select, multiprocessing, asyncio, curses, readline
db = sqlite3.connect(":memory:")
db.execute("create table t(a, b)")
for i in range(2000):
    db.execute("insert into t values(?, ?)", (i, str(i)))
print("done", flush=True)
sys.stdin.readline()
"""


def test_python_with_late_extension_modules(target, attach, tmp_path):
    """No table is cached, two dozen libraries come one after the other: whole all the same."""
    t = target(["python3", "-c", LATE_PYTHON])
    out = tmp_path / "p.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out,
               env={**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state")})
    t.say()
    t.expect("done")
    a.finish()
    p = load_json(out)
    whole, every = complete(p)
    assert every > 10000 and whole >= every * 0.999, p["loss"]
    assert not [c for c in p["loss"] if "lost" in c], p["loss"]


def test_an_image_that_comes_after_the_attach(attach, tmp_path):
    """The new image is not held: exec of a program whose tables nobody has built."""
    with subprocess.Popen(["sh", "-c", "read line; exec perl -e "
                           "'my @a = map { \"x$_\" } 1 .. 20000; $| = 1; print 1; <STDIN>'"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as t:
        out = tmp_path / "p.json"
        a = attach("-p", t.pid, "--exact", "--plain", "-o", out,
                   env={**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state")})
        t.stdin.write("\n")
        t.stdin.flush()
        assert t.stdout.read(1) == "1"
        a.finish()
        t.kill()
    p = load_json(out)
    whole, every = complete(p)
    assert every > 20000 and whole >= every * 0.999, p["loss"]
