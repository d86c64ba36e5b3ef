# SPDX-License-Identifier: GPL-2.0-or-later
"""For the tests of Go programs: building with a given toolchain, reading pprof files."""
import collections
import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import OUT, WORKLOADS, one_at_a_time

GOBIN = os.environ.get("MEMWATCH_GO", shutil.which("go") or "/usr/bin/go")


def go_version():
    return subprocess.run([GOBIN, "env", "GOVERSION"], env=go_env(), capture_output=True,
                          text=True, check=True).stdout.strip() or "go?"


def go_env(**more):
    env = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOTOOLCHAIN="local",
               GOCACHE=str(OUT / "gocache"), GOPATH=str(OUT / "gopath"), CGO_ENABLED="0")
    root = Path(GOBIN).resolve().parents[1]
    if (root / "src").exists():
        env["GOROOT"] = str(root)
    env.update(more)
    return env


def go_build(name, suffix="", flags=(), **env):
    """Builds tests/workloads/go/NAME.go; returns the executable."""
    src = WORKLOADS / "go" / (name + ".go")
    tag = os.environ.get("MEMWATCH_GO_TAG", "")
    exe = OUT / f"go-{name}{suffix}{tag}"
    with one_at_a_time(exe.name):
        return _go_build(exe, src, flags, env)


def _go_build(exe, src, flags, env):
    stamp = json.dumps([GOBIN, list(flags), env])
    note = OUT / (exe.name + ".flags")
    if (exe.exists() and exe.stat().st_mtime > src.stat().st_mtime and note.exists()
            and note.read_text() == stamp):
        return exe
    subprocess.run([GOBIN, "build", *flags, "-o", str(exe), str(src)], env=go_env(**env),
                   check=True)
    note.write_text(stamp)
    return exe


def _varint(b, i):
    v = s = 0
    while True:
        c = b[i]
        i += 1
        v |= (c & 0x7f) << s
        s += 7
        if c < 0x80:
            return v, i


def _fields(b):
    i = 0
    while i < len(b):
        key, i = _varint(b, i)
        if key & 7 == 0:
            v, i = _varint(b, i)
        elif key & 7 == 2:
            n, i = _varint(b, i)
            v, i = b[i:i + n], i + n
        elif key & 7 == 1:
            v, i = b[i:i + 8], i + 8
        else:
            raise ValueError(f"wire type {key & 7}")
        yield key >> 3, v


def _numbers(v):
    if isinstance(v, int):
        return [v]
    out, i = [], 0
    while i < len(v):
        n, i = _varint(v, i)
        out.append(n)
    return out


def _signed(n):
    return n - (1 << 64) if n >> 63 else n


class Pprof:
    """A profile.proto file, decoded here and not by the code under test."""

    def __init__(self, path):
        data = gzip.decompress(Path(path).read_bytes())
        self.strings, self.types, self.samples = [], [], []
        locs, funcs = {}, {}
        self.period = 0
        period_type = b""
        raw_samples, raw_types = [], []
        for f, v in _fields(data):
            if f == 1:
                raw_types.append(v)
            elif f == 2:
                raw_samples.append(v)
            elif f == 4:
                d = {"id": 0, "address": 0, "lines": []}
                for g, w in _fields(v):
                    if g == 1:
                        d["id"] = w
                    elif g == 3:
                        d["address"] = w
                    elif g == 4:
                        line = dict(_fields(w))
                        d["lines"].append((line.get(1, 0), _signed(line.get(2, 0))))
                locs[d["id"]] = d
            elif f == 5:
                d = dict(_fields(v))
                funcs[d[1]] = d
            elif f == 6:
                self.strings.append(v.decode(errors="surrogateescape"))
            elif f == 11:
                period_type = v
            elif f == 12:
                self.period = v
        s = self.strings
        pair = lambda b: tuple(s[dict(_fields(b)).get(i, 0)] for i in (1, 2))
        self.types = [pair(t) for t in raw_types]
        self.period_type = pair(period_type)

        def frames(loc_id):
            d = locs[loc_id]
            lines = tuple((s[funcs[f].get(2, 0)], s[funcs[f].get(4, 0)],
                           funcs[f].get(5, 0), line) for f, line in d["lines"])
            return lines or (f"?{d['address']:#x}",)

        for raw in raw_samples:
            values, stack, labels = [], [], []
            for f, v in _fields(raw):
                if f == 1:
                    stack += [frames(i) for i in _numbers(v)]
                elif f == 2:
                    values += [_signed(n) for n in _numbers(v)]
                elif f == 3:
                    d = dict(_fields(v))
                    labels.append((s[d.get(1, 0)], s[d.get(2, 0)] or d.get(3, 0)))
            self.samples.append((tuple(stack), tuple(values), tuple(sorted(labels))))

    def multiset(self, labels=True, skip_zero=True):
        """Every sample with its stack (functions, files, start lines, lines, inlining), counted."""
        out = collections.Counter()
        for stack, values, lab in self.samples:
            if skip_zero and not any(values):
                continue
            out[(stack, values, lab if labels else ())] += 1
        return out

    def by_stack(self):
        out = collections.Counter()
        for stack, values, _ in self.samples:
            out[stack] += values[0]
        return out


def assert_same(ours, theirs, what):
    if ours == theirs:
        return
    missing, extra = theirs - ours, ours - theirs
    text = "\n".join(f"only in Go's: {k}" for k in list(missing)[:3])
    text += "\n" + "\n".join(f"only in ours: {k}" for k in list(extra)[:3])
    pytest.fail(f"{what}: {sum(missing.values())} samples missing, {sum(extra.values())} too "
                f"many of {sum(theirs.values())}\n{text}")
