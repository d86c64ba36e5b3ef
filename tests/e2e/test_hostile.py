# SPDX-License-Identifier: GPL-2.0-or-later
"""What an unprivileged user can make root's memwatch read: bombs. (Planted files: test_planted.py,
forged identities: test_identities.py.) Each is refused or bounded, costs the names of one file, and
Ctrl-C is heard all the while."""
import json
import lzma
import os
import re
import shutil
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from conftest import load_json, spent, wait_for
from hostilelib import (HANG, MAX_RSS, USER, add_section, ended_in_time, functions,  # noqa: F401
                        helpers, hostmaps, library, peak_rss, place, same_address,
                        with_helpers)


def section_header(data, name):
    """Offset of a section's header in an ELF file."""
    shoff, = struct.unpack_from("<Q", data, 0x28)
    n, strndx = struct.unpack_from("<HH", data, 0x3c)
    names, = struct.unpack_from("<Q", data, shoff + strndx * 64 + 24)
    for i in range(n):
        at = names + struct.unpack_from("<I", data, shoff + i * 64)[0]
        if data[at:data.index(b"\0", at)] == name:
            return shoff + i * 64
    raise KeyError(name)


def zeros(n):
    c = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join([c.compress(piece) for _ in range(n >> 20)]) + c.flush()


def inflating(lib, size):
    """Its symbol table claims to be compressed, and unpacks to `size` zeros; so do its strings."""
    data = bytearray(lib.read_bytes())
    bomb = struct.pack("<IIQQ", 1, 0, size, 8) + zeros(size)
    for name in (b".symtab", b".strtab"):
        sh = section_header(data, name)
        flags, = struct.unpack_from("<Q", data, sh + 8)
        struct.pack_into("<Q", data, sh + 8, flags | 0x800)
        struct.pack_into("<QQ", data, sh + 24, len(data), len(bomb))
        data += bomb
    lib.write_bytes(data)


def inflating_sections(place):
    lib = library(place, "inflating.so", "-Wl,--build-id=none")
    inflating(lib, 512 << 20)
    return lib


def xz_bomb(place):
    lib = library(place, "xz.so", "-s", "-Wl,--build-id=none")
    add_section(lib, ".gnu_debugdata", lzma.compress(bytes(160 << 20), preset=0))
    return lib


def sparse_debuglink(place):
    lib = library(place, "sparse.so", "-s", "-Wl,--build-id=none")
    debug = place / "sparse.debug"
    debug.write_bytes(lib.read_bytes())
    os.truncate(debug, 1 << 30)
    add_section(lib, ".gnu_debuglink", b"sparse.debug\0\0\0\0" + struct.pack("<I", 0x12345678))
    return lib


def huge_names(place):
    """Debug information whose every string is the same megabytes (of the kind, one more)."""
    name = "n" * (4 << 20)
    return library(place, "names.so", "-g", asm=f'.text\n.globl x{name}\nx{name}:\nnop\n'
                   '.section .note.GNU-stack,"",@progbits\n')


def nested_symbols(place):
    """Each function lies in those before it, which all reach to the end."""
    return library(place, "nested.so", asm=".text\n.altmacro\n.macro many n\ns\\n: nop\n.type s\\n, @function\n"
                   ".size s\\n, all_end - s\\n\n.endm\n.set i, 0\n.rept 60000\nmany %i\n.set i, i+1\n.endr\n"
                   'all_end: nop\n.section .note.GNU-stack,"",@progbits\n')


def line_rows(place):
    """A line program of a hundred million rows, in a hundred kilobytes."""
    lib = library(place, "rows.so", "-g")
    data = bytearray(lib.read_bytes())
    sh = section_header(data, b".debug_line")
    at, _ = struct.unpack_from("<QQ", data, sh + 24)
    behind = 10 + 2 * (struct.unpack_from("<H", data, at + 4)[0] >= 5)  # the length of the header
    head = data[at:at + behind + struct.unpack_from("<I", data, at + behind - 4)[0]]
    rows, c = bytes([0x40]) * (1 << 20), zlib.compressobj(9)
    struct.pack_into("<I", head, 0, len(head) - 4 + 100 * len(rows))
    bomb = struct.pack("<IIQQ", 1, 0, len(head) + 100 * len(rows), 1)
    bomb += c.compress(head) + b"".join(c.compress(rows) for _ in range(100)) + c.flush()
    flags, = struct.unpack_from("<Q", data, sh + 8)
    struct.pack_into("<Q", data, sh + 8, flags | 0x800)
    struct.pack_into("<QQ", data, sh + 24, len(data), len(bomb))
    lib.write_bytes(data + bomb)
    return lib


