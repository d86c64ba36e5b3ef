# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch daemon: its rules, who is profiled when, the service manager, its unit and state."""
import grp
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import BIN, ROOT, build, memwatch, wait_for
from daemonlib import Server, attached, daemon, named, rows  # noqa: F401 (fixtures)
from fuselib import Hanging
from golib import go_build
from oomlib import MIB, datagram, group, hog, leak  # noqa: F401 (fixtures)
from test_privilege import check_main, LIMITS


def check(text, tmp_path, status):
    conf = tmp_path / "c.conf"
    conf.write_text(text)
    p = memwatch("daemon", "--config", conf, "--check-config", check=status)
    return [line.removeprefix(f"memwatch: {conf}") for line in p.stderr.splitlines()]


# --- the rules ---

def test_every_mistake_is_told_with_its_line(tmp_path):
    said = check("interval = 1s\n"
                 "[daemon]\ninterval = 1ms\nmax-processes = 0\nbogus = 1\n"
                 "[profile]\ncomm = x\n"
                 "[profile a]\ncomm = ^a(\nfast = perhaps\nwindow = 10m every 30s\nlabel = x\n"
                 "[profile a]\ncomm = b\n"
                 "[profile all]\nfast = no\n"
                 "[alert b]\ncomm = b\n"
                 "[alert c]\nalert-rss = much\non-alert = 'open\n"
                 "[other]\nx = y\n"
                 "no sense\n"
                 "[daemon\n[history]\nmax-size = 1M\n", tmp_path, 2)
    lines = [int(re.match(r":(\d+): ", s)[1]) for s in said]
    assert lines == [1, 3, 4, 5, 6, 9, 10, 11, 12, 13, 15, 17, 20, 21, 22, 25, 27], "\n".join(said)
    text = "\n".join(said)
    for words in ("before the first", "between 100ms and 1h", "from 1 to 512", "no key 'bogus'",
                  "[profile] needs a name", "no regular expression", "yes or no", "30s every 10m",
                  "NAME=PATTERN", "a second [profile a]", "chooses no process", "no threshold",
                  "alert-rss: 'much'", "open quote", "no section 'other'", "']' is missing", "max-size is at least 8M"):
        assert words in text, words


# What a run, a screen or a list is asked for, of which a daemon has none.
OF_A_RUN = {"pid", "duration", "output", "top", "plain", "json", "quiet", "verbose", "help", "usage", "version", "sample-index",
            "http", "allow-signals", "list", "since", "until", "iterations", "sort", "reverse", "filter", "tree",
            "full-command", "kernel-threads", "no-bpf", "log"}


def test_what_can_be_asked_for_elsewhere_is_a_rule(tmp_path):
    """Every key is on the page of the rules; every option of attach, top, oom and alerts is one, or the page says what
    has its place."""
    page, keys = (ROOT / "docs/daemon.md").read_text(), set()
    for section in ("daemon", "oom", "faults", "history", "profile a", "alert a"):
        found = [re.search("no key 'bogus' in .*; there are (.*)", x) for x in check(f"[{section}]\nbogus = 1\n", tmp_path, 2)]
        keys |= {k for m in found if m for k in m[1].split(", ")}
    assert "sample-bytes" in keys and not [k for k in keys if f"`{k}`" not in page]
    options = {o for command in ((), ("top",), ("oom",))
               for o in re.findall(r"^ .*--([a-z][a-z-]+)", memwatch(*command, "--help").stdout, re.M)}
    assert "alert-growth" in options
    assert not [o for o in options - OF_A_RUN - keys if f"`{o}`" not in page and not re.search(rf"`--{o}\b", page)]


def test_good_and_unreadable_files(tmp_path):
    assert "2 profile and 1 alert sections, nothing wrong" in check(
        "# a comment\n; another\n\n[daemon]\n go=no \n[profile a]\ncomm = ^a = b$\n"
        "[profile any]\non-demand = yes\n[alert c]\nalert-psi = some=20%\n", tmp_path, 0)[0]
    assert "No such file" in memwatch("daemon", "--config", tmp_path / "none", "--check-config",
                                      check=1).stderr
    assert "not a regular file" in memwatch("daemon", "--config", "/dev/zero", "--check-config",
                                            check=2).stderr
    (tmp_path / "binary").write_bytes(b"[daemon]\n\0\n")
    assert "NUL" in memwatch("daemon", "--config", tmp_path / "binary", "--check-config",
                             check=2).stderr
    (tmp_path / "large").write_bytes(b"#" * (2 << 20))
    assert "1MB" in memwatch("daemon", "--config", tmp_path / "large", "--check-config",
                               check=2).stderr


