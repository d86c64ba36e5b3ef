# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs as they are shipped, met in every way: nothing lost, every stack reaches the root."""
import os
import re
import shlex
import shutil
import subprocess

import pytest
from conftest import BIN, load_json, memwatch, wait_for
from pglib import pg_bin, pg_server

JAVA = """
import java.util.zip.Deflater;
public class Work {
    static void pack(int i) {
        Deflater d = new Deflater();
        d.setInput(("abc" + i).repeat(50).getBytes());
        d.finish();
        d.deflate(new byte[4096]);
        d.end();
    }
    public static void main(String[] a) {
        System.out.println("ready");
        for (long i = 0; i != Long.parseLong(a[0]); i++)
            pack((int) i);
    }
}
"""
CXX = """
#include <map>
#include <string>
template <int N> struct s { std::map<int, std::string> m; s() { m[N] = std::to_string(N); } };
"""
# program: what it takes, beside what it is called
NEEDS = {"perl": "perl", "python3": "/usr/bin/python3", "node": "node", "java": "javac",
         "clang": "clang++", "cc1plus": "g++", "git": "git", "magick": "/usr/bin/convert"}
PYTHON = """
import json, re, sys
for i in range(int(sys.argv[1])):
    s = json.dumps({str(k): [k] * 20 for k in range(1000)})
    sorted(json.loads(s).items(), key=lambda kv: -len(kv[0]))
    re.sub(r"(\\\\d+)", lambda m: m.group(1) + "x", s)
"""
PERL = """for (1 .. shift) { my %h; $h{"key$_"} = [map { $_ * 2 } 1 .. 5] for 1 .. 2000;
    my $t = join(",", sort { $a cmp $b } keys %h); $t =~ s/(\\d+)/<$1>/g; }"""
NODE = """
const zlib = require('zlib');
let left = Number(process.argv[1]);
function step() {
    const o = [];
    for (let i = 0; i < 2000; i++)
        o.push({ a: i, b: 'x'.repeat(i % 100), c: Buffer.alloc(5000 + i) });
    JSON.parse(JSON.stringify(o.map((x) => x.b)));
    zlib.gzipSync(Buffer.alloc(100000, 'abc'));
    if (--left > 0)
        setImmediate(step);
}
step();
"""
EVER = 10**9


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What the programs work on."""
    d = tmp_path_factory.mktemp("programs")
    if shutil.which("javac"):
        (d / "Work.java").write_text(JAVA)
        subprocess.run(["javac", "-d", d, d / "Work.java"], check=True)
    for name, n in (("short", 2), ("long", 50000)):
        (d / f"{name}.cpp").write_text(CXX + "".join(f"template struct s<{i}>;\n"
                                                     for i in range(n)))
        if shutil.which("g++"):
            subprocess.run(["g++", "-E", d / f"{name}.cpp", "-o", d / f"{name}.ii"], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", d / "repo"], check=True)
    commits, lines = [], ["line\n"] * 200
    for i in range(200):
        lines[i] = f"line {i}\n"
        text = "".join(lines)
        commits.append(f"commit refs/heads/main\nmark :{i + 1}\n"
                       f"committer a <a@b> {1600000000 + i} +0000\ndata 1\nx\n"
                       + (f"from :{i}\n" if i else "")
                       + f"M 100644 inline f\ndata {len(text)}\n{text}\n")
    subprocess.run(["git", "-C", d / "repo", "fast-import", "--quiet"], check=True, text=True,
                   input="".join(commits))
    (d / "objects").write_text("main:f\n" * 1000000)
    return d


def command(name, place, ever):
    """argv, and a file for its stdin or None"""
    n = EVER if ever else 1
    source = place / ("long.cpp" if ever else "short.cpp")
    if name == "cc1plus":
        cc1 = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True,
                             check=True).stdout.strip()
        return [cc1, "-quiet", "-fpreprocessed", source.with_suffix(".ii"), "-o", "/dev/null"], None
    if name == "git" and ever:
        return ["git", "-C", place / "repo", "cat-file", "--batch"], place / "objects"
    if name == "magick":
        again = ["-blur", "0x2", "-resize", "110%", "-resize", "300x300!"]
        return ["/usr/bin/convert", "-size", "300x300", "plasma:fractal",
                *again * (3000 if ever else 3), place / "x.png"], None
    return {"perl": ["perl", "-e", PERL, n],
            # a program that is gone before a file that it opened last can be read has stacks cut there
            "python3": ["/usr/bin/python3", "-c", PYTHON, n * 60],
            "node": ["node", "-e", NODE, n],
            "java": ["java", "-cp", place, "Work", n * (1 if ever else 5000)],
            "clang": ["clang++", "-c", source, "-o", "/dev/null"],
            "git": ["git", "-C", place / "repo", "--no-pager", "log", "--stat", "-p"]}[name], None


def check(path, least, err="", but=()):
    """No event lost; at most one in a thousand stacks is cut, and that is counted; but for those of a moment
    at which another thread was changing the mappings, which lasts while it has no processor."""
    p = load_json(path)
    whole = every = 0
    cut = {}
    for s in p["stacks"]:
        every += s["alloc_objects"]
        last = s["frames"][-1]["function"]
        if last.startswith("[") and last != "[fibre]":
            cut[last.strip("[]")] = cut.get(last.strip("[]"), 0) + s["alloc_objects"]
        else:
            whole += s["alloc_objects"]
    assert every >= least, (every, err)
    busy = cut.get("stack cut: mappings locked", 0)
    assert whole + busy >= 0.999 * every and busy <= 0.05 * every, (whole, every, cut)
    assert not [c for c in p["loss"] if "lost" in c and c not in but], p["loss"]
    assert all(p["loss"].get(c, 0) >= n for c, n in cut.items()), (cut, p["loss"])
    return p


def cpu_ticks(pid):
    try:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    except OSError:
        return 0  # gone
    return int(fields[11]) + int(fields[12])


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A state directory in which tables stay from one test to the next."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def state(request, known, tmp_path):
    cold = request.node.callspec.params["cold"]
    return {**os.environ, "MEMWATCH_STATE_DIR": str(tmp_path / "state" if cold else known)}


def skip_absent(name):
    if not shutil.which(NEEDS[name]):
        pytest.skip(f"no {name}")


@pytest.mark.parametrize("cold", [False, True], ids=["run", "sh-exec-cold"])
@pytest.mark.parametrize("name", NEEDS)
def test_run(name, cold, place, state, tmp_path):
    """Started by memwatch; by a shell's exec, and nothing is known of it yet."""
    skip_absent(name)
    argv = [str(a) for a in command(name, place, False)[0]]
    out = tmp_path / "p.json"
    p = memwatch("run", "--exact", "--plain", "-q", "-o", out, "--",
                 *(["sh", "-c", "exec " + shlex.join(argv)] if cold else argv), env=state, check=0,
                 cwd=tmp_path)
    check(out, 1000, p.stderr)


