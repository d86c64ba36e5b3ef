# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks of programs without frame pointers: equal to gdb's, and reaching the root."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import WORKLOADS, build, load_json

GDB = Path(__file__).with_name("gdb_stack.py")


def gdb_stack(pid):
    p = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                        "-iex", "set backtrace past-main on", "-p", str(pid), "-x", str(GDB)],
                       capture_output=True, text=True, timeout=180)
    m = re.search(r"^STACK (.*)$", p.stdout, re.M)
    assert m, p.stdout + p.stderr
    return json.loads(m.group(1))


def compare_with_gdb(attach, target, tmp_path, argv, expect):
    """Steps through a workload's cases with memwatch attached; asks gdb at each."""
    out = tmp_path / "stacks.json"
    t = target(argv)
    t.expect()
    a = attach("-p", t.pid, "--exact", "--plain", "-v", "-o", out)
    t.say()
    cases = []
    while True:
        line = t.proc.stdout.readline().split()
        assert line, "the workload ended early"
        if line[0] == "done":
            break
        assert line[0] == "at"
        if line[1] == "opened":  # a library: its table is loaded by a thread, within milliseconds
            a.wait_for(f"unwind table of inode {os.stat(argv[1]).st_ino}:")
            t.say()
            continue
        cases.append((line[1], int(line[2]), gdb_stack(t.pid)))
        t.say()
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    assert {c[0] for c in cases} >= set(expect)
    by_size = {}
    for s in load_json(out)["stacks"]:
        if s["alloc_objects"] == 1:
            by_size[s["alloc_bytes"]] = [f for f in s["frames"] if not f["inlined"]]
    for name, size, gdb in cases:
        ours = by_size[size]
        assert ours[0]["function"] == "checkpoint", name
        want = [pc - ret for _, pc, ret in gdb[1:]]
        got = [f["address"] for f in ours[1:]]
        assert [hex(x) for x in got] == [hex(x) for x in want], \
            f"{name}:\n{[f['function'] for f in ours]}\n{[f[0] for f in gdb]}"
    return cases


def plt_of(exe):
    """Address range of the lazy PLT of a program linked at fixed addresses."""
    text = subprocess.run(["readelf", "-SW", str(exe)], capture_output=True, text=True,
                          check=True).stdout
    m = re.search(r"\s\.plt\s+PROGBITS\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)", text)
    start = int(m.group(1), 16)
    return hex(start), hex(start + int(m.group(2), 16))


SHAPES = ["recursion", "qsort", "signal", "altstack", "fault", "alloca", "aligned", "vla", "large",
          "thread", "vfork"]


@pytest.mark.parametrize("flags", [("-O3", "-fomit-frame-pointer"), ("-O0",)], ids=["O3", "O0"])
def test_shapes_equal_gdb(attach, target, tmp_path, flags):
    lib = build("unwindlib.c", flags=("-O2", "-fomit-frame-pointer", "-shared", "-fPIC"),
                suffix=".so")
    exe = build("unwind.c", flags=(*flags, "-no-pie", "-Wl,-z,lazy"), libs=("-lpthread", "-ldl"),
                suffix="".join(flags))
    cases = compare_with_gdb(attach, target, tmp_path, [exe, lib, *plt_of(exe)],
                             [*SHAPES, "plt", "plugin"])
    assert sum(c[0] == "plt" for c in cases) >= 3  # both halves of the entry, and PLT0


def test_static_binary_equals_gdb(attach, target, tmp_path):
    exe = build("unwind.c", flags=("-O3", "-fomit-frame-pointer", "-static", "-DSTATIC"),
                suffix="-static")
    compare_with_gdb(attach, target, tmp_path, [exe], SHAPES)


def test_exception_in_flight_equals_gdb(attach, target, tmp_path):
    exe = build("unwindxx.cpp", cc="g++", flags=("-O2", "-fomit-frame-pointer"))
    compare_with_gdb(attach, target, tmp_path, [exe], ["destructor", "catch", "after"])


def profile_script(attach, target, out, env):
    """One run of a small Python program; returns (profile, what memwatch said of its tables)."""
    t = target(["/usr/bin/python3", WORKLOADS / "unwind.py"])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-v", "-o", out, env={**os.environ, **env})
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    t.stop()
    assert rc == 0, err
    m = re.search(r"unwind tables: (.*)", err)
    assert m, err
    words = re.findall(r"(\d+) (built|cached|evicted|refused|failed)", m[1])
    return load_json(out), {name: int(n) for n, name in words}


def test_tables_come_from_the_cache(attach, target, tmp_path):
    env = {"MEMWATCH_STATE_DIR": str(tmp_path / "state")}
    _, first = profile_script(attach, target, tmp_path / "1.json", env)
    p, second = profile_script(attach, target, tmp_path / "2.json", env)
    assert first["cached"] == 0 and second["cached"] >= 2
    assert p["loss"].get("stack cut: no unwind table", 0) == 0
    # a damaged file is refused, and replaced
    for f in (tmp_path / "state/unwind").iterdir():
        data = bytearray(f.read_bytes())
        data[len(data) // 2] ^= 1
        f.write_bytes(data)
    _, third = profile_script(attach, target, tmp_path / "3.json", env)
    assert third["cached"] == 0 and third["built"] >= first["built"]


def test_memory_is_bounded(attach, target, tmp_path):
    """With no room for the interpreter's table its stacks are cut, and that is counted."""
    p, said = profile_script(attach, target, tmp_path / "p.json", {"MEMWATCH_TABLE_BYTES": "300K"})
    assert said["refused"] + said["evicted"] > 0
    cut = sum(n for k, n in p["loss"].items() if k.startswith("stack cut: "))
    assert 0 < cut <= p["totals"]["alloc_objects"] + 100
    assert p["totals"]["alloc_objects"] > 20000