def test_a_command_must_be_there(tmp_path):
    said = check("[alert a]\nalert-rss = 1G\non-alert = /no/such/command x\n", tmp_path, 2)
    assert said == [":3: on-alert: '/no/such/command x' cannot be run: No such file or directory"]
    said = check("[oom]\non-kill = /no/such/command x\n", tmp_path, 2)
    assert said == [":2: on-kill: '/no/such/command x' cannot be run: No such file or directory"]
    said = check("[oom]\nenabled = no\non-kill = 'open\njournal = yes\n[alert a]\nalert-rss = 1G\nalert-keep = -1\n",
                 tmp_path, 2)
    assert [int(s.split(":")[1]) for s in said] == [3, 4, 7] and "nobody would be told" in said[1]


def test_where_it_listens_must_make_sense(tmp_path):
    said = check("[daemon]\nlisten = 127.0.0.1:port\ngroup = nobody-knows-it\nhosts = a b:80\n", tmp_path, 2)
    assert [int(s.split(":")[1]) for s in said] == [2, 3, 4]
    assert "no address to listen on" in said[0] and "no group" in said[1] and "without a port" in said[2]
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for listen, words in ((f"unix:{tmp_path}/{'x' * 200}", "no path for a Unix socket"), ("fd:x", "no descriptor"),
                          (f"unix:{tmp_path}/open/s", "others may write"), ("no.such.name.invalid:80", "failed to find")):
        said = check(f"[daemon]\nlisten = {listen}\n", tmp_path, 2)
        assert len(said) == 1 and said[0].startswith(":2: listen: ") and words in said[0], said
    check(f"[daemon]\nlisten = unix:{tmp_path}/s\ngroup = root\nhosts = node1 node1.example.com ::1\n", tmp_path, 0)


@pytest.mark.parametrize("line", ["max-overhead = nan", "max-overhead = inf", "max-overhead = 0x10", "max-overhead-total = -1",
                                  "max-overhead = 0", "max-processes = 0x10", "interval = nan", "sample-bytes = inf",
                                  "growth-over = 0"])
def test_numbers_that_are_none(line, tmp_path):
    said = check(f"[daemon]\n{line}\n", tmp_path, 2)
    assert len(said) == 1 and said[0].startswith(f":2: {line.split()[0]}: ")


def test_many_mistakes_are_bounded(tmp_path):
    said = check("x\n" * 1000, tmp_path, 2)
    assert len(said) == 33 and "968 more" in said[-1]


def examples():
    text = (ROOT / "docs/daemon.md").read_text()
    return re.findall(r"```ini\n(.*?)```", text, re.S)


@pytest.mark.parametrize("n", range(5))
def test_examples_of_the_page_are_right(n, tmp_path):
    assert len(examples()) == 5
    check(examples()[n].replace("/usr/local/bin/page-me", "/bin/true"), tmp_path, 0)


@pytest.mark.parametrize("rule,kw", [
    ("comm = ^wanted$", {}),
    ("command = /wanted( |$)", {}),
    ("label = SERVICE=web-*", {"env": {"SERVICE": "web-7"}}),
])
def test_chooses_by(rule, kw, daemon, named, tmp_path):
    other = named("other")
    d = daemon(f"[profile p]\n{rule}\nmin-rss = 1\n")
    w = named("wanted", **kw)
    attached(d, w.pid)
    assert not re.search(rf"attached to PID {other.pid} ", d.err)


def test_chooses_by_user(daemon, target, named):
    other = named("other")
    d = daemon("[profile p]\nuser = 12345\n")
    t = target(["python3", "-c", "import os; os.setuid(12345); print('ready', flush=True); input()"])
    t.expect("ready")
    attached(d, t.pid)
    assert not re.search(rf"attached to PID {other.pid} ", d.err)


def test_chooses_by_cgroup(daemon, named, group):
    g = group()
    inside, outside = named("inside", preexec_fn=g.join), named("outside")
    d = daemon(f"[profile p]\ncgroup = {g.path}\n")
    attached(d, inside.pid)
    assert not re.search(rf"attached to PID {outside.pid} ", d.err)


def test_kinds_narrow_and_alternatives_widen(daemon, named):
    a, b, c = named("aaa"), named("bbb"), named("ccc")
    d = daemon("[profile never]\nignore = yes\ncomm = ^ccc$\n"
               "[profile p]\ncomm = ^aaa$\ncomm = ^bbb$\ncomm = ^ccc$\nuser = 0\n"
               "[profile none]\ncomm = .\nuser = 12346\n")
    attached(d, a.pid)
    attached(d, b.pid)
    assert not re.search(rf"attached to PID {c.pid} ", d.err)


