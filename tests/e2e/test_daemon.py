# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch daemon: its rules, who is profiled when, reload, alerts, kills, the service manager."""
import gzip
import grp
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from conftest import BIN, ROOT, build, memwatch, wait_for
from daemonlib import Server, attached, daemon, named, of_hold  # noqa: F401 (fixtures)
from golib import go_build
from kmsglib import kmsg, stuck  # noqa: F401 (fixtures)
from oomlib import (MIB, VERSION, datagram, group, hog, leak, top_function, victimless)  # noqa: F401 (fixtures)
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


# --- coming and going ---

def test_processes_come_and_go(daemon, named):
    d = daemon("go = no\n[profile p]\ncomm = ^comes$\n")  # of others' Go programs there may be any number
    for _ in range(3):
        t = named("comes")
        attached(d, t.pid)
        t.stop()
        d.wait_for(rf"let go of PID {t.pid} ")
    status, _, err = d.finish(signal.SIGTERM)
    assert status == 0 and re.search(r"done: 3 processes profiled, 0 let go for their cost, 0 could "
                                     r"not be attached to", err)


def held(d):
    return len(os.listdir(f"/proc/{d.proc.pid}/fd"))


def links(d):
    """Programs that are attached to something."""
    kinds = [os.readlink(f.path) for f in os.scandir(f"/proc/{d.proc.pid}/fd") if os.path.islink(f.path)]
    return sum("bpf_link" in k or "perf_event" in k for k in kinds)


def largest_ring(d):
    """KiB of the largest mapping of a BPF map."""
    sizes = re.findall(r"anon_inode:bpf-map\nSize: +(\d+) kB", open(f"/proc/{d.proc.pid}/smaps").read())
    return max(map(int, sizes))


def test_buffers_are_as_large_as_samples_are_frequent(daemon, named):
    a, b = named("byprobes"), named("byfast")
    rules = "[profile p]\ncomm = ^byprobes$\n[profile f]\ncomm = ^byfast$\nfast = yes\n"
    sizes = []
    for sample in ("", "sample-bytes = 64K\n"):
        d = daemon(sample + rules)
        attached(d, a.pid)
        attached(d, b.pid)
        sizes.append(largest_ring(d))
        assert d.finish(signal.SIGTERM)[0] == 0
    assert sizes[0] < 6 * 1024 < sizes[1], sizes


def resident(d):
    """KiB that are the daemon's own."""
    return int(re.search(r"RssAnon:\s+(\d+)", open(f"/proc/{d.proc.pid}/status").read())[1])


def test_what_comes_and_goes_is_given_back(daemon, named, tmp_path):
    """Many that stay for a moment, and hundreds that are gone before they are looked at."""
    # Page faults are sampled of whatever else runs here, and every Go program is profiled: their files
    # would be held, too.
    name = f"passes{os.getpid()}"  # another run's processes are none of this one's
    d = daemon(f"go = no\n[faults]\nenabled = no\n[profile p]\ncomm = ^{name}$\n")

    def crowd(n):
        ts = [named(name) for _ in range(n)]
        for t in ts:
            attached(d, t.pid)
        for t in ts:
            t.stop()
        for t in ts:
            d.wait_for(rf"let go of PID {t.pid} ")

    def storm(n):
        subprocess.run(["sh", "-c", f"for i in $(seq {n}); do {tmp_path}/{name} </dev/null; done"],
                       check=False, stdout=subprocess.DEVNULL)
        wait_for(lambda: len(re.findall("let go of PID", d.err)) == len(re.findall("attached to PID", d.err)),
                 timeout=180)

    crowd(15)  # what is kept for the next is there after these
    storm(300)
    crowd(15)
    before, probes, size = held(d), links(d), resident(d)
    crowd(15)
    storm(1000)
    # Files of modules that several had are kept open for the next, the loader's as one of a process
    # that has nothing but it yet, too; and the helper that looked into the last has two sockets.
    wait_for(lambda: held(d) <= before + 5)
    assert links(d) <= probes
    assert resident(d) - size < 4 << 10
    assert d.finish(signal.SIGTERM)[0] == 0


