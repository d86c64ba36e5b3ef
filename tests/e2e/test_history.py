# SPDX-License-Identifier: GPL-2.0-or-later
"""`memwatch history` over a history whose course is known (tests/tools/history_fill.c)."""
import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from conftest import BIN, ROOT, load_json, memwatch
from fuselib import Hanging
from test_files import EVE, hers  # noqa: F401 (a fixture)

MB = 1 << 20


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", "build/tests/history_fill"],
                   check=True, capture_output=True)
    d = tmp_path_factory.mktemp("history")
    now = int(time.time() * 1000)
    subprocess.run([ROOT / "build/tests/history_fill", d, str(now)], check=True)
    return d, now


def history(filled, *args, **kw):
    return memwatch("history", "--state-dir", filled[0], "--until", f"@{filled[1] // 1000 + 1}",
                    *args, **kw)


def test_everything_as_one_report(filled):
    p = history(filled, "--since", "3h", check=0)
    assert re.search(r"^machine +8\.00GB, available 4\.00GB at first", p.stdout, re.M)
    assert "at most 12.50 % of 10 s with some, 3.00 % with all" in p.stdout
    assert re.search(r"^2\d{3}-.* #1 .*grower", p.stdout, re.M)
    rows = re.findall(r"^ *(\S+B) +\S+ +(\S+B) +- +(81\d)  (.*)$", p.stdout, re.M)
    assert [r[2] for r in rows] == ["811", "812", "813"]
    assert rows[0][0].startswith("+11") and rows[1][1] == "900.00MB"
    assert "(ended)" in rows[2][3] and "(12 profiles)" in rows[0][3]
    assert "\033" not in p.stdout and r"\x1b" in p.stdout
    assert "12 heap profiles were kept" in p.stdout
    # What the stacks of the most grown did over its profiles.
    assert re.search(r"PID 811\), 12 snapshots in .*: in use \S+ to \S+, RSS 110\.00MB to 220\.00MB$", p.stdout, re.M), p.stdout


def test_the_same_as_json(filled):
    d = json.loads(history(filled, "--since", "3h", "--json", check=0).stdout)
    assert d["schema"] == "memwatch.history/1"
    assert d["machine"]["available_least_bytes"] == 4096 * MB
    by_pid = {p["pid"]: p for p in d["processes"]}
    assert by_pid[812]["peak_rss_bytes"] == 900 * MB
    assert by_pid[813]["ended"] and by_pid[813]["comm"] == "e\033[31mvil<b>"
    grown = by_pid[811]["rss_bytes"] - by_pid[811]["rss_first_bytes"]
    assert 110 * MB < grown <= 120 * MB
    assert [v["pid"] for v in d["verdicts"]] == [811] and d["verdicts"][0]["stacks"][0]["text"]
    assert len(d["profiles"]) == 12 and d["events"][0]["event"]["victim"]["pid"] == 811


def test_growth_in_a_window_long_ago(filled):
    end = filled[1] // 1000 - 5400  # 90 minutes ago, of the 2 hours
    d = json.loads(memwatch("history", "--state-dir", filled[0], "--growth", "--json",
                            "--since", f"@{end - 600}", "--until", f"@{end}", check=0).stdout)
    first = d["processes"][0]
    assert first["pid"] == 811
    assert 9 * MB <= first["rss_bytes"] - first["rss_first_bytes"] <= 11 * MB
    p = history(filled, "--growth", "--top", "1", check=0)
    assert "811" in p.stdout and "2 more processes; --top shows more" in p.stdout


@pytest.mark.parametrize("ending", ["csv", "json", "svg", "html"])
def test_a_timeline_of_one_process(filled, ending, tmp_path):
    out = tmp_path / f"t.{ending}"
    history(filled, "-p", "812", "-o", out, check=0)
    assert out.stat().st_mode & 0o777 == 0o600
    if ending == "csv":
        head, *rows = out.read_text().splitlines()
        assert head.startswith("time_unix_ms,pid,virt_bytes,rss_bytes")
        rss = [int(r.split(",")[3]) for r in rows]
        assert max(rss) == 900 * MB and len(rows) > 700
    if ending == "json":
        assert load_json(out)["processes"][0]["pid"] == 812


