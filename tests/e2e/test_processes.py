# SPDX-License-Identifier: GPL-2.0-or-later
"""Every process of every command: its capabilities, no_new_privs, seccomp and what it has open. A
command that is over in a moment is held at its first line of output, by a pipe that is full."""
import contextlib
import fcntl
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, wait_for
from golib import go_build
from test_files import profile_text, sleeper  # noqa: F401 (a fixture)
from test_privilege import FILES, LIMITS, OBSERVING, mine, status_of
from test_report_shell import Terminal

NONE = ("memwatch-box", "memwatch-parse", "memwatch-apart", "memwatch-web", "memwatch-http")
# What a process without privileges may have open besides its standard streams: nothing that leads
# on, and files that it was handed (of the second row).
PLAIN = re.compile(r"socket:|pipe:|/dev/null$|/memfd:|anon_inode:\[(eventpoll|eventfd|signalfd)\]")
HANDED = {
    "memwatch-parse": re.compile(r"/proc/\d+/(maps|pagemap)$|(?!/proc/)/"),
    "memwatch-http": re.compile(r"$^"),
}
READER = re.compile(r"socket:|anon_inode:\[pidfd\]|pidfd:|/proc/\d+/pagemap$")
OPENS = {"sys_ptrace", "dac_read_search", "checkpoint_restore"}
MAIN = re.compile(r"socket:|pipe:|/memfd:|anon_inode:|pidfd|/dev/(null|kmsg|pts/\d+|tty)$")


def family(pid):
    """A process and all that come from it: name, status, what it has open."""
    parents, out = {}, {}
    for p in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(p.name)] = int(status_of(p.name)["PPid"])
        except (OSError, KeyError):
            continue
    wanted = [pid]
    for one in wanted:
        wanted += [p for p, parent in parents.items() if parent == one]
    for one in wanted:
        try:
            s = status_of(one)
            fds = {int(f): os.readlink(f"/proc/{one}/fd/{f}")
                   for f in os.listdir(f"/proc/{one}/fd")}
        except OSError:
            continue  # a helper that has ended meanwhile
        if not s["State"].startswith("Z"):
            out[one] = (s, fds)
    return out


def check_none(s, fds):
    assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2", s["Name"]
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert not s[caps], (s["Name"], caps)
    uids = set(s["Uid"].split())
    assert len(uids) == 1 and int(uids.pop()) >= 61184, s["Name"]
    handed = HANDED.get(s["Name"])
    for fd, to in fds.items():
        assert fd <= 2 or PLAIN.match(to) or (handed and handed.match(to)), (s["Name"], fd, to)


def check_files(s):
    assert s["CapEff"] <= {"dac_read_search"} and s["CapPrm"] == FILES & mine()
    assert not s["CapInh"] and not s["CapAmb"] and s["NoNewPrivs"] == "1"


def check_memory(s, fds):
    """Who reads the memory of targets, and who starts those: they have that right, and open what tells that
    a target is still there."""
    assert s["CapEff"] == s["CapPrm"] == {"sys_ptrace"} & mine()
    assert not s["CapInh"] and not s["CapAmb"] and s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
    for fd, to in fds.items():
        assert to == "/dev/null" if fd <= 2 else READER.match(to), (fd, to)


def check_open(s, fds):
    """Who opens for others what targets may have put there: with the rights that it takes, and nothing open
    that could be of use."""
    assert s["CapEff"] == s["CapPrm"] == OPENS & mine()
    assert not s["CapInh"] and not s["CapAmb"] and s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
    for fd, to in fds.items():
        assert to == "/dev/null" if fd <= 2 else fd > 4 or to.startswith("socket:"), (fd, to)


def is_settled(pid):
    """All are what they will be: a process that was just forked still has its parent's name."""
    names = [s["Name"] for s, _ in family(pid).values()]
    return names.count("memwatch") == 1