def reload_rules(d, rules, times=1):
    """So often, a pass after each."""
    d.conf.write_text("[daemon]\ninterval = 200ms\n" + rules)
    for _ in range(times):
        n = d.err.count("anew")
        d.proc.send_signal(signal.SIGHUP)
        wait_for(lambda: d.err.count("anew") > n)


def test_grown_processes_are_profiled(daemon, leak):
    """While they live, whatever sections for what is asked for stand behind; one that ignores them counts."""
    p = leak(128 * MIB, "-s", "64", "-u", "10000", "-m", str(64 << 10))
    rules = ("growth-over = 2s\ngo = no\n[profile growing]\ngrowth = 5M/min\ncomm = ^oom_hog$\n"
             "[profile any]\non-demand = yes\n")
    d = daemon(rules, "--listen", "127.0.0.1:0")
    s = Server(d)
    assert not re.search(rf"attached to PID {p.pid} ", d.err)
    leak.go(p)
    attached(d, p.pid)
    assert p.stdout.readline() == "full\n"
    grows = rf'^memwatch_process_growth_bytes_per_second{{pid="{p.pid}"[^}}]*}} (\S+)$'
    # over the two minutes that the metric looks back
    wait_for(lambda: abs(float(re.search(grows, s.text("/metrics"), re.M)[1])) < 1000, timeout=900)
    reload_rules(d, rules, 3)
    assert not re.search("let go of PID", d.err)
    reload_rules(d, "go = no\n[profile never]\nignore = yes\ncomm = ^oom_hog$\n" + rules.split("\n", 2)[2])
    d.wait_for(rf"let go of PID {p.pid} ")


def test_go_programs_need_no_rule(daemon, target, tmp_path):
    t = target([go_build("shapes", "-plain"), tmp_path])
    t.expect("ready")
    d = daemon("")
    d.wait_for(rf"attached to PID {t.pid} \(.*the runtime's own heap profile")
    assert d.finish(signal.SIGTERM)[0] == 0
    d = daemon("go = no\n")
    for _ in range(3):  # passes
        n = len(d.err)
        d.proc.send_signal(signal.SIGHUP)
        d.wait_for(r"(read '.*' anew[^\0]*){%d}" % (d.err.count("anew") + 1))
    assert f"attached to PID {t.pid} " not in d.err[n:]


def test_children_are_followed(daemon, target, tmp_path):
    """Of those that a section chooses with follow, whatever they are called."""
    known = build("known.c", flags=["-O1"])
    for name in ("shepherd", "stranger"):
        (tmp_path / name).symlink_to(shutil.which("dash") or "/bin/sh")
    d = daemon("go = no\n[profile s]\ncomm = ^shepherd$\nfollow = yes\n")
    parents = [target([tmp_path / name, "-c", f"{known}; true"]) for name in ("stranger", "shepherd")]
    for t in parents:
        t.expect("ready")
    other, child = [int(Path(f"/proc/{t.pid}/task/{t.pid}/children").read_text()) for t in parents]
    attached(d, parents[1].pid)
    attached(d, child)
    assert not re.search(rf"attached to PID ({other}|{parents[0].pid}) ", d.err)


# --- its life ---

