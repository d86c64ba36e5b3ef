# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and processes that pass for others: the same build-id, a root of one's own, exchanged files,
others' state."""
import os
import re
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, build, load_json, memwatch, wait_for
from hostilelib import (HANG, USER, add_section, ended_in_time, functions, helpers,  # noqa: F401
                        hostmaps, library, place, same_address)


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
