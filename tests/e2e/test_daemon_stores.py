# SPDX-License-Identifier: GPL-2.0-or-later
"""Stores that scrape profiles, with the configurations of the manual. Prometheus is run for real in
test_daemon_metrics.py; Parca and Alloy cannot be had here: what they make of their configuration is done
here as their sources do it (parca pkg/config and pkg/scrape/target.go, alloy
internal/component/pyroscope/scrape), to the URL, and what they ask is asked."""
import json
import re
import subprocess
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import yaml

from conftest import ROOT
from golib import Pprof
from daemonlib import RULE, attached, daemon, of_hold, rounds, serve, step  # noqa: F401 (fixtures)

PAGE = (ROOT / "docs/daemon.md").read_text()
# What Parca's decoder knows (it refuses other fields), and Prometheus' part of it.
PARCA = {"job_name", "params", "scrape_interval", "scrape_timeout", "scheme", "normalized_addresses", "profiling_config",
         "relabel_configs", "basic_auth", "authorization", "oauth2", "tls_config", "follow_redirects", "http_sd_configs",
         "static_configs"}
PARCA_DEFAULTS = {"memory": "/debug/pprof/allocs", "block": "/debug/pprof/block", "goroutine": "/debug/pprof/goroutine",
                  "mutex": "/debug/pprof/mutex", "process_cpu": "/debug/pprof/profile"}
ALLOY_PROFILES = {"memory", "block", "goroutine", "mutex", "process_cpu", "fgprof", "delta_block", "delta_memory",
                  "delta_mutex", "godeltaprof_memory", "godeltaprof_block", "godeltaprof_mutex", "custom"}


def parca():
    text = re.search(r"Parca, for the profiles.*?```yaml\n(.*?)```", PAGE, re.S)[1]
    return yaml.safe_load(text)["scrape_configs"][0]


def alloy():
    return re.search(r"Grafana Alloy, into Pyroscope:\n\n```\n(.*?)```", PAGE, re.S)[1]


def blocks(text):
    """Alloy's blocks as {name: (attributes, inner text)}: `name ["label"] { … }`, nesting by braces."""
    found, i = {}, 0
    for m in re.finditer(r"([\w.]+)(?: \"(\w+)\")?\s*\{", text):
        if m.start() < i:
            continue
        depth, j = 1, m.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[j], 0)
            j += 1
        inner = text[m.end():j - 1]
        flat = re.sub(r"[\w.]+(?: \"\w+\")?\s*\{.*?\}", "", inner, flags=re.S)
        found[m[1]] = (dict(re.findall(r"(\w+)\s*=\s*(.+?)\s*$", flat, re.M)), inner)
        i = j
    return found


def urls_of(targets, path, params=()):
    """As both make them: parameters of the configuration, then those of __param_ labels."""
    for group in targets:
        labels = group["labels"]
        assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in labels)
        q = dict(params) | {k[len("__param_"):]: v for k, v in labels.items() if k.startswith("__param_")}
        for address in group["targets"]:
            assert "/" not in address
            yield labels, f"http://{address}{path}?{urlencode(q)}"


def fetched(s, url, tmp_path):
    """What a Go client with basic authentication gets there."""
    at = urlsplit(url)
    assert at.netloc == s.address
    out = tmp_path / "scraped.pb.gz"
    p = subprocess.run(["curl", "-sS", "-A", "Parca/0.0.0", "-H", "Accept-Encoding: gzip", "-u", f"memwatch:{s.token}", "-o", out,
                        "-w", "%{http_code}", url], capture_output=True, text=True, timeout=180)
    assert p.stdout == "200", (p.stdout, p.stderr, out.read_bytes()[:200])
    assert dict(parse_qsl(at.query))
    return Pprof(out)


def of_process(p, rounds_n):
    i = [t for t, _ in p.types].index("inuse_objects")
    assert [t for t, _ in p.types] == ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]
    assert sum(x[1][i] for x in p.samples) >= rounds_n


def profiled(serve, rounds):
    t = rounds()
    s = serve(RULE)
    attached(s.d, t.pid)
    step(t, "a")
    return t, s


