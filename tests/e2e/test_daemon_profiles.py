# SPDX-License-Identifier: GPL-2.0-or-later
"""Profiles that the daemon answers over HTTP, to the programs that ask: go tool pprof, curl."""
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from conftest import build, memwatch, wait_for
from daemonlib import ROUNDS, RULE, attached, daemon, of_hold, rounds, serve, step  # noqa: F401 (fixtures)
from golib import GOBIN, Pprof, go_build, go_env
from oomlib import group  # noqa: F401 (a fixture)


def values(text):
    """Of the first line of ?debug=1: in-use blocks and bytes, allocated blocks and bytes."""
    return [int(x) for x in re.match(r"heap profile: (\d+): (\d+) \[(\d+): (\d+)\] @ heap/", text)
            .groups()]


def test_heap_by_path_and_query(serve, rounds, group, tmp_path):
    g = group()
    t = rounds()
    (g.dir / "cgroup.procs").write_text(str(t.pid))
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "af")
    for path in (f"/p/{t.pid}/debug/pprof/heap", f"/debug/pprof/heap?pid={t.pid}",
                 f"/debug/pprof/heap?comm=^{ROUNDS}$", f"/debug/pprof/heap?cgroup={g.path}"):
        status, headers, body = s.get(path)
        assert status == 200 and headers["Content-Type"] == "application/octet-stream"
        assert headers["Content-Disposition"] == 'attachment; filename="heap"'
        assert headers["X-Content-Type-Options"] == "nosniff"
        (tmp_path / "p.pb.gz").write_bytes(body)
        p = Pprof(tmp_path / "p.pb.gz")
        i = [t for t, _ in p.types].index("inuse_objects")
        assert sum(x[1][i] for x in p.samples) >= 500
    text = s.text(f"/p/{t.pid}/debug/pprof/heap?debug=1")
    assert of_hold(text) == [500, 500000, 1000, 1000000]
    assert values(text)[0] >= 500


def test_go_tool_pprof(serve, rounds, tmp_path):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "af")
    out = s.pprof("-top", "-unit=B", f"/debug/pprof/heap?pid={t.pid}", tmp_path=tmp_path)
    assert "Type: inuse_space" in out and re.search(r"^\s*500000B .* hold$", out, re.M), out
    out = s.pprof("-top", "-unit=B", f"/p/{t.pid}/debug/pprof/allocs", tmp_path=tmp_path)
    assert "Type: alloc_space" in out and re.search(r"^\s*1000000B .* hold$", out, re.M), out
    out = s.pprof("-top", "-unit=B", "-seconds=1", f"/debug/pprof/heap?pid={t.pid}", tmp_path=tmp_path)
    assert "hold" not in out
    # The text form is one that it reads, too.
    (tmp_path / "heap.txt").write_text(s.text(f"/p/{t.pid}/debug/pprof/heap?debug=1"))
    p = subprocess.run([GOBIN, "tool", "pprof", "-raw", tmp_path / "heap.txt"], capture_output=True,
                       text=True, timeout=180, env=go_env(HOME=str(tmp_path)))
    assert p.returncode == 0 and re.search(r"^\s+1000\s+1000000\s+500\s+500000:", p.stdout, re.M), p.stdout


