# SPDX-License-Identifier: GPL-2.0-or-later
"""A real terminal (tmux) to run a program in, to type into and to look at."""
import re
import subprocess
import uuid

import pytest
from conftest import wait_for


class Terminal:
    def __init__(self, command, cols=80, rows=24, env=(), cwd=None):
        self.socket = f"memwatch-{uuid.uuid4().hex[:8]}"
        shell = " ".join(f"{k}={v}" for k, v in env)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(cols), "-y", str(rows),
                  f"stty -echo; env LANG=C.UTF-8 {shell} {command}; echo STATUS $?; stty -a | grep -o -- '-\\?icanon'; cat",
                  cwd=cwd)

    def tmux(self, *args, cwd=None):
        return subprocess.run(["tmux", "-L", self.socket, *args], capture_output=True, text=True,
                              check=True, cwd=cwd).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def painted(self):
        """The screen with its colours and the like."""
        return self.tmux("capture-pane", "-p", "-e")

    def colours(self):
        return re.findall(r"\x1b\[(?:[\d;]*;)?3[1-6]m", self.painted())

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def expect(self, pattern, timeout=180):
        got = {}

        def there():
            got["s"] = self.screen()
            return re.search(pattern, got["s"])
        try:
            return wait_for(there, timeout=timeout)
        except pytest.fail.Exception:
            pytest.fail(f"{pattern!r} is not on the screen:\n{got['s']}")

    def close(self):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)
