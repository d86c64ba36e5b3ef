#!/bin/bash
# Naming 30,000 distinct addresses (what 10,000 distinct stacks come to), against addr2line on the
# same addresses: a C++ program with debug information (functions, lines, inlined calls), and
# libLLVM by its symbol table. Usage: tools/bench/symbols.sh [RUNS]
# Prints: NAME  VALUE  (what vs what, n runs, median).
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-5}
make -s build/tests/symbolize
dir=build/bench-symbols; mkdir -p "$dir"

# Template-heavy units, each with instances of its own: about 30 MB of program. Built once.
if [ ! -x "$dir/cxx" ]; then
	for u in 1 2 3 4 5 6; do
		{
			printf '#include <%s>\n' algorithm functional map regex sstream string unordered_map vector
			cat <<-C
			namespace n$u {
			struct key { int a; bool operator<(const key &o) const { return a < o.a; } };
			template <int N> struct part {
				std::map<key, std::string> m;
				std::unordered_map<std::string, std::vector<key>> u;
				int run(int x) {
					m[key{x}] = std::to_string(x + N);
					u[m[key{x}]].push_back(key{N});
					std::vector<std::string> v;
					for (auto &p : m) v.push_back(p.second);
					std::sort(v.begin(), v.end(), [](auto &a, auto &b) { return a > b; });
					std::function<int(int)> f = [&](int q) { return q + (int)v.size(); };
					return f(N);
				}
			};
			int go(int x) {
				C
			for k in $(seq 12); do echo "x += part<$k>().run(x);"; done
			echo "return x + std::regex_match(\"abc\", std::regex(\"a.c$u\")); } }"
		} >"$dir/u$u.cc"
	done
	{ for u in 1 2 3 4 5 6; do echo "namespace n$u { int go(int); }"; done
	  echo 'int main(int c, char **) { int x = c;'
	  for u in 1 2 3 4 5 6; do echo "x += n$u::go(x);"; done; echo 'return x == 0; }'; } >"$dir/main.cc"
	printf '%s\n' "$dir"/*.cc | xargs -P 2 -I{} g++ -O2 -g -c -o {}.o {}
	g++ -o "$dir/cxx" "$dir"/*.o
fi

addresses() { # FILE NM-OPTIONS: 30,000 distinct addresses inside its functions
	nm -S --defined-only $2 "$1" | /usr/bin/python3 -c '
import random, sys
rnd, f = random.Random(1), [l.split() for l in sys.stdin]
f = [(int(x[0], 16), int(x[1], 16)) for x in f if len(x) == 4 and x[2] in "tTwW" and int(x[1], 16)]
found = set()
while len(found) < 30000:
    a, size = rnd.choices(f, [s for _, s in f], k=1)[0] if len(f) < 1000 else rnd.choice(f)
    found.add(a + rnd.randrange(size))
print("\n".join("%x" % a for a in found))'
}

seconds() { # COMMAND…: the median of its wall times, in seconds
	local t0 t1 i
	for ((i = 0; i < runs; i++)); do
		t0=$(date +%s%N); "$@" >/dev/null; t1=$(date +%s%N)
		echo $(((t1 - t0) / 1000000))
	done | sort -n | awk '{v[NR] = $1} END {printf "%.3f", v[int((NR + 1) / 2)] / 1000}'
}

ours() { build/tests/symbolize "$1" <"$2"; }
theirs() { addr2line -i -f -C -e "$1" <"$2"; }

compare() { # NAME FILE NM-OPTIONS
	local a b list="$dir/$1.addrs"
	[ -s "$list" ] || addresses "$2" "$3" >"$list"
	a=$(seconds ours "$2" "$list"); b=$(seconds theirs "$2" "$list")
	awk -v n="$1" -v a="$a" -v b="$b" -v r="$runs" 'BEGIN {
		printf "symbols-%s  %.2f  (memwatch %.2f s vs addr2line %.2f s, 30000 addresses, %d runs, median)\n", n, a / b, a, b, r
		printf "symbols-%s-goal  %.2f  (memwatch %.2f s vs the goal of 2 s, %d runs, median)\n", n, a / 2, a, r }'
}

compare cxx-debug "$dir/cxx" ""
llvm=$(ls /usr/lib/*/libLLVM-*.so.1 2>/dev/null | head -1 || true)
[ -z "$llvm" ] || compare libllvm "$llvm" -D