def test_go_tool_pprof_as_a_page(serve, rounds, tmp_path):
    """-http: it fetches the profile and serves it itself."""
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "af")
    p = subprocess.Popen([GOBIN, "tool", "pprof", "-http=127.0.0.1:", "-no_browser",
                          f"http://memwatch:{s.token}@{s.address}/debug/pprof/heap?pid={t.pid}"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
                         env=go_env(PPROF_TMPDIR=str(tmp_path / "pprof"), HOME=str(tmp_path)))
    try:
        said = ""
        while not (at := re.search(r"Serving web UI on (http://\S+)", said)):
            line = p.stderr.readline()
            assert line, said
            said += line
        def page():  # it says where it serves before it does
            try:
                with urllib.request.urlopen(f"{at[1]}/ui/top", timeout=180) as r:
                    return r.read().decode()
            except urllib.error.URLError:
                return None
        assert "hold" in wait_for(page)
    finally:
        os.killpg(p.pid, signal.SIGKILL)  # `go tool` has started another
        p.wait()
        p.stderr.close()


def test_what_was_allocated_in_a_window_and_lives(serve, rounds):
    """Exactly: blocks from before that are freed meanwhile do not count against it."""
    t = rounds()
    s = serve(RULE, "-v")
    attached(s.d, t.pid)
    step(t, "a")
    got = {}
    ask = threading.Thread(target=lambda: got.update(
        text=s.text(f"/debug/pprof/heap?pid={t.pid}&seconds=10&debug=1")))
    ask.start()
    s.d.wait_for("a window of 10 s begins")
    step(t, "ffafa")  # a thousand old ones and five hundred new ones go, two thousand come
    ask.join(180)
    assert of_hold(got["text"]) == [1500, 1500000, 2000, 2000000]
    # Nothing else is below zero, either.
    assert "-" not in re.sub(r"^#.*", "", got["text"], flags=re.M)
    assert of_hold(s.text(f"/p/{t.pid}/debug/pprof/heap?debug=1")) == [1500, 1500000, 3000, 3000000]


def test_who_is_not_profiled_is_attached_to(serve, rounds):
    t, other = rounds(), rounds("other-t")
    s = serve(RULE + "on-demand = yes\n")
    assert "no [profile] section" in s.text(f"/debug/pprof/heap?pid={other.pid}", 403)
    got = {}
    ask = threading.Thread(target=lambda: got.update(
        text=s.text(f"/p/{t.pid}/debug/pprof/heap?seconds=10&debug=1")))
    ask.start()
    attached(s.d, t.pid)
    step(t, "af")
    ask.join(180)
    assert of_hold(got["text"]) == [500, 500000, 1000, 1000000]
    s.d.wait_for(rf"let go of PID {t.pid} ")


def test_what_is_given_twice(serve, rounds):
    """Of two values one would be left out; conditions of a choice are alternatives."""
    t = rounds()
    s = serve("go = no\n" + RULE)
    attached(s.d, t.pid)
    for path, name in ((f"/debug/pprof/heap?pid={t.pid}&pid=1", "pid"), ("/api/timeline?pid=1&pid=1", "pid"),
                       (f"/p/{t.pid}/debug/pprof/heap?debug=1&debug=1", "debug"),
                       ("/metrics?format=prometheus&format=openmetrics", "format"), ("/sd?x=&x=", "x")):
        assert s.text(path, 400) == f"'{name}' is given twice: one at a time\n"
    assert s.text(f"/debug/pprof/heap?comm=^nobody$&comm=^{ROUNDS}$&debug=1")


def test_who_may_not_be_looked_into(serve, target, tmp_path):
    """Not now, nor later."""
    src, exe = tmp_path / "short.c", tmp_path / f"short{os.getpid()}"
    src.write_text("void _start(void) { for (;;) __asm__ volatile(\"int $0x80\" : : \"a\"(29)); }\n")  # pause
    subprocess.run(["gcc", "-m32", "-static", "-nostdlib", "-fno-pic", "-o", exe, src], check=True)
    t = target([exe])
    s = serve(f"go = no\n[profile s]\ncomm = ^{exe.name}$\non-demand = yes\n")
    assert "32-bit programs are not supported" in s.text(f"/debug/pprof/heap?pid={t.pid}", 403)


def test_profiles_have_what_their_section_says(serve, rounds, tmp_path):
    t = rounds()
    s = serve("go = no\n" + RULE + "mmap = yes\nhistograms = yes\ntouched = yes\n")
    attached(s.d, t.pid)
    step(t, "amf")
    heap = f"/p/{t.pid}/debug/pprof/heap"
    assert re.search(r"class: Total .*\n.* mmap$", s.pprof("-tags", heap, tmp_path=tmp_path), re.M)
    assert "Type: resident_space" in s.pprof("-top", "-sample_index=resident_space", heap, tmp_path=tmp_path)
    s.d.proc.send_signal(signal.SIGUSR1)
    kept = f"{heap}?base=now&debug=1"
    wait_for(lambda: s.get(kept)[0] == 200)
    # What is kept has the mappings too: nothing has changed but what came and went meanwhile.
    assert of_hold(s.text(kept)) == [0, 0, 0, 0] and values(s.text(kept))[1] == 0
    assert s.d.finish(signal.SIGTERM)[0] == 0
    memwatch("history", "--state-dir", s.d.state, "-p", t.pid, "--at", "0s", "-o", tmp_path / "p.json", check=0)
    p = json.loads((tmp_path / "p.json").read_text())
    assert any(l["str"] == "mmap" for x in p["stacks"] for l in x.get("labels", ()))
    assert p["size_histogram"] and p["lifetime_histogram"]


def test_several_processes_in_one(serve, rounds, tmp_path):
    a, b = rounds(), rounds()
    s = serve(RULE)
    for t in (a, b):
        attached(s.d, t.pid)
        step(t, "a")
    assert of_hold(s.text(f"/debug/pprof/heap?comm=^{ROUNDS}$&debug=1"))[0] == 2000
    out = s.pprof("-tags", f"/debug/pprof/heap?comm=^{ROUNDS}$", tmp_path=tmp_path)
    assert str(a.pid) in out and str(b.pid) in out


def test_what_is_left_out_is_said(serve, rounds):
    ts = [rounds() for _ in range(18)]
    s = serve("go = no\n" + RULE)
    for t in ts:
        attached(s.d, t.pid)
    status, headers, body = s.get(f"/debug/pprof/heap?comm=^{ROUNDS}$&debug=1")
    assert status == 200 and headers["X-Memwatch-Left-Out"] == "2"
    assert "# left out: 2 beyond those that go into one answer\n" in body.decode()
    status, headers, body = s.get(f"/debug/pprof/cmdline?comm=^{ROUNDS}$")
    assert status == 200 and headers["X-Memwatch-Left-Out"] == "17"
    for t in ts[:2]:
        t.stop()
    assert s.get(f"/debug/pprof/heap?pid={ts[-1].pid}")[1]["X-Memwatch-Left-Out"] is None


def test_those_that_are_refused_beside_others_are_said(serve, rounds):
    a, b = rounds(), rounds()
    s = serve("go = no\nmax-processes = 1\n" + RULE + "on-demand = yes\n")
    status, headers, body = s.get(f"/debug/pprof/heap?comm=^{ROUNDS}$&seconds=1&debug=1")
    assert status == 200 and headers["X-Memwatch-Left-Out"] == "1"
    assert re.search(rf"^# left out: 1 that failed \(PID ({a.pid}|{b.pid}): as many processes are profiled", body.decode(), re.M)


def test_difference_to_a_moment(serve, rounds):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "aa")
    assert "no profile of it was kept" in s.text(f"/p/{t.pid}/debug/pprof/heap?base=1h", 404)
    s.d.proc.send_signal(signal.SIGUSR1)  # keeps every profile now
    kept = f"/p/{t.pid}/debug/pprof/heap?base=now&debug=1"
    wait_for(lambda: s.get(kept)[0] == 200)
    step(t, "afff")
    assert of_hold(s.text(kept)) == [-500, -500000, 1000, 1000000]
    assert "do not go together" in s.text(f"/p/{t.pid}/debug/pprof/heap?base=now&seconds=1", 400)
    assert "base is a time" in s.text(f"/p/{t.pid}/debug/pprof/heap?base=whenever", 400)


