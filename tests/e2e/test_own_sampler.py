# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that sample for themselves and tell of it by USDT probes: those are used, nothing else."""
import json
import os
import re
import signal

import pytest

from alloclib import STACK_VALUES, by_function, losses, workload
from conftest import build, load_json, memwatch, wait_for
from test_attach import breakpoints, text_of

KINDS = {
    "dynamic": {},
    "unoptimised": {"flags": ("-O0",), "suffix": "-O0"},
    "not-pie": {"flags": ("-no-pie", "-fno-pie"), "suffix": "-nopie"},
    "static": {"libs": ("-static",), "suffix": "-static"},
    "static-pie": {"flags": ("-fPIE",), "libs": ("-static-pie",), "suffix": "-static-pie"},
    "no frame pointers": {"flags": ("-O2", "-fomit-frame-pointer"), "suffix": "-O2"},
}


class Sampler:
    def __init__(self, target, **build):
        self.t = target([workload("usdt.c", **build)])
        self.pid = self.t.pid
        self.at = [int(a, 16) for a in self.t.expect("ready").split()[1:]]

    def semaphores(self):
        values = []
        with open(f"/proc/{self.pid}/mem", "rb") as mem:
            for a in self.at:
                mem.seek(a)
                values.append(int.from_bytes(mem.read(2), "little"))
        return values

    def round(self):
        self.t.say("go")
        return json.loads(self.t.expect("done")[5:])["functions"]

    def down(self):
        wait_for(lambda: self.semaphores() == [0, 0])

    def end(self):
        self.t.say("end")
        assert self.t.proc.wait(180) == 0


def check(profile, expected, err):
    assert losses(profile) == {}, err
    want = {n: {v: f[v] for v in STACK_VALUES} for n, f in expected.items()}
    assert by_function(profile, want) == want
    for v in STACK_VALUES:
        assert profile["totals"][v] == sum(f[v] for f in want.values()), v
    for s in profile["stacks"]:
        assert "main" in [f.get("function") for f in s["frames"]], s


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_the_programs_own(kind, target, attach, tmp_path):
    s = Sampler(target, **KINDS[kind])
    before = s.round()  # nobody listens: nothing is sampled
    assert not any(f["samples"] for f in before.values()) and s.semaphores() == [0, 0]
    clean = text_of(s.pid)
    out = tmp_path / "x.json"
    a = attach("-p", s.pid, "--plain", "-i", "10s", "-v", "-o", out)
    up = s.semaphores()
    assert up[0] >= 2 and up[1] >= 1, "one for each site"
    # nothing but these sites is probed: malloc and free are as they were
    assert breakpoints(s.pid, clean) == sum(up)
    expected = s.round()
    assert expected["hold"]["samples"] and expected["churn"]["samples"]
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "of its own sampler (USDT otel_memory)" in err, err
    assert "of those that the target, which samples for itself, told of" in err, err
    check(load_json(out), expected, err)
    samples = sum(f["samples"] for f in expected.values())
    assert f"{samples} allocations" in err, err
    s.down()
    assert breakpoints(s.pid, clean) == 0
    s.end()


def test_stripped(target, attach, tmp_path):
    """Static and without symbols, where no allocator can be found: its own probes are enough."""
    s = Sampler(target, flags=("-DNO_NAMES",), libs=("-static", "-s"), suffix="-stripped")
    out = tmp_path / "x.json"
    a = attach("-p", s.pid, "--plain", "-o", out)
    expected = s.round()
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0
    p = load_json(out)
    totals = {v: sum(f[v] for f in expected.values()) for v in STACK_VALUES}
    assert {v: p["totals"][v] for v in STACK_VALUES} == totals, err
    assert losses(p) == {}, err
    s.end()


def test_operand_without_its_name(target, attach):
    """A variable that the note names, in a file without symbols: where it is cannot be known."""
    s = Sampler(target, libs=("-static", "-s"), suffix="-nameless")
    a = attach("-p", s.pid, "--plain")
    assert s.semaphores() == [0, 0]
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "form that is not known" in err, err
    s.end()


def test_forked_child(target, attach, tmp_path):
    """A child has its parent's raised semaphores. Followed, its samples count; else they go down."""
    s = Sampler(target)
    out = tmp_path / "x.json"
    for follow in ([], ["--follow"]):
        a = attach("-p", s.pid, "--plain", *follow, "-o", out)
        s.t.say("fork")
        child = Sampler.__new__(Sampler)
        child.pid, child.at = int(s.t.expect("child").split()[1]), s.at
        if follow:
            a.wait_for("attached to child")
            assert min(child.semaphores()) > 0
        s.round()
        status, _, err = a.finish(signal.SIGINT)
        assert status == 0, err
        s.down()
        child.down()
        s.t.say("reap")
        s.t.expect("reaped")
    s.end()