def deep_entries(place):
    """Debug information of blocks in blocks, two million deep."""
    return library(place, "deep.so", asm="""
	.section .debug_abbrev,"",@progbits
	.byte	1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0	# unit: low_pc, high_pc
	.byte	2, 0x2e, 1, 0x11, 1, 0x12, 7, 0, 0	# function
	.byte	3, 0x0b, 1, 0, 0			# block
	.byte	0
	.section .debug_info,"",@progbits
	.long	.Lend - .Lversion
.Lversion: .short 4
	.long	.debug_abbrev
	.byte	8, 1
	.quad	hostile_alloc, 0x1000
	.byte	2
	.quad	hostile_alloc, 0x1000
	.fill	2000000, 1, 3
	.fill	2000002, 1, 0
.Lend:
	.section .note.GNU-stack,"",@progbits
""")


BOMBS = [nested_symbols, line_rows, deep_entries, same_address, inflating_sections, xz_bomb, sparse_debuglink, huge_names]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda b: b.__name__)
def test_a_bomb_costs_one_files_names(bomb, hostmaps, attach, place):
    t = hostmaps(bomb(place))
    out = place / "p.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-v", "-o", out)
    t.say()
    t.expect("ok")
    rss = peak_rss(a.proc.pid)
    err = ended_in_time(a)
    assert rss < MAX_RSS
    assert "honest_function" in functions(out)
    said = re.search(r"helpers: (\d+) started, .*at most (\d+)MB in one", err)
    assert said and int(said[1]) >= 4 and int(said[2]) <= 450, err

NAMES = {b"A": b"\x1b[2J\x1b[1m", b"B": b"\xe2\x80\xae\xe2\x80\xabxx", b"C": b"\xff\xfe\x9b\x32Jxxx"}


def names_for_terminals(place):
    """Functions that pass for an allocator's, with what clears a screen and turns text around in their
    names, and with what is no UTF-8."""
    src, lib = place / "named.s", place / "named.so"
    src.write_text("".join(
        f".globl {n}\n.type {n}, @function\n{n}:\npush %rbx\nmov %rdi, %rbx\nmov %rbx, %rax\n"
        f"call *(%rsp)\npop %rbx\nret\n.size {n}, .-{n}\n"
        for n in ("je_malloc", "je_free", *(f"smallocx_{c.decode() * 8}" for c in NAMES)))
        + '.section .note.GNU-stack,"",@progbits\n')
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", lib, src], check=True)
    data = lib.read_bytes()
    for c, name in NAMES.items():
        assert data.count(b"smallocx_" + c * 8) and len(name) == 8
        data = data.replace(b"smallocx_" + c * 8, b"smallocx_" + name)
    lib.write_bytes(data)
    return lib


def features_of(t, place):
    """What is said of it, as text and as JSON: in bounded time and memory, and without what steers a
    terminal."""
    texts = []
    for options in ((), ("--json",)):
        out = place / "features"
        peak, cpu, err = spent(("features", "-p", t.pid, *options), out)
        text = out.read_text()
        assert "libc.so.6" in text, err
        assert peak < 450 << 20 and cpu < 40
        steering = [c for c in text + err if not c.isprintable() and c != "\n"]
        assert not steering, steering
        texts.append(text)
    return texts[0], json.loads(texts[1])


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda b: b.__name__)
def test_features_of_a_hostile_process(bomb, hostmaps, place):
    features_of(hostmaps(bomb(place)), place)


def test_features_of_a_process_with_names_for_terminals(target, place):
    t = target([*USER, "env", f"LD_PRELOAD={names_for_terminals(place)}", "cat"])
    t.say("ready")
    t.expect("ready")
    text, _ = features_of(t, place)
    assert text.count("smallocx_") == len(NAMES), text


