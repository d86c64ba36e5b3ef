# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon answers to its page, and the page in a browser."""
import ctypes
import json
import os
import re
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from conftest import ROOT, build, memwatch, wait_for
from daemonlib import ROUNDS, RULE, Server, attached, daemon, rounds, serve, step  # noqa: F401 (fixtures)
from oomlib import MIB, Group, group, hog, leak  # noqa: F401 (fixtures)
from test_page import KEYS, Page, needs_browser


def test_the_pages_questions(serve, rounds):
    t = rounds()
    s = serve(RULE + "snapshot = 1s\n")
    attached(s.d, t.pid)
    step(t, "aa")
    ask = lambda path, status=200: json.loads(s.text("/api/" + path, status))
    assert ask("about")["mode"] == "daemon"
    mine = wait_for(lambda: next((x for x in ask("processes")["processes"]
                                  if x["pid"] == t.pid and x["profiled"] and len(x["spark"]) > 1), None))
    assert mine["comm"] == ROUNDS and mine["rss_bytes"] == mine["spark"][-1]
    machine = wait_for(lambda: (lambda m: m if len(m["columns"]["time_unix_ms"]) > 1 else None)(ask("machine")))
    assert len({len(c) for c in machine["columns"].values()}) == 1
    assert all(a <= b for a, b in zip(machine["columns"]["available_bytes"], machine["columns"]["total_bytes"]))
    # A young small process is in the history by its profiles alone; this test is neither.
    line = ask(f"timeline?pid={os.getpid()}")[0]["columns"]
    assert len(line["time_unix_ms"]) == len(line["rss_bytes"]) > 0
    if s.get("/p/1/debug/pprof/cmdline")[0] == 200:  # not in another PID namespace
        assert ask("timeline?pid=1")[0]["columns"]["rss_bytes"][-1] > 0
    # Of one that the history does not have so far, the present.
    young = rounds("young-t")
    line = wait_for(lambda: s.get(f"/api/timeline?pid={young.pid}")[0] == 200 and ask(f"timeline?pid={young.pid}")[0])
    assert line["columns"]["rss_bytes"][-1] > 0
    now = lambda: int(time.time() * 1000)
    before = wait_for(lambda: (lambda ms: s.get(f"/api/profile?pid={t.pid}&to={ms}")[0] == 200 and ms)(now()))
    step(t, "af")
    assert ask(f"profile?pid={t.pid}")["schema"] == ask(f"profile?pid={t.pid}&to={before}")["schema"]
    # What of it is resident, and sizes and lifetimes, is told of the present alone.
    names = lambda p: [x["name"] for x in p["types"]]
    present, change = ask(f"profile?pid={t.pid}"), ask(f"profile?pid={t.pid}&base_to={before}")
    assert names(present)[-1] == "resident_space" and any(present["values"][-1]) and present["size_histogram"]
    assert names(change) == names(present)[:-1] == names(ask(f"profile?pid={t.pid}&to={before}"))
    assert ask("oom") == ask("alerts") == {"left_out": 0, "events": []}
    # What is shown can be saved, also of the past; its source is read; its stacks are judged.
    for path in (f"pprof?pid={t.pid}", f"pprof?pid={t.pid}&to={before}&download=1"):
        status, headers, body = s.get("/api/" + path)
        assert status == 200 and body[:2] == b"\x1f\x8b"
        assert ("download" in path) == (headers["Content-Disposition"] is not None)
    assert "ROUTINE" in s.text(f"/api/list?pid={t.pid}&function=^hold$")
    told = wait_for(lambda: ask(f"verdicts?pid={t.pid}"))
    assert any("hold" in v["frames"] for v in told) and all(v["text"] for v in told)
    assert ask("verdicts?pid=2147483646") == []
    p = memwatch("history", "--state-dir", s.d.state, "-p", t.pid, check=0)
    assert re.search(r", \d+ snapshots? in .*, RSS [1-9]\S+ to [1-9]\S+$", p.stdout, re.M), p.stdout
    for path, status in (("profile", 400), ("profile?pid=2147483646", 404), ("profile?pid=x", 400),
                         ("profile?kept=2147483646", 404), ("profile?kept=x", 400),
                         ("timeline?pid=2147483646", 404), ("timeline", 400),
                         ("machine?from=9&to=1", 400), ("machine?from=x", 400), ("nothing", 404)):
        assert "error" in ask(path, status)


