# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view in a real terminal (tmux): what it shows, its keys, sizes, and how it leaves."""
import os
import re
import signal
import subprocess
import uuid

import pytest

from conftest import BIN, build, memwatch, wait_for


class Terminal:
    def __init__(self, command, cols=80, rows=24, env=(), cwd=None):
        self.socket = f"memwatch-{uuid.uuid4().hex[:8]}"
        shell = " ".join(f"{k}={v}" for k, v in env)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(cols), "-y", str(rows),
                  f"stty -echo; env LANG=C.UTF-8 {shell} {command}; echo STATUS $?; stty -a | grep -o -- '-\\?icanon'; cat",
                  cwd=cwd)

    def tmux(self, *args, cwd=None):
        return subprocess.run(["tmux", "-L", self.socket, *args], capture_output=True, text=True,
                              check=True, cwd=cwd).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def expect(self, pattern, timeout=20):
        got = {}

        def there():
            got["s"] = self.screen()
            return re.search(pattern, got["s"])
        try:
            return wait_for(there, timeout=timeout)
        except pytest.fail.Exception:
            pytest.fail(f"{pattern!r} is not on the screen:\n{got['s']}")

    def close(self):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)


@pytest.fixture
def terminal():
    opened = []

    def start(*args, **kw):
        opened.append(Terminal(*args, **kw))
        return opened[-1]

    yield start
    for t in opened:
        t.close()


@pytest.fixture
def shapes(target):
    exe = build("shapes.c", flags=["-O1"])
    t = target([exe, "50", "2000"])
    t.expect("ready")
    return t


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
    term.keys("t")
    term.expect("stacks of alloc_objects by flat")
    term.keys("4", "o")
    term.expect("stacks of inuse_space by cum")
    term.keys("o")
    term.expect("by rate")
    term.keys("o", "o")
    term.expect("by flat")
    term.keys("f")
    term.expect(r"functions of inuse_space by flat[\s\S]*fill_cache")
    term.keys("/")
    for c in "leak_st":
        term.keys(c)
    term.keys("Enter")
    m = term.expect(r"\| /leak_st")
    wait_for(lambda: "fill_cache" not in term.screen())
    term.keys("Enter")  # into the function: callers and callees
    m = term.expect(r"called by\n.*main[\s\S]*leak_steadily +.*calls[\s\S]*block")
    term.keys("b", "b", "f")
    term.expect("stacks of inuse_space")
    term.keys("/")
    for c in "leak_rarely":
        term.keys(c)
    term.keys("Enter")
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
    term.keys("/")
    for c in "leak_steadily":
        term.keys(c)
    term.keys("Enter", "Enter")
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
    term.expect(r"leak\? +block < leak_steadily", timeout=40)
    term.expect(r"LEAK +block < leak_steadily", timeout=40)
    term.expect(r"startup +block < load_at_start", timeout=40)
    term.expect(r"churn +block < saw_tooth", timeout=40)
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
    term.expect(r"q quit.*save h help")


def test_ledger_page(terminal, shapes):
    term = started(terminal, shapes, options="--exact -i 0.3s")
    term.keys("l")
    m = term.expect(r"ledger as of (\d+:\d+:\d+) \| read in \S+, pause 1\.0s\n +VIRT +RSS +of RSS +what")
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
    term.expect(r"ledger as of [0-9:]+ \| PAUSED")
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


def test_ledger_of_several_processes(terminal, target):
    exe = build("shapes.c", flags=["-O1"])
    two = [target([exe, "50", "2000"]) for _ in range(2)]
    for t in two:
        t.expect("ready")
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


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "vt100"}, {"LC_ALL": "C"}])
def test_plain_terminals(terminal, shapes, env):
    term = started(terminal, shapes, env=tuple(env.items()))
    raw = term.tmux("capture-pane", "-p", "-e")
    if "NO_COLOR" in env or "TERM" in env:
        assert not re.search(r"\x1b\[3[1-6]m", raw)
    if "LC_ALL" in env:
        assert "▁" not in raw and raw.isascii()
    term.keys("l")
    term.expect(r"100\.0% \S+ total, as the kernel counts")
    raw = term.tmux("capture-pane", "-p", "-e")
    if "NO_COLOR" in env or "TERM" in env:
        assert not re.search(r"\x1b\[3[1-6]m", raw)
    if "LC_ALL" in env:
        assert re.search("#{8}", raw) and raw.isascii()
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


def test_not_a_terminal(target):
    exe = build("shapes.c", flags=["-O1"])
    t = target([exe, "10", "100"])
    t.expect("ready")
    p = memwatch("-p", t.pid, "--exact", "-d", "0.5s", "-i", "0.2s", check=0)
    assert "\x1b" not in p.stdout and "RSS" in p.stdout


def test_dumb_terminal(terminal, shapes):
    term = terminal(f"{BIN} -p {shapes.pid} --exact -d 1s -i 0.3s", env=(("TERM", "dumb"),))
    term.expect(r"in use[\s\S]*STATUS 0")
