# SPDX-License-Identifier: GPL-2.0-or-later
"""Causes of loss that take processes to be reached; the others are in tests/unit/test_loss.c."""
import re
import subprocess

from conftest import load_json

CHILDREN = 60


def told(cause, err):
    m = re.search(re.escape(cause) + r": (\d+)", err)
    return int(m.group(1)) if m else 0


def test_children_that_are_gone_are_counted(target, attach, tmp_path):
    """Of a process that is attached to; the children of `run` are held until they are followed."""
    out = tmp_path / "p.json"
    t = target(["sh", "-c", "echo ready; read go; i=0; "
                f"while [ $i -lt {CHILDREN} ]; do (:); i=$((i+1)); done; echo done; read end"])
    t.expect("ready")
    a = attach("-p", t.pid, "--follow", "--plain", "-i", "60", "-o", out)
    t.say()
    t.expect("done")
    status, _, err = a.finish()
    assert status == 0, err
    gone = told("children that ended before they could be followed", err)
    missed = told("children that could not be followed", err)
    followed = len(re.findall(r"attached to child \d+ of ", err))
    assert gone > 0 and gone + missed + followed == CHILDREN, err
    loss = load_json(out)["loss"]
    assert loss["children that ended before they could be followed"] == gone


def test_samples_of_processes_that_are_gone_are_counted(attach, tmp_path):
    out = tmp_path / "f.json"
    a = attach("top", "--faults=16", "--plain", "-i", "60", "-d", "60", "-o", out)
    subprocess.run(["sh", "-c", "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done"],
                   check=True, timeout=180)
    status, _, err = a.finish()
    assert status == 0
    gone = told("page-fault samples lost: the process was gone", err)
    assert gone > 0, err
    assert load_json(out)["loss"]["page-fault samples lost: the process was gone"] >= gone
