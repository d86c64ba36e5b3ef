# SPDX-License-Identifier: GPL-2.0-or-later
"""`memwatch report --weblist` next to pprof's page of the same profile: pprof itself, which asks
llvm-symbolizer or addr2line and objdump, from the source that comes with Go, and `go tool pprof`,
which knows no inlined calls."""
import gzip
import html
import re
import shutil
import subprocess

import pytest
from conftest import OUT, memwatch, one_at_a_time
from test_report import GO_ENV, heaps  # noqa: F401 (heaps is a fixture)

PPROF = """package main

import (
	"fmt"
	"os"

	"github.com/google/pprof/driver"
)

func main() {
	if err := driver.PProf(&driver.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
"""

# Far from the start of the mapping: pprof fails where the bytes before a place are none of it.
PROGRAM = """#include <stdlib.h>
#include <string.h>

__asm__(".section .text.unlikely, \\"ax\\"\\n.skip 4096, 0x90\\n.text");

static void *kept[1000];
static int n;

static inline __attribute__((always_inline)) void *block(size_t size)
{
	void *p = malloc(size);

	memset(p, 1, size);
	return p;
}

static inline __attribute__((always_inline)) void keep(size_t size)
{
	kept[n++] = block(size);
	kept[n++] = block(size + 8);
}

__attribute__((noipa)) static void fill(int rounds)
{
	for (int i = 0; i < rounds; i++)
		keep(1000 + i);
}

__attribute__((noipa)) static int down(int depth)
{
	if (depth)
		return down(depth - 1) + 1;
	kept[n++] = malloc(5000);
	return n;
}

int main(void)
{
	fill(100);
	return down(7) == 0 || kept[n / 2] == kept[0];
}
"""


@pytest.fixture(scope="module")
def full_pprof():
    """pprof as its authors ship it."""
    root = OUT / "pprof"
    with one_at_a_time("pprof"):
        if not (root / "pprof").exists():
            goroot = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, env=GO_ENV,
                                    check=True).stdout.strip()
            for part in ("google/pprof", "ianlancetaylor/demangle"):
                shutil.copytree(f"{goroot}/src/cmd/vendor/github.com/{part}", root / "src/github.com" / part,
                                dirs_exist_ok=True)
            (root / "src/main").mkdir(exist_ok=True)
            (root / "src/main/main.go").write_text(PPROF)
            subprocess.run(["go", "build", "-o", str(root / "new"), "main"], check=True, cwd=root,
                           env={**GO_ENV, "GOPATH": str(root)})
            (root / "new").rename(root / "pprof")
    return root / "pprof"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    d = tmp_path_factory.mktemp("weblist")
    (d / "inlined.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-O2", "-g", "-o", d / "inlined", "inlined.c"], cwd=d, check=True)
    memwatch("run", "--exact", "-o", d / "inlined.pb.gz", "--", d / "inlined")
    return d


def insn(text):
    """An instruction in one spelling of those of GNU, LLVM and Capstone: without suffixes, prefixes,
    names and comments; numbers decimal and of 32 bits."""
    text = re.sub(r"^(lock|rep\w*)\s+", "", re.sub(r"#.*|<.*", "", text).strip())
    text = re.sub(r"^(\S+?)[bwlq]?(\s|$)", r"\1 ", text)
    text = re.sub(r"(-?)\b(0x[0-9a-f]+|\d+)\b", lambda m: str(int(m[0], 0) % (1 << 32)), text)
    text = re.sub(r"\s|%es:", "", text).replace(",1)", ")")
    return re.sub(r"^(sh[lr]|sar|ro[lr])\$1,", r"\1", text)


ROW = re.compile(r"\s*(\S+)\s+(\S+)\s+([0-9a-f]+): +(.*?)\s*(?:<span[^>]*>(.*?)</span>)?$")
CALL = re.compile(r"\s{20,}(?:<span class=inlinesrc>)?(.*?)(?:</span>)?\s*<span class=\W?\w+\W?>(.*?)</span>$")


def rows(text):
    """The lines behind a source line: instructions and inlined calls."""
    out = []
    for line in text.splitlines():
        if m := ROW.match(line):
            out.append((int(m[3], 16), m[1], m[2], insn(html.unescape(m[4])), m[5] or ""))
        elif m := CALL.match(line):
            out.append(("call", html.unescape(m[1]).strip(), m[2]))
        else:
            assert not line.strip() or line.strip() == "⋮", line
    return out


def their_page(text):
    """{(function, file): (flat, cum, percent, {line: (flat, cum, source, rows)})}."""
    out = {}
    for name, path, body in re.findall(r"<h2>(.*?)</h2><p class=\"filename\">(.*?)</p>\n<pre[^>]*>\n(.*?)</pre>",
                                       text, re.S):
        total = re.match(r"\s*Total:\s+(\S+)\s+(\S+) \(flat, cum\)\s+(\S+)", body).groups()
        lines = {}
        for m in re.finditer(r"<span class=line> *(\d+)</span> <span class=\w+> *(\S+) +(\S+)(.*?)</span>(.*?)"
                             r"(?=\n<span class=line>|\Z)", body, re.S):
            asm = re.sub(r"^<span class=asm>|</span>\s*$", "", m[5].strip("\n"))
            lines[int(m[1])] = m[2], m[3], html.unescape(m[4]).strip(), rows(asm)
        out[name, path] = *total, lines
    return out


