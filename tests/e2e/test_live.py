# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view in a real terminal (tmux): what it shows, its keys, sizes, and how it leaves."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BIN, NICE, Target, build, load_json, memwatch, wait_for


def start_shapes(target):
    t = target([build("shapes.c", flags=["-O1"]), "50", "2000"])
    t.expect("ready")
    return t


@pytest.fixture
def shapes(target):
    return start_shapes(target)


@pytest.fixture
def two(target):
    return [start_shapes(target) for _ in range(2)]


def started(terminal, shapes, options="--exact -i 0.3s", **kw):
    term = terminal(f"{BIN} -p {shapes.pid} {options}", **kw)
    term.expect(r"nothing was allocated yet|inuse_space by flat")
    shapes.say("go")
    term.expect(r"block < leak_steadily")
    return term


def test_table_and_keys(terminal, shapes, tmp_path):
    term = started(terminal, shapes, cwd=tmp_path)
    s = term.expect(r"RSS +[0-9.]+MB")
    assert re.search(rf"PID {shapes.pid}  watched", s.string)
    assert re.search(r"VIRT +[0-9.]+MB", s.string) and re.search(r"in use +[0-9.]+[kM]B", s.string)
    assert "▁" in s.string  # a sparkline
    assert all(len(line) <= 80 for line in s.string.splitlines())
    term.keys("Tab")
    term.expect("stacks of alloc_objects by flat")
    term.keys("4", "o")
    term.expect("Sort by[\\s\\S]*>flat")
    term.keys("Down", "Down", "Enter")
    term.expect("stacks of inuse_space by rate")
    term.keys("I")
    term.expect("by rate, lowest first")
    term.keys("I", "o", "Home", "Enter")
    term.expect("by flat")
    term.keys("f")
    term.expect(r"functions of inuse_space by flat[\s\S]*fill_cache")
    term.keys("\\", *"leak_st", "Enter")
    m = term.expect(r"\| filter leak_st")
    wait_for(lambda: "fill_cache" not in term.screen())
    term.keys("Enter")  # into the function: callers and callees
    m = term.expect(r"called by\n.*main[\s\S]*leak_steadily +.*calls[\s\S]*block")
    term.keys("b", "b", "f")
    term.expect("stacks of inuse_space")
    term.keys("F4", *"leak_rarely", "Enter")
    term.expect(r"block < leak_rarely")
    term.keys("Enter")  # into the stack
    term.expect(r" 0  block  .*shapes.c:\d+\n +1  leak_rarely .*shapes.c:\d+\n +2  main")
    term.keys("b", "b", "h")
    term.expect("mark this moment")
    term.keys("h", "s")
    wrote = term.expect(r"wrote (memwatch-\d+-\d+\.pb\.gz)").group(1)
    assert "leak_steadily" in memwatch("report", "--peek", "leak_steadily", tmp_path / wrote, check=0).stdout
    term.keys("q")
    term.expect(r"done: \d+ allocations[\s\S]*STATUS 0\nicanon")


def test_histograms(terminal, shapes):
    term = started(terminal, shapes)
    term.keys("i")
    term.expect(r"all stacks\n\n?Sizes of allocated blocks:\n  4kB to <8kB +\d+ +100.0% .*#\n\nLifetimes")
    term.keys("b")
    term.keys("\\", *"leak_steadily", "Enter", "Enter")
    term.expect(r" 1  leak_steadily ")
    term.keys("i")
    # nothing of a leak is ever freed: every age is whole
    s = term.expect(r"block < leak_steadily[^\n]*\nBlocks by age: [\s\S]*(  up to \S+|\S+ to \S+) +\d+ +\d+  100.0%").string
    ages = re.findall(r"^  (?:up|\S+) to \S+ +(\d+) +(\d+)  +(\S+)%", s, re.M)
    assert ages and all(a == b and share == "100.0" for a, b, share in ages), s
    assert "no free seen" in s or "Sizes of its blocks" in s
    first = s.splitlines()[8]
    term.keys("NPage")
    wait_for(lambda: term.screen().splitlines()[8] != first)
    term.keys("b")
    term.expect(r" 1  leak_steadily ")
    term.keys("b", "b", "q")
    term.expect("STATUS 0\nicanon")


