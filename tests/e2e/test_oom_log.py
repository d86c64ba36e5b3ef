# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of OOM kills on disk: full, rotated, saved, asked for by time; what was logged elsewhere."""
import gzip
import json
import os
import re
import shutil
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path


from conftest import BIN, ROOT as REPO, memwatch, wait_for
from oomlib import (MIB, event_of, events, group, hog, kill_in, let_the_kernel_talk, log,
                    needs_cgroup as pytestmark, victims)  # noqa: F401 (fixtures)


def test_rotation_and_truncation(group, hog, log, attach):
    g = group(16 * MIB)
    attach("oom", "--log", log)
    event_of(log, kill_in(g, [hog]))
    os.rename(log, str(log) + ".1")
    pid = kill_in(g, [hog])
    event_of(log, pid)
    assert [e["victim"]["pid"] for e in events(log)] == [pid]
    assert pid not in [e["victim"]["pid"] for e in events(str(log) + ".1")]
    os.truncate(log, 0)
    pid = kill_in(g, [hog])
    event_of(log, pid)
    # A writer that died in the middle of a line.
    with open(log, "a") as f:
        f.write('{"schema":"memwatch.oom/1","vic')
    pid = kill_in(g, [hog])
    wait_for(lambda: f'"pid":{pid}' in Path(log).read_text())
    lines = Path(log).read_text().splitlines()
    assert json.loads(lines[-1])["victim"]["pid"] == pid
    p = memwatch("oom", "--log", log, "--since", "1h", "--json", check=0)
    assert f'"victim":{{"pid":{pid},' in p.stdout
    assert ": 1 line that cannot be read as events left out" in p.stderr


def test_full_disk(group, hog, tmpfs, attach):
    g, small_disk = group(16 * MIB), tmpfs("disk", "256k", lazily=True)
    log = small_disk / "log"
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    mw = attach("oom", "--log", log)
    first = kill_in(g, [hog])
    event_of(log, first)
    before = log.read_bytes()
    with open(small_disk / "filler", "wb") as f:
        try:
            while True:
                os.write(f.fileno(), bytes(4096))
        except OSError:
            pass
    # What is left of the log's last page may still take one record.
    waiting = []
    while not waiting or not re.search("failed to write", mw.err):
        assert len(waiting) < 6
        waiting.append(kill_in(g, [hog]))
        mw.wait_for(str(waiting[-1]), stream="out")
    mw.wait_for("failed to write .*No space left.*events wait")
    assert log.read_bytes().startswith(before)
    assert not log.read_bytes().split(b"\n")[-1], "half a line was left"
    (small_disk / "filler").unlink()
    for pid in waiting:
        event_of(log, pid)
    mw.wait_for("works again")
    assert mw.finish()[0] == 0


def test_read_only_directory(tmpfs):
    small_disk = tmpfs("disk", "256k", lazily=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    p = memwatch("oom", "--log", small_disk / "log", "-d", "1s", check=1)
    assert f"failed to open the log '{small_disk}/log': Read-only file system" in p.stderr
    p = memwatch("oom", "--log", "/nonexistent/log", "-d", "1s", check=1)
    assert "No such file or directory" in p.stderr


def test_without_privileges(tmp_path):
    exe = Path("/tmp") / f"memwatch-unprivileged-{os.getpid()}"
    shutil.copy(BIN, exe)
    exe.chmod(0o755)
    try:
        p = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                            "--bounding-set=-all", str(exe), "oom", "-d", "1s"],
                           capture_output=True, text=True, cwd="/")
        assert p.returncode == 3
        assert "CAP_BPF and CAP_PERFMON" in p.stderr
        assert not p.stdout
    finally:
        exe.unlink()


def test_usage():
    for bad in (["--since", "yesterweek"], ["--until", "25:00"], ["--source", "tea-leaves"],
                ["-d", "-1"], ["file", "--log", "x"], ["file", "--on-kill", "true"], ["file", "--journal"],
                ["file", "--syslog"], ["--list", "--journal"], ["--since", "1h", "--syslog"],
                ["--until", "today", "--on-kill", "true"], ["--top", "5"], ["file", "--top", "5"],
                ["--list", "--top", "0"]):
        assert memwatch("oom", *bad, check=2).stderr
    p = memwatch("-p", "1", "--on-alert", "true", check=2)
    assert "--on-alert" in p.stderr
    for bad in ("--alert-rss=much", "--alert-cgroup=120%", "--alert-growth=5M/fortnight",
                "--alert-oom-in=soon", "--alert-psi=20%"):
        assert bad.split("=")[0] in memwatch("-p", "1", bad, check=2).stderr


