# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch top: rows against /proc, peaks between ticks, trends, PID reuse, the screen."""
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BIN, NICE, PATIENCE, build, load_json, memwatch, wait_for

MB = 1 << 20
BATCH = 64 * 4096 * os.cpu_count()  # what the kernel's per-CPU counters may hold back


def status(pid):
    out = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        k, _, v = line.partition(":")
        out[k] = int(v.split()[0]) * 1024 if v.strip().endswith("kB") else v.strip()
    return out


@pytest.fixture
def mm(target):
    """A program that does with its memory what it is told."""
    exe = build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))

    def start():
        t = target([exe])
        t.expect("ready")
        return t

    return start


def do(t, *words):
    """Tells it; returns its answer once it waits for the next word and touches nothing any more."""
    t.say(" ".join(str(w) for w in words))
    answer = t.expect(f"ok {words[0]}")
    wait_for(lambda: Path(f"/proc/{t.pid}/syscall").read_text().startswith("0 0x0 "), step=0.01)
    return answer


class Top:
    """memwatch top --json in the background; rows(pid) of each tick as it comes."""

    def __init__(self, *args):
        self.proc = subprocess.Popen([str(BIN), "top", "--json", *map(str, args)],
                                     stdout=subprocess.PIPE, text=True)

    def tick(self):
        line = self.proc.stdout.readline()
        assert line, f"top ended with status {self.proc.wait()}"
        return json.loads(line)

    def row(self, pid):
        rows = [p for p in self.tick()["processes"] if p["pid"] == pid]
        return rows[0] if rows else None

    def stop(self):
        self.proc.send_signal(signal.SIGINT)
        self.proc.stdout.read()
        assert self.proc.wait(180) == 0


@pytest.fixture
def top():
    running = []

    def start(*args):
        running.append(Top(*args))
        return running[-1]

    yield start
    for t in running:
        if t.proc.poll() is None:
            t.proc.kill()
        t.proc.wait()
        t.proc.stdout.close()


def one_row(pid, *args):
    p = memwatch("top", "--json", "-n", 1, *args, check=0)
    return [r for r in json.loads(p.stdout)["processes"] if r["pid"] == pid][0]


def check_row(r, pid):
    s = status(pid)
    assert r["virt_bytes"] == s["VmSize"]
    assert r["rss_anon_bytes"] == s["RssAnon"]
    assert r["rss_file_bytes"] == s["RssFile"]
    assert r["rss_shmem_bytes"] == s["RssShmem"]
    assert r["rss_bytes"] == s["VmRSS"]
    assert r["swap_bytes"] == s["VmSwap"]
    assert r["pgtables_bytes"] == s["VmPTE"]
    assert r["peak_virt_bytes"] == s["VmPeak"]
    assert abs(r["peak_rss_bytes"] - s["VmHWM"]) <= BATCH
    assert r["ppid"] == int(s["PPid"]) and r["threads"] == int(s["Threads"])
    assert r["uid"] == int(s["Uid"].split()[1])
    assert r["comm"] == s["Name"]


def test_rows_agree_with_proc(mm):
    t = mm()
    do(t, "grow", 48)
    do(t, "share", 16)
    do(t, "file", BIN)
    do(t, "threads", 3)
    check_row(one_row(t.pid), t.pid)
    r = one_row(t.pid, "-p", t.pid)
    check_row(r, t.pid)
    assert r["rss_anon_bytes"] >= 48 * MB and r["rss_shmem_bytes"] >= 16 * MB
    score = int(Path(f"/proc/{t.pid}/oom_score").read_text())
    assert abs(r["oom_score"] - score) <= 1
    # The tests may themselves run in a container.
    boxed = re.search("[0-9a-f]{32}", Path(f"/proc/{t.pid}/cgroup").read_text())
    assert r["user"] == "root" and not r["kernel_thread"]
    assert bool(r["container"]) == bool(boxed)


