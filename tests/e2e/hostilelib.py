# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs do that are up to no good: files that lie, and how those fare who read them."""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PATIENCE, WORKLOADS, build, in_time, load_json, wait_for

USER = ("setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups")
PROMISED = 1  # seconds: docs/live.md, "Ctrl-C ends it within a second"
HANG = PATIENCE  # what is called a hang, on any machine
MAX_RSS = 300 << 20


@pytest.fixture
def place(tmp_path):
    """A directory that the unprivileged user may look into."""
    for p in [tmp_path, *tmp_path.parents]:
        if p != Path("/") and p.stat().st_uid == 0:
            p.chmod(p.stat().st_mode | 0o111)
    tmp_path.chmod(0o777)
    return tmp_path


@pytest.fixture
def hostmaps(target, place):
    def start(*args, name="hostmaps"):
        exe = build("hostmaps.c", flags=("-O0",), libs=("-ldl",))
        copy = place / name
        if not copy.exists():
            shutil.copy(exe, copy)
        t = target([*USER, copy, *args])
        t.expect("ready")
        return t

    return start


def library(place, name, *flags, asm=None):
    """A shared object with hostile_alloc() and whatever else it is made of."""
    lib = place / name
    srcs = [WORKLOADS / "hostilelib.c"]
    if asm:
        s = place / (name + ".s")
        s.write_text(asm)
        srcs.append(s)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O0", "-fno-omit-frame-pointer", "-o", lib, *srcs,
                    *flags], check=True)
    os.chown(lib, 23456, 23456)
    return lib


def add_section(lib, section, data):
    f = lib.with_suffix(".section")
    f.write_bytes(data)
    subprocess.run(["objcopy", "--add-section", f"{section}={f}", lib], check=True)
    os.chown(lib, 23456, 23456)
    f.unlink()


def same_address(place):
    return library(place, "symbols.so", asm=".text\n.altmacro\n.macro many n\ns\\n:\n.endm\n"
                   ".set i, 0\n.rept 200000\nmany %i\n.set i, i+1\n.endr\nnop\n"
                   '.section .note.GNU-stack,"",@progbits\n')


def peak_rss(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def ended_in_time(a):
    """Ctrl-C ends it, in the second that is promised."""
    start = time.monotonic()
    status, _, err = a.finish(signal.SIGINT, timeout=HANG)
    assert status == 0, err
    assert in_time(time.monotonic() - start, PROMISED), err
    return err


def functions(profile):
    return {f["function"] for s in load_json(profile)["stacks"] for f in s["frames"]}


def helpers(pid):
    """The starter of a memwatch and its helpers."""
    out = {}
    for p in Path("/proc").glob("[0-9]*"):
        try:
            stat = (p / "stat").read_text()
        except OSError:
            continue
        name = stat[stat.index("(") + 1:stat.rindex(")")]
        ppid = int(stat[stat.rindex(")") + 2:].split()[1])
        out[int(p.name)] = (name, ppid)
    starter = [p for p, (n, pp) in out.items() if pp == pid and n == "memwatch-box"]
    return starter, [p for p, (n, pp) in out.items() if pp in starter]


def with_helpers(hostmaps, attach, place, *options):
    """A program with a library, a memwatch that knows of it, its starter, and its helpers at work."""
    t = hostmaps(library(place, "lib.so"))
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "0.2", *options)
    t.say()
    t.expect("ok")
    return t, a, *wait_for(lambda: all(helpers(a.proc.pid)) and helpers(a.proc.pid), timeout=HANG)
