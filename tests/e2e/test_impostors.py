# SPDX-License-Identifier: GPL-2.0-or-later
"""What pretends to be something else, or more than it is: strangers under an old PID, names that turn
text around, files that expand out of nothing, children that come and go."""
import gzip
import json
import os
import resource
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from conftest import BIN, build, memwatch, wait_for
from daemonlib import daemon  # noqa: F401 (a fixture)
from protogen import Profile
from test_top import again, do, mm  # noqa: F401 (mm and again are fixtures)

BIDI = "\u202e"  # text after it is shown from right to left
TRICKS = [BIDI, "\u2066", "\u200f", "\u061c", "\U000e0041", "\u2028"]


# --- a PID comes back ---------------------------------------------------------------------------

def test_a_stranger_under_an_old_pid_is_not_the_target(mm, again, attach):
    first, second = mm(), mm()
    m = attach("-p", first.pid, "-p", second.pid, "--plain", "-i", "0.1")
    first.stop()
    do(again(first.pid), "grow", 64)
    m.wait_for(rf"PID {first.pid} \(ended\)", stream="out")
    status, out, _ = m.finish()
    assert status == 0
    reports = out.split(f"PID {first.pid} (ended)")[1:]
    assert reports
    for r in reports:
        assert r.split("\n")[1].startswith("  RSS 0B  VIRT 0B"), r[:200]


def test_a_stranger_under_an_old_pid_raises_no_alarm(mm, again, daemon):
    """Between two passes over all processes, too: the second of these is an hour away."""
    first, other = mm(), mm()
    d = daemon("interval = 1h\ngo = no\n[faults]\nenabled = no\n"
               "[alert small]\ncomm = ^mm$\nalert-rss = 64K\n[alert large]\ncomm = ^mm$\nalert-rss = 50M\n")

    def alarms(threshold, state="firing"):
        return {x["pid"] for x in map(json.loads, (d.state / "oom.jsonl").read_text().splitlines())
                if x["threshold"] == threshold and x["state"] == state}
    wait_for(lambda: {first.pid, other.pid} <= alarms(64 << 10))
    first.stop()
    do(again(first.pid), "grow", 100)
    do(other, "grow", 100)
    wait_for(lambda: other.pid in alarms(50 << 20))
    do(other, "shrink", 100)
    wait_for(lambda: other.pid in alarms(50 << 20, "resolved"))  # by ticks in which all were looked at
    assert first.pid not in alarms(50 << 20)


# --- names --------------------------------------------------------------------------------------

@pytest.mark.parametrize("trick", TRICKS, ids=[f"U+{ord(c):04X}" for c in TRICKS])
def test_names_do_not_turn_text_around(trick):
    name = f"log{trick}gnp.exe"
    p = subprocess.Popen(["bash", "-c", 'printf "%s" "$1" >/proc/self/comm; exec -a "$1" sleep 60',
                          "x", name])
    try:
        wait_for(lambda: b"60" in Path(f"/proc/{p.pid}/cmdline").read_bytes()
                 and b"bash" not in Path(f"/proc/{p.pid}/cmdline").read_bytes())
        for args in (["--plain", "--full-command"], ["--plain"], ["--json"]):
            out = memwatch("top", "-n", 1, "-p", p.pid, *args, check=0).stdout
            assert str(p.pid) in out
            if args == ["--json"]:
                row = json.loads(out.splitlines()[0])["processes"][0]
                out = row["cmdline"] + row["comm"]
                assert "gnp.exe" in out
            assert trick not in out, args
    finally:
        p.kill()
        p.wait()


