# SPDX-License-Identifier: GPL-2.0-or-later
"""--max-overhead: where the probes alone cost too much they work in windows, and the profile goes on."""
import json
import math
import re
import signal

import pytest

from alloclib import by_function, losses, workload
from conftest import BIN, load_json, memwatch
from test_alloc import MUSL

RATE = 16 << 10
BUDGET = 1.0  # percent
WINDOWS = 10


class Windowed:
    """The workload until so many windows have closed; its own counts are taken while it is still
    attached to."""

    def __init__(self, target, attach, tmp_path, exe, *opts):
        self.files = [tmp_path / "x.json", tmp_path / "x.txt", tmp_path / "x.pb.gz"]
        t = target([exe])
        t.expect("ready")
        a = attach("-p", t.pid, "--plain", "-v", "--max-overhead", BUDGET, "--sample-bytes", RATE,
                   *opts, *[x for f in self.files for x in ("-o", f)])
        t.say("go")
        a.wait_for(r"(windows: [0-9]+ ms cost [^$]*){%d}" % WINDOWS)
        t.say()
        self.expected = json.loads(t.expect("done")[5:])["functions"]
        status, self.out, self.err = a.finish(signal.SIGINT)
        assert status == 0, self.err
        t.say()
        assert t.proc.wait(180) == 0
        self.profile = load_json(self.files[0])
        self.got = by_function(self.profile, self.expected)
        # How long each was with its pause, and what of the budget that cost, percent.
        self.cycles = [(float(ms), float(pct)) for ms, pct in
                       re.findall(r"windows: ([0-9]+) ms cost ([0-9.]+) %", self.err)]

    def five_sigma(self, fn):
        """Of alloc_bytes: blocks are sampled by their size, in windows of 200 ms; what a machine
        under load does to a steady program differs by a tenth from window to window."""
        e = self.expected[fn]
        size = e["alloc_bytes"] / e["alloc_objects"]
        seen = 0.2 * len(self.cycles) / sum(ms / 1e3 for ms, _ in self.cycles)
        n = e["alloc_objects"] * seen * -math.expm1(-size / RATE)
        return 5 * e["alloc_bytes"] * math.sqrt(1 / n + 0.3 ** 2 / len(self.cycles))


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_what_is_allocated_and_what_is_in_use(libc, target, attach, tmp_path):
    cc, flags = (None, ()) if libc == "glibc" else ("musl-gcc", MUSL)
    exe = workload("steady.c", cc, flags=flags, suffix="-" + libc)
    r = Windowed(target, attach, tmp_path, exe)
    assert "work in windows from now on" in r.err
    assert losses(r.profile) == {}, r.err
    for fn, e in r.expected.items():
        assert abs(r.got[fn]["alloc_bytes"] - e["alloc_bytes"]) <= r.five_sigma(fn), (fn, r.err)
    # a leak is in use, all of it
    leak = r.got["leaks"]
    assert leak["inuse_bytes"] == leak["alloc_bytes"], (r.err)
    # what is not as it was sampled is told, and what is beyond it is not more than there is
    m = re.findall(r"in windows, ([0-9.]+) % of the time: in use is what a walk of the heap still "
                   r"found; ([0-9.]+)([kMG]?)B of it is no longer as it was", r.out)
    changed = float(m[-1][1]) * {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}[m[-1][2]]
    certain = r.profile["totals"]["inuse_bytes"] - changed
    truth = sum(e["inuse_bytes"] for e in r.expected.values())
    assert certain <= truth + r.five_sigma("leaks") + r.five_sigma("churns") / 5
    # the same in every file and in the last line
    share = re.search(r"\(in windows, ([0-9.]+) % of the time\)", r.err)
    assert share and 0 < float(share[1]) < 60
    told = re.findall(r"in use is what .* as it was sampled", r.out)[-1]
    for f in (r.files[0], r.files[2]):
        assert told in memwatch("report", "--comments", f, check=0).stdout
    assert told in r.files[1].read_text() and told in r.profile["comments"][0]
    # once it works in windows, what the target pays is what is allowed
    cycles = r.cycles[3:]
    cost = sum(ms * pct for ms, pct in cycles) / sum(ms for ms, _ in cycles)
    assert cost <= 130, r.cycles


