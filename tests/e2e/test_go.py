# SPDX-License-Identifier: GPL-2.0-or-later
"""Go programs from outside, against what their own runtime says at the same moment."""
import collections
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.request

import pytest

from conftest import BIN, load_json, memwatch, wait_for
from golib import Pprof, assert_same, go_build, go_version
from oomlib import Group, event_of, needs_cgroup
from hostilelib import place  # noqa: F401 (a fixture)
from test_mm import ledger

STRIP = ["-ldflags=-s -w"]
BUILDS = {
    "plain": [],
    "stripped": STRIP,
    "pie-stripped": ["-buildmode=pie", *STRIP],
}


def start(target, exe, tmp_path, **env):
    d = tmp_path / "own"
    d.mkdir(exist_ok=True)
    t = target([exe, d], env=dict(os.environ, **env))
    t.expect("ready")
    t.own = d
    return t


def round_of(t, word="go"):
    t.say(word)
    t.expect("ready")


@pytest.mark.parametrize("build", BUILDS)
def test_heap_profile_is_gos_own(build, target, tmp_path):
    t = start(target, go_build("shapes", "-" + build, BUILDS[build]), tmp_path)
    for n in range(2):
        round_of(t)
        memwatch("go", "-p", t.pid, "-o", tmp_path / "mw.pb.gz", check=0)
        ours, theirs = Pprof(tmp_path / "mw.pb.gz"), Pprof(t.own / "heap.pb.gz")
        assert ours.types == theirs.types
        assert (ours.period, ours.period_type) == (theirs.period, theirs.period_type)
        assert sum(theirs.multiset().values()) > 5
        assert_same(ours.multiset(), theirs.multiset(), f"{build}, round {n}")


@pytest.mark.parametrize("build", ["plain", "pie-stripped"])
def test_every_allocation_is_gos_own(build, target, tmp_path):
    """Rate 1: thousands of records, every inlining and cut stack among them."""
    t = start(target, go_build("shapes", "-" + build, BUILDS[build]), tmp_path,
              SHAPES_RATE="1")
    round_of(t)
    memwatch("go", "-p", t.pid, "-o", tmp_path / "mw.pb.gz", check=0)
    ours, theirs = Pprof(tmp_path / "mw.pb.gz"), Pprof(t.own / "heap.pb.gz")
    stacks = theirs.multiset()
    assert sum(stacks.values()) > 100 and ours.period == 1
    # What the test asks about is really there: several lines in one location, deep stacks.
    assert any(len(loc) > 1 and not isinstance(loc[0], str) for s, _, _ in stacks for loc in s)
    assert any("inlinedLeaf" in str(loc) and len(loc) >= 3 for s, _, _ in stacks for loc in s)
    assert max(len(s) for s, _, _ in stacks) >= 30
    assert_same(ours.multiset(), stacks, build)


def test_before_the_first_gc(target, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path, GOGC="off", SHAPES_RATE="4096")
    round_of(t, "churn")
    memwatch("go", "-p", t.pid, "-o", tmp_path / "mw.pb.gz", check=0)
    ours = Pprof(tmp_path / "mw.pb.gz")
    # The program went on allocating after its own profile was taken (it wrote files): compare
    # the site that the test is about.
    def site(p):
        return {v for s, v, _ in p.multiset() if "main.garbage" in str(s)}
    assert site(ours) and site(ours) == site(Pprof(t.own / "heap.pb.gz"))


@pytest.mark.parametrize("build", BUILDS)
def test_goroutines(build, target, tmp_path):
    t = start(target, go_build("shapes", "-" + build, BUILDS[build]), tmp_path)
    round_of(t)
    round_of(t)
    memwatch("go", "-p", t.pid, "--goroutines", "-o", tmp_path / "mw.pb.gz", check=0)
    ours, theirs = Pprof(tmp_path / "mw.pb.gz"), Pprof(t.own / "goroutine.pb.gz")
    assert ours.types == theirs.types == [("goroutine", "count")]
    # All but the main goroutine, which wrote the profile then and waits for a word now.
    leaked = {s: n for s, n in theirs.by_stack().items() if "main.main" not in str(s)}
    assert sum(leaked.values()) == 40
    mine = {s: n for s, n in ours.by_stack().items() if "main.main" not in str(s)}
    assert mine == leaked
    states = {lab for _, _, lab in ours.samples}
    assert (("state", "chan receive"),) in states
    own = json.loads((t.own / "mem.json").read_text())
    assert sum(v[0] for _, v, _ in ours.samples) == own["goroutines"]