def test_many_files_leave_nothing(daemon, named, tmp_path):
    """As on a machine that builds software: each process runs a file that was not there before."""
    known, name = build("known.c", flags=["-O1"]), f"of{os.getpid()}x"
    d = daemon(f"go = no\nsample-bytes = 64K\n[faults]\nenabled = no\n[profile p]\ncomm = ^{name}\n")
    most = []
    for n in range(8):
        files = [tmp_path / f"{name}{n * 32 + i}" for i in range(32)]
        for f in files:
            shutil.copy(known, f)
        ts = [named(f.name) for f in files]
        for t in ts:
            attached(d, t.pid)
            t.say()
            t.expect("done")
        for t in ts:
            t.stop()
        for f in files:
            f.unlink()
        for t in ts:  # its profile, with names, is kept by then
            d.wait_for(rf"let go of PID {t.pid} ")
        most.append(held(d))
    # Files are closed when half of what is known of processes is waste: some batches are there together.
    assert max(most[4:]) <= max(most[:4]) + 16, most
    assert d.finish(signal.SIGTERM)[0] == 0


def test_churn_leaves_nothing(daemon, tmp_path):
    """200 processes a second, all chosen by a rule and watched by an alert: what is held does not grow."""
    name = f"churns{os.getpid()}"
    exe = tmp_path / name
    exe.symlink_to(build("passing.c", flags=["-O1"]))
    d = daemon(f"interval = 1s\ngo = no\nmax-overhead = 1000%\nmax-overhead-total = 10000%\n[faults]\nenabled = no\n"
               f"[profile p]\ncomm = ^{name}$\n[alert a]\ncomm = ^{name}$\nalert-rss = 1G\n")

    def churn(n):
        assert subprocess.run([exe, str(n), "200"], capture_output=True, text=True, timeout=600).stdout == "done\n"
        wait_for(lambda: len(re.findall("let go of PID", d.err)) == len(re.findall("attached to PID", d.err)))

    churn(2000)
    before, probes, size, met = held(d), links(d), resident(d), d.err.count("attached to PID")
    churn(4000)
    assert d.err.count("attached to PID") > met + 100
    wait_for(lambda: held(d) <= before + 2)
    assert links(d) <= probes
    assert resident(d) - size < 4 << 10
    assert d.finish(signal.SIGTERM)[0] == 0


def test_reload_keeps_who_is_still_chosen(daemon, named):
    a, b, c = named("aaa"), named("bbb"), named("ccc")
    d = daemon("go = no\n[profile a]\ncomm = ^aaa$\n[profile b]\ncomm = ^bbb$\n")
    attached(d, a.pid)
    attached(d, b.pid)
    d.conf.write_text("[daemon]\ninterval = 200ms\ngo = no\n[profile new]\ncomm = ^aaa$\n[profile c]\n"
                      "comm = ^ccc$\n")
    d.proc.send_signal(signal.SIGHUP)
    attached(d, c.pid)
    d.wait_for(rf"let go of PID {b.pid} ")
    d.conf.write_text("[nonsense]\n")
    d.proc.send_signal(signal.SIGHUP)
    d.wait_for(r"daemon.conf:1: no section 'nonsense'")
    d.wait_for("continuing with the former configuration")
    d.conf.write_text("[daemon]\ngo = no\n[profile new]\ncomm = ^aaa$\n[alert x]\ncomm = a\nalert-rss = 1G\n"
                      "on-alert = /bin/true\n")
    d.proc.send_signal(signal.SIGHUP)
    d.wait_for("a new on-alert command takes a restart")
    status, _, err = d.finish(signal.SIGTERM)
    assert status == 0 and "done: 3 processes profiled" in err
    assert f"let go of PID {a.pid} " not in err and f"let go of PID {c.pid} " not in err


