# SPDX-License-Identifier: GPL-2.0-or-later
"""What each process of memwatch may do, what the commands that it runs may do, and that it works
with no more than the capabilities it names."""
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import BIN, build, load_json, memwatch, wait_for
from test_files import AS_EVE, EVE, hers, profile_text, sleeper  # noqa: F401 (fixtures)

CAPS = ("chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable "
        "net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio "
        "sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time "
        "sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog "
        "wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore").split()
OBSERVING = {"bpf", "perfmon", "sys_ptrace", "dac_read_search", "checkpoint_restore"}
LIMITS = {"sys_resource", "ipc_lock"}
FILES = {"dac_override", "dac_read_search"} | LIMITS  # of memwatch-files
ENOUGH = "+bpf,+perfmon,+sys_ptrace,+dac_read_search"


def status_of(pid):
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M))
    sets = {k: {c for i, c in enumerate(CAPS) if int(fields[k], 16) >> i & 1}
            for k in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")}
    return {**fields, **sets}


def mine():
    return status_of("self")["CapEff"]


def check_main(pid, waiting=LIMITS):
    # Others are raised for the moment of one call.
    wait_for(lambda: status_of(pid)["CapEff"] == OBSERVING & mine())
    s = status_of(pid)
    assert s["CapPrm"] == (OBSERVING | waiting) & mine()
    assert not s["CapInh"] and not s["CapAmb"]
    assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
    for t in os.listdir(f"/proc/{pid}/task"):  # threads that it made later, too
        wait_for(lambda: status_of(f"{pid}/task/{t}")["CapEff"] == OBSERVING & mine())
        assert status_of(f"{pid}/task/{t}")["Seccomp"] == "2"


def test_attach_keeps_what_it_needs(attach, sleeper, tmp_path):
    m = attach("-p", sleeper.pid, "--plain", "-q", "-v", "-o", tmp_path / "o.json")
    check_main(m.proc.pid)
    assert m.finish()[0] == 0


def test_page_faults_add_one(attach, sleeper):
    m = attach("-p", sleeper.pid, "--plain", "--faults")
    check_main(m.proc.pid, LIMITS | {"sys_admin"})
    assert m.finish()[0] == 0


def test_kernel_log_adds_one(attach, sleeper, tmp_path):
    m = attach("-p", sleeper.pid, "--plain", "--oom-log", tmp_path / "l")
    check_main(m.proc.pid, LIMITS | {"syslog"})
    assert m.finish()[0] == 0


def test_signals_and_nice_values_add_two(attach, sleeper):
    m = attach("-p", sleeper.pid, "--plain", "--allow-signals")
    check_main(m.proc.pid, LIMITS | {"kill", "sys_nice"})
    assert m.finish()[0] == 0


def test_fast_keeps_what_writes_memory(attach, sleeper):
    m = attach("-p", sleeper.pid, "--plain", "--fast")
    check_main(m.proc.pid, LIMITS | {"dac_override"})
    assert m.finish()[0] == 0


def test_oom_keeps_what_it_needs(tmp_path, attach):
    m = attach("oom", "--log", tmp_path / "l", ready=False)
    m.wait_for("attached to the OOM killer: probe")
    check_main(m.proc.pid, LIMITS | {"syslog"})
    assert m.finish()[0] == 0


def test_top_keeps_what_it_needs(attach):
    m = attach("top", "--plain", "-i", "0.1", ready=False)
    m.wait_for("COMMAND", stream="out")
    check_main(m.proc.pid)
    m.finish()


def test_run_keeps_what_it_needs_and_the_command_everything(attach):
    m = attach("run", "--plain", "-q", "-v", "--", "sh", "-c", "cat /proc/self/status; ulimit -n; "
               "ulimit -Hn; read x; :", stdin=subprocess.PIPE)
    check_main(m.proc.pid, LIMITS | {"kill"})
    m.proc.stdin.close()
    status, out, _ = m.finish(None)
    assert status == 0
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", out, re.M))
    ours = dict(re.findall(r"^(\w+):\s*(.*)$", Path("/proc/self/status").read_text(), re.M))
    for f in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigBlk"):
        assert fields[f] == ours[f], f
    limits = subprocess.run(["sh", "-c", "ulimit -n; ulimit -Hn"], capture_output=True, text=True)
    assert limits.stdout in out


def test_the_command_of_an_alert_is_as_the_caller_would_start_it(sleeper, tmp_path):
    out = tmp_path / "status"
    env = {**os.environ, "CALLER": "a b"}
    p = memwatch("-p", sleeper.pid, "--plain", "-q", "-d", "1", "--alert-rss", "4K", "--alert-dir",
                 tmp_path, "--on-alert", f"sh -c '(cat /proc/self/status; echo \"$CALLER\" "
                 f"$MEMWATCH_ALERT_RULE; ls -l /proc/self/fd) >{out}'", env=env)
    assert p.returncode == 0, p.stderr
    text = out.read_text()
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))
    ours = dict(re.findall(r"^(\w+):\s*(.*)$", Path("/proc/self/status").read_text(), re.M))
    for f in ("CapEff", "CapPrm", "CapInh", "CapBnd", "NoNewPrivs", "Seccomp", "SigBlk"):
        assert fields[f] == ours[f], f
    assert "a b rss" in text
    fds = {int(n) for n in re.findall(r" (\d+) -> ", text)}
    assert fds <= {0, 1, 2, 3}, text  # 3: the directory that ls reads