@pytest.mark.parametrize("build", BUILDS)
def test_memstats(build, target, tmp_path):
    t = start(target, go_build("shapes", "-" + build, BUILDS[build]), tmp_path)
    for word in ("go", "limit"):
        round_of(t, word)
        r = memwatch("go", "-p", t.pid, "--memstats", "--json", check=0)
        ours = json.loads(r.stdout)
        own = json.loads((t.own / "mem2.json").read_text())
        exact = dict(num_gc="NumGC", num_forced_gc="NumForcedGC", pause_total_ns="PauseTotalNs",
                     last_gc_unix_ns="LastGC", mcache_sys="MCacheSys")
        for mine, theirs in exact.items():
            assert ours[mine] == own[theirs], (mine, ours[mine], own[theirs])
        # What the program allocated to write mem2.json came after its ReadMemStats, and blocks in
        # the per-P caches are not yet counted: one cache is at most a span per size class.
        slack = dict(heap_alloc="HeapAlloc", heap_sys="HeapSys", heap_inuse="HeapInuse",
                     heap_idle="HeapIdle", buckhash_sys="BuckHashSys",
                     stack_inuse="StackInuse", stack_sys="StackSys", total_alloc="TotalAlloc",
                     mspan_sys="MSpanSys", sys="Sys", next_gc="NextGC", other_sys="OtherSys",
                     gc_sys="GCSys")
        for mine, theirs in slack.items():
            assert abs(ours[mine] - own[theirs]) <= 256 << 10, (mine, ours[mine], own[theirs])
        # The scavenger goes on returning memory after a forced GC.
        assert own["HeapReleased"] - (256 << 10) <= ours["heap_released"] <= ours["heap_idle"]
        for mine, theirs in dict(mallocs="Mallocs", frees="Frees").items():
            assert abs(ours[mine] - own[theirs]) <= 4096, (mine, ours[mine], own[theirs])
        assert ours["goroutines"] == json.loads((t.own / "mem.json").read_text())["goroutines"]
    assert ours["gogc"] == 150 and ours["gomemlimit"] == 512 << 20


GC_LINE = re.compile(r"gc (\d+) @([\d.]+)s (\d+)%: (\S+) ms clock, (\S+) ms cpu, "
                     r"(\d+)->(\d+)->(\d+) MB, (\d+) MB goal, (\d+) MB stacks, (\d+) MB globals, "
                     r"(\d+) P( \(forced\))?$")


@pytest.mark.parametrize("build", BUILDS)
def test_gctrace_is_gos_own(build, target, attach, tmp_path):
    err = open(tmp_path / "stderr", "w")
    d = tmp_path / "own"
    d.mkdir(exist_ok=True)
    t = target([go_build("shapes", "-" + build, BUILDS[build]), d], stderr=err,
               env=dict(os.environ, GODEBUG="gctrace=1"))
    t.expect("ready")
    m = attach("go", "-p", t.pid, "--gctrace")
    round_of(t)
    round_of(t, "churn")
    round_of(t)
    status, out, log = m.finish()
    assert status == 0 and " 0 lost" in log
    ours = [line for line in out.splitlines() if line.startswith("gc ")]
    assert len(ours) >= 4, log  # how many depends on how fast the program could allocate
    assert all(GC_LINE.match(line) for line in ours)

    def runtime_lines():
        return [line.strip() for line in (tmp_path / "stderr").read_text().splitlines()
                if line.startswith("gc ") and line.endswith((" P", "(forced)"))]

    def number(line):
        return int(line.split()[1])

    # The runtime prints a cycle's line some time after the cycle's end.
    wait_for(lambda: runtime_lines() and number(runtime_lines()[-1]) >= number(ours[-1]))
    theirs = {number(line): line for line in runtime_lines()}
    # "(forced)" is compared apart: a runtime.GC() that begins before the line of the cycle before
    # is printed marks that line, too; we look earlier, at the cycle's end.
    bare = lambda line: line.removesuffix(" (forced)")
    assert [bare(x) for x in ours] == [bare(theirs[number(x)]) for x in ours]
    assert [number(x) for x in ours] == list(range(number(ours[0]), max(theirs) + 1))
    forced = {number(x) for x in ours if x.endswith("(forced)")}
    assert forced <= {n for n, x in theirs.items() if x.endswith("(forced)")}
    assert len(forced) >= 2 and number(ours[-1]) in forced