def test_rows_without_bpf_are_the_same(mm):
    t = mm()
    do(t, "grow", 32)
    r = one_row(t.pid, "--no-bpf")
    check_row(r, t.pid)
    b = one_row(t.pid)
    for key in ("virt_bytes", "rss_bytes", "ppid", "uid", "comm", "cmdline", "cgroup", "user"):
        assert r[key] == b[key], key
    assert abs(r["start_boottime_ns"] - b["start_boottime_ns"]) < 20_000_000


def test_grow_and_shrink(mm, top):
    t = mm()
    base = one_row(t.pid)
    do(t, "grow", 64)
    grown = one_row(t.pid)
    assert abs(grown["rss_anon_bytes"] - base["rss_anon_bytes"] - 64 * MB) <= 16 * 4096
    do(t, "shrink", 0)
    back = one_row(t.pid)
    assert abs(back["rss_anon_bytes"] - base["rss_anon_bytes"]) <= 16 * 4096
    assert abs(back["peak_rss_bytes"] - grown["rss_bytes"]) <= BATCH


def test_reserving_is_not_residing(mm):
    t = mm()
    before = one_row(t.pid)
    do(t, "reserve", 128)
    after = one_row(t.pid)
    assert after["virt_bytes"] - before["virt_bytes"] == 128 << 30
    assert after["rss_bytes"] - before["rss_bytes"] <= MB


def test_huge_pages_and_copy_on_write(mm):
    t = mm()
    base = one_row(t.pid)
    do(t, "huge", 32)
    assert abs(one_row(t.pid)["rss_anon_bytes"] - base["rss_anon_bytes"] - 32 * MB) <= 16 * 4096
    t.say("cow 24")
    child = int(t.expect("child").split()[1])
    t.expect("ok cow")
    p = memwatch("top", "--json", "-n", 1, check=0)
    rows = {r["pid"]: r for r in json.loads(p.stdout)["processes"]}
    check_row(rows[child], child)
    assert rows[child]["ppid"] == t.pid and rows[child]["rss_anon_bytes"] >= 24 * MB
    do(t, "cowwrite")
    check_row(one_row(child), child)


def test_peaks_between_two_ticks(mm, top):
    t = mm()
    w = top("-p", t.pid, "-i", "2")
    base = w.row(t.pid)["rss_bytes"]
    do(t, "spike", 200)
    r = w.row(t.pid)
    assert r["rss_bytes"] < base + 20 * MB
    # the highest ever: the kernel's own mark tells it
    assert abs(r["interval_peak_rss_bytes"] - base - 200 * MB) <= 2 * BATCH
    do(t, "spike", 120)
    # lower than before: seen at the scheduler's ticks, so within what a tick can touch
    peak = w.row(t.pid)["interval_peak_rss_bytes"] - base
    assert 60 * MB < peak <= 121 * MB
    # nothing happened
    assert w.row(t.pid)["interval_peak_rss_bytes"] < base + 20 * MB
    w.stop()


def test_trends_are_named(mm, top):
    saw, steps, idle = mm(), mm(), mm()
    w = top("-i", "0.25", "-p", saw.pid, "-p", steps.pid, "-p", idle.pid)
    saw.say("saw 60 12")
    steps.say("steps 3 60")
    seen = {}

    def named():
        for r in w.tick()["processes"]:
            seen[r["pid"]] = r["trend"]
        return (seen.get(saw.pid) == "sawtooth" and seen.get(steps.pid) == "growing"
                and seen.get(idle.pid) == "flat")

    end = time.monotonic() + PATIENCE
    while not named():
        assert time.monotonic() < end, {"saw": seen.get(saw.pid), "steps": seen.get(steps.pid),
                                        "idle": seen.get(idle.pid)}
    w.stop()


