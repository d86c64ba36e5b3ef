# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch daemon: processes that come and go, what is given back, reload, rates and windows."""
import contextlib
import os
import re
import shutil
import signal
import subprocess

from conftest import build, wait_for
from daemonlib import Server, attached, daemon, named, of_hold, serve  # noqa: F401 (fixtures)


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


def descriptors(d, prefix):
    """Of the daemon: to files whose path begins so, also deleted ones; and how many others."""
    to = []
    for f in os.scandir(f"/proc/{d.proc.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            to.append(os.readlink(f.path))
    files = [t for t in to if t.startswith(prefix)]
    return files, len(to) - len(files)


def test_many_files_leave_nothing(daemon, named, tmp_path):
    """As on a machine that builds software: each process runs a file that was not there before."""
    known, name = build("known.c", flags=["-O1"]), f"of{os.getpid()}x"
    d = daemon(f"go = no\nsample-bytes = 64K\n[faults]\nenabled = no\n[profile p]\ncomm = ^{name}\n")
    # Mappings are gone through when there are more than 256 and twice as many as the last time were in
    # use (observe/compact.c). Each process has five or more: its program, the C library, the loader, the
    # vdso and its anonymous memory. So these are the files that may be held when all is read; each is
    # open for its probes and for its names.
    crowd, maps = 32, 5
    most = 256 // maps + 2 * crowd
    others = None
    for n in range(8):
        files = [tmp_path / f"{name}{n * crowd + i}" for i in range(crowd)]
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
        wait_for(lambda: len(descriptors(d, f"{tmp_path}/{name}")[0]) <= 2 * most)
        others = others or descriptors(d, f"{tmp_path}/{name}")[1]
        wait_for(lambda: descriptors(d, f"{tmp_path}/{name}")[1] <= others + 5)
    assert 8 * crowd > 2 * most  # else it would not be seen if none were closed
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


def test_many_are_attached_to_in_parts(daemon, named):
    """One at a time here, so that others have their turn; none waits for the next look at processes."""
    ts = [named("crowded") for _ in range(8)]
    d = daemon("interval = 1h\ngo = no\n[faults]\nenabled = no\n[profile p]\ncomm = ^crowded$\n",
               env={**os.environ, "MEMWATCH_ATTACH_TIME": "1ns"})
    for t in ts:
        attached(d, t.pid)
    first_pass = d.err[:d.err.index("daemon ready")]
    assert first_pass.count("attached to PID") == 1
    assert d.finish(signal.SIGTERM)[0] == 0


def test_looks_at_what_maps_code_all_the_time(serve, target, tmp_path):
    """Each mapping asks for a look at thousands: the daemon goes on answering, and attaches to who comes."""
    exe = tmp_path / f"storm{os.getpid()}"
    shutil.copy(build("hostmaps.c", flags=("-O0",), libs=("-ldl",)), exe)
    t = target([exe, "-n", "5000"])
    t.expect("ready")
    s = serve("go = no\nmax-overhead = 100%\nmax-overhead-total = 100%\n"
              f"[faults]\nenabled = no\n[profile s]\ncomm = ^{exe.name}$\n")
    attached(s.d, t.pid)
    t.say("storm")
    for _ in range(20):
        assert "daemon" in s.text("/api/about")
    other = target([exe])
    other.expect("ready")
    attached(s.d, other.pid)