# programs that end by themselves, met at their start alone; most of their libraries come later
OTHERS = {
    "sqlite3": [":memory:", "with recursive c(x) as (select 1 union all select x+1 from c where "
                "x<5000) select count(*), group_concat(x) from c;"],
    "gdb": ["-batch", "-ex", "info functions main", "/usr/bin/python3"],
    "vim": ["-es", "-u", "NONE", "-c", "for i in range(500)|call append(0,string(i))|endfor",
            "-c", "%s/1/xx/g", "-c", "q!"],
    "openssl": ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out",
                "c.pem", "-subj", "/CN=localhost"],
    "ruby": ["-e", "a = (1..2000).map { |i| \"k#{i}\" * 3 }; require 'json'; "
             "puts JSON.generate(a).size; Thread.new { a.map(&:upcase) }.join"],
    "php": ["-r", "$a = []; for ($i = 0; $i < 2000; $i++) $a[] = str_repeat('x', $i % 100) . $i; "
            "usort($a, fn($x, $y) => strcmp($x, $y)); echo strlen(json_encode($a));"],
    "lua5.4": ["-e", "local t = {} for i = 1, 5000 do t[i] = ('x'):rep(i % 50) .. i end"],
    "R": ["--vanilla", "--slave", "-e", "x <- sapply(1:500, function(i) paste('k', i)); "
          "print(dim(solve(matrix(runif(2500), 50))))"],
}


@pytest.mark.parametrize("cold", [False, True], ids=["run", "sh-exec-cold"])
@pytest.mark.parametrize("name", OTHERS)
def test_run_others(name, cold, state, tmp_path):
    if not shutil.which(name):
        pytest.skip(f"no {name}")
    argv, out = [name, *OTHERS[name]], tmp_path / "p.json"
    p = memwatch("run", "--exact", "--plain", "-q", "-o", out, "--",
                 *(["sh", "-c", "exec " + shlex.join(argv)] if cold else argv), env=state,
                 cwd=tmp_path, stdin=subprocess.DEVNULL)
    check(out, 1000, p.stderr)


