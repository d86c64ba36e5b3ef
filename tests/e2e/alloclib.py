# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaching to the workloads of tests/workloads and comparing profiles with what they say."""
import json
import re
import shutil
import signal
import subprocess

from conftest import build, load_json

TOTALS = ("alloc_objects", "alloc_bytes", "free_objects", "free_bytes", "inuse_objects",
          "inuse_bytes")
STACK_VALUES = ("alloc_objects", "alloc_bytes", "inuse_objects", "inuse_bytes")
# Frame pointers everywhere and nothing inlined or tail-called: every function has its frame.
CFLAGS = ("-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-builtin",
          "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter")


def workload(name, cc=None, flags=(), libs=(), suffix="", extra=()):
    """Builds a workload; C++ sources with g++."""
    cxx = name.endswith(".cpp")
    std = ("-std=c++17",) if cxx else ()
    return build(name, cc or ("g++" if cxx else "gcc"), (*CFLAGS, *std, *flags),
                 ("-Wl,--no-as-needed", "-pthread", *libs), suffix, extra)


def base_name(function):
    """'ns::do_it(int, char)' → 'do_it'."""
    name = re.sub(r"\(.*", "", function)
    return name.split("::")[-1].split(" ")[-1]


def by_function(profile, names):
    """Sums of the stacks that pass through each of the functions."""
    sums = {n: dict.fromkeys(STACK_VALUES, 0) for n in names}
    for s in profile["stacks"]:
        through = {base_name(f["function"]) for f in s["frames"] if f.get("function")}
        for n in through & sums.keys():
            for v in STACK_VALUES:
                sums[n][v] += s[v]
    return sums


def losses(profile):
    """Causes of loss that touch the counts. Stacks that ended early and frees of blocks from
    before the attach are reported beside them, but no event is missing for their sake."""
    return {k: v for k, v in profile["loss"].items()
            if v and not re.search(r"stack|before|unwind|frame|nested", k)}


class Run:
    """A workload taken through ready → attach → go → done → end of memwatch → end."""

    def __init__(self, target, attach, tmp_path, argv, *opts, out=(".json",), lines=(), **kw):
        self.t = target(argv, **kw)
        self.t.expect("ready")
        self.base = tmp_path / "out"
        self.files = {end: tmp_path / ("out" + end) for end in out}
        a = attach("-p", self.t.pid, "--plain", "-i", "10s", *opts,
                   *[x for f in self.files.values() for x in ("-o", f)])
        self.attached = a
        self.t.say("go")
        self.expected = json.loads(self.t.expect("done")[5:])
        self.status, self.out, self.err = a.finish(signal.SIGINT)
        assert self.status == 0, self.err
        self.end_target()
        self.profile = load_json(self.files[".json"]) if ".json" in self.files else None

    def end_target(self):
        """The target runs on and ends as it would have without memwatch."""
        self.t.say("x")
        assert self.t.proc.wait(180) == 0

    def check_exact(self, totals=True):
        """To the byte and the count; nothing lost."""
        p, e = self.profile, self.expected
        assert losses(p) == {}, self.err
        if totals:
            assert {k: p["totals"][k] for k in TOTALS} == {k: e[k] for k in TOTALS}, self.err
        want = {n: {v: f[v] for v in STACK_VALUES} for n, f in e["functions"].items()}
        got = by_function(p, want)
        assert got == want, [(n, got.get(n), want[n]) for n in want if got.get(n) != want[n]]
        check_books(p)


def check_books(p):
    """What must hold in every exact profile, whatever the program."""
    t = p["totals"]
    for v in STACK_VALUES:
        assert sum(s[v] for s in p["stacks"]) == t[v], v
    assert t["alloc_objects"] - t["free_objects"] == t["inuse_objects"]
    assert t["alloc_bytes"] - t["free_bytes"] == t["inuse_bytes"]
    assert all(s[v] >= 0 for s in p["stacks"] for v in STACK_VALUES)


GO = shutil.which("go")


def go_pprof(*args):
    """Runs the real `go tool pprof`; returns its stdout."""
    p = subprocess.run([GO, "tool", "pprof", *map(str, args)], capture_output=True, text=True,
                       timeout=180, env={"HOME": "/tmp", "PATH": "/usr/bin:/bin",
                                         "PPROF_TMPDIR": "/tmp"})
    assert p.returncode == 0, p.stderr
    return p.stdout


def raw_sums(raw):
    """Sums per sample type from `go tool pprof -raw`."""
    lines = raw.splitlines()
    at = lines.index("Samples:")
    types = [t.split("/")[0] for t in lines[at + 1].replace("[dflt]", "").split()]
    sums = dict.fromkeys(types, 0)
    for line in lines[at + 2:]:
        if line.startswith("Locations"):
            break
        m = re.match(r"\s*([-\d ]+):", line)
        if m:
            for t, v in zip(types, m.group(1).split()):
                sums[t] += int(v)
    return sums
