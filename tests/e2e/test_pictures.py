# SPDX-License-Identifier: GPL-2.0-or-later
"""Flame graphs, call graphs and timelines in a real browser, with hostile names in them."""
import json
import os
import random
import re
import shutil
import subprocess

import pytest

from conftest import ROOT, build, load_json, memwatch, wait_for
from test_report import heaps  # noqa: F401 (a fixture)

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


def add_stack(doc, frames, bytes_):
    doc["stacks"].append({"alloc_objects": 1, "alloc_bytes": bytes_, "inuse_objects": 1, "inuse_bytes": bytes_,
                          "frames": frames})
    for k in ("alloc", "inuse"):
        doc["totals"][f"{k}_objects"] += 1
        doc["totals"][f"{k}_bytes"] += bytes_


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
                       capture_output=True, text=True, timeout=900)
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
    assert s["hits"] == 1 and s["found"].startswith("1 frame, 16.00kB (48.48%)")
    assert s["modules"][0] == "all modules" and "libother.so" in s["modules"]
    assert s["modules"][1] == "libapp.so" and s["module_total"] == "32.00kB"
    assert s["flame_y"] > s["icicle_y"]
    assert s["zoom_to"] in s["crumbs"] and s["zoomed_width"] > 1200
    assert s["frames_after_reset"] == s["frames"]
    assert s["scripts"] == 2 and s["images"] == 0
    assert s["background_light"] == "rgb(255, 255, 255)" and s["background_dark"] != s["background_light"]
    assert s["axe_light"] == [] and s["axe_dark"] == []


@needs_browser
def test_flame_page_by_keyboard_and_in_other_ways(files):
    """Focus, callers first, filters, search in modules, the pointer's tip, a link, print, a phone."""
    recursive = small_profile()
    main = frame("main", "/usr/bin/leaky")
    add_stack(recursive, [frame("leaf"), frame("again"), frame("step"), frame("again"), main], 8192)
    (files / "more.json").write_text(json.dumps(recursive))
    memwatch("report", files / "more.json", "-o", files / "more.html", check=0)
    s = browse("more", files / "more.html", "more")
    assert s["tab_stops"] < 30
    assert s["walk"][0].endswith("  all") and "  main" in s["walk"][1]
    assert all(a != b for a, b in zip(s["walk"], s["walk"][1:]))
    assert s["walk"][3] == s["walk"][5] != s["walk"][4] and s["walk"][2] == s["walk"][6]
    assert s["copied"].splitlines()[-1] == "main" and "kB" in s["copied"].splitlines()[0]
    assert s["said"].startswith("zoomed to ") and s["focus_after_zoom"] in s["said"]
    assert s["said_after"] == "everything is shown"
    assert any(x.startswith("16.00kB") and "  needle_alloc" in x for x in s["bottom_up"])
    assert s["focus"]["total"] == "16.00kB" and "needle_alloc" in s["focus"]["names"]
    assert "needle_alloc" not in s["ignore"]["names"] and "handle" not in s["ignore"]["names"]
    assert "store" not in s["hide"]["names"] and "main" in s["hide"]["names"]
    assert s["collapsed"].count("again") == 1
    assert s["found_module"].startswith("1 frame, 1.00kB")
    assert s["tip"] and s["detail"][0].isdigit()  # values before the name
    assert "type=alloc_objects" in s["link"] and "zoom=" in s["link"]
    assert s["link_crumbs"][0] == s["link_crumbs"][1] and s["link_labels"][0] == s["link_labels"][1]
    assert s["print"][0] <= s["print"][1]
    for paper in s["pdf"]:  # frames have the colours of their modules and names, on one page
        assert paper["pages"] == 1 and paper["colours"] >= 8, s["pdf"]
    assert s["narrow"][0] <= s["narrow"][1] and s["narrow_box"] > 300
    assert set(s["axe"]) == {"focus", "ignore", "hide", "tip", "zoomed"} and not any(s["axe"].values()), s["axe"]
    assert s["axe_narrow"] == []
    assert "\u202e" not in s["body"]
    assert not any("\u202e" in x for x in s["bottom_up"])


