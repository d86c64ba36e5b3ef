# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line contract that needs no target."""
from conftest import memwatch


def test_version():
    p = memwatch("--version", check=0)
    assert p.stdout.startswith("memwatch ")


def test_usage():
    assert memwatch(check=2).stdout == ""
    assert "usage:" in memwatch("--help", check=0).stdout
    p = memwatch("nonsense", check=2)
    assert "nonsense" in p.stderr
