# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of addresses: the same as binutils', from every place where names can be."""
import os
import random
import re
import shutil
import struct
import subprocess

import pytest

from conftest import ROOT, WORKLOADS, build, load_json, memwatch, wait_for

TOOL = ROOT / "build" / "tests" / "symbolize"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


@pytest.fixture(scope="module", autouse=True)
def tool():
    subprocess.run(["make", "-s", "-C", str(ROOT), "build/tests/symbolize"], check=True)


def run(*argv, **kw):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True, **kw)


def parse(text):
    """'0xADDR' lines, each followed by name and file:line pairs -> {addr: [(name, where)…]}"""
    found, frames = {}, []
    lines = iter(text.splitlines())
    for line in lines:
        if re.fullmatch(r"0x[0-9a-f]+", line):
            frames = found.setdefault(int(line, 16), [])
            continue
        where = re.sub(r" \(discriminator \d+\)", "", next(lines))
        path, _, nr = where.rpartition(":")
        frames.append((line, f"{os.path.normpath(path)}:{0 if nr == '?' else nr}"))
    return found


def symbolize(exe, addrs, *opts):
    p = run(TOOL, "-a", *opts, exe, input="".join(f"{a:x}\n" for a in addrs))
    return parse(p.stdout), p.stderr


def functions(exe, want=None, *opts):
    """(address, size, name) of the code symbols of a file."""
    out = []
    for line in run("nm", "-S", "--defined-only", *opts, exe).stdout.splitlines():
        f = line.split()
        if len(f) == 4 and f[2] in "tTwWi" and int(f[1], 16) and (not want or want(f[3])):
            out.append((int(f[0], 16), int(f[1], 16), f[3].split("@")[0]))
    return out


def sample(funcs, n, seed=1):
    rnd = random.Random(seed)
    return sorted({a + rnd.randrange(size) for a, size, _ in (rnd.choice(funcs) for _ in range(n))})


def address(exe, name, *opts):
    return next(a for a, _, s in functions(exe, None, *opts) if s == name)


def as_is(theirs, ours):
    """binutils names an inlined function without linkage name after the function around it."""
    for a, frames in theirs.items():
        if len(frames) > 1 and frames[0][0] == frames[-1][0] and a in ours:
            frames[0] = (ours[a][0][0], frames[0][1])
    return theirs


@pytest.fixture(scope="module")
def cxx():
    return build("symbols.cc", "g++", ["-O2"])


@pytest.mark.parametrize("flags", [["-O2"], ["-O0", "-gdwarf-4"], ["-O3", "-gz"]],
                         ids=["O2", "O0-dwarf4", "O3-compressed"])
def test_as_addr2line(flags):
    exe = build("symbols.cc", "g++", flags, suffix="".join(flags))
    # what crt files bring has no DWARF, and addr2line guesses a file for it
    addrs = sample(functions(exe, lambda s: s.startswith("_Z") or s == "main"), 400)
    theirs = parse(run("addr2line", "-a", "-i", "-f", "-C", "-e", exe,
                       input="".join(f"{a:x}\n" for a in addrs)).stdout)
    ours, note = symbolize(exe, addrs)
    assert not note
    assert len(ours) == len(addrs) > 200
    assert ours == as_is(theirs, ours)
    if "-O0" not in flags:
        assert sum(len(f) > 1 for f in ours.values()) > 50, "no inlined calls were met"
    assert ours == symbolize(exe, addrs, "-1")[0], "one by one gives other answers than together"


ZSTD = "zstd" in subprocess.run(["objcopy", "--help"], capture_output=True, text=True).stdout
PACKED = ["zlib-gabi", "zlib-gnu"] + ["zstd"] * ZSTD  # binutils 2.40 and later