def check_family(pid, effective, waiting, expected=(), command=None):
    wait_for(lambda: is_settled(pid) and set(expected) <= {s["Name"] for s, _ in
                                                          family(pid).values()})
    wait_for(lambda: status_of(pid)["CapEff"] == effective & mine())  # one may be raised just now
    seen = set()
    for one, (s, fds) in family(pid).items():
        if s["Name"] == command:
            continue
        seen.add(s["Name"])
        if s["Name"] in NONE:
            wait_for(lambda: status_of(one)["Seccomp"] == "2" if os.path.exists(f"/proc/{one}")
                     else True)
            try:
                check_none(status_of(one), fds)
            except OSError:
                pass
        elif s["Name"] == "memwatch-launch":
            assert s["CapEff"] == mine()
        elif s["Name"] == "memwatch-files":
            wait_for(lambda: status_of(one)["Seccomp"] == "2")
            check_files(status_of(one))
        elif s["Name"] == "memwatch-memory":
            wait_for(lambda: status_of(one)["CapEff"] == {"sys_ptrace"} & mine())
            check_memory(*family(one)[one])
        elif s["Name"] == "memwatch-open":
            wait_for(lambda: status_of(one)["CapEff"] == OPENS & mine())
            check_open(*family(one)[one])
        else:
            assert one == pid, s["Name"]
            assert s["CapPrm"] == (effective | waiting) & mine()
            assert not s["CapInh"] and not s["CapAmb"]
            assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
            for fd, to in fds.items():  # no device but these
                there = f"/proc/{one}/fd/{fd}"
                assert MAIN.match(to) or os.path.isfile(there) or os.path.isdir(there), to
    assert set(expected) <= seen


@pytest.fixture
def held():
    """held(args…) starts a command whose output has no room: it waits at its first line."""
    procs = []

    def start(*args, **kw):
        r, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)
        try:
            while True:
                os.write(w, bytes(4096))
        except BlockingIOError:
            pass
        fcntl.fcntl(w, fcntl.F_SETFL, 0)
        p = subprocess.Popen([str(BIN), *map(str, args)], stdout=w, stderr=w, **kw)
        os.close(w)
        p.unread = r
        procs.append(p)
        wait_for(lambda: "pipe_write" in Path(f"/proc/{p.pid}/stack").read_text()
                 or "anon_pipe_write" in Path(f"/proc/{p.pid}/stack").read_text())
        return p

    yield start
    for p in procs:
        os.close(p.unread)
        p.kill()
        p.wait()


def test_processes_of_attach(attach, sleeper, tmp_path):
    m = attach("-p", sleeper.pid, "--plain", "-q", "-v", "-o", tmp_path / "o.json", "--alert-rss",
               "1T", "--on-alert", "true", "--http")
    check_family(m.proc.pid, OBSERVING, LIMITS,
                 ("memwatch-box", "memwatch-files", "memwatch-memory", "memwatch-open", "memwatch-launch", "memwatch-web",
                  "memwatch-http"))
    status, _, err = m.finish()
    assert status == 0
    for name in ("memwatch-files", "memwatch-memory", "memwatch-open", "memwatch-box"):
        assert re.search(rf"footprint: {name} +[\d.]+\w+ +[1-9]\d* processes, \d+ ms", err), name


def test_processes_of_run(attach):
    m = attach("run", "--plain", "-q", "-v", "--", "sleep", "1000")
    check_family(m.proc.pid, OBSERVING, LIMITS | {"kill"}, ("memwatch-box", "memwatch-memory", "memwatch-open"),
                 command="sleep")
    m.finish()


def test_processes_of_top(attach):
    m = attach("top", "--plain", "-i", "0.1", ready=False)
    m.wait_for("COMMAND", stream="out")
    check_family(m.proc.pid, OBSERVING, LIMITS, ("memwatch-files", "memwatch-memory", "memwatch-open"))
    m.finish()


def test_processes_of_oom(attach, tmp_path):
    m = attach("oom", "--log", tmp_path / "l", "--on-kill", "true", ready=False)
    m.wait_for("attached to the OOM killer: probe")
    check_family(m.proc.pid, OBSERVING, LIMITS | {"syslog"}, ("memwatch-files", "memwatch-launch"))
    assert m.finish()[0] == 0


