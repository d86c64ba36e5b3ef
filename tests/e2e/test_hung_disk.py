# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system that stops answering holds up neither the watching nor the end, and nothing that was
collected is lost if it answers again."""
import json
import os
import signal
from pathlib import Path

import pytest
from conftest import Attached, in_time, load_json, memwatch, wait_for
from fuselib import CREATE, FLUSH, FSYNC, LOOKUP, RENAME, SETATTR, WRITE, Hanging
from test_files import profile_text, sleeper  # noqa: F401 (a fixture)
from test_processes import family
from test_stops import PROMISED, busy, interrupt  # noqa: F401 (a fixture)

OPS = {"lookup": LOOKUP, "create": CREATE, "chmod": SETATTR, "write": WRITE, "close": FLUSH,
       "rename": RENAME}


@pytest.fixture
def hung(tmp_path):
    at = tmp_path / "mnt"
    at.mkdir()
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this kernel has no FUSE")
    h = Hanging(at)
    yield h
    h.unmount()


def ends(m):
    """The end by one signal: memwatch is gone, whatever still waits."""
    took = interrupt(m.proc)
    m.finish(None)
    return took


def finished_without(m, out, hung):
    """It ends and says which file is not there; that comes when the file system answers."""
    assert in_time(ends(m), PROMISED)
    assert m.proc.returncode == 1
    assert f"failed to write '{out}': its file system does not answer" in m.err
    assert os.fsencode(out.name) not in hung.names
    hung.release()
    wait_for(lambda: os.fsencode(out.name) in hung.names)


@pytest.mark.parametrize("op", OPS)
def test_the_end_waits_for_no_disk(op, busy, attach, hung):
    out = hung.at / "p.json"
    m = attach("-p", busy.pid, "--plain", "-q", "-v", "--exact", "-o", out)
    busy.say()
    busy.expect("ok")
    hung.hold(OPS[op])
    finished_without(m, out, hung)
    assert load_json(out)["totals"]["alloc_objects"] >= 2
    assert set(hung.names) == {b"p.json"}


def test_what_it_leaves_behind_holds_nothing(busy, attach, hung):
    """No probe, no descriptor of the caller's: who waits for the end of the output has it."""
    m = attach("-p", busy.pid, "--plain", "-q", "-v", "--exact", "-o", hung.at / "p.json")
    hung.hold(WRITE)
    files = [p for p, (s, _) in family(m.proc.pid).items() if s["Name"] == "memwatch-files"]
    m.proc.send_signal(signal.SIGINT)
    wait_for(lambda: hung.waiting)
    last = [p for p, (s, _) in family(m.proc.pid).items()
            if s["Name"] == "memwatch-files" and p not in files]
    assert len(last) == 1
    open_now = {os.readlink(p) for p in Path(f"/proc/{last[0]}/fd").iterdir()}
    assert {o.split(":")[0] for o in open_now} <= {
        "socket", "/dev/null", "/memfd", str(hung.at)} | {o for o in open_now if "p.json" in o}
    m.finish(None)  # the ends of both outputs
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in files))


def test_a_second_one_names_the_file(busy, attach, hung):
    """A disk that goes on, if slowly, is waited for; not beyond a second signal."""
    out = hung.at / "p.json"
    m = attach("-p", busy.pid, "--plain", "-q", "-v", "--exact", "-o", out)
    hung.hold(WRITE)
    m.proc.send_signal(signal.SIGINT)
    wait_for(lambda: hung.waiting)
    m.proc.send_signal(signal.SIGINT)
    m.finish(None)
    assert m.proc.returncode == 1
    assert f"'{out}' is not finished" in m.err or "does not answer" in m.err


def test_at_the_start(busy, hung):
    """Whether the file can be written at all is asked first, and nobody answers."""
    hung.hold(LOOKUP)
    m = Attached(["-p", busy.pid, "--plain", "-o", hung.at / "p.json"])
    try:
        wait_for(lambda: hung.waiting)
        assert in_time(ends(m), PROMISED)
    finally:
        m.stop()


@pytest.mark.parametrize("op", ["write", "fsync", "close"])
def test_a_recording(op, busy, attach, hung):
    out = hung.at / "r.mwrec"
    m = attach("-p", busy.pid, "-i", "0.1", "--plain", "--exact", "--record", out)
    m.more_reports(2)
    hung.hold({**OPS, "fsync": FSYNC}[op])
    busy.say()
    busy.expect("ok")
    m.more_reports(2)  # it is not held up
    assert in_time(ends(m), PROMISED)
    assert m.proc.returncode == 1
    assert f"failed to record to '{out}': its file system does not answer" in m.err
    hung.release()
    wait_for(lambda: memwatch("report", "--top", out).returncode == 0)


@pytest.mark.parametrize("args", [("-p", "PID", "--plain", "-q", "-v"), ("top", "--plain", "-i", "0.1")],
                         ids=["attach", "top"])
def test_a_timeline(args, busy, attach, hung):
    out = hung.at / "t.csv"
    m = attach(*[busy.pid if a == "PID" else a for a in args], "--timeline", out, ready=False)
    m.wait_for("attached" if args[0] == "-p" else "COMMAND", stream="err" if args[0] == "-p" else "out")
    hung.hold(WRITE)
    finished_without(m, out, hung)
    assert out.read_text().startswith("time_unix_ms,")


def test_a_report(hung, tmp_path):
    """It can be made again: what was begun ends with it and leaves nothing."""
    src = tmp_path / "in.json"
    src.write_text(profile_text())
    hung.hold(WRITE)
    m = Attached(["report", "-o", hung.at / "r.svg", src])
    try:
        wait_for(lambda: hung.waiting)
        assert in_time(ends(m), PROMISED)
        assert m.proc.returncode == -signal.SIGINT
    finally:
        m.stop()
    assert hung.names
    hung.release()
    wait_for(lambda: not hung.names)


@pytest.mark.parametrize("op", ["write", "fsync"])
def test_a_log(op, sleeper, attach, hung, tmp_path):
    """An alert as soon as it looks: its line waits, and nothing else does."""
    log = hung.at / "l"
    hung.hold({**OPS, "fsync": FSYNC}[op])
    m = attach("-p", sleeper.pid, "--plain", "-i", "0.1", "--oom-log", log, "--alert-dir", tmp_path,
               "--alert-rss", "4K")
    wait_for(lambda: hung.waiting)
    m.more_reports(2)
    assert in_time(ends(m), PROMISED)
    assert str(log) in m.err
    hung.release()
    wait_for(lambda: log.read_text().endswith("\n"))
    # a kill on the machine would be in it, too
    rules = [json.loads(line).get("rule") for line in log.read_text().splitlines()]
    assert [r for r in rules if r] == ["rss"]


def test_a_log_whose_writer_dies(sleeper, attach, hung, tmp_path):
    """Another one writes the next line: that the alert is over, with the process."""
    log = hung.at / "l"
    m = attach("-p", sleeper.pid, "--plain", "-i", "0.1", "--oom-log", log, "--alert-dir", tmp_path,
               "--alert-rss", "4K")
    wait_for(lambda: hung.names.get(b"l") and hung.data[hung.names[b"l"]].endswith(b"\n"))
    [keeper] = [p for p, (s, fds) in family(m.proc.pid).items() if str(log) in fds.values()]
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{keeper}"))
    sleeper.stop()
    assert m.finish(None)[0] == 0
    assert [json.loads(line)["state"] for line in log.read_text().splitlines()] == ["firing", "resolved"]
