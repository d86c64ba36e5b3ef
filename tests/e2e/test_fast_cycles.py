# SPDX-License-Identifier: GPL-2.0-or-later
"""Fast mode goes in and out of programs under load, which verify what they hold. FAST_ATTACHES=1000
(`make soak-fast`) is the long form."""
import os
import random
import shutil
import signal
import subprocess
import threading

import pytest

from alloclib import losses, workload
from conftest import load_json, memwatch, wait_for
from test_attach import breakpoints, text_of
from test_fast import ALLOCATORS, is_fast

pytestmark = pytest.mark.usefixtures("own_libc")

CYCLES = int(os.environ.get("FAST_ATTACHES", "3"))


def cycle(attach, pid, i, clean):
    """In, some work under it, out; every third time it is killed instead."""
    a = attach("-p", pid, "--fast", "--plain", "--sample-bytes", random.choice(["4K", "64K"]))
    if i % 3 == 2:
        a.proc.kill()
        a.proc.wait()
        memwatch("detach", "-p", pid, check=0)
    else:
        status, _, err = a.finish(signal.SIGINT)
        assert status == 0 and is_fast(err), err
    # the kernel takes the probes of one that was killed out when it gets to it
    wait_for(lambda: breakpoints(pid, clean) == 0)


@pytest.mark.parametrize("lib", ALLOCATORS)
def test_whatever_leaves_a_function(lib, target, attach, tmp_path):
    """Exceptions, longjmp, coroutines, backtraces from handlers on stacks of their own."""
    exe = workload("jumps.cpp", libs=(lib,) if lib else (), suffix=lib)
    t = target([exe])
    t.expect("ready")
    clean = text_of(t.pid)
    t.say("go")
    for i in range(CYCLES):
        cycle(attach, t.pid, i, clean)
    out = tmp_path / "x.json"
    a = attach("-p", t.pid, "--fast", "--plain", "--sample-bytes", "4K", "-o", out)
    a.proc.send_signal(signal.SIGUSR1)
    a.wait_for("wrote")
    t.say("enough")
    assert t.expect("done") == "done 1"
    status, _, err = a.finish(signal.SIGINT)
    assert status == 0 and is_fast(err), err
    assert losses(load_json(out)) == {}, err
    t.say("x")
    assert t.proc.wait(180) == 0


class Redis:
    """A server and a client that sets, gets and compares."""

    def __init__(self, tmp):
        self.sock = str(tmp / "redis.sock")
        self.server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", self.sock,
                                        "--save", "", "--appendonly", "no"],
                                       stdout=subprocess.DEVNULL)
        wait_for(lambda: self.cli("ping") == "PONG")
        self.rounds, self.wrong, self.stop = 0, [], False
        self.client = threading.Thread(target=self.work)
        self.client.start()

    def cli(self, *args, text=None):
        p = subprocess.run(["redis-cli", "-s", self.sock, *args], capture_output=True, text=True,
                           input=text)
        return p.stdout.strip()

    def work(self):
        while not self.stop:
            keys = [f"k{random.randrange(10000)}" for _ in range(500)]
            values = {k: k * random.randrange(1, 300) for k in keys}
            self.cli(text="".join(f"SET {k} {v}\n" for k, v in values.items()))
            got = self.cli(text="".join(f"GET {k}\n" for k in values)).splitlines()
            if got != list(values.values()):
                self.wrong.append((keys[0], got[:1]))
            self.rounds += 1

    def end(self):
        self.stop = True
        self.client.join()
        self.server.terminate()
        self.server.wait()


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")
def test_redis(attach, tmp_path):
    r = Redis(tmp_path)
    try:
        clean = text_of(r.server.pid)
        for i in range(CYCLES):
            before = r.rounds
            cycle(attach, r.server.pid, i, clean)
            wait_for(lambda: r.rounds > before + 1)
            assert r.server.poll() is None and not r.wrong
    finally:
        r.end()
    assert not r.wrong


PYTHON = """
import threading, sys
stop = False
def work(n):
    rounds = 0
    while not stop:
        d = {i: str(i) * (i % 50 + 1) for i in range(2000)}
        assert all(v == str(k) * (k % 50 + 1) for k, v in d.items())
        assert len(b"x" * (n * 100003)) == n * 100003
        rounds += 1
    assert rounds
threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
print("ready", flush=True)
for t in threads: t.start()
sys.stdin.readline()
stop = True
for t in threads: t.join()
print("done", flush=True)
"""


def test_python(target, attach):
    t = target(["python3", "-c", PYTHON], env={**os.environ, "PYTHONMALLOC": "malloc"})
    t.expect("ready")
    clean = text_of(t.pid)
    for i in range(CYCLES):
        cycle(attach, t.pid, i, clean)
        assert t.proc.poll() is None
    t.say("enough")
    t.expect("done")
    assert t.proc.wait(180) == 0