def test_the_ledger_over_time(serve, rounds):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "aaaa")

    def line():
        c = json.loads(s.text(f"/api/timeline?pid={t.pid}"))[0]["columns"]
        return c if any(c.get("ledger_live_heap_bytes", [])) else None
    c = wait_for(line)
    lines = [k for k in c if k.startswith("ledger_")]
    assert "ledger_module_code_bytes" in lines and "ledger_jit_bytes" not in lines
    assert {len(c[k]) for k in lines} == {len(c["time_unix_ms"])}
    last = {k: c[k][-1] for k in lines}
    assert last["ledger_live_heap_bytes"] >= 4000 * 1000 * 0.9
    assert sum(v or 0 for v in last.values()) > c["rss_bytes"][-1] * 0.8
    # And in files that history writes.
    p = memwatch("history", "--state-dir", s.d.state, "-p", t.pid, "-o", s.d.state / "t.csv", check=0)
    assert "ledger_live_heap_bytes" in (s.d.state / "t.csv").read_text().splitlines()[0], p.stderr
    # The present ledger comes with the profile.
    assert json.loads(s.text(f"/api/profile?pid={t.pid}"))["ledger"][0]["pid"] == t.pid


def test_alerts_for_the_page(serve, rounds):
    t = rounds()
    s = serve(RULE + f"[alert a]\ncomm = ^{ROUNDS}$\nalert-rss = 1K\n")
    told = wait_for(lambda: json.loads(s.text("/api/alerts"))["events"])
    assert told[0]["schema"] == "memwatch.alert/1" and told[0]["pid"] == t.pid
    assert f"alert: PID {t.pid} ({ROUNDS})" in [m["text"] for m in json.loads(s.text("/api/machine"))["marks"]]


@needs_browser
def test_page_in_a_browser(serve, leak, tmp_path):
    p = leak(40 * MIB, "-s", "64", "-u", "10000")
    s = serve("[profile p]\ncomm = ^oom_hog$\n")
    attached(s.d, p.pid)
    leak.go(p)
    assert p.wait(180) == -9
    wait_for(lambda: any(e["victim"] and e["victim"]["pid"] == p.pid for e in json.loads(s.text("/api/oom"))["events"]))
    link = f"main dl a[href*='pid={p.pid}']"
    seen = Page(s.d).browse("page-daemon", [
        {"wait": "document.body.dataset.ready === 'processes'"}, {"wait": "document.querySelector('.spark polyline')"},
        {"view": "processes"},
        {"go": f"view=timeline&pid={os.getpid()}"}, {"wait": "document.body.dataset.ready === 'timeline'"},
        {"go": "view=oom"}, {"wait": "document.body.dataset.ready === 'oom'"}, {"view": "oom"},
        {"click": link}, {"wait": "document.querySelectorAll('g.frame').length > 3"},
        {"see": ["names", "[...document.querySelectorAll('g.frame')].map((g) => g.getAttribute('name'))"]},
    ], tmp_path)
    assert any("hoard" in n for n in seen["names"])


def stays(name, has=""):
    """What the address says is shown again by who opens it: the same text, once it has `has`."""
    text = ("(() => { const m = document.querySelector('main').cloneNode(true);"
            " m.querySelectorAll('.u-legend, #detail').forEach((e) => e.remove());"  # what the mouse is over
            " return location.hash + m.textContent; })()")
    drawn = {"wait": f"(window.drawn = {text}).includes('{has}')"}
    return [drawn, {"see": [name, "drawn"]}, {"reload": True}, drawn, {"see": [name + " again", "drawn"]}]


