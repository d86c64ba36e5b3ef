# SPDX-License-Identifier: GPL-2.0-or-later
"""What an unprivileged user can make root's memwatch read: bombs, planted files, forged identities.
Each is refused or bounded, costs the names of one file, and Ctrl-C is heard all the while."""
import fcntl
import json
import lzma
import os
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import pytest
from conftest import PATIENCE, ROOT, WORKLOADS, build, in_time, load_json, memwatch, wait_for

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
    def start(*args):
        exe = build("hostmaps.c", flags=("-O0",), libs=("-ldl",))
        copy = place / "hostmaps"
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


def same_address(place):
    return library(place, "symbols.so", asm=".text\n.altmacro\n.macro many n\ns\\n:\n.endm\n"
                   ".set i, 0\n.rept 200000\nmany %i\n.set i, i+1\n.endr\nnop\n"
                   '.section .note.GNU-stack,"",@progbits\n')


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


BOMBS = [same_address, inflating_sections, xz_bomb, sparse_debuglink, huge_names]


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
        f"pop %rbx\nret\n.size {n}, .-{n}\n"
        for n in ("je_malloc", "je_free", *(f"smallocx_{c.decode() * 8}" for c in NAMES)))
        + '.section .note.GNU-stack,"",@progbits\n')
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", lib, src], check=True)
    data = lib.read_bytes()
    for c, name in NAMES.items():
        assert data.count(b"smallocx_" + c * 8) and len(name) == 8
        data = data.replace(b"smallocx_" + c * 8, b"smallocx_" + name)
    lib.write_bytes(data)
    return lib


def features_of(t):
    """What is said of it, as text and as JSON: in bounded time and memory, and without what steers a
    terminal."""
    out = []
    for options in ((), ("--json",)):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        r = memwatch("features", "-p", t.pid, *options, timeout=HANG)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert r.returncode == 0 and "libc.so.6" in r.stdout, r.stderr
        assert after.ru_maxrss << 10 < 450 << 20
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 40
        steering = [c for c in r.stdout + r.stderr if not c.isprintable() and c != "\n"]
        assert not steering, steering
        out.append(r.stdout)
    return out[0], json.loads(out[1])


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda b: b.__name__)
def test_features_of_a_hostile_process(bomb, hostmaps, place):
    features_of(hostmaps(bomb(place)))


def test_features_of_a_process_with_names_for_terminals(target, place):
    t = target([*USER, "env", f"LD_PRELOAD={names_for_terminals(place)}", "cat"])
    t.say("ready")
    t.expect("ready")
    text, _ = features_of(t)
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


# --- planted files ------------------------------------------------------------------------------

def waiting_writer(fifo):
    """A process that writes "woken" as soon as anybody opens the FIFO for reading."""
    return subprocess.Popen(["sh", "-c", f'exec 3>"{fifo}"; echo woken'], stdout=subprocess.PIPE,
                            text=True)


@pytest.mark.parametrize("what", ["debuglink", "symlink", "perfmap"])
def test_a_planted_fifo_is_not_opened(what, hostmaps, attach, place):
    lib = library(place, "lib.so", "-s", "-Wl,--build-id=none")
    add_section(lib, ".gnu_debuglink", b"lib.debug\0\0\0" + struct.pack("<I", 1))
    t = hostmaps(lib)
    fifo = {"debuglink": place / "lib.debug", "symlink": place / "far",
            "perfmap": Path(f"/tmp/perf-{t.pid}.map")}[what]
    os.mkfifo(fifo)
    os.chown(fifo, 23456, 23456)
    if what == "symlink":
        (place / "lib.debug").symlink_to(fifo)
    writer = waiting_writer(fifo)
    try:
        out = place / "p.json"
        a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
        t.say()
        t.expect("ok")
        ended_in_time(a)
        assert writer.poll() is None, writer.stdout.read()
        assert "honest_function" in functions(out)
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
        fifo.unlink()


