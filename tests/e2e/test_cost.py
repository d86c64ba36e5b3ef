# SPDX-License-Identifier: GPL-2.0-or-later
"""What observing costs the target, as the live view and the last line tell it."""
import re

import pytest

from conftest import BIN, build, wait_for


@pytest.mark.parametrize("options", ["--exact", "--sample-bytes 64K"])
def test_the_cost_is_the_same_here_and_in_the_last_line(terminal, target, options):
    t = target([build("sampled.c")])
    t.expect("ready")
    term = terminal(f"{BIN} -p {t.pid} {options} -i 0.3s", cols=240)
    term.expect(rf"PID {t.pid}  watched")
    t.say("go")
    t.expect("done")  # the program waits from now on, and is not slowed any more
    seen = []

    def settled():
        m = re.search(r"cost ([0-9.]+) % of one CPU \(([0-9.]+) ms\)", term.screen())
        seen.append(float(m[2]) if m else 0)
        return seen[-1] > 0 and seen[-3:] == 3 * [seen[-1]]
    wait_for(settled, step=0.4)
    term.keys("q")
    said = term.expect(r"cost to the target ([0-9.]+) % of one CPU \(([0-9.]+) ms\)")
    # what is known of the price of a hit may have changed in between
    assert float(said[1]) > 0 and seen[-1] / 2 < float(said[2]) < seen[-1] * 2, seen


def test_a_hit_is_measured_again_and_in_a_file_of_its_own(target, attach):
    """Another memwatch's probes at the same functions would be run through at each hit."""
    t = target([build("sampled.c")])
    t.expect("ready")
    runs = [attach("-p", t.pid, "--plain", "-v") for _ in range(2)]
    files = set()
    for a in runs:
        price = r"a hit: ([0-9.]+) ns of an allocation, ([0-9.]+) of a free"
        wait_for(lambda: len(re.findall(price, a.err)) > 2)
        hits = [tuple(map(float, p)) for p in re.findall(price, a.err)]
        assert all(later <= sooner for x, y in zip(hits, hits[1:]) for sooner, later in zip(x, y))
        with open(f"/proc/{a.proc.pid}/maps") as maps:
            mine = [m.split() for m in maps if "memfd:memwatch-calibrate" in m]
        assert [m[1] for m in mine] == ["r-xp"]
        files.add(mine[0][4])
    assert len(files) == 2
    for a in runs:
        assert a.finish()[0] == 0