@needs_browser
def test_every_state_of_the_page_is_a_link(serve, rounds, tmp_path):
    t = rounds()
    s = serve(RULE + f"snapshot = 1s\n[alert a]\ncomm = ^{ROUNDS}$\nalert-rss = 1K\n")
    attached(s.d, t.pid)
    step(t, "aaaa")

    def kept():
        c = json.loads(s.text(f"/api/timeline?pid={t.pid}"))[0]["columns"]
        return len([v for v in c.get("ledger_live_heap_bytes", []) if v]) > 2
    wait_for(kept)
    t.stop()  # what is shown changes no more
    wait_for(lambda: "ended" in s.d.err or s.get(f"/p/{t.pid}/debug/pprof/heap")[0] == 404)
    states = lambda: {e["state"] for e in json.loads(s.text("/api/alerts"))["events"] if e["pid"] == t.pid}
    wait_for(lambda: states() == {"firing", "resolved"})
    hostile = rounds("<img src=x onerror=pwned=1>")
    wait_for(lambda: hostile.pid in [p["pid"] for p in json.loads(s.text("/api/processes"))["processes"]])
    of = f"pid={t.pid}"
    at = lambda view: {"wait": f"document.body.dataset.ready === '{view}'"}
    seen = Page(s.d).browse("page-state", [
        {"go": f"view=ledger&{of}"}, at("ledger"), {"wait": "document.querySelectorAll('canvas').length"},
        {"see": ["key", "[...document.querySelectorAll('.u-label')].map((e) => e.textContent)"]}, {"view": "ledger"},
        {"go": f"view=timeline&{of}"}, at("timeline"), {"view": "timeline"},
        {"drag": ".u-over"}, {"wait": "location.hash.includes('t1=')"}, *stays("window"),
        {"see": ["moments", "[...document.querySelectorAll('.window input')].map((e) => e.value)"]},
        {"click": ".window a:nth-of-type(2)"}, at("flame"), *stays("difference", "all"), {"view": "difference"},
        {"see": ["save", "document.querySelector('a[download]').getAttribute('href')"]},
        {"go": f"view=flame&{of}"}, at("flame"),
        {"click": "[aria-label='sample type'] button:nth-child(3)"}, {"wait": "location.hash.includes('type=')"}, *stays("type", "hold"),
        {"click": "[aria-label=direction] button:nth-child(2)"}, {"wait": "location.hash.includes('up=')"}, *stays("direction", "hold"),
        {"click": "[aria-label=tree] button:nth-child(2)"}, {"wait": "location.hash.includes('way=')"}, *stays("tree", "hold"),
        {"fill": ["#search", "hold"]}, {"wait": "location.hash.includes('q=hold')"}, *stays("search", "hold"),
        {"go": f"view=flame&{of}"}, {"press": [KEYS, "ArrowDown"]}, {"press": [KEYS, "ArrowDown"]},
        {"press": [KEYS, "Enter"]}, {"wait": "location.hash.includes('path=')"}, *stays("zoom", "hold"),
        {"go": f"view=functions&{of}&fn=hold"}, at("functions"), *stays("peek"),
        {"go": f"view=functions&{of}"}, {"click": "th .plain"}, *stays("sort"),
        {"go": f"view=stacks&{of}"}, at("stacks"), {"wait": "document.getElementById('verdicts').textContent"},
        {"click": "td summary"}, {"wait": "location.hash.includes('stack=')"}, {"see": ["judged", "document.querySelector('tbody').textContent"]},
        {"reload": True}, {"see": ["opened", "document.querySelector('td details[open] li').textContent"]},
        {"view": "stacks"}, {"go": "view=alerts"}, at("alerts"), {"view": "alerts"}, *stays("alerts"),
        {"go": "view=processes&q=nobody-has-this"}, {"see": ["none", "document.querySelector('main').innerText"]},
        {"go": "view=processes&q=%3Cimg"}, {"see": ["hostile", "document.querySelector('.processes tbody').textContent"]},
        {"see": ["images", "document.querySelectorAll('main img').length"]},
        {"go": "view=processes&sort=virt_bytes"}, {"view": "processes"},
        {"see": ["sorted", "document.querySelector('[aria-sort]').textContent"]},
    ], tmp_path)
    assert "live heap" in seen["key"] and "module code" in seen["key"]
    for name in ("window", "difference", "type", "direction", "tree", "search", "zoom", "peek", "sort", "alerts"):
        assert seen[name] == seen[name + " again"], name
    assert ROUNDS in seen["window"]  # of one that has ended, too
    assert len(seen["moments"]) == 2 and seen["moments"][0] < seen["moments"][1]
    assert "base_to=" in seen["difference"] and "to=" in seen["difference"]
    assert re.match(rf"/api/pprof\?.*{of}.*base_to=", seen["save"]) and s.get(seen["save"])[0] == 200
    assert ROUNDS in seen["alerts"] and "of then" in seen["alerts"]
    assert re.search("early to say|flat|grew|growing|steady|since", seen["judged"]) and seen["opened"]
    assert "<img src=x" in seen["hostile"] and seen["images"] == 0
    assert "no process matches" in seen["none"] and seen["sorted"] == "VIRT"


