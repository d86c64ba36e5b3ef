# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that a rule of the daemon chooses, and whose files take as long to read as they may: the
rest of the daemon goes on."""
import os
import re
import shutil
import threading
import time

import pytest
from conftest import in_time, wait_for
from daemonlib import Server, attached, daemon, named, step  # noqa: F401 (fixtures)
from hostilelib import PROMISED, helpers, hostmaps, place  # noqa: F401 (fixtures)
from test_hostile import names_for_terminals, same_address

SLOW = f"slow{os.getpid()}"  # other test runs have theirs
OTHER = f"other{os.getpid()}"
RULES = ("sample-bytes = 1\ngo = no\n[faults]\nenabled = no\n"
         f"[profile s]\ncomm = ^{SLOW}$\n[profile o]\ncomm = ^{OTHER}$\n")
FILES = 60  # a third of a second each


class Asker:
    """Asks all the time, and knows how long that took at most."""

    def __init__(self, server, path):
        self.server, self.path, self.worst, self.asks = server, path, 0, True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.asks:
            begin = time.monotonic()
            assert self.server.get(self.path)[0] == 200
            self.worst = max(self.worst, time.monotonic() - begin)

    def end(self):
        self.asks = False
        self.thread.join()


@pytest.fixture
def asker():
    made = []

    def start(*args):
        made.append(Asker(*args))
        return made[-1]

    yield start
    for a in made:
        a.end()


@pytest.fixture
def slow(place, hostmaps):
    """slow(files…): a process of an unprivileged user that maps many that are slow to read, and then
    these."""
    one = same_address(place)
    libs = [place / f"slow{i}.so" for i in range(FILES)]
    for lib in libs:
        shutil.copy(one, lib)
    place.chmod(0o755)  # for a daemon's state, too
    return lambda *more: hostmaps(*libs, *more, name=SLOW)


def names(server, pid):
    """Of libraries: how many have theirs in the profile of now."""
    return server.text(f"/debug/pprof/heap?pid={pid}&debug=1").count("hostile_alloc")


def test_slow_files_hold_up_nobody(daemon, named, slow, asker):
    """While they are read, questions are answered, another process is attached to, and asked about; what
    was not waited for is there later."""
    d = daemon(RULES, "--listen", "127.0.0.1:0",
               env={**os.environ, "MEMWATCH_PARSE_CPU": "60s"})  # all of them may be read
    s = Server(d)
    a = asker(s, "/metrics")
    eve = slow()
    attached(d, eve.proc.pid)
    bob = named(OTHER)
    attached(d, bob.proc.pid)
    wait_for(lambda: helpers(d.proc.pid)[1])  # at work for eve
    step(bob, "go")
    assert not re.match("heap profile: 0:", s.text(f"/debug/pprof/heap?pid={bob.proc.pid}&debug=1"))
    eve.say()
    eve.expect("ok")
    begin = time.monotonic()
    first = names(s, eve.proc.pid)
    assert in_time(time.monotonic() - begin, PROMISED)
    assert first < FILES, "its files are not slow"
    wait_for(lambda: names(s, eve.proc.pid) > first, timeout=600)
    a.end()
    assert in_time(a.worst, PROMISED), a.worst


def test_what_is_found_late_is_probed(daemon, place, slow):
    """An allocator that stands behind files that are slow to read is found when they are read."""
    lib = names_for_terminals(place)
    d = daemon(RULES, "-v", env={**os.environ, "MEMWATCH_PARSE_CPU": "60s"})
    eve = slow(lib)
    d.wait_for(f"probe {lib} je_malloc", timeout=600)
    before = d.err[:d.err.index(f"probe {lib} je_malloc")]
    assert re.search(rf"attached to PID {eve.proc.pid} .*: [1-9]\d* probes", before)
