# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks that are deep, that begin on a fibre, that go through Go; and marks where they are cut."""
import ctypes
import os
import re
import shutil
import signal
import subprocess

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
    p = run_fibres(attach, target, tmp_path, 1200)
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
    assert n == 10 and names.count("recurse") == 1201 and names[-1] == "_start"


def test_max_depth(attach, target, tmp_path):
    p = run_fibres(attach, target, tmp_path, 1200, "--max-depth", "50")
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
        assert m.wait(60) == 128 + signal.SIGTERM