def test_a_planted_device_is_not_opened(hostmaps, attach, place):
    """A debug link that is a symlink to a device: a terminal, which can tell whether it was opened."""
    lib = library(place, "lib.so", "-s", "-Wl,--build-id=none")
    add_section(lib, ".gnu_debuglink", b"lib.debug\0\0\0" + struct.pack("<I", 1))
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.ioctl(master, 0x40045431, struct.pack("i", 0))  # TIOCSPTLCK: unlocked
        n, = struct.unpack("i", fcntl.ioctl(master, 0x80045430, bytes(4)))  # TIOCGPTN
        (place / "lib.debug").symlink_to(f"/dev/pts/{n}")
        t = hostmaps(lib)
        out = place / "p.json"
        a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
        t.say()
        t.expect("ok")
        ended_in_time(a)
        assert "honest_function" in functions(out)
        p = select.poll()
        p.register(master, select.POLLIN)
        assert not p.poll(0)  # opened and closed again it would say that it hung up
        os.close(os.open(f"/dev/pts/{n}", os.O_RDWR | os.O_NOCTTY))
        assert p.poll(0)
    finally:
        os.close(master)


def jit_program(place):
    src = place / "jit.c"
    src.write_text(r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
int main(int argc, char **argv)
{
	/* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x89,
					     0xf7, 0xff, 0xd0, 0x5d, 0xc3};
	void *(*f)(void *(*)(size_t), size_t) = mmap(NULL, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char line[16];
	memcpy(f, code, sizeof(code));
	if (argc > 1) /* its jitdump */
		mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, open(argv[1], O_RDONLY), 0);
	printf("ready %lx\n", (unsigned long)f);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		f(malloc, 3000);
		puts("ok");
		fflush(stdout);
	}
}
""")
    exe = place / "jit"
    subprocess.run(["gcc", "-O0", "-fno-omit-frame-pointer", "-o", exe, src], check=True)
    return exe


@pytest.fixture
def jitted(target, place):
    """A process of the unprivileged user with frames in no file."""
    exe = jit_program(place)
    t = target([*USER, exe])
    t.code = int(t.expect("ready").split()[1], 16)
    yield t
    Path(f"/tmp/perf-{t.pid}.map").unlink(missing_ok=True)


@pytest.mark.parametrize("owner,mode,read", [(23456, 0o600, True), (0, 0o644, True), (0, 0o600, False),
                                             (23457, 0o644, False)],
                         ids=["own", "roots-readable", "roots-secret", "anothers"])
def test_whose_perf_map_is_read(owner, mode, read, jitted, attach, place):
    perf = Path(f"/tmp/perf-{jitted.pid}.map")
    perf.write_text(f"{jitted.code:x} 1000 secret_of_somebody\n")
    os.chown(perf, owner, owner)
    perf.chmod(mode)
    out = place / "p.json"
    a = attach("-p", jitted.pid, "--exact", "--plain", "-o", out)
    jitted.say()
    jitted.expect("ok")
    ended_in_time(a)
    assert ("secret_of_somebody" in functions(out)) == read


def sparse_map(f, code):
    f.write(f"{code:x} 1000 honest_code\n".encode())
    f.truncate(1 << 40)


def one_line(f, code):
    f.write(f"{code:x} 1000 ".encode() + b"n" * (64 << 20))


def all_at_one_address(f, code):
    f.write(b"".join(b"%x %x f%d\n" % (code - i % 4096, 8192 + i, i) for i in range(400000)))


def names_that_steer(f, code):
    f.write(f"{code:x} 1000 ".encode() + b"\x1b[2J\xe2\x80\xae\xff\x9b2J\n")


def numbers_that_wrap(f, code):
    f.write(b"ffffffffffffffff ffffffffffffffff f\n%x ffffffffffffffff g\n-1 -1 h\n\0\0\n \n%x 0 i\n" % (code, code))


def dump(*records):
    """A jitdump: its header, then records of these heads (kind, bytes that it says to have) and bytes."""
    def write(f, code):
        f.write(struct.pack("<IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, 1, 0, 0))
        for kind, size, body in records:
            f.write(struct.pack("<IIQ", kind, size, 0) + body)
    return write


LOADED = struct.pack("<IIQQQQ", 1, 1, 0x1000, 0x1000, 1 << 63, 1)
HOSTILE_MAPS = {"sparse": sparse_map, "one-line": one_line, "one-address": all_at_one_address,
                "steering": names_that_steer, "wrapping": numbers_that_wrap}
HOSTILE_DUMPS = {"empty-records": dump(*[(0, 0, b"")] * 1000), "no-end": dump((0, 0xffffffff, b"")),
                 "short": dump((0, 16, b""), (0, 17, b"x")), "no-name": dump((0, 56 + 4, LOADED + b"nnnn")),
                 "moves": dump(*[(1, 72, struct.pack("<IIQQQQQ", 1, 1, 0, i, i + 1, 1 << 40, 0)) for i in range(50000)]),
                 "sparse": lambda f, code: (dump((2, 1 << 31, b""))(f, code), f.truncate(1 << 40))}


@pytest.mark.parametrize("kind", [*(f"map-{k}" for k in HOSTILE_MAPS), *(f"dump-{k}" for k in HOSTILE_DUMPS)])
def test_hostile_names_of_generated_code(kind, target, attach, place):
    """What a program tells of the code that it makes, as a perf map and as a jitdump: it costs names."""
    which, _, name = kind.partition("-")
    path = place / "jit-1.dump"
    path.write_bytes(b"")
    t = target([*USER, jit_program(place), path])
    code = int(t.expect("ready").split()[1], 16)
    if which == "map":
        path = Path(f"/tmp/perf-{t.pid}.map")
    try:
        with open(path, "wb") as f:
            (HOSTILE_MAPS if which == "map" else HOSTILE_DUMPS)[name](f, code)
        os.chown(path, 23456, 23456)
        out = place / "p.json"
        a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
        for _ in range(3):
            t.say()
            t.expect("ok")
        rss = peak_rss(a.proc.pid)
        ended_in_time(a)
        assert rss < MAX_RSS and load_json(out)["totals"]["alloc_objects"] >= 3
        assert all(c.isprintable() or c in "\n\t" for c in out.read_text())  # \\u001b is plain text
    finally:
        path.unlink()


@pytest.mark.parametrize("mode,read", [(0o600, False), (0o644, True)], ids=["secret", "readable"])
def test_a_file_mounted_as_perf_map(mode, read, target, attach, place):
    """Root's file, mounted over /tmp/perf-1.map in a user namespace of the attacker's: what he may not
    read himself does not appear as names."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:  # not below the /tmp that is hidden
        os.chmod(d, 0o755)
        exe = shutil.copy(jit_program(place), d)
        secret = Path(d) / "secret"
        secret.write_text("")
        secret.chmod(mode)
        script = Path(d) / "enter.sh"
        script.write_text("set -e\nmount -t tmpfs none /tmp\n: >/tmp/perf-1.map\n"
                          'mount --bind "$1" /tmp/perf-1.map\nexec "$2"\n')
        script.chmod(0o755)
        t = target([*USER, "unshare", "-Urmp", "--fork", "--mount-proc", "sh", script, secret, exe])
        code = int(t.expect("ready").split()[1], 16)
        pid = int(Path(f"/proc/{t.pid}/task/{t.pid}/children").read_text().split()[0])
        secret.write_text(f"{code:x} 1000 secret_of_somebody\n")
        out = place / "p.json"
        a = attach("-p", pid, "--exact", "--plain", "-o", out)
        t.say()
        t.expect("ok")
        ended_in_time(a)
        names = functions(out)
        assert "main" in names and ("secret_of_somebody" in names) == read


