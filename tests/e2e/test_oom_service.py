# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch oom as a service: systemd's unit, journal, syslog, logrotate, privileges, footprint."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import BIN, ROOT as REPO, build, memwatch, wait_for
from kmsglib import kmsg, stuck  # noqa: F401 (fixtures)
from oomlib import (MIB, VERSION, check, datagram, event_of, events, group, hog, kill_in,
                    log, unit_file, victims, needs_cgroup as pytestmark)  # noqa: F401 (fixtures)


NO_PID = 1 << 23  # and above: no process has it


def test_service_and_journal(group, hog, log, attach, datagram, tmp_path):
    """Tells the manager when it is ready, the journal with fields of its own, and syslog."""
    notify = datagram(str(tmp_path / "notify"))
    journal = datagram("/run/systemd/journal/socket")
    syslog = datagram("/dev/log")
    g = group(16 * MIB)
    attach("oom", "--log", log, "--journal", "--syslog",
           env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert "READY=1" in notify.recv(4096).decode().split("\n")
    pid = kill_in(g, [hog])
    line = syslog.recv(65536).decode()
    assert f"oom_hog (pid {pid}, uid 0)" in line and f" victim_pid={pid} " in line
    message = journal.recv(1 << 20).decode()
    fields = dict(f.split("=", 1) for f in message.split("\n") if "=" in f)
    assert fields["MEMWATCH_VICTIM_PID"] == str(pid) and fields["MEMWATCH_VICTIM_COMM"] == "oom_hog"
    assert fields["MEMWATCH_MEMCG"] == g.path and fields["PRIORITY"] == "3"
    assert fields["MEMWATCH_CONSTRAINT"] == "memcg"
    assert fields["MEMWATCH_LIMIT_BYTES"] == str(16 * MIB)
    assert fields["MESSAGE"].startswith("OOM kill: oom_hog")
    assert event_of(log, pid)["victim"]["anon_rss_bytes"] == int(fields["MEMWATCH_ANON_RSS_BYTES"])


def test_a_journal_that_dies(group, hog, log, attach, datagram):
    """Its socket stays, nobody listens: said at once and once, and syslog is told all the same."""
    journal, syslog = datagram("/run/systemd/journal/socket"), datagram("/dev/log")
    g = group(16 * MIB)
    mw = attach("oom", "--log", log, "--journal", "--syslog")
    assert "delivers nothing" not in mw.err
    journal.close()
    for _ in range(2):
        pid = kill_in(g, [hog])
        event_of(log, pid)
        mw.wait_for("failed to tell the journal: Connection refused")
        while f" victim_pid={pid} " not in syslog.recv(65536).decode():
            pass
    assert mw.finish()[2].count("failed to tell") == 1


def test_nobody_listens(attach, datagram):
    for path in ("/run/systemd/journal/socket", "/dev/log"):
        datagram(path).close()
    mw = attach("oom", "--journal", "--syslog")
    assert mw.err.count("Connection refused") == mw.err.count("delivers nothing for now") == 2


def test_unread_messages_hold_up_nothing(group, hog, log, attach, datagram):
    """Who listens and does not read loses what does not fit, and that is said."""
    syslog = datagram("/dev/log")
    g = group(8 * MIB)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    sender.connect("/dev/log")
    with contextlib.suppress(BlockingIOError):
        while True:
            sender.send(b"x")
    mw = attach("oom", "--log", log, "--syslog")
    event_of(log, kill_in(g, [hog]))
    mw.wait_for("failed to tell syslog: it does not read what it is sent")
    sender.close()
    assert syslog.recv(16) == b"x"


def test_constraint_that_is_not_known(log, attach, datagram):
    """An OOM daemon's kill: no limit is known, and none is told."""
    journal, syslog = datagram("/run/systemd/journal/socket"), datagram("/dev/log")
    attach("oom", "--log", log, "--journal", "--syslog")
    p = subprocess.Popen(["sleep", "100"])
    wait_for(lambda: Path(f"/proc/{p.pid}/comm").read_text() == "sleep\n")
    subprocess.run([build("as_comm.c"), "earlyoom", str(p.pid)], check=True)
    assert p.wait(180) == -9
    assert event_of(log, p.pid)["constraint"] is None
    while f"\nMEMWATCH_VICTIM_PID={p.pid}\n" not in (message := journal.recv(1 << 20).decode()):
        pass
    assert "\nMEMWATCH_CONSTRAINT=unknown\n" in message
    while f" victim_pid={p.pid} " not in (line := syslog.recv(65536).decode()):
        pass
    assert " constraint=unknown " in line


def test_nobody_to_be_killed_in_the_journal(stuck, log, attach, datagram):
    journal, syslog = datagram("/run/systemd/journal/socket"), datagram("/dev/log")
    attach("oom", "--log", log, "--journal", "--syslog", wrap=stuck.wrap)
    stuck.refuse()
    while f"\nMEMWATCH_MEMCG={stuck.path}\n" not in (message := journal.recv(1 << 20).decode()):
        pass
    assert message.startswith(f"MESSAGE=OOM without a victim, cgroup {stuck.path} at its limit of 16.00MB\n")
    assert "\nMEMWATCH_VICTIM_PID=\n" in message and "\nMEMWATCH_CONSTRAINT=memcg\n" in message
    assert "\nSYSLOG_IDENTIFIER=memwatch\n" in message
    assert json.loads(message.partition("\nMEMWATCH_EVENT=")[2])["victim"] is None
    while f"cgroup {stuck.path} at its limit" not in (line := syslog.recv(65536).decode()):
        pass
    assert " victim_pid= " in line


def test_unit_file_is_understood(tmp_path):
    """By systemd's own tools: no unknown key, no bad value, no program that is not there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    unit = tmp_path / "memwatch-oom.service"

    def verify(text):
        unit.write_text(text.replace("/usr/local/bin/memwatch", str(BIN)))
        p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                           text=True, timeout=180, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
        return p.returncode, "".join(x + "\n" for x in p.stderr.splitlines() if unit.name in x)

    text = unit_file()[1]
    assert verify(text) == (0, "")
    # It would have said so.
    assert verify(text.replace("NoNewPrivileges=yes", "NoNewPrivileges=perhaps"))[1]
    assert verify(text.replace("LogsDirectory=", "LoggingDirectory="))[1]


def test_logrotate(group, hog, log, attach, tmp_path):
    """The real logrotate with the file that is installed: nothing lost, nothing twice."""
    logrotate = shutil.which("logrotate") or "/usr/sbin/logrotate"
    mw = attach("oom", "--log", log)
    conf = tmp_path / "conf"
    text = (REPO / "tools/systemd/memwatch-oom.logrotate").read_text()
    text = text.replace("/var/log/memwatch/oom.jsonl", str(log))
    text = text.replace("systemctl kill --signal=HUP memwatch-oom.service", f"kill -HUP {mw.proc.pid}")
    conf.write_text(text)
    tmp_path.chmod(0o755)
    g, pids = group(16 * MIB), []
    for _ in range(3):
        pids.append(kill_in(g, [hog]))
        event_of(log, pids[-1])
        subprocess.run([logrotate, "-f", "-s", tmp_path / "state", conf], check=True)
        wait_for(lambda: Path(log).exists())  # opened anew by the signal
        assert events(log) == []
    pids.append(kill_in(g, [hog]))
    event_of(log, pids[-1])
    mw.finish()
    memwatch("oom", "--log", log, "-q", "-d", "10ms", check=0)
    assert [e["victim"]["pid"] for e in events(log)] == pids[-1:]
    p = memwatch("oom", "--list", "--json", "--log", log, check=0)
    told = victims(p.stdout)
    assert [x for x in told if x in pids] == pids
    assert Path(str(log) + ".1").exists() and Path(str(log) + ".2.gz").exists()


def test_footprint_within_the_unit(group, hog, log, attach, datagram):
    """Its own group with the unit's limit, as the unit starts it, with a long log and journal: a storm of
    kills does not bring it near, nor one that the kernel's log has from before."""
    limit = int(re.match(r"(\d+)M", unit_file()[0]["MemoryMax"])[1]) * MIB
    args = unit_file()[0]["ExecStart"].replace("/var/log/memwatch/oom.jsonl", log).split()[1:]
    assert "--journal" in args and log in args
    journal = datagram("/run/systemd/journal/socket")
    journal.settimeout(None)

    def read_all():
        with contextlib.suppress(OSError):  # closed at the end
            while journal.recv(1 << 20):
                pass

    threading.Thread(target=read_all, daemon=True).start()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with open(log, "a") as f:
        f.writelines(json.dumps({"schema": "memwatch.oom/1", "time_unix_ms": i, "source": "probe", "kmsg_seq": None,
                                 "boot_id": boot, "victim": {"pid": NO_PID + i, "tid": NO_PID + i, "comm": "x" * 15}}) + "\n"
                     for i in range(50000))
    before = group(16 * MIB)
    missed = [kill_in(before, [hog]) for _ in range(5)]
    own = group(limit)
    mw = attach(*args, ready=False, preexec_fn=own.join)
    for pid in missed:
        assert event_of(log, pid)["source"] == "kmsg"
    gs = [group(16 * MIB) for _ in range(4)]
    for _ in range(5):
        running = [subprocess.Popen([hog], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                    preexec_fn=g.join) for g in gs]
        for p in running:
            p.stdin.write(b"go\n")
            p.stdin.close()
        pids = [p.pid for p in running]
        for p in running:
            assert p.wait(180) == -signal.SIGKILL
    for pid in pids:
        event_of(log, pid)
    peak = own.dir / ("memory.peak" if VERSION == 2 else "memory.max_usage_in_bytes")
    assert 0 < int(peak.read_text()) < limit * 3 // 4
    assert mw.finish()[0] == 0
    assert len(events(log)) - log.seen == 50000 + 5 + 20
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(b"stop", "/run/systemd/journal/socket")


def test_with_the_capabilities_of_the_unit(group, hog, log, attach):
    """What the unit leaves it is enough to see a kill, with both witnesses, and to log it."""
    names = unit_file()[0]["CapabilityBoundingSet"].split()
    caps = ",".join(["-all", *("+" + n.removeprefix("CAP_").lower() for n in names)])
    a = attach("oom", "--log", log, "-v",
               wrap=["setpriv", "--no-new-privs", f"--bounding-set={caps}"])
    assert "attached to the OOM killer: probe and kernel log" in a.err
    status = Path(f"/proc/{a.proc.pid}/status").read_text()
    assert bin(int(re.search(r"CapEff:\s+(\w+)", status)[1], 16)).count("1") <= len(names)
    g = group(16 * MIB)
    pid = kill_in(g, [hog])
    check(event_of(log, pid), g, pid, "oom_hog", 16 * MIB)
