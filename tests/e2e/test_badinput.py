# SPDX-License-Identifier: GPL-2.0-or-later
"""What memwatch meets and cannot have as it would like: processes it may not look into or that are
hardly there, very many of them, a clock that steps, few descriptors, names that are an attack."""
import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BIN, PATIENCE, WORKLOADS, build, load_json, memwatch, spent, wait_for
from test_mm import check_sums
from test_top import MB, Top, do, mm, one_row, status, top  # noqa: F401 (mm and top are fixtures)

# Root that may not look into processes; with perfmon, 6.18 shows it their mappings all the same.
NO_PTRACE = ("setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace")
NO_TRACING = ("setpriv", "--bounding-set", "-sys_ptrace,-sys_admin,-perfmon",
              "--inh-caps", "-sys_ptrace,-sys_admin,-perfmon")
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def run_as(prefix, *args, timeout=180):
    return subprocess.run([*prefix, str(BIN), *map(str, args)], capture_output=True, text=True,
                          timeout=timeout)


@pytest.fixture
def nobodys(target):
    """A process of another user."""
    exe = build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))
    t = target([*NOBODY, exe])
    t.expect("ready")
    do(t, "grow", 8)
    return t


# --- not permitted ------------------------------------------------------------------------------

@pytest.mark.parametrize("who", [NO_PTRACE, NO_TRACING], ids=["no-ptrace", "no-tracing"])
@pytest.mark.parametrize("args", [["-p", "PID", "--plain"], ["-p", "PID", "--plain", "--ledger"],
                                  ["-p", "PID", "--plain", "--timeline", "OUT"],
                                  ["top", "--faults", "--plain", "-p", "PID"]],
                         ids=["attach", "ledger", "timeline", "faults"])
def test_attaching_without_a_capability_says_which(nobodys, tmp_path, who, args):
    out = tmp_path / "t.csv"
    args = [{"PID": nobodys.pid, "OUT": out}.get(a, a) for a in args]
    p = run_as(who, *args, "-d", "1")
    assert p.returncode == 3, p.stderr
    assert ("CAP_SYS_PTRACE" if who is NO_PTRACE else "CAP_PERFMON") in p.stderr
    assert "lacks" not in p.stderr  # it is not the kernel's fault
    assert not p.stdout and not out.exists()


def test_ledger_and_go_without_a_capability_say_which(nobodys):
    p = run_as(NO_TRACING, "top", "--ledger", "-p", nobodys.pid)
    assert p.returncode == 3 and "CAP_SYS_PTRACE" in p.stderr and not p.stdout
    p = run_as(NO_PTRACE, "go", "-p", nobodys.pid)
    assert p.returncode == 3 and "CAP_SYS_PTRACE" in p.stderr and not p.stdout


@pytest.mark.parametrize("who", [NO_PTRACE, NO_TRACING, NOBODY],
                         ids=["no-ptrace", "no-tracing", "nobody"])
def test_what_everybody_may_see_is_seen(nobodys, tmp_path, who):
    out = tmp_path / "t.json"
    tmp_path.chmod(0o777)
    for p in tmp_path.parents:
        if p.stat().st_uid == 0 and p != Path("/"):
            os.chmod(p, p.stat().st_mode | 0o111)
    p = run_as(who, "top", "--json", "-n", 2, "-i", "0.1", "--timeline", out)
    assert p.returncode == 0, p.stderr
    d = json.loads(p.stdout.splitlines()[-1])
    rows = {r["pid"]: r for r in d["processes"]}
    s = status(nobodys.pid)
    assert rows[nobodys.pid]["rss_bytes"] == s["VmRSS"]
    assert rows[os.getpid()]["comm"]
    assert rows[nobodys.pid]["user"] == "nobody"
    assert ("note" in d) == (who is not NO_PTRACE)  # rows from /proc say so
    lines = [x for x in load_json(out)["processes"] if x["pid"] == nobodys.pid]
    assert lines and lines[0]["rows"][-1]["rss_bytes"] == s["VmRSS"]