def test_rules_have_rates_of_their_own(daemon, named):
    """One every allocation, one rarely, one as the daemon says; a reload's rate is of who comes then."""
    exact, rare, plain = named("exact"), named("rare"), named("plain")
    rules = ("go = no\n[faults]\nenabled = no\n[profile e]\ncomm = ^exact$\nsample-bytes = 1\n[profile r]\ncomm = ^rare$\n"
             "sample-bytes = 2M\n[profile p]\ncomm = ^plain$\n")
    d = daemon(rules, "--listen", "127.0.0.1:0")
    s = Server(d)
    for t, how in ((exact, "every allocation"), (rare, r"one sample per 2\.00MB"), (plain, r"one sample per 512\.00kB")):
        d.wait_for(rf"attached to PID {t.pid} .*, {how}$")
    for t in (exact, rare, plain):
        t.say()
        t.expect("done")
    assert of_hold(s.text(f"/debug/pprof/heap?pid={exact.pid}&debug=1")) == [800, 800000, 1000, 1000000]
    d.conf.write_text("[daemon]\ninterval = 200ms\n" + rules.replace("2M", "64K"))
    d.proc.send_signal(signal.SIGHUP)
    d.wait_for("anew: 3 profile")
    again = named("rare")
    d.wait_for(rf"attached to PID {again.pid} .*, one sample per 64\.00kB$")
    assert of_hold(s.text(f"/debug/pprof/heap?pid={exact.pid}&debug=1")) == [800, 800000, 1000, 1000000]
    assert not re.search("let go of PID", d.err) and d.finish(signal.SIGTERM)[0] == 0


def test_window(daemon, named):
    t = named("windowed")
    d = daemon("[profile p]\ncomm = ^windowed$\nwindow = 1s every 2s\n")
    for n in (1, 2):
        d.wait_for(rf"(attached to PID {t.pid} [^\0]*let go of PID {t.pid} [^\0]*){{{n}}}")


def test_who_costs_too_much_is_let_go(daemon, target):
    t = target([build("shapes.c", flags=["-O1"]), "1", "1000000"])
    t.expect("ready")
    t.say("go")
    d = daemon("max-overhead = 0.001%\n[profile p]\ncomm = ^shapes$\n")
    attached(d, t.pid)
    d.wait_for(rf"profiling PID {t.pid} \(shapes\) costs it .* let go for 10 minutes")
    assert d.finish(signal.SIGTERM)[0] == 0


def test_as_many_as_allowed(daemon, named):
    ts = [named("many") for _ in range(3)]
    d = daemon("go = no\nmax-processes = 2\n[profile p]\ncomm = ^many$\n")
    d.wait_for("2 processes are profiled, as many as max-processes allows")
    assert sum(f"attached to PID {t.pid} " in d.err for t in ts) == 2


# --- what happens ---

def test_alert_and_kill_of_a_profiled_process(daemon, leak):
    p = leak(40 * MIB, "-s", "64", "-u", "10000")
    d = daemon("sample-bytes = 64K\n[profile p]\ncomm = ^oom_hog$\n"
               "[alert a]\ncomm = ^oom_hog$\nalert-rss = 10M\n")
    attached(d, p.pid)
    leak.go(p)
    assert p.wait(180) == -9
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed: out of memory.*its profile is in")
    assert d.finish(signal.SIGTERM)[0] == 0
    told = [json.loads(x) for x in (d.state / "oom.jsonl").read_text().splitlines()]
    alarm = next(x for x in told if x["schema"] == "memwatch.alert/1")
    kill = next(x for x in told if x["schema"] == "memwatch.oom/1")
    assert alarm["pid"] == kill["victim"]["pid"] == p.pid and alarm["rule"] == "rss"
    for profile in (alarm["profile"], kill["profile"]):
        assert profile.startswith(f"{d.state}/alerts/")
        assert "hoard" in top_function(profile)


def told_by(d):
    return [x for x in map(json.loads, (d.state / "oom.jsonl").read_text().splitlines())
            if x["schema"] == "memwatch.alert/1"]


def reload(d, rules):
    n = d.err.count("anew: ")
    d.conf.write_text("[daemon]\ninterval = 200ms\ngo = no\n[faults]\nenabled = no\n" + rules)
    d.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: d.err.count("anew: ") > n)


