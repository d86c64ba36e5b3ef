# SPDX-License-Identifier: GPL-2.0-or-later
"""What each process may take at most, and has open: limits that the kernel holds, not our own word."""
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from conftest import BIN, memwatch, wait_for
from golib import go_build, go_version
from test_apart import reader_of
from test_files import sleeper  # noqa: F401 (fixture)
from test_go import start
from test_privilege import status_of
from hostilelib import HANG, ended_in_time, hostmaps, place, with_helpers  # noqa: F401

WATCHES = re.compile(r"anon_inode:(\[(eventfd|eventpoll|perf_event|pidfd|signalfd|timerfd)\]"
                     r"|bpf-(prog|map|link)|bpf_link|btf|bpf_iter|\[bpf_iter\])|(socket|pipe):\[\d+\]"
                     r"|/memfd:.*")


def opened(pid):
    """What a process has open beside its standard streams: (path, whether it may write to it)."""
    out = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            to = os.readlink(f"/proc/{pid}/fd/{fd}")
            info = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
        except OSError:
            continue  # closed meanwhile
        flags = int(re.search(r"^flags:\s*(\d+)", info, re.M)[1], 8)
        if int(fd) > 2:
            out.append((to, flags & os.O_ACCMODE != os.O_RDONLY))
    return out


def test_the_main_process_holds_only_what_it_watches_with(attach, sleeper, tmp_path):
    m = attach("-p", sleeper.pid, "--plain", "-i", "0.1", "-o", tmp_path / "o.json")
    mapped = set(re.findall(r"(/.*)$", Path(f"/proc/{sleeper.pid}/maps").read_text(), re.M))
    m.wait_for("RSS", stream="out")
    for to, writes in opened(m.proc.pid):
        if WATCHES.fullmatch(to):
            continue
        assert not writes, to
        assert (to.startswith(("/proc", "/sys/")) or to in mapped or to in ("/", "/dev/null")
                or os.path.isdir(to)), to
    assert m.finish()[0] == 0


def limits_of(pid):
    text = Path(f"/proc/{pid}/limits").read_text()
    return {m[1].strip(): m[2] for m in re.finditer(r"^(Max [a-z ]+?)\s{2,}(\S+)", text, re.M)}


def test_helpers_have_limits(hostmaps, attach, place):
    """256 MiB beside what it began with, 5 s, no files, no processes, no cores."""
    _, a, _, kids = with_helpers(hostmaps, attach, place)
    seen = 0
    for pid in kids:
        try:
            had = limits_of(pid)
        except OSError:
            continue  # its file was done with
        seen += 1
        assert 1 <= int(had["Max cpu time"]) <= 5
        assert 256 << 20 <= int(had["Max data size"]) <= 320 << 20
        assert had["Max core file size"] == "0" and int(had["Max file size"]) <= 64 << 20
        assert int(had["Max open files"]) <= 64 and had["Max processes"] == "0"
    assert seen
    ended_in_time(a)


# --- debug information of Go ----------------------------------------------------------------------

def endless_units():
    """.debug_abbrev and .debug_info: a structure that is its own next one."""
    abbrev = bytes([1, 0x11, 1, 0, 0, 2, 0x13, 1, 0x01, 0x13, 0, 0, 0])
    head = 11
    die = head + 1
    body = struct.pack("<HIB", 4, 0, 8) + bytes([1, 2]) + struct.pack("<I", die) + bytes([0, 0])
    return abbrev, struct.pack("<I", len(body)) + body


def flat_units(n):
    """A unit of n structures without a name."""
    abbrev = bytes([1, 0x11, 1, 0, 0, 2, 0x13, 0, 0, 0, 0])
    body = struct.pack("<HIB", 4, 0, 8) + bytes([1]) + bytes([2]) * n + bytes([0])
    return abbrev, struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("units", [endless_units, lambda: flat_units(60_000_000)],
                         ids=["endless", "many"])
def test_debug_information_of_a_go_that_is_between_the_known(units, target, tmp_path):
    """A program that claims a release whose layout only its own debug information would tell."""
    version = go_version()
    if not re.fullmatch(r"go1\.19\.\d+", version):
        pytest.skip("the program that is changed is of Go 1.19")
    exe = tmp_path / "program"
    shutil.copy(go_build("shapes", "-plain"), exe)
    abbrev, info = units()
    for name, data in (("abbrev", abbrev), ("info", info)):
        (tmp_path / name).write_bytes(data)
        assert not os.spawnlp(os.P_WAIT, "objcopy", "objcopy", "-R", f".debug_{name}", "-R",
                              f".zdebug_{name}", exe)
        assert not os.spawnlp(os.P_WAIT, "objcopy", "objcopy", "--add-section",
                              f".debug_{name}={tmp_path / name}", exe)
    exe.write_bytes(exe.read_bytes().replace(version.encode(), b"go1.20." + version[7:].encode()))
    t = start(target, exe, tmp_path)
    out = tmp_path / "p.pb.gz"
    p = memwatch("go", "-p", t.pid, "-o", out, timeout=2 * HANG)
    assert p.returncode in (1, 3) and not out.exists()
    assert "broke its reader" in p.stderr or "layout is not known" in p.stderr, p.stderr


def test_who_reads_a_file_has_limits():
    """What report takes follows the size of what it reads; a pipe counts as 16 MB."""
    p = subprocess.Popen([str(BIN), "report", "--top", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        def confined():
            pid = reader_of(p.pid)
            return pid if pid and status_of(pid)["Seccomp"] == "2" else None
        had = limits_of(wait_for(confined))
        assert had["Max cpu time"] == str(20 + -(-16 * (1 << 20) // 100000))  # whole seconds
        assert 0 <= int(had["Max data size"]) - (256 + 128 * 16 << 20) <= 64 << 20
    finally:
        p.stdin.close()
        p.wait(180)


def test_a_small_profile_does_not_unfold_into_much(tmp_path):
    """Two bytes a sample, 400 kB as a file: what `report` may take follows the size of what it reads."""
    p, packer = tmp_path / "p.pb.gz", zlib.compressobj(6, zlib.DEFLATED, 31)
    with p.open("wb") as f:
        for _ in range(400):
            f.write(packer.compress(b"\x12\0" * (1 << 19)))
        f.write(packer.flush())
    r = memwatch("report", "--top", p)
    assert r.returncode == 1 and "memory" in r.stderr and not r.stdout, r.stderr