def test_faults_of_all_tell_those_not_permitted(nobodys):
    """All the machine's faults pass one buffer, so what others do may fill it: the process goes on
    until a report tells of it, and no sample of its is missing without a word."""
    p = subprocess.Popen([*NO_PTRACE, str(BIN), "top", "--faults=16", "--plain", "-i", "1", "-d",
                          "180"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    grown = 0
    try:
        assert "attached" in p.stderr.readline()
        for line in p.stdout:  # reports; the process grows a little at each
            if "page-fault samples lost: not permitted" in line:
                break
            if line.startswith("Totals"):
                do(nobodys, "grow", 16)
                grown += 16
        do(nobodys, "grow", 16)
        grown += 16
        p.send_signal(2)
        out, err = p.communicate(timeout=180)
    finally:
        p.kill()
        p.wait()
    assert p.returncode == 0, err
    lost = [int(n) for n in re.findall(r"page-fault samples lost: [a-z ]+: (\d+)", err)]
    assert re.search(r"page-fault samples lost: not permitted: \d+", err), err
    assert sum(lost) >= grown * MB // 4096 // 16 - 8, err
    assert re.search(r"page-fault samples lost: not permitted", out)


def test_hidden_processes(nobodys):
    """hidepid=2: what is hidden is hidden for memwatch too, and it does not say that it is gone."""
    prog = f"""
mount -t proc -o hidepid=2 proc /proc || exit 77
exec {' '.join(NOBODY)} sh -c '
{BIN} top --json -n 1 --no-bpf; echo "status $?"
{BIN} top --plain -n 1 --no-bpf -p 1 2>&1; echo "status $?"
{BIN} top --ledger -p 1 2>&1; echo "status $?"
sleep 9 & {BIN} top --json --no-bpf -n 1 -p $!; echo "status $?"; kill $!'
"""
    p = subprocess.run(["unshare", "-m", "sh", "-c", prog], capture_output=True, text=True,
                       timeout=180)
    if p.returncode == 77:
        pytest.skip("no mount of /proc here")
    lines = p.stdout.splitlines()
    all_rows = json.loads(lines[0])["processes"]
    assert all_rows and {r["uid"] for r in all_rows} == {65534}
    assert lines[1] == "status 0"
    assert "hidepid" in lines[2] and lines[3] == "status 3"
    assert "hidepid" in lines[4] and lines[5] == "status 3"
    assert json.loads(lines[6])["processes"][0]["comm"] == "sleep" and lines[7] == "status 0"


# --- hardly there -------------------------------------------------------------------------------

def test_processes_in_rare_states(target, tmp_path):
    t = target([build("states.c", flags=("-O1",), libs=("-lpthread",))])
    pid = {k: int(t.expect(k).split()[1]) for k in ("zombie", "headless", "vfork")}
    pid["kernel"] = 2
    status_of = {"zombie": 4, "kernel": 3}
    word = {"zombie": "zombie", "kernel": "kernel thread"}
    for state, want in status_of.items():
        for args in (["-p", pid[state], "-d", 1, "--plain"], ["top", "--ledger", "-p", pid[state]],
                     ["top", "--faults", "-p", pid[state], "--plain"], ["go", "-p", pid[state]]):
            p = memwatch(*args)
            assert p.returncode == want and word[state] in p.stderr and not p.stdout, (args, p)
    rows = {}
    for state, n in pid.items():
        rows[state] = one_row(n, "-p", n)
        out = tmp_path / f"{state}.csv"
        memwatch("top", "--plain", "-n", 2, "-i", "0.1", "-p", n, "--timeline", out, check=0)
        lines = list(csv.DictReader(out.read_text().splitlines()))
        assert bool(lines) == (state in ("vfork", "headless")), state
    assert not rows["zombie"]["has_memory"] and not rows["kernel"]["has_memory"]
    assert rows["kernel"]["kernel_thread"]
    parent = status(t.pid)
    # one memory, shown twice; what the child touched last may be missing in the row before
    assert 0 <= parent["VmRSS"] - rows["vfork"]["rss_bytes"] <= 16 * 4096
    assert rows["vfork"]["rss_bytes"] >= 30 * MB
    assert rows["headless"]["has_memory"] and rows["headless"]["rss_bytes"] >= 30 * MB
    memwatch("-p", pid["headless"], "-d", 1, "--plain", check=0)
    d = json.loads(memwatch("top", "--ledger", "--json", "-p", pid["headless"], check=0).stdout)
    check_sums(d)
    assert abs(d["rss_bytes"] - rows["headless"]["rss_bytes"]) <= 64 * 4096
    d = json.loads(memwatch("top", "--ledger", "--json", "-p", pid["vfork"], check=0).stdout)
    check_sums(d)
    assert abs(d["rss_bytes"] - parent["VmRSS"]) <= 16 * 4096


# --- very many ----------------------------------------------------------------------------------

def peak_rss(args, out):
    """Of memwatch, whose output goes into one file and its words into another beside it."""
    peak, _, err = spent(args, out)
    Path(f"{out}.err").write_text(err)
    return peak


def test_ten_thousand_processes(target, tmp_path):
    want = 10000
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text())
    if pid_max < want + 2000:
        pytest.skip(f"no room for {want} processes: pid_max is {pid_max}")
    t = target([build("crowd.c", flags=("-O1", "-static")), str(want)], start_new_session=True)
    got = int(t.expect().split()[1])
    if got < want:
        pytest.skip(f"no room for {want} processes: fork failed after {got}")
    few = peak_rss(["top", "-n", 1, "--json", "-p", t.pid], tmp_path / "one")
    tl = tmp_path / "t.json"
    used = peak_rss(["top", "-n", 2, "-i", 1, "--json", "--timeline", tl], tmp_path / "json")
    ticks = [json.loads(line) for line in (tmp_path / "json").read_text().splitlines()]
    assert len(ticks) == 2
    for d in ticks:
        mine = [r for r in d["processes"] if r["ppid"] == t.pid]
        assert len(mine) == want and len({r["pid"] for r in mine}) == want
        assert all(r["has_memory"] and 0 < r["rss_bytes"] < MB for r in mine)
        assert d["lost_events"] == 0
    lines = [p for p in load_json(tl)["processes"] if p["name"] == "crowd"]
    assert len(lines) == want + 1 and all(len(p["rows"]) == 2 for p in lines)
    assert "not in" not in (tmp_path / "json.err").read_text()
    # 10 KB a process, of which the JSON of one tick is the largest part
    assert used - few < (want + 500) * 20 * 1024
    # without BPF, and all of them at once ending under way
    w = Top("-i", 1, "-n", 30, "--timeline", tl)
    while len([r for r in w.tick()["processes"] if r["ppid"] == t.pid]) < want:
        pass
    t.proc.stdin.close()
    t.proc.wait()
    while True:
        d = w.tick()
        if not [r for r in d["processes"] if r["comm"] == "crowd"]:
            break
    w.stop()
    w.proc.stdout.close()
    lines = [p for p in load_json(tl)["processes"] if p["name"] == "crowd"]
    assert len(lines) == want + 1 == len({p["pid"] for p in lines})
    # a slow machine's gaps besides
    ends = [m["text"] for p in lines for m in p["marks"] if not m["text"].startswith("gap of")]
    assert d["lost_events"] == 0 and ends.count("killed by signal 9") == want + 1 == len(ends)


@pytest.mark.parametrize("limit", [64, 256])
def test_few_descriptors(target, limit):
    t = target([build("crowd.c", flags=("-O1", "-static")), "200"], start_new_session=True)
    t.expect()
    kids = Path(f"/proc/{t.pid}/task/{t.pid}/children").read_text().split()
    assert len(kids) == 200
    args = [a for k in kids for a in ("-p", k)]
    prog = f"ulimit -n {limit}; exec {BIN} \"$@\""
    p = subprocess.run(["setpriv", "--bounding-set", "-sys_resource", "--inh-caps",
                        "-sys_resource", "bash", "-c", prog, "-", *args, "-d", "1", "--plain"],
                       capture_output=True, text=True, timeout=180)
    assert p.returncode == 1 and "oo many open files" in p.stderr and "ulimit -n" in p.stderr


def test_many_targets_and_a_limit_of_its_own(target, tmp_path):
    """Hundreds at once; and the limit that memwatch raises for itself is not its child's."""
    t = target([build("crowd.c", flags=("-O1", "-static")), "200"], start_new_session=True)
    t.expect()
    kids = Path(f"/proc/{t.pid}/task/{t.pid}/children").read_text().split()
    out = tmp_path / "t.csv"
    p = subprocess.run(["bash", "-c", f"ulimit -Sn 256; exec {BIN} \"$@\"", "-",
                        *[a for k in kids for a in ("-p", k)], "-d", "1", "--plain", "-q",
                        "--timeline", str(out)], capture_output=True, text=True, timeout=180)
    assert p.returncode == 0, p.stderr
    assert {r["pid"] for r in csv.DictReader(out.read_text().splitlines())} == set(kids)
    p = subprocess.run(["bash", "-c", f"ulimit -Sn 256; exec {BIN} run -q -- bash -c 'ulimit -n'"],
                       capture_output=True, text=True, timeout=180)
    assert p.stdout.split() == ["256"], p


def test_children_that_cannot_be_followed_are_told(tmp_path):
    exe = build("crowd.c", flags=("-O1", "-static"))
    out = tmp_path / "p.json"
    prog = (f"ulimit -n 160; sleep 4 | {BIN} run --follow --plain -i 60 -o {out} -- {exe} 300")
    p = subprocess.run(["setpriv", "--bounding-set", "-sys_resource", "--inh-caps",
                        "-sys_resource", "bash", "-c", prog], capture_output=True, text=True,
                       timeout=180, start_new_session=True)
    m = re.search(r"children that could not be followed: (\d+)", p.stderr)
    assert m and int(m.group(1)) > 200, p.stderr
    assert "raise the limit (ulimit -n); continuing without it" in p.stderr
    assert load_json(out)["loss"]["children that could not be followed"] == int(m.group(1))


def test_65000_mappings(target, attach, tmp_path):
    want = 65000
    if int(Path("/proc/sys/vm/max_map_count").read_text()) < want + 200:
        pytest.skip(f"vm.max_map_count allows no process {want} mappings")
    t = target([build("manymaps.c", flags=("-O1",)), want])
    assert int(t.expect().split()[1]) == want
    out = tmp_path / "l.json"
    used = peak_rss(["top", "--ledger", "--json", "-p", t.pid], out)
    d = load_json(out)
    check_sums(d)
    assert d["rss_bytes"] == status(t.pid)["VmRSS"] >= want // 2 * 4096
    assert sum(x["mappings"] for x in d["lines"]) >= want
    assert used < 64 * MB
    a = attach("-p", t.pid, "--exact", "--json", "--ledger", "--timeline", tmp_path / "t.csv")
    for _ in range(5):
        t.say("")
        t.expect("ok")
    code, text, err = a.finish()
    assert code == 0, err
    d = json.loads(text.splitlines()[0])
    check_sums(d)
    lines = {x["kind"]: x for x in d["lines"]}
    assert abs(lines["live_heap"]["rss_bytes"] - 5 * MB) <= 64 * 1024


# --- time and swap ------------------------------------------------------------------------------

class Clock:
    """The wall clock, which is put back at the end."""

    def __init__(self):
        self.offset = self.now()

    @staticmethod
    def now():
        return time.clock_gettime_ns(time.CLOCK_REALTIME) - time.monotonic_ns()

    def step(self, seconds):
        time.clock_settime_ns(time.CLOCK_REALTIME, time.monotonic_ns() + self.offset
                              + int(seconds * 1e9))


@pytest.fixture
def clock():
    c = Clock()
    try:
        c.step(0)
    except PermissionError:
        pytest.skip("not permitted to set the clock")
    yield c
    c.step(0)


@pytest.mark.alone
def test_the_wall_clock_steps(mm, attach, clock, tmp_path):
    t = mm()
    do(t, "grow", 20)
    log = tmp_path / "log"
    out = tmp_path / "t.json"
    a = attach("-p", t.pid, "--timeline", out, "-i", "0.1", "--plain", "--alert-growth", "1M/min",
               "--alert-oom-in", "1h", "--oom-log", log)
    w = Top("-i", "0.1", "-p", t.pid, "--timeline", tmp_path / "top.json")
    begin = time.monotonic()

    def ticks_of_both(n):
        reports = a.out.count("watched")
        got = [w.tick() for _ in range(n)]
        wait_for(lambda: a.out.count("watched") >= reports + 3)
        return got

    ticks = ticks_of_both(12)
    for seconds in (+5, -5, 0):
        clock.step(seconds)
        ticks += ticks_of_both(3)
    end = time.monotonic() + PATIENCE  # what was read may be behind
    while sum("clock_step_ms" in d for d in ticks) < 3 and time.monotonic() < end:
        ticks.append(w.tick())
    waited = time.monotonic() - begin
    w.stop()
    w.proc.stdout.close()
    code, _, err = a.finish()
    assert code == 0, err
    steps = [d["clock_step_ms"] for d in ticks if "clock_step_ms" in d]
    assert [round(s / 1000) for s in steps] == [5, -10, 5]
    assert sum(d.get("gap_seconds", 0) for d in ticks) <= waited  # of a busy machine alone
    rows = [r for d in ticks for r in d["processes"]]
    growth = [r["growth_bytes_per_minute"] for r in rows if r["growth_bytes_per_minute"]]
    assert all(abs(g) < MB for g in growth)
    assert {r["trend"] for r in rows} <= {None, "flat"}
    for path in (out, tmp_path / "top.json"):
        line = load_json(path)["processes"][0]
        at = [r["time_unix_ms"] for r in line["rows"]]
        assert at == sorted(at) and at[-1] - at[0] < (waited + 60) * 1000 and len(set(at)) > len(at) // 2
        told = [float(re.search(r"stepped by ([-+][\d.]+) s", m["text"]).group(1))
                for m in line["marks"] if "wall clock" in m["text"]]
        assert [round(s) for s in told] == [5, -10, 5], line["marks"]
    said = [json.loads(x) for x in log.read_text().splitlines()] if log.exists() else []
    assert not [x for x in said if x["schema"] == "memwatch.alert/1"]  # nothing grew


def test_swap(mm, attach, tmp_path):
    t = mm()
    file = tmp_path / "swap"
    with open(file, "wb") as f:
        f.write(bytes(96 * MB))
    file.chmod(0o600)
    subprocess.run(["mkswap", str(file)], check=True, capture_output=True)
    p = subprocess.run(["swapon", str(file)], capture_output=True, text=True)
    if p.returncode:
        pytest.skip(f"no swap here: {p.stderr.strip()}")
    try:
        before = one_row(t.pid)
        assert before["swap_bytes"] == 0
        do(t, "pageout", 48)
        s = status(t.pid)
        if s["VmSwap"] < 40 * MB:
            pytest.skip("the kernel did not swap")
        r = one_row(t.pid)
        assert r["swap_bytes"] == s["VmSwap"] and r["rss_bytes"] == s["VmRSS"]
        plain = one_row(t.pid, "--no-bpf")
        assert plain["swap_bytes"] == s["VmSwap"]
        m = json.loads(memwatch("top", "--json", "-n", 1, check=0).stdout)["machine"]
        assert m["swap_total_bytes"] >= 90 * MB > m["swap_total_bytes"] - m["swap_free_bytes"] > 40 * MB
        d = json.loads(memwatch("top", "--ledger", "--json", "-p", t.pid, check=0).stdout)
        check_sums(d)
        assert d["swap_bytes"] == s["VmSwap"] == sum(x["swap_bytes"] for x in d["lines"])
        out = tmp_path / "t.csv"
        memwatch("top", "--plain", "-n", 2, "-i", "0.1", "-p", t.pid, "--timeline", out, check=0)
        rows = list(csv.DictReader(out.read_text().splitlines()))
        assert {int(x["swap_bytes"]) for x in rows if x["swap_bytes"]} == {s["VmSwap"]}
    finally:
        t.stop()
        subprocess.run(["swapoff", str(file)], check=True)


# --- names --------------------------------------------------------------------------------------

def test_names_that_are_an_attack(target, attach, tmp_path):
    """Newline, ESC, BEL, quotes and markup in the names of process, program and library: in no
    output do they do what they could."""
    lib = tmp_path / 'li\nb\033[31m<b>"\\012.so'
    subprocess.run(["gcc", "-g", "-shared", "-fPIC", "-o", str(lib),
                    str(WORKLOADS / "hostilelib.c")], check=True)
    exe = tmp_path / "ma\nin\033]0;<i>\007"
    shutil.copy(build("hostile.c", flags=("-O1",), libs=("-ldl",)), exe)
    t = target([exe, lib, 'e\n\033[31m<b>"'])
    t.expect()
    outs = [tmp_path / f"p.{e}" for e in ("folded", "svg", "html", "json", "txt", "pb.gz")]
    lines = [tmp_path / f"t.{e}" for e in ("csv", "json", "svg", "html")]
    args = [a for o in outs for a in ("-o", o)]
    a = attach("-p", t.pid, "--exact", "--plain", "--ledger", "-i", 1, "--timeline", lines[0], *args)
    t.say("")
    t.expect("ok")
    code, text, err = a.finish()
    assert code == 0, err
    for o in lines[1:]:
        memwatch("top", "--plain", "-n", 2, "-i", "0.1", "-p", t.pid, "--timeline", o, check=0)
    said = [text, err]
    for words in (["top", "--plain", "--full-command", "-n", 1, "-p", t.pid],
                  ["top", "--json", "-n", 1, "-p", t.pid], ["top", "--ledger", "-p", t.pid],
                  ["top", "--ledger", "--json", "-p", t.pid], ["report", "--traces", outs[5]],
                  ["top", "--faults=16", "--plain", "-d", 1, "-p", t.pid],
                  ["go", "-p", t.pid], ["-p", t.pid, "-d", 1, "--plain", "-v"]):
        p = memwatch(*words)
        assert p.returncode in (0, 3), p.stderr
        said += [p.stdout, p.stderr]
    said += [o.read_text() for o in [*outs[:5], *lines]]
    for s in said:
        assert not re.search(r"[\033\007]", s)
        assert not re.search(r"^\W?\[31m|^b.\[31m|^in.\]0", s, re.M)  # no line of its own
    for o in (outs[1], outs[2], *lines[2:]):
        s = o.read_text()
        assert "<b>" not in s and "<i>" not in s, o
    p = load_json(outs[3])
    mods = {f["module"] for s in p["stacks"] for f in s["frames"] if f["function"] == "hostile_alloc"}
    assert len(mods) == 1 and "\033[31m" in mods.pop()  # as it is, where it can be
    assert p["totals"]["inuse_bytes"] == 100 * 65536
    top_line = subprocess.run([str(BIN), "report", "--top", "5", str(outs[3])], capture_output=True,
                              text=True, check=True).stdout
    assert "hostile_alloc" in top_line
    assert b"hostile_alloc" in gzip.decompress(outs[5].read_bytes())
