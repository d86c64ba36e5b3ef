# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system in memory, by /dev/fuse itself, that stops answering what it is told not to answer:
what waits for it then waits in the kernel, and no signal ends that."""
import ctypes
import errno
import os
import stat
import struct
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2
LOOKUP, FORGET, GETATTR, SETATTR, READLINK, UNLINK, RENAME, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = (
    1, 2, 3, 4, 5, 10, 12, 14, 15, 16, 17, 18, 20)
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, ACCESS, CREATE, INTERRUPT = (
    25, 26, 27, 28, 29, 30, 34, 35, 36)
BATCH_FORGET, RENAME2 = 42, 45
HEAD = struct.Struct("<IIQQIIIHH")
KEEP_CACHE = 2
NO_ANSWER = object()
ROOT = 1
SIZE_SET, MODE_SET = 1 << 3, 1 << 0


class Hanging:
    """Mounted at `at`. hold(OPS…): these are not answered from now on; release(): they are, and so
    are those that wait. `waiting` holds what waits."""

    def __init__(self, at, user=0):
        """user: who has mounted it, for all to see."""
        self.at, self.held, self.waiting = at, set(), []
        self.names, self.data, self.modes = {}, {}, {}
        self.opened = 0  # flags: KEEP_CACHE: what was read stays, and stays mapped
        self.next, self.lock = ROOT + 1, threading.Lock()
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        opts = f"fd={self.fd},rootmode=40755,user_id={user},group_id=0,allow_other,default_permissions"
        if LIBC.mount(b"hanging", os.fsencode(at), b"fuse", 6, opts.encode()):
            err = ctypes.get_errno()
            os.close(self.fd)
            raise OSError(err, os.strerror(err))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def hold(self, *ops):
        with self.lock:
            self.held |= set(ops)

    def release(self):
        with self.lock:
            self.held, late, self.waiting = set(), self.waiting, []
        for request in late:
            self.answer(*request)

    def unmount(self):
        self.release()
        LIBC.umount2(os.fsencode(self.at), MNT_DETACH)
        self.thread.join(30)
        os.close(self.fd)

    def serve(self):
        while True:
            try:
                data = os.read(self.fd, 1 << 20)
            except OSError as e:
                if e.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return  # unmounted
            _, op, unique, node, *_ = HEAD.unpack_from(data)
            with self.lock:
                if op in self.held:
                    self.waiting.append((op, unique, node, data[HEAD.size:]))
                    continue
            self.answer(op, unique, node, data[HEAD.size:])

    def answer(self, op, unique, node, body):
        try:
            out = self.do(op, node, body)
        except OSError as e:
            out = e.errno
        if out is NO_ANSWER:
            return
        err, out = (-out, b"") if isinstance(out, int) else (0, out)
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(out), err, unique) + out)
        except OSError:
            pass  # who asked has gone

    def attr(self, node):
        mode = stat.S_IFDIR | 0o755 if node == ROOT else self.modes[node]
        mode |= 0 if stat.S_IFMT(mode) else stat.S_IFREG
        size = 0 if node == ROOT else len(self.data[node])
        now = int(time.time())
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, (size + 511) // 512, now, now, now, 0, 0, 0,
                           mode, 1, 0, 0, 0, 4096, 0)

    def add(self, name, data, mode=0o644):
        """A file (a link: S_IFLNK), which is root's, as all is here."""
        node, self.next = self.next, self.next + 1
        self.names[os.fsencode(name)] = node
        self.data[node], self.modes[node] = data, mode

    def entry(self, node):
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self.attr(node)

    def do(self, op, node, body):
        if op == INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0, 0, *[0] * 7)
        if op in (FORGET, BATCH_FORGET, INTERRUPT):
            return NO_ANSWER
        if op == LOOKUP:
            name = body.rstrip(b"\0")
            return self.entry(self.names[name]) if name in self.names else errno.ENOENT
        if op == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attr(node)
        if op == SETATTR:
            valid, _, _, size = struct.unpack_from("<IIQQ", body)
            mode = struct.unpack_from("<I", body, 68)[0]
            if valid & SIZE_SET:
                self.data[node] = self.data[node][:size].ljust(size, b"\0")
            if valid & MODE_SET:
                self.modes[node] = mode & 0o7777
            return struct.pack("<QII", 0, 0, 0) + self.attr(node)
        if op == CREATE:
            _, mode, _, _ = struct.unpack_from("<IIII", body)
            node, self.next = self.next, self.next + 1
            self.names[body[16:].rstrip(b"\0")] = node
            self.data[node], self.modes[node] = b"", mode & 0o7777
            return self.entry(node) + struct.pack("<QII", node, 0, 0)
        if op in (OPEN, OPENDIR):
            return struct.pack("<QII", node, self.opened, 0)
        if op == READLINK:
            return self.data[node]
        if op == READ:
            _, at, size = struct.unpack_from("<QQI", body)
            return self.data[node][at:at + size]
        if op == WRITE:
            _, at, size = struct.unpack_from("<QQI", body)
            old = self.data[node].ljust(at, b"\0")
            self.data[node] = old[:at] + body[40:40 + size] + old[at + size:]
            return struct.pack("<II", size, 0)
        if op in (RENAME, RENAME2):
            old, new, _ = body[8 if op == RENAME else 16:].split(b"\0", 2)
            self.names[new] = self.names.pop(old)
            return b""
        if op == UNLINK:
            return b"" if self.names.pop(body.rstrip(b"\0"), None) else errno.ENOENT
        if op == READDIR:
            return self.entries(*struct.unpack_from("<QQI", body)[1:])
        if op == STATFS:
            return struct.pack("<QQQQQIIII6I", 1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096,
                               0, *[0] * 6)
        if op in (RELEASE, RELEASEDIR, FLUSH, FSYNC, FSYNCDIR, ACCESS):
            return b""
        return errno.ENOSYS

    def entries(self, at, size):
        out = b""
        for i, (name, node) in enumerate(sorted(self.names.items())):
            one = struct.pack("<QQII", node, i + 1, len(name), 8) + name
            one = one.ljust((len(one) + 7) // 8 * 8, b"\0")
            if i >= at and len(out) + len(one) <= size:
                out += one
        return out