def test_mark_and_pause(terminal, shapes):
    term = started(terminal, shapes, cols=110)
    term.keys("d")
    term.expect("no mark yet")
    term.expect(r"1\.56MB .*block < load_at_start")  # all of it: it moves no more
    term.keys("m", "d")
    term.expect("since mark")
    # growth since the mark is a fraction of everything, and only of what still grows
    term.expect(r"since mark[\s\S]*block < (leak_steadily|saw_tooth)")
    wait_for(lambda: "load_at_start" not in term.screen())
    term.keys("p")
    before = term.expect(r"PAUSED").string
    watched = re.search(r"watched \S+", before).group()
    shown = [term.screen() for _ in range(5)]
    assert all(watched in s for s in shown)
    term.keys("p")
    wait_for(lambda: watched not in term.screen())


def test_verdicts_on_screen(terminal, shapes):
    term = started(terminal, shapes, options="--exact -i 0.25s --leak-after 5s", cols=120, rows=30)
    term.expect(r"leak\? +block < leak_steadily", timeout=180)
    term.expect(r"LEAK +block < leak_steadily", timeout=180)
    term.expect(r"startup +block < load_at_start", timeout=180)
    term.expect(r"churn +block < saw_tooth", timeout=180)
    s = term.screen()
    assert not re.search(r"LEAK +block < (fill_cache|load_at_start)", s), "\n" + s


@pytest.mark.parametrize("cols,rows", [(80, 24), (132, 50), (40, 12)])
def test_sizes(terminal, shapes, cols, rows):
    term = terminal(f"{BIN} -p {shapes.pid} --exact -i 0.3s", cols=cols, rows=rows)
    shapes.say("go")
    term.expect(r"RSS +[0-9.]+[kM]B")
    s = term.screen()
    assert len(s.splitlines()) <= rows and all(len(line) <= cols for line in s.splitlines())
    term.tmux("resize-window", "-x", "100", "-y", "20")
    term.expect(r"flat  flat%[\s\S]*block < leak_steadily")
    wait_for(lambda: re.search(r"q quit.*help", term.screen().splitlines()[19]))
    term.tmux("resize-window", "-x", "20", "-y", "5")
    term.expect("terminal too small")
    term.tmux("resize-window", "-x", "80", "-y", "24")
    term.expect(r"q quit.*help")


def test_ledger_page(terminal, shapes):
    term = started(terminal, shapes, options="--exact -i 0.3s")
    term.keys("l")
    m = term.expect(r"ledger as of (\d+:\d+:\d+) [-+]\d{4} \| read in \S+, pause 1\.0s\n +VIRT +RSS +of RSS +what")
    s = term.expect(r"live heap, attributed[\s\S]*code of modules[\s\S]*100\.0% █+ total").string
    assert all(len(line) <= 80 for line in s.splitlines())
    assert re.search(r"█[▏▎▍▌▋▊▉]? +(live heap|code|data)", s)  # bars
    # the lines are the sum, to what rounding to two digits hides
    unit = {"B": 1, "kB": 1 << 10, "MB": 1 << 20}
    rows = re.findall(r"^ *\S+ +(-?[0-9.]+)([kM]?B) +-?[0-9.]+% [█▏▎▍▌▋▊▉]* *(\S.*)$", s, re.M)
    *lines, total = [(float(n) * unit[u], name) for n, u, name in rows]
    assert total[1].startswith("total") and len(lines) >= 6
    assert abs(sum(n for n, _ in lines) - total[0]) <= (len(lines) + 1) * 5300
    term.expect(rf"as of (?!{m.group(1)})")  # kept fresh
    term.keys("p")
    term.expect(r"ledger as of [0-9:]+ [-+]\d{4} \| PAUSED")
    term.keys("p")
    # fewer rows than lines: they scroll, the sum stays
    term.tmux("resize-window", "-x", "60", "-y", "12")
    term.expect(r"live heap, attributed.*\n[\s\S]*100\.0% total.*\napart: page tables.*\n.*q quit")
    assert "kernel's counter" not in term.screen()
    term.keys("End")
    term.expect(r"kernel's counter.*\n.*100\.0% total")
    term.tmux("resize-window", "-x", "130", "-y", "30")
    term.expect(r"live heap, attributed[\s\S]*kernel's counter[\s\S]*total, as the kernel counts")
    term.keys("l")
    term.expect("stacks of inuse_space by flat")
    term.keys("l")
    term.expect("ledger as of")
    term.keys("Escape")
    term.expect("stacks of inuse_space by flat")
    term.keys("h")
    term.expect("l +where RSS belongs")
    term.keys("l")  # a key of its own from any page
    term.expect("ledger as of")
    term.keys("q")
    term.expect(r"STATUS 0\nicanon")


