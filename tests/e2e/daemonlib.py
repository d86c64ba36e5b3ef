# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon for tests, what it profiles, and whoever asks it over HTTP."""
import base64
import os
import re
import sqlite3
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import build
from golib import GOBIN, go_env

# Of this test run's processes alone: others that run beside it have theirs.
ROUNDS = f"rounds{os.getpid()}-t"
RULE = f"[profile t]\ncomm = ^{ROUNDS}$\n"


@pytest.fixture
def daemon(attach, tmp_path):
    """daemon(rules, args…) starts one with a state directory of its own; returns it when ready."""
    def start(rules, *args, **kw):
        conf = tmp_path / "daemon.conf"
        conf.write_text("[daemon]\ninterval = 200ms\n" + rules)
        if "--listen" not in args and "listen =" not in rules:
            args = ("--listen", "none", *args)
        d = attach("daemon", "--config", conf, "--state-dir", tmp_path / "state", *args, ready=False,
                   **kw)
        d.conf, d.state = conf, tmp_path / "state"
        d.wait_for("daemon ready")
        return d
    return start


@pytest.fixture
def named(target, tmp_path):
    """named(comm): a process of that name that has allocated and waits."""
    known = build("known.c", flags=["-O1"])

    def start(comm, **kw):
        exe = tmp_path / comm
        if not exe.exists():
            exe.symlink_to(known)
        t = target([exe], **kw)
        t.expect("ready")
        return t
    return start


def attached(d, pid):
    return d.wait_for(rf"attached to PID {pid} ")


class Server:
    def __init__(self, d):
        self.d = d
        self.address = d.wait_for(r"listening on http://(\S+)")[1]
        self.token = d.wait_for(r"token: (\S+)")[1]

    def get(self, path, data=None, token=True):
        """Status, headers, body."""
        q = urllib.request.Request(f"http://{self.address}{path}", data=data)
        if token:
            word = base64.b64encode(f"memwatch:{self.token}".encode()).decode()
            q.add_header("Authorization", "Basic " + word)
        try:
            with urllib.request.urlopen(q, timeout=180) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def text(self, path, status=200, **kw):
        got = self.get(path, **kw)
        assert got[0] == status, got[2]
        return got[2].decode()

    def pprof(self, *args, tmp_path):
        """go tool pprof, as anybody would call it."""
        *options, path = args
        p = subprocess.run([GOBIN, "tool", "pprof", *options,
                            f"http://memwatch:{self.token}@{self.address}{path}"], capture_output=True,
                           text=True, timeout=180,
                           env=go_env(PPROF_TMPDIR=str(tmp_path / "pprof"), HOME=str(tmp_path)))
        assert p.returncode == 0, p.stderr
        return p.stdout


@pytest.fixture
def serve(daemon):
    def start(rules, *args):
        return Server(daemon("sample-bytes = 1\n" + rules, "--listen", "127.0.0.1:0", *args))
    return start


def start_as(comm, exe, target, tmp_path):
    """The program, ready, under a name of its own."""
    link = tmp_path / comm
    if not link.exists():
        link.symlink_to(exe)
    t = target([link])
    t.expect("ready")
    return t


@pytest.fixture
def rounds(target, tmp_path):
    exe = build("rounds.c", flags=["-O1"])

    return lambda comm=ROUNDS: start_as(comm, exe, target, tmp_path)


def step(t, what):
    t.say(what)
    t.expect("done")


def of_hold(text):
    """Of ?debug=1, the stacks through hold(): in-use blocks and bytes, allocated blocks and bytes."""
    got = [0, 0, 0, 0]
    for block in text.split("\n\n"):
        if re.search(r"^#\t0x\w+\thold\t", block, re.M):
            m = re.search(r"^(-?\d+): (-?\d+) \[(\d+): (\d+)\] @", block, re.M)
            got = [a + int(b) for a, b in zip(got, m.groups())]
    return got


def rows(d, query):
    """Of the history, beside the daemon that writes it."""
    with sqlite3.connect(f"file:{d.state}/history.db?mode=ro", uri=True, timeout=180) as db:
        return db.execute(query).fetchall()
