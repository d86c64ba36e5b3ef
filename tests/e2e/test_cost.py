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
    assert float(said[1]) > 0 and float(said[2]) == seen[-1], seen
