# SPDX-License-Identifier: GPL-2.0-or-later
"""What a target may do to have root's memwatch write into a program with more rights than its own:
it calls exec between the look and the write, and its forged stubs say what is to be written."""
import os
import resource
import shutil

import pytest

from alloclib import workload
from conftest import ROOT, memwatch, wait_for
from hostilelib import USER, place  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("own_libc")


@pytest.fixture
def lure(target, place):  # noqa: F811
    """Starts one, of the unprivileged user; its victim is root's and setuid."""
    victim = place / "victim"
    shutil.copy(workload("setuid_victim.c", suffix="-static",
                         flags=("-static", "-no-pie", "-Wl,--section-start=.victim=0x20000000")),
                victim)
    victim.chmod(0o4755)
    exe = place / "lures"
    shutil.copy(workload("lures.c", flags=("-O2", f"-I{ROOT}/user", f"-I{ROOT}/include")), exe)

    def start(when):
        t = target([*USER, exe, victim, when])
        t.expect("ready")
        return t

    return start


def has_become(t):
    with open(f"/proc/{t.pid}/comm") as f:
        return f.read() == "victim\n"


def is_intact(t):
    """It has come to be the victim, with its rights, and is what root made it."""
    t.expect("root")
    t.say("x")
    t.expect("intact")
    assert t.proc.wait(180) == 0


@pytest.mark.parametrize("counts", range(1, 4))
@pytest.mark.parametrize("how", [("detach",), ("-d", "0.3", "--plain", "-q"),
                                 ("-d", "0.3", "--plain", "-q", "--fast")], ids=" ".join)
def test_exec_between_look_and_write(how, counts, lure):
    for _ in range(3):  # it has the processor at the right moment, or not
        t = lure(str(counts))
        memwatch(*how, "-p", t.pid)
        if counts == 1:
            wait_for(lambda: has_become(t))
        elif not has_become(t):  # memwatch does not look so often
            t.stop()
            continue
        is_intact(t)


def test_exec_while_calls_are_made(lure):
    """By a thread of its own, while another makes calls for memwatch."""
    for _ in range(5):
        t = lure("used")
        memwatch("-p", t.pid, "--fast", "-d", "0.3", "--plain", "-q")
        wait_for(lambda: has_become(t))
        is_intact(t)


@pytest.fixture
def much_open():
    """This process, which is root's, has as much open as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    kept = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)]
    try:
        while len(kept) < min(before[1] - 200, 100000):
            kept.append(os.dup(kept[0]))
        yield os.getpid()
    finally:
        for fd in kept:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("how", [("features",), ("detach",), ("-d", "0.1", "--plain", "-q"),
                                 ("-d", "0.1", "--plain", "-q", "--fast")], ids=" ".join)
def test_forged_stubs_without_number(how, much_open, target, place):  # noqa: F811
    """Each of which says that another process, which has much open, is at work in it: looking at them ends."""
    exe = place / "forges"
    shutil.copy(workload("forges.c", flags=("-O2", f"-I{ROOT}/user", f"-I{ROOT}/include")), exe)
    with open("/proc/self/stat") as f:
        began = int(f.read().rsplit(")", 1)[1].split()[19]) * 10000000
    t = target([*USER, exe, 15000, much_open, began])
    t.expect("ready")
    p = memwatch(*how, "-p", t.pid)
    assert "sampled by" not in p.stderr
    if "--plain" in how and "--fast" not in how:  # which writes nothing into it
        assert p.returncode == 1 and f"'memwatch detach -p {t.pid}' takes them out" in p.stderr
    else:
        assert p.returncode == 0