def test_one_process_on_the_terminal(filled):
    p = history(filled, "-p", "811", "--top", "64", check=0)
    assert len(re.findall(r"^2\d{3}-", p.stdout, re.M)) <= 64 + 1
    assert len(re.findall(r"^ +\d+  2\d{3}-.* 811 ", p.stdout, re.M)) == 12
    d = json.loads(history(filled, "-p", "811", "--json", check=0).stdout)
    assert d["rows"][-1]["rss_bytes"] > 219 * MB and len(d["profiles"]) == 12


def test_a_process_by_its_name(filled, tmp_path):
    """As for running ones: one is taken, of several the candidates are listed."""
    want = json.loads(history(filled, "-p", "811", "--json", check=0).stdout)
    assert json.loads(history(filled, "-p", "grower", "--json", check=0).stdout) == want
    p = history(filled, "-p", "flat", "--since", "3h", check=2)
    assert "2 processes were called 'flat' in that time" in p.stderr and p.stdout == ""
    assert re.search(r"^memwatch: +812  2\d{3}-\S+ .* to 2\d{3}-.* flat$", p.stderr, re.M), p.stderr
    assert re.search(r"^memwatch: +813  .*/opt/flat .*vil", p.stderr, re.M) and "\033" not in p.stderr
    history(filled, "-p", "flat", "--since", "30m", "-o", tmp_path / "flat.csv", check=0)
    assert ",812," in (tmp_path / "flat.csv").read_text().splitlines()[1]


def test_profiles_at_moments_and_their_difference(filled, tmp_path):
    at = filled[1] // 1000 - 3600 + 5  # the sixth of twelve
    p = history(filled, "-p", "811", "--at", f"@{at}", "--json", check=0)
    assert json.loads(p.stdout)["totals"]["inuse_bytes"] == 60 * MB
    out = tmp_path / "p.pb.gz"
    history(filled, "-p", "811", "--diff", "--since", f"@{at}", "-o", out, check=0)
    top = subprocess.run(["go", "tool", "pprof", "-symbolize=none", "-top", "-sample_index=inuse_space",
                          str(out)], capture_output=True, text=True, check=True,
                         env={**os.environ, "HOME": str(tmp_path)}).stdout
    assert re.search(r"^\s+60MB\s+100% .* leaky$", top, re.M), top
    first = json.loads(history(filled, "--profiles", "--json", check=0).stdout)["profiles"][0]["id"]
    p = history(filled, "--profile", first, check=0)
    assert "leaky" in p.stdout


def test_alerts_are_told_in_their_units(filled):
    told = re.findall(r"grower\) alert (.*?) *$", history(filled, "--events", check=0).stdout, re.M)
    assert told == ["rss: 441.50MB, threshold 100.00MB", "cgroup: 63%, threshold 60%",
                    "growth: 2.00MB/min, threshold 1.00MB/min", "oom-in: 30.0s, threshold 5m00s",
                    "oom-in is over: none, threshold 5m00s", "psi: 25.50%, threshold 20.00%"]


def test_what_concerns_no_process(filled):
    told = history(filled, "--events", check=0).stdout
    assert re.search(r"#\d+ +held up: cgroup /slow at its memory\.high of 8\.00MB: 44 times in 6\.0s, its "
                     r"tasks stalled for 249ms; 8\.00MB used\n", told)
    assert re.search(r"#\d+ +OOM without a victim, cgroup /stuck at its limit\n", told)


def test_an_event_and_the_heap_before_it(filled, tmp_path):
    assert re.search(r"#1 .*profile \d+", history(filled, "--events", check=0).stdout)
    p = history(filled, "--event", "1", check=0)
    assert "grower" in p.stdout and "profile of that moment" in p.stdout
    out = tmp_path / "before.json"
    history(filled, "--event", "1", "-o", out, check=0)
    assert load_json(out)["totals"]["inuse_bytes"] == 120 * MB