def test_since_and_list(group, hog, log):
    """What was recorded, and what only the kernel's log has."""
    g = group(16 * MIB)
    begin = time.time()
    pid = kill_in(g, [hog])
    p = memwatch("oom", "--since", f"{time.time() - begin + 1:.1f}s", "--json", check=0)
    found = [e for e in map(json.loads, p.stdout.splitlines()) if e["victim"]]
    assert found[-1]["victim"]["pid"] == pid and found[-1]["source"] == "kmsg"
    assert all(e["time_unix_ms"] / 1000 > begin - 2 for e in found)
    p = memwatch("oom", "--list", "--log", log, check=0)
    assert f"oom_hog (pid {pid}, uid 0)" in p.stdout
    assert "the kernel's log alone" in p.stdout
    assert memwatch("oom", "--since", "1us", check=0).stdout == ""
    p = memwatch("oom", "--list", "--log", "/nonexistent", check=1)
    assert "failed to read '/nonexistent'" in p.stderr


def test_the_newest_are_listed(tmp_path):
    """Of a log without end as many as are asked for, oldest first; that there are others is said."""
    kill = json.loads(memwatch("oom", "--json", LOGS / "3.10-uid.dmesg", check=0).stdout.splitlines()[0])
    log, n = tmp_path / "log", 1234
    with open(log, "w") as f:
        for i in range(n):
            kill["victim"]["pid"] = 5000000 + i  # nobody else's
            f.write(json.dumps(kill, separators=(",", ":")) + "\n")
    mine = lambda p: [pid - 5000000 for pid in victims(p.stdout) if pid >= 5000000]
    for args, top in (([], 1000), (["--top", "7"], 7), (["--top", "5000"], n), (["--top", n], n)):
        p = memwatch("oom", "--list", "--json", "--log", log, *args, check=0)
        assert mine(p) == list(range(n - top, n))
        assert (f"{n - top} older events are left out; --top shows more" in p.stderr) == (top < n)
    text = memwatch("oom", "--list", "--log", log, "--top", "2", check=0).stdout
    assert f"(pid {5000000 + n - 2}," in text and f"(pid {5000000 + n - 3}," not in text


def test_until_and_the_clocks_zone(group, hog, log):
    """What is printed can be given back, in whichever zone."""
    pid = kill_in(group(16 * MIB), [hog])
    zone = {**os.environ, "TZ": "XYZ-03:30"}
    text = memwatch("oom", "--since", "1h", check=0, env=zone).stdout
    when = re.findall(rf"^(\S+ \S+ \+0330)  OOM kill: oom_hog \(pid {pid},", text, re.M)[0]
    at = datetime.strptime(when, "%Y-%m-%d %H:%M:%S.%f %z")
    around = [(at + timedelta(seconds=s)).strftime("%Y-%m-%d %H:%M:%S.%f %z") for s in (-1, 1)]
    told = memwatch("oom", "--since", around[0], "--until", around[1], check=0, env=zone).stdout
    assert f"(pid {pid}," in told
    late = memwatch("oom", "--since", around[1], check=0, env=zone).stdout
    assert f"(pid {pid}," not in late
    before = memwatch("oom", "--until", "2020-01-01", check=0)
    assert before.stdout == ""
    assert f"(pid {pid}," in memwatch("oom", "--since", "today", check=0).stdout


def test_what_was_rotated_away_is_known(group, hog, log):
    """A new file after a rotation is not filled with what the old ones have."""
    pid = kill_in(group(16 * MIB), [hog])
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    before = len(events(log))
    assert pid in [e["victim"]["pid"] for e in events(log)]
    for name in (".1", "-20261125"):
        os.rename(log, log + name)
        memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
        assert events(log) == []
        os.rename(log + name, log)
    subprocess.run(["gzip", log], check=True)
    os.rename(log + ".gz", log + ".2.gz")
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    assert events(log) == []
    p = memwatch("oom", "--list", "--json", "--log", log, check=0)
    assert sum(f'"victim":{{"pid":{pid},' in x for x in p.stdout.splitlines()) == 1
    assert before > 0


