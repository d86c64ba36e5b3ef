# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch report against the real `go tool pprof`, line by line, and hostile input."""
import gzip
import json
import os
import random
import subprocess

import pytest
from conftest import OUT, WORKLOADS, build, load_json, memwatch, one_at_a_time

GO_ENV = {**os.environ, "GO111MODULE": "off", "GOCACHE": "/tmp/memwatch-gocache", "GOFLAGS": "",
          "HOME": os.environ.get("HOME", "/root"), "TZ": "UTC", "LC_ALL": "C"}


@pytest.fixture(scope="module")
def heaps():
    """Real Go heap and allocs profiles of two moments."""
    src = WORKLOADS / "go" / "heapgen"
    exe = OUT / "heapgen"
    out = OUT / "heapgen.d"
    done = out / "done"
    with one_at_a_time("heapgen"):
        if not done.exists() or done.stat().st_mtime < (src / "main.go").stat().st_mtime:
            out.mkdir(parents=True, exist_ok=True)
            subprocess.run(["go", "build", "-o", str(exe), "main.go"], cwd=src, env=GO_ENV,
                           check=True)
            subprocess.run([str(exe), str(out)], check=True)
            done.touch()
    return out


def pprof(*args, cwd=None):
    p = subprocess.run(["go", "tool", "pprof", "-symbolize=none", *map(str, args)], cwd=cwd,
                       capture_output=True, text=True, env=GO_ENV, timeout=180)
    return p.stdout


def same(cwd, theirs, ours):
    """Both print the same lines, and more than nothing."""
    a = pprof(*theirs, cwd=cwd)
    p = memwatch("report", *ours, cwd=cwd, env=GO_ENV)
    assert p.returncode == 0, p.stderr
    assert a.count("\n") > 2
    assert a.splitlines() == p.stdout.splitlines()


TYPES = ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"]
MODES = [
    (["-top"], ["--top"]),
    (["-top", "-cum", "-nodecount=7"], ["--top", "7", "--cum"]),
    (["-tree"], ["--tree"]),
    (["-traces"], ["--traces"]),
    (["-raw"], ["--raw"]),
    (["-peek", r"main\."], ["--peek", r"main\."]),
    (["-list", r"main\."], ["--list", r"main\."]),
]


@pytest.mark.parametrize("ours", MODES, ids=lambda m: m[1][0].strip("-") + str(len(m[1])))
@pytest.mark.parametrize("kind", TYPES)
def test_modes(heaps, kind, ours):
    same(heaps, [*ours[0], f"-sample_index={kind}", "heap2.pb.gz"],
         [*ours[1], "--sample-index", kind, "heap2.pb.gz"])
    same(heaps, [*ours[0], f"-sample_index={kind}", "allocs2.pb.gz"],
         [*ours[1], "--sample-index", kind, "allocs2.pb.gz"])


def test_default_sample_type(heaps):
    same(heaps, ["-top", "heap1.pb.gz"], ["--top", "heap1.pb.gz"])
    same(heaps, ["-top", "allocs1.pb.gz"], ["--top", "allocs1.pb.gz"])
    same(heaps, ["-top", "-sample_index=1", "heap1.pb.gz"],
         ["--top", "--sample-index=1", "heap1.pb.gz"])


@pytest.mark.parametrize("what", ["filefunctions", "files", "lines", "addresses"])
def test_granularity(heaps, what):
    for mode in ("top", "tree", "traces"):
        same(heaps, [f"-{mode}", f"-{what}", "heap2.pb.gz"],
             [f"--{mode}", "--granularity", what, "heap2.pb.gz"])