def test_service_manager(daemon, named, datagram, tmp_path):
    notify = datagram(str(tmp_path / "notify"))

    def until(word):
        while word not in notify.recv(4096).decode().split("\n"):
            pass

    # Signs of life do not wait for passes.
    d = daemon("interval = 1h\n", env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"})
    until("READY=1")
    for _ in range(3):
        until("WATCHDOG=1")
    d.proc.send_signal(signal.SIGHUP)
    until("RELOADING=1")
    until("READY=1")
    d.proc.send_signal(signal.SIGTERM)
    until("STOPPING=1")
    assert d.finish(sig=None)[0] == 0


def test_state_directory_is_its_own(daemon, tmp_path):
    d = daemon("")
    assert d.state.stat().st_mode & 0o777 == 0o700
    p = memwatch("daemon", "--config", d.conf, "--state-dir", d.state, "--listen", "none", check=1)
    assert "another memwatch daemon runs there" in p.stderr
    d.finish(signal.SIGTERM)
    d.state.chmod(0o777)
    assert "others may write to it" in memwatch("daemon", "--state-dir", d.state, "--listen", "none", check=3).stderr
    assert "no path from the root" in memwatch("daemon", "--state-dir", "x", check=2).stderr


@pytest.mark.parametrize("how", ["theirs", "writable", "link", "provided"])
def test_no_state_below_what_others_may_exchange(how, tmp_path):
    """Whoever owns a directory above could put another one in its place once it was looked at."""
    above = tmp_path / "above"
    if how == "link":
        (tmp_path / "real").mkdir()
        above.symlink_to(tmp_path / "real")
        os.chown(above, 23456, 23456, follow_symlinks=False)
    else:
        above.mkdir()
        os.chown(above, 23456 if how == "theirs" else 0, 0)
        above.chmod(0o755 if how == "theirs" else 0o777)
    provided = Hanging(above, user=23456) if how == "provided" else None
    try:
        p = memwatch("daemon", "--state-dir", above / "state", "--listen", "none", check=3)
        assert "others may change a directory above it" in p.stderr
        assert not (above / "state").exists()
    finally:
        if provided:
            provided.unmount()


def test_no_state_in_a_file_system_of_another_user(tmp_path):
    """It says that its directory is root's."""
    provided = Hanging(tmp_path, user=23456)
    try:
        p = memwatch("daemon", "--state-dir", tmp_path, "--listen", "none", check=3)
        assert "another user provides its file system" in p.stderr
    finally:
        provided.unmount()


def test_keeps_what_it_needs(daemon):
    d = daemon("", "--listen", "127.0.0.1:0")
    check_main(d.proc.pid, LIMITS | {"syslog"})
    assert d.finish(signal.SIGTERM)[0] == 0


UNIT = ROOT / "tools/systemd/memwatch-daemon.service"


def confined():
    """Runs a command with the capabilities of the unit."""
    names = re.search(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.M)[1].split()
    caps = ",".join(["-all", *("+" + n.removeprefix("CAP_").lower() for n in names)])
    return ["setpriv", "--no-new-privs", f"--bounding-set={caps}"]


def test_with_the_capabilities_of_the_unit(daemon, named):
    """What the unit leaves it is enough for profiles with names, for HTTP and the history."""
    t = named("unit-t")
    d = daemon("sample-bytes = 1\n[profile p]\ncomm = ^unit-t$\n", "--listen", "127.0.0.1:0",
               wrap=confined())
    attached(d, t.pid)
    t.say("go")
    t.expect("done")
    d.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: rows(d, "SELECT count(*) FROM snapshot")[0][0])
    assert d.finish(signal.SIGTERM)[0] == 0
    assert "warning" not in re.sub(".*was killed: out of memory.*", "", d.err)  # (others run here)


def test_socket_of_a_group_within_the_unit(daemon):
    """In a directory as the unit makes it; what it takes to give the socket away is given up."""
    text = UNIT.read_text()
    mode = int(re.search(r"^RuntimeDirectoryMode=(\d+)$", text, re.M)[1], 8)
    assert re.search(r"^RuntimeDirectory=memwatch$", text, re.M)
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, mode)
        d = daemon(f"listen = unix:{where}/memwatch.sock\ngroup = games\n", wrap=confined())
        st = os.stat(f"{where}/memwatch.sock")
        gid = grp.getgrnam("games").gr_gid
        assert (st.st_mode & 0o777, st.st_gid) == (0o660, gid)
        asked = subprocess.run(["curl", "-sS", "--unix-socket", f"{where}/memwatch.sock", "http://localhost/healthz"],
                               capture_output=True, text=True, timeout=180, user=12345, group=12345, extra_groups=[gid])
        assert asked.stdout == "ok\n", asked.stderr
        check_main(d.proc.pid, LIMITS | {"syslog"})
        assert d.finish(signal.SIGTERM)[0] == 0


def test_unit_files_are_understood(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/memwatch", str(BIN)))
    sock = UNIT.with_suffix(".socket")
    shutil.copy(sock, tmp_path)
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit, tmp_path / sock.name], capture_output=True, text=True,
                       timeout=180, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    assert p.returncode == 0 and unit.name not in p.stderr and sock.name not in p.stderr, p.stderr


def test_killed_daemon_harms_nobody(daemon, named):
    t = named("survivor")
    d = daemon("[profile p]\ncomm = ^survivor$\n")
    attached(d, t.pid)
    d.proc.kill()
    d.proc.wait()
    t.say("go")
    assert t.expect("done")
    d = daemon("[profile p]\ncomm = ^survivor$\n")
    attached(d, t.pid)