def test_alerts_go_on_after_a_reload(daemon, named):
    """What fires is not told again, and its end is: by its value, or because the rule is gone."""
    t = named("fires")
    who = f"comm = ^fires$\n"
    d = daemon(f"go = no\n[faults]\nenabled = no\n[alert a]\n{who}alert-rss = 64K\n[alert b]\n{who}alert-rss = 32K\n")
    wait_for(lambda: len(told_by(d)) == 2)
    reload(d, f"[alert c]\n{who}alert-rss = 1T\n[alert b]\n{who}alert-rss = 32K\nalert-growth = 1G/s\n"
              f"[alert a]\n{who}alert-rss = 64K\nalert-cooldown = 0\n")
    reload(d, f"[alert a]\n{who}alert-rss = 1T\nalert-cooldown = 0\n[alert b]\n{who}alert-rss = 32K\n")
    over = wait_for(lambda: told_by(d)[2:])
    assert len(over) == 1 and over[0]["state"] == "resolved" and not over[0]["ended"]
    assert over[0]["threshold"] == 1 << 40 and over[0]["pid"] == t.pid
    reload(d, f"[alert a]\n{who}alert-rss = 64K\nalert-cooldown = 0\n")  # b is gone
    d.wait_for("alert rss resolved after .*: the rule is not in force any more")
    wait_for(lambda: len(told_by(d)) == 5)
    assert d.finish(signal.SIGTERM)[0] == 0
    told = [(x["state"], x["threshold"]) for x in told_by(d)]
    assert sorted(told[:2]) == [("firing", 32 << 10), ("firing", 64 << 10)]
    assert told[2] == ("resolved", 1 << 40) and sorted(told[3:], key=str) == [("firing", 64 << 10), ("resolved", None)]
    assert {p.name.split("-")[2] for p in (d.state / "alerts").glob("*.csv")} == {"a", "b"}


def test_an_alert_watches_the_largest(daemon, target, tmp_path):
    """More are chosen than are looked at: those that matter are, whatever their numbers."""
    env = {**os.environ, "CROWD": f"of{os.getpid()}"}
    for _ in range(66):
        target(["sleep", "1000"], env=env)
    large = target([sys.executable, "-c", "x = b'x' * (60 << 20); print('ready', flush=True); input()"], env=env)
    large.expect("ready")
    d = daemon(f"go = no\n[faults]\nenabled = no\n[alert crowd]\nlabel = CROWD=of{os.getpid()}\nalert-rss = 50M\n",
               "--listen", "127.0.0.1:0")
    assert wait_for(lambda: told_by(d))[0]["pid"] == large.pid
    d.wait_for(r"\[alert crowd\]: 67 processes are chosen; the 64 that are largest")
    text = Server(d).text("/metrics")
    assert 'memwatch_alert_processes_left_out{alert="crowd"} 3\n' in text
    assert 'memwatch_alerts_total{alert="crowd",rule="rss"} 1\n' in text
    assert 'memwatch_alerts_firing{alert="crowd",rule="rss"} 1\n' in text
    large.proc.kill()
    wait_for(lambda: len(told_by(d)) == 2)
    wait_for(lambda: 'memwatch_alerts_firing{alert="crowd",rule="rss"} 0\n' in Server(d).text("/metrics"))
    assert 'memwatch_alerts_total{alert="crowd",rule="rss"} 1\n' in Server(d).text("/metrics")
    assert d.finish(signal.SIGTERM)[0] == 0


def test_the_log_is_rotated(daemon, named, tmp_path):
    """The real logrotate with the file that is installed: nothing lost."""
    logrotate = shutil.which("logrotate") or "/usr/sbin/logrotate"
    rules = "[alert a]\ncomm = ^fires$\nalert-rss = 64K\nalert-cooldown = 0\n"
    d = daemon(rules)
    log = d.state / "oom.jsonl"
    text = (ROOT / "tools/systemd/memwatch-daemon.logrotate").read_text()
    assert "/var/lib/memwatch/oom.jsonl" in text
    conf = tmp_path / "conf"
    conf.write_text(text.replace("/var/lib/memwatch/oom.jsonl", str(log)))
    tmp_path.chmod(0o755)
    pids = []
    for _ in range(3):
        t = named("fires")
        pids.append(t.pid)
        wait_for(lambda: log.exists() and any(x["pid"] == t.pid for x in told_by(d)))
        t.proc.kill()
        wait_for(lambda: any(x["pid"] == t.pid and x["state"] == "resolved" for x in told_by(d)))
        subprocess.run([logrotate, "-f", "-s", tmp_path / "rotated", conf], check=True)
    assert d.finish(signal.SIGTERM)[0] == 0
    files = [Path(f"{log}.1").read_text(), *(gzip.decompress(Path(f"{log}.{i}.gz").read_bytes()).decode() for i in (2, 3))]
    for text, pid in zip(files, reversed(pids)):
        told = [json.loads(x) for x in text.splitlines()]
        assert [(x["state"], x["pid"]) for x in told if x["schema"] == "memwatch.alert/1"] == [
            ("firing", pid), ("resolved", pid)]


