# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocators over allocators: one allocation counts once, whatever lies over what."""
import os

import pytest

from alloclib import STACK_VALUES, Run, by_function, check_books, losses, workload
from conftest import build
from test_alloc import JEMALLOC, MIMALLOC, TCMALLOC, five_sigma

# name: flags of the layers, outermost first; "" is one without flags
LAYERS = {
    "calls": ("",),
    "jumps": ("TAIL",),
    "header": ("HEADER",),
    "locked": ("LOCKED",),
    "partly": ("PARTLY",),
    "direct": ("DIRECT",),
    "two": ("HEADER", "LOCKED"),
    "three": ("", "TAIL", "HEADER"),
}


def preload(names):
    libs = [build("layer.c", "gcc", ("-O2", "-g", "-fPIC", "-shared", "-D_GNU_SOURCE",
                                     *(f"-D{n}" for n in (name,) if n)),
                  ("-ldl",), f"-{name or 'plain'}.so") for name in names]
    return {**os.environ, "LD_PRELOAD": ":".join(map(str, libs))}


def check_sums(profile, expected, rate=1):
    """Each function's counts, in sampled mode within five standard errors."""
    got = by_function(profile, expected["functions"])
    for fn, e in expected["functions"].items():
        for what in ("alloc", "inuse"):
            n, b = e[what + "_objects"], e[what + "_bytes"]
            size = b / n if n else 0
            bound = five_sigma(size, n, rate) * 1.01 + 1 if rate > 1 and n else 0
            assert abs(got[fn][what + "_objects"] - n) <= bound, (fn, what)
            assert abs(got[fn][what + "_bytes"] - b) <= bound * size, (fn, what)


def before(profile):
    return {k: v for k, v in profile["loss"].items() if v and "before" in k}


@pytest.mark.parametrize("case", LAYERS)
def test_exact(case, target, attach, tmp_path):
    r = Run(target, attach, tmp_path, [workload("layered.c")], "--exact",
            env=preload(LAYERS[case]))
    assert losses(r.profile) == {}
    check_sums(r.profile, r.expected)
    check_books(r.profile)
    assert before(r.profile) == {}, r.err


@pytest.mark.parametrize("case", LAYERS)
def test_sampled(case, target, attach, tmp_path):
    r = Run(target, attach, tmp_path, [workload("layered.c")], "--sample-bytes", "16K",
            env=preload(LAYERS[case]))
    assert losses(r.profile) == {}
    check_sums(r.profile, r.expected, 16 << 10)
    # The calls are counted one by one in every mode: "N allocations … seen".
    seen = int(r.err.split("memwatch: done: ")[1].split()[0])
    n = r.expected["alloc_objects"]
    assert n <= seen <= n + 100, r.err


def test_own_malloc_over_the_library(target, attach, tmp_path):
    exe = workload("layered.c", flags=("-DDIRECT",), suffix="-own", extra=("layer.c",))
    for i, opts in enumerate((("--exact",), ("--sample-bytes", "16K"))):
        out = tmp_path / str(i)
        out.mkdir()
        r = Run(target, attach, out, [exe], *opts)
        assert losses(r.profile) == {}
        check_sums(r.profile, r.expected, 16 << 10 if i else 1)


def without_sections(lib, out):
    """A copy of a library without its table of sections, as `--strip-sections` leaves it."""
    image = bytearray(open(lib, "rb").read())
    image[0x28:0x30] = bytes(8)   # e_shoff
    image[0x3c:0x40] = bytes(4)   # e_shnum, e_shstrndx
    out.write_bytes(image)
    return out


@pytest.mark.parametrize("lib", [JEMALLOC, TCMALLOC, MIMALLOC], ids=os.path.basename)
def test_library_without_sections(lib, target, attach, tmp_path):
    copy = without_sections(lib, tmp_path / "lib.so")
    r = Run(target, attach, tmp_path, [workload("layered.c")], "--exact",
            env={**os.environ, "LD_PRELOAD": str(copy)})
    assert losses(r.profile) == {}
    check_sums(r.profile, r.expected)


def test_thread_caches_are_no_blocks(target, attach, tmp_path):
    """What the C library frees when a thread ends was free already, or nobody's block."""
    r = Run(target, attach, tmp_path, [workload("churn.c")], "--exact")
    assert losses(r.profile) == {}
    check_sums(r.profile, r.expected)
    assert before(r.profile) == {}
    assert r.profile["totals"]["free_objects"] >= r.expected["free_objects"]
