# SPDX-License-Identifier: GPL-2.0-or-later
"""What every end-to-end test uses: the binary under test, workloads built on demand, helpers."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("MEMWATCH", ROOT / "build" / "memwatch"))
WORKLOADS = ROOT / "tests" / "workloads"
OUT = ROOT / "build" / "workloads"


def build(name, cc="gcc", flags=(), libs=(), suffix=""):
    """Compiles tests/workloads/NAME with the given flags into build/workloads; returns the path."""
    src = WORKLOADS / name
    exe = OUT / (src.stem + suffix)
    OUT.mkdir(parents=True, exist_ok=True)
    stamp = " ".join([cc, *flags, *libs])
    note = exe.with_suffix(".flags")
    if (exe.exists() and exe.stat().st_mtime > src.stat().st_mtime
            and note.exists() and note.read_text() == stamp):
        return exe
    subprocess.run([cc, "-g", "-o", str(exe), str(src), *flags, *libs], check=True)
    note.write_text(stamp)
    return exe


def wait_for(what, timeout=20.0, step=0.05):
    """Waits until what() is true; fails the test after `timeout` seconds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        v = what()
        if v:
            return v
        time.sleep(step)
    pytest.fail(f"timed out waiting for {what}")


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


def memwatch(*args, timeout=120, check=None, **kw):
    """Runs memwatch to its end; returns the CompletedProcess (text). check: expected status."""
    p = subprocess.run([str(BIN), *[str(a) for a in args]], capture_output=True, text=True,
                       timeout=timeout, **kw)
    if check is not None:
        assert p.returncode == check, f"status {p.returncode}\n{p.stdout}\n{p.stderr}"
    return p


class Attached:
    """memwatch attached in the background; ready() returns once the probes are in."""

    def __init__(self, args, **kw):
        self.proc = subprocess.Popen([str(BIN), *[str(a) for a in args]], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, **kw)
        self.err = ""

    def ready(self):
        for line in self.proc.stderr:
            self.err += line
            if "attached" in line:
                return self
        out = self.proc.stdout.read()
        pytest.fail(f"memwatch ended before attaching: {self.err}\n{out}")

    def finish(self, sig=signal.SIGINT, timeout=60):
        if self.proc.poll() is None and sig:
            self.proc.send_signal(sig)
        out, err = self.proc.communicate(timeout=timeout)
        self.err += err
        return self.proc.returncode, out, self.err


@pytest.fixture
def attach():
    """attach(args…) starts memwatch and waits until it is attached; killed at the end."""
    running = []

    def start(*args, **kw):
        a = Attached(args, **kw)
        running.append(a)
        return a.ready()

    yield start
    for a in running:
        if a.proc.poll() is None:
            a.proc.kill()
        a.proc.communicate()


def load_json(path):
    return json.loads(Path(path).read_text())