@pytest.mark.parametrize("theirs,ours", [
    (["-focus", "put|small"], ["--focus", "put|small"]),
    (["-focus", r"(?i)RECURSE\b"], ["--focus", r"(?i)RECURSE\b"]),
    (["-ignore", "put"], ["--ignore", "put"]),
    (["-focus", "work", "-ignore", "small", "-hide", "recurse"],
     ["--focus", "work", "--ignore", "small", "--hide", "recurse"]),
    (["-show", "main"], ["--show", "main"]),
    (["-show_from", "work"], ["--show-from", "work"]),
    (["-show_from", r"heapgen/main\.go"], ["--show-from", r"heapgen/main\.go"]),
    (["-tagfocus", "bytes=4kb:6kb"], ["--tag-focus", "bytes=4kb:6kb"]),
    (["-tagfocus", ":3kb"], ["--tag-focus", ":3kb"]),
    (["-tagignore", "6000b:"], ["--tag-ignore", "6000b:"]),
    (["-nodefraction=0.1"], ["--node-fraction", "0.1"]),
    (["-nodefraction=0", "-edgefraction=0.1"], ["--node-fraction=0", "--edge-fraction=0.1"]),
    (["-unit=B"], ["--unit=B"]),
    (["-unit=MB"], ["--unit=MB"]),
    (["-unit=auto"], ["--unit=auto"]),
    (["-trim_path=/usr/lib/go-1.19/src", "-lines"],
     ["--trim-path=/usr/lib/go-1.19/src", "--granularity=lines"]),
])
def test_filters(heaps, theirs, ours):
    for mode in ("top", "tree", "traces"):
        same(heaps, [f"-{mode}", *theirs, "heap2.pb.gz"], [f"--{mode}", *ours, "heap2.pb.gz"])


@pytest.mark.parametrize("kind", ["inuse_space", "alloc_objects"])
@pytest.mark.parametrize("mode", ["top", "tree", "traces", "raw"])
def test_merge_and_diff(heaps, mode, kind):
    a, b = "heap1.pb.gz", "heap2.pb.gz"
    t, o = [f"-{mode}", f"-sample_index={kind}"], [f"--{mode}", f"--sample-index={kind}"]
    same(heaps, [*t, a, b], [*o, a, b])
    same(heaps, [*t, "-base", a, b], [*o, "--base", a, b])
    same(heaps, [*t, "-base", b, a], [*o, "--base", b, a])  # negative values
    same(heaps, [*t, "-diff_base", a, b], [*o, "--diff-base", a, b])
    same(heaps, [*t, "-base", b, a, b, a], [*o, "--base", b, a, b, a])


def test_list_finds_sources(heaps, tmp_path):
    src = WORKLOADS / "go" / "heapgen"
    full = str(src)
    # Trimmed to a relative path and found again below the search path.
    same(heaps, ["-list", "recurse", f"-trim_path={full}", f"-source_path={full}", "heap2.pb.gz"],
         ["--list", "recurse", f"--trim-path={full}", f"--source-path={full}", "heap2.pb.gz"])
    same(heaps, ["-list", "recurse", f"-trim_path={full}", f"-source_path={tmp_path}",
                 "heap2.pb.gz"],
         ["--list", "recurse", f"--trim-path={full}", f"--source-path={tmp_path}", "heap2.pb.gz"])


def test_conversions_keep_the_numbers(heaps, tmp_path):
    pb, js = tmp_path / "x.pb.gz", tmp_path / "x.json"
    memwatch("report", "-o", pb, "-o", js, "-o", tmp_path / "x.folded", "-o", tmp_path / "x.txt",
             heaps / "heap2.pb.gz", check=0)
    for mode in ("top", "tree", "raw"):
        assert pprof(f"-{mode}", heaps / "heap2.pb.gz") == pprof(f"-{mode}", pb)
    want = memwatch("report", "--tree", heaps / "heap2.pb.gz").stdout.splitlines()
    got = memwatch("report", "--tree", js).stdout.splitlines()
    start = next(i for i, l in enumerate(want) if l.startswith("Showing"))
    assert want[start:] == got[-len(want[start:]):]
    doc = json.loads(js.read_text())
    assert doc["schema"] == "memwatch.profile/1"
    total = sum(s["inuse_bytes"] for s in doc["stacks"])
    assert total == doc["totals"]["inuse_bytes"]
    folded = [l.rsplit(" ", 1) for l in (tmp_path / "x.folded").read_text().splitlines()]
    assert sum(int(v) for _, v in folded) == total
    assert all(s.split(";")[0].startswith("runtime.") for s, _ in folded)
    text = (tmp_path / "x.txt").read_text()
    assert "flat%" in text and "main.(*cache).put" in text


