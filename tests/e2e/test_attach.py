# SPDX-License-Identifier: GPL-2.0-or-later
"""Attaching and letting go: how it begins, how it ends, and everything that can go wrong."""
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from alloclib import STACK_VALUES, by_function, losses, workload
from conftest import BIN, build, load_json, memwatch, wait_for


def gone_pid():
    p = subprocess.Popen(["true"])
    p.wait()
    return p.pid


def text_of(pid):
    """What the executable file mappings of a process hold now, by address."""
    text = {}
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            m = re.match(r"(\w+)-(\w+) r-xp \w+ \S+ [1-9]", line)
            if m:
                lo, hi = (int(x, 16) for x in m.groups())
                mem.seek(lo)
                text[lo] = mem.read(hi - lo)
    return text


def breakpoints(pid, clean):
    """How many bytes of code differ from `clean`."""
    now = text_of(pid)
    return sum(sum(a != b for a, b in zip(now[lo], code)) for lo, code in clean.items()
               if now[lo] != code)


# Wrong usage and targets that cannot be ---------------------------------------------------------

@pytest.mark.parametrize("args", [
    ["-p"], ["-p", ""], ["-p", "0"], ["-p", "-5"], ["-p", "1 2"],
    ["-p", "99999999999999999999"],
    ["-p", "1", "-d", "x"], ["-p", "1", "-d", "-1"], ["-p", "1", "-d", "5 parsecs"],
    ["-p", "1", "-d", ""], ["-p", "1", "-d", "999999999999999h"],
    ["-p", "1", "-i", "0"], ["-p", "1", "-i", "fast"],
    ["-p", "1", "--sample-bytes", "0"], ["-p", "1", "--sample-bytes", "-4"],
    ["-p", "1", "--sample-bytes", "12Q"], ["-p", "1", "--sample-bytes", "1e99"],
    ["-p", "1", "--sample-bytes", ""], ["-p", "1", "--sample-bytes", "99999999999999999999G"],
    ["-p", "1", "--sample-index", "rss"], ["-p", "1", "--top", "-1"], ["-p", "1", "--top", "many"],
    ["-p", "1", "-o", "x.docx"], ["-p", "1", "-o", "noending"], ["-p", "1", "-o", ""],
    ["-p", "1", "--no-such-option"], ["-p", "1", "stray"],
    ["--exact"], ["run"], ["run", "--"], ["run", "--sample-bytes", "x", "--", "true"],
    ["run", "--nonsense", "--", "true"], ["features", "stray"], ["features", "--nonsense"],
], ids=" ".join)
def test_wrong_usage(args):
    p = memwatch(*args, check=2)
    assert p.stdout == ""
    assert p.stderr.strip(), "says what is wrong"


def test_no_such_process():
    pid = gone_pid()
    p = memwatch("-p", pid, "-d", "1", check=4)
    assert str(pid) in p.stderr


def test_one_of_several_is_gone(target):
    t = target([workload("family.c")])
    t.expect("ready")
    pid = gone_pid()
    p = memwatch("-p", t.pid, "-p", pid, "-d", "1", check=4)
    assert str(pid) in p.stderr


def test_zombie():
    p = subprocess.Popen(["true"])
    os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
    r = memwatch("-p", p.pid, "-d", "1")
    p.wait()
    assert r.returncode == 4, r.stderr


def test_kernel_thread():
    assert "kthreadd" in Path("/proc/2/comm").read_text()
    p = memwatch("-p", "2", "-d", "1")
    assert p.returncode == 3, p.stderr
    assert "kernel thread" in p.stderr


@pytest.fixture
def public_bin(tmp_path_factory):
    """A copy of memwatch that every user may run."""
    d = Path("/tmp") / f"memwatch-test-{os.getpid()}"
    d.mkdir(mode=0o755, exist_ok=True)
    shutil.copy(BIN, d / "memwatch")
    (d / "memwatch").chmod(0o755)
    yield d / "memwatch"
    shutil.rmtree(d)


