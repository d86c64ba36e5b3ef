# SPDX-License-Identifier: GPL-2.0-or-later
"""Flame graphs, call graphs and timelines in a real browser, with hostile names in them."""
import json
import os
import random
import shutil
import subprocess

import pytest

from conftest import ROOT, build, load_json, memwatch, wait_for

SHOTS = ROOT / "build" / "test-logs"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
needs_browser = pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no Chromium on this machine")

HOSTILE = [
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=2>",
    "\"><svg onload=window.pwned=3>",
    "a\x1b[31m\x07\u202egnp.exe",
    "]]><script>window.pwned=4</script>",
    "' onmouseover='window.pwned=5",
    "\\N\\G\\\"];evil[label=\"x",
    "${window.pwned=6}`",
]


def frame(name, module="/usr/lib/libapp.so", line=1):
    return {"function": name, "file": "/src/<b>app.c", "line": line, "module": module,
            "build_id": module.encode().hex()[:40], "address": 0x1000 + (hash(name) & 0xffffff) * 16, "inlined": False}


def profile(stacks):
    """stacks: [(frames leaf first, alloc_objects, alloc_bytes, inuse_objects, inuse_bytes)]"""
    total = [sum(s[i] for s in stacks) for i in range(1, 5)]
    return {"schema": "memwatch.profile/1", "pid": 4242, "comm": "<b>leaky</b>", "start_unix_ms": 1700000000000,
            "duration_ms": 60000, "sample_bytes": 1,
            "totals": {"alloc_objects": total[0], "alloc_bytes": total[1], "free_objects": 0,
                       "free_bytes": 0, "inuse_objects": total[2], "inuse_bytes": total[3]},
            "loss": {"ring full": 3},
            "stacks": [{"alloc_objects": s[1], "alloc_bytes": s[2], "inuse_objects": s[3],
                        "inuse_bytes": s[4], "frames": s[0]} for s in stacks]}


def small_profile():
    main = frame("main", "/usr/bin/leaky")
    stacks = [([frame(n), frame("store", "/usr/bin/leaky"), main], 10, 4000, 5, 2048) for n in HOSTILE]
    stacks.append(([frame("needle_alloc"), frame("handle", "/usr/bin/leaky"), main], 100, 40960, 50, 16384))
    stacks.append(([frame("other", "/usr/lib/libother.so"), main], 4, 4096, 2, 1024))
    return profile(stacks)


