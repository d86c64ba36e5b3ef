# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes named by what they are (--unit, --cgroup, --name, --container): those that run, those
that come, those that come again after a restart."""
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from conftest import Target, build, load_json, memwatch, wait_for
from oomlib import Group, needs_cgroup

ID = "4f0c2d7a9b1e" + "0" * 52


@pytest.fixture
def service(tmp_path):
    """service() starts the same program again under a name that nobody else has."""
    path = tmp_path / f"mwsvc{os.getpid()}"
    shutil.copy(build("known.c"), path)
    started = []

    def start(**kw):
        t = Target([path], **kw)
        started.append(t)
        t.expect()
        return t

    start.name = path.name
    start.path = path
    yield start
    for t in started:
        t.stop()


@pytest.fixture
def groups():
    """groups(path) makes a control group, and those above it; all are removed at the end."""
    made = []

    def make(path):
        parent = None
        for i, part in enumerate(path.split("/")):
            name = f"{part}" if i else f"mw{os.getpid()}-{part}"
            known = [g for g in made if g.dir.name == name and (not parent or g.dir.parent == parent.dir)]
            if not known:
                made.append(Group(name, parent=parent))
                known = made[-1:]
            parent = known[0]
        return parent

    yield make
    for g in reversed(made):
        g.remove()


def allocate(t):
    t.say()
    t.expect("done")


def held(profile):
    """Bytes in use from hold()."""
    return sum(s["inuse_bytes"] for s in profile["stacks"]
               if any(f["function"] == "hold" for f in s["frames"]))


def end(t, sig=signal.SIGKILL):
    t.proc.send_signal(sig)
    t.proc.wait()


def test_across_restarts(attach, service, tmp_path):
    """Nobody is there; one comes; it is killed and comes again: the profile is of the one that
    lives, the timeline has both."""
    out, lines = tmp_path / "p.json", tmp_path / "t.csv"
    mw = attach("--name", f"^{service.name}$", "--exact", "--plain", "-i", "100ms", "-o", out,
                "--timeline", lines, ready=False)
    mw.wait_for("no process matches name .*now: waiting")
    first = service()
    mw.wait_for(rf"attached to PID {first.pid} \({service.name}")
    allocate(first)
    end(first)
    mw.wait_for("no process matches name .*any more: waiting")
    second = service()
    mw.wait_for(rf"attached to PID {second.pid} \({service.name}")
    allocate(second)
    mw.proc.send_signal(signal.SIGUSR1)
    mw.wait_for("wrote")
    # the first is kept for a while: its kill may still be explained
    wait_for(lambda: (mw.proc.send_signal(signal.SIGUSR1), time.sleep(.2),
                      held(load_json(out)) == 800000)[2])
    status, stdout, err = mw.finish()
    assert status == 0, err
    assert held(load_json(out)) == 800000
    assert f"PID {first.pid}" in stdout and f"PID {second.pid}" in stdout
    pids = {line.split(",")[1] for line in lines.read_text().splitlines()[1:]}
    assert pids == {str(first.pid), str(second.pid)}


def test_all_that_match(attach, service, target, tmp_path):
    """Two at once, a third that begins with another name and calls exec, none of other names."""
    out = tmp_path / "p.json"
    one, other = service(), target([build("known.c")])
    other.expect()
    mw = attach("--name", service.name, "--exact", "-q", "-v", "-o", out, ready=False)
    mw.wait_for(f"attached to PID {one.pid} ")
    two = Target(["sh", "-c", f"sleep .1; exec {service.path}"])
    try:
        two.expect()
        mw.wait_for(f"attached to PID {two.pid} ")
        for t in (one, two, other):
            allocate(t)
        status, _, err = mw.finish()
    finally:
        two.stop()
    assert status == 0, err
    assert f"PID {other.pid} " not in err
    assert held(load_json(out)) == 2 * 800000


def test_lets_go(attach, tmp_path, target):
    """A process that becomes another program is meant no more."""
    shell = tmp_path / f"mwsh{os.getpid()}"
    shutil.copy(os.path.realpath(shutil.which("sh")), shell)
    t = target([shell, "-c", "echo ready; read x; exec sleep 60"])
    t.expect()
    mw = attach("--name", f"^{shell.name}$", "-v", ready=False)
    mw.wait_for(f"attached to PID {t.pid} ")
    t.say()
    mw.wait_for(rf"PID {t.pid} .*does not match any more")


def test_children_of_services(attach, tmp_path):
    """What a service forks belongs to it, with what it inherits."""
    path = tmp_path / f"mwforks{os.getpid()}"
    shutil.copy(build("forks.c"), path)
    mw = attach("--name", path.name, "--exact", "-v", ready=False)
    t = Target([path])
    try:
        t.expect()
        mw.wait_for(f"attached to PID {t.pid} ")
        t.say()
        mw.wait_for(rf"attached to child \d+ of {t.pid} ")
    finally:
        t.stop()
    mw.finish()


def hierarchies():
    """Where hierarchies of control groups are mounted, of both versions, that can be written to."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        point, kind, options = left.split()[4], right.split()[0], right.split()[2].split(",")
        if kind in ("cgroup", "cgroup2") and os.access(point, os.W_OK):
            name = "cgroup2" if kind == "cgroup2" else options[-1]
            if name in ("cgroup2", "memory", "name=systemd"):
                found[name] = Path(point)
    return found


