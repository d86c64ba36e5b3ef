# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger, the timeline beside a heap profile, and the page-fault profile."""
import csv
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import build, load_json, memwatch, wait_for
from test_top import BATCH, MB, do, mm, status  # noqa: F401 (mm is a fixture)

HEADER = ("time_unix_ms,pid,virt_bytes,rss_bytes,rss_anon_bytes,rss_file_bytes,rss_shmem_bytes,"
          "swap_bytes,inuse_bytes,alloc_bytes")


def ledger(pid):
    d = json.loads(memwatch("top", "--ledger", "--json", "-p", pid, check=0).stdout)
    check_sums(d)
    return d, {x["kind"]: x for x in d["lines"]}


def check_sums(d):
    assert sum(x["rss_bytes"] for x in d["lines"]) == d["rss_bytes"]
    assert sum(x["virt_bytes"] for x in d["lines"]) == d["virt_bytes"]


def rollup(pid):
    out = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        k, v = line.split(":")
        out[k] = int(v.split()[0]) * 1024
    return out


# --- the ledger ---------------------------------------------------------------------------------

def test_ledger_closes_and_names_everything(mm, tmp_path):
    t = mm()
    data = tmp_path / "data"
    data.write_bytes(os.urandom(6 * MB))
    _, base = ledger(t.pid)
    do(t, "grow", 20)
    do(t, "share", 12)
    do(t, "file", data)
    do(t, "threads", 4)
    do(t, "reserve", 128)
    d, lines = ledger(t.pid)
    s = status(t.pid)
    assert d["rss_bytes"] == s["VmRSS"] and d["virt_bytes"] == s["VmSize"]
    assert d["pgtables_bytes"] == s["VmPTE"] and d["steady"]
    assert abs(d["rss_bytes"] - rollup(t.pid)["Rss"]) <= 16 * 4096
    assert abs(lines["difference"]["rss_bytes"]) <= 16 * 4096  # the vdso, at most
    assert lines["difference"]["virt_bytes"] == 0
    assert lines["shared"]["rss_bytes"] == 12 * MB
    assert lines["files"]["rss_bytes"] - base["files"]["rss_bytes"] == 6 * MB
    assert lines["stack_threads"]["mappings"] == 4
    assert 0 < lines["stack_threads"]["rss_bytes"] <= 4 * 64 * 1024
    grown = lines["unattributed"]["rss_bytes"] - base["unattributed"]["rss_bytes"]
    assert abs(grown - 20 * MB) <= 64 * 1024
    assert lines["module_code"]["rss_bytes"] > 0 and lines["stack_main"]["rss_bytes"] > 0
    reserved = d["reservations"][0]
    assert reserved["virt_bytes"] == 128 << 30 and reserved["rss_bytes"] == 0
    assert not reserved["accessible"]
    assert lines["reserved"]["virt_bytes"] >= 128 << 30 and lines["reserved"]["rss_bytes"] == 0


def test_ledger_of_huge_pages(mm):
    t = mm()
    _, base = ledger(t.pid)
    do(t, "huge", 32)
    _, lines = ledger(t.pid)
    grown = lines["unattributed"]["rss_bytes"] - base["unattributed"]["rss_bytes"]
    assert abs(grown - 32 * MB) <= 64 * 1024


def test_ledger_as_text(mm):
    t = mm()
    p = memwatch("top", "--ledger", "-p", t.pid, check=0)
    for what in ("code of modules", "stack of the main thread", "total, as the kernel counts",
                 "page tables", "unattributed"):
        assert what in p.stdout


