/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/shortname.h"

static void shortens(void **state)
{
	static const char *const cases[][2] = {
		{"main", "main"},
		{"std::vector<int, std::allocator<int> >::push_back(int const&)",
		 "std::vector<>::push_back"},
		{"operator new(unsigned long)", "operator new"},
		{"std::ostream& operator<< <char>(std::ostream&, char const*)",
		 "std::ostream& operator<< <>"},
		{"Foo::operator()(int) const", "Foo::operator() const"},
		{"(anonymous namespace)::f(int)", "(anonymous namespace)::f"},
		{"a::(anonymous namespace)::f(int)", "a::(anonymous namespace)::f"},
		{"<alloc::vec::Vec<T> as core::ops::Drop>::drop",
		 "<alloc::vec::Vec<> as core::ops::Drop>::drop"},
		{"f<(x)", "f<"},
		{"net.(*TCPListener).accept", "net.(*TCPListener).accept"},
		{"example.com/a/b.(*T[...]).Do.func1.2", "example.com/a/b.(*T[...]).Do.func1.2"},
		{"libc.so.6+0x12", "libc.so.6+0x12"},
		{"", ""},
		{"(((((", "((((("},
		{"a<b<c<", "a<b<c<"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[256];

		strcpy(buf, cases[i][0]);
		shortname(buf);
		assert_string_equal(buf, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(shortens)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