@needs_browser
def test_every_view_by_keyboard(serve, rounds, tmp_path):
    """From the list of processes to each view and in it, without a mouse, while the page is drawn anew each pass."""
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "aa")
    wait_for(lambda: len(json.loads(s.text(f"/api/timeline?pid={t.pid}"))[0]["columns"]["rss_bytes"]) > 2)
    at = lambda view: {"wait": f"document.body.dataset.ready === '{view}'"}
    to = lambda view: [{"tab": f"#views a[href*='view={view}']"}, {"key": "Enter"}, at(view),
                       {"see": [f"focus {view}", "document.activeElement.getAttribute('href')"]}]
    has = lambda text: {"wait": f"location.hash.includes('{text}')"}
    seen = Page(s.d).browse("page-keys", [
        at("processes"), {"key": "/"}, {"wait": "document.activeElement.id === 'search'"}, {"type": ROUNDS}, has(f"q={ROUNDS}"),
        {"tab": ".processes th button"}, {"key": "Enter"}, has("sort="), at("processes"), {"tab": f".processes a[href*='pid={t.pid}']"}, {"key": "Enter"},
        at("flame"), {"tab": KEYS}, {"key": "ArrowDown"}, {"key": "ArrowDown"}, {"key": "Enter"}, has("path="),
        *to("stacks"), {"tab": "td summary"}, {"key": "Enter"}, {"wait": "document.querySelector('td details[open]')"},
        *to("functions"), {"tab": "th button"}, {"key": "Enter"}, has("sort="), at("functions"),
        *to("timeline"), {"tab": "[aria-label='time that is shown'] button:nth-child(2)"}, {"key": "Enter"}, has("span=6h"), at("timeline"),
        {"tab": ".window input"}, *to("ledger"), *to("histograms"),
        {"see": ["captions", "[...document.querySelectorAll('caption')].map((c) => c.textContent)"]}, {"view": "histograms"}, *to("oom"), *to("alerts"), *to("processes"),
    ], tmp_path)
    for view in ("stacks", "functions", "timeline", "ledger", "histograms", "oom", "alerts", "processes"):
        assert f"view={view}" in (seen[f"focus {view}"] or ""), (view, seen)
    assert "sizes of blocks" in seen["captions"]


def hostile(n):
    return f"<img src=x onerror=pwned={n}>"


def of_their_own(passwd):
    """For a child: users as this file names them, for nobody else."""
    libc = ctypes.CDLL(None, use_errno=True)

    def mount():
        if (libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None)  # private, all below
                or libc.mount(os.fsencode(passwd), b"/etc/passwd", None, 0x1000, None)):  # bind
            raise OSError(ctypes.get_errno(), "mount")
    return mount


