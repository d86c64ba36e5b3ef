# SPDX-License-Identifier: GPL-2.0-or-later
"""Generated profiles with everything odd that the format allows, reported by memwatch and by the
real `go tool pprof`: the lines must be the same."""
import random

import pytest
from protogen import Profile
from test_report import GO_ENV, pprof
from conftest import memwatch

NAMES = ["main", "malloc", "operator new", "foo(int)", "ns::(anonymous namespace)::bar(char*)",
         "std::vector<int>::push_back", "main.(*T).m", "", "operator()(x)", ".text", "tiny", "α"]
FILES = ["/src/a.c", "/src/b.c", "", "rel/./c.c", "/proc/self/cwd/d.c", "/src//x/../e.c", "../up.c"]


def generate(rnd, path, types=None):
    p = Profile()
    types = types or [("alloc_objects", "count"), ("alloc_space", "bytes"),
                      ("inuse_objects", "count"), ("inuse_space", "bytes")]
    for t in types:
        p.value_type(*t)
    p.value_type("space", "bytes", field=11)
    maps = [p.mapping(0x400000, 0x500000, 0, "/bin/prog", "abc123"),
            p.mapping(0x7F0000000000, 0x7F0000100000, 0x1000, "/lib/libc.so.6"),
            p.mapping(0x10000, 0x20000, 0, "[vdso]", "", symbols=False), 0]
    functions = [p.function(n, rnd.choice(FILES), rnd.choice([0, 0, 10, 50]),
                            rnd.choice([None, "_Z" + n])) for n in NAMES + rnd.sample(NAMES, 4)]
    locations = []
    for i in range(60):
        m = rnd.choice(maps)
        lines = [(rnd.choice(functions), rnd.randrange(0, 80)) for _ in range(rnd.choice([0, 1, 1, 1, 2, 3]))]
        locations.append(p.location(m, rnd.choice([0, 0x400000, 0x7F0000000000]) +
                                    rnd.randrange(0, 0x1000), lines, rnd.random() < 0.05))
    for i in range(200):
        stack = [rnd.choice(locations) for _ in range(rnd.choice([0, 1, 2, 5, 9]))]
        scale = rnd.choice([1, 100, 10**4, 10**7, 10**10])
        values = [rnd.choice([0, 0, 1, -1, 1]) * rnd.randrange(0, scale + 1) for _ in types]
        labels = []
        if rnd.random() < 0.5:
            labels.append(("bytes", rnd.randrange(1, 10**6), rnd.choice(["bytes", ""])))
        if rnd.random() < 0.2:
            labels.append(("bytes", rnd.randrange(1, 10**6), "bytes"))
        if rnd.random() < 0.3:
            labels.append(("comm", rnd.choice(["worker", "main", "io 1"])))
        if rnd.random() < 0.1:
            labels.append(("comm", "second"))
        if rnd.random() < 0.1:
            labels.append(("request", rnd.randrange(1, 10**4), ""))
        p.sample(stack, values, labels)
        if rnd.random() < 0.1:
            p.sample(stack, values, labels)
    p.header(time=rnd.choice([0, 1700000000123456789, 1763694000000000000]),
             duration=rnd.choice([0, 30_000_000_000, 1_234_567]), period=524288,
             comments=rnd.choice([[], ["hello", "#hidden", "hello"]]),
             **rnd.choice([{}, {"drop_frames": "malloc|operator new|foo"},
                           {"drop_frames": "m.*", "keep_frames": "main"}]))
    return p.write(path, compress=rnd.random() < 0.7)


MODES = [("-top", "--top"), ("-tree", "--tree"), ("-traces", "--traces"), ("-raw", "--raw"),
         ("-peek=a", "--peek=a"), ("-list=a", "--list=a"),
         ("-top -cum -nodecount=5", "--top=5 --cum"), ("-tree -cum", "--tree --cum"),
         ("-top -nodecount=3 -lines", "--top=3 --granularity=lines"),
         ("-tree -addresses", "--tree --granularity=addresses"),
         ("-tree -files", "--tree --granularity=files")]
FILTERS = [("", "")] * 3 + [
    ("-focus=main|bar", "--focus=main|bar"), ("-ignore=tiny", "--ignore=tiny"),
    ("-hide=main", "--hide=main"), ("-show=[a-m]", "--show=[a-m]"),
    ("-show_from=foo|bar", "--show-from=foo|bar"), ("-focus=libc", "--focus=libc"),
    ("-tagfocus=comm=worker|second", "--tag-focus=comm=worker|second"),
    ("-tagfocus=worker", "--tag-focus=worker"), ("-tagignore=1kb:100kb", "--tag-ignore=1kb:100kb"),
    ("-tagfocus=bytes=500b:", "--tag-focus=bytes=500b:"), ("-unit=MB", "--unit=MB"),
    ("-nodefraction=0.05", "--node-fraction=0.05"), ("-edgefraction=0.2", "--edge-fraction=0.2")]


@pytest.mark.parametrize("seed", range(8))
def test_same_as_pprof(seed, tmp_path):
    rnd = random.Random(seed)
    a = generate(rnd, tmp_path / "a.pb.gz")
    b = generate(rnd, tmp_path / "b.pb.gz")
    inputs = [([str(a)], [str(a)]), ([str(a), str(b)],) * 2,
              (["-base", str(a), str(b)], ["--base", str(a), str(b)]),
              (["-diff_base", str(b), str(a)], ["--diff-base", str(b), str(a)])]
    for files in inputs:
        for mode in rnd.sample(MODES, 6):
            filt = rnd.choice(FILTERS)
            index = rnd.randrange(4)
            theirs = [*mode[0].split(), *filt[0].split(), f"-sample_index={index}", *files[0]]
            ours = [*mode[1].split(), *filt[1].split(), f"--sample-index={index}", *files[1]]
            want = pprof(*theirs, cwd=tmp_path)
            p = memwatch("report", *ours, cwd=tmp_path, env=GO_ENV)
            if not want:  # nothing matched: both say so
                assert p.returncode == 1, (ours, p.stderr)
                continue
            want, got = want.splitlines(), p.stdout.splitlines()
            if "-peek" in mode[0] or "-tree" in mode[0]:
                # Edges of weight +x and -x have no order in pprof: it differs from run to run.
                want, got = sorted(want), sorted(got)
            assert want == got, (theirs, ours)