def test_own_profile(tmp_path):
    """memwatch's profile of a program with known allocations, in every report."""
    exe = build("heapdump.c", flags=("-O1", "-fno-omit-frame-pointer"))
    memwatch("run", "--exact", "-q", "-o", tmp_path / "own.pb.gz", "-o", tmp_path / "own.json",
             "--", exe, check=0)
    for theirs, ours in MODES:
        ours = [a.replace("main\\.", "fill") for a in ours]
        theirs = [a.replace("main\\.", "fill") for a in theirs]
        same(tmp_path, [*theirs, "own.pb.gz"], [*ours, "own.pb.gz"])
    live = 500 * 5000 + sum(range(500, 1000)) * 100
    for file in ("own.pb.gz", "own.json"):
        top = memwatch("report", "--top", "--unit=B", tmp_path / file, check=0).stdout
        row = next(l for l in top.splitlines() if l.endswith(" fill"))
        assert row.split()[3] == f"{live}B", file
        books = memwatch("report", tmp_path / file, check=0).stdout
        assert "Totals (exact):" in books
    source = memwatch("report", "--list", "fill", tmp_path / "own.pb.gz", check=0).stdout
    assert any("keep[i] = store(" in l and "." in l.split()[0] for l in source.splitlines())


def test_tcmalloc_profile(tmp_path):
    """gperftools' heap profile, in the pprof form that pprof converts it to."""
    exe = build("heapdump.c", flags=("-O1", "-fno-omit-frame-pointer"))
    env = {**GO_ENV, "LD_PRELOAD": "libtcmalloc.so.4", "HEAPPROFILE": str(tmp_path / "tc"),
           "PERFTOOLS_VERBOSE": "-1"}
    subprocess.run([str(exe)], env=env, check=True, capture_output=True)
    heap = sorted(tmp_path.glob("tc.*.heap"))[-1]
    subprocess.run(["go", "tool", "pprof", "-proto", "-output", str(tmp_path / "tc.pb.gz"),
                    str(exe), str(heap)], env=GO_ENV, check=True, capture_output=True)
    for theirs, ours in MODES:
        ours = [a.replace("main\\.", "fill") for a in ours]
        theirs = [a.replace("main\\.", "fill") for a in theirs]
        same(tmp_path, [*theirs, "tc.pb.gz"], [*ours, "tc.pb.gz"])


def test_two_sample_types(tmp_path):
    """What jemalloc's exporters write: objects and space, also under their inuse_ names."""
    from protogen import Profile
    p = Profile()
    p.value_type("objects", "count")
    p.value_type("space", "bytes")
    p.value_type("space", "bytes", field=11)
    m = p.mapping(0x400000, 0x500000, 0, "/bin/service", "ab")
    locs = [p.location(m, 0x400000 + i, [(p.function(f"f{i}", "s.c"), i)]) for i in range(5)]
    locs.append(p.location(m, 0x400099, []))
    for i in range(1, 6):
        p.sample(locs[i - 1:i + 1], [i, i * 1000])
    p.write(tmp_path / "je.pb.gz")
    for kind in ("space", "inuse_space", "objects", "inuse_objects"):
        for mode in ("top", "tree", "traces", "raw"):
            same(tmp_path, [f"-{mode}", f"-sample_index={kind}", "je.pb.gz"],
                 [f"--{mode}", "--sample-index", kind, "je.pb.gz"])


def test_survivors(heaps, tmp_path):
    a, b = heaps / "heap1.pb.gz", heaps / "heap2.pb.gz"
    out = tmp_path / "s.json"
    memwatch("report", "--survivors", a, "-o", out, b, check=0)
    stacks = json.loads(out.read_text())["stacks"]
    assert stacks
    for s in stacks:
        assert 0 <= s["inuse_bytes"] <= s["alloc_bytes"]
        assert 0 <= s["inuse_objects"] <= s["alloc_objects"]
    p = memwatch("report", "--survivors", b, a, check=1)
    assert "wrong order" in p.stderr


def test_stdin_and_plain_proto(heaps):
    raw = gzip.decompress((heaps / "heap1.pb.gz").read_bytes())
    from conftest import BIN
    p = subprocess.run([str(BIN), "report", "--top", "-"], input=raw, capture_output=True,
                       env=GO_ENV)
    assert p.stdout.decode() == pprof("-top", heaps / "heap1.pb.gz")


def test_json_on_stdout(heaps):
    p = memwatch("report", "--json", "--focus", "put", heaps / "heap2.pb.gz", check=0)
    doc = json.loads(p.stdout)
    assert doc["schema"] == "memwatch.profile/1" and doc["stacks"]
    assert all(any("put" in f["function"] for f in s["frames"]) for s in doc["stacks"])
    assert memwatch("report", "--version", check=0).stdout.startswith("memwatch ")
    assert "Examples" in memwatch("report", "--help", check=0).stdout
    quiet = memwatch("report", "-q", "--top", "--focus", "zzz", heaps / "heap2.pb.gz", check=0)
    assert quiet.stderr == ""


