# SPDX-License-Identifier: GPL-2.0-or-later
"""What every end-to-end test uses: the binary under test, workloads built on demand, helpers."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("MEMWATCH", ROOT / "build" / "memwatch"))
WORKLOADS = ROOT / "tests" / "workloads"
OUT = ROOT / "build" / "workloads"
NICE = os.nice(0)  # of the tests, and so of what they start
# Seconds after which a state that is waited for is given up; how long it takes is the machine's matter.
PATIENCE = 180.0
START = 0.1  # seconds that a start of memwatch takes at most, on a machine that is not slow


# Groups that begin first, for they take minutes: at the end one of them would run beside none.
LONGEST = ("kills", "test_real_programs", "test_fast_run", "test_windows", "test_alloc", "test_daemon_comings",
           "test_pictures", "test_daemon_windows", "test_fast_kills")


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the marks
def pytest_collection_modifyitems(items):
    """Files run side by side; those with OOM kills in turn, since kills are the whole machine's."""
    group = {}
    for item in items:
        kills = item.module.__name__ == "oomlib" or hasattr(item.module, "oomlib") or any(
            getattr(v, "__module__", "") == "oomlib" for v in vars(item.module).values())
        group[item] = "kills" if kills else item.module.__name__
        item.add_marker(pytest.mark.xdist_group(group[item]))
    items.sort(key=lambda item: LONGEST.index(group[item]) if group[item] in LONGEST else len(LONGEST))


def pytest_terminal_summary(terminalreporter):
    """What tests have measured stands at the end, whether they passed or not."""
    for report in [r for what in ("passed", "failed") for r in terminalreporter.stats.get(what, [])]:
        for name, text in report.user_properties:
            if name == "numbers":
                terminalreporter.write_line(text)


@contextlib.contextmanager
def one_at_a_time(name):
    """For what tests that run side by side build in the same place."""
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / f".{name}.lock", "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: what it does to the machine the test beside it would feel")


