#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
What whole programs keep of their speed under memwatch and its peers. Of programs that are attached to
two run, one with the tool and one without, and have the same work to do by turns within each second,
for the machine is now faster and now slower, whoever is watched; what a tool costs the machine as a
whole both have (alloc.py: what it adds to a system call). Of programs that run from their start to
their end, runs with the tool follow runs without. The variants take turns; each ratio is the median,
over the turns, of the speed with a tool against that turn's own without any, with the least and the
most. For memwatch the cost that it printed stands beside the one that was measured: what the program
used the CPU longer for the same work. A table on stdout, progress on stderr; with --save also
docs/bench/whole.md and whole.json, after each program: what was measured takes the place of what they
had of it, the rest stays, each row with its day.
Usage: tools/bench/whole.py [--save] [--only NAME]… [--with VARIANT]… [--minutes M] [ROUNDS]
       (default 7 rounds; root, an idle machine)
NAME: loop, redis, postgres, nginx, python, compile, perl, sqlite, jq, go
VARIANT: as in the table's second column
--minutes: no turn begins for a row that has had its part of so many minutes, which is what is left of
them for each row that is still to come; what there is by then counts. A first turn is always had.
"""
import argparse
import contextlib
import functools
import json
import os
import platform
import pwd
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import typing
from glob import glob
from pathlib import Path

from alloc import BIN, LIBS, Pairs, Probe
from benchlib import cpu_s, line, settle

ROOT = Path(__file__).resolve().parents[2]
PORT = 16399
ATTACHED = {"--fast": ["--fast"], "windows, 3 %": ["--max-overhead", "3"], "probes, sampled": [],
            "probes, exact": ["--exact"]}
NOISE_S = 0.25  # a measured cost below it is the machine's unrest
WINDOWS_S = 12  # that a run in windows is watched, for they are few
RUN_S = 3  # that others are, at least, and as long without
TURN = 300  # seconds that one run may take at most
GPERF = "/usr/lib/x86_64-linux-gnu/libtcmalloc_and_profiler.so.4"
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
# Run under: command in front, environment. The own ones get a file for the last line.
PEERS = {
    "heaptrack": (["heaptrack", "-o", "{tmp}/heaptrack"], {}),
    "massif": (["valgrind", "-q", "--tool=massif", "--massif-out-file={tmp}/massif"], {}),
    "gperftools": ([], {"LD_PRELOAD": GPERF, "HEAPPROFILE": "{tmp}/gperf"}),
    "jemalloc": ([], {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF":
                      "prof:true,prof_final:true,lg_prof_sample:19,prof_prefix:{tmp}/jeprof"}),
}
# Attached to one process. What they print says when they are in. (heaptrack 1.4 can be attached,
# too, but the process ended with it when it was told to let go: no turns can be taken.)
PEERS_ATTACHED = {
    "memleak (bcc)": (["/usr/bin/python3", "-c", "{MEMLEAK}", "-p", "{pid}", "60"], "Attaching to"),
}
# It needs the kernel's headers, and the C library's allocator: of another library it wants mmap, too.
# Debian 12's attaches nothing by itself, for its Python leaves out an argument of its library's
# function: the offset of a semaphore.
MEMLEAK = """
import runpy, shutil, bcc.libbcc
attach = bcc.libbcc.lib.bpf_attach_uprobe
attach.argtypes = None
from ctypes import c_int, c_uint32, c_ulonglong
bcc.libbcc.lib.bpf_attach_uprobe = lambda prog, kind, event, path, addr, pid: attach(
    prog, kind, event, path, c_ulonglong(addr), c_int(pid), c_uint32(0))
