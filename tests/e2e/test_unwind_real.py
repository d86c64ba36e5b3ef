# SPDX-License-Identifier: GPL-2.0-or-later
"""Stacks of programs as the distribution ships them reach the root; what does not is counted."""
import shutil
import signal
import subprocess

import pytest
from conftest import WORKLOADS, load_json, wait_for
from pglib import pg_bin, pg_server

ROOTS = {"_start", "clone3", "__clone3", "__GI___clone3", "_dl_start_user", "_dl_start"}


def check_roots(path, least, share=0.999):
    """At least `least` sampled stacks, `share` of them complete, the rest counted by cause."""
    p = load_json(path)
    total = complete = 0
    cut = {}
    for s in p["stacks"]:
        last = s["frames"][-1]["function"]
        total += s["alloc_objects"]
        if last in ROOTS:
            complete += s["alloc_objects"]
        else:
            cut[last] = cut.get(last, 0) + s["alloc_objects"]
    assert total >= least
    # how often the program's own threads hold its mappings locked is the machine's matter
    locked = cut.pop("[stack cut: mappings locked]", 0)
    assert locked <= 0.01 * total, (locked, cut)
    total -= locked
    assert complete >= share * total, cut
    counted = {k: v for k, v in p["loss"].items() if k.startswith("stack cut: ")}
    for name, n in cut.items():
        assert name.startswith("[stack cut: "), (name, n)
        assert counted[name.strip("[]")] >= n
    return p


def run_script(argv, target, attach, tmp_path, least):
    out = tmp_path / "p.json"
    t = target(argv, cwd=tmp_path)
    t.expect("ready")
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
    t.say()
    t.expect("done")
    rc, _, err = a.finish(signal.SIGINT)
    assert rc == 0, err
    return check_roots(out, least)


def test_python(target, attach, tmp_path):
    p = run_script(["/usr/bin/python3", WORKLOADS / "unwind.py"], target, attach, tmp_path, 20000)
    depths = [len(s["frames"]) for s in p["stacks"]]
    assert max(depths) > 20  # the interpreter's own recursion is there


@pytest.mark.skipif(not shutil.which("perl"), reason="no perl")
def test_perl(target, attach, tmp_path):
    run_script(["perl", WORKLOADS / "unwind.pl"], target, attach, tmp_path, 20000)


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
@pytest.mark.parametrize("option", [None, "--perf-basic-prof"])
def test_node(target, attach, tmp_path, option):
    argv = ["node", *([option] if option else []), WORKLOADS / "unwind.js"]
    p = run_script(argv, target, attach, tmp_path, 20000)
    if option:  # the frames in between have the names that node wrote down
        names = {f["function"] for s in p["stacks"] for f in s["frames"]}
        assert any("work" in n and "unwind.js" in n for n in names)


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis")
def test_redis(attach, tmp_path):
    sock, out = tmp_path / "redis.sock", tmp_path / "p.json"
    srv = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", sock, "--save", ""],
                           stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        wait_for(sock.exists)
        a = attach("-p", srv.pid, "--exact", "--plain", "-o", out)
        subprocess.run(["redis-benchmark", "-s", sock, "-q", "-n", "20000", "-t",
                        "set,lpush,zadd,get"], check=True, stdout=subprocess.DEVNULL)
        rc, _, err = a.finish(signal.SIGINT)
        assert rc == 0, err
    finally:
        srv.kill()
        srv.wait()
    check_roots(out, 20000)


@pytest.mark.skipif(not pg_bin(), reason="no PostgreSQL")
def test_postgres(attach, tmp_path_factory):
    """One backend: building, hashing and sorting tables."""
    with pg_server(tmp_path_factory) as pg:
        out = pg.tmp / "p.json"
        psql = subprocess.Popen(["psql", "-qAt", "-h", pg.data, "-d", "postgres"], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, **pg.become)
        try:
            psql.stdin.write("select pg_backend_pid();\n")
            psql.stdin.flush()
            a = attach("-p", psql.stdout.readline().strip(), "--exact", "--plain", "-o", out)
            psql.stdin.write("""
                create temp table t as select i, md5(i::text) as m from generate_series(1, 30000) i;
                select count(*) from (select m, string_agg(i::text, ',') from t group by m order by 1) x;
                select sum(i) from t where m like '%a%';\n""")
            psql.stdin.flush()
            assert psql.stdout.readline().strip() == "30000"
            assert int(psql.stdout.readline()) > 0
            rc, _, err = a.finish(signal.SIGINT)
            assert rc == 0, err
        finally:
            psql.kill()
            psql.communicate()
    check_roots(out, 20000)
