# SPDX-License-Identifier: GPL-2.0-or-later
"""unwind.py: an interpreter's deep stacks: callbacks from C (sorting, regular expressions, JSON)."""
import json
import re
import sys

print("ready", flush=True)
sys.stdin.readline()
for _ in range(6):
    d = {str(k): [k] * 20 for k in range(2000)}
    s = json.dumps(d)
    e = json.loads(s)
    sorted(e.items(), key=lambda kv: -len(kv[0]))
    re.sub(r"(\d+)", lambda m: m.group(1) + "x", s)
print("done", flush=True)
sys.stdin.readline()
