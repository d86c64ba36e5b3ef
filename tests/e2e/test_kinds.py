# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of the kinds that were once counted wrong, that differ from those in the other files."""
import os

import pytest

from alloclib import Run, by_function, check_books, losses, workload
from conftest import build
from test_alloc import JEMALLOC, MIMALLOC, TCMALLOC
from test_layers import before, check_sums

MEMUSAGE = "/usr/lib/x86_64-linux-gnu/libmemusage.so"
BY_LIBC = ("by_asprintf", "by_getline", "by_realpath")


def interposer(how=""):
    flags = ("-O2", "-g", "-fPIC", "-shared", "-D_GNU_SOURCE", "-fno-builtin",
             *([f"-D{how}"] if how else []))
    return build("interpose.c", "gcc", flags, ("-ldl",), f"-{how}.so")


def layers(*libs):
    return {**os.environ, "LD_PRELOAD": ":".join(map(str, libs))}


OVER = {
    "made-of-each-other": lambda: layers(interposer()),
    "cache": lambda: layers(interposer("CACHE")),
    "trace": lambda: layers(interposer("TRACE")),
    "two": lambda: layers(interposer("TRACE"), interposer("CACHE")),
    "over-jemalloc": lambda: layers(interposer(), JEMALLOC),
    "over-tcmalloc": lambda: layers(interposer("CACHE"), TCMALLOC),
    "over-mimalloc": lambda: layers(interposer("TRACE"), MIMALLOC),
    "memusage": lambda: layers(MEMUSAGE),
    "malloc-check": lambda: {**layers("libc_malloc_debug.so.0"), "MALLOC_CHECK_": "3"},
    "memusage-over-jemalloc": lambda: layers(MEMUSAGE, JEMALLOC),
}


def run_layered(exe, env, target, attach, out, *opts):
    out.mkdir()
    with open(os.devnull, "w") as null:  # memusage's own report
        return Run(target, attach, out, [exe], *opts, env=env, stderr=null)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """What the C library's own calls come to where nothing lies over its allocator."""
    kept = {}

    def get(exe, target, attach):
        if not kept:
            r = run_layered(exe, os.environ, target, attach,
                            tmp_path_factory.mktemp("bare") / "p", "--exact")
            r.check_exact(totals=False)
            kept.update(by_function(r.profile, BY_LIBC))
        return kept
    return get


@pytest.mark.parametrize("case", OVER)
def test_exact_layers(case, target, attach, tmp_path, bare):
    exe = workload("libcalls.c")
    r = run_layered(exe, OVER[case](), target, attach, tmp_path / "p", "--exact")
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected)
    check_books(r.profile)
    assert before(r.profile) == {}, r.err
    assert by_function(r.profile, BY_LIBC) == bare(exe, target, attach)


@pytest.mark.parametrize("case", ["two", "over-jemalloc", "over-tcmalloc", "memusage"])
def test_sampled_layers(case, target, attach, tmp_path):
    r = run_layered(workload("libcalls.c"), OVER[case](), target, attach, tmp_path / "p",
                    "--sample-bytes", "2K")
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 2 << 10)


@pytest.mark.parametrize("case", ["trace", "memusage-over-jemalloc"])
def test_layers_are_not_sampled_inside(case, target, attach, tmp_path):
    """Stubs in each of them would count a call twice: probes serve, and it is said, once."""
    r = run_layered(workload("libcalls.c"), OVER[case](), target, attach, tmp_path / "p",
                    "--fast", "--sample-bytes", "2K")
    assert r.err.count("it lies over another allocator") == 1, r.err
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 2 << 10)


@pytest.mark.parametrize("opt", ["-O0", "-O2 -fno-plt", "-O2 -static"])
@pytest.mark.parametrize("how", ["", "HOOKS", "FLAGS", "UNITS", "FAMOUS", "RESERVED"])
def test_names_that_end_as_an_allocators(how, opt, target, attach, tmp_path):
    """What is counted is what the allocator below them was asked for, by nobody else's word."""
    exe = workload("families.c", flags=[*opt.split(), "-Wno-unused", *([f"-D{how}"] if how else [])],
                   suffix=f"-{how}{opt.replace(' ', '')}")
    r = Run(target, attach, tmp_path, [exe], "--exact")
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected)
    assert before(r.profile) == {}, r.err
    assert r.profile["totals"]["alloc_bytes"] <= r.expected["alloc_bytes"] + 4096
    assert ("left out" in r.err) == (how in ("HOOKS", "FLAGS", "FAMOUS")), r.err