@pytest.mark.parametrize("parent", ["small", "large"])
def test_short_lived_process(mm, tmp_path, parent):
    """Its peak is the kernel's mark, even if its parent, whose memory a vfork borrows, had more."""
    if parent == "large":
        held = bytearray(400 * MB)
        del held
    out = tmp_path / "all.json"
    w = subprocess.Popen([str(BIN), "top", "--plain", "-i", "2", "-n", "3", "--timeline", str(out)],
                         stdout=subprocess.PIPE, text=True)
    assert w.stdout.readline()  # the first tick is over
    t = mm()
    base = status(t.pid)["VmRSS"]
    do(t, "spike", 150)
    t.say("exit")
    t.proc.wait()
    w.communicate(timeout=180)
    assert w.returncode == 0
    lines = [p for p in load_json(out)["processes"] if p["pid"] == t.pid]
    assert len(lines) == 1
    peak = max(r["rss_bytes"] for r in lines[0]["rows"])
    assert base + 150 * MB - BATCH <= peak <= base + 151 * MB
    assert "exit 0" in [m["text"] for m in lines[0]["marks"]]


def test_exec_ends_the_peak_of_the_image_before(mm, top, tmp_path):
    t = mm()
    out = tmp_path / "t.json"
    w = top("-p", t.pid, "-i", "1", "--timeline", out)
    base = w.row(t.pid)["rss_bytes"]
    do(t, "spike", 200)
    t.say("exec")
    t.expect("ready")
    do(t, "spike", 90)
    peaks = [w.row(t.pid)["interval_peak_rss_bytes"]]
    while peaks[-1] > base + 20 * MB or max(peaks) < base + 20 * MB:
        peaks.append(w.row(t.pid)["interval_peak_rss_bytes"])
    assert abs(max(peaks) - base - 200 * MB) <= 2 * BATCH
    w.stop()
    line = load_json(out)["processes"][0]
    at = [m["time_unix_ms"] for m in line["marks"] if m["text"].startswith("exec")][0]
    before = max(r["rss_bytes"] for r in line["rows"] if r["time_unix_ms"] < at)
    after = max(r["rss_bytes"] for r in line["rows"] if r["time_unix_ms"] > at)
    assert abs(before - base - 200 * MB) <= 2 * BATCH
    assert abs(after - base - 90 * MB) <= 2 * BATCH


@pytest.fixture
def again(target):
    """again(pid): a process with a PID that was another's."""
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not last.exists():
        pytest.skip("no ns_last_pid in this kernel: a PID cannot be given twice at will")

    def start(pid):
        exe = build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))
        for _ in range(200):  # others take PIDs too
            last.write_text(str(pid - 1))
            p = target([exe])
            p.expect("ready")
            if p.pid == pid:
                return p
            p.stop()
        pytest.fail("the PID was not given again")
    return start


def test_pid_reuse_joins_nothing(mm, top, again, tmp_path):
    first = mm()
    do(first, "grow", 100)
    out = tmp_path / "t.json"
    w = top("-i", "0.2", "-p", first.pid, "--timeline", out)
    old = w.row(first.pid)
    first.say("exit")
    first.proc.wait()
    second = again(first.pid)
    new = None
    while not new or new["start_boottime_ns"] == old["start_boottime_ns"]:
        line = w.proc.stdout.readline()
        if not line:  # between the two there was no such process: top had ended
            w.proc.wait()
            new = one_row(second.pid)
            break
        new = next((p for p in json.loads(line)["processes"] if p["pid"] == second.pid), new)
    assert old["peak_rss_bytes"] >= 100 * MB > new["peak_rss_bytes"]
    if w.proc.poll() is None:
        w.stop()
    lines = [p for p in load_json(out)["processes"] if p["pid"] == first.pid]
    assert len(lines) == 1
    assert min(r["rss_bytes"] for r in lines[0]["rows"]) >= 100 * MB  # none of the second's rows