@pytest.fixture
def evil(target, group, tmp_path):
    """A process each of whose names would be a tag if a page took it as it is."""
    (tmp_path / "l.c").write_text("#include <stdlib.h>\nvoid *inner(size_t n) { void *volatile p = malloc(n); return p; }\n"
                                  "void *hostile_alloc(size_t n) { void *volatile p = inner(n); return p; }\n")
    public = tempfile.TemporaryDirectory()  # the process is nobody's
    os.chmod(public.name, 0o755)
    lib = Path(public.name) / (hostile(1) + ".so")
    for args in (["gcc", "-fPIC", "-fno-optimize-sibling-calls", "-O1", "-c", "-o", "l.o", "l.c"],
                 ["objcopy", "--redefine-sym", f"inner={hostile(2)}", "l.o"], ["gcc", "-shared", "-o", lib, "l.o"]):
        subprocess.run(args, check=True, cwd=tmp_path)
    made = []
    for name in ("lxc", hostile(3), hostile(4) + ".service"):
        made.append(Group(name, parent=made[-1] if made else group()))
    t = target([build("hostile.c", libs=["-ldl"]), lib, "<img src=x on=1"], preexec_fn=lambda: (made[-1].join(), os.setuid(54321)),
               env={**os.environ, "APP": hostile(5)})
    t.expect("ready")
    yield t
    t.stop()
    for g in reversed(made):
        g.remove()
    public.cleanup()


@needs_browser
def test_hostile_names_in_every_field(daemon, evil, tmp_path):
    """Command, its line, control group, unit, container, user, label, rule, function and file."""
    (tmp_path / "passwd").write_text(Path("/etc/passwd").read_text() + f"{hostile(6)}:x:54321:54321::/:/bin/false\n")
    d = daemon(f"sample-bytes = 1\nlisten = 127.0.0.1:0\n[profile {hostile(7)}]\nlabel = APP={hostile(5)}\n"
               f"[alert {hostile(7)}]\ncomm = ^<img\nalert-rss = 1K\n", preexec_fn=of_their_own(tmp_path / "passwd"))
    s = Server(d)
    attached(d, evil.pid)
    evil.say("x")
    evil.expect("ok")
    row = wait_for(lambda: next((p for p in json.loads(s.text("/api/processes"))["processes"] if p["pid"] == evil.pid), None))
    assert row["comm"] == "<img src=x on=1" and row["user"] == hostile(6) and hostile(3) in row["cgroup"]
    wait_for(lambda: json.loads(s.text("/api/alerts"))["events"])
    label = next(x["labels"] for x in json.loads(s.text("/sd")) if x["labels"]["pid"] == str(evil.pid))
    assert label["unit"] == hostile(4) + ".service" and hostile(3) in label["container"] and label["rule"] == hostile(7)
    assert hostile(1) in label["__meta_memwatch_cmdline"] and label["user"] == hostile(6)
    p = subprocess.run(["promtool", "check", "metrics"], input=s.text("/metrics?format=prometheus"), capture_output=True,
                       text=True, timeout=180)
    assert p.returncode == 0 and p.stderr == "", p.stderr
    of, steps = f"pid={evil.pid}", []
    for view in ("processes", "flame", "stacks", "functions", "timeline", "ledger", "histograms", "alerts", "oom"):
        steps += [{"go": f"view={view}&{of}"}, {"wait": f"document.body.dataset.ready === '{view}'"},
                  {"see": [view, "document.querySelector('main').textContent"]},
                  {"see": [f"tags {view}", "document.querySelectorAll('img, [onerror]').length"]}]
    seen = Page(d).browse("page-hostile", [
        *steps, {"go": f"view=flame&{of}"}, {"see": ["names", "[...document.querySelectorAll('g.frame')].map((g) => g.getAttribute('name'))"]},
        {"go": f"view=stacks&{of}"}, {"tab": "td summary"}, {"key": "Enter"}, {"view": "stacks"}, {"go": "view=processes&q=%3Cimg"},
        {"view": "processes"}], tmp_path)
    assert all(seen[f"tags {view}"] == 0 for view in seen if f"tags {view}" in seen)
    assert hostile(2) in seen["names"] and hostile(2) in seen["functions"]
    assert "<img src=x on=1" in seen["processes"] and hostile(6) in seen["processes"]
    assert "<img src=x on=1" in seen["alerts"]