@pytest.mark.parametrize("detached", (False, True))
@pytest.mark.parametrize("how", PACKED)
def test_packed_debug_sections(cxx, tmp_path, how, detached):
    """Lines and inlined calls as before the sections were compressed, whatever libdw knows."""
    addrs = sample(functions(cxx, lambda s: s.startswith("_Z")), 200)
    full, _ = symbolize(cxx, addrs)
    assert sum(len(f) > 1 for f in full.values()) > 20
    packed, opts = tmp_path / "packed", []
    run("objcopy", f"--compress-debug-sections={how}", cxx, packed)
    names = run("readelf", "-SW", packed).stdout
    assert (".zdebug_info" in names) == (how == "zlib-gnu")
    if detached:
        debug = by_id(tmp_path, cxx)
        run("objcopy", "--only-keep-debug", packed, debug)
        run("strip", packed)
        opts = ["-r", tmp_path]
    ours, note = symbolize(packed, addrs, *opts)
    assert ours == full and not note


def section(exe, name):
    """File offset of a section."""
    line = next(l for l in run("readelf", "-SW", exe).stdout.splitlines() if f" {name} " in l)
    return int(line.split(name)[1].split()[2], 16)


def test_debug_sections_packed_in_an_unknown_way(cxx, tmp_path):
    packed = tmp_path / "packed"
    run("objcopy", "--compress-debug-sections=zlib-gabi", cxx, packed)
    data = bytearray(packed.read_bytes())
    data[section(packed, ".debug_info")] = 77
    packed.write_bytes(data)
    a = address(cxx, "plain_c")
    names, note = symbolize(packed, [a])
    assert names[a] == [("plain_c", "??:0")]
    assert "compressed in a way that is not known" in note


@pytest.mark.parametrize("dwarf", [4, 5])
@pytest.mark.parametrize("cc", ["g++", "clang++"])
def test_split_debug_information(tmp_path, cc, dwarf):
    """Lines as addr2line has them; that inlined calls are missing is said, not silent."""
    exe = tmp_path / "split"
    run(cc, "-O2", "-g", f"-gdwarf-{dwarf}", "-gsplit-dwarf", "-o", exe,
        WORKLOADS / "symbols.cc", cwd=tmp_path)
    a = address(exe, "plain_c")
    names, note = symbolize(exe, [a])
    assert names[a][-1][0] == "plain_c" and re.search(r"symbols\.cc:[1-9]", names[a][-1][1])
    assert "is split" in note and "no inlined functions" in note


def test_clang_without_aranges():
    """clang writes no .debug_aranges, and ranges that binutils 2.40 does not follow."""
    exe = build("symbols.cc", "clang++", ["-O2"], suffix="-clang")
    addrs = sample(functions(exe, lambda s: s.startswith("_Z") or s == "main"), 200)
    theirs = parse(run("llvm-symbolizer", "--output-style=GNU", "-a", "-i", "-f", "-C", "-e", exe,
                       *[hex(a) for a in addrs]).stdout)
    ours, _ = symbolize(exe, addrs)
    assert [[w for _, w in ours[a]] for a in addrs] == [[w for _, w in theirs[a]] for a in addrs]
    assert sum(len(f) > 1 for f in ours.values()) > 50
    for a in addrs:  # LLVM prints "operator<<int>" where binutils prints "operator< <int>"
        assert [n.replace("operator< <", "operator<<") for n, _ in ours[a]] == \
               [n for n, _ in theirs[a]]


def test_gdb_agrees():
    """gdb looks at statements only; without optimisation that is every line."""
    exe = build("symbols.cc", "g++", ["-O0"], suffix="-O0")
    addrs = sample(functions(exe, lambda s: s.startswith("_ZN6shapes")), 60)
    ours, _ = symbolize(exe, addrs)
    cmds = [x for a in addrs for x in ("-ex", f"info line *{a:#x}")]
    out = run("gdb", "-batch", "-nx", *cmds, exe).stdout
    theirs = [f"{m[2]}:{m[1]}" for m in re.finditer(r'^Line (\d+) of "([^"]*)"', out, re.M)]
    assert theirs == [ours[a][0][1] for a in addrs]


def test_best_of_many_names(cxx):
    a = address(cxx, "plain_c")
    for names in (symbolize(cxx, [a])[0], symbolize(cxx, [a], "-n")[0]):
        assert names[a][-1][0] == "plain_c"
    for want in ("malloc", "calloc", "free", "puts", "write", "memalign"):
        a = address(LIBC, want, "-D")
        assert symbolize(LIBC, [a])[0][a][-1][0] == want


