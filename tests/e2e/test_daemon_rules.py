# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules and questions of the daemon by unit and container; the examples of its page, each in a daemon that
does what it says there."""
import os
import re
import signal

import pytest

from conftest import ROOT, wait_for
from daemonlib import ROUNDS, attached, daemon, named, of_hold, rounds, serve, step  # noqa: F401 (fixtures)
from oomlib import MIB, Group, group, hog, leak, needs_cgroup  # noqa: F401 (fixtures)

CONTAINER = "4f0c2d9a" + "0123456789abcdef" * 3 + "01234567"
pytestmark = needs_cgroup


@pytest.fixture
def below(group):
    """below(name, limit): a group of that name below one of this test's own."""
    made = []

    def make(name, limit=None):
        made.append(Group(name, limit, parent=group()))
        return made[-1]
    yield make
    for g in reversed(made):
        g.remove()


def examples():
    """The five of the page, each after the words that say what it is for."""
    text = (ROOT / "docs/daemon.md").read_text()
    return re.findall(r"```ini\n(.*?)```", text, re.S)


def adapted(n, *pairs):
    """An example in which each of these was replaced, once."""
    text = examples()[n]
    for old, new in pairs:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return text


def strangers(d, *ts):
    """None of these was attached to, as of a pass from now on."""
    n = d.err.count("anew")
    d.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: d.err.count("anew") > n)
    return not any(re.search(rf"attached to PID {t.pid} ", d.err) for t in ts)


# --- by unit and container ---

@pytest.mark.parametrize("rule,where", [("unit = web", "web.service"), ("unit = we*.service", "web.service"),
                                        (f"container = {CONTAINER[:12]}", f"docker-{CONTAINER}.scope"),
                                        (f"container = {CONTAINER}", CONTAINER)])
def test_chooses_by(rule, where, daemon, named, below):
    inside, outside = named("inside", preexec_fn=below(where).join), named("outside", preexec_fn=below("other.service").join)
    d = daemon(f"go = no\n[profile p]\n{rule}\n")
    attached(d, inside.pid)
    assert strangers(d, outside)


@pytest.mark.parametrize("ask,where", [("unit=web", "web.service"), ("unit=web.service", "web.service"), ("unit=w*", "web.service"),
                                       (f"container={CONTAINER[:12]}", f"docker-{CONTAINER}.scope")])
def test_asked_for_by(ask, where, serve, rounds, below):
    t, other = rounds(), rounds("other-t")
    (below(where).dir / "cgroup.procs").write_text(str(t.pid))
    s = serve(f"go = no\n[profile p]\ncomm = ^({ROUNDS}|other-t)$\n")
    for p in (t, other):
        attached(s.d, p.pid)
        step(p, "a")
    status, headers, body = s.get(f"/debug/pprof/heap?{ask}&debug=1")
    assert status == 200 and of_hold(body.decode()) == [1000, 1000000, 1000, 1000000] and not headers["X-Memwatch-Left-Out"]
    assert "no such process" in s.text("/debug/pprof/heap?unit=nobody", 404)


# --- the page's examples ---

def test_one_service(daemon, named, below):
    """The first: whoever its processes are."""
    inside = [named("one", preexec_fn=below("nginx.service").join), named("two", preexec_fn=below("php-fpm8.2.service").join)]
    outside = named("one", preexec_fn=below("nginx2.service").join)
    d = daemon(examples()[0] + "[daemon]\ngo = no\n")
    for t in inside:
        attached(d, t.pid)
    assert strangers(d, outside)


def test_what_grows(daemon, leak, hog, below):
    """The second: what is large and grows, but not the backup."""
    p, backup = leak(512 * MIB, "-s", "64", "-u", "10000"), leak(512 * MIB, "-s", "64", "-u", "10000")
    (below("backup.service").dir / "cgroup.procs").write_text(str(backup.pid))
    d = daemon("growth-over = 2s\ngo = no\n" + adapted(1, ("min-rss = 256M", "min-rss = 16M\ncomm = ^oom_hog$")))
    leak.go(p)
    leak.go(backup)
    attached(d, p.pid)
    assert strangers(d, backup)


def test_a_busy_database(daemon, named):
    """The third: sampled inside the process, by windows, at a rate of its own."""
    name = f"postgres{os.getpid()}"[:15]
    t, other = named(name), named("postgrey")
    d = daemon("go = no\n" + adapted(2, ("^postgres$", f"^{name}$"), ("user = postgres", f"user = {os.getuid()}"),
                                     ("30s every 15m", "1s every 15m")))
    d.wait_for(rf"attached to PID {t.pid} .*\(--fast\), one sample per 2\.00MB$")
    d.wait_for(rf"let go of PID {t.pid} ")
    assert strangers(d, other) and d.err.count(f"attached to PID {t.pid} ") == 1


def test_containers_and_labels(daemon, named, leak, below, tmp_path):
    """The fourth: profiles by either, and a word before one of them runs out of memory."""
    told, tell = tmp_path / "told", tmp_path / "page-me"
    tell.write_text(f"#!/bin/sh\necho $1 > {told}\n")
    tell.chmod(0o755)
    shop = leak(128 * MIB, "-s", "64", "-u", "2000", "-m", str(122 << 10), env={**os.environ, "APP": "shop-7"})
    one, other = named("one", preexec_fn=below(f"docker-{CONTAINER}.scope").join), named("one", env={"APP": "store-1"})
    d = daemon("go = no\n" + adapted(3, ("/usr/local/bin/page-me", str(tell))))
    attached(d, shop.pid)
    attached(d, one.pid)
    leak.go(shop)
    assert wait_for(lambda: told.exists() and told.read_text()) == "shop\n"
    assert strangers(d, other)


def test_the_whole_machine(daemon, target, tmp_path):
    """The fifth: large processes of one user."""
    take = "import os, sys; os.setuid(int(sys.argv[1])); x = b'x' * int(sys.argv[2]); print('ready', flush=True); input()"
    large, small, other = (target(["python3", "-c", take, str(uid), str(size)])
                           for uid, size in ((12345, 96 << 20), (12345, 1), (12346, 96 << 20)))
    for t in (large, small, other):
        t.expect("ready")
    d = daemon(adapted(4, ("user = root", "user = 12345"), ("min-rss = 1G", "min-rss = 64M"), ("/srv/memwatch", str(tmp_path / "state"))))
    attached(d, large.pid)
    assert strangers(d, small, other)
