# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of a target that never come, since whoever owns their file system does not answer."""
import os

import pytest
from conftest import build, load_json, wait_for
from daemonlib import ROUNDS, attached, daemon, rounds, serve, step  # noqa: F401 (fixtures)
from fuselib import READ
from golib import go_build
from test_hung_disk import hung  # noqa: F401 (a fixture)


def held(p):
    return sum(s["inuse_bytes"] for s in p["stacks"] if any(f["function"] == "hold" for f in s["frames"]))


@pytest.fixture
def stalled(hung, target):
    """stalled(name): a program that has a file of that name mapped whose bytes never come."""
    exe = build("stalled.c", flags=["-O1"])

    def start(name, **kw):
        (hung.at / name).write_bytes(os.urandom(1 << 20))
        os.chmod(hung.at / name, 0o755)
        hung.hold(READ)
        t = target([exe, hung.at / name], **kw)
        t.expect("ready")
        return t
    return start


def test_a_file_that_never_comes(stalled, hung, attach, tmp_path):  # noqa: F811
    """It is asked for, and what can be had without it is there: the C library's probes, names and stacks."""
    t = stalled("libother.so")
    m = attach("-p", t.pid, "--plain", "--exact", "-o", tmp_path / "p.json")
    t.say("a")
    t.expect("done")
    status, _, err = m.finish()
    assert status == 0, err
    assert held(load_json(tmp_path / "p.json")) == 1000 * 1000
    assert hung.waiting  # it was looked at, and still nobody has answered


def test_the_daemon_goes_on_beside_it(stalled, hung, serve, rounds, target):  # noqa: F811
    """A rule that fits it, and a Go program on the same file system: others are profiled as ever."""
    exe = hung.at / "program"
    exe.write_bytes(go_build("shapes", "-plain").read_bytes())
    os.chmod(exe, 0o755)
    go = target([exe])
    go.expect("ready")
    bad = stalled("libother.so")
    s = serve("[profile bad]\ncomm = ^stalled$\n" + f"[profile t]\ncomm = ^{ROUNDS}$\n")
    good = rounds()
    attached(s.d, good.pid)
    step(good, "aa")
    wait_for(lambda: hung.waiting)

    def seen():
        status, _, body = s.get(f"/api/profile?pid={good.pid}")
        return status == 200 and b"hold" in body
    wait_for(seen)
    later = rounds()  # and those that come later
    attached(s.d, later.pid)
    assert bad.proc.poll() is None and go.proc.poll() is None
    status, _, err = s.d.finish()
    assert status == 0, err
