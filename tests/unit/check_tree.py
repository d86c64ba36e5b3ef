#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the shape of the tree: rooms use only rooms below them, files of a room form no circle,
libbpf stays in user/probe, the environment is read by the commands alone, a file of /proc has one
reader, and a name is used once. Prints what breaks a rule; exit status 1.

Usage: check_tree.py [--self-test] [ROOT]
"""
import collections
import os
import re
import sys
import tempfile

# From the ground up: a room includes only what stands in the rows before its own. Rooms of one
# row may use each other one way.
ROOMS = [
    ["core"],
    ["sys"],
    ["model"],
    ["elf"],
    ["probe", "fast"],
    ["observe"],
    ["go"],
    ["snapshot"],
    ["format"],
    ["report", "alert", "oom", "top", "tui", "history", "http"],
    ["web"],
    ["run"],
    ["daemon"],
    ["cmd"],
]
LIBBPF = re.compile(r"^#include [<\"](bpf/[\w.]+|\w+\.skel\.h)[>\"]", re.M)
ENVIRONMENT = re.compile(r"\b(?:secure_)?getenv\(")
# A file of /proc that tells something has one reader; what is opened, listed, followed or written
# may be so from elsewhere.
PROC = re.compile(r'"/proc/((?:%[du]|self)/)?([\w/]+?)(?:/%\w+)?"')
PROC_PLACES = {"root", "fd", "fdinfo", "map_files", "ns/pid", "task", "mem", "exe",
               "oom_score_adj"}
INCLUDE = re.compile(r'^#include "([\w/.-]+)"', re.M)
STRUCT = re.compile(r"^[ \t]*(?:typedef |static |const )*(?:struct|union|enum) (\w+)\s*\{", re.M)
NAMED = re.compile(r"\b(?:bpf|docs|include|tests|tools|user)/[\w./*-]*[\w*]")
FUNCTION = re.compile(r"\b([a-z]\w*?)__\w+\(")
COMMENT = re.compile(r"/\*.*?\*/", re.S)
# In comments: files without a folder (with one they may be the kernel's), functions of a module.
SAID_FILE = re.compile(r"(?<![\w/.*<>-])[a-z]\w*\.[ch]\b")
SAID_FUNCTION = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)*__[a-z]\w*")


def whole_sources(root):
    for top in ("user", "include", "bpf"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        yield os.path.relpath(path, root), f.read()


def sources(root):
    for path, text in whole_sources(root):
        yield path, COMMENT.sub("", text)


def room_of(path):
    part = path.split("/")
    return part[1] if part[0] == "user" and len(part) == 3 else "cmd" if part[0] == "user" else None


def circle(edges):
    """A circle of a graph as a list of nodes, or None."""
    state, trail = {}, []

    def visit(node):
        state[node] = 1
        trail.append(node)
        for to in sorted(edges.get(node, ())):
            if state.get(to) == 1:
                return trail[trail.index(to):] + [to]
            if to not in state:
                found = visit(to)
                if found:
                    return found
        state[node] = 2
        trail.pop()
        return None

    for node in sorted(edges):
        if node not in state:
            found = visit(node)
            if found:
                return found
    return None


def module(path):
    return path.rsplit(".", 1)[0]


def check_rooms(root):
    """A room that is gone leaves the order, or the order tells of a tree that there is not."""
    for room in (room for row in ROOMS for room in row if room != "cmd"):
        if not os.path.isdir(os.path.join(root, "user", room)):
            yield f"the order names a room that does not exist: {room}"


def check_includes(files):
    level = {room: i for i, row in enumerate(ROOMS) for room in row}
    rooms, modules = collections.defaultdict(set), collections.defaultdict(set)
    for path, text in files.items():
        room = room_of(path)
        if room is None:
            continue
        if room not in level:
            yield f"{path}: the room {room} has no place in the order"
            continue
        for m in LIBBPF.finditer(text):
            if room != "probe":
                yield f"{path}: {m.group(1)}: libbpf lives in user/probe alone"
        if room != "cmd" and ENVIRONMENT.search(text):
            yield f"{path}: the environment is read by the commands alone"
        for m in INCLUDE.finditer(text):
            to = "user/" + m.group(1)
            if to not in files:
                continue
            other = room_of(to)
            if other != room:
                rooms[room].add(other)
                if level[other] > level[room]:
                    yield f"{path}: {m.group(1)}: {room} stands below {other}"
                if to.endswith("_priv.h"):
                    yield f"{path}: {m.group(1)}: the private half of another room"
            if module(path) != module(to):
                modules[module(path)].add(module(to))
    # A private half may know its module: x_priv.h, and a header that one module alone includes.
    users = collections.Counter(to for edges in modules.values() for to in edges)
    for name in [n for n in modules if n.endswith("_priv") or (users[n] == 1 and n + ".c" not in files)]:
        modules[name] = {to for to in modules[name] if os.path.dirname(to) != os.path.dirname(name)}
    for what, edges in (("rooms", rooms), ("files", modules)):
        found = circle(edges)
        if found:
            yield f"circle of {what}: " + " -> ".join(found)


def check_proc(files):
    readers = collections.defaultdict(set)
    for path, text in files.items():
        for m in PROC.finditer(text):
            readers[m.group(2)].add(path)
    for name, where in sorted(readers.items()):
        if len(where) > 1 and name not in PROC_PLACES:
            yield f"/proc: {name} has {len(where)} readers: {', '.join(sorted(where))}"


def check_callers(root, files):
    """Every public function is called by somebody else than its own file; tests count."""
    used = collections.defaultdict(set)
    texts = dict(files)
    for folder, _, names in os.walk(os.path.join(root, "tests")):
        for name in (n for n in names if n.endswith((".c", ".h"))):
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8", errors="replace") as f:
                texts[os.path.relpath(path, root)] = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    for path, text in texts.items():
        for word in set(re.findall(r"\b\w+__\w+\b", text)):
            used[word].add(path)
    for path, text in files.items():
        if not path.endswith(".h") or not room_of(path):
            continue
        macros = " ".join(re.findall(r"^#define (?:.*\\\n)*.*", text, re.M))
        for name in re.findall(r"^[^\s#}][^\n;{}=]*?\b(\w+__\w+)\([^;{]*?\)[^;{]*;", text, re.M):
            others = {p for p in used[name] if p != path}
            homes = {p for p in others if re.search(r"^\w[^\n;=]*(?:\n\w*)?\b" + name + r"\(", texts[p], re.M)}
            if not others - homes and name not in macros:
                yield f"{path}: {name} is called by nobody but its own file"


def check_names(files):
    structs, headers, prefixes = (collections.defaultdict(set) for _ in range(3))
    for path, text in files.items():
        for m in STRUCT.finditer(text):
            structs[m.group(1)].add(path)
        if path.endswith(".h"):
            headers[os.path.basename(path)].add(path)
            if room_of(path):
                for m in FUNCTION.finditer(text):
                    prefixes[m.group(1)].add(room_of(path))
    # The kernel's own names, as far as BPF programs read them.
    for name in [n for n, where in structs.items() if "bpf/kernel.h" in where]:
        structs[name].discard("bpf/kernel.h")
    for what, table in (("struct", structs), ("header", headers), ("prefix", prefixes)):
        for name, where in sorted(table.items()):
            if len(where) > 1:
                yield f"{what} {name} is defined twice: {', '.join(sorted(where))}"


def check_comments(root, files):
    """What comments name exists. (A module's functions are called by its name, so others' are not meant.)"""
    names = {os.path.basename(path) for path in files}
    modules = {name.rsplit(".", 1)[0] for name in names}
    words = {word for text in files.values() for word in re.findall(r"\w+__\w+", text)}
    for path, text in whole_sources(root):
        for comment in COMMENT.findall(text):
            for name in SAID_FILE.findall(comment):
                if name not in names:
                    yield f"{path}: a comment names {name}, which does not exist"
            for name in SAID_FUNCTION.findall(comment):
                if name not in words and name.split("__")[0] in modules:
                    yield f"{path}: a comment names {name}, which does not exist"


def check_page(root, files):
    """docs/architecture.md knows every room, and names only files that there are."""
    page = os.path.join(root, "docs/architecture.md")
    if not os.path.exists(page):
        return
    with open(page, encoding="utf-8") as f:
        text = f.read()
    rows = "".join(line for line in text.splitlines() if line.startswith("|"))
    for room in sorted({room_of(path) for path in files} - {None, "cmd"}):
        if f"`{room}`" not in rows:
            yield f"docs/architecture.md: the room {room} is left out"
    for name in NAMED.findall(text):
        if "*" not in name and not os.path.exists(os.path.join(root, name)):
            yield f"docs/architecture.md: {name} does not exist"


def known_tests(root):
    """Names of tests: of pytest, of cmocka ("test_http: unix_socket" is one of that file), of fuzzers."""
    names = set()
    for folder, suffix, pattern in (("tests/e2e", ".py", r"^def (test_\w+)"),
                                    ("tests/unit", ".c", r"cmocka_unit_test(?:_setup_teardown)?\((\w+)")):
        path = os.path.join(root, folder)
        for name in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            if name.endswith(suffix):
                with open(os.path.join(path, name), encoding="utf-8") as f:
                    found = re.findall(pattern, f.read(), re.M)
                names |= {name[:-len(suffix)]} if found else set()
                names |= {x if suffix == ".py" else f"{name[:-2]}: {x}" for x in found}
    path = os.path.join(root, "tests/fuzz")
    names |= {name[:-2] for name in (os.listdir(path) if os.path.isdir(path) else [])
              if name.endswith(".c")}
    return names


def check_security(root):
    """Every sentence of the page ends with the tests that show it, every row of a table has a cell with
    them, and all these tests exist. The introduction and what remains are left out."""
    page = os.path.join(root, "docs/SECURITY.md")
    if not os.path.exists(page):
        return
    with open(page, encoding="utf-8") as f:
        text = f.read()
    known = known_tests(root)
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        for paragraph in re.split(r"\n\s*\n|\n(?=- |\|)", section.partition("\n")[2]):
            paragraph = re.sub(r"\]\([^)]*\)", "]()", " ".join(paragraph.split()))
            shown = re.findall(r"\[([^][]*)\](?!\()", paragraph)
            for name in (n.strip() for s in shown for n in s.split(",")):
                if name not in known:
                    yield f"docs/SECURITY.md: no test is called '{name}'"
            if section.startswith("What remains") or not paragraph or "| --- |" in paragraph:
                continue
            if paragraph.startswith("|"):
                if not shown and "shown by" not in paragraph:
                    yield f"docs/SECURITY.md: no test shows '{paragraph[:60]}'"
                continue
            plain = re.sub(r"\[[^][]*\](?!\()", "[]", re.sub(r"`[^`]*`", "x", paragraph))
            for bare in re.findall(r"[^.]*\.(?=\**\s(?!\[)|\**$)", plain):
                yield f"docs/SECURITY.md: no test shows '{bare.strip('[] *')[:60]}'"


def check(root):
    files = dict(sources(root))
    if not files:
        yield f"no sources below {root}"
    yield from check_rooms(root)
    yield from check_includes(files)
    yield from check_names(files)
    yield from check_proc(files)
    yield from check_callers(root, files)
    yield from check_comments(root, files)
    yield from check_page(root, files)
    yield from check_security(root)


def self_test():
    """Every rule finds what breaks it."""
    cases = [
        ("stands below", {"user/core/a.c": '#include "sys/b.h"\n', "user/sys/b.h": ""}),
        ("libbpf lives", {"user/core/a.c": "#include <bpf/libbpf.h>\n"}),
        ("libbpf lives", {"user/run/a.c": '#include "memwatch.skel.h"\n'}),
        ("environment is read", {"user/tui/a.c": 'x = getenv("TERM");\n'}),
        ("environment is read", {"user/sys/a.c": 'x = secure_getenv("HOME");\n'}),
        ("circle of rooms", {"user/top/a.h": '#include "tui/b.h"\n',
                             "user/tui/b.h": "", "user/tui/c.c": '#include "top/a.h"\n'}),
        ("circle of files", {"user/elf/a.h": '#include "elf/b.h"\n', "user/elf/a.c": "",
                             "user/elf/b.c": '#include "elf/a.h"\n', "user/elf/b.h": ""}),
        ("private half", {"user/run/a.c": '#include "core/b_priv.h"\n', "user/core/b_priv.h": ""}),
        ("no place", {"user/attic/a.c": ""}),
        ("does not exist: sys", {"user/core/a.c": ""}),
        ("struct x", {"user/core/a.c": "struct x {\n", "user/sys/b.h": "\tunion x {\n"}),
        ("header a.h", {"user/core/a.h": "", "include/memwatch/a.h": ""}),
        ("prefix x", {"user/core/a.h": "int x__a(void);", "user/sys/b.h": "int x__b(void);"}),
        ("room sys is left out", {"docs/architecture.md": "| `core` |\n", "user/core/a.c": "",
                                  "user/sys/a.c": ""}),
        ("user/core/b.c does not exist", {"docs/architecture.md": "`user/core/b.c`",
                                          "user/core/a.c": ""}),
        ("status has 2 readers", {"user/sys/a.c": 'x("/proc/%d/status");',
                                  "user/run/b.c": 'x("/proc/self/status");'}),
        ("pressure/memory has 2 readers", {"user/sys/a.c": 'x("/proc/pressure/memory");',
                                           "user/oom/b.c": 'x("/proc/pressure/memory");'}),
        ("x__a is called by nobody", {"user/core/x.h": "int x__a(int a,\n\t int b);\n",
                                      "user/core/x.c": "int x__a(int a, int b)\n{\n}\nint y;"
                                                       "static int z(void)\n{\n\tx__a(1, 2);\n}\n"}),
        ("no test is called 'test_x'", {"docs/SECURITY.md": "## A\n\nIt holds. [test_x]\n",
                                        "user/core/a.c": ""}),
        ("no test is called 'test_a: y'", {"docs/SECURITY.md": "## A\n\nIt holds. [test_a: y]\n",
                                           "tests/unit/test_a.c": "cmocka_unit_test(x)",
                                           "user/core/a.c": ""}),
        ("no test shows 'Nor this", {"docs/SECURITY.md": "## A\n\nThis does. [test_x] Nor this. And "
                                                         "that. [test_x]\n",
                                     "tests/e2e/test_b.py": "def test_x():\n", "user/core/a.c": ""}),
        ("no test shows '| a | b |", {"docs/SECURITY.md": "## A\n\n| x | shown by |\n| --- | --- |\n"
                                                          "| a | b |\n", "user/core/a.c": ""}),
        ("a comment names b.h", {"user/core/a.c": "/* as b.h says (mm/slab.h, a.c) */"}),
        ("a comment names a__y", {"user/core/a.c": "/* of a__y */\nint x;\nint a__x(void);"}),
        ("no sources", {}),
    ]
    for want, files in cases:
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            if not any(want in line for line in check(root)):
                yield f"self-test: '{want}' was not found"


def main():
    args = [a for a in sys.argv[1:] if a != "--self-test"]
    faults = list(self_test()) if "--self-test" in sys.argv else list(check(args[0] if args else "."))
    for line in faults:
        print(line)
    sys.exit(bool(faults))


main()
