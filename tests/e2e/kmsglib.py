# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's log of the tests' own, as a file that is read like /dev/kmsg: what would take a kernel that
may be brought into any state."""
import errno
import os
import struct
import time

import pytest

from fuselib import Hanging, OPEN, READ

POLL, NOTIFY_POLL, DIRECT_IO = 40, 1, 1
READABLE = 1 | 0x40
FIRST = 1 << 40  # records are numbered from here, behind all of the real log


class Kmsg(Hanging):
    def __init__(self, at):
        self.records, self.position, self.polls = [], {}, set()
        super().__init__(at)
        self.names[b"kmsg"] = node = 2
        self.data[node], self.modes[node] = b"", 0o600
        self.wrap = ["unshare", "-m", "sh", "-c", f'mount --bind {at}/kmsg /dev/kmsg && exec "$0" "$@"']

    def do(self, op, node, body):
        if op == OPEN:
            handle = len(self.position)
            self.position[handle] = 0
            return struct.pack("<QII", handle, DIRECT_IO, 0)
        if op == READ:
            handle, = struct.unpack_from("<Q", body)
            if self.position[handle] == len(self.records):
                return errno.EAGAIN
            self.position[handle] += 1
            return self.records[self.position[handle] - 1]
        if op == POLL:
            handle, waiter = struct.unpack_from("<QQ", body)
            self.polls.add(waiter)
            return struct.pack("<II", READABLE if self.position[handle] < len(self.records) else 0, 0)
        return super().do(op, node, body)

    def say(self, lines):
        """Of the kernel, now."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.records += [f"4,{FIRST + len(self.records) + i},{now},-;{x}\n".encode() for i, x in enumerate(lines)]
        waiters, self.polls = self.polls, set()
        for w in waiters:
            try:
                os.write(self.fd, struct.pack("<IiQQ", 24, NOTIFY_POLL, 0, w))
            except OSError:
                pass  # it waits no more


@pytest.fixture
def kmsg(tmp_path):
    if not os.access("/dev/fuse", os.W_OK):
        pytest.skip("no FUSE here")
    at = tmp_path / "kmsg"
    at.mkdir()
    k = Kmsg(at)
    yield k
    k.unmount()


class Stuck:
    """A cgroup in which nobody can be killed."""

    def __init__(self, kmsg):
        self.kmsg, self.wrap, self.path = kmsg, kmsg.wrap, f"/stuck-{os.getpid()}"

    def refuse(self):
        self.kmsg.say(["dd invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=-1000",
                       "memory: usage 16384kB, limit 16384kB, failcnt 22",
                       f"Memory cgroup stats for {self.path}:", "anon 1048576", "shmem 12582912",
                       "Out of memory and no killable processes..."])


@pytest.fixture
def stuck(kmsg):
    return Stuck(kmsg)
