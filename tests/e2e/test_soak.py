# SPDX-License-Identifier: GPL-2.0-or-later
"""A life of months, shortened: what memwatch holds stays flat (`make soak` is the long form)."""
import re
import subprocess

import pytest

from conftest import BIN, ROOT


def soak(record_property, *args):
    subprocess.run(["make", "-C", ROOT, "--no-print-directory", "build/tests/soak"], check=True,
                   capture_output=True)
    p = subprocess.run([ROOT / "build/tests/soak", *args], capture_output=True, text=True,
                       timeout=900)
    record_property("numbers", f"soak {' '.join(args)}\n{p.stdout}")
    assert p.returncode == 0, p.stdout + p.stderr
    assert p.stdout.endswith("\nflat\n")


def test_what_memwatch_holds_stays_flat(record_property):
    soak(record_property, "480", "60", "60", "160")


@pytest.mark.alone
def test_what_memwatch_holds_stays_flat_system_wide(record_property):
    """Whatever else runs here is looked into, too, compilers of a build among them: what a minute is
    too short for is left out."""
    soak(record_property, "-a", "-m", "1", "112", "12", "12", "48")


def test_the_footprint_is_told(tmp_path):
    p = subprocess.run([BIN, "run", "-v", "--plain", "-i", "60", "-o", tmp_path / "p.json", "--",
                        "sh", "-c", "ls /"], capture_output=True, text=True, timeout=180)
    rows = dict(re.findall(r"footprint: (.+?) {2,}\S+ +(\d+) entries", p.stderr))
    assert {"live blocks", "stacks", "frames", "mappings", "files", "symbols", "alloc_live"} <= rows.keys()
    assert int(rows["files"]) > 0 and int(rows["mappings"]) >= int(rows["files"])
    assert 0 < int(rows["symbols"]) <= int(rows["files"])
    assert re.search(r"footprint: \S+ in tables here, RSS \S+; \S+ in the kernel", p.stderr)
    quiet = subprocess.run([BIN, "run", "--plain", "-i", "60", "--", "true"], capture_output=True,
                           text=True, timeout=180)
    assert "footprint" not in quiet.stderr
