# SPDX-License-Identifier: GPL-2.0-or-later
"""A PostgreSQL of the test's own."""
import os
import pwd
import signal
import subprocess
from contextlib import contextmanager
from glob import glob
from types import SimpleNamespace

from conftest import wait_for


def pg_bin():
    dirs = sorted(glob("/usr/lib/postgresql/*/bin"))
    return dirs[-1] if dirs else None


@contextmanager
def pg_server(tmp_path_factory, wrap=(), env=None):
    """A server on a socket in .data: .proc, .pid (the postmaster's), .become (what a client needs
    to be run as its user), .tmp. wrap: a command that runs it, as root."""
    user = pwd.getpwnam("postgres")
    tmp = tmp_path_factory.mktemp("pg")
    data = tmp / "data"
    data.mkdir()
    for d in [data, tmp, *tmp.parents]:  # down to its data, another user has to get there
        mode = os.stat(d).st_mode
        if mode & 0o055 != 0o055:
            os.chmod(d, mode | 0o055)
    os.chown(data, user.pw_uid, user.pw_gid)
    os.chmod(data, 0o700)
    become = dict(user="postgres", group=user.pw_gid, extra_groups=[], cwd=data)
    subprocess.run([f"{pg_bin()}/initdb", "-A", "trust", "-N", "-D", data], check=True,
                   stdout=subprocess.DEVNULL, **become)
    args = [f"{pg_bin()}/postgres", "-D", str(data), "-k", str(data), "-h", "", "-F"]
    if wrap:
        args = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *args]
    srv = subprocess.Popen(wrap(args, tmp) if wrap else args, stderr=subprocess.DEVNULL, env=env,
                           **({} if wrap else become))
    try:
        wait_for((data / ".s.PGSQL.5432").exists)
        wait_for(lambda: subprocess.run(["pg_isready", "-q", "-h", data]).returncode == 0)
        pid = int((data / "postmaster.pid").read_text().split()[0])
        yield SimpleNamespace(proc=srv, pid=pid, data=data, tmp=tmp, become=become)
    finally:
        if (data / "postmaster.pid").exists():
            os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
        srv.wait()