def test_names_that_alarms_pass_on(target, tmp_path):
    """To a command's environment, to its input, to the log and to standard error."""
    name = f"a\r\x1b[2J{BIDI}\U000e0041"
    t = target(["bash", "-c", 'printf "%s" "$1" >/proc/$$/comm; echo ready; read', "x", name])
    t.expect("ready")
    p = memwatch("-p", t.pid, "--plain", "-d", 1, "--alert-rss", "4K", "--alert-dir", tmp_path, "--oom-log",
                 tmp_path / "log", "--on-alert",
                 f"sh -c 'env -0 >{tmp_path}/env; cat >{tmp_path}/json'", check=0)
    env = (tmp_path / "env").read_bytes().decode().split("\0")
    told, log = (tmp_path / "json").read_text(), (tmp_path / "log").read_text()
    assert json.loads(told)["comm"] == json.loads(log.splitlines()[0])["comm"] == name
    comm, = [v for v in env if v.startswith("MEMWATCH_ALERT_COMM=")]
    assert "\r" not in comm and "[2J" in comm
    for text in (p.stderr, told, log, *[v for v in env if v.startswith("MEMWATCH_")]):
        assert not {"\x1b", BIDI, "\U000e0041"} & set(text), text
    assert all(line.startswith("memwatch: ") for line in p.stderr.splitlines()), p.stderr


@pytest.mark.parametrize("trick", TRICKS[:3], ids=[f"U+{ord(c):04X}" for c in TRICKS[:3]])
def test_messages_do_not_turn_text_around(trick, target, tmp_path):
    exe = build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))
    name = shutil.copy(exe, tmp_path / f"log{trick}gnp")
    t = target([name])
    t.expect("ready")

    p = memwatch("-p", t.pid, "--plain", "-v", "-d", "0.2", check=0)
    assert "gnp" in p.stderr + p.stdout and trick not in p.stderr + p.stdout


# --- files --------------------------------------------------------------------------------------

def bomb(path, frames, lines, samples=1):
    p = Profile()
    p.value_type("inuse_space", "bytes")
    m = p.mapping(0x1000, 0x2000)
    f = p.function("f")
    loc = p.location(m, 0x1000, [(f, 1)] * lines)
    for _ in range(samples):
        p.sample([loc] * frames, [1])
    path.write_bytes(gzip.compress(p.bytes(), 9))
    return path


def number(v):
    """As recordings have them: seven bits a byte."""
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


def numbers(*values):
    return b"".join(map(number, values))


def recording(path, frames, lines, samples=1):
    """The same as a recording of one tick, in which all stacks have a value."""
    block = numbers(1, 1) + b"f" + numbers(1, 0x1000, 0x2000, 0, 0, 0, 0) + numbers(1, 1, 1, 1, 0)
    block += numbers(1, 1, 0x1000, lines) + numbers(1 - 1, 2, 0) * lines
    block += numbers(samples) + (number(frames) + bytes(frames) + number(0)) * samples
    block += numbers(2, 2, 1, 1, 0, 1, 2, 0, 0, 0) + struct.pack("<6d", *[1.0] * 6)
    block += number(samples) + b"".join(numbers(min(i, 1), 2, 2, 2, 2) for i in range(samples))
    path.write_bytes(b"MWREC2\n\0" + struct.pack("<III", 0x3162774d, len(block), zlib.crc32(block)) + block)
    return path


made = {}  # by shape: deflating them takes longer than refusing them


