# SPDX-License-Identifier: GPL-2.0-or-later
"""Histograms of sizes and lifetimes against a program whose blocks are exactly known."""
import re

from alloclib import Run, base_name, workload
from conftest import load_json, memwatch, wait_for

TEMPORARY_US = 10000


def rows(histogram, unit):
    """{(from, below): objects}"""
    return {(b["from_" + unit], b["below_" + unit]): b["objects"] for b in histogram}


def stacks_of(profile, function):
    return [s for s in profile["stacks"]
            if function in {base_name(f["function"]) for f in s["frames"]}]


def sums(stacks, key, unit):
    out = {}
    for s in stacks:
        for limits, n in rows(s[key], unit).items():
            out[limits] = out.get(limits, 0) + n
    return out


def holder(lives, at_least_us):
    """Blocks that lived at least so long."""
    return sum(n for (start, _), n in lives.items() if start >= at_least_us)


def test_exact_histograms(target, attach, tmp_path):
    r = Run(target, attach, tmp_path, [workload("lifetimes.c")], "--exact")
    r.check_exact()
    p = r.profile

    assert rows(p["size_histogram"], "bytes") == {
        (0, 1): 3, (16, 32): 1000, (64, 128): 70, (256, 512): 30, (4096, 8192): 500,
        (1 << 20, 1 << 21): 7}
    assert {b["from_bytes"]: b["bytes"] for b in p["size_histogram"]} == {
        0: 0, 16: 24000, 64: 5920, 256: 9000, 4096: 2500000, 1 << 20: 7 << 20}
    lives = rows(p["lifetime_histogram"], "us")
    assert sum(lives.values()) == p["totals"]["free_objects"] == 1570
    assert sum(b["bytes"] for b in p["lifetime_histogram"]) == p["totals"]["free_bytes"]

    # 40 blocks lived half a second at the least
    medium = stacks_of(p, "medium")
    assert sums(medium, "size_histogram", "bytes") == {(64, 128): 40}
    assert holder(sums(medium, "lifetime_histogram", "us"), 100000) == 40
    assert sum(s["temporary"]["objects"] for s in medium) == 0

    kept = stacks_of(p, "kept")
    assert sums(kept, "size_histogram", "bytes") == {(0, 1): 3, (1 << 20, 1 << 21): 7}
    assert sums(kept, "lifetime_histogram", "us") == {}

    # what a realloc gives up ended there; what it made is kept
    grown = stacks_of(p, "grown")
    assert sums(grown, "size_histogram", "bytes") == {(64, 128): 30, (256, 512): 30}
    assert sum(sums(grown, "lifetime_histogram", "us").values()) == 30

    # freed at once: a block takes longer only where the machine stopped the program
    temporary = stacks_of(p, "temporary")
    assert sums(temporary, "size_histogram", "bytes") == {(16, 32): 1000, (4096, 8192): 500}
    t = sums(temporary, "lifetime_histogram", "us")
    assert sum(t.values()) == 1500
    assert sum(s["temporary"]["objects"] for s in temporary) == 1500 - holder(t, TEMPORARY_US)
    assert 1500 - holder(t, TEMPORARY_US) >= 1400

    # the whole is the sum of its stacks
    for key, unit in (("size_histogram", "bytes"), ("lifetime_histogram", "us")):
        assert sums(p["stacks"], key, unit) == rows(p[key], unit)
    assert p["temporary"]["within_us"] == TEMPORARY_US
    for v in ("objects", "bytes"):
        assert p["temporary"][v] == sum(s["temporary"][v] for s in p["stacks"])


