# SPDX-License-Identifier: GPL-2.0-or-later
"""Verdicts on a real program that does everything at once, live, recorded, and from a cut recording."""
import re
import subprocess

import pytest

from conftest import BIN, build, load_json, memwatch, wait_for

WANT = {
    "leak_steadily": "likely leak",
    "leak_rarely": "(likely leak|growing)",
    "fill_cache": "(saturating|start-up only)",  # full within a quarter of the time or not
    "load_at_start": "start-up only",
    "saw_tooth": "churn",
    "grow_then_free": "released",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    d = tmp_path_factory.mktemp("verdicts")
    exe = build("shapes.c", flags=["-O1"])
    t = subprocess.Popen([exe, "40", "240"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert t.stdout.readline().startswith("ready")
        with open(d / "live.txt", "w") as out:
            m = subprocess.Popen([BIN, "-p", str(t.pid), "--exact", "-i", "0.25s", "--plain",
                                  "--leak-after", "4s",
                                  "--record", d / "run.mwrec", "--peak", d / "peak.json",
                                  "--peak-rss", d / "peak-rss.json", "-o", d / "end.json"],
                                 stdout=out, stderr=subprocess.PIPE, text=True)
            try:
                wait_for(lambda: (d / "run.mwrec").stat().st_size > 100 if (d / "run.mwrec").exists() else 0)
                t.stdin.write("go\n")
                t.stdin.flush()
                assert t.stdout.readline().startswith("done")
                m.send_signal(2)
                err = m.communicate(timeout=180)[1]
                assert m.returncode == 0, err
            finally:
                if m.poll() is None:
                    m.kill()
                    m.wait()
    finally:
        t.kill()
        t.communicate()
    return d


def verdicts(text):
    """{function: verdict} of `report --verdicts`"""
    return dict((m[2], m[1]) for m in re.finditer(r"^ +\S+  (.+) — shapes\.c:\d+ block < (\w+)$", text, re.M))


def test_recorded(run):
    text = memwatch("report", "--verdicts", "--leak-after", "4s", run / "run.mwrec", check=0).stdout
    got = verdicts(text)
    for function, want in WANT.items():
        assert re.match(want, got.get(function, "none")), f"{function}: {got.get(function)}\n{text}"
    # the leak's rate is known: two blocks of 4096 bytes in 40 ms (less often on a busy machine)
    rate = float(re.match(r"likely leak: ([0-9.]+)MB/min", got["leak_steadily"])[1])
    assert 0 < rate <= 6.1
    assert re.search(r"(\d+) % of blocks older than \d+ seconds survive", got["leak_steadily"])[1] == "100"
    # leaks come first
    first = [m for m in re.findall(r"block < (\w+)$", text, re.M)][0]
    assert first.startswith("leak_")


def test_too_early_to_tell(run):
    """Ten seconds are not enough to tell a leak from a cache that fills, unless one says so."""
    text = memwatch("report", "--verdicts", run / "run.mwrec", check=0).stdout
    got = verdicts(text)
    assert "likely leak" not in text
    m = re.match(r"growing steadily for (\d+) seconds: .*; too early to tell a leak from a cache that fills$",
                 got["leak_steadily"])
    assert m and 8 <= int(m[1]) < 60, got["leak_steadily"]
    assert "in an hour" in text
    assert "is no time" in memwatch("report", "--leak-after", "x", run / "run.mwrec", check=2).stderr


def test_live(run):
    last = (run / "live.txt").read_text().split("\n\n  ")[-1]
    text = (run / "live.txt").read_text()
    tail = text[text.rfind("RSS "):]
    assert re.search(r"likely leak: .*\n(.*\n){1,2}.*leak_steadily", tail), tail
    assert not re.search(r"likely leak: .*\n.*block.*\n +(fill_cache|load_at_start|saw_tooth)", tail), tail


def test_moments(run):
    j = load_json(run / "end.json")
    steady = sum(s["alloc_objects"] for s in j["stacks"]
                 if any(f["function"] == "leak_steadily" for f in s["frames"]))
    assert steady == 480
    def peek(*window):
        text = memwatch("report", "--sample-index", "alloc_objects", "--unit", "count", "--peek",
                        "^leak_steadily$", *window, run / "run.mwrec", check=0).stdout
        # flat and cum of the function's own row
        return int(re.search(r" (\d+) +\S+% +\| leak_steadily$", text, re.M).group(1))

    assert peek() == 480
    middle = peek("--from", "2s", "--to", "4s")
    assert 20 <= middle <= 110 and peek("--to", "4s") < 480  # 2 in 40 ms
    window = memwatch("report", "--from", "3s", "--to", "5s", "--traces", run / "run.mwrec", check=0).stdout
    assert "leak_steadily" in window and "load_at_start" not in window
    p = memwatch("report", "--from", "4s", "--to", "2s", run / "run.mwrec", check=1)
    assert "nothing was recorded" in p.stderr


def test_peaks(run):
    peak, end = load_json(run / "peak.json"), load_json(run / "end.json")
    assert peak["totals"]["inuse_bytes"] > end["totals"]["inuse_bytes"]
    grown = [s for s in peak["stacks"] if any(f["function"] == "grow_then_free" for f in s["frames"])]
    # at its highest it held 144 ticks' worth of 5 blocks
    assert sum(s["inuse_objects"] for s in grown) >= 0.9 * 720
    assert load_json(run / "peak-rss.json")["totals"]["inuse_bytes"] > 0


def test_cut_recording(run):
    whole = (run / "run.mwrec").read_bytes()
    cut = run / "cut.mwrec"
    cut.write_bytes(whole[:len(whole) * 2 // 3])
    p = memwatch("report", "--verdicts", cut, check=0)
    assert "cut off or damaged" in p.stderr and "leak_steadily" in p.stdout
    cut.write_bytes(whole[:20])
    assert memwatch("report", "--verdicts", cut, check=1).stdout == ""
    cut.write_bytes(b"no recording")
    assert "needs a recording" in memwatch("report", "--verdicts", cut, check=1).stderr


def test_ages_decide(target, attach, tmp_path):
    """What the ages of the blocks tell, live: a queue that filled in a line is no leak, nor is a
    load that rises; one forgotten block in twenty is."""
    t = target([build("ages.c", flags=["-O1"]), "10", "600"])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "0.1s", "--leak-after", "2s",
               "--record", tmp_path / "ages.mwrec")
    t.say()
    t.expect("done")
    status, out, _ = a.finish()
    assert status == 0

    def is_right(report):
        got = {}
        for stack in re.split(r"^ +\S+ +\S+%  \d+ blocks?\n", report, flags=re.M)[1:]:
            verdict, function = [line.strip() for line in stack.splitlines()[:2]]
            got[function.split()[0]] = verdict
        return (re.match("(saturating: filled to|start-up only)", got.get("bounded_queue", ""))
                and re.match(r"growing, but blocks are freed: .*, 0 % of blocks older than",
                             got.get("rising_load", ""))
                and re.match(r"likely leak: .*, [45] % of blocks older than .* survive and pile up",
                             got.get("forgets_some", "")))

    # while it ran: on a busy machine the last report is of a program that has been still for long
    right = [r for r in out.split("watched ")[1:] if is_right(r)]
    assert right, out[-4000:]
    # a recording has the ages too, at any moment
    moment = re.match(r"[\d.]+m?s", right[-1])[0]
    end = memwatch("report", "--verdicts", "--leak-after", "2s", "--to", moment,
                   tmp_path / "ages.mwrec", check=0).stdout
    assert re.search(r"  likely leak: .*, [45] % of blocks older than .* and pile up — ages.c:\d+ forgets_some", end)
    assert re.search(r"  growing, but blocks are freed: .* 0 % of .* — ages.c:\d+ rising_load", end), end
    assert re.search(r"  (saturating|start-up only).* bounded_queue", end)
    # and the load that rises was never taken for one
    assert not re.search(r"likely leak: .*\n(.*\n){1,2} +rising_load ", out)


def test_record_cannot_be_written(target):
    t = target([build("shapes.c", flags=["-O1"]), "10", "10"])
    t.expect("ready")
    p = memwatch("-p", t.pid, "-d", "0.3s", "--record", "/nonexistent/x", check=1)
    assert "/nonexistent/x" in p.stderr


def test_two_processes_in_a_recording(target, attach, tmp_path):
    """Each has its own heading and verdicts; one can be chosen."""
    file = tmp_path / "both.mwrec"
    exe = build("known.c")
    a, b = target([exe]), target([exe])
    for t in (a, b):
        t.expect("ready")
    m = attach("-p", a.pid, "-p", b.pid, "--exact", "-q", "-v", "-i", "0.1", "--record", file)
    wait_for(lambda: file.exists() and file.stat().st_size > 100)  # the beginning is in it
    for t in (a, b):
        t.say()
        t.expect("done")
    m.finish()
    text = memwatch("report", "--verdicts", file, check=0).stdout
    assert text.startswith("2 processes, ") and "in use 0B to 1.53MB" in text.splitlines()[0]
    for t in (a, b):
        assert f"known (PID {t.pid}): in use 0B to 781.25kB" in text
    assert text.count("hold") >= 2
    one = memwatch("report", "--verdicts", "--pid", a.pid, file, check=0).stdout
    assert f"(PID {a.pid})" in one and f"(PID {b.pid})" not in one
    for p, want in (((), "1.53MB"), (("--pid", b.pid), "781.25kB")):
        top = memwatch("report", "--top", *p, file, check=0).stdout
        assert f"of {want} total" in top, top
    wrong = memwatch("report", "--top", "--pid", "1", file, check=1).stderr
    assert "no process 1 in" in wrong and f"{a.pid} known" in wrong
    assert "--pid" in memwatch("report", "--verdicts", "--pid", "1", file, check=1).stderr
    assert "is no process ID" in memwatch("report", "--pid", "x", file, check=2).stderr