# --- identities ---------------------------------------------------------------------------------

def test_equal_build_ids_share_no_names(target, attach, place):
    """Two targets' libraries claim one build-id: neither's names appear in the other's stacks."""
    exe = build("hostmaps.c", flags=("-O0",), libs=("-ldl",))
    copy = place / "hostmaps"
    shutil.copy(exe, copy)
    targets, outs = [], []
    for name in ("first", "second"):
        (place / name).mkdir()
        (place / name).chmod(0o755)
        src = place / name / "lib.c"
        src.write_text("#include <stdlib.h>\n"
                       f"__attribute__((noinline)) void *{name}_secret(size_t n) "
                       "{ void *p = malloc(n); __asm__ volatile(\"\" ::: \"memory\"); return p; }\n"
                       f"void *hostile_alloc(size_t n) {{ void *p = {name}_secret(n); "
                       "__asm__ volatile(\"\" ::: \"memory\"); return p; }\n")
        lib = place / name / "lib.so"
        subprocess.run(["gcc", "-g", "-O0", "-shared", "-fPIC", "-Wl,--build-id=0x" + "ab" * 20, "-o",
                        lib, src], check=True)
        t = target([*USER, copy, lib])
        t.expect("ready")
        targets.append(t)
        outs.append(name)
    a = attach("-p", targets[0].pid, "-p", targets[1].pid, "--exact", "--plain",
               "-o", place / "p-%p.json")
    for t in targets:
        a.wait_for(f"attached to PID {t.pid} ")
    for t in targets:
        t.say()
        t.expect("ok")
    ended_in_time(a)
    names = [functions(place / f"p-{t.pid}.json") for t in targets]
    assert "first_secret" in names[0] and "second_secret" not in names[0]
    assert "second_secret" in names[1] and "first_secret" not in names[1]


