# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell of `memwatch report`: every command of pprof's, in random combinations of options, and
what it writes next to what `go tool pprof`'s own shell writes for the same line."""
import difflib
import gzip
import os
import pty
import random
import re
import select
import shutil
import stat
import subprocess
import time

import pytest
from conftest import BIN, OUT, memwatch
from fuselib import LOOKUP, Hanging
from test_files import EVE, profile_text
from test_report import GO_ENV, heaps, pprof  # noqa: F401 (heaps is a fixture)
from test_report_random import generate

TYPES = ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"]
FUNCTIONS = ["main", "malloc", "a", "foo|bar", "put|small", "runtime", "main\\.", "[a-m]", "nothing"]
TAGS = ["bytes=4kb:6kb", ":3kb", "6000b:", "comm=worker|second", "worker", "1kb:100kb", "nothing"]
SETTINGS = {
    "focus": FUNCTIONS, "ignore": FUNCTIONS, "hide": FUNCTIONS, "show": FUNCTIONS,
    "show_from": FUNCTIONS, "prune_from": FUNCTIONS, "tagfocus": TAGS, "tagignore": TAGS,
    "tagshow": ["bytes", "comm", "x"], "taghide": ["bytes", "comm", "x"],
    "tagroot": ["comm", "bytes,comm", "request"], "tagleaf": ["comm", "bytes"],
    "unit": ["B", "kB", "MB", "auto", "GB"], "nodecount": ["1", "5", "30", "0", "-1"],
    "nodefraction": ["0", "0.01", "0.1", "0.5"], "edgefraction": ["0", "0.01", "0.1", "0.5"],
    "granularity": ["addresses", "lines", "files", "filefunctions", "functions"],
    "sort": ["cum", "flat"], "noinlines": ["true"], "mean": ["true"], "drop_negative": ["true"],
    "call_tree": ["true"], "relative_percentages": ["true"], "trim": ["false"],
    "compact_labels": ["false"], "divide_by": ["3", "0.5"],
}
PLAIN = ["top", "top10", "top3", "top -cum", "text", "tree", "tree 10", "traces", "raw", "tags",
         "comments", "dot", "dot 8", "callgrind", "topproto", "proto"]
NAMED = ["peek", "list"]


def random_lines(rnd, types, n):
    """Lines that set options and reports that follow, as [(settings, command)]."""
    out = []
    for _ in range(n):
        sets = ["sample_index=" + rnd.choice(types)]
        for name in rnd.sample(sorted(SETTINGS), rnd.choice([0, 0, 1, 1, 2, 3])):
            sets.append(f"{name}={rnd.choice(SETTINGS[name])}")
        if rnd.random() < 0.7:
            line = rnd.choice(PLAIN)
        else:
            line = f"{rnd.choice(NAMED)} {rnd.choice(FUNCTIONS)}"
        if rnd.random() < 0.2:
            line += f" {rnd.choice(FUNCTIONS)}"
        if rnd.random() < 0.1:
            line += f" -{rnd.choice(FUNCTIONS)}"
        if "call_tree=true" in sets:  # which of equal nodes are cut is left to chance in pprof
            line = re.sub(r" \d+$", "", line)
            sets.append("nodecount=0")
        out.append((sets, line))
    return out


RESET = [":", "show=", "show_from=", "prune_from=", "tagshow=", "taghide=", "tagroot=", "tagleaf=",
         "unit=minimum", "nodecount=-1", "nodefraction=0.005", "edgefraction=0.001",
         "granularity=functions",
         "sort=flat", "noinlines=false", "mean=false", "drop_negative=false", "call_tree=false",
         "relative_percentages=false", "trim=true", "compact_labels=true", "divide_by=1"]


def script(lines, folder):
    text = []
    for i, (sets, line) in enumerate(lines):
        text += RESET + sets + [f"{line} >{folder}/{i}"]
    return "\n".join(text + ["quit", ""])


def run_both(tmp_path, files, lines):
    """[(ours, theirs)] of each line: bytes, or None where nothing was written."""
    for who in "ours", "theirs":
        (tmp_path / who).mkdir()
    subprocess.run(["go", "tool", "pprof", "-symbolize=none", *files], cwd=tmp_path, env=GO_ENV,
                   input=script(lines, "theirs"), text=True, capture_output=True, timeout=300,
                   check=True)
    p = subprocess.run([BIN, "report", "--shell", *files], cwd=tmp_path, env=GO_ENV,
                       input=script(lines, "ours"), text=True, capture_output=True, timeout=300)
    assert p.returncode in (0, 1), p.stderr

    def read(who, i):
        f = tmp_path / who / str(i)
        return f.read_bytes() if f.exists() else None
    return [(read("ours", i), read("theirs", i)) for i in range(len(lines))], p.stderr


