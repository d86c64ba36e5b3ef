# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes profile.proto files from plain data: for profiles that no runtime would produce."""
import gzip


def varint(v):
    v &= (1 << 64) - 1
    out = bytearray()
    while v > 0x7F:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def num(field, v):
    return varint(field << 3) + varint(v) if v else b""


def blob(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def packed(field, values):
    return blob(field, b"".join(map(varint, values))) if values else b""


class Profile:
    def __init__(self):
        self.strings, self.index = [""], {"": 0}
        self.out = bytearray()
        self.tail = bytearray()
        self.counts = {}

    def s(self, text):
        if text not in self.index:
            self.index[text] = len(self.strings)
            self.strings.append(text)
        return self.index[text]

    def id(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return self.counts[kind]

    def value_type(self, type_, unit, field=1):
        self.out += blob(field, num(1, self.s(type_)) + num(2, self.s(unit)))

    def mapping(self, start=0, limit=0, offset=0, file="", build_id="", symbols=True):
        i = self.id("mapping")
        flags = b"".join(num(f, 1) for f in (7, 8, 9, 10)) if symbols else b""
        self.out += blob(3, num(1, i) + num(2, start) + num(3, limit) + num(4, offset) +
                         num(5, self.s(file)) + num(6, self.s(build_id)) + flags)
        return i

    def function(self, name, file="", start_line=0, system_name=None, i=None):
        i = i or self.id("function")
        sysname = name if system_name is None else system_name
        self.out += blob(5, num(1, i) + num(2, self.s(name)) + num(3, self.s(sysname)) +
                         num(4, self.s(file)) + num(5, start_line))
        return i

    def location(self, mapping, address, lines, folded=False, i=None):
        i = i or self.id("location")
        body = b"".join(blob(4, num(1, f) + num(2, l)) for f, l in lines)
        self.out += blob(4, num(1, i) + num(2, mapping) + num(3, address) + body + num(5, folded))
        return i

    def sample(self, locations, values, labels=()):
        """labels: (key, "text") or (key, number, unit)"""
        body = packed(1, locations) + packed(2, values)
        for l in labels:
            if isinstance(l[1], str):
                body += blob(3, num(1, self.s(l[0])) + num(2, self.s(l[1])))
            else:
                body += blob(3, num(1, self.s(l[0])) + num(3, l[1]) + num(4, self.s(l[2])))
        self.out += blob(2, body)

    def header(self, **kw):
        for name, field in (("drop_frames", 7), ("keep_frames", 8), ("default_sample_type", 14)):
            if name in kw:
                self.out += num(field, self.s(kw[name]))
        for name, field in (("time", 9), ("duration", 10), ("period", 12)):
            self.out += num(field, kw.get(name, 0))
        self.out += packed(13, [self.s(c) for c in kw.get("comments", ())])

    def bytes(self):
        return bytes(self.out) + b"".join(blob(6, s.encode()) for s in self.strings)

    def write(self, path, compress=True):
        data = self.bytes()
        path.write_bytes(gzip.compress(data, 1) if compress else data)
        return path