def test_ledger_of_several_processes(terminal, two):
    term = terminal(f"{BIN} -p {two[0].pid} -p {two[1].pid} --exact --ledger -i 0.3s", cols=100)
    term.expect(rf"PID {two[0].pid} [\s\S]*ledger as of [\s\S]*total, as the kernel")  # the first page
    term.keys("n")
    term.expect(rf"PID {two[1].pid} [\s\S]*ledger as of [\s\S]*total, as the kernel")
    two[1].stop()
    term.expect(rf"PID {two[1].pid} \(ended\)[\s\S]*ledger as of .* \| the process has ended")
    assert "total, as the kernel counts" in term.screen()  # as it was
    term.keys("n")
    term.expect(rf"PID {two[0].pid} [\s\S]*ledger as of .* \| read in")
    term.keys("q")
    term.expect(r"STATUS 0\nicanon")


def test_the_past_survives_sample_types_and_other_processes(terminal, two):
    """A course that was seen is there again after another sample type and after another process."""
    term = terminal(f"{BIN} -p {two[0].pid} -p {two[1].pid} --exact -i 0.2s", cols=100)
    two[0].say("go")
    term.expect(rf"PID {two[0].pid} [\s\S]*RSS .*[▁-█]{{12}}[\s\S]* (growing|LEAK|leak\?) +block < leak_steadily")
    term.keys("m")
    term.expect("marked")
    for keys in (["Tab"], ["3"], ["4"]):
        term.keys(*keys)
        term.expect(r"RSS .*[▁-█]{12}[\s\S]* (growing|LEAK|leak\?) +block < leak_steadily")
    term.keys("n")
    assert len(re.search(r"[▁-█]*", term.expect(rf"PID {two[1].pid} [\s\S]*\nRSS +\S+ ([▁-█]*)")[1])[0]) < 12
    term.keys("n")
    term.expect(rf"PID {two[0].pid} [\s\S]*RSS .*[▁-█]{{12}}[\s\S]* (growing|LEAK|leak\?) +block < leak_steadily")
    term.keys("d")
    term.expect("since mark")
    term.keys("q")
    term.expect(r"STATUS 0\nicanon")


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "vt100"}, {"LC_ALL": "C"}])
def test_plain_terminals(terminal, shapes, env):
    term = started(terminal, shapes, env=tuple(env.items()))
    term.expect(r" growing +block < leak_steadily")  # which is coloured where there are colours
    has_colours = "NO_COLOR" not in env and "TERM" not in env
    assert bool(term.colours()) == has_colours
    if "LC_ALL" in env:
        assert "▁" not in term.screen() and term.screen().isascii()
    term.keys("l")
    term.expect(r"100\.0% \S+ total, as the kernel counts")
    assert bool(term.colours()) == has_colours
    if "LC_ALL" in env:
        assert re.search("#{8}", term.screen()) and term.screen().isascii()
    term.keys("q")
    term.expect("STATUS 0\nicanon")


@pytest.mark.parametrize("how", ["INT", "TERM", "SEGV", "target"])
def test_leaves_the_terminal_clean(terminal, shapes, how):
    term = started(terminal, shapes)
    pid = int(subprocess.run(["pgrep", "-f", f"^{BIN} -p {shapes.pid} "], capture_output=True,
                             text=True, check=True).stdout.split()[0])
    if how == "target":
        shapes.stop()
    else:
        os.kill(pid, getattr(signal, "SIG" + how))
    term.expect(r"STATUS \d+\nicanon")
    flags = term.tmux("display", "-p", "#{alternate_on} #{cursor_flag} #{keypad_flag}").split()
    assert flags == ["0", "1", "0"]
    if how in ("INT", "target"):
        assert "STATUS 0" in term.screen()


