# The Go tests with the toolchains of other Debian suites, fetched as package files (opt-in).
.PHONY: check-go
check-go:
	@$(MAKE) --no-print-directory all
	@tools/fetch-go.sh
	@tools/check-go.sh
