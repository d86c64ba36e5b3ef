# SPDX-License-Identifier: GPL-2.0-or-later
"""Fast mode where processes come and go: `run`, children, exec, libraries that are opened later."""
import json
import re
import signal

import pytest

import test_kinds
from alloclib import STACK_VALUES, Run, by_function, losses, workload
from conftest import load_json, memwatch, wait_for
from test_alloc import MUSL, STATIC_JE
from test_fast import check_sums, is_fast, stubs

pytestmark = pytest.mark.usefixtures("own_libc")

BUILDS = {  # name: (compiler, flags, libraries)
    "glibc": (None, (), ()),
    "jemalloc": (None, (), ("-ljemalloc",)),
    "tcmalloc": (None, (), ("-ltcmalloc_minimal",)),
    "mimalloc": (None, (), ("-lmimalloc",)),
    "static": (None, ("-static",), ()),
    "static-pie": (None, ("-static-pie", "-fPIE"), ()),
    "static-jemalloc": (None, (), STATIC_JE),
    "musl": ("musl-gcc", MUSL, ()),
    "musl-static": ("musl-gcc", ("-static", *MUSL), ()),
}


class Ran:
    """A workload from its first instruction to its end under `run --fast`."""

    def __init__(self, tmp_path, argv, *opts, lines="go\nx\n", status=0, **kw):
        out = tmp_path / "out.json"
        p = memwatch("run", "--fast", "--plain", "-i", "60s", *opts, "-o", out, "--", *argv,
                     input=lines, timeout=180, **kw)
        self.err = p.stderr
        assert p.returncode == status, self.err
        self.profile = load_json(out)
        done = [line for line in p.stdout.splitlines() if line.startswith("done ")]
        self.expected = json.loads(done[-1][5:]) if done else None


@pytest.mark.parametrize("name", BUILDS)
def test_run(name, tmp_path):
    cc, flags, libs = BUILDS[name]
    exe = workload("sampled.c", cc, flags=flags, libs=libs, suffix="-run-" + name)
    r = Ran(tmp_path, [exe], "--sample-bytes", "32K")
    assert is_fast(r.err), r.err
    check_sums(r, 32 << 10)


@pytest.mark.parametrize("name,way,fast", [
    *[(name, way, "--fast") for name in BUILDS for way in ("", "thread")],
    ("glibc", "exec", "--fast"), ("glibc", "", "-q"), ("glibc", "thread", "-q")])
def test_nothing_comes_too_early(name, way, fast, tmp_path):
    """The first block of every image and of every child is seen. Each is so large that it is sampled,
    and stands for itself alone."""
    cc, flags, libs = BUILDS[name]
    exe = workload("atonce.c", cc, flags=flags, libs=libs, suffix="-" + name)
    out = tmp_path / "out.json"
    p = memwatch("run", fast, "--follow", "--plain", "-i", "60s", "--sample-bytes", "8K", "-o", out,
                 "--", exe, *filter(None, [way]), check=0)
    assert "no fast mode" not in p.stderr and "not sampled" not in p.stderr
    assert "written into it" in p.stderr or fast == "-q"
    line, = [line for line in p.stdout.splitlines() if line.startswith("done ")]
    profile = load_json(out)
    assert losses(profile) == {}, p.stderr
    want = {n: {v: f[v] for v in STACK_VALUES}
            for n, f in json.loads(line[5:])["functions"].items()}
    assert by_function(profile, want) == want, p.stderr


@pytest.mark.parametrize("argv", [["true"], ["sh", "-c", "exit 7"], ["sh", "-c", "kill -9 $$"]])
def test_commands_end_as_they_would(argv, tmp_path):
    want = {"exit 7": 7, "kill -9 $$": 137}.get(argv[-1], 0)
    r = Ran(tmp_path, argv, status=want)
    assert is_fast(r.err), r.err


def test_what_cannot_be_run():
    assert memwatch("run", "--fast", "--", "/nonexistent/command").returncode == 127
    assert memwatch("run", "--fast", "--", "/etc/passwd").returncode == 126


def test_refused_gets_probes_from_the_start(tmp_path):
    exe = workload("prefixed.c", extra=("jealloc.c",))
    r = Ran(tmp_path, [exe], "--sample-bytes", "1K")
    assert re.search("no fast mode for .*prefixed.*uprobes instead", r.err), r.err
    test_kinds.check_sums(r.profile, r.expected, 1 << 10)