@needs_browser
def test_flame_picture(files):
    s = browse("svg", files / "small.svg", "svg")
    assert s["hits"] == 1 and s["found"] == "matched 48.5%"
    assert s["flame"] == s["turned"] != s["icicle"] and s["buttons"] == ["icicle", "search"]
    assert s["asked"] == "matched 3.0%"  # libother's 1 of 33 kB
    assert s["role"] == ["graphics-document document", "flame graph of <b>leaky</b>"]
    assert s["frames"] == 1 + 2 + len(HOSTILE) + 2
    assert any(t.startswith(HOSTILE[0]) and "2.00kB (6.06%)" in t for t in s["titles"])
    walk = s["walk"]
    assert walk["stops"] == 3  # two buttons, and the frames as one
    for way in walk["flame"], walk["icicle"]:
        root, child, leaf, beside, back, up, home, still = way
        assert root.startswith("main, ") and child.startswith("store, 16.00kB") and leaf.startswith(HOSTILE[0])
        assert beside != leaf == back and up == child and home == still == root
    assert s["axe_light"] == s["axe_dark"] == []
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
    # where nothing shrank it is a difference all the same
    now["stacks"][9]["inuse_bytes"] = then["stacks"][9]["inuse_bytes"]
    (files / "now.json").write_text(json.dumps(now))
    memwatch("report", "--base", files / "then.json", files / "now.json", "-o", files / "grew.html",
             "-o", files / "grew.svg", check=0)
    s = browse("flame", files / "grew.html", "grew")
    assert "red grew" in s["legend"]
    assert all(f.startswith(("hsl(4 ", "hsl(30 ", "#e83fb8")) for f in s["fills"]), s["fills"]
    assert "red grew" in (files / "grew.svg").read_text()


def test_cut_stacks_are_no_lost_events(files):
    doc = small_profile()
    doc["loss"] = {"allocations lost: ring full": 3, "stack cut: too deep": 7,
                   "frees of blocks from before the attach": 100}
    (files / "loss.json").write_text(json.dumps(doc))
    memwatch("report", files / "loss.json", "-o", files / "loss.html", "-o", files / "loss.svg", check=0)
    assert '"lost":3,"cut":7,' in (files / "loss.html").read_text()
    assert "; 3 events lost; 7 stacks cut" in (files / "loss.svg").read_text()


def test_code_without_a_name_is_called_by_its_place(files):
    """The same in every format, however the module lies in memory."""
    doc = small_profile()
    for i, base in enumerate((0, 0x7f0000000000)):
        f = frame("", "/usr/bin/stripped")
        f.update(function="", file="", line=0, address=base + 0x64ef7)
        add_stack(doc, [f, frame("main", "/usr/bin/leaky")], 100 + i)
    (files / "place.json").write_text(json.dumps(doc))
    memwatch("report", files / "place.json", "-o", files / "place.html", "-o", files / "place.svg",
             "-o", files / "place.folded", check=0)
    for name in ("place.html", "place.svg", "place.folded"):
        assert "stripped+0x64ef7" in (files / name).read_text()


def timeline_page(pids, path):
    """A page of processes whose memory grows with their number; as format/page.c puts it together."""
    keys = ["virt_bytes", "rss_bytes", "rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes", "swap_bytes",
            "inuse_bytes", "alloc_bytes"]
    doc = [{"pid": p, "name": f"worker\u202e{p % 7}", "marks": [],
            "columns": {"time_unix_ms": [1700000000000 + t * 1000 + p for t in range(6)],
                        **{k: [(p + t) << 12 if k in ("virt_bytes", "rss_bytes", "rss_anon_bytes") else
                               None for t in range(6)] for k in keys}}} for p in pids]
    web = ROOT / "build" / "gen" / "web"
    page = (ROOT / "tools/web/static/timeline.html").read_text()
    for mark, text in (("style", (web / "timeline.css").read_text()), ("script", (web / "timeline.js").read_text()),
                       ("data", json.dumps(doc))):
        page = page.replace("{{" + mark + "}}", text)
    path.write_text(page)