def test_plt_and_stripped(cxx, tmp_path):
    bare = tmp_path / "stripped"
    run("strip", "-o", bare, cxx)
    stubs = re.findall(r"^([0-9a-f]+) <(\S+@plt)>:", run("objdump", "-d", cxx).stdout, re.M)
    assert len(stubs) > 5
    names, _ = symbolize(bare, [int(a, 16) for a, _ in stubs], "-n")
    assert len(names) == len(stubs)
    for a, want in stubs:
        assert names[int(a, 16)][0][0] == want
    hidden = [a for a, _, s in functions(cxx) if s == "plain_c"]
    assert symbolize(bare, hidden)[0][hidden[0]] == [("??", "??:0")], "a name out of nothing"


def test_mini_debug_info(cxx, tmp_path):
    bare, mini = tmp_path / "mini", tmp_path / "names"
    run("objcopy", "-S", "--keep-symbol=plain_c", "--keep-symbol=main", cxx, mini)
    run("xz", mini)
    run("strip", "-o", bare, cxx)
    run("objcopy", f"--add-section=.gnu_debugdata={mini}.xz", bare)
    a = address(cxx, "plain_c")
    assert symbolize(bare, [a])[0][a][0][0] == "plain_c"
    run("objcopy", f"--update-section=.gnu_debugdata={cxx}", bare)
    names, note = symbolize(bare, [a])
    assert names[a][0][0] == "??" and ".gnu_debugdata is malformed" in note


def build_id(exe):
    return re.search(r"Build ID: ([0-9a-f]+)", run("readelf", "-n", exe).stdout)[1]


def by_id(root, exe):
    i = build_id(exe)
    path = root / "usr/lib/debug/.build-id" / i[:2] / f"{i[2:]}.debug"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_detached_by_build_id_below_the_root(cxx, tmp_path):
    """The target's root has the debug file; ours has none."""
    root, bare = tmp_path / "root", tmp_path / "stripped"
    run("strip", "-o", bare, cxx)
    debug = by_id(root, cxx)
    run("objcopy", "--only-keep-debug", cxx, debug)
    addrs = sample(functions(cxx, lambda s: s.startswith("_Z")), 50)
    full, _ = symbolize(cxx, addrs)
    assert symbolize(bare, addrs, "-r", root)[0] == full
    assert symbolize(bare, addrs)[0] != full
    # an absolute symbolic link there means the target's root, not ours
    real = root / "elsewhere"
    debug.rename(real)
    debug.symlink_to("/elsewhere")
    assert symbolize(bare, addrs, "-r", root)[0] == full


def test_other_build_is_refused(cxx, tmp_path):
    root, bare = tmp_path / "root", tmp_path / "stripped"
    run("strip", "-o", bare, cxx)
    other = build("symbols.cc", "g++", ["-O1"], suffix="-other")
    assert build_id(other) != build_id(cxx)
    run("objcopy", "--only-keep-debug", other, by_id(root, cxx))
    a = address(cxx, "plain_c")
    names, note = symbolize(bare, [a], "-r", root)
    assert names[a] == [("??", "??:0")]
    assert "has another build-id, not used" in note


def test_debuglink(tmp_path):
    """Without build-ids the checksum decides."""
    exe = build("symbols.cc", "g++", ["-O2", "-Wl,--build-id=none"], suffix="-noid")
    root = tmp_path / "root"
    (root / "opt/.debug").mkdir(parents=True)
    debug, bare = root / "opt/.debug/prog.debug", tmp_path / "stripped"
    run("objcopy", "--only-keep-debug", exe, debug)
    run("strip", "-o", bare, exe)
    run("objcopy", f"--add-gnu-debuglink={debug}", bare)
    a = address(exe, "plain_c")
    opts = ("-r", root, "-p", "/opt/prog")
    names, note = symbolize(bare, [a], *opts)
    assert names[a][0][0] == "plain_c" and not note
    with open(debug, "r+b") as f:
        f.seek(-1, os.SEEK_END)
        last = f.read(1)[0]
        f.seek(-1, os.SEEK_END)
        f.write(bytes([last ^ 1]))
    names, note = symbolize(bare, [a], *opts)
    assert names[a][0][0] == "??" and "has another checksum, not used" in note


