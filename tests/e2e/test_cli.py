# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line contract that needs no target."""
import contextlib
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from conftest import BIN, ROOT, build, memwatch, wait_for


def test_version():
    p = memwatch("--version", check=0)
    assert p.stdout.startswith("memwatch ")


def test_usage():
    assert memwatch(check=2).stdout == ""
    assert "usage:" in memwatch("--help", check=0).stdout
    p = memwatch("nonsense", check=2)
    assert "nonsense" in p.stderr


@pytest.mark.parametrize("args,status,said", [
    (["tpo"], 2, r"unknown command 'tpo': did you mean 'memwatch top'\?"),
    (["top", "--filtr", "x"], 2, r"unknown option '--filtr': did you mean --filter\?\n'memwatch top --help'"),
    (["-p", "1", "--duratoin", "3"], 2, r"did you mean --duration\?\n'memwatch -p --help'"),
    (["-p", "1", "--smaple-bytes=1K"], 2, r"did you mean --sample-bytes\?"),
    (["run", "--plane", "--", "true"], 2, r"did you mean --plain\?\n'memwatch run --help'"),
    (["report", "--focsu", "x", "y"], 2, r"did you mean --focus\?"),
    (["top", "--sort", "grwth"], 2, r"--sort: 'grwth' is no sort key: did you mean growth\?"),
    (["top", "--sort", "zzzzzz"], 2, r"'zzzzzz' is no sort key \(rss, virt, .*command\)"),
    (["-p", "1", "--sample-index", "inuse"], 2, r"'inuse' is no sample type: did you mean inuse_space\?"),
    (["-p", "1", "-i", "1ms"], 2, r"--interval: '1ms' is no time .*10ms to a year[\s\S]*memwatch -p --help"),
    (["-p", "1", "-d", "5x"], 2, r"--duration: '5x' is no time \(500ms, 30s"),
    (["top", "-d", "0"], 2, r"--duration: '0' is no time"),
    (["-p", "1", "--sample-bytes", "0"], 2, r"--sample-bytes: '0' is no size"),
    (["-p", "1", "--top", "-3"], 2, r"--top: '-3' is no number of rows"),
    (["top", "-n", "x"], 2, r"--iterations: 'x' is no number of refreshes"),
    (["-p", "1", "--max-overhead", "much"], 2, r"--max-overhead: 'much' is no percentage"),
    (["-p", "1", "--alert-rss", "1G", "--alert-cooldown", "soon"], 2, r"--alert-cooldown: 'soon' is no time"),
    (["-p", "1", "-o", "x.png"], 2, r"--output: 'x.png' .*must end in \.pb\.gz"),
    (["-p", "1", "--timeline", "a.csv", "--timeline", "b.csv"], 2, r"--timeline: 'a.csv' and 'b.csv': it may be given once"),
    (["-p", "1", "--peak", "a.svg", "--peak", "b.svg"], 2, r"--peak: 'a.svg' and 'b.svg'"),
    (["-p", "1", "--record", "a.mwr", "--record", "b.mwr"], 2, r"--record: 'a.mwr' and 'b.mwr'"),
    (["oom", "--log", "a", "--log", "b"], 2, r"--log: 'a' and 'b': it may be given once"),
    (["oom", "--on-kill", "a", "--on-kill", "b"], 2, r"--on-kill: 'a' and 'b': it may be given once"),
    (["-p", "1", "--oom-log", "a", "--oom-log", "b"], 2, r"--oom-log: 'a' and 'b'"),
    (["-p", "1", "--on-alert", "a", "--on-alert", "b"], 2, r"--on-alert: 'a' and 'b'"),
    (["history", "--event", "1", "-o", "a.svg", "-o", "b.svg"], 2, r"--output: 'a.svg' and 'b.svg'"),
    (["report", "--survivors", "a", "--survivors", "b", "x.json"], 2, r"--survivors: 'a' and 'b'"),
    (["-p", "1", "--record", "x.csv"], 2, r"--record: 'x.csv' would be no \.csv file but a recording"),
    (["-p", "1", "-o", "/nonexistent/x.svg"], 1, r"--output: '/nonexistent/x.svg' cannot be written: No such file"),
    (["-p", "1", "--timeline", "/nonexistent/x.csv"], 1, r"--timeline: '/nonexistent/x.csv' cannot be written"),
    (["-p", "1", "--peak", "/nonexistent/x.svg"], 1, r"--peak: .* cannot be written"),
    (["-p", "1", "--record", "/nonexistent/x"], 1, r"--record: .* cannot be written"),
    (["top", "--timeline", "/nonexistent/x.csv", "-n", "1"], 1, r"--timeline: .* cannot be written"),
    (["-p", "1", "--peak-rss", "/nonexistent/x.svg"], 1, r"--peak-rss: .* cannot be written"),
    (["-p", "1", "--alert-rss", "1G", "--alert-dir", "/nonexistent"], 1, r"--alert-dir: '/nonexistent/.*No such file"),
    (["run", "--oom-log", "/nonexistent/x", "--", "touch", "ran"], 1, r"--oom-log: '/nonexistent/x' cannot be written: No such file"),
    (["run", "-o", "/nonexistent/x.svg", "--", "touch", "ran"], 1, r"--output: .* cannot be written"),
    (["top", "--faults", "--timeline", "/nonexistent/x.csv", "-d", "1"], 1, r"--timeline: .* cannot be written"),
    (["top", "--faults", "-o", "/nonexistent/x.svg", "-d", "1"], 1, r"--output: .* cannot be written"),
    (["go", "-p", "1", "-o", "/nonexistent/x.svg"], 1, r"--output: '/nonexistent/x.svg' cannot be written: No such file"),
    (["go", "-p", "1", "--timeline", "/nonexistent/x.csv"], 1, r"--timeline: .* cannot be written"),
    # what is asked for first may take long to read
    (["report", "none.json", "-o", "/nonexistent/x.svg"], 1, r"--output: '/nonexistent/x.svg' cannot be written: No such file"),
    (["report", "none.json", "--graph", "/nonexistent/x.svg"], 1, r"--graph: .* cannot be written"),
    (["report", "none.json", "-svg", "-output=/nonexistent/x.svg"], 1, r"-output: .* cannot be written"),
    (["history", "--event", "1", "-o", "/nonexistent/x.svg"], 1, r"--output: .* cannot be written"),
    (["oom", "--log", "/nonexistent/x", "-d", "1"], 1, r"'/nonexistent/x'.*No such file"),
    # what has the option in its name says it once
    (["-p", "no_such_program_here"], 4, r"^memwatch -p: no process is called 'no_such_program_here'"),
    (["-p", "0"], 2, r"^memwatch -p: '0' is no process ID"),
    (["-d", "1", "--pid=0"], 2, r"^memwatch -p: '0' is no process ID"),
    (["top", "-p", "no_such_program_here"], 4, r"^memwatch top: --pid: no process is called 'no_such_program_here'"),
    (["go", "-p", "no_such_program_here"], 4, r"no process is called 'no_such_program_here'"),
    (["go", "-p", "1", "-i", "1ms"], 2, r"--interval: '1ms' is no time .*10ms to a year[\s\S]*memwatch go --help"),
    (["go", "-p", "1", "--sample-index", "alloc"], 2, r"'alloc' is no sample type: did you mean alloc_space\?"),
    (["go", "-p", "1", "-o", "x.png"], 2, r"--output: 'x.png' .*must end in \.pb\.gz"),
    (["go"], 2, r"which process\? \(-p PID\)"),
    (["features", "-p", "no_such_program_here"], 4, r"no process is called 'no_such_program_here'"),
    (["features", "-p", "-5"], 2, r"--pid: '-5' is no process ID \(1 to "),
    (["detach", "-p", "no_such_program_here"], 4, r"no process is called 'no_such_program_here'"),
    (["detach"], 2, r"which process\? \(-p PID\)"),
    (["history", "--grwth"], 2, r"unknown option '--grwth': did you mean --growth\?"),
    (["oom", "--lst"], 2, r"unknown option '--lst': did you mean --list\?\n'memwatch oom --help'"),
    (["daemon", "--lisen", "x"], 2, r"did you mean --listen\?"),
    (["report", "--granularity", "line", "x.json"], 2, r"--granularity: 'line' is no granularity: did you mean lines\? \(addr"),
    (["report", "--trim", "maybe", "x.json"], 2, r"--trim: 'maybe' is no switch \(yes or no\)"),
    (["report", "--node-count", "ten", "x.json"], 2, r"--node-count: 'ten' is no whole number"),
    (["report", "--unit", "MiBs", "x.json"], 2, r"--unit: 'MiBs' is no unit: did you mean MB\? \(auto, minimum, count, B, kB"),
    (["report", "--node-fraction", "7", "x.json"], 2, r"--node-fraction: '7' is no fraction \(from 0 to 1\)"),
    (["report", "-tpo", "x.json"], 2, r"unknown option '-tpo': did you mean --top\?\n'memwatch report --help'"),
    (["report", "-granularity=linez", "x.json"], 2, r"--granularity: 'linez' is no granularity: did you mean lines\?"),
    (["-p", "1", "-plain"], 2, r"unknown option '-plain': did you mean --plain\?"),
    (["top", "-filtr", "x"], 2, r"unknown option '-filtr': did you mean --filter\?"),
    (["top", "--filter", "("], 2, r"--filter: '\(' is no regular expression"),
    (["report", "--focus", "(", "x.json"], 2, r"--focus: '\(' is no regular expression"),
    (["report", "--tag-show", "(", "x.json"], 2, r"--tag-show: '\(' is no regular expression"),
    (["report", "--divide-by", "0", "x.json"], 2, r"--divide-by: zero divisor"),
    # before anything is read
    (["report", "--tag-focus", "comm=a,(", "none.json"], 2, r"--tag-focus: '\(' is no regular expression"),
    (["report", "--tag-ignore", "(", "none.json"], 2, r"--tag-ignore: '\(' is no regular expression"),
    (["report", "-tagfocus=(", "none.json"], 2, r"--tag-focus: '\(' is no regular expression"),
    (["top", "--filter", "(", "--ledger", "-p", "1"], 2, r"--filter: '\(' is no regular expression"),
    (["report", "--list=(", "none.json"], 2, r"--list: '\(' is no regular expression: missing"),
    (["report", "/nonexistent/x.pb.gz"], 1, r"/nonexistent/x.pb.gz.*No such file"),
    (["report", "-o", "x.xls", "x.json"], 2, r"--output: 'x.xls' is no name that it writes \(it must end in \.pb\.gz"),
    (["report", "--graph", "x.xls", "x.json"], 2, r"--graph: 'x.xls' is no name that it writes \(it must end in \.dot"),
    (["report", "--http=nowhere:x:y", "x.json"], 1, r"'nowhere:x:y' is no address to listen on: ADDR:PORT"),
    (["oom", "--since", "whenever"], 2, r"--since: 'whenever' is no time \(2h"),
    (["oom", "--source", "prob"], 2, r"--source: 'prob' is no witness: did you mean probe\?"),
    (["oom", "-d", "soon"], 2, r"--duration: 'soon' is no time \(500ms, 30s"),
    (["daemon", "-d", "soon"], 2, r"--duration: 'soon' is no time \(500ms, 30s"),
    (["daemon", "--state-dir", "here"], 2, r"--state-dir: 'here' is no path from the root"),
    (["history", "--top", "0"], 2, r"--top: '0' is no number of rows"),
    (["history", "--event", "last"], 2, r"--event: 'last' is no number of an entry"),
    (["history", "--at", "whenever"], 2, r"--at: 'whenever' is no time \(2h"),
    (["report", "--top=many", "x.json"], 2, r"--top: 'many' is no number of rows"),
    (["report", "--pid", "x", "x.json"], 2, r"--pid: 'x' is no process ID"),
    (["report", "--from", "x", "x.json"], 2, r"--from: 'x' is no time \(500ms"),
    (["report", "--leak-after", "x", "x.json"], 2, r"--leak-after: 'x' is no time \(500ms"),
    (["-p", "1", "--alert-rss", "much"], 2, r"--alert-rss: 'much' is no threshold \("),
    (["-p", "1", "--output-mode", "x"], 2, r"--output-mode: 'x' is no mode of a file \("),
    (["-p", "1", "--name", "("], 2, r"--name: '\(' is no regular expression: "),
    (["-p", "1", "--container", "a/b"], 2, r"--container: 'a/b' is no identifier of a container\n"),
    # another command's option
    (["top", "--graph"], 2, r"unknown option '--graph'\n'memwatch report' has --graph\.\n'memwatch top --help'"),
    (["--filter", "x", "top"], 2, r"^memwatch -p: unknown option '--filter'.*\n'memwatch top' has --filter\.\n'memwatch -p --help'"),
    (["top", "-q"], 2, r"'memwatch -p', 'memwatch run', .*and 'memwatch report' have -q\.\n"),
    (["top", "--frobnicate"], 2, r"unknown option '--frobnicate'\n'memwatch top --help' has the options"),
])
def test_wrong_usage(args, status, said, tmp_path):
    """One grammar of complaints, with what was probably meant; nothing on stdout, nothing attached."""
    p = memwatch(*args, check=status, cwd=tmp_path)
    assert re.search(said, p.stderr), p.stderr
    assert p.stdout == "" and "attached" not in p.stderr and os.listdir(tmp_path) == []