def test_the_pid_in_the_name_of_a_file(tmp_path):
    """The part that reads may write what -o names, with the PID in it."""
    whole = {"alloc_objects": 2, "alloc_bytes": 64, "inuse_objects": 1, "inuse_bytes": 32}
    (tmp_path / "p.json").write_text(json.dumps({
        "schema": "memwatch.profile/1", "pid": 4242, "comm": "x", "start_unix_ms": 1, "duration_ms": 1,
        "sample_bytes": 1, "totals": {**whole, "free_objects": 1, "free_bytes": 32}, "loss": {},
        "stacks": [{**whole, "frames": [{"function": "main", "address": 4096}]}]}))
    memwatch("report", "p.json", "-o", "x%p.json", "-o", "%p%%p.folded", cwd=tmp_path, check=0)
    assert load_json(tmp_path / "x4242.json")["pid"] == 4242
    assert (tmp_path / "4242%p.folded").read_text() == "main 32\n"
    assert sorted(os.listdir(tmp_path)) == ["4242%p.folded", "p.json", "x4242.json"]


def test_the_sample_type_that_was_meant(heaps):
    said = memwatch("report", "--sample-index", "inuse_spce", heaps / "heap1.pb.gz", check=2).stderr
    assert "--sample-index: 'inuse_spce' is no sample type of this profile: did you mean inuse_space? (" in said
    assert "alloc_objects, alloc_space, inuse_objects, inuse_space)" in said
    for word, meant in (("inuse", "inuse_space"), ("alloc", "alloc_space"), ("inuse_o", "inuse_objects")):
        said = memwatch("report", "--sample-index", word, heaps / "heap1.pb.gz", check=2).stderr
        assert f"did you mean {meant}? (" in said
    said = memwatch("report", "--sample-index", "heat", heaps / "heap1.pb.gz", check=2).stderr
    assert "'heat' is no sample type of this profile (alloc_objects" in said


def test_a_file_whose_name_is_a_number(heaps, tmp_path):
    """A number behind --top, --tree and --verdicts is one of rows, unless there is such a file."""
    (tmp_path / "20").write_bytes((heaps / "heap1.pb.gz").read_bytes())

    def text(*args):
        return memwatch("report", "--compact-labels", *args, check=0, cwd=tmp_path).stdout

    for what in "--top", "--tree":
        whole = text(f"{what}=1000", "20")
        assert text(what, "1000", "20") == whole == text(what, "1000", "./20")
        assert text(what, "20") == text(what, "./20")
        assert text(what, "3", "20") == text(f"{what}=3", "20") != whole


@pytest.mark.parametrize("args,word", [
    ([], "no profile file"),
    (["--top", "--tree", "x"], "only one"),
    (["--focus", "(", "x"], "--focus"),
    (["--top=-3", "x"], "--top"),
    (["--unit", "furlong", "x"], "furlong"),
    (["--granularity", "atoms", "x"], "atoms"),
    (["--node-fraction", "2", "x"], "fraction"),
    (["--node-fraction", "nan", "x"], "fraction"),
    (["-o", "x.nonsense", "x"], ".pb.gz"),
    (["--survivors", "a", "--base", "b", "x"], "exclude"),
    (["--nonsense", "x"], "nonsense"),
])
def test_wrong_usage(args, word):
    p = memwatch("report", *args, check=2)
    assert word in p.stderr and p.stdout == ""


