# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of the daemon with over-budget = windows: who costs too much stays, and is sampled in windows."""
import json
import math
import os
import re
import signal
import threading

from alloclib import workload
from conftest import wait_for
from daemonlib import Server, attached, daemon, start_as  # noqa: F401 (a fixture)
from test_windows import RATE

STAYS, GOES = f"stays{os.getpid()}", f"goes{os.getpid()}"
WINDOWS = 5
RULES = (f"sample-bytes = {RATE}\nmax-overhead = 0.5%\nmax-overhead-total = 100%\n"
         f"[profile w]\ncomm = ^{STAYS}$\nover-budget = windows\n"
         f"[profile g]\ncomm = ^{GOES}$\nmax-overhead = 0.001%\n")


def metrics(s, name):
    """{pid: value}."""
    return {int(pid): float(v) for pid, v in
            re.findall(rf'^{name}{{pid="(\d+)"[^}}]*}} (\S+)$', s.text("/metrics"), re.M)}


def by_pprof(s, pid, tmp_path, index, names):
    """Bytes of each function with what it calls, as `go tool pprof` reads them."""
    out = s.pprof("-top", "-cum", "-unit=b", "-nodecount=100", f"-sample_index={index}",
                  f"/p/{pid}/debug/pprof/heap", tmp_path=tmp_path)
    return {n: sum(float(b) for b in re.findall(rf"([\d.]+)B\s+[\d.]+%\s+{n}$", out, re.M)) for n in names}


def test_who_costs_too_much_works_in_windows(daemon, target, tmp_path):
    exe = workload("steady.c", suffix="-glibc")
    d = daemon(RULES, "-v", "--listen", "127.0.0.1:0")
    s = Server(d)
    t, other = start_as(STAYS, exe, target, tmp_path), start_as(GOES, exe, target, tmp_path)
    attached(d, t.pid)
    attached(d, other.pid)
    t.say("go")
    other.say("go")
    d.wait_for(rf"profiling PID {t.pid} \({STAYS}\) costs it [^\n]*: probes work in windows from now on")
    d.wait_for(rf"profiling PID {other.pid} \({GOES}\) costs it [^\n]* let go for 10 minutes")
    d.wait_for(r"(windows: [0-9]+ ms cost [^$]*){%d}" % WINDOWS)
    ratio = metrics(s, "memwatch_profiling_sampled_ratio")
    assert 0 < ratio[t.pid] < 1 and other.pid not in ratio
    t.say()
    expected = json.loads(t.expect("done")[5:])["functions"]
    got = by_pprof(s, t.pid, tmp_path, "alloc_space", expected)
    for fn, e in expected.items():
        n = e["alloc_objects"] * ratio[t.pid] * -math.expm1(-e["alloc_bytes"] / e["alloc_objects"] / RATE)
        allowed = 5 * e["alloc_bytes"] * math.sqrt(1 / n + 0.3 ** 2 / WINDOWS)
        assert abs(got[fn] - e["alloc_bytes"]) <= allowed, (fn, got, expected)
    # A leak is in use, all of it; what comes and goes is not, though its frees were mostly not seen.
    inuse = by_pprof(s, t.pid, tmp_path, "inuse_space", expected)
    assert inuse["leaks"] == got["leaks"] and inuse["churns"] < got["churns"] / 2
    assert "in windows, " in s.pprof("-comments", f"/p/{t.pid}/debug/pprof/heap", tmp_path=tmp_path)
    # Who comes when no other is in windows has probes all the time.
    t.say()
    assert t.proc.wait(180) == 0
    wait_for(lambda: t.pid not in metrics(s, "memwatch_profiling_sampled_ratio"))
    again = start_as(STAYS, exe, target, tmp_path)
    attached(d, again.pid)
    assert wait_for(lambda: metrics(s, "memwatch_profiling_sampled_ratio").get(again.pid)) == 1


def test_budget_of_who_is_asked_for(daemon, target, tmp_path):
    """The section that allows the question says what it may cost, and what happens beyond that."""
    exe = workload("steady.c", suffix="-glibc")
    d = daemon(RULES.replace("max-overhead = 0.5%\n", "max-overhead = 100%\n", 1).replace(
        "over-budget = windows\n", "over-budget = windows\nmax-overhead = 0.5%\non-demand = yes\n") + "on-demand = yes\n",
        "--listen", "127.0.0.1:0")
    s = Server(d)
    t, other = start_as(STAYS, exe, target, tmp_path), start_as(GOES, exe, target, tmp_path)
    got = {}
    ask = threading.Thread(target=lambda: got.update(status=s.get(f"/p/{t.pid}/debug/pprof/heap?seconds=3000")[0]))
    ask.start()
    attached(d, t.pid)
    t.say("go")
    d.wait_for(rf"profiling PID {t.pid} \({STAYS}\) costs it [^\n]*: probes work in windows from now on")
    other.say("go")
    assert "it is let go for a while" in s.text(f"/p/{other.pid}/debug/pprof/heap?seconds=3000", 503)
    assert re.search(rf"profiling PID {other.pid} \({GOES}\) costs it [^\n]* let go for 10 minutes", d.err)
    assert "cost more than is allowed" in s.text(f"/p/{other.pid}/debug/pprof/heap?seconds=3000", 503)
    assert not re.search(rf"PID {t.pid} .* let go", d.err)
    t.stop()
    ask.join(180)
    assert got["status"] in (200, 404)


