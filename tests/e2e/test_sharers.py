# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that run in the memory of a target and are no threads of it: their blocks are its own."""
import json
import os
import re

import pytest

from alloclib import by_function, check_books, losses, workload
from conftest import load_json, wait_for

WAYS = {"exact": ["--exact"], "sampled": ["--sample-bytes", "2"], "fast": ["--fast", "--sample-bytes", "2"]}


def cmdline(pid):
    with open(f"/proc/{pid}/cmdline") as f:
        return f.read()


def is_asleep(pid):
    with open(f"/proc/{pid}/syscall") as f:
        return f.read().startswith("34 ")  # pause


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["", "early", "vfork", "exec"])
def test_what_it_allocates_is_the_targets(how, way, target, attach, tmp_path):
    t = target([workload("partner.c"), how])
    t.expect("ready")
    out = tmp_path / "out.json"
    a = attach("-p", t.pid, "--plain", "-i", "0.2s", *WAYS[way], "-o", out)
    t.say("go")
    pid = int(t.expect("partner").split()[1])
    a.wait_for(f"PID {pid} runs in the memory of PID {t.pid}: what it allocates is counted there")
    t.say("on")
    expected = json.loads(t.expect("done")[5:])
    if how == "exec":  # what its new image allocates, before it waits for ever, is nobody's
        wait_for(lambda: "alone" in cmdline(pid) and is_asleep(pid))
    status, _, err = a.finish()
    assert status == 0, err
    assert bool(re.search("no fast mode", err)) == (way == "fast" and how == "early"), err
    # nothing can be written while it lives, and is said
    assert ("failed to take the stubs out" in err) == (way == "fast" and not how), err
    p = load_json(out)
    unseen = p["loss"].pop("processes in the memory of another not seen at first", 0)
    assert unseen == (how != "early") and losses(p) == {}, err
    want = expected["functions"]["partner_allocates"]
    got = by_function(p, ["partner_allocates"])["partner_allocates"]
    if way == "exact":
        assert got == {k: want[k] for k in got}
        assert p["totals"]["alloc_objects"] == want["alloc_objects"]
        check_books(p)
    else:  # each block is sampled but one in e^4500
        assert got == pytest.approx({k: want[k] for k in got}, rel=0.01)
    t.say("x")
    assert t.proc.wait(60) == 0
    assert not os.path.exists(f"/proc/{pid}/exe")