def test_sort_filter_tree(mm):
    small, large = mm(), mm()
    do(large, "grow", 40)
    p = memwatch("top", "--json", "-n", 1, "--filter", "^.*/workloads/mm", "--sort", "rss", check=0)
    pids = [r["pid"] for r in json.loads(p.stdout)["processes"]]
    assert pids.index(large.pid) < pids.index(small.pid)
    p = memwatch("top", "--json", "-n", 1, "--sort", "pid", "--reverse", check=0)
    pids = [r["pid"] for r in json.loads(p.stdout)["processes"]]
    assert pids == sorted(pids, reverse=True)
    p = memwatch("top", "--json", "-n", 1, "--tree", check=0)
    rows = json.loads(p.stdout)["processes"]
    at = {r["pid"]: i for i, r in enumerate(rows)}
    for r in rows:
        assert r["ppid"] not in at or at[r["ppid"]] < at[r["pid"]]
    p = memwatch("top", "--plain", "-n", 1, "--top", 3, check=0)
    assert "more)" in p.stdout and "Pressure:" in p.stdout and "Mem:" in p.stdout


def test_the_first_process_is_there():
    """Also where the kernel's iterator leaves it out. (In another PID namespace it is another.)"""
    pids = [r["pid"] for r in json.loads(memwatch("top", "--json", "-n", 1, check=0).stdout)["processes"]]
    assert len(pids) == len(set(pids)) and (1 in pids or Path("/proc/self/ns/pid").stat().st_ino != 0xEFFFFFFC)


def test_kernel_threads_are_hidden():
    rows = json.loads(memwatch("top", "--json", "-n", 1, check=0).stdout)["processes"]
    assert rows and not any(r["kernel_thread"] for r in rows)
    p = memwatch("top", "--json", "-n", 1, "--kernel-threads", check=0)
    rows = json.loads(p.stdout)["processes"]
    kthreadd = [r for r in rows if r["pid"] == 2]
    assert kthreadd and kthreadd[0]["kernel_thread"] and not kthreadd[0]["has_memory"]


def test_machine_totals():
    m = json.loads(memwatch("top", "--json", "-n", 1, check=0).stdout)["machine"]
    info = {line.split(":")[0]: int(line.split()[1]) * 1024
            for line in Path("/proc/meminfo").read_text().splitlines() if "kB" in line}
    assert m["total_bytes"] == info["MemTotal"]
    assert m["swap_total_bytes"] == info["SwapTotal"]
    if Path("/proc/pressure/memory").exists():
        assert m["psi"]["some"]["total_us"] >= 0


def test_processes_that_vanish(top):
    """Rows are whole or absent while processes come and go as fast as they can."""
    churn = subprocess.Popen(["sh", "-c", "while :; do (:); /bin/true & wait; done"])
    try:
        w = top("-i", "0.05", "-n", "30")
        names = set()
        for _ in range(30):
            for r in w.tick()["processes"]:
                assert r["pid"] > 0 and r["comm"] and r["start_boottime_ns"] > 0
                if r["has_memory"]:
                    assert 0 < r["virt_bytes"] < 1 << 47 and r["rss_bytes"] <= r["virt_bytes"] + MB
                names.add(r["comm"])
        assert "sh" in names
        assert w.proc.wait(180) == 0
    finally:
        churn.kill()
        churn.wait()


def test_hostile_names(target):
    p = subprocess.Popen(["bash", "-c", "printf '\\033[2Jevil\\n' >/proc/self/comm 2>/dev/null; "
                          "exec -a $'\\x1b[31mred' sleep 60"])
    try:
        wait_for(lambda: b"\x1b[31mred" in Path(f"/proc/{p.pid}/cmdline").read_bytes())
        out = memwatch("top", "--plain", "-n", 1, "--full-command", "--top", 0, "-p", p.pid, check=0)
        assert "\x1b" not in out.stdout and "?[31mred" in out.stdout
        assert "\x1b" not in one_row(p.pid)["cmdline"]
    finally:
        p.kill()
        p.wait()


@pytest.mark.parametrize("args", [["-n", "0"], ["-i", "x"], ["--sort", "beauty"], ["-p", "0"],
                                  ["-p", "-3"], ["--timeline", "x.bmp"], ["--ledger"], ["stray"],
                                  ["-o", "x.pb.gz"], ["--filter", "("], ["--faults=0"]])
def test_wrong_usage(args):
    p = memwatch("top", "--plain", "-n", "1", *args)
    assert p.returncode == 2 and p.stdout == "" and p.stderr


