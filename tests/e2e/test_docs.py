# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation against the program: links lead somewhere, options that are named exist."""
import re
import subprocess

import pytest

from conftest import BIN, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ("-p", "run", "top", "oom", "report", "go", "features", "detach")
# Options of other programs that the pages name: a sample server's, node's.
OTHERS = {"--port", "--perf-basic-prof"}


def options(command):
    p = subprocess.run([BIN, command, "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"^ {2,6}(?:-\S, )?(--[a-z][a-z-]*)", p.stdout, re.M))


@pytest.fixture(scope="module")
def known():
    return {c: options(c) | {"--help", "--version"} for c in COMMANDS}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_resolve(page):
    for text, to in re.findall(r"\[([^]]*)\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://", to):
            continue
        assert (page.parent / to.split("#")[0]).exists(), f"[{text}]({to})"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_exist(page, known):
    everything = set().union(*known.values()) | OTHERS
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?!\w)", page.read_text()))
    assert named - everything == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_take_the_options_they_are_shown_with(page, known):
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    shown = re.findall(r"(?:sudo |`|\$ |^)memwatch ((?:run|top|oom|report|go|features|detach|-p)\b[^`\n]*)", text,
                       re.M)
    for line in shown:
        line = re.split(r" -- |  #|[;&|>]", line)[0]
        command = line.split()[0]
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?!\w)", line))
        assert named <= known[command], line