def test_options_of_the_command_are_its_own():
    p = memwatch("run", "-q", "--", "sh", "-c", 'echo "$@"', "sh", "--filtr", "-h")
    assert p.stdout == "--filtr -h\n", p.stderr
    p = memwatch("run", "-q", "echo", "--duratoin")
    assert p.stdout == "--duratoin\n", p.stderr


@pytest.mark.parametrize("words", [["top", "--sort", "{}"], ["go", "-p", "1", "{}"], ["-p", "{}"], ["-p", "1", "--{}"],
                                   ["-p", "1", "-d", "{}"], ["{}"], ["report", "{}"], ["-p", "1", "--alert-rss", "{}"],
                                   ["daemon", "--config", "{}"], ["run", "--sample-index", "{}", "--", "true"],
                                   ["history", "--since", "{}"], ["-p", "1", "-o", "{}.docx"], ["--name", "({}"]])
def test_complaints_are_for_a_terminal(words):
    """A word may be a name that somebody chose: what a terminal obeys is not repeated to it."""
    p = subprocess.run([BIN, *(w.replace("{}", "ev\033[2Jil\u202etxt\r") for w in words)], capture_output=True)
    assert p.returncode in (1, 2, 3, 4) and b"ev" in p.stderr, p.stderr
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", p.stderr) and "\u202e".encode() not in p.stderr, p.stderr