NAMED = r"""
#include <stdlib.h>
#define NAME_(w) w##_inner
#define NAME(w) NAME_(w)
__attribute__((noinline)) static void *NAME(WHO)(size_t n)
{
	void *p = malloc(n);
	__asm__ volatile("" ::: "memory");
	return p;
}
void *hostile_alloc(size_t n)
{
	void *p = NAME(WHO)(n);
	__asm__ volatile("" ::: "memory");
	return p;
}
"""


def shared_library(place):
    """A stripped library of root's, and debug information of another that has its build-id."""
    src = place / "named.c"
    src.write_text(NAMED)
    forged = place / "forged.debug"
    common = ["gcc", "-g", "-O0", "-shared", "-fPIC", "-Wl,--build-id=0x" + "5e" * 20, src]
    subprocess.run([*common, "-DWHO=forged", "-o", forged], check=True)
    subprocess.run(["objcopy", "--only-keep-debug", forged], check=True)
    forged.chmod(0o644)
    (place / "shared").mkdir()
    lib = place / "shared" / "named.so"
    subprocess.run([*common, "-DWHO=honest", "-s", "-o", lib], check=True)
    add_section(lib, ".gnu_debuglink", b"named.debug\0" + struct.pack("<I", 1))
    os.chown(lib, 0, 0)
    (place / "shared" / ".debug").mkdir()
    return lib, forged


@pytest.mark.parametrize("where", ["at its path", "elsewhere"])
def test_debug_files_below_a_root_of_ones_own(where, hostmaps, target, attach, place):
    """In a mount namespace of her own Eve has a shared library beside forged debug information. Nobody
    but she has its names: none has them where the library is ours as well."""
    lib, forged = shared_library(place)
    exe = build("hostmaps.c", flags=("-O0",), libs=("-ldl",))
    shutil.copy(exe, place / "hostmaps")
    hers = place / "hers"
    hers.mkdir()
    os.chown(hers, 23456, 23456)
    enter = place / "enter.sh"
    enter.write_text("set -e\n"
                     'if [ "$4" = elsewhere ]; then\n'
                     '  : >"$3/named.so"; mount --bind "$2" "$3/named.so"\n'
                     '  mkdir "$3/.debug"; d=$3\n'
                     "else\n"
                     '  d=$(dirname "$2"); mount -t tmpfs none "$d/.debug"\n'
                     "fi\n"
                     'cp "$5" "$d/.debug/named.debug"\n'
                     'exec "$1" "$d/named.so"\n')
    enter.chmod(0o755)
    eve = target([*USER, "unshare", "-Urm", "sh", enter, place / "hostmaps", lib, hers, where, forged])
    eve.expect("ready")
    victim = hostmaps(lib)
    a = attach("-p", eve.pid, "-p", victim.pid, "--exact", "--plain", "-o", place / "p-%p.json")
    for t in (eve, victim):
        a.wait_for(f"attached to PID {t.pid} ")
    for t in (eve, victim):
        t.say()
        t.expect("ok")
    ended_in_time(a)
    hers, his = (functions(place / f"p-{t.pid}.json") for t in (eve, victim))
    assert "honest_function" in hers and "honest_function" in his
    assert ("forged_inner" in hers) == (where == "elsewhere")
    assert "forged_inner" not in his