def limit():
    """What a reader writes and how much memory and time it may take to refuse."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))


@pytest.mark.parametrize("shape", [(20000, 60000, 1), (1, 60000, 5000), (20000, 1, 500)],
                         ids=["inlined", "many-samples", "deep"])
@pytest.mark.parametrize("how", [["-o", "OUT.json"], ["--json"], ["--top"], ["--traces"], ["--tree"]],
                         ids=lambda h: h[0])
def test_a_small_file_stays_small(tmp_path, shape, how):
    src = tmp_path / "in.pb.gz"
    if shape not in made:
        made[shape] = bomb(src, *shape).read_bytes()
    src.write_bytes(made[shape])
    assert src.stat().st_size < 40000
    out = tmp_path / "out.json"

    p = subprocess.run([str(BIN), "report", *[str(out) if a == "OUT.json" else a for a in how], str(src)],
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=180,
                       preexec_fn=limit)
    assert p.returncode == 1 and "more frames than a file of this size can mean" in p.stderr
    assert not out.exists() and len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("how", [["-o", "OUT.json"], ["--top"], ["--traces"]], ids=lambda h: h[0])
def test_a_small_recording_stays_small(tmp_path, how):
    """Its tables are not packed, and so a file may be read of which each byte stands for few frames; what a
    stack of one frame unfolds into shows that the recordings made here are ones."""
    out, src = tmp_path / "out.json", tmp_path / "in.mwrec"
    for frames, lines, samples, status in ((1, 3, 2, 0), (20000, 60000, 1, 1), (1, 60000, 5000, 1)):
        recording(src, frames, lines, samples)
        assert src.stat().st_size < 300000
        p = subprocess.run([str(BIN), "report", *[str(out) if a == "OUT.json" else a for a in how], str(src)],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=180,
                           preexec_fn=limit)
        assert p.returncode == status, p.stderr
        assert status == 0 or "more frames than a file of this size can mean" in p.stderr
        assert len(p.stdout) < 1 << 20 and out.exists() == (status == 0 and how[0] == "-o")
        out.unlink(missing_ok=True)


@pytest.mark.parametrize("n", [256, 257])
def test_labels_of_one_sample_are_bounded(n, tmp_path):
    """They are compared with each other."""
    p = Profile()
    p.value_type("inuse_space", "bytes")
    loc = p.location(p.mapping(0x1000, 0x2000), 0x1000, [(p.function("f"), 1)])
    p.sample([loc], [1], [(f"key{i}", f"value{i}") for i in range(n)])
    src = tmp_path / "in.pb.gz"
    src.write_bytes(gzip.compress(p.bytes()))
    r = memwatch("report", "--tags", src)
    assert (r.returncode, "value7" in r.stdout) == ((0, True) if n == 256 else (1, False))
    assert n == 256 or "more than 256 labels" in r.stderr


def test_a_deep_honest_file_is_read(tmp_path):
    src = bomb(tmp_path / "in.pb.gz", 2000, 20, 20)  # 800,000 frames
    assert "f" in memwatch("report", "--top", src, check=0).stdout


# --- descriptors --------------------------------------------------------------------------------

def test_ended_children_keep_no_descriptors(attach):
    script = ("read x; for i in $(seq 40); do /bin/true; done; echo one; "
              "read x; for i in $(seq 120); do /bin/true; done; echo two; read x")
    t = subprocess.Popen(["bash", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
    try:
        m = attach("-p", t.pid, "--follow", "--plain", "-i", "0.1")

        def open_files():
            return len(os.listdir(f"/proc/{m.proc.pid}/fd"))

        def round_of_children():
            t.stdin.write("\n")
            t.stdin.flush()
            t.stdout.readline()
            seen = []  # until it has settled
            wait_for(lambda: seen.append(open_files()) or len(seen) > 10 and len(set(seen[-10:])) == 1,
                     timeout=180)
            return seen[-1]

        first = round_of_children()
        assert round_of_children() <= first + 8
        assert m.finish()[0] == 0
    finally:
        t.kill()
        t.wait()


def test_a_log_that_steers_a_terminal(tmp_path):
    """One that somebody else wrote, as memwatch's own: read by oom, as text and as it is."""
    steer = "\u009b2J\u202e\u200f"
    log = tmp_path / "log"
    event = {"schema": "memwatch.oom/1", "time": "2026-01-01T00:00:00.000Z", "x": steer,
             "victim": {"pid": 1, "comm": steer, "cmdline": steer, "cgroup": steer},
             "trigger": {"pid": 1, "comm": steer, "cgroup": steer}, "memcg": {"path": steer}}
    log.write_text(json.dumps(event, ensure_ascii=False).replace(", ", ",\t") + "\n")
    for words in (["--log", log, "--list"], [log]):
        for args in ([], ["--json"]):
            p = memwatch("oom", *words, *args, check=0)
            assert "2J" in p.stdout and not (set(steer) - set("2J")) & set(p.stdout), (words, args)
            if args:
                assert json.loads(p.stdout.splitlines()[0])["victim"]["comm"] == steer
