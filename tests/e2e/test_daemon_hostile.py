# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that a rule of the daemon chooses, and whose files take as long to read as they may: the
rest of the daemon goes on."""
import os
import re
import shutil
import signal
import threading
import time

import pytest
from conftest import build, in_time, wait_for
from daemonlib import Server, attached, daemon, named, step  # noqa: F401 (fixtures)
from hostilelib import PROMISED, USER, helpers, hostmaps, place  # noqa: F401 (fixtures)
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
    """slow(files…): a process of an unprivileged user that maps them, and below them many that are slow
    to read."""
    one = same_address(place)
    libs = [place / f"slow{i}.so" for i in range(FILES)]
    for lib in libs:
        shutil.copy(one, lib)
    place.chmod(0o755)  # for a daemon's state, too
    return lambda *more: hostmaps(*more, *libs, name=SLOW)


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
    """An allocator that stands behind files that are slow to read is probed all the same."""
    lib = names_for_terminals(place)
    d = daemon(RULES, "-v", env={**os.environ, "MEMWATCH_PARSE_CPU": "60s"})
    eve = slow(lib)
    d.wait_for(f"probe {lib} je_malloc", timeout=600)


def test_who_fires_many_alarms_leaves_places(daemon, target, place):
    """More processes of one user fire than commands may run: that of root's process runs all the same,
    and what was not run is told."""
    exe, ran, tell, over = (place / name for name in (SLOW, "ran", "tell", "over"))
    shutil.copy(build("known.c", flags=["-O1"]), exe)
    tell.write_text(f"#!/bin/sh\necho $MEMWATCH_ALERT_PID >>{ran}\n"
                    f"while [ ! -e {over} ]; do sleep .1; done\n")
    tell.chmod(0o755)
    place.chmod(0o755)
    d = daemon(f"go = no\n[faults]\nenabled = no\n[alert a]\ncomm = ^{SLOW}$\nalert-rss = 300K\n"
               f"on-alert = {tell}\nalert-timeout = 1h\n")
    for _ in range(10):
        target([*USER, exe]).expect("ready")
    d.wait_for(r"too many of them run for the same user or cgroup already \(1 alert without it so far\)")
    roots = target([exe])
    roots.expect("ready")
    wait_for(lambda: ran.exists() and str(roots.pid) in ran.read_text().split())
    pids = ran.read_text().split()
    over.touch()
    assert len(pids) == 5, pids
    assert d.finish(signal.SIGTERM)[0] == 0
    assert "6 alerts without the command of --on-alert" in d.err