@pytest.mark.parametrize("method", ["single", "multi"])
def test_older_kernels_ways(method, target, attach, tmp_path):
    """Perf events and uprobe_multi raise semaphores alike."""
    s = Sampler(target)
    out = tmp_path / "x.json"
    a = attach("-p", s.pid, "--plain", "-o", out, env={**os.environ, "MEMWATCH_PROBE": method})
    up = s.semaphores()
    assert up[0] >= 2 and up[1] >= 1
    expected = s.round()
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0, err
    check(load_json(out), expected, err)
    s.down()
    s.end()


def test_library_opened_late(target, attach, tmp_path):
    """Until it comes malloc is probed; from then on the samples that it tells of are the profile."""
    lib = build("usdt.c", flags=("-O1", "-shared", "-fPIC", "-DLIBRARY"), suffix="-late.so")
    t = target([build("lateload.c", flags=("-O1",), libs=("-lpthread", "-ldl"), suffix="-usdt"),
                lib, "0", "1"])
    t.expect("ready")
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--plain", "-o", out)
    t.say("go")
    expected = json.loads(t.expect("done")[5:])["functions"]
    t.expect("done")
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "samples its allocations itself from now on" in err, err
    p = load_json(out)
    assert losses(p) == {}, err
    got = by_function(p, expected)
    assert got == {n: {v: f[v] for v in STACK_VALUES} for n, f in expected.items()}, err
    t.say("x")
    assert t.proc.wait(180) == 0


def test_killed(target, attach):
    s = Sampler(target)
    for sig in (signal.SIGKILL, signal.SIGTERM):
        a = attach("-p", s.pid, "--plain")
        assert min(s.semaphores()) > 0
        a.proc.send_signal(sig)
        a.proc.wait(180)
        s.down()
    s.round()
    s.end()


def test_exact_and_fast(target, attach, tmp_path):
    """Every allocation is more than its samples tell; --fast writes nothing into such a program."""
    s = Sampler(target)
    out = tmp_path / "x.json"
    a = attach("-p", s.pid, "--plain", "--exact", "-o", out)
    assert s.semaphores() == [0, 0]
    s.round()
    status, _, err = a.finish(signal.SIGINT)
    p = load_json(out)
    assert status == 0 and by_function(p, ["hold"])["hold"]["alloc_objects"] == 10000, err
    a = attach("-p", s.pid, "--plain", "--fast")
    assert min(s.semaphores()) > 0
    with open(f"/proc/{s.pid}/maps") as maps:
        assert "memwatch-fast" not in maps.read()
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "of its own sampler" in err and "no fast mode" not in err, err
    s.down()
    s.end()


def test_run_and_exec(target, tmp_path):
    exe = workload("usdt.c")
    out = tmp_path / "x.json"
    p = memwatch("run", "--plain", "-o", out, "--", exe, input="go\nend\n", check=0)
    line = re.search(r"^done (.*)$", p.stdout, re.M)
    check(load_json(out), json.loads(line[1])["functions"], p.stderr)
    # a shell that becomes the program: its malloc is probed before, its samples are used after
    p = memwatch("run", "--plain", "-o", out, "--", "sh", "-c", f"exec {exe}", input="go\nend\n",
                 check=0)
    line = re.search(r"^done (.*)$", p.stdout, re.M)
    expected = json.loads(line[1])["functions"]
    got = by_function(load_json(out), expected)
    assert {n: g["alloc_bytes"] for n, g in got.items()} == \
        {n: f["alloc_bytes"] for n, f in expected.items()}, p.stderr


def test_five_byte_nops_are_refused(target, attach):
    s = Sampler(target, flags=("-DLONG_NOP",), suffix="-longnop")
    a = attach("-p", s.pid, "--plain")
    assert s.semaphores() == [0, 0]
    s.round()
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and "five-byte nop" in err and "cannot be used" in err, err
    assert "of its own sampler" not in err
    s.end()


def test_features_say_so(target):
    s = Sampler(target)
    text = memwatch("features", "-p", s.pid, check=0).stdout
    assert "it samples for itself" in text
    allocators = json.loads(memwatch("features", "--json", "-p", s.pid, check=0).stdout)["fast"]["allocators"]
    own, = [x for x in allocators if "samples for itself" in x["reason"]]
    assert own["path"].endswith("usdt") and not own["stubs"]
    s.end()
