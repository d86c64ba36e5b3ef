# SPDX-License-Identifier: GPL-2.0-or-later
"""features -p PID: what --fast would do in a process; nothing there is touched."""
import json
import os

import pytest

from alloclib import workload
from conftest import memwatch
from test_attach import breakpoints, text_of
from test_fast import seccomp_filter, stubs
from test_layers import preload

pytestmark = pytest.mark.usefixtures("own_libc")


def fast_of(pid):
    return json.loads(memwatch("features", "--json", "-p", pid, check=0).stdout)["fast"]


def test_every_instruction_is_shown(target, attach):
    t = target([workload("sampled.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    f = fast_of(t.pid)
    text = memwatch("features", "-p", t.pid, check=0).stdout
    assert breakpoints(t.pid, clean) == 0 and stubs(t.pid) == 0
    assert f["possible"] and f["reason"] == ""
    libc, = [a for a in f["allocators"] if "/libc.so" in a["path"]]
    assert libc["stubs"]
    funcs = {x["function"]: x for x in libc["functions"]}
    assert funcs["malloc"]["stub"] and not funcs["reallocarray"]["stub"]
    assert "calls another" in funcs["reallocarray"]["reason"]
    # exactly what is said to change changes
    moved = {i["address"] for x in libc["functions"] for i in x["instructions"]
             if i["becomes"] == "moved"}
    stays = {i["address"] for x in libc["functions"] for i in x["instructions"]
             if i["becomes"].startswith("stays")}
    assert moved and stays and not moved & stays
    for a in moved | stays:
        assert f"0x{a:012x}" in text
    a = attach("-p", t.pid, "--fast", "--plain")
    with open(f"/proc/{t.pid}/mem", "rb") as mem:
        for x in libc["functions"]:
            if not x["stub"]:
                continue
            mem.seek(next(i["address"] for i in x["instructions"] if i["becomes"] == "moved"))
            assert mem.read(1) == b"\xe9", x["function"]
    assert a.finish()[0] == 0
    t.say("go")
    t.expect("done")
    t.say("x")
    assert t.proc.wait(180) == 0


def test_reasons(target):
    t = target([workload("sampled.c")], preexec_fn=seccomp_filter)
    t.expect("ready")
    f = fast_of(t.pid)
    assert not f["possible"] and "seccomp" in f["reason"]
    assert "nothing, it filters" in memwatch("features", "-p", t.pid, check=0).stdout
    library = ("-shared", "-fPIC")
    t = target([workload("dl.c", libs=("-ldl",)), workload("plainlib.c", flags=library, suffix=".so"),
                workload("jealloc.c", flags=(*library, "-DAS_LIBRARY"), suffix=".so")])
    t.expect("ready")
    t.say()
    t.expect("loaded")
    je, = [a for a in fast_of(t.pid)["allocators"] if "jealloc" in a["path"]]
    assert not je["stubs"] and "je_malloc: an instruction that cannot be moved" in je["reason"]
    t = target([workload("sampled.c")], env=preload(("",)))
    t.expect("ready")
    over, below = sorted(fast_of(t.pid)["allocators"], key=lambda a: "layer" not in a["path"])
    assert not over["stubs"] and "it lies over another allocator" in over["reason"]
    assert not below["stubs"] and "another module lies over it" in below["reason"]


def test_what_is_there_already_is_said(target, attach):
    t = target([workload("sampled.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--fast", "--plain").ready()
    f = fast_of(t.pid)
    assert not f["possible"] and f["reason"].endswith(f"is at work in it (PID {a.proc.pid})")
    a.proc.kill()
    a.proc.wait()
    f = fast_of(t.pid)
    assert not f["possible"] and f"memwatch detach -p {t.pid}" in f["reason"]
    memwatch("detach", "-p", t.pid)
    assert fast_of(t.pid)["possible"]
    t = target([workload("partner.c"), "early"])
    t.expect("ready")
    f = fast_of(t.pid)
    assert not f["possible"] and "another process runs in its memory" in f["reason"]


@pytest.mark.parametrize("pid,status", [("0", 2), ("no-such-name", 4), ("999999999", 4), ("2", 3)])
def test_what_is_no_process(pid, status):
    if pid == "2" and os.path.exists("/proc/2/exe") and os.access("/proc/2/exe", os.R_OK):
        pytest.skip("PID 2 is no kernel thread here")
    assert memwatch("features", "-p", pid).returncode == status