def test_gctrace_json_and_no_trace_left(target, attach, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    before = memwatch("go", "-p", t.pid, "--memstats", "--json", check=0)
    m = attach("go", "-p", t.pid, "--gctrace", "--json")
    round_of(t)
    status, out, _ = m.finish()
    cycles = [json.loads(x) for x in out.splitlines()]
    assert cycles and all(c["schema"] == "memwatch.gogc/1" for c in cycles)
    assert [c["gc"] for c in cycles] == list(range(cycles[0]["gc"], cycles[-1]["gc"] + 1))
    assert cycles[0]["gc"] == json.loads(before.stdout)["num_gc"] + 1
    round_of(t)  # goes on as before


def test_closed_pipe_loses_nothing(target, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    out = tmp_path / "p.pb.gz"
    p = subprocess.Popen([BIN, "go", "-p", str(t.pid), "--memstats", "-i", "0.1", "-o", out],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.stdout.close()
    p.stderr.read()
    assert p.wait(180) == 0
    assert out.stat().st_size


def test_timeline(target, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    csv = tmp_path / "t.csv"
    memwatch("go", "-p", t.pid, "--timeline", csv, "-d", "0.5", "-i", "100ms", check=0)
    lines = csv.read_text().splitlines()
    head = lines[0].split(",")
    assert lines[0].startswith("time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,"
                               "rss_file_bytes,rss_shmem_bytes,swap_bytes,inuse_bytes,alloc_bytes,")
    rows = [dict(zip(head, x.split(","))) for x in lines[1:]]
    assert len(rows) >= 3
    own = json.loads((t.own / "mem2.json").read_text())
    assert abs(int(rows[-1]["go_heap_sys_bytes"]) - own["HeapSys"]) <= 256 << 10
    assert int(rows[-1]["go_num_gc"]) == own["NumGC"]
    assert int(rows[-1]["rss_bytes"]) > 1 << 20


def test_one_timeline(target, attach, tmp_path):
    """-p --timeline has the columns that memwatch go has, and reports read both."""
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    go, csv, js = tmp_path / "go.csv", tmp_path / "p.csv", tmp_path / "p.json"
    memwatch("go", "-p", t.pid, "--timeline", go, "-d", "0.3", "-i", "100ms", check=0)
    for out in (csv, js):
        m = attach("-p", t.pid, "--plain", "-i", "100ms", "--timeline", out)
        assert m.finish()[0] == 0
    head, *rows = csv.read_text().splitlines()
    assert head == go.read_text().splitlines()[0] and "go_goroutines" in head
    last = dict(zip(head.split(","), rows[-1].split(",")))
    own = json.loads((t.own / "mem2.json").read_text())
    assert abs(int(last["go_heap_sys_bytes"]) - own["HeapSys"]) <= 256 << 10
    assert int(last["go_num_gc"]) == own["NumGC"] and int(last["rss_bytes"]) > 1 << 20
    row = json.loads(js.read_text())["processes"][0]["rows"][-1]
    assert list(row) == [c for c in head.split(",") if c != "pid"]
    assert row["go_num_gc"] == own["NumGC"] and row["go_memlimit_bytes"] is None
    for out in (go, csv, js):
        assert str(t.pid) in memwatch("report", out, check=0).stdout


def test_profiling_disabled_by_the_linker(target, attach, place, tmp_path):  # noqa: F811
    exe = place / "noprof"  # another user's, as most are
    shutil.copy(go_build("noprof", "-stripped", STRIP), exe)
    t = target([exe], user=65534, group=65534, extra_groups=[])
    t.expect("ready")
    r = memwatch("go", "-p", t.pid, "-o", tmp_path / "p.pb.gz")
    assert r.returncode == 0
    assert "off in the target, disabled by the linker" in r.stderr.splitlines()[-1], r.stderr
    text = memwatch("report", "--comments", tmp_path / "p.pb.gz", check=0).stdout
    assert "disabled by the linker" in text and "--go-enable-memprofile" in text, text
    # (Newer releases may have sampled a block before they read the linker's word.)
    assert not any("main." in str(s) for s, _, _ in Pprof(tmp_path / "p.pb.gz").samples)
    assert json.loads(memwatch("go", "-p", t.pid, "--memstats", "--json", check=0).stdout)["heap_sys"]
    # Only when asked for by name is the target written to.
    r = memwatch("go", "-p", t.pid, "--go-enable-memprofile", check=0)
    assert "changes the program" in r.stderr
    m = attach("go", "-p", t.pid, "--gctrace")
    for _ in range(3):
        t.say()
        t.expect("ready")
    assert "gc " in m.finish()[1]
    memwatch("go", "-p", t.pid, "-o", tmp_path / "p.pb.gz", check=0)
    stacks = Pprof(tmp_path / "p.pb.gz").multiset()
    assert any("main.grow" in str(s) for s, _, _ in stacks)


@pytest.mark.parametrize("more", ((), ("--exact",)), ids=("", "exact"))
def test_a_program_without_heap_profile_shows_what_it_touches(target, attach, tmp_path, more):
    """Page faults in place of the empty profile, named from the function table that the stripped
    program has for itself; the way to a heap profile is said."""
    t = target([go_build("noprof", "-stripped", STRIP)])
    t.expect("ready")
    out, pprof = tmp_path / "p.json", tmp_path / "p.pb.gz"
    a = attach("-p", t.pid, "--plain", *more, "-o", out, "-o", pprof)
    for _ in range(10):
        t.say()
        t.expect("ready")
    status, _, err = a.finish()
    assert status == 0 and "--go-enable-memprofile" in err and "page fault" in err, err
    assert "the heap profile of the Go program is off" in err.splitlines()[-1], err
    assert "disabled by the linker" in memwatch("report", "--comments", pprof, check=0).stdout
    p = json.loads(out.read_text())
    grown = [s for s in p["stacks"] if "main.grow" in [f["function"] for f in s["frames"]]]
    assert grown, (p["totals"], err)  # 240 MB
    frames = {f["function"]: f for s in grown for f in s["frames"]}
    assert frames["main.grow"]["file"].endswith("noprof.go") and frames["main.grow"]["line"] > 15
    assert {"main.main", "runtime.main", "runtime.goexit"} <= set(frames)
    assert not any(n.startswith("go-noprof") for n in frames), frames


def test_lazily_freed_memory_is_no_mystery(target):
    """MADV_FREE: released by Go and still in RSS, until the kernel needs it."""
    t = target([go_build("waste"), "lazy"], env=dict(os.environ, GODEBUG="madvdontneed=0"))
    t.expect("ready")
    rollup = open(f"/proc/{t.pid}/smaps_rollup").read()
    lazy = int(re.search(r"^LazyFree: *(\d+)", rollup, re.M)[1]) << 10
    assert lazy > 150 << 20
    text = memwatch("go", "-p", t.pid, "--memstats", check=0).stdout
    assert "cause: freed lazily" in text and "memory outside Go" not in text, text
    m = json.loads(memwatch("go", "-p", t.pid, "--memstats", "--json", check=0).stdout)
    assert 0.9 * lazy < m["lazy_free"] <= m["heap_released"]


@pytest.mark.parametrize("debug", ("0", "1"), ids=("lazy", "at-once"))
def test_ledger_is_gos_own(debug, target):
    """In use, free, released, stacks, metadata and off-heap as MemStats has them; all lines add up."""
    t = target([go_build("waste"), "lazy"], env=dict(os.environ, GODEBUG="madvdontneed=" + debug))
    t.expect("ready")
    m = json.loads(memwatch("go", "-p", t.pid, "--memstats", "--json", check=0).stdout)
    d, line = ledger(t.pid)
    assert line["go_heap_inuse"]["virt_bytes"] == m["heap_inuse"]
    assert line["go_heap_inuse"]["rss_bytes"] >= 4 << 20
    assert line["go_stacks"]["virt_bytes"] == m["stack_inuse"]
    # The scavenger goes on releasing.
    free = line.get("go_heap_free", {"virt_bytes": 0})["virt_bytes"]
    assert free <= m["heap_idle"] - m["heap_released"] + (256 << 10)
    released = line["go_heap_released"]
    assert released["virt_bytes"] >= m["heap_released"]
    assert (released["rss_bytes"] > 150 << 20) == (debug == "0"), released
    assert line["go_off_heap"]["virt_bytes"] == m["buckhash_sys"] + m["other_sys"]
    assert 0 < line["go_metadata"]["rss_bytes"] <= m["sys"] - m["heap_sys"]
    assert not line["go_heap"]["virt_bytes"] and not line["live_heap"]["virt_bytes"]
    assert line["unattributed"]["rss_bytes"] < 1 << 20, line


def test_memory_limit_without_room(target, attach):
    """The collector runs all the time, since what is alive is as large as the limit; how often is
    not known at the first look of -p, and not told then."""
    t = target([go_build("waste"), "full"], env=dict(os.environ, GOMEMLIMIT="20MiB"))
    t.expect("ready")
    text = wait_for(lambda: (r := memwatch("go", "-p", t.pid, "--memstats", check=0).stdout)
                    and "GCs a second, GOMEMLIMIT 20.00MB leaves no room" in r and r)
    assert "cause: GC without pause" in text
    m = attach("-p", t.pid, "--plain", "-i", "1s")
    m.wait_for(r"pause: [1-9]\d* GCs a second, GOMEMLIMIT", stream="out")
    _, out, _ = m.finish()
    assert "pause: GOMEMLIMIT 20.00MB leaves no room" in out and " 0 GCs" not in out, out


def test_names_keep_their_receivers(target, attach):
    t = target([go_build("waste"), "lazy"])
    t.expect("ready")
    m = attach("-p", t.pid, "--plain", "--sample-index", "alloc_space")
    status, text, err = m.finish()
    assert status == 0 and "main.(*pool).fill" in text, text + err
    text = memwatch("go", "-p", t.pid, "--sample-index", "alloc_space", check=0).stdout
    assert "main.(*pool).fill" in text, text


class Held:
    """A program that is held at its first instruction, as a debugger does."""
    TRACEME, DETACH = 0, 17

    def __init__(self, exe, *args):
        libc = ctypes.CDLL(None, use_errno=True)
        self.ptrace = libc.ptrace
        self.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        nothing, self.stdin = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.dup2(nothing, 0)
            os.close(self.stdin)
            self.ptrace(self.TRACEME, 0, None, None)
            os.execv(exe, [str(exe), *map(str, args)])
        os.close(nothing)
        assert os.WIFSTOPPED(os.waitpid(self.pid, 0)[1])

    def go_on(self):
        self.ptrace(self.DETACH, self.pid, None, None)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.stdin)


def has_open(pid, path):
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}") == path:
                return True
        except OSError:
            pass  # closed meanwhile
    return False


def shows_fill(memwatch_process, out):
    memwatch_process.send_signal(signal.SIGUSR1)
    return out.exists() and any("main.(*pool).fill" in str(s) for s, _, _ in Pprof(out).samples)


@pytest.mark.parametrize("command", (("go",), ("--plain",)), ids=("go", "attach"))
@pytest.mark.parametrize("build", BUILDS)
def test_first_instants_of_a_program(build, command, attach, tmp_path):
    """Neither relocated nor initialised yet: memwatch looks again, and says nothing false."""
    exe = go_build("waste", "-" + build, BUILDS[build])
    log, t = tmp_path / "log", Held(exe, "lazy")
    try:
        with open(log, "w") as err:
            started = subprocess.Popen([BIN, *command, "-p", str(t.pid), "-d", "60s", "-o",
                                        tmp_path / "p.pb.gz"], stdout=subprocess.DEVNULL,
                                       stderr=err)
        wait_for(lambda: has_open(started.pid, f"/proc/{t.pid}/mem"), step=0)  # it is looking
        t.go_on()
        wait_for(lambda: "attached to" in log.read_text())
        wait_for(lambda: shows_fill(started, tmp_path / "p.pb.gz"))
        started.send_signal(signal.SIGINT)
        started.wait(180)
    finally:
        started.kill()
        t.end()
    err = log.read_text()
    assert started.returncode == 0, err
    assert not re.search("damaged|profiling is off|profile is off|without|layout|look as", err), err


def test_refuses_what_it_does_not_know(target, tmp_path):
    """The same program with another release's name in it, and with damaged tables."""
    exe = go_build("shapes", "-plain")
    version = go_version().encode()
    data = exe.read_bytes()

    def variant(name, edit):
        p = tmp_path / name
        p.write_bytes(edit(bytearray(data)))
        p.chmod(0o755)
        return start(target, p, tmp_path)

    # The version in the build information (not the one that the runtime itself prints).
    at = data.index(b"\xff Go buildinf:") + 33
    assert data[at:at + len(version)] == version

    def unknown(d):
        d[at:at + 6] = b"go1.99"
        return d

    t = variant("unknown", unknown)
    r = memwatch("go", "-p", t.pid)
    assert r.returncode == 3 and "go1.99" in r.stderr and "known are" in r.stderr, r.stderr

    # Another known release: its layout does not fit, and that is noticed.
    other = b"go1.27" if not version.startswith(b"go1.27") else b"go1.19"

    def wrong(d):
        d[at:at + 6] = other
        return d

    t = variant("wrong", wrong)
    r = memwatch("go", "-p", t.pid)
    assert r.returncode in (1, 3) and not r.stdout, (r.stdout, r.stderr)

    magic = next(m for m in (b"\xf1\xff\xff\xff\x00\x00\x01\x08", b"\xf0\xff\xff\xff\x00\x00\x01\x08")
                 if m in data)
    table = data.index(magic)
    broken = bytearray(data)
    broken[table + 64:table + 72] = b"\xff" * 8
    q = tmp_path / "broken"
    q.write_bytes(broken)
    q.chmod(0o755)
    # A process whose executable is the damaged file: it fails by itself, or is refused.
    d = subprocess.Popen([str(q), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        r = memwatch("go", "-p", d.pid)
        assert r.returncode in (1, 3, 4) and not r.stdout, (r.stdout, r.stderr)
    finally:
        d.kill()
        d.wait()


def test_release_between_known_ones(target, tmp_path):
    """A release without a row in the table: its own debug information tells the layout. The next
    release is played by this one with another name; with debug information it is read, stripped it
    is refused."""
    version = go_version()
    between = {"go1.19": "go1.20", "go1.24": "go1.25"}.get(version[:6])
    if not between:
        pytest.skip(f"{version} has a known neighbour")
    for build in ("plain", "stripped"):
        data = bytearray(go_build("shapes", "-" + build, BUILDS[build]).read_bytes())
        at = data.index(b"\xff Go buildinf:") + 33
        assert data[at:at + 6] == version[:6].encode()
        data[at:at + 6] = between.encode()
        exe = tmp_path / build
        exe.write_bytes(data)
        exe.chmod(0o755)
        t = start(target, exe, tmp_path)
        round_of(t)
        r = memwatch("go", "-p", t.pid, "-o", tmp_path / "mw.pb.gz")
        if build == "plain":
            assert r.returncode == 0, r.stderr
            assert_same(Pprof(tmp_path / "mw.pb.gz").multiset(),
                        Pprof(t.own / "heap.pb.gz").multiset(), between)
        else:
            assert r.returncode == 3 and between in r.stderr, r.stderr


def test_damage_in_a_running_program_is_refused(target, tmp_path):
    """A record whose numbers contradict each other, as a half-written one would: not shown."""
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    syms = subprocess.run(["nm", str(go_build("shapes", "-plain"))], capture_output=True,
                          text=True, check=True).stdout
    head = int(re.search(r"^(\w+) \w runtime\.mbuckets$", syms, re.M)[1], 16)
    with open(f"/proc/{t.pid}/mem", "r+b", buffering=0) as mem:
        mem.seek(head)
        bucket = int.from_bytes(mem.read(8), "little")
        mem.seek(bucket + 16)
        kind = mem.read(8)
        assert int.from_bytes(kind, "little") == 1
        mem.seek(bucket + 16)
        mem.write((7).to_bytes(8, "little"))
        r = memwatch("go", "-p", t.pid)
        assert r.returncode == 1 and "damaged" in r.stderr and not r.stdout
        mem.seek(bucket + 16)
        mem.write(kind)
        # A list that leads nowhere.
        mem.seek(bucket + 8)
        following = mem.read(8)
        mem.seek(bucket + 8)
        mem.write((0x1230).to_bytes(8, "little"))
        r = memwatch("go", "-p", t.pid)
        assert r.returncode == 1 and "damaged" in r.stderr and not r.stdout
        mem.seek(bucket + 8)
        mem.write(following)
    memwatch("go", "-p", t.pid, check=0)


def test_target_exits_while_watched(target, attach, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    out = tmp_path / "last.pb.gz"
    m = attach("go", "-p", t.pid, "-i", "50ms", "-o", out)
    wait_for(lambda: t.proc.poll() is None)
    m.proc.send_signal(signal.SIGUSR1)
    wait_for(out.exists)
    t.proc.kill()
    t.proc.wait()
    status, _, err = m.finish(sig=None)
    assert status == 0 and "the target ended" in err
    assert_same(Pprof(out).multiset(), Pprof(t.own / "heap.pb.gz").multiset(), "the last snapshot")


def test_not_go_and_not_there(target):
    r = memwatch("go", "-p", os.getpid())
    assert r.returncode == 3 and "not a Go program" in r.stderr
    p = subprocess.Popen(["true"])
    p.wait()
    assert memwatch("go", "-p", p.pid).returncode == 4
    assert memwatch("go").returncode == 2
    assert memwatch("go", "-p", "no-such-name").returncode == 4


@pytest.mark.parametrize("build", BUILDS)
def test_attach_switches_to_go(build, target, attach, tmp_path):
    """memwatch -p, without being told: the same profile, also after the program has ended."""
    t = start(target, go_build("shapes", "-" + build, BUILDS[build]), tmp_path)
    out = tmp_path / "a.pb.gz"
    m = attach("-p", t.pid, "-o", out, "--plain")
    round_of(t)
    status, text, err = m.finish()
    assert status == 0 and "heap profile" in err, err
    ours, theirs = Pprof(out), Pprof(t.own / "heap.pb.gz")
    assert ours.types == theirs.types and ours.period == theirs.period
    assert_same(ours.multiset(), theirs.multiset(), build)
    assert "main." in text


def test_go_profile_survives_the_target(target, attach, tmp_path):
    t = start(target, go_build("shapes", "-plain"), tmp_path)
    round_of(t)
    out = tmp_path / "a.pb.gz"
    m = attach("-p", t.pid, "-o", out, "--plain")
    t.proc.kill()
    t.proc.wait()
    status, _, _ = m.finish(sig=None)
    assert status == 0
    assert_same(Pprof(out).multiset(), Pprof(t.own / "heap.pb.gz").multiset(), "after the end")


def test_run_holds_a_go_program(tmp_path):
    own, out, log = tmp_path / "own", tmp_path / "r.pb.gz", tmp_path / "log"
    own.mkdir()

    def shows_main():
        p.send_signal(signal.SIGUSR1)
        return out.exists() and any("main." in str(s) for s, _, _ in Pprof(out).multiset())

    for build in ("plain", "pie-stripped"):
        with open(log, "w") as err:
            p = subprocess.Popen([BIN, "run", "--plain", "-o", out, "--",
                                  go_build("shapes", "-" + build, BUILDS[build]), own],
                                 stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=err)
        try:
            p.stdin.write(b"go\n")
            p.stdin.flush()
            wait_for((own / "mem2.json").exists)
            wait_for(shows_main)
            p.stdin.close()
            assert p.wait(180) == 0
        finally:
            p.kill()
        assert "continuing without" not in log.read_text(), log.read_text()
        assert any("main." in str(s) for s, _, _ in Pprof(out).multiset())
        out.unlink()
        (own / "mem2.json").unlink()


def test_cgo_has_both_heaps(target, attach, tmp_path):
    exe = go_build("cgoleak", CGO_ENABLED="1")
    own, out = tmp_path / "own.pb.gz", tmp_path / "m.pb.gz"
    t = target([exe, own])
    t.expect("ready")
    m = attach("-p", t.pid, "--exact", "-o", out, "--plain")
    round_of(t)
    status, _, err = m.finish()
    assert status == 0 and "cgo" in err
    ours = Pprof(out)
    go_side = {(s, v): n for (s, v, lab), n in ours.multiset().items() if ("heap", "go") in lab}
    c_side = [(s, v) for s, v, lab in ours.samples if ("heap", "c") in lab]
    theirs = {(s, v): n for (s, v, lab), n in Pprof(own).multiset().items()}
    assert go_side == theirs
    leak = [v for s, v in c_side if "c_leak" in str(s)]
    assert sum(v[2] for v in leak) == 1000 and sum(v[3] for v in leak) == 10_000_000
    # Growth on the C side is what Go's own profile does not show.
    assert not any("c_leak" in str(s) for s, _, _ in Pprof(own).samples)


@pytest.mark.parametrize("flags", ["-linkmode=internal", "-linkmode=internal -w",
                                   "-linkmode=internal -s -w"])
def test_c_code_that_go_linked(flags, tmp_path):
    """Go's own linker leaves out the unwind information of the C code that it takes in."""
    exe = go_build("setenv", suffix=flags.replace(" ", ""), flags=("-ldflags", flags),
                   CGO_ENABLED="1")
    out = tmp_path / "p.json"
    p = memwatch("run", "--exact", "--plain", "-o", out, "--", exe, check=0)
    profile, set_one = load_json(out), 0
    assert not [c for c in profile["loss"] if "stack" in c], profile["loss"]
    for s in profile["stacks"]:
        names = [f["function"] for f in s["frames"]]
        if "main.setOne" in names and {"key": "heap", "str": "c"} in s["labels"]:
            assert "runtime.asmcgocall" in str(names) and "syscall.Setenv" in names, names
            set_one += s["alloc_objects"]
    assert set_one >= 500, p.stderr


def test_prometheus(attach, tmp_path):
    """A real program, stripped and with cgo, as its distribution ships it."""
    exe = shutil.which("prometheus")
    if not exe:
        pytest.skip("prometheus is not installed")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (tmp_path / "c.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: "
        f"[{{targets: ['127.0.0.1:{port}']}}]}}]\n")
    url = f"http://127.0.0.1:{port}/debug/pprof/heap"

    def get(path):
        try:
            return urllib.request.urlopen(path, timeout=180).read()
        except OSError:
            return None

    with open(tmp_path / "log", "w") as log:
        p = subprocess.Popen([exe, f"--config.file={tmp_path}/c.yml", "--log.level=error",
                              f"--storage.tsdb.path={tmp_path}/data",
                              f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        wait_for(lambda: get(f"http://127.0.0.1:{port}/-/ready"))

        def by_place(profile):
            """Samples without the file of init functions: Go's own profile puts all that are called
            alike into the file of the first."""
            out = collections.Counter()
            for (stack, values, labels), n in profile.multiset().items():
                stack = tuple(tuple((f[0], "", 0, f[3]) if f[0].endswith(".init") else f
                                    for f in loc) for loc in stack)
                out[(stack, values, labels)] += n
            return out

        def same():
            """Its own profile between two of ours: if ours agree, no GC cycle came between."""
            memwatch("go", "-p", p.pid, "-o", tmp_path / "1.pb.gz", check=0)
            (tmp_path / "own.pb.gz").write_bytes(get(url))
            memwatch("go", "-p", p.pid, "-o", tmp_path / "2.pb.gz", check=0)
            one, two = (by_place(Pprof(tmp_path / f"{i}.pb.gz")) for i in (1, 2))
            return one if one == two and sum(one.values()) > 5 else None

        ours = wait_for(same)
        assert_same(ours, by_place(Pprof(tmp_path / "own.pb.gz")), "prometheus")
        memwatch("go", "-p", p.pid, "--goroutines", "-o", tmp_path / "g.pb.gz", check=0)
        stacks = Pprof(tmp_path / "g.pb.gz").by_stack()
        assert any("prometheus/scrape.(*Manager).Run" in str(s) for s in stacks)
        # The C side, too.
        m = attach("-p", p.pid, "--plain", "-o", tmp_path / "a.pb.gz")
        status, _, err = m.finish()
        assert status == 0 and "cgo" in err
    finally:
        p.kill()
        p.wait()


@needs_cgroup
def test_oom_victim_leaves_its_profile(target, attach, tmp_path):
    g = Group(f"memwatch-go-{os.getpid()}", 80 << 20)
    try:
        t = target([go_build("hog")], preexec_fn=g.join)
        t.expect("ready")
        log = tmp_path / "oom.log"
        m = attach("-p", t.pid, "--plain", "-i", "0.2", "--oom-log", log, cwd=tmp_path)
        for _ in range(12):
            t.say()
            t.expect("ready")
        # the runtime publishes what was held at a GC cycle before; memwatch looks at times
        m.wait_for(r"in use (1[1-9]|[2-9]\d)(\.\d+)?MB", stream="out")
        try:
            while t.proc.poll() is None:
                t.say()
                if not t.proc.stdout.readline():
                    break
        except OSError:
            pass
        t.proc.wait()
        assert t.proc.returncode == -signal.SIGKILL
        m.finish(sig=None)
        event = event_of(log, t.pid)
        stacks = Pprof(tmp_path / event["profile"]).multiset()
        held = sum(v[3] * n for (s, v, _), n in stacks.items() if "main.hoard" in str(s))
        assert held > 10 << 20
    finally:
        g.remove()