runpy.run_path(shutil.which("memleak-bpfcc"), run_name="__main__")
"""


class Turns:
    """How often, and how long at most: a first turn is always had. What a row has taken more than its
    part, or less, is taken from those that follow, or theirs."""

    def __init__(self, rounds, seconds, rows):
        self.rounds = rounds
        self.end = time.monotonic() + seconds
        self.rows = rows

    def skip(self, rows):
        self.rows -= rows

    def __call__(self, program):
        now = time.monotonic()
        end = now + (self.end - now) / max(self.rows, 1)
        self.skip(1)
        for i in range(self.rounds):
            if i and time.monotonic() > end:
                return
            progress(f"{program}: turn {i + 1} of {self.rounds}")
            yield i


START = time.monotonic()


def progress(what):
    print(f"{time.monotonic() - START:7.0f} s  {what}", file=sys.stderr, flush=True)


class Table:
    """Results, as they come."""

    def __init__(self, variants=None):
        self.rows = []
        self.variants = variants

    def wants(self, variant):
        return not self.variants or variant in self.variants

    def add(self, program, variant, ratios, cost=None):
        """ratios: speed against unprobed, one a turn; cost: (printed, measured) seconds."""
        row = {"program": program, "variant": variant, "turns": len(ratios),
               "speed": round(statistics.median(ratios), 4), "least": round(min(ratios), 4),
               "most": round(max(ratios), 4), "date": time.strftime("%Y-%m-%d")}
        what = f"of unprobed, {row['least']:.2f} to {row['most']:.2f} in {len(ratios)} turns"
        if cost:
            row["cost_printed_s"], row["cost_measured_s"] = (round(c, 4) for c in cost)
            row["cost_ratio"] = round(cost[0] / cost[1], 3) if cost[1] > NOISE_S else None
            what += (f"; cost {cost[0]:.2f} s printed, {cost[1]:.2f} s measured: "
                     + (f"× {row['cost_ratio']}" if row["cost_ratio"] else "too little to compare"))
        self.rows.append(row)
        line(f"{program}, {variant}", f"× {row['speed']:.3f}", what)

    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "whole.json"
        rows = {(r["program"], r["variant"]): r for r in
                (json.loads(file.read_text())["results"] if file.exists() else []) + self.rows}
        machine = {"kernel": platform.release().split("-")[0], "cpus": os.cpu_count(),
                   "cpu": re.search(r"model name\s*: (.*)",
                                    Path("/proc/cpuinfo").read_text())[1],
                   "memory_kib": int(re.search(r"\d+", Path("/proc/meminfo").read_text())[0]),
                   "system": re.search(r'PRETTY_NAME="(.*)"',
                                       Path("/etc/os-release").read_text())[1]}
        file.write_text(json.dumps({"schema": "memwatch.bench/1", "machine": machine,
                                    "results": list(rows.values())}, indent=1) + "\n")
        md = ["# What whole programs keep of their speed", "",
              f"`tools/bench/whole.py`: {machine['cpus']} CPUs "
              f"({machine['cpu']}), {machine['system']}, Linux {machine['kernel']}. Median of the "
              "turns, with the least and the most; 1 is the speed without any tool. The last "
              f"column is printed ÷ measured cost, where more than {NOISE_S} s were measured.", "",
              "| program | with | keeps | least–most | turns | cost printed / measured | = | on |",
              "| --- | --- | --- | --- | --- | --- | --- | --- |"]
        for r in rows.values():
            cost = (f"{r['cost_printed_s']:.2f} / {r['cost_measured_s']:.2f} s | "
                    f"{r['cost_ratio'] or '–'}" if "cost_printed_s" in r else " | ")
            md.append(f"| {r['program']} | {r['variant']} | {r['speed']:.3f} | "
                      f"{r['least']:.2f}–{r['most']:.2f} | {r['turns']} | {cost} | {r['date']} |")
        (folder / "whole.md").write_text("\n".join(md) + "\n")


def printed_cost(err):
    m = re.search(r"cost to the target .*\(([\d.]+) ?(ms|s|us)\)", err)
    return float(m[1]) * {"s": 1, "ms": 1e-3, "us": 1e-6}[m[2]] if m else 0.0


# Programs that are attached to ------------------------------------------------------------------

def last_line_cost(m):
    """Ends the probe; seconds of cost that it printed, None if it is none of ours."""
    err = m.end()
    return printed_cost(err) if "cost to the target" in err else None


class Peer(Probe):
    """Another tool, attached to a process."""

    def __init__(self, argv, word):
        self.p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  env={**os.environ, "PYTHONUNBUFFERED": "1"},
                                  start_new_session=True)
        # with all that it has started, which have its stdout too
        killer = threading.Timer(60, os.killpg, (self.p.pid, signal.SIGKILL))
        killer.start()
        said = []
        for text in self.p.stdout:
            said.append(text)
            if word in text:
                break
        killer.cancel()
        if word not in (said[-1:] or [""])[0]:
            raise RuntimeError(f"{argv[0]} did not attach: {''.join(said)[-100:].strip()}")

    def end(self):
        if self.p.poll() is not None:
            raise RuntimeError(f"it has ended: {self.p.communicate()[0][-200:].strip()}")
        self.p.send_signal(signal.SIGINT)
        try:
            return self.p.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, signal.SIGKILL)
            return self.p.communicate()[0]


def attachments(pids, tmp):
    """What can be attached here: name → function that does it. Peers only to a single process."""
    own = {v: lambda o=o: Probe([BIN, *[a for p in pids() for a in ("-p", p)], "--plain", "-i",
                                 "60s", *o]) for v, o in ATTACHED.items()}
    for name, (argv, word) in PEERS_ATTACHED.items():
        if tmp and shutil.which("memleak-bpfcc") and len(pids()) == 1:
            own[name] = lambda a=argv, w=word: Peer(
                [x.format(pid=pids()[0], MEMLEAK=MEMLEAK) for x in a], w)
    return own


def used(pids):
    return sum(cpu_s(p) for p in pids())


class Server(typing.NamedTuple):
    """A running program: pids(), those to attach to; speed() has it do the same work once. Those that
    are much slower with some tool do a PART of it when speed(PART) is called."""
    pids: typing.Callable
    speed: typing.Callable


SLOWEST = 1 / 20  # of the work is done, at least
MUCH = 1 / 4  # of the speed is kept: then all of it, for a short run says less than a long one


def in_turns(table, turns, program, bare, probed, variants=None, tmp=None, sized=False):
    """bare, probed: two of the same program."""
    can = attachments(probed.pids, tmp)
    got = {v: ([], []) for v in can
           if table.wants(v) and (not variants or v in variants)}
    bare.speed()
    probed.speed()
    for _ in turns(program):
        for v in list(got):
            progress(f"{program}: {v}")
            before = used(probed.pids)
            try:
                m = can[v]()
            except (RuntimeError, SystemExit) as e:
                print(f"{program}, {v}: {e}", file=sys.stderr)
                del got[v]
                continue
            # what the first moments cost (tables, first stacks, a rate that settles) is no rate
            part, runs = (), 0
            if sized:
                kept = probed.speed(SLOWEST) / bare.speed()
                part = (1 if kept > MUCH else max(SLOWEST, 2 * kept),)
                runs = SLOWEST
            one = sum(part or (1,))
            settling = threading.Thread(target=settle, args=(m.p.pid,))
            settling.start()
            while settling.is_alive():
                probed.speed(*part)
                runs += one
            without, with_it, alone = [], [], used(bare.pids)
            end = time.monotonic() + 2 * (WINDOWS_S if "windows" in v else RUN_S)
            while not with_it or time.monotonic() < end:
                without.append(1 / bare.speed())
                with_it += [1 / probed.speed(*part), 1 / probed.speed(*part)]
                without.append(1 / bare.speed())
                runs += 2 * one
            alone = (used(bare.pids) - alone) / len(without)
            said = last_line_cost(m)
            got[v][0].append(sum(without) / sum(with_it))
            if said is not None:
                got[v][1].append((said, used(probed.pids) - before - alone * runs))
    for v, (ratios, costs) in got.items():
        if ratios:
            table.add(program, v, ratios, [statistics.median(c) for c in zip(*costs)] or None)


def loop(table, turns, tmp):
    for lib, preload in LIBS.items():
        for command, name in (("pairs 20000000 100", "1 thread"),
                              ("threads 2 10000000", "2 threads")):
            twins = [Pairs(preload) for _ in range(2)]
            in_turns(table, turns, f"malloc+free loop, {lib}, {name}",
                     *(Server(lambda t=t: [t.pid], lambda t=t: 1 / t.ask(command)) for t in twins),
                     ["--fast"])
            for t in twins:
                t.end()


@contextlib.contextmanager
def redis_server(port):
    """A Server whose speed() has one argument more, in front: (test, pipeline)."""
    server = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--appendonly",
                               "no"], stdout=subprocess.DEVNULL)

    def throughput(what, part=1):
        test, pipeline = what
        out = subprocess.run(["redis-benchmark", "-p", str(port), "-t", test.lower(), "-n",
                              str(int(20000 * pipeline * part)), "-P", str(pipeline), "-r", "10000",
                              "-d", "64", "--csv"], capture_output=True, text=True,
                             check=True).stdout
        return float(re.findall(r'"([\d.]+)"', out.splitlines()[-1])[0])

    time.sleep(1)
    try:
        yield Server(lambda: [server.pid], throughput)
    finally:
        server.terminate()
        server.wait()


def redis(table, turns, tmp):
    with redis_server(PORT) as bare, redis_server(PORT + 1) as probed:
        for pipeline in (1, 16):
            for test in ("SET", "GET", "LPUSH"):
                twins = (s._replace(speed=functools.partial(s.speed, (test, pipeline)))
                         for s in (bare, probed))
                in_turns(table, turns, f"redis {test}, pipeline {pipeline}", *twins, sized=True)


def postgres(table, turns, tmp):
    """Two connections of pgbench, whose backends are attached to."""
    bin_dir = sorted(glob("/usr/lib/postgresql/*/bin"))[-1]
    user = pwd.getpwnam("postgres")
    data = Path(tmp) / "pg"
    os.chmod(tmp, 0o755)
    data.mkdir(mode=0o700)
    os.chown(data, user.pw_uid, user.pw_gid)
    become = dict(user="postgres", group=user.pw_gid, extra_groups=[], cwd=data)
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([f"{bin_dir}/initdb", "-A", "trust", "-N", "-D", data], check=True, **quiet,
                   **become)
    server = subprocess.Popen([f"{bin_dir}/postgres", "-D", data, "-k", data, "-h", "", "-F"],
                              **quiet, **become)
    try:
        while subprocess.run(["pg_isready", "-q", "-h", data]).returncode:
            time.sleep(0.1)
        subprocess.run(["pgbench", "-i", "-q", "-h", data, "-s", "5", "postgres"], check=True,
                       **quiet, **become)
        got = {v: ([], []) for v in ATTACHED if table.wants(v)}
        for _ in turns("PostgreSQL"):
            for v in got:
                progress(f"PostgreSQL: {v}")
                seconds = WINDOWS_S if "windows" in v else RUN_S
                bench = subprocess.Popen(["pgbench", "-S", "-n", "-h", data, "-c", "2", "-T",
                                          str(TURN), "-P", "1", "postgres"],
                                         stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                         text=True, **become)
                done = []  # transactions in each second
                reader = threading.Thread(target=lambda b=bench, d=done: d.extend(
                    float(m[1]) for x in b.stderr
                    if (m := re.match(r"progress: .*?([\d.]+) tps", x))))
                reader.start()

                def later(n, d=done, b=bench):
                    """The n seconds that begin when the next one does."""
                    at = len(d)
                    while len(d) < at + 1 + n:
                        if b.poll() is not None:
                            raise RuntimeError("pgbench has ended")
                        time.sleep(0.01)
                    return d[at + 1:at + 1 + n]

                later(1)
                pids = subprocess.run(["pgrep", "-P", str(server.pid), "-f", "SELECT|idle"],
                                      capture_output=True, text=True).stdout.split()
                later(0)  # at the end of a second, as each look at the time used is
                at, before = len(done), used(lambda: pids)
                base = later(seconds)
                a_run = (used(lambda: pids) - before) / sum(done[at:])
                at, before = len(done), used(lambda: pids)
                m = Probe([BIN, *[a for p in pids for a in ("-p", p)], "--plain", "-i", "60s",
                           *ATTACHED[v]])
                settle(m.p.pid)
                with_it = later(seconds)
                added = used(lambda: pids) - before - a_run * sum(done[at:])
                cost = last_line_cost(m)
                base += later(seconds)
                got[v][0].append(statistics.mean(with_it) / statistics.mean(base))
                got[v][1].append((cost, added))
                bench.terminate()
                reader.join()
                bench.wait()
        for v, (ratios, costs) in got.items():
            table.add("PostgreSQL, pgbench -S", v, ratios,
                      [statistics.median(c) for c in zip(*costs)])
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()


@contextlib.contextmanager
def nginx_server(tmp, port):
    Path(tmp, "index.html").write_text("hello\n" * 100)
    os.chmod(tmp, 0o755)
    conf = Path(tmp, f"nginx-{port}.conf")
    conf.write_text(f"worker_processes 1; pid {tmp}/pid-{port}; error_log /dev/null; daemon off;\n"
                    f"events {{}} http {{ access_log off; server {{ listen 127.0.0.1:{port}; "
                    f"root {tmp}; gzip on; gzip_min_length 10; gzip_types *; }} }}\n")
    server = subprocess.Popen(["nginx", "-c", conf, "-p", tmp], stderr=subprocess.DEVNULL)
    workers = []

    def speed():
        out = subprocess.run(["ab", "-q", "-n", "5000", "-c", "4", "-H", "Accept-Encoding: gzip",
                              f"http://127.0.0.1:{port}/index.html"], capture_output=True,
                             text=True, check=True).stdout
        return float(re.search(r"Requests per second:\s+([\d.]+)", out)[1])

    try:
        while not workers:
            time.sleep(0.1)
            workers += subprocess.run(["pgrep", "-P", str(server.pid)], capture_output=True,
                                      text=True).stdout.split()
        yield Server(lambda: workers, speed)
    finally:
        server.terminate()
        server.wait()


def nginx(table, turns, tmp):
    with nginx_server(tmp, PORT) as bare, nginx_server(tmp, PORT + 1) as probed:
        in_turns(table, turns, "nginx, gzip, ab -c 4", bare, probed, tmp=tmp)


GO_SERVER = """package main