def next_owner(pid, start):
    """A process that start() makes and that has this number, which is free."""
    for _ in range(300):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        p = start()
        if p.pid == pid:
            return p
        p.stop()
    pytest.skip("somebody else has its number")


def test_the_next_owner_of_a_number_is_another_process(serve, rounds):
    t = rounds()
    s = serve("go = no\n" + RULE)
    attached(s.d, t.pid)
    step(t, "a")
    s.d.proc.send_signal(signal.SIGUSR1)
    kept = f"/p/{t.pid}/debug/pprof/heap?base=now&debug=1"
    wait_for(lambda: s.get(kept)[0] == 200)
    t.stop()
    s.d.wait_for(rf"let go of PID {t.pid} ")
    next_owner(t.pid, rounds)
    s.d.wait_for(rf"let go of PID {t.pid} [^\0]*attached to PID {t.pid} ")
    assert "no profile of it was kept" in s.text(kept, 404)
    page = lambda: s.get(f"/api/profile?pid={t.pid}&base_to={int(time.time() * 1000)}")[0]
    assert page() == 404
    s.d.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: s.get(kept)[0] == 200)
    assert of_hold(s.text(kept)) == [0, 0, 0, 0] and page() == 200


def test_go_programs(serve, target, tmp_path):
    t = target([go_build("shapes", "-plain"), tmp_path])
    t.expect("ready")
    s = serve("")
    attached(s.d, t.pid)
    t.say("go")
    t.expect("ready")
    wait_for(lambda: "main." in s.pprof("-top", f"/p/{t.pid}/debug/pprof/heap", tmp_path=tmp_path))
    out = s.pprof("-top", f"/debug/pprof/goroutine?pid={t.pid}", tmp_path=tmp_path)
    assert "Type: goroutine" in out and "runtime.gopark" in out
    text = s.text(f"/p/{t.pid}/debug/pprof/goroutine?debug=1")
    assert re.match(r"goroutine profile: total \d+\n\d+ @ 0x", text)
    # Of one that is idle, none ends; of several programs, each says its own.
    assert "none of the program's own ended within" in s.text(f"/p/{t.pid}/debug/pprof/heap?gc=1&debug=1")
    assert "is as of its last one" in s.text(f"/p/{t.pid}/debug/pprof/heap?gc=1&seconds=1&debug=1")
    before = s.text(f"/p/{t.pid}/debug/pprof/heap?seconds=1&debug=1")
    assert all(v >= 0 for v in values(before))