def without_order(text, tree):
    """What pprof leaves to chance: calls of equal weight, nodes of a call tree that are alike."""
    # A node that is not shown has no number in pprof; ours leaves calls of it out.
    lines = [x for x in text.splitlines() if not re.search(r"\bN0\b", x)]
    if tree:
        # Numbers stand for nodes; in another order they are others.
        lines = [re.sub(r"\bN+\d+(_\d+)*\b|node\d+", "#", x) for x in lines]
    return sorted(lines)


def callgrind(text):
    """The lines with names in place of the numbers that stand for them, which depend on order."""
    names, out = {}, []
    for line in text.splitlines():
        m = re.match(r"(c?(ob|fl|fn)=)\((\d+)\)( .*)?$", line)
        if m:
            name = names.setdefault((m[2], m[3]), m[4])
            line = m[1] + re.sub(r" \[\d+/\d+\]$", "", name)  # numbered in an order of chance
        out.append(re.sub(r"^(calls=0 )?([-+*]\d*|0x[0-9a-f]+) ", r"\1", line))
    return sorted(out)


def same(tmp_path, sets, line, ours, theirs, signs):
    if not theirs:  # nothing matched
        return not ours
    if ours is None:
        return False
    name = re.match("[a-z]+", line)[0]
    if name in ("proto", "topproto"):
        (tmp_path / "a.pb.gz").write_bytes(ours)
        (tmp_path / "b.pb.gz").write_bytes(theirs)
        return pprof("-raw", tmp_path / "a.pb.gz") == pprof("-raw", tmp_path / "b.pb.gz")
    ours, theirs = ours.decode(), theirs.decode()
    if "mean=true" in sets and name == "dot":  # shares of a mean of 0 are no numbers: no colour
        ours, theirs = (re.sub('(fill)?color="[^"]*"', "", x) for x in (ours, theirs))
    if name == "callgrind":
        return callgrind(ours) == callgrind(theirs)
    if name == "dot" and signs:  # which labels of weight +x and -x are drawn is left to chance
        ours, theirs = (re.sub(r"(?m)^(N\d+ -> )?N+\d+_\d.*\n|minlen=2", "", x)
                        for x in (ours, theirs))
    if name in ("tree", "peek", "tags", "dot"):
        return without_order(ours, "call_tree=true" in sets) == \
            without_order(theirs, "call_tree=true" in sets)
    return ours == theirs


def compare(tmp_path, files, lines, signs=False):
    answers, err = run_both(tmp_path, files, lines)
    for (sets, line), (ours, theirs) in zip(lines, answers):
        if not same(tmp_path, sets, line, ours, theirs, signs):
            def lines(x):
                text = (x or b"").decode(errors="backslashreplace").splitlines()
                return text if re.match("top|list|traces|raw|tags", line) else sorted(text)
            diff = "\n".join(difflib.unified_diff(lines(theirs), lines(ours), "pprof", "memwatch",
                                                  lineterm=""))
            pytest.fail(f"{files} {sets} {line}\n{diff[:6000]}\n{err[-500:]}")


class Terminal:
    """The shell on a terminal of its own."""

    def __init__(self, home, *args):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update(HOME=str(home), TERM="xterm", XDG_STATE_HOME="", BROWSER="",
                              DISPLAY="", WAYLAND_DISPLAY="", TMPDIR=str(home))
            os.chdir(home)
            os.execv(BIN, [str(BIN), "report", *map(str, args)])
        self.text = ""
        self.expect("(memwatch) ")

    def expect(self, what, timeout=180):
        end = time.monotonic() + timeout
        while what not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    assert what in self.text, self.text
        seen, self.text = self.text.split(what, 1)
        return seen

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        self.type("quit\n")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_on_a_terminal(heaps, tmp_path):  # noqa: F811
    """Greeting, completion, history of the last run, redirection, a pager, Ctrl-C."""
    t = Terminal(tmp_path, heaps / "heap1.pb.gz")
    t.type("top3\n")
    assert "Showing top 3 nodes" in t.expect("(memwatch) ")
    t.type("pee\tmain.rec\t\n")
    assert re.search(r"\d B|\d+\S* +100% .*\| main.recurse|main.recurse", t.expect("(memwatch) "))
    t.type("gran\tli\t\n")
    t.expect("(memwatch) ")
    t.type("o\n")
    assert re.search(r"granularity += lines", t.expect("(memwatch) "))
    t.type("granularity=functions\n")
    t.expect("(memwatch) ")
    t.type("top 3 | head -1 | tr a-z A-Z\n")
    assert "SHOWING NODES ACCOUNTING" in t.expect("(memwatch) ")
    t.type("rubbish\x03")
    t.expect("(memwatch) ")
    t.type("svg >x.svg\n")
    t.expect("the report is in x.svg")
    t.type("web\n")
    assert re.search(r"the report is in \S+\.svg", t.expect("(memwatch) ") + t.expect("(memwatch) "))
    t.type("nonsense\n")
    t.expect("unrecognized command")
    assert t.end() == 0
    assert (tmp_path / "x.svg").read_text().count("<svg") == 1
    again = Terminal(tmp_path, heaps / "heap1.pb.gz")
    again.type("\x1b[A" * 10)  # ten lines back
    again.expect("top3")
    again.type("\n")
    again.expect("Showing top 3 nodes")
    assert again.end() == 0