def test_no_such_process():
    for extra in ([], ["--ledger"], ["--faults"], ["--timeline", "/tmp/never.csv"]):
        p = memwatch("top", "--plain", "-n", "1", "-d", "2", "-p", 999999999, *extra)
        assert p.returncode == 4 and "999999999" in p.stderr, extra
    assert not Path("/tmp/never.csv").exists()


def test_ends_with_its_process(mm, top):
    t = mm()
    w = top("-i", "0.2", "-p", t.pid)
    assert w.row(t.pid)
    t.say("exit")
    t.proc.wait()
    assert w.proc.stdout.read() is not None
    assert w.proc.wait(180) == 0


def test_full_screen_ends_with_its_process(mm, terminal):
    """As the text does: with the end of the last of -p, not with a filter that hides it."""
    t = mm()
    term = terminal(f"{BIN} top -i 0.1 -p {t.pid} -p 999999999")
    term.expect(rf"\n +{t.pid} .* mm *\n")
    t.stop()
    term.expect("STATUS 0\nicanon")
    term = terminal(f"{BIN} top -i 0.1 -p 999999999")
    term.expect("no process with PID 999999999\nSTATUS 4\nicanon")
    t = mm()
    for way in ("", "--plain"):
        term = terminal(f"{BIN} top {way} -i 0.1 -n 3 -p {t.pid} --filter '^no.such.name$'")
        term.expect("STATUS 0\nicanon")


def test_the_heading_states_its_zone():
    env = {**os.environ, "TZ": "IST-5:30"}
    p = memwatch("top", "--plain", "-n", 1, "--top", 1, env=env, check=0)
    assert re.match(r"memwatch top  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+0530  by rss\n", p.stdout)
    p = memwatch("top", "--ledger", "-p", os.getpid(), env=env, check=0)
    assert re.match(r"Ledger of \d+ \(.*\) at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \+0530", p.stdout)


def test_full_screen(mm, terminal):
    t = mm()
    do(t, "grow", 300)
    term = terminal(f"{BIN} top -i 0.5", cols=200)
    term.expect(rf"Pressure:[\s\S]*by rss[\s\S]* {t.pid} ")
    term.keys("V")
    term.expect("by virt")
    term.keys("t")
    term.expect(", tree")
    term.keys("?")
    term.expect("this help")
    term.keys("F1")
    term.keys("\\", *"workloads/mm", "Enter")
    term.expect(rf"filter workloads/mm[\s\S]* {t.pid} ")
    term.keys("q")
    term.expect("STATUS 0\nicanon")


@pytest.mark.parametrize("cols,rows", [(40, 12), (80, 24), (120, 40), (200, 60)])
def test_process_and_command_are_always_there(mm, terminal, cols, rows):
    t = mm()
    term = terminal(f"{BIN} top -i 0.2s -p {t.pid}", cols=cols, rows=rows)
    term.expect(rf"\n +{t.pid} .* mm *\n")
    for key in "MVAFHSGPONUC":
        term.keys(key)
        m = term.expect(rf"\n( +PID .*COMMAND).*\n +{t.pid} .* mm *\n")
        assert all(len(line) <= cols for line in m.string.splitlines())
        assert len(m.string.splitlines()) <= rows
    head = {"40": "PID RSS COMMAND", "80": "PID USER VIRT RSS GROWTH/min TREND COMMAND"}.get(str(cols))
    term.keys("M")
    if head:
        term.expect(r"\n *" + " +".join(head.split()) + r" *\n")
    term.keys("o")
    term.expect(r"Sort by[\s\S]*>rss[\s\S]*growth")
    term.keys("j", "Enter")
    term.expect("by virt")
    term.keys("h")
    term.expect("live profile of the")
    term.keys("End")
    term.expect(r"highest\s+RSS\s+of\s+the\s+process's\s+life")
    term.tmux("resize-window", "-x", "60", "-y", "10")
    term.expect("PgDn more")
    assert all(len(line) <= 60 for line in term.screen().splitlines())
    term.tmux("resize-window", "-x", "80", "-y", "24")
    term.expect(r"live profile of the[\s\S]*highest\s+RSS\s+of\s+the\s+process's\s+life")  # one page
    term.keys("q")
    term.expect("STATUS 0\nicanon")


