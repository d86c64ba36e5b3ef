#!/bin/bash
# memwatch report --top against `go tool pprof -top`: same file, same output, run in turns.
# Prints: NAME  RATIO  (what vs what, n runs, median). Usage: tools/bench/report.sh [RUNS]
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-3}
bin=${MEMWATCH:-build/memwatch}
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
export TZ=UTC LC_ALL=C

/usr/bin/python3 - "$dir" <<'P'
import random, sys
from pathlib import Path
sys.path.insert(0, "tests/e2e")
from protogen import Profile

def write(path, samples, functions, depth, compress):
    rnd, p = random.Random(1), Profile()
    for t in ("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), \
            ("inuse_space", "bytes"):
        p.value_type(*t)
    p.value_type("space", "bytes", field=11)
    m = p.mapping(0x400000, 0x4000000, 0, "/bin/service", "abc")
    fs = [p.function(f"service/part{i % 97}.(*Type{i % 31}).Method{i}",
                     f"/src/service/file{i % 300}.go", 10) for i in range(functions)]
    n = functions * 3
    locs = [p.location(m, 0x400000 + 16 * i, [(fs[(i * 7) % functions], 7)] * (i % 5 == 0) +
                       [(fs[i % functions], 20 + i % 50)]) for i in range(n)]
    for _ in range(samples):
        x, stack = rnd.randrange(n), []
        for k in range(rnd.randrange(depth // 2, depth)):
            stack.append(locs[x])
            x = (x * 7 + 3 + (rnd.random() < .1)) % n if k > 3 else (x * 31 + rnd.randrange(5)) % n
        c, size = rnd.randrange(1, 100), rnd.choice([16, 64, 512, 4096])
        p.sample(stack, [2 * c, 2 * c * size, c, c * size], [("bytes", size, "bytes")])
    p.header(time=1700000000000000000, period=524288)
    p.write(Path(path), compress)

write(sys.argv[1] + "/samples.pb.gz", 100_000, 8000, 30, True)
write(sys.argv[1] + "/large.pb", 500_000, 20_000, 40, False)
P

now() { date +%s%N; }
# peak resident kB and elapsed ns of a command: "ns kB"
timed() {
	local out=$1 t0 t1 kb; shift
	t0=$(now)
	kb=$(/usr/bin/python3 -c 'import resource,subprocess,sys
with open(sys.argv[1],"w") as f: subprocess.run(sys.argv[2:],stdout=f,stderr=subprocess.DEVNULL,check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$out" "$@")
	t1=$(now)
	echo "$((t1 - t0)) $kb"
}
median() { sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

all=$runs
for f in samples.pb.gz large.pb; do
	runs=$all; [ $f = large.pb ] && runs=$(((all + 2) / 3)) # pprof takes a minute for this one
	: >"$dir/time"; : >"$dir/mem"
	for _ in $(seq "$runs"); do
		read -r a akb < <(timed "$dir/a" go tool pprof -top -symbolize=none "$dir/$f")
		read -r b bkb < <(timed "$dir/b" "$bin" report --top "$dir/$f")
		cmp -s "$dir/a" "$dir/b" || { echo "report: output differs from pprof's" >&2; exit 1; }
		awk -v a="$a" -v b="$b" 'BEGIN {printf "%.1f\n", a/b}' >>"$dir/time"
		awk -v a="$akb" -v b="$bkb" 'BEGIN {printf "%.1f\n", a/b}' >>"$dir/mem"
	done
	size=$(du -m --apparent-size "$dir/$f" | cut -f1)
	printf 'report_top_speed_%s  %sx  (go tool pprof -top time / memwatch report --top time, same output, %s MB, %s runs, median)\n' \
		"${f%%.*}" "$(median <"$dir/time")" "$size" "$runs"
	printf 'report_top_memory_%s  %sx  (go tool pprof peak memory / memwatch peak memory, %s runs, median)\n' \
		"${f%%.*}" "$(median <"$dir/mem")" "$runs"
done
