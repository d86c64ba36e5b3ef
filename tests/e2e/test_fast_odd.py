# SPDX-License-Identifier: GPL-2.0-or-later
"""--fast and processes in states in which a hand laid on them could cost them: each is sampled, or
refused with its reason and probed, and goes on with every byte as it was."""
import os
import re
import resource
import shutil
import signal

import pytest

from alloclib import Run, workload
from conftest import memwatch, wait_for
from hostilelib import USER, place  # noqa: F401 (a fixture)
from test_attach import breakpoints, text_of
from test_fast import check_sums, is_fast, stubs

pytestmark = pytest.mark.usefixtures("own_libc")

REFUSED = {
    "vfork": r"another process runs in its memory",
    "clone": r"another process runs in its memory",
    "space": r"stubs cannot be mapped: Cannot allocate memory",
    "files": r"stubs cannot be mapped: Too many open files",
    "locked": r"stubs cannot be mapped: Resource temporarily unavailable",
    "filter": r"no thread of it can be used",
}


def threads(pid):
    return {t: open(f"/proc/{pid}/task/{t}/stat").read().rsplit(")", 1)[1].split()[0]
            for t in os.listdir(f"/proc/{pid}/task")}


def mapped(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[0])


def small_stacks():
    resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, resource.RLIM_INFINITY))


def check_goes_on(t):
    t.say()
    t.expect("going")
    t.say()
    assert int(t.expect("done").split()[1]) > 10
    assert t.proc.wait(180) == 0


@pytest.mark.parametrize("state", REFUSED)
def test_refused_with_its_reason(state, target, attach):
    # one arena, small stacks: what is mapped does not change by itself, and can be locked
    t = target([workload("odd.c"), state], env={**os.environ, "MALLOC_ARENA_MAX": "1"},
               preexec_fn=small_stacks)
    t.expect("ready")
    if state == "vfork":
        wait_for(lambda: "D" in threads(t.pid).values())
    clean, size = text_of(t.pid), mapped(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and re.search(r"no fast mode for .*" + REFUSED[state], err), err
    assert breakpoints(t.pid, clean) == 0
    if state not in ("vfork", "clone"):  # which are seen when the stubs are mapped
        assert not stubs(t.pid) and mapped(t.pid) - size < 64  # pages: those of probes
    check_goes_on(t)


def test_stopped(target, attach):
    """It stays stopped, and has its stubs when it goes on."""
    t = target([workload("odd.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    os.kill(t.pid, signal.SIGSTOP)
    wait_for(lambda: set(threads(t.pid).values()) == {"T"})
    a = attach("-p", t.pid, "--fast", "--plain")
    assert breakpoints(t.pid, clean) > 30
    wait_for(lambda: set(threads(t.pid).values()) == {"T"})
    os.kill(t.pid, signal.SIGCONT)
    wait_for(lambda: "T" not in threads(t.pid).values())
    os.kill(t.pid, signal.SIGSTOP)
    wait_for(lambda: set(threads(t.pid).values()) == {"T"})
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    wait_for(lambda: set(threads(t.pid).values()) == {"T"})
    os.kill(t.pid, signal.SIGCONT)
    assert breakpoints(t.pid, clean) == 0
    check_goes_on(t)


def test_a_thread_that_sleeps(target, attach):
    """It is not waited for, and is as it was when it comes out."""
    t = target([workload("odd.c"), "asleep"])
    t.expect("ready")
    wait_for(lambda: "D" in threads(t.pid).values())
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    assert breakpoints(t.pid, clean) > 30 and "D" in threads(t.pid).values()
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    assert breakpoints(t.pid, clean) == 0
    check_goes_on(t)


def test_a_thread_in_a_fault(target, attach):
    """Of a page that the program itself will bring: it is stopped there, and waits on."""
    t = target([workload("odd.c"), "fault"])
    t.expect("ready")
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    assert breakpoints(t.pid, clean) > 30
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    assert breakpoints(t.pid, clean) == 0
    check_goes_on(t)


def test_an_ordinary_setuid_program(target, attach, place):  # noqa: F811
    """One that anybody may run with root's rights: root may look into it as into any other."""
    exe = place / "sampled"
    shutil.copy(workload("sampled.c", flags=("-static",), suffix="-static"), exe)
    exe.chmod(0o4755)
    r = Run(target, attach, place, [*USER, exe], "--fast", "--sample-bytes", "32K")
    assert is_fast(r.err), r.err
    check_sums(r, 32 << 10)
    t = target([*USER, exe])
    t.expect("ready")
    with open(f"/proc/{t.pid}/status") as f:
        assert "\nUid:\t23456\t0\t0\t0\n" in f.read()
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--fast", "--plain")
    a.proc.kill()
    a.proc.wait()
    assert "jumps taken out" in memwatch("detach", "-p", t.pid, check=0).stderr
    assert breakpoints(t.pid, clean) == 0
    t.say("go")
    t.expect("done")
    t.say("x")
    assert t.proc.wait(180) == 0


def test_without_its_main_thread(target, attach):
    t = target([workload("odd.c"), "alone"])
    t.expect("ready")
    assert threads(t.pid)[str(t.pid)] == "Z"
    a = attach("-p", t.pid, "--fast", "--plain")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    check_goes_on(t)


def test_in_namespaces_of_its_own(target, attach):
    """Its PID is another one there, its /proc too, and so its own files."""
    t = target(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                workload("sampled.c")])
    t.expect("ready")
    with open(f"/proc/{t.pid}/task/{t.pid}/children") as f:
        pid = int(f.read())
    clean = text_of(pid)
    a = attach("-p", pid, "--fast", "--plain", "--sample-bytes", "32K")
    assert breakpoints(pid, clean) > 30
    t.say("go")
    t.expect("done")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    assert breakpoints(pid, clean) == 0
    a = attach("-p", pid, "--fast", "--plain")
    a.proc.kill()
    a.proc.wait()
    assert "jumps taken out" in memwatch("detach", "-p", pid, check=0).stderr
    assert breakpoints(pid, clean) == 0
    t.say("x")
    assert t.proc.wait(180) == 0