def test_lists_are_bounded_and_say_what_they_leave_out(filled):
    n = len(re.findall(r"^2\d{3}-\S+ \S+ \S+ +#\d", history(filled, "--events", check=0).stdout, re.M))
    p = history(filled, "--events", "--top", "2", check=0)
    assert re.findall(r"^2\d{3}-\S+ \S+ \S+ +#(\d+)", p.stdout, re.M) == [str(n - 1), str(n)]  # the newest
    assert f"{n - 2} older events are left out; --top shows more" in p.stdout
    assert "1 older event is left out" in history(filled, "--events", "--top", n - 1, check=0).stdout
    p = history(filled, "--profiles", "--top", "3", "--since", "3h", check=0)
    assert re.findall(r"^ +(\d+)  2\d{3}-", p.stdout, re.M) == ["10", "11", "12"]
    assert "9 older profiles are left out; --top shows more" in p.stdout
    p = history(filled, "-p", "811", "--profiles", "--top", "3", "--since", "3h", check=0)
    assert "9 older profiles are left out" in p.stdout
    p = history(filled, "--since", "3h", "--top", n - 3, check=0)
    assert "3 older events are left out" in p.stdout and "12 heap profiles were kept" in p.stdout
    d = json.loads(history(filled, "--since", "3h", "--top", "2", "--json", check=0).stdout)
    assert [e["id"] for e in d["events"]] == [n - 1, n] and [x["id"] for x in d["profiles"]] == [11, 12]
    assert (d["events_left_out"], d["profiles_left_out"], d["processes_left_out"]) == (n - 2, 10, 1)
    d = json.loads(history(filled, "--since", "3h", "--json", check=0).stdout)
    assert len(d["events"]) == n and d["events_left_out"] == d["profiles_left_out"] == 0


@pytest.mark.parametrize("args, status, says", [
    (["-p", "4"], 4, "no process with PID 4 was seen in that time"),
    (["-p", "0"], 2, "'0' is no process ID"),
    (["-p", "nobody"], 4, "no process called 'nobody' was seen in that time"),
    (["-p", "811", "-p", "812"], 2, "one process at a time"),
    (["--since", "whenever"], 2, "is no time"),
    (["--since", "1h", "--until", "2h"], 2, "--since is after --until"),
    (["--at", "1h"], 2, "name it with -p PID"),
    (["--growth", "--events"], 2, "choose one of"),
    (["--growth", "-p", "811"], 2, "-p PID goes with"),
    (["-o", "x.csv"], 2, "-o goes with"),
    (["-p", "811", "-o", "x.pdf"], 2, "--output: 'x.pdf' is no name that it writes (it must end in .csv"),
    (["--event", "1", "-o", "x.csv"], 2, "--output: 'x.csv' is no name that it writes (it must end in .pb.gz"),
    (["--event", "99"], 1, "there is none"),
    (["--profile", "99"], 1, "there is none"),
    (["-p", "812", "--at", "now"], 1, "no profile of this process was kept"),
    (["extra"], 2, "unexpected argument 'extra'"),
])
def test_wrong_usage(filled, args, status, says):
    p = memwatch("history", "--state-dir", filled[0], *args)
    assert p.returncode == status and says in p.stderr, p.stderr
    assert "Traceback" not in p.stderr and not p.stdout


def test_without_a_history(tmp_path):
    p = memwatch("history", "--state-dir", tmp_path)
    assert p.returncode == 1 and "there is none; `memwatch daemon` makes one" in p.stderr
    (tmp_path / "history.db").write_bytes(b"rubbish" * 1000)
    p = memwatch("history", "--state-dir", tmp_path)
    assert p.returncode == 1 and "it is damaged" in p.stderr


def test_another_user_sees_nothing(filled):
    p = subprocess.run([BIN, "history", "--state-dir", filled[0]], capture_output=True, text=True,
                       user="nobody", group="nogroup", extra_groups=[], cwd="/")
    assert p.returncode in (1, 3) and p.stdout == ""
    assert (filled[0] / "history.db").stat().st_mode & 0o777 == 0o600