@pytest.mark.parametrize("command", [[], ["-p"], ["run"], ["top"], ["report"], ["go"], ["oom"], ["features"],
                                     ["detach"], ["daemon"], ["history"]])
def test_short_help(command):
    p = memwatch(*command, "-h", check=0)
    assert p.stdout == memwatch(*command, "--help", check=0).stdout and "sage: memwatch" in p.stdout
    assert p.stdout == memwatch("help", *command, check=0).stdout


def test_attach_by_name(target):
    exe = build("shapes.c", flags=["-O1"], suffix="-by.name+1")
    one = target([exe, "50", "2000"])
    one.expect("ready")
    p = memwatch("-p", exe.name, "-d", "0.2s", "--plain", check=0)
    assert f"attached to PID {one.pid} " in p.stderr
    p = memwatch("top", "-p", exe.name, "--json", "-n", "1", check=0)
    assert f'"pid": {one.pid}' in p.stdout or f'"pid":{one.pid}' in p.stdout
    memwatch("-p", exe.name.replace("+", "x"), check=4)  # a name is no expression
    two = target([exe, "51", "2000"])
    two.expect("ready")
    p = memwatch("-p", exe.name, check=2)
    assert f"2 processes are called '{exe.name}'" in p.stderr
    assert re.search(rf"^ +{one.pid}  \S*{re.escape(exe.name)} 50 2000$", p.stderr, re.M), p.stderr
    assert re.search(rf"^ +{two.pid}  \S*{re.escape(exe.name)} 51 2000$", p.stderr, re.M), p.stderr
    for command in (["go"], ["features"], ["detach"], ["top"]):  # the same list everywhere
        assert memwatch(*command, "-p", exe.name, check=2).stderr.split("\n", 1)[1] == p.stderr.split("\n", 1)[1]
    one.stop()
    assert f"PID {two.pid}" in memwatch("detach", "-p", exe.name, check=0).stderr
    assert f"--fast in PID {two.pid}: " in memwatch("features", "-p", exe.name).stdout
    assert f"{exe.name} is not a Go program" in memwatch("go", "-p", exe.name, check=3).stderr