def test_kill_of_a_stranger_comes_with_its_page_faults(daemon, leak):
    p = leak(40 * MIB, "-s", "64", "-u", "2000")
    d = daemon("[faults]\nperiod = 16\n")
    leak.go(p)
    assert p.wait(180) == -9
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed: out of memory.*its profile is in")
    d.finish(signal.SIGTERM)
    kill = next(x for x in map(json.loads, (d.state / "oom.jsonl").read_text().splitlines())
                if x["victim"] and x["victim"]["pid"] == p.pid)
    assert "hoard" in top_function(kill["profile"])


def test_nobody_to_be_killed(daemon, stuck):
    """No process was: it is told, counted and kept as what it is."""
    s = Server(daemon("", "--listen", "127.0.0.1:0", wrap=stuck.wrap))
    told = rf"OOM without a victim, cgroup {stuck.path} at its limit of 16\.00MB"
    for _ in range(3):
        stuck.refuse()
    s.d.wait_for(told)
    wait_for(lambda: re.search(r"^memwatch_oom_without_victim_total [1-9]", s.text("/metrics"), re.M))
    marks = lambda: [m["text"] for m in json.loads(s.text("/api/machine"))["marks"]]
    wait_for(lambda: "OOM without a victim" in marks())
    assert not any("PID 0" in m for m in marks())
    assert s.d.finish(signal.SIGTERM)[0] == 0
    first, count = victimless(s.d.state / "oom.jsonl", stuck.path)
    assert first["profile"] is count["profile"] is None and (first["repeats"], count["repeats"]) == (0, 2)
    assert f"OOM without a victim, 2 more times, cgroup {stuck.path} at" in s.d.err
    assert "PID 0" not in s.d.err and " 3 OOMs without a victim" in s.d.err
    assert rows(s.d, "SELECT count(*) FROM event WHERE kind = 'oom' AND pid = 0 AND coalesce(snapshot, 0) = 0") == [(2,)]
    listed = memwatch("history", "--state-dir", s.d.state, "--events", check=0).stdout
    assert re.search(told, listed) and " 0 (" not in listed