def plant_a_journal(directory, victim):
    """A database that was left in the middle of writing, as the journal beside it says: with a file's name
    at its end, which SQLite removes when it has taken the writing back."""
    db = directory / "history.db"
    c = sqlite3.connect(db)
    c.execute("CREATE TABLE t(a)")
    c.close()
    page = db.read_bytes()[:4096]
    journal = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 1, 7, db.stat().st_size // 4096, 512, 4096)
    journal = journal.ljust(512, b"\0") + struct.pack(">I", 1) + page
    journal += struct.pack(">I", 7 + sum(page[i] for i in range(4096 - 200, 0, -200)))
    name = os.fsencode(victim)
    journal += struct.pack(">I", 0x40000000 // 4096 + 1) + name
    journal += struct.pack(">II", len(name), sum(name)) + bytes.fromhex("d9d505f920a163d7")
    Path(f"{db}-journal").write_bytes(journal)


@pytest.mark.parametrize("whose, mode", [(EVE, 0o755), (EVE, 0o777), (0, 0o777)],
                         ids=["hers", "hers and everybodys", "everybodys"])
def test_a_planted_history_removes_nothing(whose, mode, hers, tmp_path):
    """Root reads another's history with that user's rights, and none where everybody can plant one."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    plant_a_journal(hers, victim)
    for f in hers.iterdir():
        f.chmod(0o666)
        os.chown(f, EVE, EVE)
    hers.chmod(mode)
    os.chown(hers, whose, whose)
    p = memwatch("history", "--state-dir", hers)
    assert p.returncode in (1, 3) and p.stderr.startswith("memwatch: failed to open the history")
    assert victim.exists()
    if whose == EVE and mode == 0o755:  # it was opened, and what may be done there was
        assert not (hers / "history.db-journal").exists()


def test_a_history_planted_in_a_file_system_of_hers(hers, tmp_path):
    """Which says that it is root's."""
    victim = tmp_path / "victim"
    victim.write_text("root's")
    plant_a_journal(hers, victim)
    at = tmp_path / "mnt"
    at.mkdir()
    h = Hanging(at, user=EVE)
    try:
        for f in hers.iterdir():
            h.add(f.name, f.read_bytes(), 0o600)
        p = memwatch("history", "--state-dir", at, check=3)
        assert "or provide its file system" in p.stderr and victim.exists()
    finally:
        h.unmount()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


def planted(directory, filled, *statements):
    """A history of Eve's, which she changed."""
    shutil.copy(filled[0] / "history.db", directory)
    db = sqlite3.connect(directory / "history.db")
    for s in statements:
        db.execute(*(s if isinstance(s, tuple) else (s,)))
    db.commit()
    db.close()
    for f in [directory, *directory.iterdir()]:
        os.chown(f, EVE, EVE)


@pytest.mark.parametrize("statements", [
    ["ALTER TABLE pass RENAME TO old_pass",
     f"CREATE VIEW pass AS {ENDLESS} SELECT 0 AS step, 0 AS time_ms, 0 AS is_key, x'' AS data FROM n WHERE i < 0"],
    ["ALTER TABLE event RENAME TO old_event",
     f"CREATE VIEW event AS {ENDLESS} SELECT i AS id, 0 AS time_ms, '' AS kind, 0 AS pid, '' AS comm, '' AS json, "
     "0 AS snapshot FROM n"]], ids=["passes", "events"])
def test_what_a_planted_history_computes_is_not_read(statements, filled, hers):
    """Tables that are none, which tell of themselves without end."""
    planted(hers, filled, *statements)
    p = memwatch("history", "--state-dir", hers, check=1)
    assert "failed to read" in p.stderr and not p.stdout


STEER = "\u009b2J\u202e\u0085\u200f"


def test_what_a_planted_history_says_steers_nothing(filled, hers):
    """Neither in its columns, nor in events that are JSON, or none."""
    hostile = {"schema": "memwatch.oom/1", "x": STEER, "victim": {"pid": 1, "comm": STEER, "cmdline": STEER}}
    told = [("oom", STEER, json.dumps(hostile, ensure_ascii=False)), ("oom", STEER, "\x1b[2J" + STEER),
            (None, None, None), (STEER, STEER, '{"rule":"' + STEER + '",\n\t"x":1}')]
    planted(hers, filled, "DELETE FROM event",
            *[("INSERT INTO event(id, time_ms, kind, pid, comm, json) VALUES(?, ?, ?, 7, ?, ?)",
               (i + 1, filled[1] - 1000, *t)) for i, t in enumerate(told)],
            *[(f"UPDATE process SET {c} = ?", (STEER,)) for c in ("comm", "command", "cgroup")],
            ("UPDATE snapshot SET why = ?", (STEER,)))
    where, said = (hers, filled[1]), []
    for args in ((), ("--events",), ("--profiles",), *[("--event", i) for i in range(1, 5)], ("-p", "811")):
        said.append(history(where, *args, check=0).stdout)
        said.append(history(where, *args, "--json", check=0).stdout)
        assert json.loads(said[-1])
    assert json.loads(history(where, "--event", "4", "--json", check=0).stdout)["event"] == {"rule": STEER, "x": 1}
    assert json.loads(history(where, "--event", "2", "--json", check=0).stdout)["event"] is None
    assert not (set("\x1b" + STEER) - set("2J")) & set("".join(said))


def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7f | 0x80]), n >> 7
    return out + bytes([n])