def test_the_readme_has_the_same_in_short(tmp_path):
    readme = (ROOT / "README.md").read_text()
    block = lambda file: re.search(rf"```(?:yaml)?\n(?:#|//) {file}:.*\n((?s:.*?))```", readme)[1]
    short, whole = yaml.safe_load(block("parca.yaml"))["scrape_configs"][0], parca()
    assert whole.pop("scrape_interval") and short == whole
    assert block("config.alloy") == alloy()
    of_manual = re.search(r"Prometheus, for the metrics.*?```yaml\n(.*?)```", PAGE, re.S)[1]
    assert block("prometheus.yml") == of_manual
    (tmp_path / "prometheus.yml").write_text(of_manual)
    p = subprocess.run(["promtool", "check", "config", "--syntax-only", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr


@pytest.mark.parametrize("delta", [False, True])
def test_parca(serve, rounds, tmp_path, delta):
    t, s = profiled(serve, rounds)
    c = parca()
    assert set(c) <= PARCA and set(c["profiling_config"]) == {"pprof_config"}
    kinds = c["profiling_config"]["pprof_config"]
    assert set(kinds) == set(PARCA_DEFAULTS)  # those that are left out are scraped
    assert all(set(k) <= {"enabled", "path", "delta", "keep_sample_type"} for k in kinds.values())
    on = {name: k.get("path", PARCA_DEFAULTS[name]) for name, k in kinds.items() if k.get("enabled", True)}
    assert on == {"memory": "/debug/pprof/heap"}
    sd = c["http_sd_configs"][0]
    assert set(sd) == {"url", "basic_auth"} and urlsplit(sd["url"]).path == "/sd"
    assert c["basic_auth"] == sd["basic_auth"] and set(c["basic_auth"]) == {"username", "password_file"}
    # delta: it asks for as many seconds as its interval is long
    params = {"seconds": "2"} if delta else {}
    urls = [u for labels, u in urls_of(json.loads(s.text("/sd")), on["memory"], params) if labels["pid"] == str(t.pid)]
    assert len(urls) == 1 and f"pid={t.pid}" in urls[0]
    of_process(fetched(s, urls[0], tmp_path), 0 if delta else 1000)


def test_alloy(serve, rounds, tmp_path):
    t, s = profiled(serve, rounds)
    found = blocks(alloy())
    assert set(found) == {"discovery.http", "pyroscope.scrape"}
    attributes, inner = found["discovery.http"]
    assert set(attributes) == {"url"} and attributes["url"].endswith('/sd"')
    attributes, inner = found["pyroscope.scrape"]
    assert set(attributes) == {"targets", "forward_to"} and attributes["targets"] == "discovery.http.memwatch.targets"
    inner = blocks(inner)
    assert set(inner) == {"basic_auth", "profiling_config"}
    assert set(inner["basic_auth"][0]) == {"username", "password_file"}
    kinds = blocks(inner["profiling_config"][1])
    assert {k.removeprefix("profile.") for k in kinds} <= ALLOY_PROFILES and all(k.startswith("profile.") for k in kinds)
    assert kinds["profile.memory"][0] == {"path": '"/debug/pprof/heap"'}
    # those that it scrapes unless told otherwise, and that a heap profiler does not have
    assert {k for k, (a, _) in kinds.items() if a.get("enabled") == "false"} == {
        "profile.process_cpu", "profile.goroutine", "profile.block", "profile.mutex"}
    urls = [u for labels, u in urls_of(json.loads(s.text("/sd")), "/debug/pprof/heap") if labels["pid"] == str(t.pid)]
    of_process(fetched(s, urls[0], tmp_path), 1000)


def ab(s, n, at_once, path):
    """ApacheBench asks n times; how many were answered with 200."""
    p = subprocess.run(["ab", "-q", "-l", "-k", "-n", str(n), "-c", str(at_once), "-s", "120", "-A", f"memwatch:{s.token}",
                        f"http://{s.address}{path}"], capture_output=True, text=True, timeout=300)
    assert p.returncode == 0, p.stderr
    assert re.search(r"^Failed requests:\s+0$", p.stdout, re.M) and "Non-2xx" not in p.stdout, p.stdout
    return int(re.search(r"^Complete requests:\s+(\d+)$", p.stdout, re.M)[1])


def test_load_loses_nothing(serve, rounds):
    """A thousand times the metrics and fifty heap profiles, many at once, while the process allocates;
    its numbers are exact after it, and the metrics say that nothing was lost."""
    t = rounds()
    s = serve(RULE + "max-overhead = 100%\n[daemon]\nmax-overhead = 100%\nmax-overhead-total = 100%\n")
    attached(s.d, t.pid)
    for path, n, at_once in (("/metrics", 1000, 16), (f"/debug/pprof/heap?pid={t.pid}", 50, 8), ("/sd", 200, 16)):
        step(t, "af")
        assert ab(s, n, at_once, path) == n
    step(t, "af")
    assert of_hold(s.text(f"/debug/pprof/heap?pid={t.pid}&debug=1")) == [2000, 2000000, 4000, 4000000]
    assert re.search(r"^memwatch_events_lost 0$", s.text("/metrics"), re.M)
