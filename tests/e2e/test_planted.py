# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that were planted where they are looked for: FIFOs, devices, maps of generated code that lie."""
import fcntl
import os
import select
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import load_json
from hostilelib import (MAX_RSS, USER, add_section, ended_in_time, functions, hostmaps,  # noqa: F401
                        library, peak_rss, place)


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