def test_a_planted_history_takes_no_more_than_it_may(filled, hers):
    """A million processes in each pass, which are others each time, in few bytes."""
    per, now = 1 << 20, int(time.time() * 1000)
    passes = [varint(per - 1) + varint((1 + i * per) << 1) + b"\0" + b"\2\0" * (per - 2) for i in range(6)]
    packed = [b"\1" + struct.pack("<I", len(p)) + zlib.compress(p) for p in passes]
    assert sum(map(len, packed)) < 1 << 20
    planted(hers, filled, "DELETE FROM pass",
            *[("INSERT INTO pass VALUES(0, ?, 1, ?)", (now - 10000 + i, p)) for i, p in enumerate(packed)])
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    p = memwatch("history", "--state-dir", hers, "--growth", check=1)
    assert "Cannot allocate memory" in p.stderr and not p.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(before, 1 << 20)


def test_root_reads_the_history_of_a_daemon_of_another_user(filled, hers, tmp_path):
    for f in filled[0].iterdir():
        if f.is_file():
            shutil.copy(f, hers)
            os.chown(hers / f.name, EVE, EVE)
            (hers / f.name).chmod(0o600)
    where, out = (hers, filled[1]), tmp_path / "p.json"
    assert json.loads(history(where, "--json", check=0).stdout)["processes"]
    history(where, "--profile", "1", "-o", out, check=0)
    assert out.exists() and out.stat().st_uid == 0


def test_a_damaged_page_costs_its_rows_alone(filled, tmp_path):
    shutil.copytree(filled[0], tmp_path / "h")
    db = sqlite3.connect(tmp_path / "h/history.db")
    db.execute("UPDATE pass SET data = x'0102' WHERE step = 0 AND time_ms % 7 = 0 AND NOT is_key")
    db.execute("UPDATE snapshot SET data = x'01ffffffff00' WHERE id = 3")
    db.commit()
    db.close()
    where = (tmp_path / "h", filled[1])
    d = json.loads(history(where, "--json", check=0).stdout)
    assert {p["pid"] for p in d["processes"]} >= {811, 812}
    p = history(where, "--profile", "3")
    assert p.returncode == 1 and not p.stdout


def test_a_closed_pipe_ends_it_quietly(filled):
    p = subprocess.run(["bash", "-c", f"set -o pipefail; {BIN} history --state-dir {filled[0]} "
                        "-p 811 --top 5000 | head -1"], capture_output=True, text=True)
    assert p.stderr == "" and p.stdout.startswith("TIME")


def test_kill_9_in_the_middle_of_writing(tmp_path):
    """What was committed is there, to the pass that was told last; what comes next is written as if nothing had been."""
    now = int(time.time() * 1000)
    tool = ROOT / "build/tests/history_fill"
    db = tmp_path / "history.db"
    for i in range(3):
        p = subprocess.Popen([tool, tmp_path, str(now + i), "say"], stdout=subprocess.PIPE, text=True)
        for _ in range(500 * (i + 1)):
            last = int(p.stdout.readline())
        p.send_signal(signal.SIGKILL)
        last = max([last, *map(int, p.stdout.read().split("\n")[:-1])])
        p.wait()
        check = sqlite3.connect(db)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # A pass that was written and not told so far may be there, too.
        assert last <= check.execute("SELECT max(time_ms) FROM pass WHERE step = 0").fetchone()[0] <= last + 1000
        check.close()
        memwatch("history", "--state-dir", tmp_path, "--since", "3h", check=0)
    subprocess.run([tool, tmp_path, str(now + 10)], check=True)
    d = json.loads(memwatch("history", "--state-dir", tmp_path, "--since", "3h", "--json", check=0).stdout)
    assert {p["pid"] for p in d["processes"]} == {811, 812, 813}