def slow_file(place):
    """As much MiniDebugInfo as is unpacked, with the check that takes longest."""
    lib = library(place, "slow.so", "-s", "-Wl,--build-id=none")
    add_section(lib, ".gnu_debugdata", lzma.compress(bytes(60 << 20), preset=0,
                                                     check=lzma.CHECK_SHA256))
    return lib


def many(one, place, owner):
    libs = [place / f"bomb{i}.so" for i in range(40)]
    for lib in libs:
        shutil.copy(one, lib)
        os.chown(lib, owner, owner)
    return libs


def test_ctrl_c_while_bombs_are_read(hostmaps, attach, place):
    """The end is asked for before the first numbers are there."""
    t = hostmaps(*many(xz_bomb(place), place, 23456))
    a = attach("-p", t.pid, "--exact", "--plain", "-o", place / "p.json", ready=False)
    a.wait_for("memwatch", timeout=HANG)
    ended_in_time(a)


@pytest.mark.parametrize("owner", [23456, 0], ids=["users", "roots"])
def test_names_of_a_file_asked_for_are_not_waited_for_without_end(owner, hostmaps, attach, place):
    """Names are looked for at the end. Slow files of root's own (an image of a container may have them)
    get the time of ordinary names, a part of what they want. What was asked for is written all the same."""
    t = hostmaps(*many(slow_file(place), place, owner))
    a = attach("-p", t.pid, "--exact", "--plain", "-o", place / "p.json")
    t.say()
    t.expect("ok")
    ended_in_time(a)
    assert load_json(place / "p.json")["totals"]["alloc_objects"] >= 40
    assert "honest_function" in functions(place / "p.json")


def test_very_many_executable_mappings(hostmaps, attach, place):
    most = int(Path("/proc/sys/vm/max_map_count").read_text())
    t = hostmaps("-n", min(65000, most - 500))
    out = place / "p.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
    t.say()
    t.expect("ok")
    rss = peak_rss(a.proc.pid)
    ended_in_time(a)
    assert rss < MAX_RSS
    assert "honest_function" in functions(out)


def owner(process):
    """Its user, None: it has ended meanwhile."""
    try:
        return process.stat().st_uid
    except OSError:
        return None


def test_helpers_have_nothing(hostmaps, attach, place):
    _, a, starter, kids = with_helpers(hostmaps, attach, place)
    users = set()
    for pid in [*starter, *kids]:
        s = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                 if ":\t" in line)
        assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
        assert {s[c] for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        uids, gids = set(s["Uid"].split()), set(s["Gid"].split())
        assert len(uids) == 1 and len(gids) == 1 and not s["Groups"].strip()
        users |= uids
        with pytest.raises(ProcessLookupError):  # its root is the directory of a process that ended
            os.listdir(f"/proc/{pid}/root/")
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            to = os.readlink(fd)
            assert to.startswith(("socket:", "/dev/null", "/memfd:")) or os.path.isfile(to), to
        # nobody but root may stop it
        p = subprocess.run([*USER, "kill", "-STOP", str(pid)], capture_output=True)
        assert p.returncode != 0
    assert len(users) == 1
    uid = int(users.pop())
    assert uid not in (0, 65534, 23456) and uid >= 61184
    others = [p for p in Path("/proc").glob("[0-9]*") if owner(p) == uid]
    assert {int(p.name) for p in others} <= {*starter, *kids}
    ended_in_time(a)
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in [*starter, *kids]))


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV],
                         ids=["killed", "stopped", "crashed"])
@pytest.mark.parametrize("who", ["starter", "helpers"])
def test_helpers_that_fail_cost_names(sig, who, hostmaps, attach, place):
    out = place / "p.json"
    t, a, starter, kids = with_helpers(hostmaps, attach, place, "-o", out)
    for pid in starter if who == "starter" else kids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass  # its file was done with
    t.say()
    t.expect("ok")
    try:
        ended_in_time(a)
    finally:
        for pid in [*starter, *kids]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    total = load_json(out)["totals"]
    assert total["alloc_objects"] >= 4 and total["alloc_bytes"] >= 2 * 12000


def test_kill_9_leaves_no_helper(hostmaps, attach, place):
    _, a, starter, kids = with_helpers(hostmaps, attach, place)
    a.proc.kill()
    wait_for(lambda: not any(os.path.exists(f"/proc/{p}") for p in [*starter, *kids]))