def test_not_permitted(public_bin, target):
    """Another user's process, without privileges: 3, with the capability named."""
    t = target([workload("family.c")])
    t.expect("ready")
    p = subprocess.run([public_bin, "-p", str(t.pid), "-d", "1"], capture_output=True, text=True,
                       timeout=180, user="nobody", group="nogroup", extra_groups=[], cwd="/")
    assert p.returncode == 3, p.stderr
    assert "CAP_" in p.stderr or "root" in p.stderr
    assert t.proc.poll() is None


def test_run_not_permitted(public_bin):
    p = subprocess.run([public_bin, "run", "--", "/bin/echo", "was run"], capture_output=True,
                       text=True, timeout=180, user="nobody", group="nogroup", extra_groups=[],
                       cwd="/")
    assert p.returncode == 3, p.stderr
    assert "was run" not in p.stdout, "the command must not start without its probes"


def test_static_without_symbols(target):
    """No allocator can be found: said so, and the target is left alone."""
    exe = workload("family.c", flags=("-static", "-DNO_CFREE", "-s"), suffix="-stripped")
    t = target([exe])
    t.expect("ready")
    clean = text_of(t.pid)
    p = memwatch("-p", t.pid, "-d", "1")
    assert p.returncode in (0, 3), p.stderr
    assert re.search(r"no allocator|no symbol|stripped", p.stderr), p.stderr
    assert breakpoints(t.pid, clean) == 0
    t.say("go")
    t.expect("done")
    t.say("x")
    assert t.proc.wait(180) == 0


def test_target_exits_during_attach():
    """Programs that live 0 to 400 ms: whatever memwatch meets, it says so and ends properly."""
    for i in range(8):
        p = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.0{i}; exec sleep 0.{i % 4}"])
        r = memwatch("-p", p.pid, "--plain", "-d", "5")
        assert r.returncode in (0, 4), (i, r.stderr)
        assert r.stderr.strip()
        assert p.wait(180) == 0


def test_target_execs_during_attach():
    """A target that replaces its image a thousand times while memwatch attaches."""
    exe = workload("execs.c")
    for i in range(3):
        t = subprocess.Popen([exe, "chain", "1500"])
        r = memwatch("-p", t.pid, "--plain", "-d", "20", *(["--exact"] if i else []))
        assert r.returncode in (0, 4), r.stderr
        assert t.wait(180) == 0


# The ways it ends -------------------------------------------------------------------------------