def big_profile(n=20000):
    rng = random.Random(1)
    names = [f"ns::handle_{i}<std::string>" for i in range(3000)]
    stacks = []
    for i in range(n):
        walk, seed = [], rng.randrange(n // 4)
        for depth in range(rng.randint(8, 24)):
            walk.append(frame(names[((seed >> max(0, 12 - depth)) * 2654435761 + depth * 7) % 3000]))
        size = int(1e8 / (1 + rng.randrange(n)))
        stacks.append((walk[::-1], 3, size * 2, 1, size))
    return profile(stacks)


def browse(kind, path, shots):
    SHOTS.mkdir(parents=True, exist_ok=True)
    p = subprocess.run(["node", str(ROOT / "tests/web/pages.mjs"), kind, str(path), str(SHOTS / shots)],
                       capture_output=True, text=True, timeout=120)
    assert p.returncode == 0, p.stderr
    seen = json.loads(p.stdout)
    assert seen["errors"] == [] and seen["requests"] == [] and seen["dialogs"] == 0, seen
    assert seen.get("pwned") is None
    return seen


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    d = tmp_path_factory.mktemp("pictures")
    (d / "small.json").write_text(json.dumps(small_profile()))
    memwatch("report", d / "small.json", "-o", d / "small.html", "-o", d / "small.svg",
             "--graph", d / "graph.svg", "--graph", d / "graph.dot", "--graph", d / "graph.png", check=0)
    return d


def test_text_of_the_files(files):
    for name in ("small.html", "small.svg", "graph.svg"):
        text = (files / name).read_text()
        assert "<script>window.pwned" not in text and "<img src=x" not in text
        assert "\x1b" not in text and "\u202e" not in text
    page = (files / "small.html").read_text()
    assert page.count("</script>") == 2 and "http://" not in page.split("</style>")[0]
    assert (files / "graph.png").read_bytes().startswith(b"\x89PNG")
    subprocess.run(["xmllint", "--noout", files / "small.svg"], check=True) if shutil.which("xmllint") else \
        __import__("xml.dom.minidom").dom.minidom.parse(str(files / "small.svg"))


@needs_browser
def test_flame_page(files):
    s = browse("flame", files / "small.html", "flame")
    assert s["title"] == "<b>leaky</b>"
    assert s["total"] == "33.00kB"
    assert s["types"] == {"alloc_objects": "184", "alloc_space": "75.25kB", "inuse_objects": "92",
                          "inuse_space": "33.00kB"}
    assert HOSTILE[0] in s["names"] and "main" in s["names"]
    assert s["hits"] == 1 and s["found"].startswith("1 frames, 16.00kB (48.48%)")
    assert s["modules"][0] == "all modules" and "libother.so" in s["modules"]
    assert s["modules"][1] == "libapp.so" and s["module_total"] == "32.00kB"
    assert s["flame_y"] > s["icicle_y"]
    assert s["zoom_to"] in s["crumbs"] and s["zoomed_width"] > 1200
    assert s["frames_after_reset"] == s["frames"]
    assert s["scripts"] == 2 and s["images"] == 0
    assert s["background_light"] == "rgb(255, 255, 255)" and s["background_dark"] != s["background_light"]


@needs_browser
def test_flame_picture(files):
    s = browse("svg", files / "small.svg", "svg")
    assert s["hits"] == 1 and s["found"] == "matched 48.5%"
    assert s["flame"] != s["icicle"]
    assert s["frames"] == 1 + 2 + len(HOSTILE) + 2
    assert any(t.startswith(HOSTILE[0]) and "2.00kB (6.06%)" in t for t in s["titles"])
    assert s["scripts"] == 1
    assert s["background_dark"] != s["background_light"]


@needs_browser
def test_twenty_thousand_stacks(files):
    src = files / "big.json"
    src.write_text(json.dumps(big_profile()))
    memwatch("report", src, "-o", files / "big.html", check=0)
    s = browse("flame", files / "big.html", "big")
    # only what can be seen is drawn: that is what makes it open fast (timed in the benchmarks)
    assert 100 < s["frames"] < 6000


@needs_browser
def test_difference(files):
    then, now = small_profile(), small_profile()
    now["stacks"][8]["inuse_bytes"] += 100000
    now["stacks"][9]["inuse_bytes"] = 0
    (files / "then.json").write_text(json.dumps(then))
    (files / "now.json").write_text(json.dumps(now))
    memwatch("report", "--base", files / "then.json", files / "now.json", "-o", files / "diff.html", check=0)
    s = browse("flame", files / "diff.html", "diff")
    assert "red grew" in s["legend"]
    assert any(f.startswith("hsl(4") for f in s["fills"]) and any(f.startswith("hsl(214") for f in s["fills"])


@needs_browser
def test_call_graph(files):
    s = browse("graph", files / "graph.svg", "graph")
    assert s["nodes"] == 1 + 3 + len(HOSTILE) + 2  # the legend, main store handle, leaves
    assert s["edges"] == len(HOSTILE) + 4
    assert any("33.00kB (100.00%)" in t for t in s["labels"])


def test_call_graph_without_graphviz(files):
    env = {**os.environ, "PATH": "/nonexistent"}
    p = memwatch("report", files / "small.json", "--graph", files / "none.svg", env=env, check=1)
    assert "graphviz" in p.stderr and not (files / "none.svg").exists()


@needs_browser
def test_real_run(target, files):
    """A real process: its timeline and its pictures."""
    exe = build("shapes.c", flags=["-O1"])
    t = target([exe, "20", "150"])
    t.expect("ready")
    run = subprocess.Popen([str(ROOT / "build/memwatch"), "-p", str(t.pid), "--exact", "-d", "4s", "-i", "0.2s", "-q",
                            "-o", str(files / "real.html"), "--timeline", str(files / "line.html"),
                            "--record", str(files / "real.mwrec")], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (files / "real.mwrec").exists() and (files / "real.mwrec").stat().st_size > 100)
    t.say("go")
    assert run.wait(timeout=60) == 0, run.stderr.read()
    s = browse("flame", files / "real.html", "real")
    assert {"main", "leak_steadily", "fill_cache"} <= set(s["names"])
    s = browse("timeline", files / "line.html", "timeline")
    assert s["canvases"] == 2
    assert "RSS anonymous" in s["legend"] and "heap in use" in s["legend"] and "VIRT" in s["legend"]
    assert any(v.endswith("MB") for v in s["values"]) and s["painted"] > 0.05
