# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation against the program: links lead somewhere, options that are named exist."""
import re
import subprocess

import pytest

from conftest import BIN, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ("-p", "run", "top", "oom", "report", "go", "features", "detach", "daemon",
            "history")
# Options of other programs that the pages name: a sample server's, node's.
OTHERS = {"--use-largepages", "--port", "--perf-basic-prof"}


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
    shown = re.findall(r"(?:sudo |`|\$ |^)memwatch ((?:run|top|oom|report|go|features|detach|daemon|history|-p)\b[^`\n]*)", text,
                       re.M)
    for line in shown:
        line = re.split(r" -- |  #|[;&|>]", line)[0]
        command = line.split()[0]
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?!\w)", line))
        assert named <= known[command], line


def test_the_manual_knows_the_environment():
    """Every variable that is read, and no other of memwatch's own."""
    read = set(re.findall(r'given(?:_path)?\("([A-Z_]+)"\)', (ROOT / "user/cmd_tuning.c").read_text()))
    manual = (ROOT / "docs/memwatch.1").read_text()
    section = manual.split(".Sh ENVIRONMENT")[1].split(".Sh ")[0]
    assert len(read) > 10
    # What every program takes from its user's session is said where it matters, or not at all.
    session = {"TERM", "PATH", "HOME", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"}
    assert {v for v in read - session if v not in section} == set()
    assert {v for v in re.findall(r"MEMWATCH_[A-Z_]+", section)} <= read


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs/memwatch.1"], ids=lambda p: p.name)
def test_one_spelling_of_sizes(page):
    """kB, MB, GB everywhere; the other one is what options take, too."""
    text = re.sub(r"`\d+[KMG]iB`", "", page.read_text())
    assert re.findall(r".*[KMG]iB.*", text) == []


def test_one_spelling_of_sizes_in_what_is_printed():
    found = []
    for file in sorted((ROOT / "user").rglob("*.c")):
        code = re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.S)
        found += [(file.name, s) for s in re.findall(r'"[^"\n]*[KMG]iB[^"\n]*"', code) if "no size (" not in s]
    assert [f for f in found if f[0] != "units.c"] == []