def test_report_reads_without_privileges():
    """Its capabilities work only while it opens a file of its own arguments."""
    p = subprocess.Popen([str(BIN), "report", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: status_of(p.pid)["NoNewPrivs"] == "1" and status_of(p.pid)["Seccomp"] == "2")
        s = status_of(p.pid)
        assert not s["CapEff"] and s["CapPrm"] == {"dac_read_search"} & mine()
    finally:
        p.stdin.close()
        p.wait(180)


def test_report_still_reads_what_root_may(hers, tmp_path):
    src = hers / "in.json"
    src.write_text(profile_text())
    os.chown(src, EVE, EVE)
    src.chmod(0o600)
    memwatch("report", "--top", src, check=0)
    if shutil.which("dot"):
        memwatch("report", "--graph", tmp_path / "g.svg", src, check=0)


def children(pid):
    out = {}
    for p in Path("/proc").iterdir():
        if p.name.isdigit():
            try:
                s = status_of(p.name)
            except (OSError, KeyError):
                continue
            if s["PPid"] == str(pid):
                out[s["Name"]] = int(p.name)
    return out


def test_the_launcher_holds_nothing(attach, sleeper, tmp_path):
    m = attach("-p", sleeper.pid, "--plain", "-q", "-v", "--alert-rss", "1T", "--on-alert", "true")
    pid = children(m.proc.pid)["memwatch-launch"]
    links = {n: os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    others = [t for n, t in links.items() if int(n) > 2]
    assert sorted(re.sub(r"\d+", "", t) for t in others) == ["anon_inode:[signalfd]", "socket:[]"]
    m.finish()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_the_launcher_ends_with_a_killed_memwatch(attach, sleeper):
    m = attach("-p", sleeper.pid, "--plain", "-q", "-v", "--alert-rss", "1T", "--on-alert", "true")
    pid = children(m.proc.pid)["memwatch-launch"]
    m.finish(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists()
             or status_of(pid)["State"].startswith("Z"))


# --- no more than it names ----------------------------------------------------------------------

@pytest.fixture
def capable(hers):
    """A copy of memwatch with file capabilities; Eve runs it as herself."""
    exe = hers / "memwatch"
    shutil.copy(BIN, exe)
    exe.chmod(0o755)
    p = subprocess.run(["setcap", "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep", exe],
                       capture_output=True, text=True)
    if p.returncode:
        pytest.skip("no file capabilities here: " + p.stderr)
    return exe


def as_eve(*argv, **kw):
    return subprocess.run([*AS_EVE, *map(str, argv)], capture_output=True, text=True, timeout=180, **kw)


@pytest.mark.parametrize("owner", ["hers", "roots"])
def test_file_capabilities_are_enough(capable, hers, target, owner):
    exe = build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))
    t = target([*(AS_EVE if owner == "hers" else ()), exe])
    t.expect("ready")
    out = hers / "o.json"
    p = as_eve(capable, "-p", t.pid, "--exact", "--plain", "-q", "-d", "0.5", "-o", out, cwd=hers)
    assert p.returncode == 0, p.stderr
    assert load_json(out)["pid"] == t.pid
    assert out.stat().st_uid == EVE and out.stat().st_mode & 0o777 == 0o600


def test_file_capabilities_and_a_setuid_command(capable, hers):
    """`memwatch run -- sudo ...`: what the command gains by its own file, it gains under memwatch."""
    tool = hers / "id"
    shutil.copy("/usr/bin/id", tool)
    tool.chmod(0o4755)
    p = as_eve(capable, "run", "--plain", "-q", "--", tool, "-u", cwd=hers)
    assert p.returncode == 0 and p.stdout.split()[0] == "0", p.stdout + p.stderr


def test_ambient_capabilities_are_enough(hers, sleeper):
    """As with AmbientCapabilities= of a service."""
    out = hers / "o.json"
    shutil.copy(BIN, hers / "memwatch")
    p = subprocess.run([*AS_EVE, f"--inh-caps={ENOUGH}", f"--ambient-caps={ENOUGH}",
                        str(hers / "memwatch"), "-p", str(sleeper.pid), "--plain", "-q", "-d", "0.5",
                        "-o", str(out)], capture_output=True, text=True, timeout=180)
    assert p.returncode == 0, p.stderr
    assert load_json(out)["pid"] == sleeper.pid


def test_root_with_only_these_works(sleeper, tmp_path):
    keep = ENOUGH.replace("+", "")
    drop = ",".join("-" + c for c in CAPS if c not in keep.split(",") and c in mine())
    out = tmp_path / "o.json"
    for args in (["-p", sleeper.pid, "--plain", "-q", "-d", "0.5", "-o", out],
                 ["oom", "--source", "probe", "-d", "0.2"],
                 ["top", "--plain", "-n", "1"]):
        p = subprocess.run(["setpriv", f"--bounding-set={drop}", "--inh-caps=-all", str(BIN),
                            *map(str, args)], capture_output=True, text=True, timeout=180)
        assert p.returncode == 0, p.stderr
        assert "iterator could not" not in p.stderr
    assert load_json(out)["pid"] == sleeper.pid