def nice_of(pid):
    return {int(Path(f"/proc/{pid}/task/{t}/stat").read_text().rsplit(")", 1)[1].split()[16])
            for t in os.listdir(f"/proc/{pid}/task")}


def test_signals_only_where_allowed(mm, terminal):
    t = mm()
    term = terminal(f"{BIN} top -i 0.2s -p {t.pid}", cols=100)
    term.expect(rf"\n +{t.pid} ")
    for key in ("X", "F9", "F7", "F8"):
        term.keys(key)
        term.expect("--allow-signals was not given")
        term.keys("M")
        wait_for(lambda: "allow-signals" not in term.screen())
    term.keys("q")
    term.expect("STATUS 0")
    term = terminal(f"{BIN} top -i 0.2s --allow-signals -p {t.pid}", cols=100)
    term.expect(rf"\n +{t.pid} ")
    term.keys("F8")
    term.expect(rf"Nice value of {t.pid} \(mm\), now {NICE}: {NICE + 1}_?")
    term.keys("C-u", "7", "Enter")
    term.expect(rf"{t.pid} has nice value 7")
    assert nice_of(t.pid) == {7}
    term.keys("F7", "Escape")
    wait_for(lambda: "Nice value" not in term.screen())
    term.keys("F9")
    term.expect("Send a signal[\\s\\S]*>SIGTERM")
    term.keys("Enter")
    term.expect(rf"SIGTERM to {t.pid} \(mm\)\? \(y/n\)")
    term.keys("Enter")  # anything but y
    term.expect("nothing was sent")
    assert t.proc.poll() is None
    term.keys("X", "Down", "Down", "Down", "Down", "Enter")
    term.expect(rf"SIGKILL to {t.pid}")
    term.keys("y")
    term.expect(rf"SIGKILL sent to {t.pid}")
    assert t.proc.wait(180) == -9
    term.keys("q")
    term.expect("STATUS 0\nicanon")


def test_a_name_is_no_part_of_the_question(target, terminal):
    """A carriage return would have the name stand where the signal and the process do."""
    t = target(["bash", "-c", r"printf '\rSIGCONT to 1 (' >/proc/$$/comm; echo ready; read"])
    t.expect("ready")
    term = terminal(f"{BIN} top -i 0.2s --allow-signals -p {t.pid}", cols=100)
    term.expect(rf"\n +{t.pid} ")
    term.keys("X", "Enter")
    term.expect(rf"SIGTERM to {t.pid} \(\?SIGCONT to 1 \(\)\? \(y/n\)")
    term.keys("n", "q")
    term.expect("STATUS 0")


def test_no_signal_to_who_has_the_pid_now(target, again, terminal):
    one = target([build("mm.c", libs=("-lpthread",), suffix="-signalled")])
    one.expect("ready")
    term = terminal(f"{BIN} top -i 0.2s --allow-signals --filter '^mm-signalled$'", cols=100)
    term.expect(rf"\n +{one.pid} ")
    term.keys("X", "Enter")
    term.expect(rf"SIGTERM to {one.pid}")
    one.stop()
    two = again(one.pid)
    term.keys("y")
    term.expect(rf"SIGTERM was not sent to {one.pid}: it has ended")
    assert two.proc.poll() is None
    term.keys("q")
    term.expect("STATUS 0\nicanon")