def test_scripts_fail_with_their_commands(heaps):  # noqa: F811
    for text, status in (("top\n", 0), ("nonsense\ntop\n", 1), ("peek nothing_of_the_kind\n", 1),
                         ("focus=(\ntop\n", 1), ("divide_by=0\ntop\n", 1), ("nodecount\n", 1),
                         ("sample_index=none\n", 1), ("sort=up\n", 1), ("top >\n", 1),
                         ("help top\nhelp focus\nhelp\no\n", 0), ("help nonsense\n", 1)):
        p = subprocess.run([BIN, "report", "--shell", heaps / "heap1.pb.gz"], input=text, text=True,
                           capture_output=True)
        assert p.returncode == status, (text, p.stderr)
        assert bool(p.stderr) == bool(status), (text, p.stderr)


def test_input_without_end(heaps):  # noqa: F811
    """A line that never ends takes no more memory than a long one."""
    with open("/dev/zero") as zero:
        p = subprocess.run(["prlimit", f"--as={2 << 30}", BIN, "report", "--shell", heaps / "heap1.pb.gz"],
                           stdin=zero, text=True, capture_output=True, timeout=180)
    assert p.returncode == 1 and "is no command" in p.stderr


def instructions(text):
    """{function: {address: (flat, cum)}} of instructions with samples, and the head lines."""
    out, name = {}, None
    for line in text.splitlines():
        if line.startswith("ROUTINE"):
            name = line
        m = re.match(r" *(\S+) +(\S+) +([0-9a-f]+): ", line)
        if m and (m[1], m[2]) != (".", "."):
            out.setdefault(name, {})[m[3]] = m[1], m[2]
    return out, [x for x in text.splitlines() if "(flat, cum)" in x or x.startswith("Total:")]


@pytest.mark.parametrize("index", TYPES)
@pytest.mark.parametrize("what", ["main\\.", "grow", "runtime"])
def test_disassembly(heaps, index, what):  # noqa: F811
    """Functions, sums and the addresses of values are pprof's; the instructions' spelling is GNU's, not
    Go's."""
    args = [f"-disasm={what}", f"-sample_index={index}", heaps / "heap2.pb.gz"]
    p = memwatch("report", *args)
    want = pprof(*args)
    assert instructions(p.stdout) == instructions(want)
    assert p.returncode == (0 if want else 1)
    if "main" in what:
        assert "<main.work>" in p.stdout and "mov" in p.stdout


def test_disassembly_of_an_address_and_of_another_build(heaps, tmp_path):  # noqa: F811
    text = memwatch("report", "--disasm", "main.main", heaps / "heap2.pb.gz", check=0).stdout
    address = re.search(r"MB +([0-9a-f]+): ", text)[1]
    at = memwatch("report", "--disasm", "0x" + address, heaps / "heap2.pb.gz", check=0).stdout
    assert at == text
    intel = memwatch("report", "--disasm", "main.main", "--intel-syntax", heaps / "heap2.pb.gz", check=0).stdout
    assert "%rsp" in text and "%rsp" not in intel and "rsp" in intel
    raw = gzip.decompress((heaps / "heap2.pb.gz").read_bytes())
    exe = str(OUT / "heapgen").encode()
    gone = tmp_path / "gone.pb"
    gone.write_bytes(raw.replace(exe, exe[:-7] + b"missing"))
    p = memwatch("report", "--disasm", "main", gone, check=1)
    assert "is not here" in p.stderr and p.stdout == ""