@pytest.mark.parametrize("view", ["live", "top"])
def test_suspended_and_back(terminal, shapes, view):
    """^Z gives the terminal back to a shell with job control, fg draws the frame that was there."""
    command, row = {"live": (f"-p {shapes.pid} --exact -i 0.1s", "block < leak_steadily"),
                    "top": (f"top -i 0.1s -p {shapes.pid}", rf"\n +{shapes.pid} .*shapes")}[view]
    term = terminal("bash --norc --noprofile -i", env=(("PS1", "'here> '"),), cols=100, rows=30)

    def at_the_shell(after):
        term.expect(rf"{after}[\s\S]*here>\s*\Z")
        assert term.tmux("display", "-p", "#{alternate_on} #{cursor_flag} #{keypad_flag}").split() == ["0", "1", "0"]

    at_the_shell("")
    term.keys(f"{BIN} {command}", "Enter")
    term.expect(r"nothing was allocated yet|inuse_space by flat|by rss")
    shapes.say("go")
    term.expect(row)
    for _ in range(3):  # while frames come
        term.keys("C-z")
        at_the_shell("Stopped .*memwatch")
        term.keys("clear", "Enter")
        at_the_shell(r"\A\s*")
        term.keys("fg", "Enter")
        term.expect(row)
    term.keys("p")
    term.expect("PAUSED|, stopped")
    frame = term.screen(), term.colours()
    term.keys("C-z")
    at_the_shell("Stopped .*memwatch")
    term.keys("fg", "Enter")
    wait_for(lambda: (term.screen(), term.colours()) == frame)
    term.keys("h")
    term.expect("this help|mark this moment")
    term.keys("h", "q")
    at_the_shell("memwatch")
    term.keys("echo STATUS $?; jobs", "Enter")
    at_the_shell("STATUS 0")
    assert "Stopped" not in term.screen().split("STATUS 0")[1]


def test_in_use_is_what_is_listed(terminal, target, attach, tmp_path):
    """Header, table, key s and -o are the same set, with anonymous mappings and without."""
    t = target([build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))])
    t.expect("ready")
    term = terminal(f"{BIN} -p {t.pid} --exact -i 0.2s", cols=120, cwd=tmp_path)
    term.expect("nothing was allocated yet")
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "0.2s").ready()
    b = attach("-p", t.pid, "--exact", "--plain", "-i", "0.2s", "--mmap", "-o", tmp_path / "m.json").ready()
    t.say("grow 24")
    t.expect("ok grow")
    term.expect(r"in use +0B[\s\S]*mapped besides 24\.00MB[\s\S]*nothing was allocated yet")
    a.wait_for(r"in use 0B in 0 blocks .*\n.*\n  mapped besides 24\.00MB", "out")
    b.wait_for(r"in use 24\.00MB in 1 blocks and mappings[\s\S]*24\.00MB 100\.0% .*\[class mmap\]", "out")
    term.keys("a")
    term.expect(r"in use +24\.00MB [\s\S]*mappings too[\s\S]* 24\.00MB 100\.0% .*\[mmap\] map < keeps < main")
    assert "besides" not in term.screen()
    term.keys("s")
    saved = tmp_path / term.expect(r"wrote (memwatch-\d+-\d+\.pb\.gz)").group(1)
    assert "24MB" in memwatch("report", "--top", "1", saved, check=0).stdout
    assert b.finish()[0] == 0
    stacks = load_json(tmp_path / "m.json")["stacks"]
    assert sum(s["inuse_bytes"] for s in stacks) == 24 << 20
    t.say("heapspike 1")
    t.expect("ok heapspike")
    term.keys("a")
    term.expect(r"in use +0B[\s\S]*nothing that was allocated is in use; Tab: what was allocated")
    term.keys("q")


