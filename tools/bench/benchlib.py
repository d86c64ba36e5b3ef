# SPDX-License-Identifier: GPL-2.0-or-later
"""For the benchmarks in Python."""


def line(name, value, what):
    """One result: what it is called, its value with a unit, against what and how often."""
    print(f"{name:<34} {value:>10}  ({what})", flush=True)