import ("bufio"; "fmt"; "io"; "net"; "net/http"; "os"; "strings"; "time")

func main() {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 4000), r.URL)
	}))
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		at := time.Now()
		for i := 0; i < 5000; i++ {
			r, err := http.Get("http://" + l.Addr().String())
			if err != nil { panic(err) }
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		fmt.Println(time.Since(at).Seconds())
	}
}
"""


@contextlib.contextmanager
def go_server(binary):
    p = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()

    def speed():
        p.stdin.write("go\n")
        p.stdin.flush()
        return 1 / float(p.stdout.readline())

    try:
        yield Server(lambda: [p.pid], speed)
    finally:
        p.kill()
        p.wait()


def go(table, turns, tmp):
    """A server of requests to itself; the runtime's own profile is read from outside."""
    Path(tmp, "server.go").write_text(GO_SERVER)
    subprocess.run(["go", "build", "-o", f"{tmp}/server", f"{tmp}/server.go"], check=True,
                   env={**os.environ, "GOCACHE": f"{tmp}/cache", "GOFLAGS": "-mod=mod"})
    with go_server(f"{tmp}/server") as bare, go_server(f"{tmp}/server") as probed:
        in_turns(table, turns, "Go HTTP server", bare, probed, ["probes, sampled"])


# Programs from their start to their end ---------------------------------------------------------