MANGLED = {
    "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE": "core::fmt::Formatter::pad",
    "_RNvNtCs1234_7mycrate3foo3bar": "mycrate::foo::bar",
    "_D3std4math4trig3sinFNaNbNiNfeZe": "std.math.trig.sin(real)",
    "_ZNK3foo3barIiEEvv": "void foo::bar<int>() const",
    "not_mangled": "not_mangled",
}


def test_demangling(tmp_path):
    src = tmp_path / "names.s"
    src.write_text(".text\n" + "".join(
        f'.globl {m}\n.type {m},@function\n{m}: nop; nop; ret\n.size {m}, .-{m}\n'
        for m in MANGLED))
    lib = tmp_path / "names.so"
    run("gcc", "-shared", "-nostdlib", "-o", lib, src)
    at = {s: a for a, _, s in functions(lib)}
    names, _ = symbolize(lib, at.values())
    assert {m: names[a][0][0].split(" [")[0] for m, a in at.items() if m in MANGLED} == MANGLED


def test_truncated_and_damaged_debug_info(cxx, tmp_path):
    """Any answer but a crash or a hang; an undamaged file is named as before."""
    data = bytearray(open(cxx, "rb").read())
    addrs = sample(functions(cxx), 20)
    lo, hi = (int(re.search(rf"\] {s}\s+\S+\s+\S+\s+(\w+)", run("readelf", "-SW", cxx).stdout)[1], 16)
              for s in (r"\.debug_aranges", r"\.symtab"))
    rnd, bad = random.Random(7), tmp_path / "bad"
    for i in range(40):
        broken = bytearray(data)
        if i % 4 == 0:
            broken = broken[:rnd.randrange(64, len(broken))]
        else:
            for _ in range(200):
                broken[rnd.randrange(lo, hi)] = rnd.choice((0, 0xff, rnd.randrange(256)))
        bad.write_bytes(broken)
        p = subprocess.run([TOOL, "-t", bad], input="".join(f"{a:x}\n" for a in addrs),
                           capture_output=True, text=True, errors="replace", timeout=180)
        assert p.returncode in (0, 1), p.stderr


def test_generated_code(tmp_path):
    js = tmp_path / "hot.js"
    js.write_text("function memwatchHot(n){let a=[];for(let i=0;i<n;i++)a.push({x:i});"
                  "return a.length}\nlet t=0;for(let i=0;i<3000;i++)t+=memwatchHot(1000);\n"
                  "console.log('ready');setInterval(()=>{t+=memwatchHot(9)},50)\n")
    node = shutil.which("node")
    if not node:
        pytest.skip("no node")
    p = subprocess.Popen([node, "--perf-basic-prof", js], stdout=subprocess.PIPE, text=True,
                         cwd=tmp_path)
    perf_map = f"/tmp/perf-{p.pid}.map"
    try:
        assert p.stdout.readline() == "ready\n"
        hot = wait_for(lambda: [l for l in open(perf_map) if "memwatchHot" in l])
        start, size, name = hot[-1].rstrip("\n").split(" ", 2)
        pc = int(start, 16) + int(size, 16) - 1
        out = run(TOOL, "-j", p.pid, "-r", f"/proc/{p.pid}/root", f"{pc:x}").stdout
        assert out.splitlines()[0] == name
    finally:
        p.kill()
        p.wait()
        if os.path.exists(perf_map):
            os.unlink(perf_map)