def test_ledger_with_the_live_heap(target, attach):
    """Live heap, retained and untouched memory, of a program whose blocks are known."""
    src = Path(build("mm.c", libs=("-lpthread",))).parent / "ledger_heap.c"
    src.write_text(r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
	static char *p[4096];
	puts("ready");
	fflush(stdout);
	getchar();
	for (int i = 0; i < 4096; i++)
		memset(p[i] = malloc(8192), 1, 8192); /* 32 MiB */
	for (int i = 0; i < 4096; i += 2)
		free(p[i]); /* every second: nothing can be given back */
	for (int i = 0; i < 8; i++)
		((char *)malloc(4 << 20))[0] = 1; /* 32 MiB, one page each touched */
	puts("filled");
	fflush(stdout);
	getchar();
	getchar();
	return 0;
}
""")
    exe = src.with_suffix("")
    subprocess.run(["gcc", "-g", "-O0", "-o", str(exe), str(src)], check=True)
    t = target([exe])
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--json", "--ledger")
    t.say("")
    t.expect("filled")
    code, out, err = a.finish()
    assert code == 0, err
    d = json.loads(out.splitlines()[0])
    assert d["schema"] == "memwatch.ledger/1" and d["heap_profile"]
    check_sums(d)
    lines = {x["kind"]: x for x in d["lines"]}
    live = 2048 * 8192 + 8 * (4 << 20)
    # what is live and was never touched is not in RSS
    total = lines["live_heap"]["rss_bytes"] + d["untouched_bytes"]
    assert abs(total - live) <= MB
    heap = sum(lines[k]["rss_bytes"] for k in ("live_heap", "heap_before_attach",
                                               "allocator_retained", "allocator_overhead"))
    assert abs(heap - 32 * MB) <= 2 * MB
    assert abs(lines["allocator_retained"]["rss_bytes"] - 2048 * 8208) <= MB
    assert lines["heap_before_attach"]["rss_bytes"] <= 16384
    assert lines["heap"]["rss_bytes"] == 0
    assert lines["heap_before_attach_and_retained"]["virt_bytes"] == 0


# --- the timeline beside a heap profile ---------------------------------------------------------

def test_timeline_of_attach(mm, attach, tmp_path):
    t = mm()
    out = tmp_path / "t.csv"
    a = attach("-p", t.pid, "--timeline", out, "-i", "0.2", "--plain")
    a.more_reports(2)
    do(t, "spike", 100)
    do(t, "grow", 30)
    a.more_reports(2)
    code, _, err = a.finish()
    assert code == 0, err
    text = out.read_text().splitlines()
    assert text[0] == HEADER
    rows = list(csv.DictReader(text))
    assert len(rows) >= 4 and {r["pid"] for r in rows} == {str(t.pid)}
    times = [int(r["time_unix_ms"]) for r in rows]
    assert times == sorted(times) and abs(times[-1] - time.time() * 1000) < 60000
    base = int(rows[0]["rss_bytes"])
    assert abs(max(int(r["rss_bytes"]) for r in rows) - base - 100 * MB) <= 4 * MB
    assert abs(int(rows[-1]["rss_bytes"]) - base - 30 * MB) <= MB
    s = status(t.pid)
    # The kernel keeps a part of RSS for each processor, and may not have added it up.
    assert abs(int(rows[-1]["rss_bytes"]) - s["VmRSS"]) <= 64 * 4096
    assert int(rows[-1]["virt_bytes"]) == s["VmSize"]
    for r in rows:
        parts = sum(int(r[k]) for k in ("rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes"))
        assert parts == int(r["rss_bytes"]) and r["inuse_bytes"] != ""


def test_peak_row_has_the_heap_of_its_moment(mm, attach, tmp_path):
    """The kernel tells of a peak when it is long over, and the heap empty again."""
    t = mm()
    out = tmp_path / "t.csv"
    a = attach("-p", t.pid, "--exact", "--timeline", out, "-i", "1s", "--plain")
    a.wait_for("watched", stream="out")  # the first row is there
    do(t, "heapspike", 200)
    code, _, err = a.finish()
    assert code == 0, err
    rows = list(csv.DictReader(out.read_text().splitlines()))
    peak = max(rows, key=lambda r: int(r["rss_bytes"]))
    assert int(peak["rss_bytes"]) > 100 * MB and int(rows[-1]["rss_bytes"]) < 100 * MB
    assert 200 * MB <= int(peak["inuse_bytes"]) < 201 * MB
    assert int(peak["alloc_bytes"]) >= 200 * MB
    assert int(rows[-1]["inuse_bytes"]) < MB


@pytest.mark.parametrize("ending", ["json", "svg", "html"])
def test_timeline_forms_and_marks(mm, attach, tmp_path, ending):
    t = mm()
    out = tmp_path / f"t.{ending}"
    a = attach("-p", t.pid, "--timeline", out, "-i", "0.2", "--plain")
    a.wait_for("watched", stream="out")  # the first report: the first rows are there
    do(t, "grow", 10)
    t.say("exec")
    t.expect("ready")
    t.say("exit")
    t.proc.wait()
    code, _, err = a.finish(sig=None)  # the target's end ends it
    assert code == 0, err
    text = out.read_text()
    assert "exec" in text and "exit 0" in text
    if ending == "json":
        p = json.loads(text)["processes"]
        assert len(p) == 1 and p[0]["pid"] == t.pid
        assert any(m["text"].startswith("exec ") for m in p[0]["marks"])


# --- page faults --------------------------------------------------------------------------------

def sums_by_function(profile):
    """{function: (faulted, resident)}, of the innermost frame that the workload has itself."""
    out = {}
    for s in profile["stacks"]:
        names = [f["function"] for f in s["frames"]]
        for name in ("keeps", "drops", "advises", "[resident, not attributed]"):
            if name in names:
                a, r = out.get(name, (0, 0))
                out[name] = (a + s["alloc_bytes"], r + s["inuse_bytes"])
    return out


def faulted(mm, attach, tmp_path, *args):
    t = mm()
    out = tmp_path / "f.json"
    a = attach(*args, "-i", "5", "-o", out) if args[0] != "PID" else attach(
        "-p", t.pid, *args[1:], "-i", "5", "-o", out, "--plain")
    do(t, "grow", 64)
    do(t, "drop", 48)
    do(t, "advise", 32)
    do(t, "grow", 16)
    code, _, err = a.finish()
    assert code == 0, err
    assert "page faults" in err
    return t, load_json(out), err


def test_fault_profile_of_a_process(mm, attach, tmp_path):
    t, p, err = faulted(mm, attach, tmp_path, "PID", "--faults=16")
    period = 16 * 4096
    f = sums_by_function(p)
    assert abs(f["keeps"][1] - 80 * MB) <= 80 * MB // 20 + period
    assert f["drops"][1] <= 2 * period and abs(f["drops"][0] - 48 * MB) <= 3 * MB
    assert f["advises"][1] <= 2 * period and abs(f["advises"][0] - 32 * MB) <= 2 * MB
    # all of it is the kernel's RSS
    total = p["totals"]["inuse_bytes"]
    assert abs(total - status(t.pid)["VmRSS"]) <= 2 * MB
    main = [s for s in p["stacks"] if any(x["function"] == "keeps" for x in s["frames"])]
    assert any(x["function"] == "main" for x in main[0]["frames"])  # stacks are whole


def test_fault_profile_of_all_processes(mm, attach, tmp_path):
    out = tmp_path / "all.pb.gz"
    t = mm()
    a = attach("top", "--faults=64", "-i", "5", "-o", out)
    do(t, "grow", 128)
    do(t, "drop", 64)
    time.sleep(0.2)  # a page that is reported and not there yet is not taken for given back
    code, _, err = a.finish()
    assert code == 0, err
    pprof = shutil.which("go")
    if not pprof:
        pytest.skip("go tool pprof is not here")
    text = subprocess.run(["go", "tool", "pprof", "-top", "-unit=mb", "-sample_index=resident_space",
                           f"-tagfocus={t.pid}", str(out)], capture_output=True, text=True,
                          env={**os.environ, "HOME": str(tmp_path)}, check=True).stdout
    flat = {line.split()[-1]: float(line.split()[0].removesuffix("MB"))
            for line in text.splitlines() if line.strip().endswith("keeps")
            or line.strip().endswith("touch")}
    assert abs(sum(flat.values()) - 128) <= 8, text


def test_fault_profile_of_python_reaches_the_root(attach, target, tmp_path):
    t = target(["/usr/bin/python3", "-u", "-c", """
