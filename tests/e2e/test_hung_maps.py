# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's own file system (FUSE, mounted so that root is let in) has a file that his program maps, and
stops answering at some request: that costs the names of that file."""
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import Attached, build, in_time, load_json, wait_for
from fuselib import FLUSH, GETATTR, KEEP_CACHE, LOOKUP, OPEN, READ, STATFS, Hanging
from hostilelib import PROMISED, USER, add_section, ended_in_time, functions, hostmaps, library, place  # noqa: F401
from test_files import profile_text
from test_planted import jit_program
from test_processes import family
from test_stops import interrupt

OPS = {"getattr": GETATTR, "open": OPEN, "read": READ}
ALL = [*OPS.values(), STATFS, FLUSH]
O_PATH = 0o10000000


@pytest.fixture
def theirs(place):  # noqa: F811
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this kernel has no FUSE")
    at = place / "mnt"
    at.mkdir()
    h = Hanging(at, user=23456)
    h.opened = KEEP_CACHE  # else who opens a file takes it from him who has it mapped
    yield h
    h.unmount()


@pytest.fixture
def mapped(theirs, place, hostmaps):  # noqa: F811
    """A program of that user's that allocates in a library from there; the end of the file is for others
    to read."""
    lib = theirs.at / "theirs.so"
    own = library(place, "lib.so", "-g")
    add_section(own, ".padding", bytes(4 << 20))
    shutil.copy(own, lib)
    with open(lib, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    t = hostmaps(lib)
    t.say()
    t.expect("ok")
    return t


def readable(pid, name="theirs.so"):
    """Whether memwatch itself could read that file, and would have to close it."""
    out = []
    for fd, to in family(pid)[pid][1].items():
        flags = int(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
        if to.endswith("/" + name) and not flags & O_PATH:
            out.append(to)
    return out


def ends_with_the_rest(m, t, out):
    """The program's other allocations are there, with their names."""
    ended_in_time(m)
    assert load_json(out)["totals"]["alloc_objects"] >= 2, m.err
    assert "honest_function" in functions(out)


def allocates_unread(m, t):
    """What it does is counted, and memwatch itself has nothing open there."""
    t.say()
    t.expect("ok")
    m.more_reports(2)
    assert not readable(m.proc.pid)


def test_one_that_answers(mapped, attach, theirs, place):  # noqa: F811
    """Its names are read, by helpers; memwatch itself opens nothing there."""
    out = place / "p.json"
    m = attach("-p", mapped.pid, "--plain", "--exact", "-v", "-i", "0.1", "-o", out)
    allocates_unread(m, mapped)
    ends_with_the_rest(m, mapped, out)
    assert "hostile_alloc" in functions(out)
    assert "theirs.so' is on a file system that another user provides" in m.err


@pytest.mark.parametrize("op", OPS)
def test_from_the_start(op, mapped, attach, theirs, place):  # noqa: F811
    out = place / "p.json"
    theirs.hold(OPS[op])
    m = attach("-p", mapped.pid, "--plain", "--exact", "-v", "-i", "0.1", "-o", out)
    mapped.say()
    mapped.expect("ok")
    m.more_reports(2)
    if op == "getattr":
        assert "the file system of '" in m.err and "theirs.so' does not answer" in m.err
    ends_with_the_rest(m, mapped, out)
    assert theirs.waiting


def test_at_the_start(mapped, theirs, place):  # noqa: F811
    theirs.hold(*ALL)
    m = Attached(["-p", mapped.pid, "--plain", "--exact", "-v", "-o", place / "p.json"])
    try:
        wait_for(lambda: theirs.waiting)
        ended_in_time(m)
    finally:
        m.stop()


def test_in_the_middle(mapped, attach, theirs, place):  # noqa: F811
    """At the end, too, for which names are read."""
    out = place / "p.json"
    m = attach("-p", mapped.pid, "--plain", "--exact", "-q", "-v", "-o", out)
    mapped.say()
    mapped.expect("ok")
    theirs.hold(*ALL)
    ends_with_the_rest(m, mapped, out)


OVERLAY = """
set -e
cd "$1"
mount -t overlay overlay -o "lowerdir=$2,upperdir=upper,workdir=work" merged
shift 2
exec "$@"
"""


