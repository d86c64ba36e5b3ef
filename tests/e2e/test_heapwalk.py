# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger's walks through heaps, against what glibc (mallinfo2) and musl say of theirs.
MEMWATCH_GLIBC names a directory with another libc.so.6 and its loader (make check-glibc)."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import BIN, build, memwatch
from test_mm import check_sums, ledger, redis_server  # noqa: F401 (a fixture)
from test_top import MB, status

KEPT = ("thread_cache_bytes", "fast_bin_bytes", "free_chunk_bytes", "top_bytes")


@pytest.fixture
def heap(target):
    """heap() starts the workload; .do(words) has it do something, .info() is mallinfo2."""
    def start(*flags, suffix="", **kw):
        exe = build("glibcheap.c", flags=("-O1", "-fno-builtin", *flags), libs=("-lpthread",),
                    suffix=suffix)
        libc = os.environ.get("MEMWATCH_GLIBC")
        loader = next(Path(libc).glob("ld-linux*")) if libc else None
        argv = [loader, "--library-path", libc] if libc else []
        t = target([*argv, exe], **kw)
        t.expect("ready")

        def do(*words):
            t.say(" ".join(map(str, words)))
            t.expect(f"ok {words[0]}")

        def info():
            t.say("info")
            return json.loads(t.expect("info").removeprefix("info "))

        t.do, t.info = do, info
        return t

    return start


def agrees(t):
    """The walk finds what mallinfo2 says, to the byte; thread caches count as in use there."""
    i = t.info()
    d, lines = ledger(t.pid)
    w = d["heap_walk"]
    assert w["done"] and not w["partial"] and not w["note"]
    used = w["used_bytes"] - w["mmapped_bytes"] + w["thread_cache_bytes"] + w["own_bytes"]
    assert used == i["uordblks"]
    assert w["free_chunk_bytes"] + w["fast_bin_bytes"] + w["top_bytes"] == i["fordblks"]
    assert w["fast_bin_bytes"] == i["fsmblks"]
    assert w["mmapped_bytes"] == i["hblkhd"]
    assert lines["heap_used"]["virt_bytes"] == w["used_bytes"]
    assert lines["allocator_retained"]["virt_bytes"] == sum(w[k] for k in KEPT)
    assert lines["heap"]["virt_bytes"] == 0 == lines["heap_before_attach_and_retained"]["virt_bytes"]
    for x in lines.values():
        assert 0 <= x["rss_bytes"] <= x["virt_bytes"] or x["kind"] == "difference"
    return i, d, lines


STEPS = [("fill", 60000, 72), ("holes", 2), ("large", 3, 1000000), ("anon", 3000000),
         ("threads", 3, 20000, 100), ("fill", 1000, 5000), ("holes", 3), ("trim",), ("drop",),
         ("trim",)]


@pytest.mark.parametrize("flags,suffix", [((), ""), (("-static",), "-static")])
def test_agrees_with_glibc_at_each_step(heap, flags, suffix):
    t = heap(*flags, suffix=suffix)
    for step in STEPS:
        t.do(*step)
        i, d, lines = agrees(t)
        # what the program has, with its headers, is what is in use: caches are told apart
        mine = i["live"] + 8 * (i["blocks"] + 1000)
        assert d["heap_walk"]["used_bytes"] <= mine + 16384
        assert d["heap_walk"]["used_bytes"] >= i["live"]
    assert d["heap_walk"]["arenas"] == 4
    # nothing is left, and all of it was resident until trim: the arenas keep it
    assert lines["heap_used"]["rss_bytes"] < 32768