PYTHON = """
import json, sys
for i in range(int(sys.argv[1])):
    d = [{"name": str(k) * 5, "list": list(range(k % 30))} for k in range(4000)]
    assert len(json.loads(json.dumps(d))) == len(d)
"""


class Group:
    """A cgroup of its own, whose CPU time is that of a command and of all that it starts, but not
    that of a memwatch which runs it."""

    def __init__(self):
        root = next(m[1] for m in (l.split() for l in open("/proc/mounts")) if m[2] == "cgroup2")
        self.dir = Path(root, f"memwatch-bench-{os.getpid()}")

    def __enter__(self):
        self.dir.mkdir()
        return self

    def __exit__(self, *_):
        self.dir.rmdir()

    def command(self, argv):
        return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', self.dir, *argv]

    def last(self, p):
        """Waits until its commands have ended, whatever p still has to do; or until p has."""
        with open(self.dir / "cgroup.events") as f:
            news, began = select.poll(), False
            news.register(f, select.POLLPRI)
            while p.poll() is None:
                f.seek(0)
                there = "populated 1" in f.read()
                if began and not there:
                    return
                began |= there
                news.poll(100)

    def cpu(self):
        return int(re.search(r"usage_usec (\d+)", (self.dir / "cpu.stat").read_text())[1]) / 1e6