def test_map_file_of_another_namespace(tmp_path):
    """A process that is pid 1 for itself and has a /tmp of its own."""
    script = ("mount -t tmpfs none /tmp; echo '1000 20 inside' > /tmp/perf-1.map; echo ready; "
              "read x")
    p = subprocess.Popen(["unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", script],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == "ready\n"
        inner = int(run("pgrep", "-P", p.pid).stdout)
        out = run(TOOL, "-j", inner, "-r", f"/proc/{inner}/root", "1008", "2000").stdout
        assert out.splitlines() == ["inside", "??:0", "??", "??:0"]
    finally:
        p.stdin.close()
        p.wait(180)


def test_debuginfod_only_when_configured(cxx, tmp_path):
    bare = tmp_path / "stripped"
    run("strip", "-o", bare, cxx)
    served = tmp_path / "server/buildid" / build_id(cxx) / "debuginfo"
    served.parent.mkdir(parents=True)
    run("objcopy", "--only-keep-debug", cxx, served)
    addrs = sample(functions(cxx, lambda s: s.startswith("_Z")), 50)
    env = dict(os.environ, DEBUGINFOD_CACHE_PATH=str(tmp_path / "cache"))
    env.pop("DEBUGINFOD_URLS", None)
    text = "".join(f"{a:x}\n" for a in addrs)
    without = parse(run(TOOL, "-a", bare, input=text, env=env).stdout)
    env["DEBUGINFOD_URLS"] = f"file://{tmp_path}/server/"
    assert parse(run(TOOL, "-a", bare, input=text, env=env).stdout) == symbolize(cxx, addrs)[0]
    assert without != symbolize(cxx, addrs)[0]


def jitdump(path, pid, start, size, name, lines):
    """A jitdump of one function, as JITs write it."""
    def record(kind, body):
        return struct.pack("<IIQ", kind, 16 + len(body), 1) + body
    debug = struct.pack("<QQ", start, len(lines)) + b"".join(
        struct.pack("<QII", addr, line, 0) + file.encode() + b"\0" for addr, file, line in lines)
    load = struct.pack("<IIQQQQ", pid, pid, start, start, size, 1) + name.encode() + b"\0" + bytes(size)
    path.write_bytes(struct.pack("<IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, pid, 0, 0) +
                     record(2, debug) + record(0, load) + record(3, b""))


def test_jitdump_is_found_by_its_mapping(tmp_path, target):
    """The file is not looked for by name: the program maps it executable."""
    src = tmp_path / "jit.py"
    src.write_text("import mmap, os, sys\n"
                   f"path = '{tmp_path}/jit-%d.dump' % os.getpid()\n"
                   "print('pid', flush=True); sys.stdin.readline()\n"
                   "f = os.open(path, os.O_RDONLY)\n"
                   "m = mmap.mmap(f, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)\n"
                   "print('ready', flush=True); sys.stdin.readline()\n")
    t = target(["/usr/bin/python3", src])
    t.expect("pid")
    jitdump(tmp_path / f"jit-{t.pid}.dump", t.pid, 0x7000, 0x40, "compiled::loop",
            [(0x7000, "/src/a.rb", 3), (0x7020, "/src/b.rb", 9)])
    t.say()
    t.expect("ready")
    out = run(TOOL, "-j", t.pid, "-r", f"/proc/{t.pid}/root", "7010", "7030", "7040").stdout
    assert out.splitlines() == ["compiled::loop", "/src/a.rb:3", "compiled::loop", "/src/b.rb:9",
                                "??", "??:0"]


def test_dwarf_with_loops_and_bombs(tmp_path):
    """Entries whose sibling is themselves, an origin that refers back, and a compressed section
    that claims more than it can hold: no name is lost that the symbol table has, no hang."""
    src = tmp_path / "loop.s"
    src.write_text("""
	.text
	.globl	victim
	.type	victim,@function
victim:	nop
	nop
	ret
	.size	victim, .-victim
.Lend:
	.section .debug_abbrev,"",@progbits
	.byte	1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0	# unit: low_pc, high_pc
	.byte	2, 0x2e, 1, 0x01, 0x13, 0x11, 1, 0x12, 7, 0x31, 0x13, 0, 0 # sibling, pc, origin
	.byte	3, 0x0b, 1, 0x01, 0x13, 0x11, 1, 0x12, 7, 0, 0	# lexical block in itself
	.byte	0
	.section .debug_info,"",@progbits
.Lcu:	.long	.Lcu_end-.Lver
.Lver:	.short	4
	.long	.debug_abbrev
	.byte	8
	.byte	1
	.quad	victim
	.quad	.Lend-victim
.Lfn:	.byte	2
	.long	.Lfn-.Lcu	# its sibling is itself
	.quad	victim
	.quad	.Lend-victim
	.long	.Lfn-.Lcu	# its origin is itself
.Lblk:	.byte	3
	.long	.Lblk-.Lcu
	.quad	victim
	.quad	.Lend-victim
	.byte	0, 0, 0
.Lcu_end:
""")
    lib = tmp_path / "loop.so"
    run("gcc", "-shared", "-nostdlib", "-o", lib, src)
    a = address(lib, "victim")
    p = subprocess.run([TOOL, "-t", lib, f"{a:x}", f"{a + 1:x}"], capture_output=True, text=True,
                       timeout=180)
    assert p.returncode == 0 and p.stdout.split("\n")[0::2][:2] == ["victim", "victim"]


def profile_frames(attach, t, tmp_path):
    out = tmp_path / "profile.json"
    a = attach("-p", t.pid, "--exact", "--plain", "-o", out)
    t.say()
    t.expect("done")
    rc, _, err = a.finish()
    assert rc == 0, err
    stack = max(load_json(out)["stacks"], key=lambda s: s["alloc_bytes"])
    assert stack["alloc_bytes"] == 1000 * 1000
    return stack["frames"]


def test_target_in_a_container(attach, target, tmp_path):
    """Own mount namespace, own root, stripped; the debug file is in the target's root only."""
    exe, root = build("named.c", flags=["-O1"]), tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    run("strip", "-o", root / "bin/named", exe)
    run("objcopy", "--only-keep-debug", exe, by_id(root, exe))
    for lib in re.findall(r"(/\S+) \(0x", run("ldd", exe).stdout):
        dest = root / lib[1:]
        dest.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lib, dest)
    t = target(["unshare", "-m", "chroot", root, "/bin/named"])
    t.expect("ready")
    frames = profile_frames(attach, t, tmp_path)
    names = [f["function"] for f in frames]
    assert "keeps_memory" in names and "main" in names, names
    f = frames[names.index("keeps_memory")]
    assert f["file"].endswith("named.c") and f["line"] == 10
    assert f["module"].endswith("/bin/named") and f["build_id"] == build_id(exe)


def test_binary_replaced_after_start(attach, target, tmp_path):
    """The file under the old name is another build: it is not what is read."""
    exe = tmp_path / "prog"
    shutil.copy(build("named.c", flags=["-O1"]), exe)
    t = target([exe])
    t.expect("ready")
    os.unlink(exe)
    shutil.copy(shutil.which("true"), exe)
    frames = profile_frames(attach, t, tmp_path)
    f = next(f for f in frames if f["function"] == "keeps_memory")
    assert f["file"].endswith("named.c") and f["line"] == 10
    assert f["build_id"] == build_id(build("named.c", flags=["-O1"]))


def test_code_without_symbols_is_called_by_its_place_in_every_format(tmp_path):
    """A stripped program's functions are apart from each other, and called alike in two processes."""
    exe = build("shapes.c", flags=["-O1"])
    bare = tmp_path / "bare"
    run("strip", "-o", bare, exe)
    seen = []
    for i in range(2):
        files = {e: tmp_path / f"{i}.{e}" for e in ("pb.gz", "folded", "html", "svg", "json")}
        memwatch("run", "--exact", "-q", *[x for f in files.values() for x in ("-o", f)], "--", bare, "1", "60",
                 input="go\n", check=None)
        top = memwatch("report", "--top", files["pb.gz"], check=0).stdout
        names = set(re.findall(r"  (bare\+0x[0-9a-f]+)$", top, re.M))
        assert len(names) > 2 and "[bare]" not in top
        for f in ("folded", "html", "svg"):
            text = files[f].read_text()
            assert all(n in text for n in names), f
        frames = {x["function"] for s in load_json(files["json"])["stacks"] for x in s["frames"]}
        assert names <= frames
        seen.append(names)
    assert seen[0] == seen[1]