SWAPS = r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#define LEN (1 << 20)
static volatile int stop;
static void *wait_for_line(void *arg)
{
	getchar();
	stop = 1;
	return arg;
}
int main(int argc, char **argv)
{
	int fd[2] = {open(argv[1], O_RDONLY), open(argv[2], O_RDONLY)};
	void *p = mmap(NULL, LEN, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd[0], 0);
	pthread_t t;
	pthread_create(&t, NULL, wait_for_line, NULL);
	puts("ready");
	fflush(stdout);
	for (int i = 0; !stop; i++) {
		mmap(p, LEN, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd[i & 1], 0);
		usleep(100);
	}
	pause();
}
"""


def test_a_file_that_is_exchanged_while_it_is_opened(target, hostmaps, attach, place):
    """Where maps shows the C library Eve has another file by the time that it is opened: whoever comes
    after her is probed and named by his own."""
    src = place / "swaps.c"
    src.write_text(SWAPS)
    exe = place / "swaps"
    subprocess.run(["gcc", "-static", "-o", exe, src, "-lpthread"], check=True)
    path, *_ = own_libc()
    mine = place / "mine.so"
    mine.write_bytes(Path(path).read_bytes().replace(b"malloc", b"mallok"))
    mine.chmod(0o755)
    lib = library(place, "lib.so")
    for _ in range(4):
        eves = [target([*USER, exe, path, mine]) for _ in range(2)]
        for t in eves:
            t.expect("ready")
        victim = hostmaps(lib)
        a = attach(*(x for t in [*eves, victim] for x in ("-p", t.pid)), "--exact", "--plain",
                   "-o", place / "p-%p.json")
        a.wait_for(f"attached to PID {victim.pid} ", timeout=HANG)
        for t in eves:
            t.say()
        victim.say()
        victim.expect("ok")
        out = place / f"p-{victim.pid}.json"
        a.proc.send_signal(signal.SIGUSR1)  # at the end names are not waited for
        wait_for(out.exists, timeout=HANG)
        p, names = load_json(out), functions(out)
        ended_in_time(a)
        assert p["totals"]["alloc_objects"] >= 2 and "honest_function" in names


def test_bombs_are_not_paid_for_by_others(hostmaps, attach, place):
    """Eve's files use up what may be read on her behalf; a library that she maps after them is read on
    behalf of the next who has it."""
    one = same_address(place)
    libs = [place / f"many{i}.so" for i in range(40)]
    for lib in libs:
        shutil.copy(one, lib)  # root's, so that only the process is to blame
    src = place / "shared.c"
    src.write_text(NAMED)
    shared = place / "shared.so"
    subprocess.run(["gcc", "-g", "-O0", "-shared", "-fPIC", "-DWHO=shared", "-o", shared, src],
                   check=True)
    eve, victim = hostmaps(*libs, shared), hostmaps(shared)
    a = attach("-p", eve.pid, "-p", victim.pid, "--exact", "--plain", "-o", place / "p-%p.json",
               env=dict(os.environ, MEMWATCH_PARSE_CPU="1s"))
    a.wait_for(f"attached to PID {victim.pid} ", timeout=4 * HANG)
    for t in (eve, victim):
        t.say()
        t.expect("ok")
    a.proc.send_signal(signal.SIGUSR1)  # names are read, of one file after the other
    a.wait_for(f"PID {eve.pid}: the processor time for reading its files and memory is used up",
               timeout=4 * HANG)
    wait_for((place / f"p-{victim.pid}.json").exists, timeout=HANG)
    ended_in_time(a)
    assert "shared_inner" in functions(place / f"p-{victim.pid}.json")

def test_tables_of_others_files_are_not_kept(hostmaps, attach, place):
    """A file that its user may change leaves nothing that a later run would believe."""
    libc = next(p for p in (Path("/lib/x86_64-linux-gnu/libc.so.6"), Path("/usr/lib64/libc.so.6"))
                if p.exists())
    state = place / "state"
    env = {**os.environ, "MEMWATCH_STATE_DIR": str(state)}
    kept = []
    for owner in (23456, 0):
        mine = place / f"libc-{owner}.so"
        data = bytearray(libc.read_bytes())
        data += bytes([owner & 0xff])  # another file, with libc's tables
        mine.write_bytes(data)
        mine.chmod(0o755)
        os.chown(mine, owner, owner)
        src = place / "map.c"
        src.write_text('#include <fcntl.h>\n#include <stdio.h>\n#include <sys/mman.h>\n'
                       'int main(int c, char **v) { mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE,'
                       ' open(v[1], O_RDONLY), 0); puts("ready"); fflush(stdout); getchar(); }\n')
        exe = place / "map"
        subprocess.run(["gcc", "-o", exe, src], check=True)
        p = subprocess.Popen([*USER, exe, mine], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"ready\n"
        a = attach("-p", p.pid, "--exact", "--plain", env=env)
        ended_in_time(a)
        p.kill()
        p.wait()
        digest = subprocess.run(["sha256sum", mine], capture_output=True, text=True,
                                check=True).stdout.split()[0]
        kept.append(any(f.name.startswith(digest) for f in (state / "unwind").iterdir()))
    assert kept == [False, True]


def test_without_the_right_to_change_users(place):
    """An unprivileged caller's helpers live in a user namespace of their own, and name as well."""
    subprocess.run(["make", "-s", "-C", str(ROOT), "build/tests/symbolize"], check=True)
    tool = place / "symbolize"
    shutil.copy(ROOT / "build/tests/symbolize", tool)
    addr = next(line.split()[0] for line in subprocess.run(
        ["nm", tool], capture_output=True, text=True, check=True).stdout.splitlines()
        if line.endswith(" T main"))
    p = subprocess.run([*USER, tool, tool, addr], capture_output=True, text=True, check=True,
                       timeout=HANG)
    assert p.stdout.splitlines()[0] == "main", p.stderr