@needs_browser
def test_timelines_of_thousands(files):
    """An index with a filter, the biggest drawn, the others summed; no page of a million pixels."""
    timeline_page(range(1000, 4000), files / "many.html")
    s = browse("timeline", files / "many.html", "many")
    assert s["headings"][0].endswith("pid 3999") and s["headings"][-1].strip() == "2,992 others together"
    assert len(s["headings"]) == 9 and len(s["rows"]) == 3000
    assert s["filtered"] == "1 of 3,000 processes" and any("pid 1017" in h for h in s["chosen"])
    assert s["height"] < 10000
    assert not any("\u202e" in x for x in s["headings"] + s["rows"])
    assert s["axe_light"] == [] and s["axe_dark"] == []
    assert s["narrow"][0] <= s["narrow"][1] and s["axe_narrow"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [-+]\d{4}", s["values"][0])
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [-+]\d{4}, RSS anonymous \d", s["walked"])
    assert "RSS of worker" in s["charts"][0] and "at most" in s["charts"][0]


@needs_browser
@pytest.mark.parametrize("page,states", [("flame", 15), ("few", 3), ("indexed", 7), ("index", 1)])
def test_every_state_is_accessible(files, page, states):
    """Light and dark, at a desk's and a phone's width: no rule of axe-core's is broken, nothing is
    wider than the window."""
    path = files / f"{page}-states.html"
    if page == "flame":
        shutil.copy(files / "small.html", path)
    elif page == "index":
        rows = "<tr><td>7<td>x<td>r<td><a href=/x>heap</a><td><a href=/y>allocs</a><td><a href=/z>profile</a></tr>"
        path.write_text((ROOT / "tools/web/static/pprof.html").read_text().replace("{{data}}", rows + "</table>"))
    else:
        timeline_page(range(1000, 1004 if page == "few" else 1050), path)
    s = browse("states", path, f"{page}-states")
    assert len(s["states"]) == 4 * states and not any(s["states"].values()), s["states"]


@needs_browser
def test_timelines_stack_in_the_same_order(files):
    """Page and picture: anonymous memory lowest, where the heap is."""
    rows = "".join(f"{1700000000000 + i * 1000},7,{9 << 20},{6 << 20},{3 << 20},{2 << 20},{1 << 20},0,,\n"
                   for i in range(20))
    (files / "kinds.csv").write_text("time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,rss_file_bytes,"
                                     "rss_shmem_bytes,swap_bytes,inuse_bytes,alloc_bytes\n" + rows)
    memwatch("report", files / "kinds.csv", "-o", files / "kinds.html", "-o", files / "kinds.svg", check=0)
    for name in ("kinds.html", "kinds.svg"):
        found = [b.removeprefix("RSS ") for b in browse("bands", files / name, "bands")["bands"]]
        assert found == ["anonymous", "shared", "file"], name


@needs_browser
def test_timelines_on_paper(files):
    """Drawn anew at the paper's width, in its colours, and as the screen's afterwards."""
    timeline_page(range(1000, 1004), files / "few.html")
    s = browse("paper", files / "few.html", "few")
    for paper in s["paper_light"], s["paper_dark"]:
        assert len(paper["widths"]) == 8 and max(paper["widths"]) <= 700 and paper["background"] == "#fff"
        assert paper["after"] == paper["before"] > 700 and paper["bytes"] > 20000


@needs_browser
def test_source_page(files, heaps):  # noqa: F811
    (files / "web.html").write_text(memwatch("report", "--weblist", "main.main", heaps / "heap2.pb.gz",
                                             check=0).stdout)
    s = browse("weblist", files / "web.html", "weblist")
    assert "main.work" in s["code"]
    assert s["axe_light"] == s["axe_dark"] == s["axe_open_light"] == s["axe_open_dark"] == s["axe_narrow"] == []
    assert s["narrow"][0] <= s["narrow"][1]


@needs_browser
def test_call_graph(files):
    s = browse("graph", files / "graph.svg", "graph")
    assert s["nodes"] == 1 + 3 + len(HOSTILE) + 2  # the legend, main store handle, leaves
    assert s["edges"] == len(HOSTILE) + 4
    assert any("33kB (100%)" in t for t in s["labels"])
    v = s["views"]
    assert v["again"] == v["escape"] == v["printed"] == v["all"]
    assert v["near"][2] < v["all"][2] and v["right"][0] > v["near"][0] and v["down"][1] > v["right"][1]
    assert v["far"][2] == pytest.approx(v["all"][2]) and v["after"] == v["dragged"]
    assert v["wheel"][2] < v["all"][2] and v["dragged"][2] == v["wheel"][2]
    assert v["dragged"][0] < v["wheel"][0] and v["dragged"][1] < v["wheel"][1]  # the graph follows the hand
    assert not s["errors"]


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
    assert run.wait(180) == 0, run.stderr.read()
    s = browse("flame", files / "real.html", "real")
    assert {"main", "leak_steadily", "fill_cache"} <= set(s["names"])
    s = browse("timeline", files / "line.html", "timeline")
    assert s["canvases"] == 2
    assert s["axe_narrow"] == [] and s["narrow"][0] <= s["narrow"][1]
    assert "RSS anonymous" in s["legend"] and "heap in use" in s["legend"] and "VIRT" in s["legend"]
    assert any(v.endswith("MB") for v in s["values"]) and s["painted"] > 0.05