def test_into_a_process_and_back(target, terminal):
    exe = build("shapes.c", flags=["-O1"], suffix="-into")  # nobody else's command line has that
    two = [target([exe, "20", "100000"]) for _ in range(2)]
    for t in two:
        t.expect("ready")
    term = terminal(f"{BIN} top -i 0.2s --filter 'shapes-int[o]'", cols=100)  # not itself
    term.expect(rf"\n +{two[0].pid} [\s\S]*\n +{two[1].pid} |\n +{two[1].pid} [\s\S]*\n +{two[0].pid} ")
    term.keys("N")
    term.expect("by pid")
    term.keys("End", "Enter")  # the one with the higher PID
    pid = max(t.pid for t in two)
    screens = []
    wait_for(lambda: screens.append(term.screen()) or f"PID {pid}  watched" in screens[-1], step=0.01)
    assert not any("PID 0 " in s for s in screens)  # before anything is known there are no numbers
    term.expect(rf"PID {pid}  watched[\s\S]*nothing was allocated yet")
    next(t for t in two if t.pid == pid).say("go")
    term.expect(r"stacks of inuse_space[\s\S]*block < ")
    term.keys("\\", *"leak_", "Enter")
    term.expect("filter leak_")
    term.keys("b")  # the filter goes first
    wait_for(lambda: "filter leak_" not in term.screen())
    term.keys("b")
    term.expect(rf"by pid.*filter shapes-int\[o\][\s\S]*\n +{pid} ")
    term.keys("l")
    term.expect(rf"PID {pid} [\s\S]*ledger as of")
    two[0].stop()
    two[1].stop()
    term.expect(rf"PID {pid} \(ended\)|the process has ended")
    term.keys("l", "b")
    term.expect("by pid")
    term.keys("/", *"no_such_process", "Enter")
    wait_for(lambda: "not found" in term.screen() or "by pid" in term.screen())
    term.keys("q")
    term.expect("STATUS 0\nicanon")


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "vt100"}, {"LC_ALL": "C"}])
def test_plain_terminals(mm, terminal, env):
    """As in the live view: colours where there are any, ASCII where there is nothing else."""
    t = mm()
    t.say("steps 3 60")
    term = terminal(f"{BIN} top -i 0.25s -p {t.pid}", env=tuple(env.items()), cols=120)
    term.expect(rf"\n +{t.pid} .* growing .* mm *\n")  # which is red where there are colours
    wait_for(lambda: bool(term.colours()) == ("NO_COLOR" not in env and "TERM" not in env))
    if "LC_ALL" in env:
        assert term.screen().isascii()
    term.keys("o")
    term.expect("Sort by[\\s\\S]*>rss")
    term.keys("Escape")
    wait_for(lambda: "Sort by" not in term.screen())
    term.keys("h")
    term.expect("this help")
    term.keys("h", "q")
    term.expect("STATUS 0\nicanon")


def test_dumb_terminal(terminal):
    term = terminal(f"{BIN} top -i 0.1 -n 2 --top 1", env=(("TERM", "dumb"),), cols=200)
    term.expect(r"by rss[\s\S]*Mem:[\s\S]*by rss[\s\S]*STATUS 0")


def test_unread_pipe_ends_at_a_signal():
    """A reader that reads no more stops no alarm and no timeline; nor the end."""
    p = subprocess.Popen([BIN, "top", "--json", "-i", "0.01"], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()

    def is_over():
        p.send_signal(signal.SIGTERM)
        return p.poll() is not None
    wait_for(is_over)
    assert p.returncode == 0
    p.stdout.close()


def test_a_closed_pipe_ends_quietly():
    p = subprocess.Popen([BIN, "top", "--plain", "-i", "0.01"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.stdout.close()
    assert p.stderr.read() == "" and p.wait(180) == 0
    p.stderr.close()


def test_asked_for_its_files(tmp_path):
    """SIGUSR1 means here what it means in an attached run: the files now, and on it goes."""
    out = tmp_path / "t.csv"
    w = Top("-i", "0.2", "-p", os.getpid(), "--timeline", out)
    w.tick()
    for _ in range(2):
        out.unlink(missing_ok=True)
        w.proc.send_signal(signal.SIGUSR1)
        wait_for(lambda: out.exists() and out.read_text().count("\n") > 1)
        w.tick()
    w.proc.send_signal(signal.SIGINT)
    w.proc.stdout.read()
    assert w.proc.wait() == 0
