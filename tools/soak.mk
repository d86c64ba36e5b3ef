# A life of months in minutes; prints what memwatch holds. SOAK=all: of all processes of the machine.
.PHONY: soak
soak:
	@$(MAKE) --no-print-directory all $(B)/tests/soak
	@$(B)/tests/soak 10000 200 1000 $(SOAK)
