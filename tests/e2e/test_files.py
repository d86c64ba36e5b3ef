# SPDX-License-Identifier: GPL-2.0-or-later
"""What memwatch writes as root, in directories where others can plant things: nobody gains by it,
nothing of anybody is lost, and a file is complete or not there."""
import contextlib
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from conftest import BIN, build, load_json, memwatch, wait_for
from fuselib import Hanging

EVE = 4711  # who plants
AS_EVE = ("setpriv", f"--reuid={EVE}", f"--regid={EVE}", "--clear-groups")
SCHEMA = '{"schema":"memwatch.'


def profile_text(stacks=3):
    frames = [{"function": "f", "file": "", "line": 0, "module": "", "build_id": "",
               "address": "0x0", "inlined": False}]
    return json.dumps({
        "schema": "memwatch.profile/1", "pid": 77, "comm": "x", "start_unix_ms": 1,
        "duration_ms": 1, "sample_bytes": 1,
        "totals": {k: 1 for k in ("alloc_objects", "alloc_bytes", "free_objects", "free_bytes",
                                  "inuse_objects", "inuse_bytes")},
        "loss": {},
        "stacks": [{"alloc_objects": 1, "alloc_bytes": 1, "inuse_objects": 1, "inuse_bytes": 1,
                    "frames": [{**frames[0], "function": f"f{i}"}]} for i in range(stacks)]})


@pytest.fixture
def profile(tmp_path):
    p = tmp_path / "in.json"
    p.write_text(profile_text())
    return p


@contextlib.contextmanager
def protected(value):
    """While this is open, the kernel keeps (2) root from opening, to create it, a file or a pipe that
    somebody else has planted in a sticky directory."""
    settings = [Path("/proc/sys/fs") / name for name in ("protected_regular", "protected_fifos")]
    before = [s.read_text() for s in settings]
    try:
        for s in settings:
            s.write_text(value)
        yield
    finally:
        for s, was in zip(settings, before):
            s.write_text(was)


@pytest.fixture(params=["sticky", "open", "hers", "protected"])
def shared(request):
    """A directory in which Eve can plant: sticky or not, or her own; and with the kernel's protection of
    sticky ones, which is no help against most of it."""
    with protected("2") if request.param == "protected" else contextlib.nullcontext():
        yield from shared_directory(request.param)


def shared_directory(kind):
    d = Path(tempfile.mkdtemp(prefix="memwatch-files-"))
    if kind == "hers":
        os.chown(d, EVE, EVE)
        d.chmod(0o755)
    else:
        d.chmod(0o777 if kind == "open" else 0o1777)
    yield d
    shutil.rmtree(d)


@pytest.fixture
def hers():
    d = Path(tempfile.mkdtemp(prefix="memwatch-files-"))
    os.chown(d, EVE, EVE)
    d.chmod(0o755)
    yield d
    shutil.rmtree(d)


def eve(*argv, check=True):
    return subprocess.run([*AS_EVE, *map(str, argv)], check=check, capture_output=True, text=True)


def write(profile, out, *options, **kw):
    return memwatch("report", profile, "-o", out, *options, **kw)


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def assert_ours(path, mode=0o600):
    st = os.lstat(path)
    assert stat.S_ISREG(st.st_mode) and st.st_uid == os.geteuid()
    assert stat.S_IMODE(st.st_mode) == mode, oct(st.st_mode)


def only(directory, *names):
    assert sorted(p.name for p in directory.iterdir()) == sorted(names)


# --- modes --------------------------------------------------------------------------------------

def test_files_are_private(profile, tmp_path):
    out = tmp_path / "o.html"
    write(profile, out, check=0)
    assert_ours(out)
    os.umask(0)
    try:
        write(profile, tmp_path / "p.html", check=0)
        assert_ours(tmp_path / "p.html")
        os.umask(0o277)
        write(profile, tmp_path / "q.html", check=0)
        assert_ours(tmp_path / "q.html", 0o400)
        write(profile, tmp_path / "r.html", "--output-mode", "0644", check=0)
        assert_ours(tmp_path / "r.html", 0o644)
    finally:
        os.umask(0o022)


