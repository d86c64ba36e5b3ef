# SPDX-License-Identifier: GPL-2.0-or-later
"""make install and uninstall, the demonstration, the manual page, completion."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import BIN, ROOT, wait_for
from test_pictures import small_profile


def make(tmp_path, goal):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["make", "-s", goal, f"DESTDIR={tmp_path}/dest", "PREFIX=/usr"], cwd=ROOT,
                   check=True, timeout=180, env=env)


def test_install_and_uninstall(tmp_path):
    make(tmp_path, "install")
    usr = tmp_path / "dest/usr"
    p = subprocess.run([usr / "bin/memwatch", "--version"], capture_output=True, text=True)
    assert p.returncode == 0 and p.stdout.startswith("memwatch ")
    for f in ("share/man/man1/memwatch.1", "share/bash-completion/completions/memwatch",
              "share/zsh/site-functions/_memwatch",
              "share/fish/vendor_completions.d/memwatch.fish"):
        assert (usr / f).stat().st_mode & 0o777 == 0o644
    make(tmp_path, "install")
    make(tmp_path, "uninstall")
    left = [f for _, _, files in os.walk(tmp_path / "dest") for f in files]
    assert left == []


def test_the_demonstration():
    """What 'make demo' runs after the build: it ends well, and every file it says to look at is there."""
    out = ROOT / "build/demo"
    shutil.rmtree(out, ignore_errors=True)
    p = subprocess.run([ROOT / "tools/demo.sh", "2"], capture_output=True, text=True, timeout=180)
    assert p.returncode == 0, p.stdout + p.stderr
    look = p.stdout.split("Look at next\n")[1]
    files = re.findall(r"^   build/demo/(\S+)", look, re.M)
    assert set(files) == {"leaky.html", "leaky.svg", "leaky.pb.gz", "leaky.folded", "timeline.svg"}
    assert all((out / f).stat().st_size for f in files)
    assert re.search(r"^3\. .*\n +0\.0s  RSS +[0-9.]+ MB  in use +[0-9.]+ MB  #+$", p.stdout, re.M), p.stdout
    assert "SessionTable::remember" in (out / "leaky.folded").read_text()


def complete(*words):
    """What bash offers for the last word."""
    script = (f"source {ROOT}/tools/completion/memwatch.bash; PATH={BIN.parent}:$PATH; "
              'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _memwatch; printf "%s\\n" "${COMPREPLY[@]}"')
    p = subprocess.run(["bash", "-c", script, "bash", "memwatch", *words], capture_output=True,
                       text=True, timeout=180, check=True)
    return set(p.stdout.split())


def test_bash_completion():
    assert {"run", "features"} <= complete("")
    assert complete("fea") == {"features"}
    assert {"--exact", "--sample-bytes", "--output"} <= complete("-p", "1", "--")
    assert "--exact" in complete("run", "--e")
    assert complete("-p", "1", "--sample-index", "alloc") == {"alloc_space", "alloc_objects"}
    assert str(os.getpid()) in complete("-p", "") and complete("-p", str(os.getpid())) >= {str(os.getpid())}
    assert complete("report", "--unit", "k") == {"kB"} and "kB" not in complete("--unit", "k")
    assert {"--unit", "--container"} <= complete("top", "--")


@pytest.mark.parametrize("option", ["-p", "--name"])
@pytest.mark.parametrize("name", ["$(>pwned)", "`>pwned`", "x;>pwned", "*", "a b'\"c\\"])
def test_names_of_processes_are_words_and_not_commands(name, option, tmp_path):
    """Whoever names a process runs nothing in the shell of who presses TAB, nor of who then presses
    return."""
    p = subprocess.Popen([name, "-c", 'printf "%s" "$1" >/proc/self/comm; read x', "x", name],
                         executable=shutil.which("bash"), stdin=subprocess.PIPE)
    script = (f"source {ROOT}/tools/completion/memwatch.bash; PATH={BIN.parent}:$PATH; "
              'COMP_WORDS=(memwatch "$1" ""); COMP_CWORD=2; _memwatch; printf "%s\\0" "${COMPREPLY[@]}"')
    try:
        wait_for(lambda: Path(f"/proc/{p.pid}/comm").read_text() == name + "\n")
        offered = subprocess.run(["bash", "-c", script, "bash", option], capture_output=True, text=True,
                                 timeout=180, check=True, cwd=tmp_path).stdout.split("\0")
        entered = [subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True,
                                  cwd=tmp_path).stdout for word in offered]
        assert name in entered
        if option == "-p":  # with its command, of which nothing is entered
            assert any(word.startswith(f"{p.pid}  # ") for word in offered) and str(p.pid) in entered
        assert not list(tmp_path.iterdir())
    finally:
        p.kill()
        p.wait()
        p.stdin.close()


COMMANDS = ("run", "top", "oom", "report", "go", "features", "detach", "daemon",
            "history")


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
                           text=True, timeout=180, check=True)
        assert p.stderr == ""
        return p.stdout

    assert {line.split(":")[0] for line in offered("").split("\n") if line} == set(COMMANDS)
    for command in (*COMMANDS, "-p"):
        specs = offered(command, "-")
        found = set(re.findall(r"^\*(--[a-z-]+)(?:=-?)?\[[^]]+\]", specs, re.M))
        assert found == options_of(command), command
    assert "*--output=[" in specs and ":FILE:_files" in specs


def fish(line):
    """What fish offers at the end of a line: {word: description}."""
    p = subprocess.run(["fish", "-c", f"set -p PATH {BIN.parent}; source {ROOT}/tools/completion/memwatch.fish; "
                        "complete -C $argv[1]", line], capture_output=True, text=True, timeout=180, check=True)
    assert p.stderr == ""
    return dict((line.split("\t") + [""])[:2] for line in p.stdout.splitlines())


def test_fish_completion():
    if not shutil.which("fish"):
        pytest.skip("fish is not here")
    assert set(fish("memwatch ")) == set(COMMANDS)
    for command in (*COMMANDS, "-p"):
        offered = fish(f"memwatch {command} --")
        assert {o for o in offered if o.startswith("--")} == options_of(command), command
    pids = fish("memwatch -p ")
    assert "python" in pids[str(os.getpid())]


def told(*args):
    """The names that a complaint lists."""
    err = subprocess.run([BIN, *args], capture_output=True, text=True).stderr
    return set(re.findall(r"\w+", re.search(r"(?:\(|one of )([\w, |]+)\)?", err.split("zzzzz")[-1])[1]))


@pytest.mark.parametrize("command,option", [
    (["top"], "--sort"), (["-p", "1"], "--sample-index"), (["run"], "--sample-index"),
    (["oom"], "--source"), (["go"], "--sample-index"), (["report"], "--sample-index"),
    (["report"], "--granularity"), (["report"], "--unit")])
def test_completion_offers_the_values_that_there_are(command, option, tmp_path):
    """In all shells the same, and what the option takes."""
    profile = tmp_path / "x.json"  # report takes the sample types of its file
    profile.write_text(json.dumps(small_profile()))
    want = told(*command, option, "zzzzz", *([profile] if command == ["report"] else []))
    assert len(want) >= 3 and complete(*command, option, "") == want
    if shutil.which("fish"):
        assert set(fish(f"memwatch {' '.join(command)} {option} ")) == want
    zsh = (ROOT / "tools/completion/_memwatch").read_text()
    rule = re.search(rf'"{option}"(?: && [^\n]*)?\)\s+act = "\(([\w ]+)\)"', zsh)
    assert set(rule[1].split()) == want


def test_manual_page_has_every_option():
    text = (ROOT / "docs/memwatch.1").read_text()
    named = {"-" + n for n in re.findall(r"Fl (-[a-z][a-z-]+)", text)}
    for command in (*COMMANDS, "-p"):
        assert options_of(command) - named - {"--usage"} == set(), command
