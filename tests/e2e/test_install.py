# SPDX-License-Identifier: GPL-2.0-or-later
"""make install and uninstall, the manual page, completion."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import BIN, ROOT


def make(tmp_path, goal):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["make", "-s", goal, f"DESTDIR={tmp_path}/dest", "PREFIX=/usr"], cwd=ROOT,
                   check=True, timeout=120, env=env)


def test_install_and_uninstall(tmp_path):
    make(tmp_path, "install")
    usr = tmp_path / "dest/usr"
    p = subprocess.run([usr / "bin/memwatch", "--version"], capture_output=True, text=True)
    assert p.returncode == 0 and p.stdout.startswith("memwatch ")
    for f in ("share/man/man1/memwatch.1", "share/bash-completion/completions/memwatch",
              "share/zsh/site-functions/_memwatch"):
        assert (usr / f).stat().st_mode & 0o777 == 0o644
    make(tmp_path, "install")
    make(tmp_path, "uninstall")
    left = [f for _, _, files in os.walk(tmp_path / "dest") for f in files]
    assert left == []


def complete(*words):
    """What bash offers for the last word."""
    script = (f"source {ROOT}/tools/completion/memwatch.bash; PATH={BIN.parent}:$PATH; "
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _memwatch; printf "%s\\n" "${COMPREPLY[@]}"')
    p = subprocess.run(["bash", "-c", script, "bash", "memwatch", *words], capture_output=True,
                       text=True, timeout=20, check=True)
    return set(p.stdout.split())


def test_bash_completion():
    assert {"run", "features"} <= complete("")
    assert complete("fea") == {"features"}
    assert {"--exact", "--sample-bytes", "--output"} <= complete("-p", "1", "--")
    assert "--exact" in complete("run", "--e")
    assert complete("-p", "1", "--sample-index", "alloc") == {"alloc_space", "alloc_objects"}
    assert str(os.getpid()) in complete("-p", "")


COMMANDS = ("run", "top", "oom", "report", "go", "features", "detach")


def options_of(command):
    """Every long option that --help of a command names as one."""
    p = subprocess.run([BIN, command, "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"^ {2,6}(?:-\S, )?(--[a-z][a-z-]*)", p.stdout, re.M))


def test_zsh_completion():
    """What the script hands to zsh's own _arguments, for every command."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not here")
    script = ('_arguments() { print -rl -- "$@" }; _describe() { print -rl -- "${(@P)2}" }; '
              f'PATH={BIN.parent}:$PATH; words=("$@"); CURRENT=$#; source {ROOT}/tools/completion/_memwatch')

    def offered(*words):
        p = subprocess.run(["zsh", "-fc", script, "zsh", "memwatch", *words], capture_output=True,
                           text=True, timeout=20, check=True)
        assert p.stderr == ""
        return p.stdout

    assert {line.split(":")[0] for line in offered("").split("\n") if line} == set(COMMANDS)
    for command in (*COMMANDS, "-p"):
        specs = offered(command, "-")
        found = set(re.findall(r"^\*(--[a-z-]+)(?:=-?)?\[[^]]+\]", specs, re.M))
        assert found == options_of(command), command
    assert "*--output=[" in specs and ":FILE:_files" in specs


def test_manual_page_has_every_option():
    text = (ROOT / "docs/memwatch.1").read_text()
    named = {"-" + n for n in re.findall(r"Fl (-[a-z][a-z-]+)", text)}
    for command in (*COMMANDS, "-p"):
        assert options_of(command) - named - {"--usage"} == set(), command