@pytest.mark.parametrize("opts", [("--exact",), ("--sample-bytes", "1K")], ids=" ".join)
@pytest.mark.parametrize("how", ["static", "musl", "jemalloc", "tcmalloc", "mimalloc"])
def test_thread_caches(how, opts, target, attach, tmp_path):
    """What an allocator does with a thread's cache at its end is no free, in none of them."""
    static = how in ("static", "musl")
    exe = workload("churn.c", cc="musl-gcc" if how == "musl" else None,
                   flags=("-static",) if static else (), libs=() if static else (f"-l{how}",),
                   suffix=f"-{how}-caches")
    r = Run(target, attach, tmp_path, [exe], *opts)
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 1 if opts == ("--exact",) else 1 << 10)
    assert before(r.profile) == {}, r.err


def test_calls_of_the_family_inside(target, attach, tmp_path):
    """musl's calloc calls malloc, which goes on to another name: stubs count it once."""
    exe = workload("layered.c", cc="musl-gcc", flags=("-static",), suffix="-musl")
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "16K")
    assert "--fast" in r.err and losses(r.profile) == {}, r.err


@pytest.mark.parametrize("seed", range(3))
def test_mappings_at_random(seed, target, attach, tmp_path):
    r = Run(target, attach, tmp_path, [workload("mapwalk.c"), seed], "--mmap")
    got = by_function(r.profile, [*r.expected["functions"], "step"])
    assert losses(r.profile) == {}
    assert {f: got[f]["inuse_bytes"] for f in r.expected["functions"]} == {
        f: e["inuse_bytes"] for f, e in r.expected["functions"].items()}
    assert got["step"]["inuse_bytes"] == r.expected["inuse_bytes"]


GROWTH = {
    "anon": "it maps memory itself, or has an allocator without symbols",
    "brk": "it maps memory itself",
    "stack": "most of it is the stack of its main thread",
    "memfd": "most of it is shared memory",
    "sysv": "most of it is shared memory",
    "file": "most of it is pages of files that it maps",
    "cow": "it maps memory itself",
}


def test_growth_without_an_allocator(target, attach, tmp_path):
    """All at once, for each is waited some seconds; what it says it is, is what it is."""
    (tmp_path / "file").write_bytes(bytes(128 << 20))
    exe = workload("growth.c")
    targets = {how: target([exe, how, tmp_path / "file"]) for how in GROWTH}
    for t in targets.values():
        t.expect("ready")
    a = attach(*[x for t in targets.values() for x in ("-p", t.pid)], "--plain")
    for t in targets.values():
        t.say("go")
    for how, t in targets.items():
        a.wait_for(f"PID {t.pid} .* has grown by [^,]*, and no .*call.* was seen: {GROWTH[how]}")
    assert a.finish()[0] == 0


FORMS = {"mimalloc": ((), "-lmimalloc"), "tcmalloc": (("-DTCMALLOC",), "-ltcmalloc_minimal"),
         "jemalloc": (("-DJEMALLOC",), "-ljemalloc")}


@pytest.mark.parametrize("opts", [("--exact",), ("--sample-bytes", "4K"),
                                  ("--fast", "--sample-bytes", "4K")], ids=" ".join)
@pytest.mark.parametrize("lib", FORMS)
def test_forms_of_an_allocators_own(lib, opts, target, attach, tmp_path):
    flags, library = FORMS[lib]
    exe = workload("apiforms.c", flags=flags, libs=(library,), suffix="-" + lib)
    r = Run(target, attach, tmp_path, [exe], *opts)
    if opts == ("--exact",):
        r.check_exact(totals=False)
    else:
        assert losses(r.profile) == {} and "no fast mode" not in r.err, r.err
        check_sums(r.profile, r.expected, 4 << 10)


@pytest.mark.parametrize("opts", [("--exact",), ("--sample-bytes", "2K")], ids=" ".join)
@pytest.mark.parametrize("flags", ["-fno-plt", "-flto"])
def test_forms_of_operator_new(flags, opts, target, attach, tmp_path):
    exe = workload("newforms.cpp", flags=("-O2", "-fno-inline", flags), suffix=flags)
    r = Run(target, attach, tmp_path, [exe], *opts)
    assert losses(r.profile) == {} and before(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 1 if opts == ("--exact",) else 2 << 10)


def test_operator_new_that_is_inlined(target, attach):
    """No call is left to be seen: that is said, with what it may be."""
    t = target([workload("newforms.cpp", flags=("-O2",), suffix="-inlined"), "on"])
    t.expect("ready")
    a = attach("-p", t.pid, "--plain")
    t.say("go")
    a.wait_for("no call of the .* probed allocator functions was seen: .*built into its callers")
    assert a.finish()[0] == 0
