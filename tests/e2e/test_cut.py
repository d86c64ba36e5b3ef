# SPDX-License-Identifier: GPL-2.0-or-later
"""Every list that shows its first or newest says how many it left out, and does not where it is whole."""
import json
import re
import subprocess
import time

import pytest

from conftest import ROOT, memwatch

ROW = {"time_unix_ms": 1700000000000, "virt_bytes": 200, "rss_bytes": 100}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two or more of all that is listed."""
    d = tmp_path_factory.mktemp("cut")
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", "build/tests/history_fill"], check=True, capture_output=True)
    subprocess.run([ROOT / "build/tests/history_fill", d, str(int(time.time() * 1000))], check=True)
    (d / "timeline.json").write_text(json.dumps({"schema": "memwatch.timeline/1", "processes": [
        {"pid": pid, "name": "x", "rows": [ROW], "marks": []} for pid in (7, 8)]}))
    (d / "profile.json").write_text(json.dumps({
        "schema": "memwatch.profile/1", "pid": 1, "comm": "x", "start_unix_ms": 0, "duration_ms": 1, "sample_bytes": 1,
        "totals": {}, "loss": {}, "stacks": [
            {"alloc_objects": 1, "alloc_bytes": 10, "inuse_objects": 1, "inuse_bytes": 10, "frames": [
                {"function": name, "file": "", "line": 0, "module": "/x", "build_id": "", "address": i, "inlined": False}]}
            for i, name in enumerate("ab")]}))
    kill = memwatch("oom", "--json", ROOT / "tests/oomlogs/3.10-uid.dmesg", check=0).stdout.splitlines()[0]
    (d / "oom.jsonl").write_text(f"{kill}\n" * 3)
    return d


HISTORY = ["history", "--state-dir", ".", "--since", "30d"]


@pytest.mark.parametrize("words, cut", [
    (HISTORY, r"^[1-9]\d* more process(es)?; --top shows more$"),
    ([*HISTORY, "--events"], r"^[1-9]\d* older events? (is|are) left out; --top shows more$"),
    ([*HISTORY, "--profiles"], r"^[1-9]\d* older profiles? (is|are) left out; --top shows more$"),
    ([*HISTORY, "--json"], r'"processes_left_out":[1-9]'),
    ([*HISTORY, "--events", "--json"], r'"events_left_out":[1-9]'),
    ([*HISTORY, "--profiles", "--json"], r'"profiles_left_out":[1-9]'),
    (["oom", "--list", "--log", "oom.jsonl"], r"^memwatch: warning: 2 older events are left out; --top shows more$"),
    (["report", "timeline.json"], r"^\(1 more\)$"),
    (["report", "profile.json"], r"^Showing top 1 nodes out of 2$"),
    (["top", "--plain", "-n", "1"], r"^\([1-9]\d* more\)$"),
])
def test_what_is_cut_is_said(recorded, words, cut):
    whole, first = (memwatch(*words, "--top", top, check=0, cwd=recorded) for top in ("1000000", "1"))
    assert re.search(cut, first.stdout + first.stderr, re.M), first.stdout + first.stderr
    assert not re.search(cut, whole.stdout + whole.stderr, re.M), whole.stdout + whole.stderr