def test_the_next_garbage_collection_is_waited_for(serve, target, tmp_path):
    t = target([go_build("shapes", "-plain"), tmp_path])
    t.expect("ready")
    s = serve("", "-v")
    attached(s.d, t.pid)
    got = {}
    ask = threading.Thread(target=lambda: got.update(
        text=s.text(f"/p/{t.pid}/debug/pprof/heap?gc=1&debug=1")))
    ask.start()
    s.d.wait_for("a garbage collection is waited for")
    t.say("go")  # another round, and runtime.GC() at its end
    t.expect("ready")
    ask.join(180)
    assert "own that ended" in got["text"] and "growSlices" in got["text"]
    # The collections of one that ends meanwhile are waited for no longer.
    ask = threading.Thread(target=lambda: got.update(
        status=s.get(f"/p/{t.pid}/debug/pprof/heap?gc=1")[0]))
    s.d.err = ""
    ask.start()
    ask.join(180)
    assert got["status"] == 200


def test_resident_by_page_faults(serve, target, tmp_path):
    s = serve("[faults]\nperiod = 64\n")
    t2 = target(["python3", "-c", "x = bytearray(64 << 20); print('ready', flush=True); input()"])
    t2.expect("ready")
    # Met by the question, if not by a pass; its first sample may come a moment later.
    def told():
        status, _, body = s.get(f"/debug/pprof/resident?pid={t2.pid}&debug=1")
        assert status == 200 or b"no page fault of it was sampled" in body, body
        return status == 200 and body.decode()
    out = wait_for(told)
    header = r"heap profile: (\d+): (\d+) \[(\d+): (\d+)\] @ heap/2 # resident_pages/count: " \
             r"resident_space/bytes \[faulted_pages/count: faulted_space/bytes\]\n"
    pages, held, _, faulted = [int(x) for x in re.match(header, out).groups()]
    assert held > 1000 * pages > 0 and faulted >= 64 * 4096, out
    (tmp_path / "resident.txt").write_text(out)
    p = subprocess.run([GOBIN, "tool", "pprof", "-raw", tmp_path / "resident.txt"], capture_output=True,
                       text=True, timeout=180, env=go_env(HOME=str(tmp_path)))
    assert p.returncode == 0 and "inuse_space/bytes" in p.stdout, p.stderr
    out = s.pprof("-top", "-sample_index=resident_space", f"/p/{t2.pid}/debug/pprof/resident", tmp_path=tmp_path)
    assert "Type: resident_space" in out and re.search(r"of [\d.]+[kM]B total", out), out
    raw = s.pprof("-raw", "/debug/pprof/resident", tmp_path=tmp_path)
    assert "resident_space" in raw
    raw = s.pprof("-raw", f"/p/{t2.pid}/debug/pprof/resident", tmp_path=tmp_path)
    # Its files are not looked through for allocators, and are known all the same.
    note = subprocess.run(["readelf", "-n", f"/proc/{t2.pid}/exe"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"Build ID: ([0-9a-f]+)", note)[1] in raw
    s.d.finish(signal.SIGTERM)
    assert "no page faults are sampled" in serve("[faults]\nenabled = no\n").text("/debug/pprof/resident", 404)


def test_who_has_just_come_is_met(serve, target, tmp_path, group):
    """No pass comes by itself: who asks for a process that none has met makes one. The one before, of
    the same name, has ended, which no pass has seen either."""
    g = group()
    s = serve("interval = 1h\n" + RULE)
    (tmp_path / ROUNDS).symlink_to(build("rounds.c", flags=["-O1"]))
    for ask in ("/p/{pid}/debug/pprof/heap?debug=1", "/debug/pprof/heap?pid={pid}", "/debug/pprof/allocs?pid={pid}",
                f"/debug/pprof/heap?comm=^{ROUNDS}$", f"/debug/pprof/heap?command={ROUNDS}",
                f"/debug/pprof/heap?cgroup={g.path}", "/debug/pprof/heap?label=MET=yes",
                f"/debug/pprof/heap?comm={ROUNDS}&user={os.getuid()}", "/p/{pid}/debug/pprof/cmdline",
                "/p/{pid}/debug/pprof/symbol?0x1000", "/api/timeline?pid={pid}", "/api/profile?pid={pid}"):
        t = target([tmp_path / ROUNDS], preexec_fn=g.join, env={**os.environ, "MET": "yes"})
        t.expect("ready")
        status, _, body = s.get(ask.format(pid=t.pid))
        assert status == 200 and body, (ask, body)
        t.stop()


def test_the_other_pages(serve, rounds):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "a")
    index = s.text("/debug/pprof/")
    assert f'href="/p/{t.pid}/debug/pprof/heap?debug=1"' in index and ROUNDS in index
    assert s.text(f"/p/{t.pid}/debug/pprof/cmdline").endswith(f"/{ROUNDS}")
    address = re.search(r"^#\t(0x\w+)\thold\t", s.text(f"/p/{t.pid}/debug/pprof/heap?debug=1"), re.M)[1]
    for kw in ({"path": f"/p/{t.pid}/debug/pprof/symbol?{address}"},
               {"path": f"/debug/pprof/symbol?pid={t.pid}", "data": f"{address}+0x1".encode()}):
        assert s.text(**kw) == f"num_symbols: 1\n{address} hold\n"
    assert "not a Go program" in s.text(f"/p/{t.pid}/debug/pprof/goroutine", 404)
    assert s.text("/healthz") == "ok\n"