@pytest.mark.parametrize("bad", ["6777", "0666", "0755", "02", "9", "rw", "", "-1", "0x1"])
def test_modes_that_are_refused(profile, tmp_path, bad):
    p = write(profile, tmp_path / "o.html", "--output-mode", bad)
    assert p.returncode == 2 and "no mode of a file" in p.stderr
    assert not (tmp_path / "o.html").exists()


def test_a_mode_that_was_there_is_not_taken_over(profile, tmp_path):
    out = tmp_path / "o.html"
    out.write_text("before")
    out.chmod(0o6777)
    held = out.open()
    write(profile, out, check=0)
    assert_ours(out)
    assert held.read() == "before"  # replaced, not written into


def test_access_lists_of_the_directory_are_not_taken_over(profile, hers):
    entries = [(1, 7, -1), (2, 6, EVE), (4, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *e) for e in entries)
    try:
        os.setxattr(hers, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("this file system has no access lists")
    write(profile, hers / "o.html", "--output-mode", "0640", check=0)
    assert_ours(hers / "o.html", 0o640)
    assert eve("cat", hers / "o.html", check=False).returncode != 0


# --- what another user planted ------------------------------------------------------------------

def test_a_planted_setuid_file_is_no_way_to_root(profile, shared):
    """Root's file once took over mode 06777 of the file that it replaced."""
    out = shared / "heap.html"
    eve("sh", "-c", f"echo hers >{out}; chmod 6777 {out}")
    p = write(profile, out)
    assert p.returncode == 1 and "belongs to another user" in p.stderr
    assert out.read_text() == "hers\n" and out.stat().st_uid == EVE
    only(shared, "heap.html")


def test_a_planted_link_is_not_followed(profile, shared, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of root")
    secret.chmod(0o600)
    out = shared / "heap.html"
    eve("ln", "-s", secret, out)
    p = write(profile, out)
    assert p.returncode == 1 and "symbolic link" in p.stderr
    assert secret.read_text() == "of root" and out.is_symlink()
    only(shared, "heap.html")


def test_a_planted_link_to_nothing_creates_nothing(profile, shared, tmp_path):
    out = shared / "heap.html"
    eve("ln", "-s", tmp_path / "new", out)
    assert write(profile, out).returncode == 1
    assert not (tmp_path / "new").exists()


def test_a_planted_directory_link_is_not_followed(profile, shared, tmp_path):
    eve("ln", "-s", tmp_path, shared / "sub")
    p = write(profile, shared / "sub" / "heap.html")
    assert p.returncode == 1 and "symbolic link" in p.stderr
    assert not (tmp_path / "heap.html").exists()


def test_a_planted_pipe_is_not_waited_for(profile, shared):
    out = shared / "heap.html"
    eve("mkfifo", out)
    p = write(profile, out)
    assert p.returncode == 1 and stat.S_ISFIFO(os.lstat(out).st_mode)


def test_a_planted_pipe_with_a_reader_gets_nothing(profile, shared):
    out = shared / "heap.html"
    eve("mkfifo", "-m", "666", out)
    fd = os.open(out, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert write(profile, out).returncode == 1
        assert os.read(fd, 10) == b""
    finally:
        os.close(fd)


def test_a_link_to_a_block_device_is_not_written_through(profile, tmp_path):
    """Even where the link is root's own: no file system is overwritten by a profile."""
    dev = tmp_path / "disk"
    try:
        os.mknod(dev, 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("no devices can be made here")
    (tmp_path / "o.html").symlink_to(dev)
    p = write(profile, tmp_path / "o.html")
    assert p.returncode == 1 and "device" in p.stderr


def test_a_hard_link_keeps_its_other_name(profile, hers):
    """Where hard links to others' files can be made, root's file is root's under both names."""
    mine = hers / "conf"
    mine.write_text("of root")
    os.link(mine, hers / "heap.html")
    write(profile, hers / "heap.html", check=0)
    assert mine.read_text() == "of root"
    assert_ours(hers / "heap.html")


def test_a_directory_of_roots_that_was_moved_in_loses_nothing(profile, hers):
    """Eve can rename a directory of root's within her own: what has the name there stays."""
    (hers / "roots").mkdir(mode=0o755)
    (hers / "roots" / "heap.html").write_text("precious")
    eve("mv", hers / "roots", hers / "sub")
    p = write(profile, hers / "sub" / "heap.html")
    assert p.returncode == 1 and "choose another name" in p.stderr
    assert (hers / "sub" / "heap.html").read_text() == "precious"
    write(profile, hers / "sub" / "new.html", check=0)  # a new name is free
    assert_ours(hers / "sub" / "new.html")


def test_directories_that_change_all_the_time(profile, hers, tmp_path):
    """Eve exchanges a directory and a link without pause: what is root's stays root's."""
    (tmp_path / "heap.html").write_text("precious")
    eve("mkdir", hers / "a")
    eve("ln", "-s", tmp_path, hers / "b")
    loop = f"""
import ctypes, os
libc = ctypes.CDLL(None)
while True:
    libc.renameat2(-100, b"{hers}/a", -100, b"{hers}/b", 2)
"""
    swap = subprocess.Popen([*AS_EVE, "/usr/bin/python3", "-c", loop])
    try:
        for _ in range(25):
            write(profile, hers / "a" / "heap.html")
    finally:
        swap.kill()
        swap.wait()
    assert (tmp_path / "heap.html").read_text() == "precious"
    only(tmp_path, "heap.html", "in.json")


def test_an_unprivileged_user_is_not_fooled_either(profile, hers, tmp_path):
    profile.chmod(0o644)
    for d in (tmp_path, *tmp_path.parents):
        if d.stat().st_uid == 0 and d != Path("/"):
            d.chmod(d.stat().st_mode | 0o055)
    (hers / "o.html").write_text("of root")
    p = subprocess.run([*AS_EVE, str(BIN), "report", str(profile), "-o", str(hers / "o.html")],
                       capture_output=True, text=True, timeout=180)
    assert p.returncode == 1 and (hers / "o.html").read_text() == "of root"
    subprocess.run([*AS_EVE, str(BIN), "report", str(profile), "-o", str(hers / "p.html")],
                   check=True, timeout=180)
    assert (hers / "p.html").stat().st_uid == EVE and mode_of(hers / "p.html") == 0o600


@pytest.fixture
def provided(tmp_path):
    """A file system of Eve's own, which says that all there is root's."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this kernel has no FUSE")
    at = tmp_path / "provided"
    at.mkdir()
    h = Hanging(at, user=EVE)
    yield h
    h.unmount()


@pytest.mark.parametrize("name", ["heap.html", "new.html"])
def test_nothing_is_written_where_another_user_says_whose_it_is(name, profile, provided, tmp_path):
    """She would have a link of hers followed as root's, and read what is for nobody but root."""
    (tmp_path / "victim.html").write_text("precious")
    provided.add("heap.html", os.fsencode(tmp_path / "victim.html"), stat.S_IFLNK | 0o777)
    assert (provided.at / "heap.html").lstat().st_uid == 0
    p = write(profile, provided.at / name)
    assert p.returncode == 1 and "in a file system that another user provides" in p.stderr
    assert (tmp_path / "victim.html").read_text() == "precious"
    assert set(provided.names) == {b"heap.html"}


# --- every writer goes the same way -------------------------------------------------------------

@pytest.fixture
def sleeper(target):
    t = target([build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))])
    t.expect("ready")
    return t


@pytest.mark.parametrize("outputs", [
    [("-o", "x.html"), ("-o", "x.pb.gz"), ("--peak-rss", "x.json"), ("--timeline", "x.csv")],
    [("--record", "x.rec")], [("--oom-log", "x.jsonl")]], ids=["at-end", "record", "log"])
def test_every_output_is_safe(sleeper, hers, tmp_path, outputs):
    secret = tmp_path / "secret"
    secret.write_text("of root")
    options = [x for option, name in outputs for x in (option, hers / name)]
    names = [hers / name for _, name in outputs]

    def run():
        return memwatch("-p", sleeper.pid, "--plain", "-q", "-d", "0.2", *options)

    for n in names:
        eve("ln", "-s", secret, n)
    p = run()
    assert p.returncode in (1, 3) and p.stderr.count("symbolic link") == len(names), p.stderr
    assert secret.read_text() == "of root"
    for n in names:
        n.unlink()
        eve("sh", "-c", f"echo hers >{n}; chmod 6777 {n}")
    p = run()
    assert p.returncode in (1, 3) and p.stderr.count("another user") == len(names), p.stderr
    for n in names:
        assert n.read_text() == "hers\n"
        n.unlink()
        eve("mkfifo", n)
    p = run()
    assert p.returncode in (1, 3) and p.stderr.count("is a device") == len(names), p.stderr
    for n in names:
        n.unlink()
    assert run().returncode == 0
    for n in names:
        assert_ours(n)
    only(hers, *[n.name for n in names])


def test_files_of_alerts_are_private(sleeper, shared):
    memwatch("-p", sleeper.pid, "--plain", "-q", "-d", "0.5", "--alert-rss", "4K", "--alert-dir",
             shared, "--oom-log", shared / "log", check=0)
    names = [p.name for p in shared.iterdir()]
    assert {n.rsplit(".", 1)[1] for n in names if n != "log"} == {"gz", "csv"}
    for n in names:
        assert_ours(shared / n)


# --- logs ---------------------------------------------------------------------------------------

def log_to(path, *options):
    return memwatch("oom", "--source", "probe", "--log", path, "-d", "0.1", *options)


def test_a_log_is_created_private_and_added_to(tmp_path):
    log = tmp_path / "log"
    assert log_to(log).returncode == 0
    assert_ours(log)
    log.write_text(SCHEMA + '"}\n')
    log.chmod(0o640)  # as its owner set it
    assert log_to(log).returncode == 0
    assert_ours(log, 0o640)


def test_a_log_with_a_second_name_is_not_added_to(hers):
    """A hard link to any file of root's would be one."""
    (hers / "conf").write_text("")
    os.link(hers / "conf", hers / "log")
    p = log_to(hers / "log")
    assert p.returncode != 0 and "several names" in p.stderr


def test_a_file_of_roots_that_is_no_log_is_not_added_to(hers):
    (hers / "log").write_text("passwords\n")
    p = log_to(hers / "log")
    assert p.returncode != 0 and (hers / "log").read_text() == "passwords\n"
    (hers / "log").write_text(SCHEMA + 'oom/1"}\n')
    assert log_to(hers / "log").returncode == 0


# --- what users do on purpose -------------------------------------------------------------------

def test_links_of_roots_in_roots_places_work(profile, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "dir").symlink_to("real")
    (tmp_path / "o.html").symlink_to("dir/../real/target")
    write(profile, tmp_path / "o.html", check=0)
    write(profile, tmp_path / "dir" / "p.html", check=0)
    assert (tmp_path / "o.html").is_symlink()
    assert_ours(tmp_path / "real" / "target")
    assert_ours(tmp_path / "real" / "p.html")


def test_a_pipe_of_roots_in_roots_place_works(profile, tmp_path):
    out = tmp_path / "o.folded"
    os.mkfifo(out)
    p = write(profile, out)
    assert p.returncode == 1 and "nobody reads" in p.stderr
    got = []
    t = threading.Thread(target=lambda: got.append(out.read_text()))
    t.start()
    for _ in range(100):  # until the reader is there
        if write(profile, out).returncode == 0:
            break
    t.join(20)
    assert got[0].splitlines()[0].startswith("f")


def test_stdout_by_any_of_its_names(profile, tmp_path):
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        link = tmp_path / "o.folded"
        link.symlink_to(name)
        assert write(profile, link, check=0).stdout.splitlines()[0].startswith("f"), name
        link.unlink()


def test_process_substitution(sleeper, tmp_path):
    """--record >(cmd), --oom-log /dev/stderr: the shell opened them."""
    p = subprocess.run(["bash", "-c", f"{BIN} -p {sleeper.pid} --plain -q -d 0.3 "
                        f"--record >(cat >{tmp_path}/r); wait"], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    wait_for(lambda: (tmp_path / "r").exists() and (tmp_path / "r").stat().st_size > 0)
    p = log_to("/dev/stdout")
    assert p.returncode == 0, p.stderr


def test_descriptors_of_memwatch_itself_have_no_name(profile, tmp_path):
    for fd in (3, 4, 5, 200):
        link = tmp_path / "o.folded"
        link.symlink_to(f"/dev/fd/{fd}")
        p = write(profile, link)
        assert p.returncode == 1 and "was not given" in p.stderr
        link.unlink()


# --- complete or not at all ---------------------------------------------------------------------

def big_profile(tmp_path):
    p = tmp_path / "big.json"
    p.write_text(profile_text(60000))
    return p


@pytest.mark.parametrize("how", ["nameless", "hidden"])
def test_what_is_ended_leaves_nothing(tmp_path, how):
    """Or all of it; also where the file system knows no files without a name."""
    from test_processes import family
    src, d = big_profile(tmp_path), tmp_path / "d"
    d.mkdir()
    wrap = () if how == "nameless" else (build("no_tmpfile.c", libs=("-lseccomp",)),)
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # a pipe for stdout that is full: it stays in the middle of its work
        p = subprocess.Popen([*map(str, wrap), str(BIN), "report", str(src), "-o", str(d / "o.json")])
        started = wait_for(lambda: p.poll() is not None or list(d.iterdir()) or any(
            opened_in(f, d) for f in family(p.pid)), step=0.001)
        assert started
        others = [f for f in family(p.pid) if f != p.pid]
        p.send_signal(sig)
        rc = p.wait(180)
        assert rc in (-sig, 0)
        wait_for(lambda: not any(os.path.exists(f"/proc/{f}") for f in others))
        assert not list(d.glob(".*"))
        for f in d.iterdir():
            load_json(f)
            f.unlink()


def opened_in(pid, d):
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{n}").startswith(str(d))
                   for n in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


@pytest.mark.parametrize("how", ["nameless", "hidden"])
def test_what_fails_leaves_nothing_and_keeps_what_was(tmp_path, how):
    src, d = big_profile(tmp_path), tmp_path / "d"
    d.mkdir()
    (d / "o.json").write_text("before")
    wrap = "" if how == "nameless" else str(build("no_tmpfile.c", libs=("-lseccomp",)))
    p = subprocess.run(["bash", "-c", f"trap '' XFSZ; ulimit -f 64; "
                        f"{wrap} {BIN} report {src} -o {d}/o.json"], capture_output=True, text=True)
    assert p.returncode == 1 and "failed to write" in p.stderr
    assert (d / "o.json").read_text() == "before"
    only(d, "o.json")
    p = subprocess.run([*([wrap] if wrap else []), str(BIN), "report", str(src), "-o",
                        str(d / "o.json")])
    assert p.returncode == 0 and json.loads((d / "o.json").read_text())["stacks"]
    only(d, "o.json")
