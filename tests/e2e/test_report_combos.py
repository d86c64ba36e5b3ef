# SPDX-License-Identifier: GPL-2.0-or-later
"""Options in combination, on real profiles (Go's own, memwatch's of python): what `go tool pprof`
prints for the same files and options, line by line. Random, with fixed seeds."""
import random
import signal
import subprocess

import pytest
from conftest import BIN, memwatch, wait_for
from test_report import GO_ENV, heaps, pprof  # noqa: F401 (heaps is a fixture)

PROGRAM = """
import json, signal, subprocess, sys
keep = [json.loads(json.dumps({"a": i, "b": [i] * 20, "c": "x" * (i % 300)})) for i in range(6000)]
if len(sys.argv) < 2:
    subprocess.run([sys.executable, sys.argv[0], "child"])
    print("half", flush=True)
    sys.stdin.readline()
del keep[:3000]
keep += [dict(a=str(i) * 9) for i in range(3000)]
"""
FRAMES = {"go": [r"main\.", "runtime", "put|small", "recurse", "generic", "main.go", "heapgen",
                 "strings", "churn", "(?i)GROW", "nothing_of_the_kind"],
          "own": ["Py", "_PyEval", "python3", "json", "malloc", "libc", "Dict", "main", "Object"]}
TAGS = ["bytes=4kb:6kb", ":3kb", "6000b:", "bytes=500b:", "comm=python3", "python3", "pid=1:",
        "1kb:100kb", "bytes=2000b", "nothing"]


@pytest.fixture(scope="module")
def profiles(heaps, tmp_path_factory):
    """{kind: [profile]}"""
    d = tmp_path_factory.mktemp("own")
    (d / "p.py").write_text(PROGRAM)
    mid, end = d / "mid.pb.gz", d / "end.pb.gz"
    m = subprocess.Popen([BIN, "run", "--follow", "--sample-bytes", "2K", "-q", "-o", end, "--",
                          "/usr/bin/python3", d / "p.py"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
    try:
        assert m.stdout.readline() == "half\n"
        m.send_signal(signal.SIGUSR1)
        wait_for(end.exists)
        end.rename(mid)
        m.communicate("go\n", timeout=180)
        assert m.returncode == 0
    finally:
        if m.poll() is None:
            m.kill()
            m.wait()
    return {"go": [heaps / f"{n}.pb.gz" for n in ("heap1", "heap2", "allocs1", "allocs2")],
            "own": [mid, end]}


def options(rnd, kind):
    """(pprof's, ours)"""
    theirs, ours = [], []

    def add(chance, name, values, our_name=None):
        if rnd.random() < chance:
            v = rnd.choice(values)
            theirs.append(f"-{name}={v}")
            ours.append(f"--{our_name or name}={v}")

    mode = rnd.choice(["top", "top", "tree", "traces", "raw", "peek", "list"])
    if mode in ("peek", "list"):
        add(1, mode, FRAMES[kind])
    elif mode == "top" and rnd.random() < 0.4:
        n = rnd.choice([1, 5, 20])
        theirs += ["-top", f"-nodecount={n}"]
        ours.append(f"--top={n}")
    else:
        theirs.append("-" + mode)
        ours.append("--" + mode)
    if rnd.random() < 0.25:
        theirs.append("-cum")
        ours.append("--cum")
    grain = rnd.choice(["", "addresses", "files", "lines", "filefunctions", "functions"])
    if grain and mode != "raw":
        theirs.append("-" + grain)
        ours.append("--granularity=" + grain)
    for chance, name in ((0.15, "focus"), (0.1, "ignore"), (0.25, "hide"), (0.1, "show")):
        add(chance, name, FRAMES[kind])
    add(0.25, "show_from", FRAMES[kind], "show-from")
    add(0.25, "tagfocus", TAGS, "tag-focus")
    add(0.15, "tagignore", TAGS, "tag-ignore")
    add(0.35, "nodefraction", ["0", "0.0001", "0.01", "0.1", "0.3", "0.5", "1"], "node-fraction")
    add(0.25, "edgefraction", ["0", "0.01", "0.1", "0.5", "1"], "edge-fraction")
    add(0.2, "unit", ["B", "kB", "MB", "auto", "GB"])
    add(1, "sample_index", ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"],
        "sample-index")
    return mode, theirs, ours


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["go", "own"])
def test_same_as_pprof(profiles, kind, seed):
    rnd = random.Random(f"{kind} {seed}")
    compared = 0
    for _ in range(8):
        mode, theirs, ours = options(rnd, kind)
        files = [str(rnd.choice(profiles[kind])) for _ in range(rnd.choice([1, 1, 2, 3]))]
        base = rnd.choice(["", "", "base", "diff_base"])
        if base:
            before = str(rnd.choice(profiles[kind]))
            theirs += ["-" + base, before]
            ours += ["--" + base.replace("_", "-"), before]
        want = pprof(*theirs, *files)
        p = memwatch("report", *ours, *files, env=GO_ENV)
        if not want:  # nothing matched: neither prints anything
            assert p.returncode == 1 and p.stdout == "", (theirs, files)
            continue
        want, got = want.splitlines(), p.stdout.splitlines()
        if mode in ("tree", "peek"):
            # calls of weight +x and -x have no order in pprof: it differs from run to run
            want, got = sorted(want), sorted(got)
        assert want == got, (theirs, ours, files)
        compared += len(want)
    assert compared > 20