def test_weblist(heaps, tmp_path):  # noqa: F811
    page = memwatch("report", "--weblist", "main.main", heaps / "heap2.pb.gz", check=0).stdout
    listing = memwatch("report", "--list", "main.main", heaps / "heap2.pb.gz", check=0).stdout
    for line in listing.splitlines()[3:]:  # values and numbers of the lines as --list has them
        assert line.split(":")[0].rstrip()[-20:] in page
    assert "<details>" in page and "&lt;main.work&gt;" in page and "<script" not in page
    p = memwatch("report", "--weblist", "nothing_of_the_kind", heaps / "heap2.pb.gz", check=1)
    assert p.stdout == "" and "no function" in p.stderr


@pytest.mark.parametrize("args", [
    "-top", "-text -cum -nodecount=4", "-top -sample_index=alloc_space", "-alloc_objects -tree",
    "-peek main", "-peek=main -unit=MB", "-traces -lines", "-top -noinlines", "-top -mean",
    "-tags", "-raw -trim=false", "-callgrind", "-dot -call_tree", "-dot -nodecount 5", "-comments",
    "-top -tagfocus bytes=4kb:6kb", "-tree -focus=main -show_from=work", "-top -diff_base BASE",
    "-top -drop_negative -base=BASE", "--top --sample_index=alloc_space",
    "-top -normalize -base BASE", "-tree -relative_percentages -focus put"])
def test_spellings_of_pprof(heaps, args):  # noqa: F811
    """The same arguments give the same answer."""
    args = [a.replace("BASE", str(heaps / "heap1.pb.gz")) for a in args.split()]
    args.append(heaps / "heap2.pb.gz")
    want = pprof(*args)
    p = memwatch("report", *args, check=0, env=GO_ENV)
    if "-callgrind" in args:
        assert callgrind(p.stdout) == callgrind(want)
    elif "-dot" in args:
        assert without_order(p.stdout, True) == without_order(want, True)
    else:
        assert p.stdout == want and (want or "-tags" in args or "-comments" in args)


@pytest.mark.parametrize("name", ["heap1", "allocs2"])
def test_go_profiles(heaps, tmp_path, name):  # noqa: F811
    lines = [([f"sample_index={t}"], c) for t in TYPES for c in PLAIN]
    lines += [(["sample_index=inuse_space"], f"{c} {f}") for c in NAMED for f in FUNCTIONS]
    lines += random_lines(random.Random(name), TYPES, 100)
    compare(tmp_path, [str(heaps / f"{name}.pb.gz")], lines)


@pytest.mark.parametrize("seed", range(6))
def test_generated_profiles(tmp_path, seed):
    """Everything odd that the format allows."""
    rnd = random.Random(1000 + seed)
    files = [str(generate(rnd, tmp_path / f"{i}.pb.gz")) for i in range(rnd.choice([1, 2]))]
    compare(tmp_path, files, random_lines(rnd, TYPES, 80), signs=True)


def test_what_lies_in_the_home_of_another_user_is_not_touched(tmp_path):
    """As with sudo, which may leave HOME: a pipe is not waited for, no directory is made."""
    src, home, state = tmp_path / "in.json", tmp_path / "home", tmp_path / "home/.local/state/memwatch"
    src.write_text(profile_text())
    state.mkdir(parents=True)
    os.mkfifo(state / "report-history")
    os.chown(home, EVE, EVE)
    t = Terminal(home, src)
    t.type("top\n")
    t.expect("(memwatch) ")
    assert t.end() == 0
    assert stat.S_ISFIFO((state / "report-history").stat().st_mode)
    shutil.rmtree(home / ".local")
    t = Terminal(home, src)
    t.type("top\n")
    t.expect("(memwatch) ")
    assert t.end() == 0
    assert not (home / ".local").exists()


class Asked(Hanging):
    """Keeps what was looked for."""

    def do(self, op, node, body):
        if op == LOOKUP:
            self.asked.append(body.rstrip(b"\0"))
        return super().do(op, node, body)


def test_what_lies_in_a_home_that_its_user_provides_is_not_touched(tmp_path):
    """A file system that says that the home is root's."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("this kernel has no FUSE")
    src, home = tmp_path / "in.json", tmp_path / "home"
    src.write_text(profile_text())
    home.mkdir()
    Asked.asked = []
    fs = Asked(home, user=EVE)
    try:
        t = Terminal(home, src)
        t.type("top\n")
        t.expect("(memwatch) ")
        assert t.end() == 0
        assert b".local" not in fs.asked
    finally:
        fs.unmount()
