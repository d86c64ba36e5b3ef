# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of each stack's live blocks is resident: --touched."""
import re

from alloclib import go_pprof
from conftest import build, load_json, memwatch

MB = 1 << 20
PAGE = 4096


def by_function(p):
    """{function: (in use, resident)} of the workload's three ways to hold memory."""
    at = [t["type"] for t in p["sample_types"]].index("resident_space")
    out = {}
    for s in p["stacks"]:
        for name in ("quarter", "zeroed", "small"):
            if name in [f["function"] for f in s["frames"]]:
                a, r = out.get(name, (0, 0))
                out[name] = (a + s["inuse_bytes"], r + s["values"][at])
    return out


def run(target, attach, tmp_path, name, *args):
    t = target([build("touched.c")])
    t.expect("ready")
    out = tmp_path / name
    a = attach("-p", t.pid, "--plain", "-o", out, *args)
    t.say("")
    t.expect("held")
    code, text, err = a.finish()
    assert code == 0, err
    return out, text


def test_exact(target, attach, tmp_path):
    out, _ = run(target, attach, tmp_path, "t.json", "--exact", "--touched")
    p = load_json(out)
    assert [t["type"] for t in p["sample_types"]] == [
        "alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "resident_space"]
    f = by_function(p)
    assert f["quarter"][0] == 64 * MB
    assert abs(f["quarter"][1] - 16 * MB) <= 64 * 2 * PAGE
    assert f["zeroed"][0] == 8 * 4 * MB
    assert f["zeroed"][1] <= 8 * 2 * PAGE  # the block's header is in its first page
    assert f["small"][0] == f["small"][1] == 4096 * 1000  # all of it was written


def test_sampled(target, attach, tmp_path):
    """Large blocks are sampled for certain, near enough; small ones stand for others."""
    out, _ = run(target, attach, tmp_path, "t.json", "--sample-bytes", "16K", "--touched")
    f = by_function(load_json(out))
    assert abs(f["quarter"][0] - 64 * MB) <= 1
    assert abs(f["quarter"][1] - 16 * MB) <= 64 * 2 * PAGE
    assert f["zeroed"][1] <= 8 * 2 * PAGE
    assert f["small"][0] == f["small"][1] > MB


def test_text_says_what_is_not_resident(target, attach, tmp_path):
    out, _ = run(target, attach, tmp_path, "t.txt", "--exact", "--touched")
    lines = [x for x in out.read_text().splitlines() if "not resident" in x]
    assert any(re.match(r"64\.00MB, 4[78]\.\d\dMB of it not resident$", x) for x in lines), lines
    assert any(re.match(r"32\.00MB, 3[12]\.\d\dMB of it not resident$", x) for x in lines), lines


def test_four_types_without_the_option(target, attach, tmp_path):
    out, _ = run(target, attach, tmp_path, "t.json", "--exact")
    assert "sample_types" not in load_json(out)  # the four of every heap profile


def test_pprof_reads_five_types(target, attach, tmp_path):
    out, _ = run(target, attach, tmp_path, "t.pb.gz", "--exact", "--touched")
    assert "inuse_space/bytes[dflt] resident_space/bytes" in go_pprof("-raw", out)
    theirs = go_pprof("-top", "-sample_index=resident_space", "-unit=b", out)
    ours = memwatch("report", "--top", "--sample-index=resident_space", "--unit=b", out, check=0)
    row = [x.split() for x in theirs.splitlines() if "quarter" in x][0]
    assert row == [x.split() for x in ours.stdout.splitlines() if "quarter" in x][0]
    assert abs(int(row[0][:-1]) - 16 * MB) <= 64 * 2 * PAGE


def test_live_report(target, attach):
    t = target([build("touched.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--plain", "--exact", "--touched", "-i", "200ms")
    t.say("")
    t.expect("held")
    a.wait_for(r"64\.00MB +\d+\.\d%  64 blocks, 4[78]\.\d\dMB of it not resident", "out")
    code, _, err = a.finish()
    assert code == 0, err


def test_target_that_ended(target, attach, tmp_path):
    """Without its pages there is no fifth type, rather than one that says 0."""
    t = target([build("touched.c")])
    t.expect("ready")
    out = tmp_path / "t.json"
    a = attach("-p", t.pid, "--plain", "--exact", "--touched", "-o", out)
    t.say("")
    t.expect("held")
    t.stop()
    code, _, err = a.finish(sig=0)
    assert code == 0, err
    assert "no resident_space" in err and "has ended" in err
    assert "sample_types" not in load_json(out)


def test_mappings(target, attach, tmp_path):
    """Anonymous mappings of the program itself: half of each touched."""
    t = target([build("touched.c"), "map"])
    t.expect("ready")
    out = tmp_path / "t.json"
    a = attach("-p", t.pid, "--plain", "--exact", "--touched", "--mmap", "-o", out)
    t.say("")
    t.expect("held")
    code, _, err = a.finish()
    assert code == 0, err
    p = load_json(out)
    s = [s for s in p["stacks"] if "mapped" in [f["function"] for f in s["frames"]]]
    assert len(s) == 1 and [x["str"] for x in s[0]["labels"] if x["key"] == "class"] == ["mmap"]
    assert s[0]["inuse_bytes"] == 4 * 2 * MB
    assert s[0]["values"][4] == 4 * MB
