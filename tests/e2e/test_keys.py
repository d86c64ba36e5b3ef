# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of both full-screen views at four sizes of the terminal (tmux): what it leads to, and that
each frame has its lines where they belong. The keys are those of the tables in the documentation; a
key that is not in them, or of which nothing is expected here, fails."""
import re

import pytest

from conftest import BIN, NICE, ROOT, build, wait_for

SIZES = [(40, 12), (80, 24), (120, 40), (200, 60)]
NAMES = {"Space": "Space", "arrows": "Up Down Left Right", "PgUp": "PPage", "PgDn": "NPage", "Esc": "Escape"}
SHARED = ["user/tui/act.c", "user/tui/ask.c", "user/tui/menu.c"]
VIEWS = {"top.md": "user/top/screen.c", "live.md": "user/tui/tui.c"}


def documented(page):
    """The keys of a page's table, as tmux calls them."""
    table = re.search(r"\| key \| .*\n\| --- .*\n((?:\|.*\n)+)", (ROOT / "docs" / page).read_text())[1]
    keys = []
    for row in table.splitlines():
        cell, text = re.match(r"\| (.*?) \| (.*) \|$", row).groups()
        if "–" in cell:  # `1`–`4`
            cell = re.sub(r"`(\d)`–`(\d)`", lambda m: " ".join(map(str, range(int(m[1]), int(m[2]) + 1))), cell)
        for word in re.split(r"[,;]? +|, |; ", cell):
            keys += NAMES.get(word.strip("`"), word.strip("`")).split()
        keys += re.search(r"`([A-Z](?: [A-Z])+)`", text)[1].split() if re.search(r"`[A-Z](?: [A-Z])+`", text) else []
        keys += ["I"] if "`I`" in text else []
    return keys


@pytest.mark.parametrize("page", VIEWS)
def test_every_key_is_documented(page):
    known = set(documented(page))
    text = "\n".join((ROOT / s).read_text() for s in [VIEWS[page], *SHARED])
    letters = set(re.findall(r"(?:case|key ==|\{) ?'(\\?[^'])'", text)) | \
        {c for a, b in re.findall(r"case '(.)' \.\.\. '(.)'", text) for c in map(chr, range(ord(a), ord(b) + 1))}
    letters = {{"\\n": "Enter", "\\r": "Enter", "\\t": "Tab", "\\\\": "\\", " ": "Space"}.get(c, c) for c in letters}
    functions = {f"F{n}" for n in re.findall(r"KEY_F\((\d+)\)", text)}
    assert len(letters) > 10 and len(functions) >= 5
    assert letters | functions - known <= known | {"y", "Y", "n"}, (letters | functions) - known


class Frames:
    """A view in a terminal, whose frames are looked at."""

    def __init__(self, term, cols, rows, home):
        self.term, self.cols, self.rows, self.home = term, cols, rows, home

    def shape(self, kind):
        """Does the screen have that shape? The screen, or None."""
        screen = self.term.screen()
        lines = screen.split("\n")[:-1]
        assert len(lines) == self.rows and all(len(x) <= self.cols for x in lines), screen
        return screen if kind(lines) else None

    def press(self, key, kind, pattern):
        self.term.keys(key)

        def there():
            screen = self.shape(kind)
            return screen and re.search(pattern, screen)
        try:
            wait_for(there)
        except pytest.fail.Exception:
            pytest.fail(f"after {key!r} no {kind.__name__} with {pattern!r}:\n{self.term.screen()}")

    def back(self, *keys):
        for key in keys:
            self.term.keys(key)
        try:
            wait_for(lambda: self.shape(self.home))
        except pytest.fail.Exception:
            pytest.fail(f"{keys} do not lead back to the table:\n{self.term.screen()}")


# --- what a frame looks like ---

def help_page(lines):
    return re.match(r"h back  q (end|leave)", lines[-1]) and re.match(r"(Enter|Tab)  +\w", lines[0])


def question(lines):
    return re.match(rf"(Search|Filter|.*value of \d+ \(.*\), now {NICE}): ?", lines[-1])


def table(lines):
    """Of top: two lines of the machine, state, heading, processes, keys."""
    rows = [x for x in lines[4:-1] if x]
    return lines[0].startswith("Mem: ") and lines[1].startswith("Pressure: ") and lines[2].startswith("by ") and \
        re.match(r" +PID .*COMMAND$", lines[3]) and re.match(r"q quit  h help", lines[-1]) and \
        all(re.match(r" *\d+ ", x) for x in rows)


def menu(lines):
    """Over the table, which keeps its place."""
    return table(lines[:2] + ["by "] + [" PID COMMAND"] + [""] * (len(lines) - 5) + lines[-1:]) and \
        re.match(r" (Sort by|Send a signal)", lines[2]) and any(x.startswith(">") for x in lines)


def told(lines):
    """The table, its last line a message."""
    return table(lines[:-1] + ["q quit  h help"])


def header(lines):
    return re.search(r"PID \d+ .*watched", lines[0]) and \
        [x.split()[0] for x in lines[1:5]] == ["RSS", "VIRT", "in", "allocating"]


def live(lines):
    return header(lines) and re.match(r" (stacks|functions) of \w+( by | \| )", lines[5]) and \
        re.match(r" +flat ", lines[6]) and re.match(r"q quit ", lines[-1])


