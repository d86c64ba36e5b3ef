# SPDX-License-Identifier: GPL-2.0-or-later
# The end-to-end tests on other kernels, emulated. KERNELS="5.10 6.12" picks.
.PHONY: check-kernels
check-kernels: all
	@tools/vm/run.sh $(KERNELS)