def test_processes_of_go(attach, target, tmp_path):
    (tmp_path / "own").mkdir()
    t = target([go_build("shapes", "-plain"), tmp_path / "own"])
    t.expect("ready")
    m = attach("go", "-p", t.pid, "-i", "100ms")
    check_family(m.proc.pid, OBSERVING, LIMITS, ("memwatch-box", "memwatch-files", "memwatch-memory", "memwatch-open", "memwatch-parse"))
    assert m.finish()[0] == 0


def test_processes_of_daemon(attach, tmp_path):
    m = attach("daemon", "--state-dir", tmp_path / "state", "--listen", "127.0.0.1:0", ready=False)
    m.wait_for("daemon ready")
    check_family(m.proc.pid, OBSERVING, LIMITS | {"syslog"},
                 ("memwatch-box", "memwatch-files", "memwatch-memory", "memwatch-open", "memwatch-web", "memwatch-http"))
    m.finish(signal.SIGTERM)


def test_processes_of_features(held, sleeper):
    check_family(held("features", "-p", sleeper.pid).pid, OBSERVING, set(),
                 ("memwatch-box", "memwatch-memory", "memwatch-open"))


def test_processes_of_detach(held, sleeper):
    check_family(held("detach", "-p", sleeper.pid).pid, OBSERVING, {"dac_override"},
                 ("memwatch-memory", "memwatch-open"))


def test_processes_of_history(held, attach, tmp_path):
    m = attach("daemon", "--state-dir", tmp_path / "state", "--listen", "127.0.0.1:0", ready=False)
    m.wait_for("daemon ready")
    wait_for(lambda: list((tmp_path / "state").glob("*history*")))
    m.finish(signal.SIGTERM)
    check_family(held("history", "--state-dir", tmp_path / "state").pid, set(),
                 {"dac_read_search"}, ("memwatch-files",))


def test_processes_of_report(held, tmp_path):
    """The one that reads waits for room; the other for it."""
    src = tmp_path / "in.json"
    src.write_text(profile_text())
    p = subprocess.Popen([str(BIN), "report", "--top", "-"], stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        check_family(p.pid, set(), {"dac_read_search"}, ("memwatch-apart", "memwatch-files"))
    finally:
        p.stdin.close()
        p.wait(180)


def test_processes_of_report_http(attach, tmp_path):
    """One reads files, one speaks with clients, and this one neither. A signal to it is the end of all, and
    a good one; so is one that its readers get as well, as from a terminal."""
    src = tmp_path / "in.json"
    src.write_text(profile_text())
    for everyone in (False, True):
        m = attach("report", "--http", src, ready=False)
        m.wait_for("page: http")
        check_family(m.proc.pid, set(), {"dac_read_search"}, ("memwatch-apart", "memwatch-web", "memwatch-http"))
        others = [p for p in family(m.proc.pid) if p != m.proc.pid]
        reader = [p for p in others if status_of(p)["Name"] == "memwatch-apart"]
        if everyone:
            os.kill(reader[0], signal.SIGINT)
            wait_for(lambda: not Path(f"/proc/{reader[0]}").exists())
        assert m.finish(signal.SIGTERM)[0] == 0
        wait_for(lambda: not any(Path(f"/proc/{p}").exists() for p in others))


def test_a_reader_that_does_not_end_is_left_behind(attach, tmp_path):
    """It holds nothing, and cannot hold up the end either."""
    src = tmp_path / "in.json"
    src.write_text(profile_text())
    m = attach("report", "--http", src, ready=False)
    m.wait_for("page: http")
    reader = next(p for p in family(m.proc.pid) if status_of(p)["Name"] == "memwatch-apart")
    os.kill(reader, signal.SIGSTOP)
    try:
        assert m.finish(signal.SIGTERM)[0] == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(reader, signal.SIGKILL)


def test_processes_of_the_shell(tmp_path):
    """On a terminal: who has read the profile has nothing of the terminal."""
    src = tmp_path / "in.json"
    src.write_text(profile_text())
    t = Terminal(tmp_path, src)
    check_family(t.pid, set(), {"dac_read_search"}, ("memwatch-apart", "memwatch-box", "memwatch-files"))
    others = [p for p in family(t.pid) if p != t.pid]
    assert t.end() == 0
    wait_for(lambda: not any(Path(f"/proc/{p}").exists() for p in others))