def live_menu(lines):
    return header(lines) and re.match(r" (Sort by|Send a signal)", lines[5]) and any(x.startswith(">") for x in lines)


def live_told(lines):
    return live(lines[:-1] + ["q quit "])


def ledger(lines):
    return header(lines) and lines[5].startswith(" ledger") and "of RSS" in lines[6]


TOP = {
    "Enter": (live, "watched", "q"), "l": (ledger, "ledger as of", "q"),
    "o": (menu, ">rss", "Escape"), "F6": (menu, ">rss", "Escape"),
    **{k: (table, f"by {name}", "M") for k, name in zip("MVAFHSGPONUC", (
        "rss", "virt", "anon", "file", "shmem", "swap", "growth", "peak", "oom", "pid", "user", "command"))},
    "I": (table, "lowest", "I"),
    "\\": (question, "Filter: ", "Escape"), "F4": (question, "Filter: ", "Escape"),
    "/": (question, "Search: ", "Escape"), "F3": (question, "Search: ", "Escape"),
    "Escape": (table, "by rss", ""), "b": (table, "by rss", ""),
    "t": (table, ", tree", "t"), "F5": (table, ", tree", "F5"),
    "c": (table, r"\n +\d+ .*/", "c"), "K": (table, "by rss", "K"),
    "p": (table, ", stopped", "p"), "Space": (table, ", stopped", "Space"), "Z": (table, ", stopped", "Z"),
    **{k: (table, "by rss", "") for k in ("Up", "Down", "Left", "Right", "j", "k", "PPage", "NPage", "Home", "End")},
    "X": (menu, ">SIGTERM", "Escape"), "F9": (menu, ">SIGTERM", "Escape"),
    "F7": (question, f"now {NICE}: {NICE - 1}", "Escape"), "F8": (question, f"now {NICE}: {NICE + 1}", "Escape"),
    "h": (help_page, "", "h"), "?": (help_page, "", "?"), "F1": (help_page, "", "F1"),
}
LIVE = {
    "Tab": (live, "of alloc_objects", "4"),
    **{str(i + 1): (live, f"of {t}", "4") for i, t in enumerate(
        ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space"))},
    "f": (live, "functions of", "f"), "o": (live_menu, ">flat", "Escape"), "F6": (live_menu, ">flat", "Escape"),
    "I": (live, "lowest", "I"), "Enter": (header, r"\n +0  block", "b"),
    "Escape": (live, "stacks of", ""), "b": (live, "stacks of", ""),
    "\\": (question, "Filter: ", "Escape"), "F4": (question, "Filter: ", "Escape"),
    "/": (question, "Search: ", "Escape"), "F3": (question, "Search: ", "Escape"),
    "a": (live, "by flat, m", "a"), "p": (live, r"PAUSED", "p"), "Space": (live, "PAUSED", "Space"),
    "i": (header, "Sizes of", "b"), "m": (live_told, "marked; d shows", "b"),
    "d": (live, "since mark", "d"), "n": (live, "stacks of", ""), "l": (ledger, "ledger as of", "l"),
    "s": (live_told, r"wrote memwatch-\d+", "b"),
    **{k: (live, "stacks of", "") for k in ("Up", "Down", "Left", "Right", "j", "k", "PPage", "NPage", "Home", "End")},
    "X": (live_menu, ">SIGTERM", "Escape"), "F9": (live_menu, ">SIGTERM", "Escape"),
    "F7": (question, f"now {NICE}: {NICE - 1}", "Escape"), "F8": (question, f"now {NICE}: {NICE + 1}", "Escape"),
    "h": (help_page, "", "h"), "?": (help_page, "", "?"), "F1": (help_page, "", "F1"),
}
LEAVE = ["q", "F10", "Ctrl-C"]


def tour(frames, keys, expected, leave):
    assert set(keys) - set(LEAVE) == set(expected), set(keys) ^ set(expected)
    frames.back()
    for key in keys:
        if key in LEAVE:
            continue
        kind, pattern, undo = expected[key]
        frames.press(key, kind, pattern)
        frames.back(*undo.split())
    frames.term.keys(leave)
    frames.term.expect("STATUS 0\nicanon")


@pytest.mark.parametrize("cols,rows", SIZES)
def test_top(target, terminal, cols, rows):
    t = target([build("shapes.c", flags=["-O1"]), "20", "100000"])
    t.expect("ready")
    # (a process that goes into its profile leaves by b: q would end it all)
    expected = {**TOP, "Enter": (*TOP["Enter"][:2], "b"), "l": (*TOP["l"][:2], "b b")}
    term = terminal(f"{BIN} top -i 0.2s --allow-signals -p {t.pid} --no-bpf", cols=cols, rows=rows)
    t.say("go")
    tour(Frames(term, cols, rows, table), documented("top.md"), expected, "F10")


@pytest.mark.parametrize("cols,rows", SIZES)
def test_live(target, terminal, tmp_path, cols, rows):
    t = target([build("shapes.c", flags=["-O1"]), "20", "100000"])
    t.expect("ready")
    term = terminal(f"{BIN} -p {t.pid} --exact -i 0.2s --allow-signals", cols=cols, rows=rows, cwd=tmp_path)
    t.say("go")
    term.expect("block < ")
    tour(Frames(term, cols, rows, live), documented("live.md"), LIVE, "q")