def test_text_and_readers(target, attach, tmp_path):
    t = target([workload("lifetimes.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--histograms", "-o", tmp_path / "h.json",
               "-o", tmp_path / "h.txt")
    t.say()
    t.expect("done")
    status, out, _ = a.finish()
    assert status == 0
    p = load_json(tmp_path / "h.json")
    n = p["temporary"]["objects"]
    for text in (out, (tmp_path / "h.txt").read_text()):
        assert re.findall(r"^  16-31B +1000 ", text, re.M)
        assert re.findall(r"^  1MB to <2MB +7 ", text, re.M)
        assert re.findall(r"^  no free seen +40 ", text, re.M)
        assert f"Temporary (freed within 10ms): {n} blocks" in text
        assert re.findall(r"^ +\d+ temporary blocks.*\n(?: +.*\n)*? +temporary$", text, re.M)
    # a reader that knows nothing of them
    top = memwatch("report", "--sample-index", "alloc_objects", "--top", "5",
                   tmp_path / "h.json", check=0)
    assert "temporary" in top.stdout


def test_recording_has_them(target, attach, tmp_path):
    """The end of a recording says what the run's own file says; a window, what was in it."""
    t = target([workload("lifetimes.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "-q", "-i", "50ms", "--record", tmp_path / "r.mwrec",
               "--peak", tmp_path / "peak.json", "-o", tmp_path / "end.json", ready=False)
    wait_for(lambda: (tmp_path / "r.mwrec").exists() and (tmp_path / "r.mwrec").stat().st_size > 300)
    t.say()
    t.expect("done")
    assert a.finish()[0] == 0
    end = load_json(tmp_path / "end.json")
    memwatch("report", "-o", tmp_path / "r.json", "-o", tmp_path / "r.txt", tmp_path / "r.mwrec", check=0)
    recorded = load_json(tmp_path / "r.json")
    for key in ("size_histogram", "lifetime_histogram", "temporary"):
        assert recorded[key] == end[key], key
    for function in ("medium", "temporary", "grown", "kept"):
        for key, unit in (("size_histogram", "bytes"), ("lifetime_histogram", "us")):
            assert sums(stacks_of(recorded, function), key, unit) == \
                sums(stacks_of(end, function), key, unit), (function, key)
    text = memwatch("report", "--histograms", tmp_path / "r.mwrec", check=0).stdout
    assert re.search(r"^  16-31B +1000 ", text, re.M) and "Temporary (freed within 10ms)" in text
    assert text in (tmp_path / "r.txt").read_text()
    # .json too, read and written again
    assert memwatch("report", "--histograms", tmp_path / "r.json", check=0).stdout == text
    memwatch("report", "-o", tmp_path / "again.json", tmp_path / "r.json", check=0)
    again = load_json(tmp_path / "again.json")
    for key, unit in (("size_histogram", "bytes"), ("lifetime_histogram", "us")):
        assert again[key] == recorded[key]
        assert sums(again["stacks"], key, unit) == sums(recorded["stacks"], key, unit)
    focused = memwatch("report", "--json", "--focus", "medium", tmp_path / "r.mwrec", check=0).stdout
    assert '"stacks"' in focused and "histogram" not in focused
    both = memwatch("report", "--histograms", tmp_path / "r.mwrec", tmp_path / "r.json", check=0).stdout
    assert re.search(r"^  16-31B +2000 ", both, re.M)

    # 40 blocks were freed half a second after they were made: a window has the one or the other,
    # unless the ticks of a busy machine were so far apart
    seen = set()
    for start in range(0, 2500, 100):
        p = memwatch("report", "--from", f"{start}ms", "--to", f"{start + 250}ms", "-o",
                     tmp_path / "w.json", tmp_path / "r.mwrec")
        if p.returncode:  # no snapshot in this window, or behind the end
            assert "nothing was recorded between" in p.stderr
            continue
        w = load_json(tmp_path / "w.json")
        made = sums(stacks_of(w, "medium"), "size_histogram", "bytes")
        freed = sums(stacks_of(w, "medium"), "lifetime_histogram", "us")
        assert not (made and freed) or w["duration_ms"] >= 500, start
        seen |= {("made", n) for n in made.values()} | {("freed", n) for n in freed.values()}
    assert ("made", 40) in seen and ("freed", 40) in seen
    # the moment of the peak: nothing of what still lived had a lifetime
    peak = load_json(tmp_path / "peak.json")
    assert sums(stacks_of(peak, "kept"), "size_histogram", "bytes").get((1 << 20, 1 << 21)) == 7
    assert not sums(stacks_of(peak, "kept"), "lifetime_histogram", "us")


def test_histograms_need_a_recording(tmp_path):
    from protogen import Profile
    p = Profile()
    p.value_type("inuse_space", "bytes")
    p.sample([p.location(0, 1, [(p.function("f"), 1)])], [1])
    p.write(tmp_path / "x.pb.gz")
    assert "recordings" in memwatch("report", "--histograms", tmp_path / "x.pb.gz", check=1).stderr
    assert "no filter" in memwatch("report", "--histograms", "--focus", "x", tmp_path / "x.pb.gz",
                                   check=2).stderr


def test_default_report_has_none(target, attach):
    t = target([workload("lifetimes.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain")
    t.say()
    t.expect("done")
    status, out, _ = a.finish()
    assert status == 0 and "in use" in out
    assert "Temporary" not in out and "Lifetimes" not in out


def test_sampled_totals_agree(target, attach, tmp_path):
    """Weighted as everything else: the size histogram sums up to what was allocated."""
    r = Run(target, attach, tmp_path, [workload("lifetimes.c")], "--sample-bytes", "1K")
    p = r.profile
    objects = sum(b["objects"] for b in p["size_histogram"])
    size = sum(b["bytes"] for b in p["size_histogram"])
    assert abs(objects - p["totals"]["alloc_objects"]) <= len(p["size_histogram"])
    assert abs(size - p["totals"]["alloc_bytes"]) <= len(p["size_histogram"])
    # a MiB at one sample per KiB is always sampled, with weight 1
    assert rows(p["size_histogram"], "bytes")[(1 << 20, 1 << 21)] == 7


def test_survival_is_measured(target, attach):
    """Three of four blocks stay: the series alone could only say how many at least."""
    t = target([workload("keeps.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "200ms")
    t.say()
    m = a.wait_for(r"growing.*: .*, (\d+) % of blocks older than \S+ seconds survive",
                   stream="out")
    assert 70 <= int(m[1]) <= 80, m[0]
    assert a.finish()[0] == 0
