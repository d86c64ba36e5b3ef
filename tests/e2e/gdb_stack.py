# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside gdb: prints the stack of the thread that is in checkpoint(), from there to the root,
as one JSON line: [[function or null, pc, is it a return address], …]."""
import json

import gdb


def stack():
    frames, below = [], None
    f = gdb.newest_frame()
    while f is not None:
        # inlined and tail-called functions have no frame of their own on the stack
        if f.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            frames.append([f.name(), f.pc(), below != gdb.SIGTRAMP_FRAME])
            below = f.type()
        f = f.older()
    return frames


for thread in gdb.selected_inferior().threads():
    thread.switch()
    frames = stack()
    names = [f[0] for f in frames]
    if "checkpoint" in names:
        print("STACK " + json.dumps(frames[names.index("checkpoint"):]))
        break