@pytest.fixture(params=sorted(hierarchies().items()), ids=lambda p: p[0])
def unit(request):
    """A group that could be that of app.service, with another below it: (mount point, group)."""
    point = request.param[1]
    slice_ = point / f"mw{os.getpid()}-slice"
    app = slice_ / "app.service"
    (app / "inner").mkdir(parents=True)
    yield point, app
    for group in (app / "inner", app, slice_):
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)

        def gone():
            try:
                group.rmdir()
            except OSError:
                return False
            return True
        wait_for(gone)


def join(group):
    return lambda: (group / "cgroup.procs").write_text(str(os.getpid()))


def test_unit_and_group(attach, service, unit, tmp_path):
    """By unit, by path in the hierarchy, by path in the file system; who is in it already, who is
    moved in, who is born there. In each hierarchy: units of version 1 are in systemd's own."""
    point, app = unit
    inside = service(preexec_fn=join(app / "inner"))
    for how in (("--unit", "app"), ("--unit", "ap*.service"), ("--cgroup", str(app)),
                ("--cgroup", "/" + str(app.relative_to(point))),
                ("--cgroup", f"/mw{os.getpid()}-*/app.service")):
        mw = attach(*how, "-v", ready=False)
        mw.wait_for(f"attached to PID {inside.pid} ")
        assert mw.finish()[0] == 0
    mw = attach("--unit", "app", "--exact", "-v", "-o", tmp_path / "p.json", ready=False)
    mw.wait_for(f"attached to PID {inside.pid} ")
    moved, outside = service(), service()
    (app / "cgroup.procs").write_text(str(moved.pid))
    born = service(preexec_fn=join(app / "inner"))
    for t in (moved, born):
        mw.wait_for(f"attached to PID {t.pid} ")
    for t in (inside, moved, born, outside):
        allocate(t)
    assert mw.finish()[0] == 0
    assert held(load_json(tmp_path / "p.json")) == 3 * 800000


@needs_cgroup
@pytest.mark.parametrize("path", [f"docker/{ID}", f"docker-{ID}.scope", f"ecs/task/{ID}",
                                  f"ecs/{ID}-123456", f"default/{ID}",
                                  f"kubepods/besteffort/pod1-2/{ID}",
                                  f"kubepods.slice/cri-containerd-{ID}.scope"])
def test_container(attach, service, groups, path):
    # the prefix of these tests stands before the first part alone
    g = groups("c/" + path)
    inside, outside = service(preexec_fn=g.join), service()
    mw = attach("--container", ID[:12], "-v", ready=False)
    mw.wait_for(f"attached to PID {inside.pid} ")
    status, _, err = mw.finish()
    assert status == 0 and f"PID {outside.pid} " not in err


