# SPDX-License-Identifier: GPL-2.0-or-later
"""Allocators over allocators: one allocation counts once, whatever lies over what."""
import json
import os
import random
import signal
import subprocess

import pytest

from alloclib import Run, by_function, check_books, losses, workload
from conftest import build, load_json, memwatch
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


@pytest.mark.parametrize("case", ["calls", "header", "three"])
def test_beside_another_observed_process(case, target, attach, tmp_path):
    """The kernel replaces the return address of every call then, also of those that a jump leads on
    from (realloc of nothing goes on to malloc)."""
    exe = workload("libcalls.c")
    other = target([exe], env=preload(LAYERS[case]))
    other.expect("ready")
    attach("-p", other.pid, "--plain")
    r = Run(target, attach, tmp_path, [exe], "--sample-bytes", "2K", env=preload(LAYERS[case]))
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 2 << 10)


# what it lies over is in the same file: compiler, flags
IN_ONE_FILE = {
    "static": (None, ("-static",)),
    "musl": ("musl-gcc", ("-static",)),
    "dynamic": (None, ()),
}


@pytest.mark.parametrize("opts", [("--exact",), ("--sample-bytes", "16K")], ids=" ".join)
@pytest.mark.parametrize("case", IN_ONE_FILE)
def test_what_the_linker_wraps(case, opts, target, attach, tmp_path):
    """--wrap: a header before each block, and the C library's functions are called or jumped to."""
    cc, flags = IN_ONE_FILE[case]
    wrap = ",".join(f"--wrap={n}" for n in ("malloc", "calloc", "realloc", "memalign", "free"))
    exe = workload("layered.c", cc, ("-DWRAPPED", *flags, f"-Wl,{wrap}", "-foptimize-sibling-calls"),
                   suffix=f"-wrapped-{case}", extra=("layer.c",))
    r = Run(target, attach, tmp_path, [exe], *opts)
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected, 1 if opts == ("--exact",) else 16 << 10)
    assert before(r.profile) == {}, r.err


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


@pytest.mark.parametrize("opts", [("--exact",), ("--sample-bytes", "4K")], ids=" ".join)
@pytest.mark.parametrize("how", ["", "REFILLED", "COUNTING"])
def test_own_operator_new(how, opts, target, attach, tmp_path):
    exe = workload("ownnew.cpp", flags=[f"-D{how}"] if how else (), suffix="-" + how)
    r = Run(target, attach, tmp_path, [exe], *opts)
    assert losses(r.profile) == {}
    check_sums(r.profile, r.expected, 1 if opts == ("--exact",) else 4 << 10)
    if opts == ("--exact",):  # what the pool itself asks for is no allocation of the program's
        assert r.profile["totals"]["alloc_objects"] <= r.expected["alloc_objects"] + 20


def test_own_operator_delete_that_is_inlined(target, attach, tmp_path):
    """Its frees are not to be seen; what they are is said, and the books stay right: a block that is
    handed out again was free."""
    src, exe = tmp_path / "inlined.cpp", tmp_path / "inlined"
    src.write_text("""
#include <cstddef>
#include <cstdio>
static char pool[1 << 20];
static size_t used;
static void *last;
__attribute__((noinline)) void *operator new(size_t n)
{
	void *p = last;

	if (p)
		last = nullptr;
	else
		p = pool + (used += 1024);
	return p;
}
__attribute__((always_inline)) inline void give(void *p) { last = p; }
struct Node { char d[1000]; };
__attribute__((noinline)) static Node *grow() { return new Node; }
int main()
{
	char line[64];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, 64, stdin))
		return 1;
	for (int i = 0; i < 1000; i++) {
		Node *n = grow();
		n->d[0] = i;
		give(n); /* as the compiler leaves a delete */
	}
	puts("done");
	fflush(stdout);
	return !fgets(line, 64, stdin);
}
""")
    subprocess.run(["g++", "-O2", "-fno-builtin", "-o", exe, src], check=True)
    t = target([exe])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json")
    t.say("go")
    t.expect("done")
    status, _, err = a.finish()
    assert status == 0, err
    p = load_json(tmp_path / "p.json")
    assert losses(p) == {"frees lost: block reused": 999}
    assert p["totals"]["inuse_objects"] == 1 and p["totals"]["alloc_objects"] == 1000
    assert "frees lost: block reused: 999 (" in err and "built into its callers" in err


@pytest.mark.parametrize("opt", ["-O0", "-O2"])
@pytest.mark.parametrize("how", ["", "ARENA", "PLAIN"])
def test_a_name_is_no_proof(how, opt, target, attach, tmp_path):
    exe = workload("pools.c", flags=[opt, *([f"-D{how}"] if how else ())],
                   suffix=f"-{how}{opt}")
    r = Run(target, attach, tmp_path, [exe], "--exact")
    assert losses(r.profile) == {}, r.err
    check_sums(r.profile, r.expected)
    assert r.profile["totals"]["inuse_bytes"] < 8 << 20
    assert ("left out" in r.err) == (how == "ARENA")  # else malloc sees them, or they are proved


