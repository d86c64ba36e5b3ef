# A life of months in minutes; prints what memwatch holds. SOAK=-a: of all processes of the machine.
# What an hour (SOAK_MINUTES) is too short for is left out, and said.
SOAK_MINUTES ?= 60
.PHONY: soak soak-fast
soak:
	@$(MAKE) --no-print-directory all $(B)/tests/soak
	@$(B)/tests/soak -m $(SOAK_MINUTES) $(SOAK) 10000 200 1000 2000

# A thousand times --fast into programs under load and out again, and the writer killed at each step.
soak-fast:
	@$(MAKE) --no-print-directory all
	@FAST_ATTACHES=1000 FAST_CYCLES=1000 FAST_KILLS=1000 tests/run.sh e2e \
		tests/e2e/test_fast_cycles.py tests/e2e/test_fast.py tests/e2e/test_fast_kills.py \
		-k "cycles or killed"