def test_signals_only_where_allowed(terminal, shapes):
    term = started(terminal, shapes)
    term.keys("F9")
    term.expect("--allow-signals was not given")
    term.keys("q")
    term.expect("STATUS 0")
    term = terminal(f"{BIN} -p {shapes.pid} -i 0.2s --allow-signals", cols=60, rows=12)
    term.expect("in use")
    term.keys("F7")
    term.expect(rf"Nice value of {shapes.pid} \(shapes\), now {NICE}: {NICE - 1}")
    term.keys("Enter")
    term.expect(f"{shapes.pid} has nice value {NICE - 1}")
    term.keys("F8", "x", "Enter")
    term.expect(f"'{NICE}x' is no nice value")
    assert os.getpriority(os.PRIO_PROCESS, shapes.pid) == NICE - 1
    term.keys("X", "Home", "Enter", "n")
    term.expect("nothing was sent")
    term.keys("X", "Enter", "y")
    term.expect(r"done: \d+ allocations[\s\S]*STATUS 0\nicanon")
    assert shapes.proc.wait(180) == -15


def test_search_and_help(terminal, shapes):
    term = started(terminal, shapes, cols=60, rows=14)
    term.keys("/", *"load_at", "Enter")
    term.expect(r"\nstep|startup|growing|too early[\s\S]*load_at")
    term.keys("/", *"no_such_thing", "Enter")
    term.expect("not found: no_such_thing")
    term.keys("\\", *"leak_(", "Enter")
    term.expect("no regular expression: leak_")
    term.keys("F1")
    term.expect(r"Tab +next sample type[\s\S]*PgDn more")
    assert "released" not in term.screen()
    term.keys("NPage", "NPage", "NPage")
    term.expect(r"too\s+early to say")
    assert all(len(line) <= 60 for line in term.screen().splitlines())
    term.tmux("resize-window", "-x", "80", "-y", "24")
    term.expect(r"Tab +next sample type[\s\S]*too early to say")  # one page
    term.keys("?")
    term.expect("stacks of inuse_space")


def test_code_without_a_name_is_called_by_its_place(terminal, target, tmp_path):
    """By the module and the place in it, which is the same in every process."""
    whole, bare = build("shapes.c", flags=["-O1"]), tmp_path / "bare"
    subprocess.run(["strip", "-s", "-o", bare, whole], check=True)
    t = target([bare, "50", "2000"])
    t.expect("ready")
    term = terminal(f"{BIN} -p {t.pid} --exact -i 0.3s", cols=120)
    term.expect("nothing was allocated yet")
    t.say("go")
    term.expect(r"bare\+0x[0-9a-f]+ < bare\+0x[0-9a-f]+")
    term.keys("Enter")
    places = term.expect(r" 0  bare\+0x([0-9a-f]+)\n +1  bare\+0x([0-9a-f]+)\n").groups()
    symbols = re.findall(r"^(\w+) (\w+) [tT] (\w+)$",
                         subprocess.run(["nm", "-S", whole], capture_output=True, text=True, check=True).stdout, re.M)
    names = [next(n for a, size, n in symbols if int(a, 16) <= int(p, 16) <= int(a, 16) + int(size, 16)) for p in places]
    assert names[0] == "block" and names[1] in ("leak_steadily", "leak_rarely", "fill_cache", "load_at_start", "saw_tooth")


BURST, BURSTS = 20000, 60  # events fit in the ring one burst at a time, all of them do not


def bursts_are_seen(t, pid, path):
    """The target allocates burst by burst; the next comes when a file asked for by SIGUSR1 has the
    one before. Returns the loss of the last."""
    for i in range(1, BURSTS + 1):
        t.say(str(BURST))
        t.expect(f"done {BURST}")

        def is_counted():
            os.kill(pid, signal.SIGUSR1)
            if not path.exists():
                return False
            totals = load_json(path)["totals"]
            return totals["alloc_objects"] >= i * (BURST + 1) and totals["free_objects"] >= i * BURST
        wait_for(is_counted)
    return load_json(path)["loss"]


@pytest.fixture
def bursts(target):
    t = target([build("bursts.c", flags=["-O1"])])
    t.expect("ready")
    return t