def composition(seed):
    """Layers, steps and a mode, at random."""
    r = random.Random(seed)
    layers = tuple(r.choice(["", "TAIL", "HEADER", "LOCKED", "PARTLY"])
                   for _ in range(r.randint(0, 3)))
    steps = "".join(r.choice("mpt") for _ in range(r.randint(1, 4)))
    if r.random() < 0.5:
        steps += "x" + "".join(r.choice("mpt") for _ in range(r.randint(1, 3)))
    if r.random() < 0.5:
        steps += "d" + r.choice("mpt")
    return layers, steps, r.choice([1, 4 << 10])


@pytest.mark.parametrize("seed", range(int(os.environ.get("MEMWATCH_SEEDS", 8))))
def test_composed_at_random(seed, target, attach, tmp_path):
    """Whatever lies over what, in whatever order: each function's counts are right. More cases
    with MEMWATCH_SEEDS=N."""
    layers, steps, rate = composition(seed)
    exe = workload("compose.c", extra=("jealloc.c",))
    lib = workload("jealloc.c", flags=("-fPIC", "-shared", "-DAS_LIBRARY"), suffix="-plug.so")
    t = target([exe, steps, lib], env=preload(layers) if layers else None)
    t.expect("ready")
    out = tmp_path / "c.json"
    a = attach("-p", t.pid, "--plain", "--sample-bytes", rate, "-v", "-o", out)
    t.say("go")
    if "d" in steps:
        t.expect("loaded")
        a.wait_for(f"probe .*{lib.name} je_malloc")
        t.say("go")
    expected = json.loads(t.expect("done")[5:])
    status, _, err = a.finish()
    assert status == 0, err
    t.say("x")
    assert t.proc.wait(180) == 0
    p = load_json(out)
    assert losses(p) == {}, (layers, steps, rate)
    check_sums(p, expected, rate)
    assert "x" in steps or before(p) == {}, (layers, steps, rate)


def test_32_bit(target, tmp_path):
    """It is said, with the status of what is not supported; the program runs on."""
    src, exe = tmp_path / "short.c", tmp_path / "short"
    src.write_text("void _start(void) { for (;;) __asm__ volatile(\"int $0x80\" : : "
                   "\"a\"(29)); }\n")  # pause
    subprocess.run(["gcc", "-m32", "-static", "-nostdlib", "-fno-pic", "-o", exe, src], check=True)
    t = target([exe])
    p = memwatch("-p", t.pid, "-d", "1s", "--plain")
    assert p.returncode == 3
    assert "32-bit programs are not supported" in p.stderr
    assert t.proc.poll() is None


def program_32_bit(tmp_path):
    """Maps 64 times 1 MB of its own and waits: nothing of it may be in a profile."""
    src, exe = tmp_path / "maps32.c", tmp_path / "maps32"
    src.write_text("""
static int call(int nr, int a, int b, int c, int d, int e)
{
	int ret;

	__asm__ volatile("int $0x80" : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return ret;
}

void _start(void)
{
	for (int i = 0; i < 64; i++)
		*(volatile char *)call(192, 0, 1 << 20, 3, 0x22, -1) = 1;
	call(4, 1, (int)"mapped\\n", 7, 0, 0);
	for (;;)
		call(29, 0, 0, 0, 0, 0);
}
""")
    subprocess.run(["gcc", "-m32", "-static", "-nostdlib", "-fno-pic", "-fno-stack-protector", "-o",
                    exe, src], check=True)
    return exe


@pytest.mark.parametrize("how", ["exec", "child"])
@pytest.mark.parametrize("opts", [(), ("--faults",)], ids=["allocators", "faults"])
def test_exec_of_a_32_bit_program(target, attach, tmp_path, how, opts):
    """A target that becomes one: what -p says of one is said, nothing of it is counted."""
    exe = program_32_bit(tmp_path)
    script = f'echo ready; read x; {"exec " if how == "exec" else ""}"{exe}" & wait'
    if how == "exec":
        script = script.replace(" & wait", "")
    t = target(["bash", "-c", script])
    t.expect("ready")
    out = tmp_path / "p.json"
    a = attach("-p", t.pid, "--exact", "--follow", "--plain", "-o", out, *opts)
    t.say("go")
    t.expect("mapped")
    pid = int(a.wait_for(r"PID (\d+) is a 32-bit program: 32-bit programs are not supported")[1])
    assert (pid == t.pid) == (how == "exec")
    status, _, err = a.finish()
    assert status == 0, err
    if how == "child":
        os.kill(pid, signal.SIGKILL)
    p = load_json(out)
    assert p["totals"]["inuse_bytes"] < 1 << 20 or opts, p["totals"]
    assert not [f for s in p["stacks"] for f in s["frames"] if f.get("module") == str(exe)]
    assert t.proc.poll() is None or how == "child"


def test_silence_is_explained(target, attach):
    """Memory grows and no allocator is called: what was looked for, and what to do."""
    t = target([workload("grows-by-itself.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--plain")
    t.say("go")
    a.wait_for("no call of the .* probed allocator functions was seen")
    a.wait_for("--faults")
    assert a.finish()[0] == 0