@pytest.mark.parametrize("how,windows,opts", [("exec", WINDOWS, ()), ("fork", WINDOWS, ()),
                                              ("fork", 3, ("--exact",)), ("library", 3, ())])
def test_changes_between_windows(how, windows, opts, target, attach, tmp_path):
    """A new image, a child, and the allocator of a library that is opened are seen in windows, too."""
    out = tmp_path / "x.json"
    if how == "library":
        how = workload("jealloc.c", flags=("-shared", "-fPIC", "-DAS_LIBRARY"), suffix=".so")
    t = target([workload("steady.c", suffix="-glibc"), how])
    t.expect("ready")
    a = attach("-p", t.pid, "--follow", "--plain", "-v", "--max-overhead", BUDGET, "--sample-bytes",
               RATE, *opts, "-o", out)
    t.say("go")
    a.wait_for("work in windows from now on")
    t.say()
    t.expect("changed")
    a.err = ""
    a.wait_for(r"(windows: [0-9]+ ms cost [^$]*){%d}" % windows)
    t.say()
    e = json.loads(t.expect("done")[5:])["functions"]["changed"]
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0, err
    t.say()
    assert t.proc.wait(180) == 0
    profile = load_json(out)
    profile["loss"].pop("children not seen between their fork and the attach", None)
    assert losses(profile) == {}, err
    got = by_function(profile, ["changed"])["changed"]["alloc_bytes"]
    assert abs(got - e["alloc_bytes"]) < e["alloc_bytes"] / 2, (got, e, err)


def test_the_end_between_two_windows(target, attach, tmp_path):
    """What was done after the last window is in no figure, and that is said."""
    out = tmp_path / "x.json"
    t = target([workload("steady.c", suffix="-glibc")])
    t.expect("ready")
    a = attach("-p", t.pid, "--plain", "-v", "--max-overhead", "0.02", "--sample-bytes", RATE, "-o", out)
    t.say("go")
    a.wait_for("work in windows from now on")
    t.say()
    t.expect("done")
    t.say()
    assert t.proc.wait(180) == 0
    status, text, err = a.finish(None)
    assert status == 0, err
    told = re.search(r"; it ended [0-9.]+ s after the last window, .*", text)[0]
    assert told in load_json(out)["comments"][0]
    assert load_json(out)["totals"]["inuse_bytes"] is None  # nobody had looked yet


def test_exact(target, attach, tmp_path):
    r = Windowed(target, attach, tmp_path, workload("steady.c", suffix="-glibc"), "--exact")
    for fn, e in r.expected.items():
        assert abs(r.got[fn]["alloc_bytes"] - e["alloc_bytes"]) <= r.five_sigma(fn), (fn, r.err)
    assert r.got["leaks"]["inuse_bytes"] == r.got["leaks"]["alloc_bytes"]


def test_an_allocator_that_cannot_be_walked(target, attach, tmp_path):
    """What is in use is not known, and nothing else is said."""
    exe = workload("steady.c", libs=("-ljemalloc",), suffix="-jemalloc")
    r = Windowed(target, attach, tmp_path, exe)
    for fn, e in r.expected.items():
        assert abs(r.got[fn]["alloc_bytes"] - e["alloc_bytes"]) <= r.five_sigma(fn), (fn, r.err)
        assert r.got[fn]["inuse_bytes"] == 0
    totals = r.profile["totals"]
    assert totals["inuse_bytes"] is None and totals["inuse_objects"] is None
    assert "what is in use is not known" in r.out and "in use not known" in r.out


def test_on_the_screen(terminal, target):
    exe = workload("steady.c", libs=("-ljemalloc",), suffix="-jemalloc")
    t = target([exe])
    t.expect("ready")
    term = terminal(f"{BIN} -p {t.pid} --max-overhead {BUDGET} --sample-bytes {RATE} -i 0.3s")
    t.say("go")
    screen = term.expect(r"in windows, [0-9.]+ %").string
    assert re.search(r"in use +not known", screen)
    t.say()
    t.expect("done")