def our_page(text):
    out = {}
    for section in re.findall(r"<section>(.*?)</section>", text, re.S):
        name, path, flat, cum, share = re.match(
            r"<h2>(.*?)</h2>\s*<p class=\"dim\">(.*?)</p>\s*<p>(\S+) flat, (\S+) cum \( *(\S+) of", section).groups()
        lines = {}
        for m in re.finditer(r"<pre(?: class=\"hot\")?> *(\S+) +(\S+) +(\d+)  (.*?)</pre>"
                             r"(?:</summary><pre class=\"code\">(.*?)</pre>)?", section, re.S):
            lines[int(m[3])] = m[1], m[2], html.unescape(m[4]).strip(), rows(m[5] or "")
        out[name, path] = flat, cum, share, lines
    return out


def both(binary, profile, what, index):
    args = ["-symbolize=none", f"-sample_index={index}", f"-weblist={what}", "-output=/dev/stdout", profile]
    p = subprocess.run([*binary, *map(str, args)], capture_output=True, text=True, env=GO_ENV, cwd="/")
    assert p.returncode == 0, p.stderr
    m = memwatch("report", "--weblist", what, "--sample-index", index, profile, cwd="/", check=0)
    return their_page(p.stdout), our_page(m.stdout)


def starts(exe):
    """Where the instructions of functions begin; what is between functions is none."""
    sizes = {}
    for line in subprocess.run(["nm", "-S", exe], capture_output=True, text=True, check=True).stdout.splitlines():
        if m := re.match(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] ", line):
            sizes[int(m[1], 16)] = int(m[2], 16)
    out, end = set(), 0
    dump = subprocess.run(["objdump", "-d", "--no-show-raw-insn", exe], capture_output=True, text=True, check=True)
    for m in re.finditer(r"^ *([0-9a-f]+):", dump.stdout, re.M):
        at = int(m[1], 16)
        end = at + sizes[at] if at in sizes else end
        if at < end:
            out.add(at)
    return out


def insns(lines):
    return {r[0]: r[1:] for line in lines for r in line[3] if r[0] != "call"}


def same(theirs, ours, known):
    """Equal, but for what pprof takes for instructions in padding and where it begins inside of one."""
    assert set(theirs) == set(ours) and theirs
    seen = 0
    for fn, (*total, lines) in theirs.items():
        wrong = set(insns(lines.values())) - known
        near = {a + d for a in wrong for d in range(-16, 17)}

        def told(line):
            flat, cum, source, asm = line
            return flat, cum, source, sorted(r for r in asm if r[0] != "call" and r[0] not in near), \
                sorted({r for r in asm if r[0] == "call"})

        assert tuple(total) == ours[fn][:3], fn
        for n in set(lines) | set(ours[fn][3]):
            mine, other = told(ours[fn][3].get(n, (".", ".", "", []))), told(lines.get(n, (".", ".", "", [])))
            if mine[3] or other[3] or (n in lines and n in ours[fn][3]):
                assert mine == other, (fn, n)
            seen += len(mine[3])
    return seen


@pytest.mark.parametrize("index", ["inuse_space", "inuse_objects", "alloc_space", "alloc_objects"])
@pytest.mark.parametrize("what", ["main\\.", "main.recurse|small", "bytes|strings", "runtime/pprof\\."])
def test_go(heaps, full_pprof, what, index):  # noqa: F811
    theirs, ours = both([full_pprof], heaps / "heap2.pb.gz", what, index)
    assert same(theirs, ours, starts(OUT / "heapgen")) > 20


@pytest.mark.parametrize("what", ["keep|fill", "block", "down", "^main$", "inlined\\.c"])
def test_c(program, full_pprof, what):
    theirs, ours = both([full_pprof], program / "inlined.pb.gz", what, "alloc_space")
    assert same(theirs, ours, starts(program / "inlined")) > 5


@pytest.mark.parametrize("profile", ["heap2.pb.gz", "allocs2.pb.gz"])
def test_pprof_of_go(heaps, profile):  # noqa: F811
    """It shows an inlined instruction below the line of its own, as part of the function around it: what
    each instruction has is the same."""
    theirs, ours = both(["go", "tool", "pprof"], heaps / profile, "main\\.", "alloc_space")
    known = starts(OUT / "heapgen")
    want, got = ({a: (flat, cum, place) for _, _, _, lines in page.values()
                  for a, (flat, cum, _, place) in insns(lines.values()).items() if a in known}
                 for page in (theirs, ours))
    assert len(want) > 100 and want == {a: got.get(a) for a in want}


def test_inlined_calls_are_told(program):
    """Which source lines an instruction came in by, outermost first."""
    page = our_page(memwatch("report", "--weblist", "fill", "--sample-index", "alloc_space",
                             program / "inlined.pb.gz", check=0).stdout)
    (key, (*_, lines)), = page.items()
    calls = [r[1:] for line in lines.values() for r in line[3] if r[0] == "call"]
    assert key[0] == "fill" and key[1].endswith("inlined.c")
    assert ("kept[n++] = block(size);", "inlined.c:19") in calls
    assert ("void *p = malloc(size);", "inlined.c:11") in calls


def test_without_the_file_the_profile_tells(program, tmp_path):
    """Lines and values, but no instructions."""
    raw = gzip.decompress((program / "inlined.pb.gz").read_bytes())
    gone = tmp_path / "gone.pb"
    gone.write_bytes(raw.replace(b"/inlined", b"/missing"))
    p = memwatch("report", "--weblist", "fill", "--sample-index", "alloc_space", gone, check=0)
    (key, (_, cum, _, lines)), = our_page(p.stdout).items()
    assert "is not here" in p.stderr and key[0] == "fill" and cum in {line[1] for line in lines.values()}
    assert not insns(lines.values())
