// SPDX-License-Identifier: GPL-2.0-or-later
// Inlined functions, templates, overloads, virtual calls and local functions, to be named.
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace shapes {
struct shape {
	virtual ~shape() {}
	virtual double area(int n) const = 0;
};
static inline double square(double x) { return x * x; }
static inline double scaled(double x, int n)
{
	double s = 0;
	for (int i = 0; i < n; i++)
		s += square(x) * i;
	return s;
}
struct circle : shape {
	double r;
	explicit circle(double radius) : r(radius) {}
	double area(int n) const override { return scaled(r, n) * 3.14; }
};
template <class T, int N> struct grid {
	std::map<std::string, T> cells;
	std::vector<T> order;
	__attribute__((noinline)) void put(const std::string &key, const T &value)
	{
		cells[key] = value;
		order.push_back(value);
		if (order.size() > N)
			std::sort(order.begin(), order.end());
	}
	T sum() const
	{
		T t = T();
		for (const auto &c : cells)
			t += c.second;
		return t;
	}
};
__attribute__((noinline)) int overloaded(int x) { return x + 1; }
__attribute__((noinline)) double overloaded(double x) { return scaled(x, 3); }
} // namespace shapes

extern "C" __attribute__((noinline)) int plain_c(int x) { return x * 7; }
extern "C" int __reserved_name(int x) __attribute__((alias("plain_c")));
extern "C" int weak_name(int x) __attribute__((weak, alias("plain_c")));

int main(int argc, char **)
{
	shapes::grid<int, 4> ints;
	shapes::grid<double, 2> doubles;
	shapes::circle c(argc);
	const shapes::shape *s = &c;

	for (int i = 0; i < 10 + argc; i++) {
		ints.put(std::to_string(i), shapes::overloaded(i) + plain_c(i));
		doubles.put(std::to_string(i * 2), shapes::overloaded(i * 0.5) + s->area(i));
	}
	std::printf("%d %f\n", ints.sum(), doubles.sum());
	return 0;
}
