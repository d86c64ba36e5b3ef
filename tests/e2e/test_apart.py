# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that somebody else made are read by a process that holds nothing: `report` and `oom FILE`, as
root and as any user. What it opens and writes by name the process that started it does, if the
command line names it."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import BIN, ROOT, memwatch, wait_for
from test_privilege import EVE, status_of
from test_report_shell import Terminal

AS_EVE = ("setpriv", "--reuid", str(EVE), "--regid", str(EVE), "--clear-groups")
READING = {"report": ["report", "--top", "-"], "report, a recording's": ["report", "--verdicts", "-"],
           "report --http": ["report", "--http", "-"], "report --shell": ["report", "--shell", "-"],
           "oom": ["oom", "-"]}
# To who started it; to the process that speaks HTTP, and to the one that reads binaries.
SOCKETS = {"report --http": 2, "report --shell": 2}


@pytest.fixture
def hers(tmp_path):
    """A directory of Eve's."""
    for p in [tmp_path, *tmp_path.parents]:
        if p != Path("/") and p.stat().st_uid == 0:
            p.chmod(p.stat().st_mode | 0o111)
    os.chown(tmp_path, EVE, EVE)
    return tmp_path


@pytest.fixture
def profile(tmp_path):
    """A profile with one stack, whose leaf is line 3 of a source."""
    src = tmp_path / "src.c"
    src.write_text("/* one */\nvoid *f(void)\n{ return malloc(7); }\n")
    p = tmp_path / "in.json"
    p.write_text(json.dumps({
        "schema": "memwatch.profile/1", "pid": 1, "comm": "x", "start_unix_ms": 0, "duration_ms": 1,
        "sample_bytes": 1, "totals": {}, "loss": {},
        "stacks": [{"alloc_objects": 1, "alloc_bytes": 7, "inuse_objects": 1, "inuse_bytes": 7,
                    "frames": [{"function": "f", "file": str(src), "line": 3, "module": "/bin/x",
                                "build_id": "", "address": "0x10", "inlined": False}]}]}))
    return p


def reader_of(pid):
    for p in Path("/proc").glob("[0-9]*"):
        try:
            s = status_of(p.name)
        except (OSError, KeyError):
            continue
        if s["PPid"] == str(pid) and s["Name"] == "memwatch-apart":
            return int(p.name)
    return None