import sys
def hold():
    return [bytearray(b'x' * 4096) for _ in range(8192)]
print('ready'); sys.stdin.readline()
kept = hold()
print('held'); sys.stdin.readline()
"""])
    t.expect("ready")
    out = tmp_path / "py.json"
    a = attach("-p", t.pid, "--faults=16", "--plain", "-i", "5", "-o", out)
    t.say("")
    t.expect("held")
    code, _, err = a.finish()
    assert code == 0, err
    p = load_json(out)
    got = sum(s["inuse_bytes"] for s in p["stacks"]
              if any(f["function"] in ("Py_BytesMain", "_start") for f in s["frames"]))
    assert got >= 28 * MB  # of the 32 that hold() keeps


# --- a real program -----------------------------------------------------------------------------

def redis(port, *words):
    with socket.create_connection(("127.0.0.1", port), timeout=180) as c:
        c.sendall((" ".join(map(str, words)) + "\r\n").encode())
        return c.recv(65536)


@pytest.fixture
def redis_server(tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path),
                          "--enable-debug-command", "yes"], stdout=subprocess.DEVNULL)

    def up():
        try:
            return redis(port, "PING").startswith(b"+PONG")
        except OSError:
            return False

    wait_for(up)
    yield p.pid, port
    p.kill()
    p.wait()


def test_redis_loading_and_flushing(redis_server, attach, tmp_path):
    pid, port = redis_server
    out = tmp_path / "redis.csv"
    a = attach("-p", pid, "--timeline", out, "--ledger", "--json", "-i", "0.2")
    empty = status(pid)["VmRSS"]
    assert redis(port, "DEBUG", "POPULATE", 200000, "key", 200).startswith(b"+OK")
    full, _ = ledger(pid)
    assert full["rss_bytes"] > empty + 40 * MB
    assert redis(port, "FLUSHALL", "SYNC").startswith(b"+OK")
    # jemalloc gives pages back as they decay
    wait_for(lambda: status(pid)["VmRSS"] < full["rss_bytes"] - 20 * MB)
    time.sleep(0.5)  # a row after it
    code, text, err = a.finish()
    assert code == 0, err
    d = json.loads(text.splitlines()[0])
    check_sums(d)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    top = max(int(r["rss_bytes"]) for r in rows)
    assert top >= full["rss_bytes"] - BATCH
    assert int(rows[-1]["rss_bytes"]) < top - 20 * MB
    assert max(int(r["inuse_bytes"]) for r in rows) > 40 * MB