def timed(argv, env, group):
    """Until what is in the group has ended, or the command: seconds on the clock; on the CPU, of what is
    in the group; stderr."""
    before, at = group.cpu(), time.monotonic()
    p = subprocess.Popen([str(a) for a in argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True, env={**os.environ, **(env or {})})
    killer = threading.Timer(TURN, p.kill)
    killer.start()
    group.last(p)
    took = time.monotonic() - at
    said = p.communicate()[1]
    killer.cancel()
    if p.returncode:
        raise RuntimeError(f"{argv[0]}: {said[-500:] if p.returncode > 0 else f'more than {TURN} s'}")
    return took, group.cpu() - before, said


def whole_runs(table, turns, program, argv, idle, tmp, env=None):
    """argv: of the program, or a function that has it for a variant, with less to do under those that make
    it much slower; idle: the same program with next to nothing to do."""
    with Group() as group:
        whole_runs_in(group, table, turns, program, argv, idle, tmp, env)


def whole_runs_in(group, table, turns, program, argv, idle, tmp, env):
    own = {v: [BIN, "run", "--plain", "-i", "60s", *o, "--"] for v, o in ATTACHED.items()
           if table.wants(v)}
    runs = {v: (front, {}) for v, front in own.items()}
    for name, (front, extra) in PEERS.items():
        lib = extra.get("LD_PRELOAD", "/")
        if table.wants(name) and (not front or shutil.which(front[0])) and os.path.exists(lib):
            runs[name] = ([a.format(tmp=tmp) for a in front],
                          {k: x.format(tmp=tmp) for k, x in extra.items()})
    # what beginning takes, with memwatch and without, is no rate

    def beginning(front):
        """Seconds on the clock and on the CPU: the least of some."""
        return [min(x) for x in zip(*(timed([*front, *group.command(idle)],
                                            env, group)[:2]
                                      for _ in range(5)))]

    start = {v: beginning(front) for v, front in own.items()}
    alone = beginning([])
    got = {v: ([], [], [], []) for v in runs}
    for i in turns(program):
        for v, (front, extra) in runs.items():
            if v == "massif" and i > 0:  # it takes twenty times as long
                continue
            work = argv(v) if callable(argv) else argv
            base, cpu, _ = timed(group.command(work), env, group)
            progress(f"{program}: {v}")
            try:
                with_it, cpu_with, err = timed(
                    [*front, *(group.command(work) if v in own else work)],
                    {**(env or {}), **extra}, group)
            except RuntimeError as e:
                print(f"{program}, {v}: {e}", file=sys.stderr)
                continue
            ours = v in own
            got[v][0].append(base - (alone[0] if ours else 0))
            got[v][1].append(max(with_it - (start[v][0] if ours else 0), 1e-3))
            if not ours:
                continue
            got[v][2].append(printed_cost(err))
            got[v][3].append(cpu_with - cpu - (start[v][1] - alone[1]))
    for v, (base, with_it, said, added) in got.items():
        if base:
            table.add(program, v, [b / w for b, w in zip(base, with_it)],
                      (statistics.median(said), statistics.median(added)) if said else None)


def python(table, turns, tmp):
    whole_runs(table, turns, "python3, PYTHONMALLOC=malloc",
               lambda v: ["python3", "-c", PYTHON, "200" if v == "--fast" else "60"],
               ["python3", "-c", "import json"], tmp,
               {"PYTHONMALLOC": "malloc"})


def compile_(table, turns, tmp):
    def source(name, n):
        """n classes of a kind each: what was instantiated is not instantiated again."""
        src = Path(tmp, name + ".cpp")
        src.write_text("#include <regex>\n#include <map>\n#include <string>\n#include <iostream>\n"
                       + "".join(f"struct C{i} : std::regex_traits<char> {{}};\n"
                                 f"std::map<std::string, std::basic_regex<char, C{i}>> m{i};\n"
                                 f"bool f{i}(const std::string &s) {{ return std::regex_match(s, "
                                 f"m{i}[s]); }}\n" for i in range(n)))
        subprocess.run(["g++", "-std=c++17", "-E", src, "-o", f"{tmp}/{name}.ii"], check=True)

    source("short", 2)
    source("long", 24)
    cc1 = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True,
                         text=True).stdout.strip()
    Path(tmp, "none.ii").write_text("")
    argv = [cc1, "-quiet", "-std=c++17", "-O1", "-fpreprocessed", "-o", "/dev/null"]
    whole_runs(table, turns, "C++ compile (cc1plus)",
               lambda v: [*argv, f"{tmp}/{'long' if v == '--fast' else 'short'}.ii"],
               [*argv, f"{tmp}/none.ii"], tmp)


