# SPDX-License-Identifier: GPL-2.0-or-later
"""report on files of timelines: which processes, what each did, one of them alone, another format."""
import csv
import json

import pytest

from conftest import build, load_json, memwatch

COLUMNS = ("time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,rss_file_bytes,rss_shmem_bytes,"
           "swap_bytes,inuse_bytes,alloc_bytes")
MB = 1 << 20


@pytest.fixture
def made(tmp_path):
    """Three processes for four minutes: 11 grows, 12 is flat, 13 lives for the last minute."""
    path = tmp_path / "all.csv"
    with open(path, "w") as f:
        f.write(COLUMNS + "\n")
        for s in range(240):
            t = 1795232544000 + s * 1000
            f.write(f"{t},11,{99 * MB},{10 * MB + s * MB // 10},1,2,0,0,,\n")
            f.write(f"{t},12,{50 * MB},{20 * MB},1,2,0,0,5,6\n")
            if s >= 180:
                f.write(f"{t},13,{50 * MB},{5 * MB},1,2,0,0,,\n")
    return path


def table(out):
    return {line.split()[0]: line.split() for line in out.splitlines()
            if line.split()[:1] and line.split()[0].isdigit() and len(line.split()) >= 10}


def test_all_and_one(made):
    p = memwatch("report", made, check=0)
    rows = table(p.stdout)
    assert list(rows) == ["11", "12", "13"]  # by peak
    assert rows["11"][-2] == "LEAK" and rows["11"][-3] == "+6.00MB" and rows["12"][-2] == "flat"
    assert "3 processes" in p.stdout
    p = memwatch("report", "--pid", 12, made, check=0)
    assert list(table(p.stdout)) == ["12"] and "flat: 20" in p.stdout
    p = memwatch("report", "--top", "1", made, check=0)
    assert list(table(p.stdout)) == ["11"] and "(2 more)" in p.stdout
    p = memwatch("report", "--pid", 99, made, check=1)
    assert "no process 99" in p.stderr and "3" in p.stderr


def test_a_window(made):
    p = memwatch("report", "--to", "1m", made, check=0)
    assert list(table(p.stdout)) == ["12", "11"]  # 13 began later, 11 was smaller then
    p = memwatch("report", "--from", "3m", "--pid", "13", made, check=0)
    assert table(p.stdout)["13"][1] == "60"


def test_converted(made, tmp_path):
    outs = [tmp_path / f"one{e}" for e in (".csv", ".json", ".svg", ".html")]
    p = memwatch("report", "--pid", 12, *[x for o in outs for x in ("-o", o)], made, check=0)
    assert p.stdout == ""
    with open(outs[0]) as f, open(made) as g:
        assert list(csv.reader(f))[1:] == [r for r in csv.reader(g) if r[1] == "12"]
    again = load_json(outs[1])
    assert [x["pid"] for x in again["processes"]] == [12] and len(again["processes"][0]["rows"]) == 240
    assert "<svg" in outs[2].read_text() and "</html>" in outs[3].read_text()
    p = memwatch("report", "--json", "--pid", 12, made, check=0)
    assert json.loads(p.stdout) == again
    p = memwatch("report", outs[1], check=0)
    assert list(table(p.stdout)) == ["12"]


def test_by_name(target, tmp_path):
    """A file that was recorded: names are in the JSON."""
    t = target([build("known.c", suffix="tl")])
    t.expect()
    path = tmp_path / "all.json"
    memwatch("top", "--plain", "-n", "4", "-i", "100ms", "--timeline", path, check=0)
    p = memwatch("report", "--focus", "^knowntl$", path, check=0)
    assert str(t.pid) in table(p.stdout)
    p = memwatch("report", "--ignore", ".", path, check=1)
    assert "which has" in p.stderr


def test_refused(made, tmp_path):
    for option in ("--tree", "--raw", "--ledger"):
        assert "no stacks" in memwatch("report", option, made, check=2).stderr
    assert ".csv" in memwatch("report", "-o", tmp_path / "x.pb.gz", made, check=1).stderr
    bad = tmp_path / "bad.csv"
    bad.write_text(COLUMNS + "\n1,2,3\n")
    assert "line 2" in memwatch("report", bad, check=1).stderr
    bad.write_text('{"schema":"memwatch.timeline/1","processes":[{')
    memwatch("report", bad, check=1)