# --- other processes ------------------------------------------------------------------------------

LEAVES = r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static const char *path;
static void *go_on(void *arg)
{
	char line[16];
	fgets(line, sizeof(line), stdin);
	int fd = open(path, O_RDONLY);
	mmap(NULL, 4 << 20, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	puts("mapped");
	fflush(stdout);
	fgets(line, sizeof(line), stdin);
	_exit(0);
	return arg;
}
int main(int argc, char **argv)
{
	pthread_t t;
	char line[16];
	path = argv[1];
	puts("ready");
	fflush(stdout);
	fgets(line, sizeof(line), stdin);
	pthread_create(&t, NULL, go_on, NULL);
	puts("alone");
	fflush(stdout);
	syscall(SYS_exit, 0);
}
"""


def own_libc():
    """Where this process has the code of its C library: path, start, offset in the file, bytes."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        f = line.split(None, 5)
        if len(f) == 6 and re.search(r"/libc[.-][^/]*so", f[5]) and "x" in f[1]:
            start, end = (int(x, 16) for x in f[0].split("-"))
            return f[5], start, int(f[2], 16), end - start
    return pytest.skip("no C library is mapped")


def test_nobody_else_is_probed(target, attach, place):
    """A process without its main thread maps the C library: no other process pays for that."""
    src = place / "leaves.c"
    src.write_text(LEAVES)
    exe = place / "leaves"
    subprocess.run(["gcc", "-static", "-o", exe, src, "-lpthread"], check=True)
    path, start, offset, n = own_libc()
    t = target([*USER, exe, path])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain")
    t.say()
    t.expect("alone")
    wait_for(lambda: "State:\tZ" in Path(f"/proc/{t.pid}/status").read_text())
    t.say()
    t.expect("mapped")
    a.wait_for("whose main thread has ended, are not seen")
    with open("/proc/self/mem", "rb", buffering=0) as mem, open(path, "rb") as file:
        mem.seek(start)
        file.seek(offset)
        assert mem.read(n) == file.read(n).ljust(n, b"\0")
    t.say()
    a.finish(None)


def test_a_state_directory_behind_a_link(place):
    """Root's directory, by a link of somebody else's."""
    real, link = place / "real", place / "link"
    real.mkdir(mode=0o700)
    link.symlink_to(real)
    os.chown(link, 23456, 23456, follow_symlinks=False)
    memwatch("daemon", "--state-dir", link, "--listen", "none", check=3)
    assert not os.listdir(real)


def test_no_server_is_asked_with_privileges(hostmaps, attach, place):
    src = place / "named.c"
    src.write_text(NAMED)
    lib = place / "named.so"
    subprocess.run(["gcc", "-O0", "-g", "-shared", "-fPIC", "-DWHO=served", "-Wl,--build-id=0x" + "d0" * 20,
                    "-o", lib, src], check=True)
    served = place / "server/buildid" / ("d0" * 20) / "debuginfo"
    served.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", lib, served], check=True)
    subprocess.run(["strip", lib], check=True)
    t = hostmaps(lib)
    out = place / "p.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out,
               env=dict(os.environ, DEBUGINFOD_URLS=f"file://{place}/server/",
                        DEBUGINFOD_CACHE_PATH=str(place / "cache")))
    t.say()
    t.expect("ok")
    a.proc.send_signal(signal.SIGUSR1)
    wait_for(out.exists, timeout=HANG)
    assert "libdebuginfod" not in Path(f"/proc/{a.proc.pid}/maps").read_text()
    ended_in_time(a)
    assert "honest_function" in functions(out) and "served_inner" not in functions(out)