@pytest.mark.parametrize("cold", [False, True], ids=["known", "cold"])
@pytest.mark.parametrize("name", NEEDS)
def test_attached_to_while_it_works(name, cold, place, state, tmp_path, attach):
    skip_absent(name)
    argv, stdin = command(name, place, True)
    with open(stdin or os.devnull) as f:
        t = subprocess.Popen([str(a) for a in argv], stdin=f, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, cwd=tmp_path)
    try:
        wait_for(lambda: cpu_ticks(t.pid) >= 20)
        a = attach("-p", t.pid, "--exact", "--plain", "-o", tmp_path / "p.json", env=state)
        before = cpu_ticks(t.pid)
        wait_for(lambda: cpu_ticks(t.pid) >= before + 50)
        assert t.poll() is None
        status, _, err = a.finish()
        assert status == 0, err
    finally:
        t.kill()
        t.wait()
    check(tmp_path / "p.json", 50, err)


@pytest.mark.skipif(not shutil.which("javac"), reason="no javac")
@pytest.mark.parametrize("mode", [["-Xint"], ["-XX:TieredStopAtLevel=1", "-XX:-Inline"],
                                  ["-XX:-TieredCompilation", "-XX:-Inline"]],
                         ids=["interpreted", "client", "server"])
def test_java_has_each_frame(mode, place, tmp_path):
    """Compiled code keeps no frame pointer, and no frame of it may be missing in the middle: main,
    pack, two constructors, the native method and the stub that called main."""
    out = tmp_path / "p.json"
    memwatch("run", "--exact", "--plain", "-q", "-o", out, "--", "java", *mode, "-cp", place, "Work",
             3000, check=0)
    p = check(out, 10000)
    counts = {}
    for s in p["stacks"]:
        names = [f["function"] for f in s["frames"]]
        if "Java_java_util_zip_Deflater_init" in names:
            n = sum(not name or name.startswith("[anon") for name in names)
            counts[n] = counts.get(n, 0) + s["alloc_objects"]
    assert set(counts) == {6} and counts[6] >= 3000, counts


def pgbench(pg, *args):
    subprocess.run([f"{pg_bin()}/pgbench", "-h", pg.data, *args, "postgres"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **pg.become)


@pytest.mark.skipif(not pg_bin(), reason="no PostgreSQL")
@pytest.mark.parametrize("cold", [False, True], ids=["run", "sh-exec-cold"])
def test_run_postgres(cold, state, tmp_path_factory):
    def wrap(argv, tmp):
        return [BIN, "run", "--follow", "--exact", "--plain", "-q", "-o", tmp / "p.json", "--",
                *(["sh", "-c", "exec " + shlex.join(argv)] if cold else argv)]

    with pg_server(tmp_path_factory, wrap, state) as pg:
        pgbench(pg, "-i", "-q")
        pgbench(pg, "-c", "2", "-t", "20")
    check(pg.tmp / "p.json", 10000)


@pytest.mark.skipif(not pg_bin(), reason="no PostgreSQL")
@pytest.mark.parametrize("cold", [False, True], ids=["known", "cold"])
def test_postgres_while_it_works(cold, state, tmp_path_factory, attach):
    """Each client's server as it comes, while others work and come and go."""
    with pg_server(tmp_path_factory) as pg:
        pgbench(pg, "-i", "-q")
        a = attach("-p", pg.pid, "--follow", "--exact", "--plain", "-o", pg.tmp / "p.json",
                   env=state)
        load = subprocess.Popen([f"{pg_bin()}/pgbench", "-h", pg.data, "-c", "4", "-T", "1000",
                                 "postgres"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL, **pg.become)
        try:
            a.wait_for(r"(?s)(attached to child .*){4}")
            servers = re.findall(r"attached to child (\d+)", a.err)
            pgbench(pg, "-C", "-c", "2", "-t", "5")
            wait_for(lambda: sum(map(cpu_ticks, servers)) >= 40)
            status, _, err = a.finish()
            assert status == 0, err
        finally:
            load.kill()
            load.wait()
    # what a child frees before it is followed is not seen, and counted as such
    check(pg.tmp / "p.json", 1000, err, ["frees lost: block reused"])