@pytest.fixture(autouse=True)
def machine(request):
    """The machine, shared with the test beside or, for one that is marked alone, without any. Whoever
    waits for it stands in the gate, so that nobody new overtakes."""
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / ".gate.lock", "w") as gate, open(OUT / ".machine.lock", "w") as whole:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(whole, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@pytest.fixture(autouse=True, scope="session")
def checkout_stays_as_it_is(tmp_path_factory):
    """What a test writes without saying where does not land in the checkout; nothing else does."""
    before = set(os.listdir(ROOT))
    os.chdir(tmp_path_factory.mktemp("cwd"))
    yield
    os.chdir(ROOT)
    assert set(os.listdir(ROOT)) - before - {"build", ".pytest_cache"} == set()


@pytest.fixture(scope="session")
def libc_copy():
    """A directory with a copy of the C library, which others on the machine have no probes in."""
    d = Path(tempfile.mkdtemp(prefix="libc-"))
    d.chmod(0o755)  # targets are other users', too
    with open("/proc/self/maps") as f:
        shutil.copy(next(line.split()[-1] for line in f if "/libc.so.6" in line), d)
    yield d
    shutil.rmtree(d)


@pytest.fixture
def own_libc(libc_copy, monkeypatch):
    """What is written into libc, or compared with its file, is nobody else's: a probe that another
    test has on the shared file is in every process that maps it."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libc_copy))


def build(name, cc="gcc", flags=(), libs=(), suffix="", extra=()):
    """Compiles tests/workloads/NAME (and the sources `extra`) with the given flags into
    build/workloads; returns the path."""
    srcs = [WORKLOADS / n for n in (name, *extra)]
    exe = OUT / (srcs[0].stem + suffix)
    with one_at_a_time(exe.name):
        return _build(exe, srcs, cc, flags, libs)


def _build(exe, srcs, cc, flags, libs):
    stamp = " ".join([cc, *flags, *libs])
    note = OUT / (exe.name + ".flags")
    newest = max(p.stat().st_mtime for p in [*srcs, *WORKLOADS.glob("*.h")])
    if (exe.exists() and exe.stat().st_mtime > newest
            and note.exists() and note.read_text() == stamp):
        return exe
    subprocess.run([cc, "-g", "-o", str(exe), *map(str, srcs), *flags, *libs], check=True)
    note.write_text(stamp)
    return exe


def wait_for(what, timeout=PATIENCE, step=0.05):
    """Waits until what() is true; fails the test after `timeout` seconds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        v = what()
        if v:
            return v
        time.sleep(step)
    pytest.fail(f"timed out waiting for {what}")


def in_time(took, promised):
    """Was it there in the time that memwatch itself promises? Ten times that, since what is looked for
    is a wait that should not be, of fifteen seconds and more; where the machine is slow now, as many
    times more as a start of memwatch takes longer than START."""
    begin = time.monotonic()
    subprocess.run([BIN, "--version"], stdout=subprocess.DEVNULL, check=True)
    return took < 10 * promised * max(1, (time.monotonic() - begin) / START)


class Target:
    """A running workload that says 'ready' on stdout and waits for 'go' on stdin."""

    def __init__(self, argv, **kw):
        self.proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True, **kw)
        self.pid = self.proc.pid

    def expect(self, word="ready"):
        for line in self.proc.stdout:
            if line.strip().startswith(word):
                return line.strip()
        pytest.fail(f"workload ended before saying {word!r}")

    def say(self, word="go"):
        self.proc.stdin.write(word + "\n")
        self.proc.stdin.flush()

    def stop(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        for f in (self.proc.stdin, self.proc.stdout):
            try:
                f.close()
            except OSError:
                pass


@pytest.fixture
def target():
    """target(argv) starts a workload; all are killed at the end of the test."""
    started = []

    def start(argv, **kw):
        t = Target(argv, **kw)
        started.append(t)
        return t

    yield start
    for t in started:
        t.stop()


def memwatch(*args, timeout=PATIENCE, check=None, **kw):
    """Runs memwatch to its end; returns the CompletedProcess (text). check: expected status."""
    p = subprocess.run([str(BIN), *[str(a) for a in args]], capture_output=True, text=True,
                       timeout=timeout, **kw)
    if check is not None:
        assert p.returncode == check, f"status {p.returncode}\n{p.stdout}\n{p.stderr}"
    return p


def spent(args, out):
    """Runs memwatch with its output in a file; its highest RSS in bytes and its processor time in seconds,
    helpers' included, and what it said on stderr. A small program starts it: what it had before the exec
    counts, too."""
    prog = ("import os, sys\npid = os.fork()\nif not pid: os.execv(sys.argv[1], sys.argv[1:])\n"
            "_, code, usage = os.wait4(pid, 0)\n"
            "print(usage.ru_maxrss, usage.ru_utime + usage.ru_stime, file=sys.stderr)\n"
            "sys.exit(os.waitstatus_to_exitcode(code))")
    with open(out, "w") as f:
        p = subprocess.run(["/usr/bin/python3", "-IS", "-c", prog, str(BIN), *map(str, args)],
                           stdout=f, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    *said, last = p.stderr.splitlines(keepends=True)
    assert p.returncode == 0, p.stderr
    return int(last.split()[0]) << 10, float(last.split()[1]), "".join(said)


class Attached:
    """memwatch in the background; ready() returns once the probes are in. Both its outputs are
    read by threads all the time, so that it never blocks and no line is lost. wrap: a command
    that runs it."""

    def __init__(self, args, wrap=(), **kw):
        self.proc = subprocess.Popen([*wrap, str(BIN), *[str(a) for a in args]], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, **kw)
        self.err = self.out = ""
        self.news = threading.Condition()
        self.readers = [threading.Thread(target=self._read, args=(f, name), daemon=True)
                        for f, name in ((self.proc.stdout, "out"), (self.proc.stderr, "err"))]
        self.open = len(self.readers)
        for r in self.readers:
            r.start()

    def _read(self, f, name):
        for line in f:
            with self.news:
                setattr(self, name, getattr(self, name) + line)
                self.news.notify_all()
        with self.news:
            self.open -= 1
            self.news.notify_all()

    def wait_for(self, pattern, stream="err", timeout=PATIENCE):
        """Waits until the regular expression is found in what was printed; returns the match."""
        end = time.monotonic() + timeout
        with self.news:
            while True:
                m = re.search(pattern, getattr(self, stream), re.M)
                if m:
                    return m
                left = end - time.monotonic()
                if left <= 0 or not self.open:
                    pytest.fail(f"memwatch did not say {pattern!r} on std{stream}:\n"
                                f"{self.err}\n{self.out}")
                self.news.wait(left)

    def more_reports(self, n):
        """Waits for n more plain reports: so often the loop has come round, with a row of the
        timeline each time."""
        told = self.out.count("  watched ")
        wait_for(lambda: self.proc.poll() is not None or self.out.count("  watched ") >= told + n)

    def ready(self):
        self.wait_for("attached")
        return self

    def finish(self, sig=signal.SIGINT, timeout=PATIENCE):
        """Sends the signal (None: just waits); returns (status, stdout, stderr)."""
        if self.proc.poll() is None and sig:
            self.proc.send_signal(sig)
        self.proc.wait(timeout)
        for r in self.readers:
            r.join(timeout)
        return self.proc.returncode, self.out, self.err

    def stop(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        for r in self.readers:
            r.join(10)
        for f in (self.proc.stdout, self.proc.stderr):
            f.close()


@pytest.fixture
def attach():
    """attach(args…) starts memwatch and waits until it is attached; killed at the end."""
    running = []

    def start(*args, ready=True, **kw):
        a = Attached(args, **kw)
        running.append(a)
        return a.ready() if ready else a

    yield start
    for a in running:
        a.stop()


@pytest.fixture
def tmpfs(tmp_path):
    """tmpfs(name, size, lazily) mounts one of that size at tmp_path/name; it is unmounted at the end,
    lazily: though something may still have it open."""
    mounted = []

    def start(name, size, lazily=False, mode="1777"):
        d = tmp_path / name
        d.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode={mode}", "tmpfs", d], check=True)
        mounted.append(["umount", *(["-l"] if lazily else []), d])
        return d

    yield start
    for umount in mounted:
        subprocess.run(umount, check=True)


@pytest.fixture
def terminal():
    """terminal(command, cols, rows, …) opens one; all are closed at the end of the test."""
    from terminal import Terminal
    opened = []

    def start(*args, **kw):
        opened.append(Terminal(*args, **kw))
        return opened[-1]

    yield start
    for t in opened:
        t.close()


def load_json(path):
    return json.loads(Path(path).read_text())