def pid_of(t):
    return int(wait_for(lambda: subprocess.run(["pgrep", "-f", f"^{BIN} -p {t.pid} "], text=True,
                                               capture_output=True).stdout.split())[0])


@pytest.mark.parametrize("options", ["", "--plain"])
def test_a_stopped_terminal_loses_nothing(terminal, bursts, tmp_path, options):
    out = tmp_path / "now.json"
    term = terminal(f"{BIN} -p {bursts.pid} --exact -i 0.1s -o {out} {options}")
    term.expect("in use +(0B|[0-9])")
    pid = pid_of(bursts)
    term.keys("C-s")
    time.sleep(0.5)  # frames pile up: whatever waits for the terminal waits now
    assert bursts_are_seen(bursts, pid, out) == {}
    shown = term.screen()
    term.keys("C-q")
    wait_for(lambda: term.screen() != shown)
    term.keys("C-s")
    bursts.say("1")
    bursts.expect("done 1")
    bursts.stop()  # its end is the run's; the terminal is given back although it stands still
    if options:
        term.keys("C-q")
    m = term.expect(r"done: (\d+) allocations and (\d+) frees seen, 0 events lost[\s\S]*STATUS 0\nicanon")
    assert (int(m.group(1)), int(m.group(2))) == (BURSTS * (BURST + 1) + 2, BURSTS * BURST + 1)


def test_keys_are_taken_on_a_stopped_terminal(terminal, shapes):
    term = started(terminal, shapes)
    pid = pid_of(shapes)
    term.keys("C-s")
    time.sleep(0.5)
    term.keys("q")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    term.expect(r"STATUS 0\nicanon")


def test_unread_pipes_lose_nothing(bursts, tmp_path):
    """Neither of its outputs is read: reports pile up to their limit, the run goes on, and SIGTERM
    ends it, its files written."""
    out = tmp_path / "now.json"
    p = subprocess.Popen([BIN, "-p", str(bursts.pid), "--exact", "-i", "0.01s", "-v", "-o", out],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
    try:
        while "attached" not in p.stderr.readline():
            pass
        assert bursts_are_seen(bursts, p.pid, out) == {}
        p.send_signal(signal.SIGTERM)
        wait_for(lambda: p.poll() is not None)
        assert p.returncode == 0
        assert load_json(out)["totals"]["alloc_objects"] == BURSTS * (BURST + 1)
    finally:
        p.kill()
        p.wait()
        p.stdout.close()
        p.stderr.close()


def test_a_closed_pipe_ends_quietly(bursts):
    p = subprocess.Popen([BIN, "-p", str(bursts.pid), "-i", "0.01s"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.stdout.close()
    err = p.stderr.read()
    p.stderr.close()
    assert p.wait(180) == 0
    assert "failed" not in err and "done:" in err


def test_not_a_terminal(target):
    exe = build("shapes.c", flags=["-O1"])
    t = target([exe, "10", "100"])
    t.expect("ready")
    p = memwatch("-p", t.pid, "--exact", "-d", "0.5s", "-i", "0.2s", check=0)
    assert "\x1b" not in p.stdout and "RSS" in p.stdout


def test_dumb_terminal(terminal, shapes):
    term = terminal(f"{BIN} -p {shapes.pid} --exact -d 1s -i 0.3s", env=(("TERM", "dumb"),))
    term.expect(r"in use[\s\S]*STATUS 0")


def test_across_restarts(terminal, tmp_path):
    """Of a service: the screen comes when it does, and shows the process that lives."""
    service = tmp_path / f"mwlive{os.getpid()}"
    shutil.copy(build("known.c"), service)
    term = terminal(f"{BIN} --name ^{service.name}'$' --exact -i 0.2s")
    term.expect("no process matches name .*now: waiting")
    for _ in range(2):
        t = Target([service])
        try:
            t.expect()
            term.expect(rf"PID {t.pid}  watched")
            t.say()
            t.expect("done")
            term.expect(r"in use +[0-9.]+kB(.|\n)* hold")
        finally:
            t.stop()
    term.keys("q")
    term.expect("STATUS 0")
