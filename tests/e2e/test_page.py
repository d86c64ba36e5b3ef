# SPDX-License-Identifier: GPL-2.0-or-later
"""The page over files: every view in a real browser, and who is let in."""
import base64
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from alloclib import go_pprof
from conftest import ROOT, build, memwatch, wait_for
from test_pictures import HOSTILE, SHOTS, big_profile, needs_browser, small_profile

LOGS = ROOT / "tests" / "oomlogs"


class Page:
    """memwatch that serves a page: its address, and requests as whoever."""

    def __init__(self, run):
        self.run = run
        self.url = run.wait_for(r"^memwatch: page: (\S+)$")[1]
        m = re.match(r"http://([\d.]+):(\d+)/\?token=(\w{32})$", self.url)
        self.host, self.port, self.token = m[1], int(m[2]), m[3]

    def ask(self, path, method="GET", auth=True, headers=(), body=None):
        c = http.client.HTTPConnection(self.host, self.port, timeout=180)
        h = dict(headers)
        if auth:
            h["Authorization"] = "Basic " + base64.b64encode(f"memwatch:{self.token}".encode()).decode()
        c.request(method, path, body=body, headers=h)
        r = c.getresponse()
        r.text = r.read()
        c.close()
        return r

    def json(self, path):
        r = self.ask(path)
        assert r.status == 200, r.text
        return json.loads(r.text)

    def browse(self, shots, steps, tmp_path):
        SHOTS.mkdir(parents=True, exist_ok=True)
        (tmp_path / "steps.json").write_text(json.dumps(steps))
        p = subprocess.run(["node", str(ROOT / "tests/web/served.mjs"), self.url, str(SHOTS / shots),
                            str(tmp_path / "steps.json")], capture_output=True, text=True, timeout=1800)
        assert p.returncode == 0, p.stderr
        seen = json.loads(p.stdout)
        assert seen["errors"] == [] and seen["requests"] == [] and seen["dialogs"] == 0, seen
        assert seen["axe"] == [] and seen["overflow"] == [] and seen["paper"] == [], seen
        assert seen["unseen"] == [] and seen["pwned"] is None, seen
        assert seen["keyboard"] == [], seen["keyboard"]
        assert seen.get("walked", 0) > 10 or not any("view" in step for step in steps)
        assert seen["cookies"] == [{"httpOnly": True, "sameSite": "Strict"}]
        return seen


