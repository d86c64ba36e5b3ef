#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the shape of the tree: rooms use only rooms below them, files of a room form no circle,
libbpf stays in user/probe, and a name is used once. Prints what breaks a rule; exit status 1.

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
    ["go", "lang"],
    ["snapshot"],
    ["format"],
    ["report", "alert", "oom", "top", "tui"],
    ["run"],
    ["daemon"],
    ["cmd"],
]
LIBBPF = re.compile(r"^#include [<\"](bpf/[\w.]+|\w+\.skel\.h)[>\"]", re.M)
INCLUDE = re.compile(r'^#include "([\w/.-]+)"', re.M)
STRUCT = re.compile(r"^[ \t]*(?:typedef |static |const )*(?:struct|union|enum) (\w+)\s*\{", re.M)
FUNCTION = re.compile(r"\b([a-z]\w*?)__\w+\(")


def sources(root):
    for top in ("user", "include", "bpf"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
                    yield os.path.relpath(path, root), text


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


def check(root):
    files = dict(sources(root))
    if not files:
        yield f"no sources below {root}"
    yield from check_includes(files)
    yield from check_names(files)


def self_test():
    """Every rule finds what breaks it."""
    cases = [
        ("stands below", {"user/core/a.c": '#include "sys/b.h"\n', "user/sys/b.h": ""}),
        ("libbpf lives", {"user/core/a.c": "#include <bpf/libbpf.h>\n"}),
        ("libbpf lives", {"user/run/a.c": '#include "memwatch.skel.h"\n'}),
        ("circle of rooms", {"user/top/a.h": '#include "tui/b.h"\n',
                             "user/tui/b.h": "", "user/tui/c.c": '#include "top/a.h"\n'}),
        ("circle of files", {"user/elf/a.h": '#include "elf/b.h"\n', "user/elf/a.c": "",
                             "user/elf/b.c": '#include "elf/a.h"\n', "user/elf/b.h": ""}),
        ("private half", {"user/run/a.c": '#include "core/b_priv.h"\n', "user/core/b_priv.h": ""}),
        ("no place", {"user/attic/a.c": ""}),
        ("struct x", {"user/core/a.c": "struct x {\n", "user/sys/b.h": "\tunion x {\n"}),
        ("header a.h", {"user/core/a.h": "", "include/memwatch/a.h": ""}),
        ("prefix x", {"user/core/a.h": "int x__a(void);", "user/sys/b.h": "int x__b(void);"}),
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