@pytest.fixture
def overlaid(target, place):
    """overlaid(DIR) runs a program of that user's with a library of DIR, which he sees through an overlay that
    he has mounted himself; or of root's, whose overlay it is."""
    def start(below, by=(*USER, "unshare", "-Urm")):
        exe = shutil.copy(build("hostmaps.c", flags=("-O0",), libs=("-ldl",)), place / "hostmaps")
        for d in ("upper", "work", "merged"):
            (place / d).mkdir()
            os.chown(place / d, 23456, 23456)
        script = place / "overlay.sh"
        script.write_text(OVERLAY)
        if subprocess.run([*by, "sh", script, place, below, "true"]).returncode:
            pytest.skip("users may mount no overlay here")
        t = target([*by, "sh", script, place, below, exe,
                    place / "merged" / "theirs.so"])
        t.expect("ready")
        t.say()
        t.expect("ok")
        return t

    return start


@pytest.mark.parametrize("op", [None, *OPS])
def test_an_overlay_over_it(op, theirs, overlaid, attach, place):
    """What statfs() calls an overlay is that user's file system all the same."""
    shutil.copy(library(place, "lib.so", "-g"), theirs.at / "theirs.so")
    t = overlaid(theirs.at)
    if op:
        theirs.hold(OPS[op])
    out = place / "p.json"
    m = attach("-p", t.pid, "--plain", "--exact", "-v", "-i", "0.1", "-o", out)
    allocates_unread(m, t)
    if op is None:
        assert "theirs.so' is on a file system that another user provides" in m.err
    theirs.hold(*ALL)
    ends_with_the_rest(m, t, out)


@pytest.mark.parametrize("by", [(*USER, "unshare", "-Urm"), ("unshare", "-m")], ids=["theirs", "roots"])
def test_an_overlay_over_disks(by, overlaid, attach, place):
    """As containers have them, those without root too: these are probed."""
    below, out = place / "below", place / "p.json"
    below.mkdir()
    shutil.copy(library(place, "lib.so", "-g"), below / "theirs.so")
    t = overlaid(below, by)
    m = attach("-p", t.pid, "--plain", "--exact", "-v", "-o", out)
    t.say()
    t.expect("ok")
    assert readable(m.proc.pid)
    assert "another user provides" not in m.err
    ends_with_the_rest(m, t, out)
    assert "hostile_alloc" in functions(out)


@pytest.mark.parametrize("op", ["lookup", "open"])
def test_a_perf_map_there(op, theirs, target, attach, place):  # noqa: F811
    """In a namespace of his own, which the way below his root leads to."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:  # not below the /tmp that is hidden
        os.chmod(d, 0o755)
        exe = shutil.copy(jit_program(place), d)
        script = Path(d) / "enter.sh"
        script.write_text('set -e\nmount --bind "$1" /tmp\nexec "$2"\n')
        script.chmod(0o755)
        t = target([*USER, "unshare", "-Urmp", "--fork", "--mount-proc", "sh", script, theirs.at, exe])
        code = int(t.expect("ready").split()[1], 16)
        pid = int(Path(f"/proc/{t.pid}/task/{t.pid}/children").read_text().split()[0])
        perf = theirs.at / "perf-1.map"
        perf.write_text(f"{code:x} 1000 code_of_theirs\n")
        os.chown(perf, 23456, 23456)
        theirs.hold({**OPS, "lookup": LOOKUP}[op])
        out = place / "p.json"
        m = attach("-p", pid, "--exact", "--plain", "-v", "-o", out)
        t.say()
        t.expect("ok")
        ended_in_time(m)
        assert "main" in functions(out)
        assert theirs.waiting
        theirs.release()


@pytest.mark.parametrize("op", ["lookup", "open", "read"])
def test_a_report_of_a_file_there(op, theirs):
    """Nobody can end who waits; who started it ends, and tells nobody else to wait."""
    src = theirs.at / "in.json"
    src.write_text(profile_text())
    theirs.hold({**OPS, "lookup": LOOKUP}[op])
    m = Attached(["report", "--top", src])
    try:
        wait_for(lambda: theirs.waiting)
        assert in_time(interrupt(m.proc), PROMISED)
        assert m.proc.returncode == -signal.SIGINT
        if op == "read":  # who reads has what is printed
            theirs.release()
        m.finish(None)
    finally:
        theirs.release()
        m.stop()


@pytest.mark.parametrize("op", ["lookup", "open"])
def test_a_source_there(op, theirs, tmp_path):
    out = tmp_path / "in.json"
    source = theirs.at / "source.c"
    source.write_text("int main;\n")
    out.write_text(profile_text().replace('"file": "", "line": 0', f'"file": "{source}", "line": 1'))
    assert str(source) in out.read_text()
    theirs.hold({**OPS, "lookup": LOOKUP}[op])
    m = Attached(["report", "--list", ".", out])
    try:
        wait_for(lambda: theirs.waiting)
        assert in_time(interrupt(m.proc), PROMISED)
        m.finish(None)
    finally:
        theirs.release()
        m.stop()