PERL = """
for my $r (1..3) {
    my %h;
    for my $i (1..150000) { $h{"key".($i*7919%1000003)} = [$i, "v$i"]; }
    my $s = 0;
    $s += $h{$_}[0] for sort keys %h;
}
"""


def perl(table, turns, tmp):
    whole_runs(table, turns, "perl, hashes", ["perl", "-e", PERL], ["perl", "-e", "1"], tmp)


SQL = """
CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000)
INSERT INTO t SELECT i, 'name' || (i * 7919 % 1000003), hex(i * 31) FROM n;
CREATE INDEX tb ON t(b);
SELECT count(*), sum(length(upper(b) || lower(c))) FROM t WHERE b LIKE '%9%';
SELECT substr(b, 1, 6) k, group_concat(c) FROM t GROUP BY k ORDER BY k LIMIT 3;
"""


def sqlite(table, turns, tmp):
    whole_runs(table, turns, "sqlite3", ["sqlite3", ":memory:", SQL],
               ["sqlite3", ":memory:", "SELECT 1"], tmp)


def jq(table, turns, tmp):
    Path(tmp, "x.json").write_text(json.dumps(
        [{"name": str(k) * 5, "list": list(range(k % 30)), "o": {"a": k, "b": [str(k)]}}
         for k in range(60000)]))
    whole_runs(table, turns, "jq", ["jq", ".[].o.b", f"{tmp}/x.json"], ["jq", "-n", "1"], tmp)