@pytest.mark.skipif(VERSION != 2, reason="memory.high is of cgroup version 2")
def test_held_up_at_memory_high(daemon, group, hog):
    g = group()
    (g.dir / "memory.high").write_text(str(8 * MIB))
    s = Server(daemon("", "--listen", "127.0.0.1:0"))
    p = subprocess.Popen([hog, "-m", "20480"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=g.join)
    p.stdin.write(b"go\n")
    p.stdin.flush()
    s.d.wait_for(rf"held up: cgroup {g.path} at its memory\.high of 8\.00MB: \d+ times")
    wait_for(lambda: f"held up at memory.high: {g.path}" in
             [m["text"] for m in json.loads(s.text("/api/machine"))["marks"]])
    assert re.search(r"^memwatch_memory_high_throttles_total [1-9]", s.text("/metrics"), re.M)
    p.kill()
    p.wait()


def test_who_is_told_of_a_kill(daemon, leak, datagram, tmp_path):
    """[oom]: a command with the facts, the journal and syslog; a reload cannot change them."""
    journal, syslog = datagram("/run/systemd/journal/socket"), datagram("/dev/log")
    told = tmp_path / "told"
    tell = tmp_path / "tell"
    tell.write_text(f"#!/bin/sh\nenv > {told}.new; cat >> {told}.new; mv {told}.new {told}\n")
    tell.chmod(0o755)
    p = leak(40 * MIB, "-s", "64", "-u", "2000")
    rules = f"[oom]\non-kill = {tell}\njournal = yes\nsyslog = yes\n"
    d = daemon(rules)
    for change in (rules.replace("journal = yes\n", ""), rules.replace(str(tell), "/bin/true")):
        d.err = ""
        d.conf.write_text(change)
        d.proc.send_signal(signal.SIGHUP)
        d.wait_for("to change them takes a restart")
    leak.go(p)
    assert p.wait(180) == -9
    text = wait_for(lambda: told.exists() and told.read_text())
    assert f"MEMWATCH_KILL_PID={p.pid}\n" in text and "MEMWATCH_KILL_COMM=oom_hog\n" in text
    kill = json.loads(text.splitlines()[-1])
    assert kill["schema"] == "memwatch.oom/1" and kill["victim"]["pid"] == p.pid
    assert f" victim_pid={p.pid} " in syslog.recv(65536).decode()
    assert f"MEMWATCH_VICTIM_PID={p.pid}\n" in journal.recv(1 << 20).decode()


# --- what is kept ---

def rows(d, query):
    """Of the history, beside the daemon that writes it."""
    with sqlite3.connect(f"file:{d.state}/history.db?mode=ro", uri=True, timeout=180) as db:
        return db.execute(query).fetchall()


def test_history_has_passes_profiles_and_events(daemon, leak):
    p = leak(40 * MIB, "-s", "64", "-u", "10000")
    d = daemon("sample-bytes = 64K\n[profile p]\ncomm = ^oom_hog$\nsnapshot = 1s\n"
               "[alert a]\ncomm = ^oom_hog$\nalert-rss = 10M\n")
    attached(d, p.pid)
    leak.go(p)
    assert p.wait(180) == -9
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed")
    assert d.finish(signal.SIGTERM)[0] == 0
    told = {}
    for kind, pid, profile in rows(d, "SELECT kind, pid, snapshot FROM event"):
        told.setdefault((kind, pid), []).append(profile)
    assert told["oom", p.pid][0] and told["alert", p.pid][0]  # with their profiles
    whys = {x for x, in rows(d, "SELECT why FROM snapshot")}
    assert {"regular", "alert", "OOM kill"} <= whys
    assert rows(d, "SELECT count(*) FROM pass")[0][0] > 2


def test_peaks_are_kept(daemon, leak):
    """Each clearly above the one before, and the last as high as it was, but for a step; stacks as deep as is said."""
    p = leak(200 * MIB, "-s", "64", "-u", "20000", "-m", str(24 << 10))
    d = daemon("go = no\nmax-depth = 1\nsample-bytes = 64K\n[faults]\nenabled = no\n"
               "[profile p]\ncomm = ^oom_hog$\nsnapshot = 0\npeak = yes\npeak-rss = yes\n")
    attached(d, p.pid)
    leak.go(p)
    assert p.stdout.readline() == "full\n"
    last = lambda: [x[0] for x in rows(d, "SELECT inuse_bytes FROM snapshot WHERE why = 'peak' ORDER BY time_ms")]
    peaks = wait_for(lambda: (lambda x: x if len(x) > 1 and x[-1] > 19 << 20 else None)(last()))
    assert peaks[0] >= 1 << 20 and all(b >= 1.09 * a for a, b in zip(peaks, peaks[1:]))
    assert rows(d, "SELECT count(*) FROM snapshot WHERE why = 'peak of RSS'")[0][0] > 1
    assert rows(d, "SELECT count(*) FROM recording") == [(1,)]  # that goes on
    assert not rows(d, "SELECT 1 FROM snapshot WHERE why = 'regular'")
    assert d.finish(signal.SIGTERM)[0] == 0
    out = memwatch("history", "--state-dir", d.state, "-p", p.pid, "--at", "0s", "-o", d.state / "p.json", check=0)
    stacks = json.loads((d.state / "p.json").read_text())["stacks"]
    assert stacks and all([f["function"] for f in s["frames"]][1:] == ["[stack cut: too deep]"] for s in stacks), out.stderr


def test_page_faults_of_who_is_not_profiled_are_kept(daemon, leak):
    """With its kill; they are as good a profile as others for what asks."""
    p = leak(40 * MIB, "-s", "64", "-u", "2000")
    d = daemon("[faults]\nperiod = 16\n")
    leak.go(p)
    assert p.wait(180) == -9
    d.wait_for(rf"PID {p.pid} \(oom_hog\) was killed: out of memory.*its profile is in")
    assert d.finish(signal.SIGTERM)[0] == 0
    event, snapshot = rows(d, f"SELECT id, snapshot FROM event WHERE pid = {p.pid}")[0]
    out = d.state / "kept.pb.gz"
    memwatch("history", "--state-dir", d.state, "--event", event, "-o", out, check=0)
    told = gzip.decompress(out.read_bytes())
    assert b"resident_space" in told and "hoard" in top_function(out)
    listed = memwatch("history", "--state-dir", d.state, "--profiles", check=0).stdout
    assert re.search(rf"^ +{snapshot}  2\d{{3}}-\S+ \S+ \S+ +{p.pid} +- +-  oom_hog  \(OOM kill\)$", listed, re.M), listed
    one = json.loads(memwatch("history", "--state-dir", d.state, "-p", p.pid, "--json", check=0).stdout)
    assert one["profiles"][0]["inuse_bytes"] is None and one["verdicts"] == []


def test_history_can_be_left_out_and_is_never_in_the_way(daemon, named, tmp_path):
    d = daemon("[history]\nenabled = no\n")
    assert d.finish(signal.SIGTERM)[0] == 0 and not (d.state / "history.db").exists()
    (d.state / "history.db").write_bytes(b"not a database at all" * 1000)
    d = daemon("")
    assert "is moved aside and a new one begun" in d.err
    assert d.finish(signal.SIGTERM)[0] == 0
    assert (d.state / "history.db.damaged").exists()


def test_history_of_a_killed_daemon_is_whole(daemon, named):
    d = daemon("[profile p]\ncomm = ^kept$\nsnapshot = 1s\n")
    t = named("kept")
    attached(d, t.pid)
    wait_for(lambda: rows(d, "SELECT count(*) FROM snapshot")[0][0] > 1)
    passes = lambda: [x for x, in rows(d, "SELECT time_ms FROM pass WHERE step = 0 ORDER BY time_ms")]
    wait_for(lambda: len(passes()) > 5)
    killed = time.time() * 1000
    d.proc.kill()
    d.proc.wait()
    assert rows(d, "PRAGMA integrity_check") == [("ok",)]
    # At most the last second is lost; on a machine that is as busy as the passes before were late.
    kept = passes()
    late = max(b - a for a, b in zip(kept, kept[1:])) - 1000
    assert killed - kept[-1] <= 1000 + max(200, 2 * late), (killed, kept[-6:])
    n = rows(d, "SELECT count(*) FROM pass")[0][0]
    d = daemon("")
    wait_for(lambda: rows(d, "SELECT count(*) FROM pass")[0][0] > n)


def test_full_disk(daemon, tmpfs):
    """It goes on, says so once, and again when there is room."""
    disk = tmpfs("state", "2m", lazily=True, mode="700")
    d = daemon("")
    wait_for(lambda: rows(d, "SELECT count(*) FROM pass")[0][0] > 1)
    with open(disk / "filler", "wb", buffering=0) as f, pytest.raises(OSError):
        while True:
            f.write(b"x" * 4096)
    d.wait_for("failed to write the history: No space left on device; continuing without")
    (disk / "filler").unlink()
    d.wait_for("writing the history works again")
    assert d.err.count("failed to write the history") == 1
    assert d.finish(signal.SIGTERM)[0] == 0
    assert rows(d, "PRAGMA integrity_check") == [("ok",)]


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


@pytest.mark.parametrize("how", ["theirs", "writable", "link"])
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
    p = memwatch("daemon", "--state-dir", above / "state", "--listen", "none", check=3)
    assert "others may change a directory above it" in p.stderr
    assert not (above / "state").exists()


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