def test_kills_for_the_page_lead_to_their_profiles(serve, leak):
    p = leak(40 * MIB, "-s", "64", "-u", "10000")
    s = serve("[profile p]\ncomm = ^oom_hog$\n")
    attached(s.d, p.pid)
    leak.go(p)
    assert p.wait(180) == -9
    told = wait_for(lambda: next((e for e in json.loads(s.text("/api/oom"))["events"] if e["victim"] and e["victim"]["pid"] == p.pid), None))
    assert told["schema"] == "memwatch.oom/1"
    flame = s.text(f"/api/profile?pid={p.pid}&kept={told['kept']}")
    assert "memwatch.flame/1" in flame and "hoard" in flame
    assert flame == s.text(f"/api/profile?kept={told['kept']}")


def test_what_is_resident_of_who_is_not_profiled(serve, target):
    s = serve("[faults]\nperiod = 64\n[profile none]\ncomm = ^nobody$\n")
    t = target(["python3", "-c", "x = bytearray(64 << 20); print('ready', flush=True); input()"])
    t.expect("ready")
    wait_for(lambda: s.get(f"/debug/pprof/resident?pid={t.pid}")[0] == 200)
    ask = lambda path: json.loads(s.text("/api/" + path))
    flame = ask(f"profile?pid={t.pid}")
    assert [x["name"] for x in flame["types"]][-1] == "resident_space" and any(flame["values"][-1])
    assert s.get(f"/api/pprof?pid={t.pid}")[2][:2] == b"\x1f\x8b"
    assert ask(f"verdicts?pid={t.pid}") == []


def test_many_events_are_bounded(serve, tmp_path):
    """The newest are told, and how many older ones there are."""
    tool = ROOT / "build/tests/history_fill"
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", tool.relative_to(ROOT)], check=True, capture_output=True)
    (tmp_path / "state").mkdir(mode=0o700)
    now = int(time.time() * 1000)
    subprocess.run([tool, tmp_path / "state", str(now - 60000)], check=True)
    db = sqlite3.connect(tmp_path / "state/history.db")
    db.executemany("INSERT INTO event(time_ms, kind, pid, comm, json) VALUES(?, 'alert', 811, 'grower', ?)",
                   [(now - 10000 + i, json.dumps({"rule": "rss", "pid": 811, "time_unix_ms": i})) for i in range(700)])
    db.commit()
    db.close()
    s = serve("")
    ask = lambda path: json.loads(s.text("/api/" + path))
    told = ask("alerts")
    assert [e["time_unix_ms"] for e in told["events"]] == list(range(699, 499, -1))
    assert told["left_out"] == 700 + 6 - 200
    machine = ask(f"machine?from={now - 3600000}&to={now}")
    assert len(machine["marks"]) == 500 and machine["marks_left_out"] >= 700 + 7 - 500  # the machine's own kills beside
    line = ask(f"timeline?pid=811&from={now - 3600000}&to={now}")[0]
    assert len(line["marks"]) == 500 and line["marks_left_out"] == 207
    assert len(ask(f"timeline?pid=812&from={now - 3600000}&to={now}")[0]["marks"]) == 0


def test_events_for_the_page(serve):
    s = serve("")
    q = urllib.request.Request(f"http://{s.address}/api/events", headers={"Authorization": "Bearer " + s.token})
    with urllib.request.urlopen(q, timeout=180) as r:
        assert r.headers["Content-Type"].startswith("text/event-stream")
        lines = [r.readline().decode() for _ in range(6)]
    assert lines.count("event: changed\n") >= 2 and any(x.startswith("data: {") for x in lines)