@pytest.mark.parametrize("path,status,words", [
    ("/debug/pprof/heap", 400, "of which process"),
    ("/debug/pprof/heap?pid=x", 400, "no process id"),
    ("/debug/pprof/heap?pid=-1", 400, "no process id"),
    ("/debug/pprof/heap?pid=99999999999", 400, "no process id"),
    ("/debug/pprof/heap?pid=2147483646", 404, "no such process"),
    ("/debug/pprof/heap?comm=(", 400, "regular expression"),
    ("/debug/pprof/heap?pid=1&seconds=-1", 400, "seconds is a number"),
    ("/debug/pprof/heap?pid=1&seconds=1e9", 400, "seconds is a number"),
    ("/debug/pprof/heap?pid=1&debug=9", 400, "debug"),
    ("/debug/pprof/nothing?pid=1", 404, "Unknown profile"),
    ("/p/0/debug/pprof/heap", 404, "nothing here"),
    ("/p/1/other", 404, "nothing here"),
    ("/metrics?format=xml", 400, "format is"),
])
def test_bad_questions(serve, path, status, words):
    assert words in serve("").text(path, status)


def test_clients_and_processes_that_go(serve, rounds):
    t = rounds()
    s = serve(RULE, "-v")
    attached(s.d, t.pid)
    with pytest.raises(OSError):
        urllib.request.urlopen(urllib.request.Request(
            f"http://{s.address}/p/{t.pid}/debug/pprof/heap?seconds=3000",
            headers={"Authorization": "Bearer " + s.token}), timeout=1)
    got = {}
    ask = threading.Thread(target=lambda: got.update(
        status=s.get(f"/p/{t.pid}/debug/pprof/heap?seconds=2999")[0]))
    ask.start()
    s.d.wait_for("a window of 2999 s begins")
    t.stop()
    ask.join(180)  # as soon as it has ended, not in an hour
    assert got["status"] in (200, 404)
    assert s.text("/healthz") == "ok\n"
    assert s.d.finish(signal.SIGTERM)[0] == 0


def test_many_questions_beside_slow_clients_lose_nothing(serve, rounds):
    """50 heap profiles and 200 times the metrics while the process allocates, exactly, and two dozen
    clients that do not finish what they ask, or do not read what is answered."""
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    host, port = s.address.split(":")
    whole = f"GET /metrics HTTP/1.1\r\nHost: {s.address}\r\nAuthorization: Bearer {s.token}\r\n\r\n"
    slow, failed = [], []
    for i in range(24):
        slow.append(socket.create_connection((host, int(port))))
        slow[-1].sendall((whole * 20 if i % 2 else whole[:-2] + "X-Slow: ").encode())

    def ask(path, n):
        for _ in range(n):
            status, _, body = s.get(path)
            if status != 200 or not body:
                failed.append((path, status, body))
    asking = [threading.Thread(target=ask, args=(f"/debug/pprof/heap?pid={t.pid}", 10)) for _ in range(5)]
    asking += [threading.Thread(target=ask, args=("/metrics", 50)) for _ in range(4)]
    for a in asking:
        a.start()
    for _ in range(20):
        step(t, "af")
    for a in asking:
        a.join(180)
    assert not any(a.is_alive() for a in asking) and not failed, failed[:3]
    assert of_hold(s.text(f"/debug/pprof/heap?pid={t.pid}&debug=1")) == [10000, 10000000, 20000, 20000000]
    assert re.search(r"^memwatch_events_lost 0$", s.text("/metrics"), re.M)
    for c in slow:
        c.close()