# Programs, what they need, and how many rows are measured one after the other.
PROGRAMS = {"loop": (loop, [], 6), "redis": (redis, ["redis-server", "redis-benchmark"], 6),
            "postgres": (postgres, ["pgbench", "pg_isready"], 1),
            "nginx": (nginx, ["nginx", "ab"], 1), "python": (python, ["python3"], 1),
            "compile": (compile_, ["g++"], 1), "perl": (perl, ["perl"], 1),
            "sqlite": (sqlite, ["sqlite3"], 1), "jq": (jq, ["jq"], 1), "go": (go, ["go"], 1)}


def main():
    opts = argparse.ArgumentParser()
    opts.add_argument("--save", action="store_true")
    opts.add_argument("--only", choices=PROGRAMS, action="append")
    opts.add_argument("--with", dest="variants", action="append",
                      choices=[*ATTACHED, *PEERS, *PEERS_ATTACHED])
    opts.add_argument("--minutes", type=float, default=1e6)
    opts.add_argument("rounds", nargs="?", type=int, default=7)
    o = opts.parse_args()
    subprocess.run(["make", "-s", "bench-tools"], cwd=ROOT, check=True)
    table = Table(o.variants)
    chosen = o.only or list(PROGRAMS)
    turns = Turns(o.rounds, o.minutes * 60, sum(PROGRAMS[n][2] for n in chosen))
    failed = 0
    for name in chosen:
        run, needs, rows = PROGRAMS[name]
        missing = [n for n in needs if not shutil.which(n)]
        if missing:
            print(f"{name}: not measured, no {', '.join(missing)} here", file=sys.stderr)
            turns.skip(rows)
            continue
        with tempfile.TemporaryDirectory() as tmp:
            try:
                run(table, turns, tmp)
            except (RuntimeError, subprocess.SubprocessError, OSError) as e:
                failed = 1
                print(f"{name}: {e}", file=sys.stderr)
        if o.save:
            table.save(ROOT / "docs" / "bench")
    return failed


if __name__ == "__main__":
    sys.exit(main())
