# SPDX-License-Identifier: GPL-2.0-or-later
"""memwatch top -p: which stacks made the process's memory resident, beside its row."""
import json
import subprocess

import pytest
from conftest import BIN, build, memwatch, wait_for

MB = 1 << 20


@pytest.fixture
def mm(target):
    t = target([build("mm.c", flags=("-O1", "-fno-optimize-sibling-calls"), libs=("-lpthread",))])
    t.expect("ready")
    return t


def test_json(mm):
    w = subprocess.Popen([BIN, "top", "--json", "-i", "0.3", "-p", str(mm.pid)],
                         stdout=subprocess.PIPE, text=True)
    try:
        assert not json.loads(w.stdout.readline())["resident"]["stacks"]  # nothing sampled yet
        assert json.loads(w.stdout.readline())["resident"]["period"] == 4096
        mm.say("grow 400")
        mm.expect("ok grow")
        for line in w.stdout:
            tick = json.loads(line)
            rss = tick["processes"][0]["rss_bytes"]
            grown = sum(s["resident_bytes"] for s in tick["resident"]["stacks"]
                        if "keeps" in s["frames"] and "main" in s["frames"])
            if rss > 400 * MB:
                break
        # One sample stands for 16 MiB; what came before, and what is over, is one row of its own.
        assert abs(grown - 400 * MB) <= 64 * MB
        assert tick["resident"]["lost"] == 0
        total = sum(s["resident_bytes"] for s in tick["resident"]["stacks"])
        assert abs(total - rss) <= MB
        mm.say("shrink")
        mm.expect("ok shrink")
        for line in w.stdout:
            tick = json.loads(line)
            if not any("keeps" in s["frames"] for s in tick["resident"]["stacks"]):
                break
        assert tick["processes"][0]["rss_bytes"] < 100 * MB
    finally:
        w.kill()
        w.wait()
        w.stdout.close()


def test_not_for_a_single_look_nor_without_bpf(mm):
    assert "resident" not in json.loads(memwatch("top", "-p", mm.pid, "--json", "-n", "1",
                                                 check=0).stdout)
    lines = memwatch("top", "-p", mm.pid, "--json", "--no-bpf", "-i", "0.1", "-n", "2",
                     check=0).stdout.splitlines()
    assert len(lines) == 2 and "resident" not in json.loads(lines[1])


def test_full_screen(mm, tmp_path):
    tmux = ["tmux", "-S", str(tmp_path / "tmux")]
    subprocess.run([*tmux, "new-session", "-d", "-x", "100", "-y", "24",
                    f"{BIN} top -i 0.3 -p {mm.pid}"], check=True)

    def screen():
        return subprocess.run([*tmux, "capture-pane", "-p"], capture_output=True, text=True).stdout

    try:
        wait_for(lambda: "BY STACK" in screen())
        mm.say("grow 400")
        mm.expect("ok grow")
        wait_for(lambda: any("keeps" in x and "MB" in x for x in screen().splitlines()))
        assert "h help" in screen().splitlines()[-1]
        subprocess.run([*tmux, "resize-window", "-x", "80", "-y", "16"], check=True)
        wait_for(lambda: "BY STACK" not in screen())  # no room: the rows go first
        assert str(mm.pid) in screen()
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True)