def test_who_costs_too_much_is_sampled_less(daemon, target, tmp_path):
    """Nobody else is, and what was counted at each rate is right together."""
    exe, asked = workload("depths.c"), 500

    def rules(limit):
        return ("[daemon]\ninterval = 200ms\nsample-bytes = 1G\nmax-overhead = 100%\nmax-overhead-total = 100%\ngo = no\n"
                f"[profile w]\ncomm = ^{STAYS}$\nsample-bytes = {asked}\nmax-overhead = {limit:.4f}%\n"
                f"[profile g]\ncomm = ^{GOES}$\n")
    d = daemon(rules(100).split("\n", 2)[2], "--listen", "127.0.0.1:0")
    s = Server(d)
    t, other = start_as(STAYS, exe, target, tmp_path), start_as(GOES, exe, target, tmp_path)
    attached(d, t.pid)
    attached(d, other.pid)
    t.say("go")
    # measured in a look that saw it at work all the time; the probes alone are the least of that
    wait_for(lambda: metrics(s, "memwatch_heap_allocated_objects_total")[t.pid] > 6000)
    d.conf.write_text(rules(50 * metrics(s, "memwatch_profiling_cost_ratio")[t.pid]))
    d.proc.send_signal(signal.SIGHUP)
    d.wait_for(rf"profiling PID {t.pid} \({STAYS}\) costs it [^\n]*, more than is allowed: one sample per 1.95kB from now on")
    before = metrics(s, "memwatch_heap_allocated_bytes_total")[t.pid]
    wait_for(lambda: metrics(s, "memwatch_heap_allocated_bytes_total")[t.pid] > 1.3 * before)
    bytes_ = metrics(s, "memwatch_profiling_sample_bytes")
    assert bytes_[t.pid] in (asked << 2, asked << 4, asked << 6) and bytes_[other.pid] == 1 << 30
    listed = {p["pid"]: p for p in json.loads(s.text("/api/processes"))["processes"]}
    assert listed[t.pid]["sample_bytes"] >= asked << 2 and "sample_bytes" not in listed[other.pid]
    t.say()
    expected = json.loads(t.expect("done")[5:])["functions"]
    got = by_pprof(s, t.pid, tmp_path, "alloc_space", expected)
    for fn, e in expected.items():
        n = e["alloc_objects"] * -math.expm1(-e["alloc_bytes"] / e["alloc_objects"] / (asked << 6))
        assert abs(got[fn] - e["alloc_bytes"]) <= 5 * e["alloc_bytes"] / math.sqrt(n), (fn, got, expected)
    assert "sampled less for what it cost: one sample per " in s.pprof(
        "-comments", f"/p/{t.pid}/debug/pprof/heap", tmp_path=tmp_path)
    # A reload that allows more gives it back what its rule says; what was counted stays as it is.
    d.conf.write_text(rules(100))
    d.proc.send_signal(signal.SIGHUP)
    d.wait_for(rf"profiling PID {t.pid} \({STAYS}\) costs it [^\n]*, which leaves room: one sample per {asked}B from now on")
    wait_for(lambda: metrics(s, "memwatch_profiling_sample_bytes")[t.pid] == asked)
    assert by_pprof(s, t.pid, tmp_path, "alloc_space", expected) == got
    assert "sampled less for what it cost" not in s.pprof("-comments", f"/p/{t.pid}/debug/pprof/heap", tmp_path=tmp_path)
    assert "let go" not in d.err


def test_who_samples_itself_has_no_windows(daemon, target, tmp_path):
    """There are no probes to take out: it is let go."""
    t = start_as(STAYS, workload("usdt.c"), target, tmp_path)
    d = daemon(f"go = no\nmax-overhead = 0.0001%\n[profile w]\ncomm = ^{STAYS}$\nover-budget = windows\n")
    # its file is read at the attach, or soon after where others keep the machine busy
    d.wait_for(rf"attached to PID {t.pid} .* of its own sampler|"
               rf"PID {t.pid} samples its allocations itself from now on")

    def let_go():
        t.say("go")
        t.expect("done")
        return re.search(rf"profiling PID {t.pid} .* let go for 10 minutes", d.err)
    wait_for(let_go, step=1)  # what it holds of its samples has an end
    assert "in windows from now on" not in d.err