@pytest.mark.parametrize("who", ["root", "user"])
@pytest.mark.parametrize("what", READING)
def test_who_reads_holds_nothing(what, who, hers):
    exe = BIN
    if who == "user":
        exe = hers / "memwatch"
        shutil.copy(BIN, exe)
    p = subprocess.Popen([*(AS_EVE if who == "user" else ()), str(exe), *READING[what]], cwd="/",
                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def confined():
            pid = reader_of(p.pid)
            return pid if pid and status_of(pid)["Seccomp"] == "2" and "pipe" in (
                Path(f"/proc/{pid}/stack").read_text()) else None
        pid = wait_for(confined)
        s = status_of(pid)
        assert s["NoNewPrivs"] == "1"
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert not s[caps], caps
        if who == "root":
            uids = set(s["Uid"].split())
            assert len(uids) == 1 and int(uids.pop()) >= 61184
        with pytest.raises(ProcessLookupError):  # its root is a directory of an ended process
            os.listdir(f"/proc/{pid}/root/")
        links = {int(f): os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")}
        others = [to for fd, to in links.items() if fd > 2 and not to.startswith("pipe:")]
        assert len(others) == SOCKETS.get(what, 1) and all(o.startswith("socket:") for o in others), links
        main = status_of(p.pid)
        assert not main["CapEff"] and main["NoNewPrivs"] == "1"
    finally:
        p.stdin.close()
        p.wait(180)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_files_and_sources_by_who_may(profile, tmp_path):
    """Everything that report opens, writes and runs by name still works."""
    outs = [tmp_path / n for n in ("o.pb.gz", "o.json", "o.txt", "o.folded", "o.svg", "o.html")]
    args = [x for o in outs for x in ("-o", o)]
    memwatch("report", *args, profile, check=0)
    for o in outs:
        assert o.stat().st_size and o.stat().st_mode & 0o777 == 0o600, o
    assert gzip.decompress(outs[0].read_bytes())
    p = memwatch("report", "--list", "f", profile, check=0)
    assert "return malloc(7);" in p.stdout
    if shutil.which("dot"):
        memwatch("report", "--graph", tmp_path / "g.svg", profile, check=0)
        assert "<svg" in (tmp_path / "g.svg").read_text()
    p = memwatch("report", "-o", "/dev/stdout", profile)
    q = subprocess.run(["bash", "-c", f"{BIN} report --top <(cat {profile})"], capture_output=True, text=True)
    assert q.returncode == 0 and " f" in q.stdout, q.stderr


def test_what_it_may_not_read_and_write_is_said(profile, hers):
    exe = hers / "memwatch"
    shutil.copy(BIN, exe)
    profile.chmod(0o600)
    p = subprocess.run([*AS_EVE, str(exe), "report", str(profile)], capture_output=True, text=True)
    assert p.returncode == 1 and "Permission denied" in p.stderr
    profile.chmod(0o644)
    p = subprocess.run([*AS_EVE, str(exe), "report", "-o", "/proc/1/x.json", str(profile)],
                       capture_output=True, text=True)
    assert p.returncode == 1 and "'/proc/1/x.json' cannot be written" in p.stderr
    p = memwatch("report", hers / "missing.json")
    assert p.returncode == 1 and "No such file" in p.stderr
    assert memwatch("oom", hers / "missing.log").returncode == 1


def test_secrets_are_not_its_sources(profile, tmp_path):
    """A pipe or a device that a profile names as source is not opened."""
    text = json.loads(profile.read_text())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    text["stacks"][0]["frames"][0]["file"] = str(fifo)
    profile.write_text(json.dumps(text))
    writer = subprocess.Popen(["sh", "-c", f'exec 3>"{fifo}"; echo woken'], stdout=subprocess.PIPE, text=True)
    try:
        p = memwatch("report", "--list", "f", profile, check=0)
        assert "return malloc" not in p.stdout
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


@pytest.mark.parametrize("sig", [signal.SIGSEGV, signal.SIGKILL], ids=["crash", "killed"])
@pytest.mark.parametrize("what", READING)
def test_one_that_dies_is_a_failure_without_a_file(what, sig, tmp_path):
    out = tmp_path / "o.json"
    args = READING[what] + (["-o", str(out)] if what == "report" else [])
    p = subprocess.Popen([str(BIN), *args], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    try:
        os.kill(wait_for(lambda: reader_of(p.pid)), sig)
        assert p.wait(180) == 1
        assert "ended with signal" in p.stderr.read()
        assert not list(tmp_path.iterdir())
    finally:
        p.stdin.close()
        p.stderr.close()


def test_it_ends_with_who_started_it():
    p = subprocess.Popen([str(BIN), "report", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    pid = wait_for(lambda: reader_of(p.pid))
    p.kill()
    p.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    p.stdin.close()


def test_a_closed_pipe_is_quiet(profile):
    p = subprocess.run(["bash", "-c", f"{BIN} report --raw {profile} | true; echo ${{PIPESTATUS[0]}}"],
                       capture_output=True, text=True)
    assert not p.stderr and p.stdout.strip() in ("0", "141")


def test_saved_logs_are_read(tmp_path):
    log = ROOT / "tests/oomlogs/6.8-no-victim.txt"
    p = memwatch("oom", log, check=0)
    q = subprocess.run([str(BIN), "oom", "-"], stdin=open(log), capture_output=True, text=True)
    assert re.sub(r"'.*?'", "", p.stdout) == re.sub(r"'.*?'", "", q.stdout)


def test_a_shell_whose_reader_dies(profile, tmp_path):
    """The half with the terminal says so and fails; with that half the reader ends too."""
    t = Terminal(tmp_path, profile)
    os.kill(reader_of(t.pid), signal.SIGSEGV)
    t.type("top\n")
    t.expect("ended with signal 11")
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 1
    os.close(t.fd)
    t = Terminal(tmp_path, profile)
    pid = reader_of(t.pid)
    os.kill(t.pid, signal.SIGKILL)
    os.waitpid(t.pid, 0)
    os.close(t.fd)
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_ctrl_c_ends_a_command_of_the_shell(profile, tmp_path):
    """One whose report nobody takes. What was typed is in the next shell's history."""
    text = json.loads(profile.read_text())
    text["stacks"] = [dict(text["stacks"][0], frames=[dict(text["stacks"][0]["frames"][0], function=f"f{i}")])
                      for i in range(20000)]
    profile.write_text(json.dumps(text))
    t = Terminal(tmp_path, profile)
    pid = reader_of(t.pid)
    t.type("traces\n")
    wait_for(lambda: "pipe_write" in Path(f"/proc/{pid}/stack").read_text())
    t.type("\x03")
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or status_of(pid)["State"].startswith("Z"))
    with pytest.raises(OSError):  # closed
        while True:
            os.read(t.fd, 65536)
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == -signal.SIGINT
    os.close(t.fd)
    t = Terminal(tmp_path, profile)
    t.type("\x1b[A")
    t.expect("traces")
    t.type("\x15")  # not this line
    assert t.end() == 0


def test_names_that_would_be_commands_are_not_completed(profile, tmp_path):
    text = json.loads(profile.read_text())
    hostile = ["|touch${IFS}pwned", ">pwned", "zed|x\x1b]0;pwned\x07", "zed_plain"]
    text["stacks"] = [dict(text["stacks"][0], frames=[dict(text["stacks"][0]["frames"][0], function=n)])
                      for n in hostile]
    profile.write_text(json.dumps(text))
    t = Terminal(tmp_path, profile)
    for keys in ("top |\t\x15", "top >\t\x15", "peek ze\t\n"):
        t.type(keys)
    seen = t.expect("(memwatch) ")
    assert "pwned" not in seen and "zed_plain" in seen, seen
    assert t.end() == 0
    assert not (tmp_path / "pwned").exists()