SETTINGS = {"caches": {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000:"
                                         "glibc.malloc.tcache_max=65000"},
            "no_caches": {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"},
            "huge_pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
            "mmap_max": {"MALLOC_MMAP_MAX_": "100"}, "perturb": {"MALLOC_PERTURB_": "85"},
            "one_arena": {"MALLOC_ARENA_MAX": "1"}}


@pytest.mark.parametrize("name", SETTINGS)
def test_agrees_with_glibc_as_it_is_set(heap, name):
    t = heap(env={**os.environ, **SETTINGS[name]})
    for step in (("fill", 20000, 72), ("large", 2, 1000000), ("threads", 3, 5000, 100),
                 ("fill", 1000, 5000), ("holes", 3)):
        t.do(*step)
    _, d, _ = agrees(t)
    assert (d["heap_walk"]["thread_cache_bytes"] > 0) == (name != "no_caches")
    assert d["heap_walk"]["arenas"] == (1 if name == "one_arena" else 4)


def test_a_layout_that_is_not_known(heap):
    t = heap(env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=2"})
    t.do("threads", 2, 5000, 100)  # arenas that are aligned otherwise
    d, lines = ledger(t.pid)
    if d["heap_walk"]["done"]:  # a glibc that does as always where no huge pages are set aside
        agrees(t)
    else:
        not_walked(d, lines, "not known")


def test_resident_parts(heap):
    t = heap()
    t.do("large", 4, 8 * MB)  # a page of each touched
    t.do("fill", 2000, 10000)
    t.do("holes", 2)
    _, d, lines = agrees(t)
    assert lines["heap_used"]["virt_bytes"] - lines["heap_used"]["rss_bytes"] \
        >= d["heap_walk"]["mmapped_bytes"] - 4 * 4096
    before = lines["allocator_retained"]
    assert before["rss_bytes"] >= 1000 * 10000
    t.do("trim")  # gives whole pages of free chunks back, keeps the address space
    _, _, lines = agrees(t)
    assert lines["allocator_retained"]["virt_bytes"] >= 1000 * 10000
    assert lines["allocator_retained"]["rss_bytes"] <= 1000 * 2 * 4096


def test_looking_changes_nothing(heap):
    t = heap()
    t.do("large", 2, 64 * MB)
    t.do("fill", 20000, 3000)
    t.do("holes", 3)
    t.do("trim")
    t.info()  # the code that answers is resident from now on
    before = status(t.pid)
    agrees(t)
    after = status(t.pid)
    for k in ("VmRSS", "VmSize", "VmPTE", "RssAnon", "RssFile"):
        assert before[k] == after[k]


def kinds(out):
    d = json.loads(out.splitlines()[0])
    check_sums(d)
    return d, {x["kind"]: x for x in d["lines"]}


def test_heap_from_before_the_attach(heap, attach):
    t = heap()
    t.do("fill", 30000, 200)  # chunks of 208
    t.do("holes", 2)
    a = attach("-p", t.pid, "--exact", "--json", "--ledger")
    t.do("fill", 20000, 300)  # of 304
    t.do("large", 5, 1000000)
    code, out, err = a.finish()
    assert code == 0, err
    d, lines = kinds(out)
    assert lines["live_heap"]["virt_bytes"] == 20000 * 300 + 5 * 1000000
    assert lines["live_heap"]["rss_bytes"] + d["untouched_bytes"] == lines["live_heap"]["virt_bytes"]
    old = 15000 * 208 + 0x290  # the cache of the main thread was there before as well
    assert lines["heap_before_attach"]["virt_bytes"] == old
    assert lines["heap_before_attach"]["rss_bytes"] == old
    i = t.info()
    w = d["heap_walk"]
    assert lines["allocator_retained"]["virt_bytes"] == i["fordblks"] + w["thread_cache_bytes"]
    assert lines["heap_before_attach_and_retained"]["virt_bytes"] == 0
    assert d["over_bytes"] == 0


def test_an_estimate_keeps_the_sums(heap, attach):
    t = heap()
    t.do("fill", 5000, 200)
    a = attach("-p", t.pid, "--sample-bytes", "256K", "--json", "--ledger")
    t.do("fill", 100000, 300)
    code, out, err = a.finish()
    assert code == 0, err
    d, lines = kinds(out)
    used = t.info()["uordblks"] - d["heap_walk"]["thread_cache_bytes"]
    parts = [lines[k]["virt_bytes"] for k in ("live_heap", "heap_before_attach",
                                              "allocator_overhead")]
    assert sum(parts) == used and min(parts) >= 0
    # the estimate is of 30 MB from a hundred samples or so
    assert 15 * MB < lines["live_heap"]["rss_bytes"] + d["over_bytes"] < 60 * MB


def test_run_knows_what_is_retained(tmp_path):
    exe = build("glibcheap.c", flags=("-O1", "-fno-builtin"), libs=("-lpthread",))
    p = subprocess.Popen([str(BIN), "run", "--exact", "--json", "--ledger", "-i", "60",
                          "--", str(exe)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        p.stdin.write("fill 30000 200\nholes 3\ninfo\n")
        p.stdin.flush()
        info = None
        while info is None:
            line = p.stdout.readline()
            assert line, p.stderr.read()
            if line.startswith("info "):
                info = json.loads(line[5:])
        p.send_signal(2)
        out = p.stdout.read()
    finally:
        p.stdin.close()
        p.wait(180)
        p.stdout.close()
        p.stderr.close()
    d = json.loads(next(x for x in out.splitlines() if x.startswith('{"schema":"memwatch.ledger')))
    check_sums(d)
    lines = {x["kind"]: x for x in d["lines"]}
    assert lines["live_heap"]["virt_bytes"] == 10000 * 200
    assert lines["heap_before_attach"]["virt_bytes"] == 0x290  # the thread's cache
    kept = info["fordblks"] + d["heap_walk"]["thread_cache_bytes"]
    assert lines["allocator_retained"]["virt_bytes"] == kept


def test_a_heap_that_changes_while_it_is_read(heap):
    t = heap()
    t.do("fill", 200000, 100)
    t.do("churn", 4)
    live = 200000 * 112
    for _ in range(5):
        d, lines = ledger(t.pid)  # the sums hold
        w = d["heap_walk"]
        assert w["done"]
        if w["partial"]:  # it says so, and what was not walked is in the combined line
            assert w["note"] and lines["heap"]["virt_bytes"] > 0
        else:
            # 4 threads keep at most 512 blocks of at most 3000 bytes
            assert live <= w["used_bytes"] <= live + 4 * 512 * 3024 + MB


# --- where it cannot be walked -------------------------------------------------------------------

def not_walked(d, lines, note):
    assert not d["heap_walk"]["done"] and note in d["heap_walk"]["note"]
    assert lines["heap_used"]["virt_bytes"] == 0 == lines["allocator_retained"]["virt_bytes"]


def test_jemalloc_keeps_one_line(heap, attach):
    t = heap(env={"LD_PRELOAD": "libjemalloc.so.2"})
    a = attach("-p", t.pid, "--exact", "--json", "--ledger")
    t.do("fill", 20000, 500)
    text = memwatch("top", "--ledger", "-p", t.pid, check=0).stdout
    assert "heap not walked: no heap of glibc's or musl's malloc is here; libjemalloc is loaded" in text
    code, out, err = a.finish()
    assert code == 0, err
    d, lines = kinds(out)
    not_walked(d, lines, "libjemalloc is loaded")
    assert lines["live_heap"]["rss_bytes"] == 20000 * 500
    assert lines["heap_before_attach_and_retained"]["rss_bytes"] > 0


@pytest.fixture(params=["static", "dynamic"])
def musl(request, target):
    """A program of musl's; .step(words) has it do something and tells what it holds by its own count."""
    exe = build("muslheap.c", cc="musl-gcc", suffix=f"-{request.param}",
                flags=("-O1", "-fno-builtin", *(("-static",) if request.param == "static" else ())))
    t = target([exe])
    t.expect("ready")

    def step(words="work"):
        t.say(words)
        return tuple(map(int, t.expect("sum").split()[1:]))

    t.step = step
    return t


def test_musl_agrees_with_the_program(musl):
    """Blocks and bytes to the byte, at each step; what is freed is kept, and the sums close."""
    for _ in range(3):
        used, blocks = musl.step()
        d, lines = ledger(musl.pid)
        w = d["heap_walk"]
        assert w["done"] and not w["partial"] and w["note"] == ""
        assert (w["used_bytes"], w["chunks"]) == (used, blocks)
        assert lines["allocator_retained"]["virt_bytes"] == w["free_chunk_bytes"] > 0
        # unattributed was 97 % before there was this walk
        assert lines["unattributed"]["rss_bytes"] == 0
        assert lines["heap_used"]["virt_bytes"] == used
        assert 0.5 * used < lines["heap_used"]["rss_bytes"] < used  # some of it was never touched


def test_musl_memory_that_was_never_touched(musl):
    musl.step("untouched 50000000")
    d, lines = ledger(musl.pid)
    assert lines["heap_used"]["virt_bytes"] == 50000000
    assert lines["heap_used"]["rss_bytes"] < 100000


def test_musl_with_a_profile(musl, attach):
    """What was there before the attach is told from what came after."""
    before, _ = musl.step("untouched 1000000")
    a = attach("-p", musl.pid, "--exact", "--json", "--ledger")
    used, _ = musl.step("untouched 3000000")
    code, out, err = a.finish()
    assert code == 0, err
    d, lines = kinds(out)
    assert lines["live_heap"]["virt_bytes"] == used - before == 3000000
    assert lines["heap_before_attach"]["virt_bytes"] == before


def test_brk_area_that_cannot_grow(heap):
    t = heap()
    t.do("fill", 100, 100)
    t.do("wall")
    t.do("fill", 50000, 100)
    d, lines = ledger(t.pid)
    assert "main arena" in d["heap_walk"]["note"]
    assert lines["heap_used"]["virt_bytes"] == 0 and lines["heap"]["rss_bytes"] > 0
    t.do("threads", 2, 20000, 100)  # other arenas are walked all the same
    d, lines = ledger(t.pid)
    assert d["heap_walk"]["partial"] and d["heap_walk"]["heaps"] == 2
    assert lines["heap_used"]["rss_bytes"] >= 2 * 20000 * 112


# --- real programs -------------------------------------------------------------------------------

PYTHON = r"""
import ctypes, json, sys
class Info(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in ("arena", "ordblks", "smblks", "hblks", "hblkhd",
                "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
kept = [bytearray(2000 + i % 3000) for i in range(20000)]
small = [str(i) for i in range(300000)]
del kept[::2]
sys._debugmallocstats()
sys.stderr.flush()
libc.mallinfo2()
m = libc.mallinfo2()
print("info", m.uordblks, m.fordblks, m.hblkhd, flush=True)
sys.stdin.readline()
"""


def test_python(target):
    t = target(["/usr/bin/python3", "-c", PYTHON], stderr=subprocess.STDOUT)
    arenas = int(t.expect("# arenas allocated current").split("=")[1].replace(",", ""))
    used, free, mapped = map(int, t.expect("info").split()[1:])
    d, lines = ledger(t.pid)
    w = d["heap_walk"]
    assert w["done"] and not w["partial"] and not w["note"]
    # printing takes a few blocks
    walked = w["used_bytes"] - w["mmapped_bytes"] + w["thread_cache_bytes"] + w["own_bytes"]
    assert abs(walked - used) <= 64 * 1024
    assert abs(w["free_chunk_bytes"] + w["fast_bin_bytes"] + w["top_bytes"] - free) <= 64 * 1024
    assert w["mmapped_bytes"] == mapped
    assert w["free_chunk_bytes"] >= 10000 * 2000
    # pymalloc's arenas of 1 MiB (Python 3.10 and later), as Python counts them
    assert lines["python_arenas"]["virt_bytes"] == arenas * MB
    assert 0.8 * arenas * MB < lines["python_arenas"]["rss_bytes"] <= arenas * MB
    assert lines["unattributed"]["rss_bytes"] < MB


def test_redis(redis_server):  # noqa: F811
    pid, _ = redis_server
    d, lines = ledger(pid)
    if "libjemalloc" in Path(f"/proc/{pid}/maps").read_text():
        not_walked(d, lines, "libjemalloc is loaded")
    else:
        assert d["heap_walk"]["done"]
