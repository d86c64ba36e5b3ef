# The tests of the heap walk with the C libraries of other Debian suites, fetched as package files
# (opt-in).
.PHONY: check-glibc
check-glibc:
	@$(MAKE) --no-print-directory all
	@tools/fetch-glibc.sh
	@tools/check-glibc.sh
