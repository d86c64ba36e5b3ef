# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics, service discovery and alerting rules, by promtool and Prometheus."""
import json
import os
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from conftest import ROOT, wait_for
from daemonlib import ROUNDS, RULE, attached, daemon, named, rounds, serve, step  # noqa: F401 (fixtures)

PROMETHEUS = ROOT / "tools/prometheus"


def test_metrics_by_promtool(serve, rounds):
    t = rounds()
    s = serve(RULE + f"[alert big]\ncomm = ^{ROUNDS}$\nalert-rss = 64K\nalert-psi = full=100%\n")
    attached(s.d, t.pid)
    step(t, "af")
    wait_for(lambda: 'memwatch_alerts_firing{alert="big",rule="rss"} 1\n' in s.text("/metrics"))

    def told():  # of the pass after
        text = s.text("/metrics?format=prometheus")
        return text if re.search(rf'memwatch_heap_inuse_objects\{{pid="{t.pid}"[^}}]*\}} 50\d\n', text) else None
    text = wait_for(told)
    p = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                       timeout=180)
    assert p.returncode == 0 and p.stderr == "", p.stderr
    assert re.search(rf'memwatch_process_resident_bytes\{{pid="{t.pid}",comm="{ROUNDS}"[^}}]*kind="anon"\}} \d+', text)
    for name, rss in (("memwatch_alerts_total", 1), ("memwatch_alerts_firing", 1)):
        assert re.findall(rf"^{name}(.*)$", text, re.M) == [f'{{alert="big",rule="rss"}} {rss}',
                                                            '{alert="big",rule="psi"} 0']
    # By the causes that the profiles name.
    rows = re.findall(r"^\tX\((FAULT_\w+), \"samples\", \w+, \"([^\"]+)\"", (ROOT / "include/memwatch/loss.h").read_text(), re.M)
    told = re.findall(r'^memwatch_page_fault_samples_lost_total\{cause="([^"]+)"\} \d+$', text, re.M)
    assert sorted(told) == sorted(cause for _, cause in rows) and len(told) == 6
    # The ledger's lines add up to what is resident.
    wait_for(lambda: re.search(rf'memwatch_ledger_bytes\{{pid="{t.pid}"', s.text("/metrics")))


def test_metrics_are_bounded(serve, named):
    for _ in range(4):
        named("bounded")
    s = serve("metrics-top = 2\n[profile none]\ncomm = ^nobody$\n")
    text = s.text("/metrics")
    assert len(re.findall(r"^memwatch_process_virtual_bytes\{", text, re.M)) == 2
    assert int(re.search(r"^memwatch_processes_untold (\d+)", text, re.M)[1]) > 2
    assert text.endswith("# EOF\n")


def test_watched_processes_have_metrics_of_their_own(serve, named):
    t = named("watched-t")
    s = serve("metrics-top = 1\n[alert a]\ncomm = ^watched-t$\nalert-rss = 1T\n")
    assert wait_for(lambda: re.search(rf'^memwatch_process_virtual_bytes\{{pid="{t.pid}",comm="watched-t"', s.text("/metrics"), re.M))
    assert not re.search(rf'^memwatch_heap_inuse_bytes\{{pid="{t.pid}"', s.text("/metrics"), re.M)


def value(text, name):
    m = re.search(rf"^{name} (\S+)$", text, re.M)
    return m and float(m[1])


def test_what_is_refused_and_lost_is_told(serve, named, tmpfs):
    """A process that has no room, and a history that cannot be written."""
    disk = tmpfs("state", "3m", lazily=True, mode="700")
    for _ in range(2):
        named("refused-t")
    s = serve("max-processes = 1\n[profile p]\ncomm = ^refused-t$\n")
    wait_for(lambda: value(s.text("/metrics"), "memwatch_attach_refusals_total"))
    before = s.text("/metrics")
    assert value(before, "memwatch_history_writes_lost_total") == 0 and value(before, "memwatch_history_size_bytes") > 4096
    with open(disk / "filler", "wb", buffering=0) as f, pytest.raises(OSError):
        while True:
            f.write(b"x" * 4096)
    text = wait_for(lambda: (lambda x: x if value(x, "memwatch_history_writes_lost_total") else None)(
        s.text("/metrics?format=prometheus")))
    p = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=180)
    assert p.returncode == 0 and p.stderr == "", p.stderr
    (disk / "filler").unlink()