LOGS = REPO / "tests" / "oomlogs"


def test_saved_logs(tmp_path):
    """Every log of the corpus by name, on standard input and compressed: the same kills."""
    utc = {**os.environ, "TZ": "UTC"}
    files = sorted(LOGS.iterdir())
    assert len(files) >= 9
    p = memwatch("oom", "--json", *files, check=0, env=utc)
    all_at_once = p.stdout.splitlines()
    one_by_one = []
    for f in files:
        listed = memwatch("oom", "--json", f, check=0, env=utc)
        assert listed.stdout and "the kernel's" in listed.stderr
        one_by_one += listed.stdout.splitlines()
        packed = tmp_path / (f.name + ".gz")
        packed.write_bytes(gzip.compress(f.read_bytes()))
        assert memwatch("oom", "--json", packed, check=0, env=utc).stdout == listed.stdout or \
            "no year" in listed.stderr
        with open(f) as stdin:
            again = memwatch("oom", "--json", "-", check=0, env=utc, stdin=stdin)
        assert again.stdout == listed.stdout
        text = memwatch("oom", f, check=0, env=utc).stdout
        assert text.count("  why       ") == len(listed.stdout.splitlines())
    assert all_at_once == one_by_one
    kills = [json.loads(x) for x in all_at_once]
    assert {k["constraint"] for k in kills} == {"memcg", "none", "cpuset", "mempolicy", None}
    # memwatch's own log is a saved log too
    own = tmp_path / "own.jsonl"
    own.write_text(p.stdout)
    assert memwatch("oom", "--json", own, check=0).stdout == p.stdout


def test_live_and_saved_agree(group, hog, log, attach, tmp_path):
    """The same kill from the kernel's live log and from dmesg's text."""
    let_the_kernel_talk()
    mw = attach("oom", "--log", log)
    pid = kill_in(group(16 * MIB), [hog])
    live = event_of(log, pid)
    mw.finish()
    for option in ([], ["-T"], ["-x"], ["--time-format=iso"], ["--raw"]):
        text = subprocess.run(["dmesg", *option], capture_output=True, check=True).stdout
        saved = tmp_path / "dmesg"
        saved.write_bytes(text)
        p = memwatch("oom", "--json", saved, check=0)
        found = [json.loads(x) for x in p.stdout.splitlines()]
        mine = [e for e in found if e["victim"] and e["victim"]["pid"] == pid][-1]
        for key in ("comm", "total_vm_bytes", "anon_rss_bytes", "file_rss_bytes", "uid"):
            assert mine["victim"][key] == live["victim"][key], (option, key)
        assert mine["memcg"] == live["memcg"], option
        assert mine["tasks"] == live["tasks"], option


def test_input_without_end(tmp_path):
    """Memory and time are bounded whatever is named as a log."""
    nuls = tmp_path / "nuls"
    nuls.write_bytes((LOGS / "3.10-uid.dmesg").read_bytes())
    os.truncate(nuls, 300 * MIB)  # as after a crash
    long = tmp_path / "long"
    long.write_bytes(b"x" * (100 * MIB) + b"\n" + (LOGS / "3.10-uid.dmesg").read_bytes())
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, log in [("/dev/zero", 1), ("/dev/full", 1), (fifo, 1), (tmp_path, 1), (nuls, 0), (long, 0)]:
        for args in ([path], ["--list", "--log", path]):
            p = subprocess.run(["prlimit", f"--as={512 * MIB}", BIN, "oom", *map(str, args)],
                               capture_output=True, text=True, timeout=180)
            assert p.returncode == log, p.stderr
            assert "not a regular file" in p.stderr or "directory" in p.stderr or not log
            if not log and len(args) == 1:
                assert "mysqld (pid 900, uid 27)" in p.stdout
                assert "damaged lines were left out" in p.stderr