def test_failures_are_told(heaps, tmp_path):
    good = heaps / "heap1.pb.gz"
    assert "No such file" in memwatch("report", tmp_path / "none", check=1).stderr
    assert "directory" in memwatch("report", tmp_path, check=1).stderr
    assert "inuse_space" in memwatch("report", "--sample-index", "cpu", good, check=2).stderr
    assert "zzz" in memwatch("report", "--peek", "zzz", good, check=1).stderr
    assert "zzz" in memwatch("report", "--list", "zzz", good, check=1).stderr
    assert "--focus matched nothing" in memwatch("report", "--focus", "zzz", good, check=0).stderr
    full = tmp_path / "full.json"
    full.symlink_to("/dev/full")
    assert "No space left" in memwatch("report", "-o", full, good, check=1).stderr
    from conftest import BIN
    with open("/dev/full", "w") as f:
        p = subprocess.run([str(BIN), "report", "--top", str(good)], stdout=f,
                           stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and "No space left" in p.stderr


def test_damaged_files(heaps, tmp_path):
    """Cut and flipped files: a message and status 1, or a valid report; never a signal."""
    rnd = random.Random(7)
    gz = (heaps / "heap2.pb.gz").read_bytes()
    raw = gzip.decompress(gz)
    js = tmp_path / "ok.json"
    memwatch("report", "-o", js, heaps / "heap2.pb.gz", check=0)
    text = js.read_bytes()
    bad = tmp_path / "bad"
    for data in (gz, raw, text):
        for i in range(25):
            d = bytearray(data[:rnd.randrange(len(data))] if i % 2 else data)
            for _ in range(rnd.randrange(1, 6)):
                if d:
                    d[rnd.randrange(len(d))] = rnd.randrange(256)
            bad.write_bytes(d)
            p = memwatch("report", "--traces", bad)
            assert p.returncode in (0, 1), (p.returncode, p.stderr)
            assert p.returncode == 0 or "bad" in p.stderr
    for data, word in ((b"", "empty"), (b"\x1f\x8b\x08", "gzip"), (gz[:-20], "gzip"),
                       (b"{}", "schema"), (b'{"schema":"x"}', "schema"),
                       (b"heap profile: 1: 2 [3: 4] @ heap/5\n", "legacy"),
                       (b"main;grow 4096\n", "text of no kind that is read"),
                       (os.urandom(1) * 100, "not a valid profile")):
        bad.write_bytes(data)
        assert word in memwatch("report", bad, check=1).stderr


def test_gzip_bomb_is_refused(tmp_path):
    bomb = tmp_path / "bomb.pb.gz"
    member = gzip.compress(b"\0" * (16 << 20))
    bomb.write_bytes(member * 70)
    assert "out of memory (MEMWATCH_PARSE_MEMORY=4G allows more)" in memwatch("report", bomb, check=1).stderr
    assert "1GB" in memwatch("report", bomb, check=1, env={**os.environ, "MEMWATCH_PARSE_MEMORY": "4G"}).stderr


EVIL = "evil\x1b[31m;<script>alert(1)</script>\x07\u009b\u202e\"'&\n\t\\"


def test_names_are_harmless_everywhere(tmp_path):
    frame = {"function": EVIL, "file": EVIL + ".c", "line": 3, "module": "/bin/" + EVIL,
             "build_id": "ab", "address": 4096, "inlined": False}
    doc = {"schema": "memwatch.profile/1", "pid": 5, "comm": EVIL, "start_unix_ms": 1,
           "duration_ms": 2, "sample_bytes": 1,
           "totals": {"alloc_objects": 1, "alloc_bytes": 10, "free_objects": 0, "free_bytes": 0,
                      "inuse_objects": 1, "inuse_bytes": 10},
           "loss": {EVIL: 3},
           "stacks": [{"alloc_objects": 1, "alloc_bytes": 10, "inuse_objects": 1,
                       "inuse_bytes": 10, "frames": [frame]}]}
    src = tmp_path / "evil.json"
    src.write_text(json.dumps(doc))
    for args in ([], ["--top"], ["--tree"], ["--traces"], ["--raw"], ["--peek", "evil"],
                 ["--list", "evil"], ["--top", "--granularity=lines"]):
        out = memwatch("report", *args, src, check=0).stdout
        assert "evil" in out
        assert not any(c in out for c in "\x1b\x07\u009b\u202e"), args
    for ending in ("folded", "json", "txt", "pb.gz"):
        dst = tmp_path / f"out.{ending}"
        memwatch("report", "-o", dst, src, check=0)
        if ending != "pb.gz":
            text = dst.read_text()
            assert "evil" in text
            assert not any(c in text for c in "\x1b\x07\u009b\u202e"), ending
        if ending == "json":
            assert "<" not in text
            assert json.loads(text)["stacks"][0]["frames"][0]["function"] == EVIL
    back = tmp_path / "back.json"
    memwatch("report", "-o", back, tmp_path / "out.pb.gz", check=0)
    again = json.loads(back.read_text())
    assert again["comm"] == EVIL and again["loss"] == {EVIL: 3} and again["pid"] == 5
    assert again["totals"]["inuse_bytes"] == 10