def family(pid):
    """The process and all below it."""
    kids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(x for k in kids for x in family(int(k)))]


def test_own_cost_is_that_of_the_helpers_too(serve):
    s = serve("")
    for _ in range(300):  # the process that speaks HTTP has something to do
        s.text("/metrics")
    pids = family(s.d.proc.pid)
    assert len(pids) > 1
    ticks = sum(sum(map(int, Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[11:15])) for p in pids)
    rss = sum(int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{p}/status").read_text())[1]) << 10 for p in pids)
    own = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pids[0]}/status").read_text())[1]) << 10
    cpu = ticks / os.sysconf("SC_CLK_TCK")
    wait_for(lambda: value(s.text("/metrics"), "process_cpu_seconds_total") >= cpu - 0.01 * len(pids))
    told = value(s.text("/metrics"), "process_resident_memory_bytes")
    assert own * 1.1 < told and rss * 0.7 < told < rss * 1.4


def prometheus(tmp_path, s):
    """Prometheus with the configuration of the manual, at this daemon; its address."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:6061", s.address).replace(
        "/var/lib/memwatch/token", str(s.d.state / "token")).replace("15s", "1s")
    text = text.replace("/etc/prometheus/memwatch.rules.yml", str(PROMETHEUS / "memwatch.rules.yml"))
    token = f"{{username: memwatch, password: {s.token}}}"
    text += (f"  - job_name: discovered\n    basic_auth: {token}\n    http_sd_configs:\n"
             f"      - url: http://{s.address}/sd\n        basic_auth: {token}\n")
    (tmp_path / "prometheus.yml").write_text(text)
    subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], check=True,
                   capture_output=True, timeout=180)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    p = subprocess.Popen(["prometheus", f"--config.file={tmp_path}/prometheus.yml",
                          f"--storage.tsdb.path={tmp_path}/tsdb",
                          f"--web.listen-address=127.0.0.1:{port}"],
                         stdout=subprocess.DEVNULL, stderr=(tmp_path / "prometheus.log").open("w"))
    return p, f"http://127.0.0.1:{port}"


def test_prometheus_scrapes_and_discovers(serve, rounds, tmp_path):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "af")
    p, address = prometheus(tmp_path, s)
    try:
        def query(what):
            from urllib.parse import quote
            try:
                with urllib.request.urlopen(f"{address}/api/v1/query?query={quote(what)}", timeout=180) as r:
                    return json.load(r)["data"]["result"]
            except OSError:
                return None

        got = wait_for(lambda: query(f'memwatch_heap_inuse_objects{{pid="{t.pid}"}} >= 500'))
        assert got[0]["metric"]["comm"] == ROUNDS and got[0]["metric"]["rule"] == "t"
        up = wait_for(lambda: query('up{job="memwatch"}'))
        assert up[0]["value"][1] == "1"
        assert wait_for(lambda: query(f'up{{job="discovered",pid="{t.pid}",comm="{ROUNDS}"}} == 1'))
        with urllib.request.urlopen(f"{address}/api/v1/metadata?metric=memwatch_oom_kills", timeout=180) as r:
            assert json.load(r)["data"]["memwatch_oom_kills"][0]["type"] == "counter"
        with urllib.request.urlopen(f"{address}/api/v1/rules", timeout=180) as r:
            rules = json.load(r)["data"]["groups"][0]["rules"]
        assert rules and all(x["health"] in ("ok", "unknown") for x in rules)
    finally:
        p.kill()
        p.wait()


def test_service_discovery(serve, rounds):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    targets = json.loads(s.text("/sd"))
    mine = next(x for x in targets if x["labels"]["pid"] == str(t.pid))
    assert mine["targets"] == [s.address] and mine["labels"]["comm"] == ROUNDS
    assert all(isinstance(v, str) for v in mine["labels"].values())
    # What a store that scrapes does with it.
    params = "&".join(f"{k[8:]}={v}" for k, v in mine["labels"].items() if k.startswith("__param_"))
    assert s.get(f"/debug/pprof/heap?{params}")[0] == 200


def test_alerting_rules():
    for args in (["check", "rules", "memwatch.rules.yml"], ["test", "rules", "memwatch.rules.test.yml"]):
        p = subprocess.run(["promtool", *args], cwd=PROMETHEUS, capture_output=True, text=True,
                           timeout=180)
        assert p.returncode == 0, p.stdout + p.stderr
