# SPDX-License-Identifier: GPL-2.0-or-later
"""Ctrl-C ends memwatch whatever it is doing: waiting for helpers that are stopped, for a reader of
its output that reads nothing, in the middle of its attach. A second one ends it at once."""
import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
from conftest import BIN, PATIENCE, WORKLOADS, build, in_time, load_json, wait_for
from test_apart import reader_of
from hostilelib import helpers

PROMISED = 1  # seconds: docs/live.md, "Ctrl-C ends it within a second"
SIGINT_BIT = 1 << (signal.SIGINT - 1)


@pytest.fixture
def busy(target):
    """Allocates when told to, from code whose names helpers must read."""
    exe = build("hostmaps.c", flags=("-O0",), libs=("-ldl",))
    lib = exe.parent / "stops.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-g", "-O0", "-o", lib, WORKLOADS / "hostilelib.c"],
                   check=True)
    t = target([exe, lib])
    t.expect("ready")
    return t


def interrupt(proc, times=1, sig=signal.SIGINT):
    """Sends a signal; returns how long the end took. Each is taken before the next is sent."""
    start = time.monotonic()
    for _ in range(times):
        if proc.poll() is None:
            proc.send_signal(sig)
        wait_for(lambda: proc.poll() is not None or not pending(proc.pid), step=0.001)
    try:
        proc.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        pytest.fail(f"deaf to {sig.name}")
    return time.monotonic() - start


def pending(pid):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return bool(int(re.search(r"ShdPnd:\s*(\w+)", text)[1], 16) & SIGINT_BIT)


def stop_helpers(pid):
    """Stops the starter and every helper that is there."""
    starter, kids = wait_for(lambda: helpers(pid)[0] and helpers(pid))
    for p in [*starter, *kids]:
        os.kill(p, signal.SIGSTOP)
    return [*starter, *kids]


def end_stopped(pids):
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_while_it_attaches(sig, busy, attach):
    """No helper answers: nothing of the target's files is known, and will not be."""
    a = attach("-p", busy.pid, "--plain", "-v", ready=False)
    pids = stop_helpers(a.proc.pid)
    try:
        assert in_time(interrupt(a.proc, sig=sig), PROMISED)
    finally:
        end_stopped(pids)


@pytest.mark.parametrize("when", ["at the end", "in a snapshot"])
def test_while_it_waits_for_names(when, busy, attach, tmp_path):
    out = tmp_path / "p.json"
    a = attach("-p", busy.pid, "--plain", "-q", "-v", "--exact", "-o", out)
    busy.say()
    busy.expect("ok")
    pids = stop_helpers(a.proc.pid)
    try:
        if when == "in a snapshot":
            a.proc.send_signal(signal.SIGUSR1)
            wait_for(lambda: in_call(a.proc.pid, "poll"))
        assert in_time(interrupt(a.proc), PROMISED)
    finally:
        end_stopped(pids)
    assert a.proc.returncode == 0, a.err
    assert load_json(out)["totals"]["alloc_objects"] >= 2
    assert list(tmp_path.iterdir()) == [out]


def in_call(pid, *what):
    """One of its threads is in that function of the kernel."""
    try:
        stacks = "".join(p.read_text() for p in Path(f"/proc/{pid}/task").glob("*/stack"))
    except OSError:
        return False
    return any(w in stacks for w in what)


@pytest.mark.parametrize("args", [("-p", "PID", "--plain", "-i", "0.1"), ("top", "--plain", "-i", "0.1"),
                                  ("top", "--json", "-i", "0.1")],
                         ids=["attach", "top", "top-json"])
def test_while_nobody_reads_what_it_prints(args, busy):
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
    p = subprocess.Popen([str(BIN), *[str(busy.pid) if a == "PID" else a for a in args]], stdout=w,
                         stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: in_call(p.pid, "pipe_write"))
        assert in_time(interrupt(p), PROMISED)
        assert p.returncode == 0
    finally:
        p.kill()
        p.wait()
        os.close(r)
        os.close(w)


def test_a_second_one_ends_it_at_once(busy):
    """The first waits for the profile on stdout, which nobody reads and which is to be whole."""
    r, w = os.pipe()
    fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
    os.write(w, bytes(4096))
    p = subprocess.Popen([str(BIN), "-p", str(busy.pid), "--json", "--exact"], stdout=w,
                         stderr=subprocess.PIPE, text=True)
    try:
        while "attached" not in p.stderr.readline():
            pass
        busy.say()
        busy.expect("ok")
        p.send_signal(signal.SIGINT)
        wait_for(lambda: in_call(p.pid, "pipe_write"))
        interrupt(p)
        assert p.returncode == 1
        assert "second signal" in p.stderr.read()
    finally:
        p.kill()
        p.wait()
        p.stderr.close()
        os.close(r)
        os.close(w)


@pytest.mark.parametrize("args", [("report", "-"), ("oom", "-")], ids=["report", "oom"])
def test_while_it_reads_a_file(args):
    p = subprocess.Popen([str(BIN), *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        reader = wait_for(lambda: reader_of(p.pid))
        wait_for(lambda: in_call(reader, "pipe_read"))
        assert in_time(interrupt(p), PROMISED)
        wait_for(lambda: not Path(f"/proc/{reader}").exists())
    finally:
        p.stdin.close()
        p.kill()
        p.wait()


def test_the_terminal_is_given_back(busy, tmp_path):
    """A full-screen view whose terminal nobody reads: the end by force leaves its modes as they were."""
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    p = subprocess.Popen([str(BIN), "top", "-i", "0.1"], stdin=slave, stdout=slave, stderr=slave,
                         env={**os.environ, "TERM": "xterm"}, start_new_session=True)
    try:
        wait_for(lambda: in_call(p.pid, "n_tty_write", "tty_write"))
        assert in_time(interrupt(p), PROMISED)
        assert termios.tcgetattr(slave)[3] == before[3]
    finally:
        p.kill()
        p.wait()
        os.close(master)
        os.close(slave)