def test_hints_in_the_shell(target, tmp_path):
    t = target([build("shapes.c", flags=["-O1"]), "50", "2000"])
    t.expect("ready")
    memwatch("-p", t.pid, "-q", "--plain", "-d", "0.2s", "-o", tmp_path / "h.json", check=0)
    for line, hint in (("tpo", "top"), ("grnularity=lines", "granularity"), ("granularity=line", "lines"),
                       ("sample_index=inuse_spce", "inuse_space"), ("weblst main", "weblist")):
        p = memwatch("report", "--shell", tmp_path / "h.json", input=line + "\nquit\n", check=1)
        assert f"did you mean {hint}?" in p.stderr, (line, p.stderr)
    p = memwatch("report", "--shell", tmp_path / "h.json", input="foo\nquit\n", check=1)
    assert 'unrecognized command: "foo" (' in p.stderr  # that could be anything


def read_until(fd, what):
    text = ""
    while what not in text:
        assert select.select([fd], [], [], 60)[0], text
        text += os.read(fd, 65536).decode()
    return text


def test_long_work_shows_progress_on_a_terminal_alone(target, tmp_path):
    """A pipe for a file: reading it takes as long as nobody writes."""
    t = target([build("shapes.c", flags=["-O1"]), "50", "2000"])
    t.expect("ready")
    memwatch("-p", t.pid, "-q", "--plain", "-d", "0.2s", "-o", tmp_path / "h.json", check=0)
    slow = tmp_path / "slow.json"
    os.mkfifo(slow)
    ours, theirs = pty.openpty()
    args = [BIN, "report", "--top", slow.name, "-o", "out.folded"]
    p = subprocess.Popen(args, stdout=theirs, stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    seen = read_until(ours, "... 2s")
    assert re.match(r"\rmemwatch: reading '\S*slow.json'... 1s\rmemwatch: reading '\S*slow.json'... 2s$", seen), seen
    slow.write_bytes((tmp_path / "h.json").read_bytes())
    seen = read_until(ours, "cum%")
    os.close(ours)
    p.wait(180)
    assert re.search(r"\r +\rFile: shapes|\r +\r\S+: |\r +\rType", seen), seen  # the line is blank before the report begins
    p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    time.sleep(2.2)  # what it would say it would have said by now
    slow.write_bytes((tmp_path / "h.json").read_bytes())
    out, err = p.communicate(timeout=180)
    assert p.returncode == 0 and "cum%" in out and "reading" not in err and "\r" not in err


def test_files_of_a_page_that_take_long_to_read_show_progress(tmp_path):
    os.mkfifo(tmp_path / "slow.json")
    slow = os.open(tmp_path / "slow.json", os.O_RDWR)  # it can be opened, and there is nothing in it so far
    ours, theirs = pty.openpty()
    p = subprocess.Popen([BIN, "report", "--http", "slow.json"], stdout=theirs, stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    assert re.search(r"\rmemwatch: reading 'slow.json'... 1s$", read_until(ours, "... 1s"))
    os.write(slow, b'{"schema":"memwatch.timeline/1","processes":[{"pid":7,"name":"x","rows":[{"time_unix_ms":1700000000000,'
             b'"virt_bytes":200,"rss_bytes":100}],"marks":[]}]}')
    os.close(slow)
    assert re.search(r"\r +\rmemwatch: page: http", read_until(ours, "token="))
    p.send_signal(signal.SIGINT)
    p.wait(180)
    os.close(ours)


def test_a_history_that_takes_long_to_read_shows_progress(tmp_path):
    """It waits for who has it to himself."""
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", "build/tests/history_fill"], check=True, capture_output=True)
    subprocess.run([ROOT / "build/tests/history_fill", tmp_path, str(int(time.time() * 1000))], check=True)
    db = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("CREATE TABLE mine(a)")
    ours, theirs = pty.openpty()
    p = subprocess.Popen([BIN, "history", "--state-dir", "."], stdout=theirs, stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    assert re.match(r"\rmemwatch: reading the history in '/\S+... 1s$", read_until(ours, "1s"))
    db.close()
    assert re.search(r"\r +\r(from|memwatch: failed)", read_until(ours, "\n"))
    p.wait(180)
    os.close(ours)


def test_a_log_that_takes_long_to_read_shows_progress(tmp_path):
    """What is found on the way is printed whole, on lines of its own."""
    ours, theirs = pty.openpty()
    p = subprocess.Popen([BIN, "oom", "-"], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    assert re.match(r"\rmemwatch: reading '-'... 1s$", read_until(ours, " 1s"))
    p.stdin.write((ROOT / "tests/oomlogs/6.8-no-victim.txt").read_bytes())
    p.stdin.close()
    assert re.search(r"(\r +\r|\n|^)[^\n]*\bkill", read_until(ours, "kill"))
    p.wait(180)
    os.close(ours)


def held_up(words, helper):
    """The command, waiting on a terminal for a helper of its own that was stopped in time; the helper, the
    terminal and what it shows after a second. What ended before is started again."""
    while True:
        ours, theirs = pty.openpty()
        p = subprocess.Popen([BIN, *words], stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        with contextlib.suppress(OSError):  # it, or a child of it, has ended
            while p.poll() is None:
                for k in Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split():
                    if Path(f"/proc/{k}/comm").read_text() == f"{helper}\n":
                        os.kill(int(k), signal.SIGSTOP)
                        return p, int(k), ours, read_until(ours, "1s")
        p.wait(180)
        os.close(ours)


@pytest.mark.parametrize("words, helper, what, after", [
    (["-d", "0.1s", "--plain", "-p"], "memwatch-box", "loading the probes", "memwatch: (attaching|attached) to"),
    (["go", "-p"], "memwatch-open", "attaching to PID {}", "memwatch: .* is not a Go program"),
    (["features", "-p"], "memwatch-box", "looking into PID {}", ""),
    (["features", "--json", "-p"], "memwatch-box", "looking into PID {}", "")])
def test_a_look_at_a_process_that_takes_long_shows_progress(target, words, helper, what, after):
    """Who reads the program's files does not get to it."""
    t = target([build("shapes.c", flags=["-O1"]), "1", "1"])
    t.expect("ready")
    p, stopped, ours, seen = held_up([*words, str(t.pid)], helper)
    os.kill(stopped, signal.SIGCONT)
    assert re.search(rf"\rmemwatch: {what.format(t.pid)}\.\.\. 1s$", seen)
    with contextlib.suppress(OSError):  # it has ended
        while True:
            seen += os.read(ours, 65536).decode()
    assert re.search(rf"\r +\r{after}", seen), seen
    p.wait(180)
    os.close(ours)


def test_report_says_what_a_file_is(target, tmp_path):
    t = target([build("shapes.c", flags=["-O1"]), "50", "2000"])
    t.expect("ready")
    memwatch("-p", t.pid, "-q", "--plain", "-d", "0.2s", "-o", tmp_path / "h.html", "-o", tmp_path / "h.svg",
             "-o", tmp_path / "h.json", check=0)
    memwatch("report", "--top", "1", tmp_path / "h.json", check=0)
    for name, what in (("h.html", "a page or a picture"), ("h.svg", "a page or a picture")):
        p = memwatch("report", tmp_path / name)
        assert p.returncode not in (0, -6, -11) and name in p.stderr and what in p.stderr, p.stderr