@pytest.fixture
def serve(attach):
    def start(*files, listen=None):
        return Page(attach("report", f"--http={listen}" if listen else "--http", *files, ready=False))
    return start


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One of each kind, with hostile names; the recording and the timeline are of a real program."""
    d = tmp_path_factory.mktemp("page")
    (d / "small.json").write_text(json.dumps(small_profile()))
    p = small_profile()
    for s in p["stacks"][:4]:
        s["inuse_bytes"] += 1000
        s["alloc_bytes"] += 1000
    (d / "later.json").write_text(json.dumps(p))
    (d / "big.json").write_text(json.dumps(big_profile()))
    memwatch("report", "-o", d / "small.pb.gz", d / "small.json", check=0)
    hostile = json.dumps({"schema": "memwatch.timeline/1", "processes": [
        {"pid": 7, "name": HOSTILE[1], "rows": [
            {"time_unix_ms": 1700000000000 + i * 1000, "virt_bytes": 9 << 20, "rss_bytes": (4 + i) << 20,
             "rss_anon_bytes": (3 + i) << 20, "rss_file_bytes": 1 << 20, "rss_shmem_bytes": 0,
             "swap_bytes": None} for i in range(20)],
         "marks": [{"time_unix_ms": 1700000009000, "text": HOSTILE[0]}]}]})
    (d / "hostile-timeline.json").write_text(hostile)
    exe = build("shapes.c", flags=["-O1"])
    t = subprocess.Popen([exe, "10", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert t.stdout.readline().startswith("ready")
        m = subprocess.Popen([str(ROOT / "build/memwatch"), "-p", str(t.pid), "--exact", "-i", "0.25s", "--plain",
                              "--record", d / "run.mwrec", "--timeline", d / "run.csv", "--ledger", "--histograms",
                              "-o", d / "end.json"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: (d / "run.mwrec").exists() and (d / "run.mwrec").stat().st_size > 100)
        t.stdin.write("go\n")
        t.stdin.flush()
        assert t.stdout.readline().startswith("done")
        m.send_signal(signal.SIGINT)
        err = m.communicate(timeout=180)[1]
        assert m.returncode == 0, err
    finally:
        t.kill()
        t.communicate()
    # two moments, and whatever is dragged over lies between them
    memwatch("run", "--exact", "-i", "60s", "--plain", "--record", d / "sparse.mwrec", "--", "/usr/bin/python3", "-c",
             "import time; a = [str(i) * 9 for i in range(5000)]; time.sleep(1)", check=0)
    return d


def view(n, name):
    return [{"click": f"#views a:nth-child({n})"}, {"wait": f"document.body.dataset.ready === '{name}'"}]


# The frame that Tab leads to.
KEYS = "#chart g.frame[tabindex='0']"


@needs_browser
def test_the_page_says_that_it_reads(serve, files, tmp_path):
    """While something is fetched it is told for how long, and what is shown stays; then no more."""
    page = serve(files / "small.json", files / "later.json")
    status, total = "document.getElementById('status').textContent", "document.getElementById('total').textContent"
    seen = page.browse("page-reading", [
        {"see": ["before", total]}, {"hold": "/api/profile"}, {"open": "view=flame&source=1"},
        {"wait": f"/^reading… [1-9]\\d* s$/.test({status})"}, {"see": ["meanwhile", total]},
        {"see": ["done", "document.body.dataset.ready || ''"]},
        {"release": True}, {"wait": f"document.body.dataset.ready === 'flame' && !{status}"}, {"see": ["after", total]},
    ], tmp_path)
    assert seen["before"] == seen["meanwhile"] != seen["after"] and seen["done"] == ""


@needs_browser
def test_profile_in_a_browser(serve, files, tmp_path):
    doc = small_profile()
    doc["loss"] = {"allocations lost: ring full": 3, "stack cut: too deep": 7,
                   "frees of blocks from before the attach": 100}
    (tmp_path / "loss.json").write_text(json.dumps(doc))
    page = serve(files / "small.json", files / "later.json", tmp_path / "loss.json")
    names = "[...document.querySelectorAll('g.frame')].map((g) => g.getAttribute('name'))"
    seen = page.browse("page-profile", [
        {"see": ["view", "document.body.dataset.ready"]},
        {"see": ["total", "document.getElementById('total').textContent"]},
        {"see": ["names", names]},
        {"view": "flame"},
        {"click": "[aria-label='sample type'] button:nth-child(2)"},
        {"see": ["alloc", "document.getElementById('total').textContent"]},
        {"see": ["type_link", "location.hash"]},
        {"fill": ["#search", "needle"]},
        {"wait": "document.getElementById('found').textContent"},
        {"see": ["found", "document.getElementById('found').textContent"]},
        {"see": ["hits", "[...document.querySelectorAll('g.frame rect')].filter((r) => r.getAttribute('fill') === '#e83fb8').length"]},
        {"press": ["#search", "Escape"]},
        {"wait": "!location.hash.includes('needle')"},
        {"click": "[aria-label=tree] button:nth-child(2)"},
        {"see": ["reversed", names]},
        {"view": "reversed"},
        {"click": "[aria-label=tree] button:nth-child(1)"},
        {"press": [KEYS, "ArrowDown"]}, {"press": [KEYS, "ArrowDown"]},
        {"see": ["current", "document.activeElement.getAttribute('aria-label')"]},
        {"press": [KEYS, "Enter"]},
        {"see": ["held", "document.activeElement.getAttribute('aria-label')"]},
        {"press": [KEYS, "c"]}, {"wait": "document.body.dataset.copied"},
        {"see": ["copied", "document.body.dataset.copied"]},
        {"see": ["crumbs", "document.getElementById('crumbs').textContent"]},
        {"see": ["zoom_link", "location.hash"]},
        *view(2, "stacks"), {"view": "stacks"},
        {"see": ["stacks", "document.querySelectorAll('tbody tr').length"]},
        {"click": "tbody details summary"},
        {"click": "tbody details a"}, {"wait": "document.body.dataset.ready === 'functions'"},
        {"see": ["peeked", "document.querySelector('h2').textContent"]},
        {"go": "view=functions&fn=store"},
        {"see": ["callers", "document.querySelector('[aria-label=callers] tbody').textContent"]},
        {"see": ["callees", "document.querySelectorAll('[aria-label=callees] tbody tr').length"]},
        {"view": "peek"},
        *view(3, "functions"), {"go": "view=functions"}, {"view": "functions"},
        {"go": "source=1&base=0"},
        {"see": ["diff", "document.getElementById('total').textContent"]},
        {"view": "diff"},
        {"go": "source=2"},
        {"see": ["lost", "['loss', 'cut'].map((id) => document.getElementById(id).textContent)"]},
    ], tmp_path)
    assert seen["view"] == "flame" and seen["total"] == "33.00kB"
    assert "main" in seen["names"] and len(seen["names"]) == 14
    assert HOSTILE[0] in seen["names"] and not any("\x1b" in n or "\u202e" in n for n in seen["names"])
    assert seen["alloc"] != seen["total"] and "type=alloc_space" in seen["type_link"]
    assert seen["found"].startswith("1 frame, 40.00kB") and seen["hits"] == 1
    # the leaves come first, then who called them
    assert "needle_alloc" in seen["reversed"] and seen["reversed"].count("main") == 10
    # values before the name; the zoom keeps the keys where they are
    assert re.match(r"[\d.]+kB \([\d.]+%\)  (store|handle)  ", seen["current"]) and seen["held"].split("  ")[1:] == seen["current"].split("  ")[1:]
    assert seen["copied"].splitlines()[-1] == "main" and len(seen["copied"].splitlines()) == 3
    assert re.search(r"all › main › (store|handle)$", seen["crumbs"]) and "path=" in seen["zoom_link"]
    assert seen["stacks"] == 10 and seen["peeked"] == "needle_alloc"
    assert seen["callers"].startswith("16.00kB") and seen["callers"].endswith("main") and seen["callees"] == 8
    assert seen["diff"] == "3.91kB"
    # stacks that were cut, and frees that belong to nothing that was seen, are no lost events
    assert seen["lost"] == [", 3 events lost", ", 7 stacks cut"]


@needs_browser
def test_time_in_a_browser(serve, files, tmp_path):
    page = serve(files / "run.mwrec", files / "run.csv", files / "hostile-timeline.json", files / "end.json",
                 sorted(LOGS.glob("*.txt"))[0], files / "sparse.mwrec")
    seen = page.browse("page-time", [
        *view(2, "stacks"), {"wait": "document.getElementById('verdicts').textContent"}, {"view": "verdicts"},
        {"wait": "document.getElementById('verdicts').textContent"},
        {"see": ["verdicts", "document.querySelector('tbody').textContent"]},
        {"see": ["leaks", "document.getElementById('verdicts').textContent"]},
        *view(4, "timeline"), {"view": "recording"},
        {"drag": ".u-over"}, {"wait": "location.hash.includes('t1=')"},
        {"see": ["zoom_link", "location.hash"]},
        {"click": ".window a:nth-of-type(2)"}, {"wait": "document.body.dataset.ready === 'flame'"},
        {"see": ["window", "location.hash"]},
        {"view": "window"},
        {"go": "source=1"}, {"see": ["csv", "document.querySelectorAll('canvas').length"]}, {"view": "timeline"},
        {"go": "source=2"}, {"see": ["name", "document.querySelector('h2').textContent"]},
        {"see": ["mark", "document.querySelector('main ul').textContent"]},
        {"go": "source=3&view=ledger"}, {"view": "ledger"},
        {"see": ["ledger", "document.querySelector('tbody').textContent"]},
        {"go": "source=3&view=histograms"}, {"view": "histograms"},
        {"see": ["histograms", "[...document.querySelectorAll('caption')].map((c) => c.textContent)"]},
        {"go": "source=4"}, {"view": "oom"},
        {"see": ["kill", "document.querySelector('summary').textContent"]},
        {"go": "source=5&view=timeline"}, {"wait": "document.body.dataset.ready === 'timeline'"},
        {"drag": ".u-over"}, {"wait": "location.hash.includes('t1=')"},
        {"click": ".window a:nth-of-type(2)"}, {"wait": "document.body.dataset.ready === 'flame'"},
        {"see": ["sparse", "document.querySelectorAll('g.frame').length"]},
    ], tmp_path)
    assert seen["sparse"] > 1
    assert "too early to say" in seen["verdicts"] or "leak" in seen["verdicts"] or "growing" in seen["verdicts"]
    assert "likely leak" in seen["leaks"]
    assert "t0=" in seen["zoom_link"]
    assert "from=" in seen["window"] and "to=" in seen["window"]
    assert seen["csv"] == 2
    assert seen["name"].startswith(HOSTILE[1]) and HOSTILE[0] in seen["mark"]
    assert "live heap" in seen["ledger"]
    assert seen["histograms"] == ["sizes of blocks", "how long blocks lived"]
    assert "killed" in seen["kill"]


@needs_browser
def test_twenty_thousand_stacks(serve, files, tmp_path):
    page = serve(files / "big.json")
    seen = page.browse("page-big", [
        {"view": "big"},
        {"see": ["frames", "document.querySelectorAll('g.frame').length"]},
        *view(2, "stacks"), {"wait": "document.querySelectorAll('tbody tr').length >= 200"},  # some come between frames
        {"see": ["rows", "document.querySelectorAll('tbody tr').length"]},
        {"see": ["left", "document.querySelector('main > p:last-child').textContent"]},
    ], tmp_path)
    assert 100 < seen["frames"] < 20000
    assert seen["rows"] == 200 and "smaller stacks are not shown" in seen["left"]
    r = page.ask("/app.js", headers={"Accept-Encoding": "gzip"})
    css = page.ask("/app.css", headers={"Accept-Encoding": "gzip"})
    assert r.getheader("Content-Encoding") == "gzip" and len(r.text) + len(css.text) < 300 << 10


def test_data(serve, files):
    page = serve(files / "small.pb.gz", files / "run.mwrec", sorted(LOGS.glob("*.txt"))[0])
    kinds = [s["kind"] for s in page.json("/api/about")["sources"]]
    assert kinds == ["profile", "recording", "oom"]
    p = page.json("/api/profile?source=0")
    assert p["schema"] == "memwatch.flame/1" and sum(p["values"][3]) == 33792
    whole = page.json("/api/profile?source=1")
    early = page.json("/api/profile?source=1&to=1")
    delta = page.json("/api/profile?source=1&base=1&base_to=1")
    total = lambda q: sum(q["values"][1])
    assert total(whole) - total(early) == total(delta) > 0
    kills = page.json("/api/oom?source=2")
    assert kills["events"][0]["schema"] == "memwatch.oom/1" and kills["left_out"] == 0
    for path, status in (("/api/profile?source=9", 404), ("/api/profile?source=x", 404), ("/api/profile?source=2", 400),
                         ("/api/timeline?source=0", 404), ("/api/none", 404), ("/none", 404),
                         ("/api/profile?base=7", 404), ("/api/list", 400), ("/api/list?function=(", 400)):
        r = page.ask(path)
        assert r.status == status and json.loads(r.text)["error"], (path, r.status, r.text)


@needs_browser
def test_many_kills_of_a_file(serve, tmp_path):
    """As many are shown as can be read, and the others counted."""
    (tmp_path / "kern.log").write_text("".join(
        f"[{1000 + i}.000000] Out of memory: Killed process {2000 + i} (grower) total-vm:4000kB, anon-rss:2000kB, "
        "file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:12kB oom_score_adj:0\n" for i in range(1003)))
    page = serve(tmp_path / "kern.log")
    kills = page.json("/api/oom")
    assert len(kills["events"]) == 1000 and kills["left_out"] == 3
    seen = page.browse("page-kills", [{"see": ["text", "document.querySelector('main').innerText"]}], tmp_path)
    assert "1,003 kills" in seen["text"] and "803 more in the file are not shown" in seen["text"]


def test_go_tool_pprof(serve, files):
    page = serve(files / "small.json")
    url = f"http://memwatch:{page.token}@{page.host}:{page.port}/debug/pprof/heap"
    assert "needle_alloc" in go_pprof("-top", url)
    local = go_pprof("-top", files / "small.pb.gz").splitlines()[-10:]
    assert go_pprof("-top", url).splitlines()[-10:] == local
    r = page.ask("/debug/pprof/heap?download=1")
    assert r.getheader("Content-Disposition").startswith("attachment") and r.text[:2] == b"\x1f\x8b"


def test_source_lines(serve, tmp_path):
    exe = build("shapes.c", flags=["-O1"])
    p = small_profile()
    p["stacks"][-2]["frames"][0].update(function="fill_cache", file=str(ROOT / "tests/workloads/shapes.c"), line=20)
    (tmp_path / "p.json").write_text(json.dumps(p))
    page = serve(tmp_path / "p.json")
    r = page.ask("/api/list?function=%5Efill_cache%24&type=inuse_space")
    assert r.status == 200 and b"ROUTINE" in r.text and exe


def test_who_is_let_in(serve, files):
    page = serve(files / "small.json")
    assert page.ask("/api/about", auth=False).status == 401
    assert page.ask("/api/about", auth=False).getheader("WWW-Authenticate").startswith("Basic")
    for wrong in ("Basic " + base64.b64encode(b"memwatch:" + b"a" * 32).decode(), "Basic !", "Bearer ", "Bearer x",
                  "Basic " + base64.b64encode(page.token.encode()).decode(), "Digest x"):
        assert page.ask("/api/about", auth=False, headers={"Authorization": wrong}).status == 401, wrong
    assert page.ask(f"/api/about?token={page.token[:-1]}", auth=False).status == 401
    assert page.ask(f"/api/about?token={page.token}", auth=False).status == 200
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{page.port}"}, {"Origin": "https://evil.example"},
                    {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}):
        assert page.ask("/api/about", headers=headers).status == 403, headers
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"):
        assert page.ask("/api/about", method=method).status in (400, 405), method
    for path in ("/../etc/passwd", "/%2e%2e/etc/passwd", "//etc/passwd", "/api/%00", "/api/..%2f", "/./api/about"):
        assert page.ask(path).status == 400, path
    assert page.ask("/api/about", method="POST", body=b"x" * 70000).status == 413
    r = page.ask("/")
    csp = r.getheader("Content-Security-Policy")
    assert "default-src 'none'" in csp and "unsafe" not in csp and "frame-ancestors 'none'" in csp
    assert r.getheader("X-Content-Type-Options") == "nosniff" and r.getheader("Cache-Control") == "no-store"
    # the page is the same for the watched as for the watcher: it listens on this machine alone
    assert page.host == "127.0.0.1"
    hidden = Path(f"/proc/{page.run.proc.pid}/cmdline").read_bytes()
    assert page.token.encode() not in hidden


def test_many_slow_clients(serve, files):
    page = serve(files / "small.json")
    slow = []
    for i in range(60):
        s = socket.create_connection((page.host, page.port))
        s.sendall(b"GET /api/about HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        slow.append(s)
    assert page.ask("/api/about").status == 200
    # all are cut off, though each sends a byte now and then
    left = set(slow)
    end = time.monotonic() + 120
    while left and time.monotonic() < end:
        for s in list(left):
            try:
                s.sendall(b"x")
            except OSError:
                left.discard(s)
        time.sleep(0.5)
    assert not left
    for s in slow:
        s.close()
    assert page.ask("/api/about").status == 200


def test_unix_socket(attach, files, tmp_path):
    path = tmp_path / "page.sock"
    run = attach("report", f"--http=unix:{path}", files / "small.json", ready=False)
    run.wait_for(f"page: unix:{path}")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    out = subprocess.run(["curl", "-s", "--unix-socket", str(path), "http://memwatch/api/about"], capture_output=True,
                         text=True, timeout=180)
    assert json.loads(out.stdout)["mode"] == "files"
    assert run.finish()[0] == 0
    assert not path.exists()


def web_processes(pid):
    """Of a memwatch that serves HTTP: the process that starts those that speak it, and the one that does."""
    def children(pid):
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    starter, = [c for c in children(pid) if Path(f"/proc/{c}/comm").read_text().strip() == "memwatch-web"]
    worker, = children(starter)
    return starter, worker


def check_nobody_gains(run, token):
    """They have no capability and a user of their own; with memwatch they end."""
    pids, uids = web_processes(run.proc.pid), set()
    for pid in pids:
        status = dict(l.split(":\t", 1) for l in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in l)
        assert all(int(status[c], 16) == 0 for c in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"))
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        uids |= set(status["Uid"].split())
        assert token not in Path(f"/proc/{pid}/cmdline").read_text()
    assert len(uids) == 1 and uids != {"0"}
    run.proc.kill()
    wait_for(lambda: not any(Path(f"/proc/{p}").exists() for p in pids))


def test_nobody_gains_by_it(serve, files):
    page = serve(files / "small.json")
    assert page.ask("/api/about").status == 200
    check_nobody_gains(page.run, page.token)


def test_bad_input(files, tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "half.csv").write_text("time_unix_ms,pid,virt_bytes\n1,x,3\n")
    (tmp_path / "half.json").write_text('{"schema":"memwatch.timeline/1","processes":[')
    for name in ("noise", "half.csv", "half.json", "none"):
        p = memwatch("report", "--http", tmp_path / name)
        assert p.returncode == 1 and name in p.stderr, p.stderr
    for args in (["--http=nonsense:port"], ["--http=127.0.0.1:99999"], ["--http=unix:"]):
        p = memwatch("report", *args, files / "small.json")
        assert p.returncode == 1 and "listen" in p.stderr or "path" in p.stderr, p.stderr
    assert memwatch("report", "--http").returncode == 2
    assert memwatch("report", "--http", "--top", files / "small.json").returncode == 2


@pytest.fixture
def live(attach, target):
    """A run that serves its page, of a program that says "done" when it has allocated."""
    def start(*args, n=20, ticks=60):
        t = target([build("shapes.c", flags=["-O1"]), str(n), str(ticks)])
        t.expect("ready")
        run = attach("-p", t.pid, "--exact", "-i", "0.5s", "--plain", "-q", "--http", *args, ready=False)
        page = Page(run)
        return t, page
    return start


def test_live(live):
    t, page = live("--ledger")
    about = page.json("/api/about")
    assert about["mode"] == "live" and [p["pid"] for p in about["processes"]] == [t.pid]
    t.say()
    t.expect("done")
    p = page.json(f"/api/profile?pid={t.pid}")
    names = [p["strings"][i] for i in p["frames"]["name"]]
    assert "leak_steadily" in names and p["ledger"][0]["pid"] == t.pid and p["size_histogram"]
    assert page.ask("/api/profile?pid=1").status == 404
    line = page.json("/api/timeline")[0]
    assert line["pid"] == t.pid and line["columns"]["rss_bytes"][-1] > 0
    # the ledger over time: as it was last read at each row
    heap = wait_for(lambda: [v for v in page.json("/api/timeline")[0]["columns"].get("ledger_live_heap_bytes", []) if v])
    assert heap[-1] <= max(page.json("/api/timeline")[0]["columns"]["rss_bytes"])
    assert "leak_steadily" in go_pprof("-top", "-sample_index=alloc_space",
                                       f"http://memwatch:{page.token}@{page.host}:{page.port}/debug/pprof/heap")
    # every report is told to who listens
    s = socket.create_connection((page.host, page.port), timeout=180)
    s.sendall(f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {page.token}\r\n\r\n".encode())
    got = b""
    while got.count(b"event: changed") < 3:
        more = s.recv(4096)
        assert more, got
        got += more
    s.close()
    assert page.run.finish()[0] == 0


@needs_browser
def test_live_in_a_browser(live, tmp_path):
    t, page = live("--ledger")
    t.say()
    t.expect("done")
    wait_for(lambda: len([v for v in page.json("/api/timeline")[0]["columns"].get("ledger_live_heap_bytes", []) if v]) > 2)
    seen = page.browse("page-live", [
        {"wait": "document.querySelectorAll('g.frame').length > 3"},
        {"click": "[aria-label='sample type'] button:nth-child(2)"},
        {"see": ["names", "[...document.querySelectorAll('g.frame')].map((g) => g.getAttribute('name'))"]},
        {"view": "flame"},
        {"see": ["subject", "document.getElementById('subject').textContent"]},
        {"wait": "(window.before ??= document.querySelector('g.frame')) !== document.querySelector('g.frame')"},
        *view(4, "timeline"), {"wait": "document.querySelectorAll('canvas').length === 2"}, {"view": "timeline"},
        *view(5, "ledger"), {"wait": "document.querySelectorAll('canvas').length"},
        {"see": ["key", "[...document.querySelectorAll('.u-label')].map((e) => e.textContent)"]}, {"view": "ledger"},
    ], tmp_path)
    assert "live heap" in seen["key"] and "module code" in seen["key"]
    assert any("leak" in n for n in seen["names"])
    assert seen["subject"] == f"shapes ({t.pid})"


@needs_browser
def test_live_verdicts_in_a_browser(live, tmp_path):
    t, page = live("--leak-after", "2s", ticks=5000)
    assert page.json(f"/api/verdicts?pid={t.pid}") == page.json("/api/verdicts") == []
    t.say()
    def told(): # by the function below block()
        return {v["frames"][1]: v for v in page.json(f"/api/verdicts?pid={t.pid}") if v["frames"][0] == "block"}
    wait_for(lambda: told().get("leak_steadily", {}).get("leak"))
    # What has come to its end is none, and what comes and goes neither, at whatever moment it is asked.
    assert not told()["load_at_start"]["leak"] and not told()["saw_tooth"]["leak"]
    assert page.ask("/api/verdicts?pid=1").status == 404
    seen = page.browse("page-live-verdicts", [
        *view(2, "stacks"), {"wait": "document.getElementById('verdicts').textContent.includes('likely lea')"},
        {"see": ["verdicts", "document.querySelector('tbody').textContent"]},
        {"see": ["heads", "[...document.querySelectorAll('thead th')].map((e) => e.textContent)"]}, {"view": "verdicts"},
    ], tmp_path)
    assert "likely leak" in seen["verdicts"] and "over time" in seen["heads"]


def test_run_with_a_page(attach):
    run = attach("run", "--exact", "--plain", "-q", "--http", "--", "sleep", "600", ready=False,
                 start_new_session=True)
    try:
        page = Page(run)
        about = page.json("/api/about")
        assert about["processes"][0]["comm"] == "sleep"
        assert page.ask("/api/profile").status == 200
    finally:
        os.killpg(run.proc.pid, signal.SIGTERM)
    run.proc.wait(180)