def test_commands_that_replace_themselves(target, attach, tmp_path):
    """exec ends it, and the new image gets stubs of its own."""
    exe = workload("sampled.c", suffix="-run-exec")
    t = target(["sh", "-c", f"echo ready; read x; exec {exe}"])
    t.expect("ready")
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--fast", "--plain", "-v", "--sample-bytes", "32K", "-o", out)
    t.say()
    t.expect("ready")
    a.wait_for(r"\(exec\)")
    wait_for(lambda: a.err.count("libc.so.6 malloc:") >= 2)
    t.say()
    r = Run.__new__(Run)
    r.expected = json.loads(t.expect("done")[5:])
    status, _, r.err = a.finish()
    assert status == 0 and is_fast(r.err), r.err
    r.profile = load_json(out)
    check_sums(r, 32 << 10)


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["dynamic", "static"])
def test_chains_of_exec(flags, tmp_path):
    """Images that are gone before anything can be put into them: each is left as it is, and the
    command ends with its own status."""
    exe = workload("execs.c", flags=flags, suffix="-chain" + "".join(flags))
    r = Ran(tmp_path, [exe, "chain", "100"], "--sample-bytes", "4K")
    assert "no fast mode" not in r.err and "not sampled" not in r.err, r.err
    # shells that replace themselves, each after some milliseconds
    script = tmp_path / "chain.sh"
    script.write_text("n=$1; for i in $(seq 300); do :; done; [ $n = 0 ] && exit 9\n"
                      "exec bash \"$0\" $((n - 1))\n")
    Ran(tmp_path, ["bash", script, "8"], "--sample-bytes", "4K", status=9)


@pytest.mark.parametrize("follow", [(), ("--follow",)], ids=["alone", "followed"])
def test_children_that_run_in_the_memory_of_their_parent(follow, target, attach, tmp_path):
    """Nothing is done to them before their exec: it would be done to the parent, whose stubs go on
    counting. With --follow the new images get stubs."""
    exe = workload("spawner.c")
    r = Run(target, attach, tmp_path, [exe], "--fast", "--sample-bytes", "4K", *follow)
    assert is_fast(r.err) and "no fast mode" not in r.err, r.err
    r.profile["loss"].pop("children not seen between their fork and the attach", None)
    check_sums(r, 4 << 10)


def test_followed_children(target, attach, tmp_path):
    """Forked children have the jumps of their parent taken out and get probes; the parent goes on."""
    r = Run(target, attach, tmp_path, [workload("storm.c")], "--fast", "--follow",
            "--sample-bytes", "4K")
    assert is_fast(r.err), r.err
    assert losses(r.profile) == {}, r.err


@pytest.mark.parametrize("fast", [True, False], ids=["stubs", "refused"])
def test_a_library_that_is_opened_and_closed(fast, target, attach, tmp_path):
    """A library with an allocator of its own gets stubs when it is opened, each time, and nothing is
    written to where it was once it is closed; or probes, and that is said."""
    flags = ("-shared", "-fPIC")
    plain = workload("plainlib.c", flags=flags, suffix=".so")
    inlined = ("-O3", "-fomit-frame-pointer", "-finline-limit=1000") if fast else ()
    own = workload("jealloc.c", flags=(*flags, "-DAS_LIBRARY", *inlined),
                   suffix="-inlined.so" if fast else ".so")
    t = target([workload("dl.c", libs=("-ldl",)), plain, own])
    t.expect("ready")
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--fast", "--plain", "--sample-bytes", "64",
               "-o", out)
    told = ""
    for word in ("loaded", "closed", "loaded"):
        t.say()
        t.expect(word)
        if word == "loaded":  # its mapping's event is read before the work begins
            a.proc.send_signal(signal.SIGUSR1)
            a.wait_for("wrote")
            told += a.err
            a.err = ""
    t.say()
    expected = json.loads(t.expect("done")[5:])
    status, _, err = a.finish()
    assert status == 0 and "failed to take" not in err, err
    assert stubs(t.pid) >= (2 if fast else 1)
    refused = re.search(r"no fast mode for .*jealloc.*je_malloc: an instruction that cannot", told + err)
    assert bool(refused) != fast
    t.say("x")
    assert t.proc.wait(180) == 0
    p = load_json(out)
    # its arena was the library's own memory, gone and back without a free
    assert set(losses(p)) <= {"frees lost: block reused"}, err
    for name, f in expected["functions"].items():
        got = sum(s["alloc_bytes"] for s in p["stacks"]
                  if name in {x.get("function") for x in s["frames"]})
        assert abs(got - f["alloc_bytes"]) < f["alloc_bytes"] / 2, (name, got, f)