@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_signal_ends_it(sig, target, attach, tmp_path):
    t = target([workload("family.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--plain", "-o", tmp_path / "x.json", "-o", tmp_path / "x.pb.gz")
    assert breakpoints(t.pid, clean) > 0
    status, _, err = a.finish(sig)
    assert status == 0, err
    load_json(tmp_path / "x.json")
    assert (tmp_path / "x.pb.gz").stat().st_size
    assert breakpoints(t.pid, clean) == 0
    assert t.proc.poll() is None
    # The books: one line that closes them.
    assert re.search(r"\d+ allocations and \d+ frees seen, \d+ events lost, \d+ stacks truncated, "
                     r"cost", err.strip().splitlines()[-1]), err


def test_duration_ends_it(target, tmp_path):
    t = target([workload("family.c")])
    t.expect("ready")
    memwatch("-p", t.pid, "--plain", "-d", "500ms", "-o", tmp_path / "x.json", check=0)
    p = load_json(tmp_path / "x.json")
    assert p["schema"] == "memwatch.profile/1" and p["pid"] == t.pid
    assert p["duration_ms"] >= 500
    assert p["comm"] == "family"


def test_end_of_target_ends_it(target, attach, tmp_path):
    """Counts to the byte, and names, although the process is gone when they are written."""
    t = target([workload("family.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "x.json")
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    t.say("x")
    assert t.proc.wait(180) == 0
    status, _, err = a.finish(None)
    assert status == 0, err
    p = load_json(tmp_path / "x.json")
    assert p["totals"]["alloc_bytes"] == want["alloc_bytes"]
    got = by_function(p, want["functions"])
    assert got["do_calloc"]["alloc_objects"] == want["functions"]["do_calloc"]["alloc_objects"]


def test_target_killed(target, attach, tmp_path):
    t = target([workload("family.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "x.json")
    t.say("go")
    t.expect("done")
    t.proc.kill()
    status, _, err = a.finish(None)
    assert status == 0, err
    assert load_json(tmp_path / "x.json")["totals"]["inuse_bytes"] > 0


def test_sigusr1_writes_and_goes_on(target, attach, tmp_path):
    t = target([workload("before.c")])
    t.expect("ready")
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
    a.proc.send_signal(signal.SIGUSR1)
    wait_for(out.exists)
    first = wait_for(lambda: json.loads(out.read_text() or "null"))
    assert first["totals"]["alloc_objects"] == 0
    out.unlink()
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    a.proc.send_signal(signal.SIGUSR1)
    wait_for(out.exists)
    assert wait_for(lambda: json.loads(out.read_text() or "null"))["totals"]["inuse_bytes"] \
        == want["inuse_bytes"]
    out.unlink()
    assert a.proc.poll() is None
    assert a.finish()[0] == 0
    assert load_json(out)["totals"]["inuse_bytes"] == want["inuse_bytes"]


def test_kill_9_leaves_no_trace(target, attach):
    """The kernel takes every probe out; the target has its own code back and runs on."""
    t = target([workload("reuse.c"), "200000"])
    t.expect("ready")
    clean = text_of(t.pid)
    a = attach("-p", t.pid, "--exact", "--plain")
    assert breakpoints(t.pid, clean) > 0
    t.say("go")
    a.proc.kill()
    a.proc.wait()
    wait_for(lambda: breakpoints(t.pid, clean) == 0)
    t.expect("done")
    t.say("x")
    assert t.proc.wait(180) == 0


def test_plain_report(target, attach):
    """The text report at each interval: header and rows, on stdout alone."""
    t = target([workload("family.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "200ms", "--top", "5")
    t.say("go")
    t.expect("done")
    a.wait_for("do_malloc_large", "out")
    status, out, err = a.finish()
    assert status == 0
    assert "family" in out and re.search(r"RSS", out) and re.search(r"VIRT|virt", out)
    assert "do_malloc_large" not in err


@pytest.mark.parametrize("index", ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"])
def test_sample_index(index, target, attach):
    t = target([workload("family.c")])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-i", "200ms", "--sample-index", index)
    t.say("go")
    t.expect("done")
    a.wait_for(r"do_\w+", "out")
    assert a.finish()[0] == 0


# Several at once --------------------------------------------------------------------------------

def test_two_memwatch_on_one_target(target, attach, tmp_path):
    """Both see everything; the one that leaves first takes nothing from the other."""
    t = target([workload("threads.c")])
    t.expect("ready")
    outs = [tmp_path / "a.json", tmp_path / "b.json"]
    one, two = (attach("-p", t.pid, "--exact", "--plain", "-o", o) for o in outs)
    extra = attach("-p", t.pid, "--plain")
    extra.finish()
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    for a, o in ((one, outs[0]), (two, outs[1])):
        status, _, err = a.finish()
        assert status == 0, err
        p = load_json(o)
        assert losses(p) == {}, err
        assert {k: p["totals"][k] for k in STACK_VALUES} == {k: want[k] for k in STACK_VALUES}


def test_two_memwatch_and_exceptions(target, attach):
    """Both put return addresses back under a thrown bad_alloc."""
    t = target([workload("badalloc.cpp", libs=("-ljemalloc",), suffix="-two")])
    t.expect("ready")
    both = [attach("-p", t.pid, "--exact", "--plain") for _ in range(2)]
    t.say("go")
    t.expect("done")
    for a in both:
        assert a.finish()[0] == 0
    t.say("x")
    assert t.proc.wait(180) == 0


@pytest.mark.parametrize("instances", [1, 2])
def test_two_targets_that_throw(instances, target, attach):
    """The kernel gives a return probe of one process to every process with a breakpoint there:
    two C++ targets on one allocator must both survive their bad_alloc."""
    exe = workload("badalloc.cpp", libs=("-ljemalloc",), suffix="-pair")
    ts = [target([exe]) for _ in range(2)]
    for t in ts:
        t.expect("ready")
    if instances == 1:
        a = attach("-p", ts[0].pid, "-p", ts[1].pid, "--plain")
        a.wait_for(f"attached to PID {ts[1].pid}")
    else:
        for t in ts:
            attach("-p", t.pid, "--plain")
    for t in ts:
        t.say("go")
        t.expect("done")


def test_several_targets(target, attach, tmp_path):
    ts = [target([workload(w)]) for w in ("family.c", "realloc.c", "threads.c")]
    for t in ts:
        t.expect("ready")
    a = attach(*[x for t in ts for x in ("-p", t.pid)], "--exact", "--plain",
               "-o", tmp_path / "x.%p.json")
    for t in ts:
        a.wait_for(f"attached to PID {t.pid}")
    for t in ts:
        t.say("go")
    want = {t.pid: json.loads(t.expect("done")[5:]) for t in ts}
    status, _, err = a.finish()
    assert status == 0, err
    for t in ts:
        p = load_json(tmp_path / f"x.{t.pid}.json")
        assert p["pid"] == t.pid and losses(p) == {}
        for k in STACK_VALUES:
            assert p["totals"][k] == want[t.pid][k], (t.pid, k, err)


def test_one_of_several_ends(target, attach, tmp_path):
    """The others are watched on; the profile of the one that ended is written all the same."""
    ts = [target([workload(w)]) for w in ("family.c", "realloc.c")]
    for t in ts:
        t.expect("ready")
    a = attach("-p", ts[0].pid, "-p", ts[1].pid, "--exact", "--plain",
               "-o", tmp_path / "x.%p.json")
    a.wait_for(f"attached to PID {ts[1].pid}")
    want = []
    for t in ts:
        t.say("go")
        want.append(json.loads(t.expect("done")[5:]))
        if t is ts[0]:
            t.say("x")
            t.proc.wait(180)
    status, _, err = a.finish()
    assert status == 0, err
    for t, w in zip(ts, want):
        p = load_json(tmp_path / f"x.{t.pid}.json")
        assert p["totals"]["alloc_bytes"] == w["alloc_bytes"]


# Outputs that cannot be written -----------------------------------------------------------------

@pytest.mark.parametrize("name", ["/nonexistent/x.json", "/proc/x.pb.gz"])
def test_unwritable_output(name, target):
    t = target([workload("family.c")])
    t.expect("ready")
    p = memwatch("-p", t.pid, "--plain", "-d", "300ms", "-o", name, check=1)
    assert name in p.stderr


def test_output_is_a_directory(target, tmp_path):
    t = target([workload("family.c")])
    t.expect("ready")
    (tmp_path / "d.json").mkdir()
    p = memwatch("-p", t.pid, "--plain", "-d", "300ms", "-o", tmp_path / "d.json", check=1,
                 timeout=180)
    assert "d.json" in p.stderr


@pytest.mark.parametrize("end", [".json", ".pb.gz", ".folded", ".txt"])
def test_full_disk(end, tmpfs, target, attach, tmp_path):
    """Said so, exit 1; the outputs that fit somewhere else are kept."""
    small_disk = tmpfs("small", "16k")
    t = target([workload("family.c")])
    t.expect("ready")
    full, good = small_disk / ("x" + end), tmp_path / "good.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", full, "-o", good)
    (small_disk / "filler").write_bytes(b"x" * 16384)
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    status, _, err = a.finish()
    assert status == 1, err
    assert full.name in err and re.search("[Nn]o space", err), err
    assert load_json(good)["totals"]["inuse_bytes"] == want["inuse_bytes"]


def test_full_disk_keeps_the_older_profile(tmpfs, target, attach):
    """SIGUSR1 has written a profile; the one at the end fails: the earlier one is not destroyed."""
    small_disk = tmpfs("small", "16k")
    t = target([workload("family.c")])
    t.expect("ready")
    out = small_disk / "x.pb.gz"
    a = attach("-p", t.pid, "--plain", "-o", out)
    a.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: out.exists() and out.stat().st_size)
    before = wait_for(out.read_bytes)
    with pytest.raises(OSError):
        (small_disk / "filler").write_bytes(b"x" * 16384)
    t.say("go")
    t.expect("done")
    status, _, err = a.finish()
    assert status == 1, err
    assert out.read_bytes() == before


def test_stdout_is_full(target):
    t = target([workload("family.c")])
    t.expect("ready")
    with open("/dev/full", "w") as full:
        p = subprocess.run([BIN, "-p", str(t.pid), "--plain", "-d", "300ms"], stdout=full,
                           stderr=subprocess.PIPE, text=True, timeout=180)
    assert p.returncode == 1, p.stderr


def test_stdout_reader_goes_away(target):
    """| head -1: ends without noise, and takes its probes out."""
    t = target([workload("family.c")])
    t.expect("ready")
    clean = text_of(t.pid)
    p = subprocess.Popen([BIN, "-p", str(t.pid), "--plain", "-i", "100ms"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    p.stdout.readline()
    p.stdout.close()
    p.wait(180)
    wait_for(lambda: breakpoints(t.pid, clean) == 0)
    assert t.proc.poll() is None


# Files that are not where they seem -------------------------------------------------------------

def test_deleted_executable(target, attach, tmp_path):
    exe = tmp_path / "gone"
    shutil.copy(workload("family.c", flags=("-static", "-DNO_CFREE"), suffix="-del"), exe)
    t_args = [exe]

    t = target(t_args)
    t.expect("ready")
    exe.unlink()
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "x.json")
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    status, _, err = a.finish()
    assert status == 0, err
    p = load_json(tmp_path / "x.json")
    assert p["totals"]["inuse_bytes"] == want["inuse_bytes"]
    names = {n: {v: f[v] for v in STACK_VALUES} for n, f in want["functions"].items()}
    assert by_function(p, names) == names


def test_mount_namespace_and_chroot(target, attach, tmp_path):
    """A container's essence: a root of its own on a file system that only the target sees, and
    another file under the very paths that the target uses."""
    exe = workload("family.c")
    libs = re.findall(r"(/\S+)\s\(0x", subprocess.run(["ldd", exe], capture_output=True,
                                                      text=True).stdout)
    root = tmp_path / "root"
    root.mkdir()
    copies = " && ".join(f"mkdir -p {root}{os.path.dirname(f)} && cp -L {f} {root}{f}"
                         for f in libs)
    (tmp_path / "family").write_text("not an ELF file")
    script = (f"mount -t tmpfs tmpfs {root} && {copies} && cp {exe} {root}/family && "
              f"exec chroot {root} /family")
    t = target(["unshare", "--mount", "sh", "-c", script])
    t.expect("ready")
    assert not (root / "family").exists()
    a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "x.json")
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    status, _, err = a.finish()
    assert status == 0, err
    p = load_json(tmp_path / "x.json")
    names = {n: {v: f[v] for v in STACK_VALUES} for n, f in want["functions"].items()}
    assert by_function(p, names) == names
    t.say("x")
    assert t.proc.wait(180) == 0


def test_pid_namespace(target, attach, tmp_path):
    """The PID is the one that memwatch sees; inside, the target believes to be 1."""
    t = target(["unshare", "--pid", "--fork", "--kill-child", workload("family.c")])
    t.expect("ready")
    child = int(Path(f"/proc/{t.pid}/task/{t.pid}/children").read_text().split()[0])
    a = attach("-p", child, "--exact", "--plain", "-o", tmp_path / "x.%p.json")
    t.say("go")
    want = json.loads(t.expect("done")[5:])
    status, _, err = a.finish()
    assert status == 0, err
    assert load_json(tmp_path / f"x.{child}.json")["totals"]["inuse_bytes"] == want["inuse_bytes"]


# memwatch run -----------------------------------------------------------------------------------

@pytest.mark.parametrize("cmd,status", [
    (["sh", "-c", "exit 0"], 0), (["sh", "-c", "exit 7"], 7), (["sh", "-c", "exit 255"], 255),
    (["sh", "-c", "kill -9 $$"], 137), (["sh", "-c", "kill -TERM $$"], 143),
    (["/nonexistent/command"], 127), (["no-such-command-anywhere"], 127),
    (["/etc/passwd"], 126), (["/tmp"], 126),
], ids=lambda x: " ".join(x) if isinstance(x, list) else str(x))
def test_run_status(cmd, status):
    p = memwatch("run", "--plain", "--", *cmd)
    assert p.returncode == status, p.stderr
    if status in (126, 127):
        assert cmd[0] in p.stderr


def test_lists_of_stacks_say_what_they_leave_out(target, attach, tmp_path):
    """Shown and left out are all that there is: of a report as the program runs, and of the file."""
    n = 30
    t = target([build("stacks.c", flags=["-O1", "-fno-omit-frame-pointer"]), str(n)])
    m = attach("-p", t.pid, "--plain", "--exact", "--top", "3", "-o", tmp_path / "p.txt", "-o", tmp_path / "p.json")
    t.proc.send_signal(signal.SIGUSR1)
    wait_for(lambda: Path(f"/proc/{t.pid}/comm").read_text() == "done\n")
    m.finish()
    stacks = sorted((s["inuse_bytes"] for s in load_json(tmp_path / "p.json")["stacks"] if s["inuse_bytes"]), reverse=True)
    assert len(stacks) >= n
    for text, shown in ((m.out, 3), ((tmp_path / "p.txt").read_text(), 20)):
        left, size = re.findall(r"^\((\d+) more stacks, (\S+)\)$", text, re.M)[-1]
        assert int(left) == len(stacks) - shown
        number, unit = re.fullmatch(r"([\d.]+)(B|kB)", size).groups()
        assert float(number) * {"B": 1, "kB": 1024}[unit] == pytest.approx(sum(stacks[shown:]), rel=0.01)


def test_run_sees_everything(tmp_path):
    """From the first instruction on: the workload's own, and nothing of the holding."""
    out = tmp_path / "x.json"
    p = memwatch("run", "--exact", "--plain", "-o", out, "--", workload("family.c"),
                 input="go\nx\n", timeout=180, check=0)
    want = json.loads(re.search(r"^done (.*)$", p.stdout, re.M)[1])
    prof = load_json(out)
    assert losses(prof) == {}, p.stderr
    names = {n: {v: f[v] for v in STACK_VALUES} for n, f in want["functions"].items()}
    assert by_function(prof, names) == names
    assert prof["comm"] == "family"


def test_run_passes_arguments_and_streams():
    p = memwatch("run", "-q", "--", "sh", "-c", "cat; echo \"$1|$2\" >&2; pwd", "x", "a b", "--exact",
                 input="some input\n", timeout=180, check=0, cwd="/usr")
    assert "some input" in p.stdout and "/usr" in p.stdout
    assert "a b|--exact" in p.stderr


def test_run_static(tmp_path):
    out = tmp_path / "x.json"
    exe = workload("family.c", "musl-gcc", ("-static", "-DNO_CFREE", "-DNO_PVALLOC"),
                   suffix="-runstatic")
    p = memwatch("run", "--exact", "--plain", "-o", out, "--", exe, input="go\nx\n",
                 check=0)
    want = json.loads(re.search(r"^done (.*)$", p.stdout, re.M)[1])
    assert load_json(out)["totals"]["alloc_bytes"] >= want["alloc_bytes"]


def test_run_sigint_reaches_the_command():
    """SIGINT to memwatch alone: the command is not left behind, and the books are closed."""
    p = subprocess.Popen([BIN, "run", "--plain", "--", "sh", "-c", "echo up $$; exec sleep 60"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid = None
    for line in p.stdout:
        m = re.match(r"up (\d+)", line)
        if m:
            pid = int(m[1])
            break
    assert pid
    p.send_signal(signal.SIGTERM)
    p.communicate(timeout=180)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}")
             or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


# features ---------------------------------------------------------------------------------------

def test_features():
    p = memwatch("features", check=0)
    assert "uprobe" in p.stdout
    f = json.loads(memwatch("features", "--json", check=0).stdout)
    assert isinstance(f, dict) and f


def test_a_profile_is_of_the_program_that_runs_at_last(tmp_path):
    """Not of what called exec: pprof takes the first mapping's file for the program."""
    out = tmp_path / "p.pb.gz"
    script = "[bytearray(1000) for i in range(20000)]"
    memwatch("run", "--exact", "-q", "-o", out, "--", "sh", "-c", f"exec env /usr/bin/python3 -c '{script}'", check=0)
    text = memwatch("report", "--raw", out, check=0).stdout
    first = re.search(r"^Mappings\n1: .*? (/\S+)", text, re.M)[1]
    assert os.path.basename(first).startswith("python3"), text[text.index("Mappings"):]
