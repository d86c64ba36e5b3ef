# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger in .json and .txt profiles, printed again by report; of one process, several,
children, and one that has ended."""
import json
import os
import re
import shutil
import signal

import pytest
from conftest import build, load_json, memwatch, wait_for
from test_mm import check_sums
from test_top import MB, do, mm, status  # noqa: F401 (mm is a fixture)


def by_kind(d):
    return {x["kind"]: x for x in d["lines"]}


def ledgers(path):
    p = load_json(path)
    assert p["schema"] == "memwatch.profile/1"
    for d in p["ledger"]:
        assert d["schema"] == "memwatch.ledger/1"
        check_sums(d)
    return p["ledger"]


def printed(text):
    """The ledgers in a text, as they stand there."""
    return re.findall(
        r"^Ledger of [\s\S]*?^apart: .*$(?:\n(?:the allocator keeps|the live heap|heap|reservation).*$)*",
        text, re.M)


def test_in_profile_and_read_back(mm, attach, tmp_path):
    t = mm()
    do(t, "grow", 24)
    do(t, "reserve", 128)
    do(t, "share", 5)
    out, txt = tmp_path / "x.json", tmp_path / "x.txt"
    a = attach("-p", t.pid, "--ledger", "--plain", "-i", "0.2", "-o", out, "-o", txt)
    a.wait_for("total, as the kernel counts", "out")
    s = status(t.pid)  # with the probes in; nothing changes meanwhile
    code, live, err = a.finish()
    assert code == 0, err
    d, = ledgers(out)
    assert d["pid"] == t.pid and d["comm"] == "mm" and d["steady"] and d["heap_profile"]
    assert (d["rss_bytes"], d["virt_bytes"]) == (s["VmRSS"], s["VmSize"])
    assert by_kind(d)["shared"]["rss_bytes"] == 5 * MB
    assert d["reservations"][0]["virt_bytes"] == 128 << 30
    # live, in the file of text, and read back: one and the same
    again = memwatch("report", "--ledger", out, check=0).stdout
    assert printed(again) == [printed(live)[-1]] == printed(txt.read_text())
    assert again.strip() == printed(again)[0]
    whole = memwatch("report", out, check=0).stdout
    assert printed(whole) == printed(again) and "Showing nodes" in whole
    # a conversion keeps it; a difference has none of the base
    copy = tmp_path / "copy.json"
    memwatch("report", "-o", copy, out, check=0)
    assert ledgers(copy) == [d]
    assert ledgers_of(memwatch("report", "--json", out, check=0).stdout) == [d]
    assert ledgers_of(memwatch("report", "--json", "--base", copy, out, check=0).stdout) == [d]
    assert len(printed(memwatch("report", "--ledger", out, copy, check=0).stdout)) == 2


def ledgers_of(text):
    return json.loads(text)["ledger"]


def test_profiles_without(mm, attach, tmp_path):
    t = mm()
    out, pb = tmp_path / "x.json", tmp_path / "x.pb.gz"
    a = attach("-p", t.pid, "--plain", "-o", out, "-o", pb)
    assert a.finish()[0] == 0
    assert "ledger" not in load_json(out)
    for f in (out, pb):
        p = memwatch("report", "--ledger", f, check=1)
        assert p.stdout == "" and "no ledger" in p.stderr
        assert "Ledger" not in memwatch("report", f, check=0).stdout


def test_of_several_and_on_signal(mm, attach, tmp_path):
    two = [mm(), mm()]
    do(two[0], "grow", 10)
    do(two[1], "grow", 40)
    both, each = tmp_path / "x.json", tmp_path / "x-%p.json"
    a = attach("-p", two[0].pid, "-p", two[1].pid, "--ledger", "--plain", "-i", "1h",
               "-o", both, "-o", each)
    a.proc.send_signal(signal.SIGUSR1)
    a.wait_for("wrote ")
    first = {d["pid"]: d for d in ledgers(both)}
    assert list(first) == [t.pid for t in two]
    grown = by_kind(first[two[1].pid])["unattributed"]["rss_bytes"]
    assert abs(grown - by_kind(first[two[0].pid])["unattributed"]["rss_bytes"] - 30 * MB) <= MB
    do(two[0], "grow", 100)  # the profile's moment is that of its writing
    a.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: len(re.findall("wrote ", a.err)) >= 2)
    second = {d["pid"]: d for d in ledgers(both)}
    assert second[two[0].pid]["rss_bytes"] >= first[two[0].pid]["rss_bytes"] + 100 * MB
    assert second[two[0].pid]["time_unix_ms"] > first[two[0].pid]["time_unix_ms"]
    code, _, err = a.finish()
    assert code == 0, err
    for t in two:
        assert [d["pid"] for d in ledgers(tmp_path / f"x-{t.pid}.json")] == [t.pid]


def test_of_children_and_live_heap(attach, target, tmp_path):
    out = tmp_path / "x.json"
    t = target([build("forks.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--follow", "--exact", "--ledger", "--plain", "-i", "0.2", "-o", out)
    t.say()
    t.expect("forked")
    a.wait_for("attached to child")
    t.say()
    child = json.loads(t.expect("child").split(" ", 1)[1])
    code, _, err = a.finish()
    assert code == 0, err
    got = {d["pid"]: d for d in ledgers(out)}
    assert set(got) == {t.pid, child["pid"]}
    for d in got.values():
        assert by_kind(d)["live_heap"]["virt_bytes"] > 0 and by_kind(d)["heap"]["rss_bytes"] == 0


def test_of_a_process_that_has_ended(mm, attach, tmp_path):
    """The last ledger that was read stays, with its moment."""
    t = mm()
    do(t, "grow", 33)
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--ledger", "--plain", "-i", "0.1", "-o", out)
    a.wait_for(r"Ledger of", "out")
    t.say("exit")
    code, live, err = a.finish(sig=None)
    assert code == 0, err
    d, = ledgers(out)
    assert by_kind(d)["unattributed"]["rss_bytes"] >= 33 * MB
    p = load_json(out)
    assert d["time_unix_ms"] <= p["start_unix_ms"]
    assert printed(memwatch("report", "--ledger", out, check=0).stdout) == [printed(live)[-1]]


def test_peak_has_its_ledger(attach, target, tmp_path):
    t = target([build("shapes.c", flags=["-O1"]), "20", "2000"])
    t.expect("ready")
    out = tmp_path / "peak.json"
    a = attach("-p", t.pid, "--exact", "--ledger", "--plain", "-i", "0.2", "--peak", out)
    t.say()
    a.wait_for(r"block < |leak_steadily|fill_cache", "out")
    code, _, err = a.finish()
    assert code == 0, err
    d, = ledgers(out)
    assert d["pid"] == t.pid and d["rss_bytes"] > 0


@pytest.mark.parametrize("damage", [
    lambda d: d["lines"][0].update(rss_bytes=1 << 50),
    lambda d: d.update(rss_bytes=-1),
    lambda d: d.update(lines=None),
    lambda d: d.update(schema="memwatch.ledger/9"),
])
def test_damaged_ledger_is_refused(mm, attach, tmp_path, damage):
    t = mm()
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--ledger", "--plain", "-o", out)
    assert a.finish()[0] == 0
    p = load_json(out)
    damage(p["ledger"][0])
    out.write_text(json.dumps(p))
    r = memwatch("report", out, check=1)
    assert r.stdout == "" and "not a valid profile: " in r.stderr and "ledger" in r.stderr
    os.unlink(out)


@pytest.mark.parametrize("letters", [0, 40, 80, 120])
def test_mapping_that_grows_while_it_is_read(target, tmp_path, letters):
    """The kernel may tell of it again, from its start, where a page of text ends: it counts once.
    Pages end where the length of names has it."""
    exe = tmp_path / ("grows" + "x" * letters)
    shutil.copy(build("grows.c"), exe)
    t = target([exe])
    t.expect("ready")
    large = 0
    while large < 5:
        d = json.loads(memwatch("top", "--ledger", "--json", "-p", t.pid, check=0).stdout)
        kinds = by_kind(d)
        heap = sum(kinds[k]["virt_bytes"] for k in ("heap", "heap_used", "retained") if k in kinds)
        assert sum(x["rss_bytes"] for x in d["lines"]) == d["rss_bytes"]
        if heap > 200 * MB:
            large += 1
            assert abs(kinds["difference"]["virt_bytes"]) < heap / 2