def test_none_came(service):
    p = memwatch("--name", f"^{service.name}$", "-d", "300ms", check=4)
    assert "no process matched" in p.stderr
    p = memwatch("top", "--name", f"^{service.name}$", "-n", "2", "-i", "50ms", check=4)
    assert "no process matches name" in p.stderr and "no process matched" in p.stderr
    p = memwatch("top", "--ledger", "--name", f"^{service.name}$", check=4)


@pytest.mark.parametrize("bad", [("--name", "("), ("--unit", "/a/b"), ("--container", "a/b"),
                                 ("--cgroup", ""), ("--name", "")])
def test_refused(bad):
    for command in ((), ("top",)):
        p = memwatch(*command, *bad, check=2)
        assert bad[0] in p.stderr


def rows(mw):
    return [json.loads(line) for line in mw.out.splitlines(keepends=True) if line.endswith("\n")]


def test_top_across_restarts(attach, service, tmp_path):
    """top shows who matches now, and goes on when there is none."""
    lines = tmp_path / "t.json"
    mw = attach("top", "--name", f"^{service.name}$", "--json", "-i", "50ms", "--timeline", lines,
                ready=False)
    mw.wait_for("no process matches .* now: waiting")
    for _ in range(2):
        t = service()
        wait_for(lambda: rows(mw) and [p["pid"] for p in rows(mw)[-1]["processes"]] == [t.pid])
        end(t)
        wait_for(lambda: rows(mw)[-1]["processes"] == [])
    assert "any more: waiting" in mw.err
    status, _, err = mw.finish()
    assert status == 0, err
    assert {x["pid"] for x in load_json(lines)["processes"]} == {
        p["pid"] for r in rows(mw) for p in r["processes"]}


def test_what_gives_way_in_a_timeline_is_told_meanwhile(attach, service, tmp_path):
    """All that live are recorded, however many; of the dead so many stay as there is room for."""
    lines = tmp_path / "t.json"
    mw = attach("top", "--name", f"^{service.name}$", "--json", "-i", "50ms", "--no-bpf", "--timeline", lines,
                ready=False)
    mw.wait_for("no process matches .* now: waiting")
    many = [service() for _ in range(260)]
    wait_for(lambda: rows(mw) and len(rows(mw)[-1]["processes"]) == len(many))
    for t in many:
        t.stop()
    wait_for(lambda: rows(mw)[-1]["processes"] == [])
    last = service()
    said = mw.wait_for(r"the timeline is full: (\d+) processes with the least memory \(at most \S+\) gave way to others; 0 ")
    wait_for(lambda: rows(mw)[-1].get("timeline_dropped") == int(said[1]))
    status, _, err = mw.finish()
    assert status == 0, err
    kept = [p["pid"] for p in load_json(lines)["processes"]]
    assert last.pid in kept and len(kept) == len(many) + 1 - int(said[1])


def test_top_ledger_of_service(service):
    t = service()
    p = memwatch("top", "--ledger", "--json", "--name", f"^{service.name}$", check=0)
    assert json.loads(p.stdout)["pid"] == t.pid


@pytest.mark.parametrize("command", [(), ("top", "-n", "100000", "-i", "50ms", "--plain")])
def test_alerts_across_restarts(attach, service, tmp_path, command):
    """A rule holds for every process that the service becomes."""
    log = tmp_path / "alerts"
    mw = attach(*command, "--name", f"^{service.name}$", "--alert-rss", "64K", "--alert-dir", tmp_path,
                "--oom-log", log, ready=False)
    told = []
    for _ in range(2):
        t = service()
        told.append(t.pid)
        wait_for(lambda: log.exists() and [
            a for a in map(json.loads, log.read_text().splitlines())
            if a["schema"] == "memwatch.alert/1" and a["pid"] == t.pid and a["state"] == "firing"])
        end(t)
    mw.finish()
    assert set(told) <= {json.loads(line).get("pid") for line in log.read_text().splitlines()}
