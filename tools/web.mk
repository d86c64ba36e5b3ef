# SPDX-License-Identifier: GPL-2.0-or-later
# The pages: files of tools/web/static as they are, and scripts and styles bundled with npm
# packages at build time, all embedded in the binary. Without npm (or with WEB=0) the bundles are
# left out, and with them the interactive pages.
WEB ?= $(if $(shell command -v npm 2>/dev/null),$(if $(shell command -v node 2>/dev/null),1,0),0)
WEB_STATIC := $(sort $(filter-out %~,$(wildcard tools/web/static/*)))
WEB_BUNDLE := $(if $(filter 1,$(WEB)),$(addprefix $(B)/gen/web/,$(shell sed -n 's/^const files = //p' tools/web/build.mjs | tr -d "[],;'")))
WEB_C := $(B)/gen/webfile_table.c
WEB_MODULES := tools/web/node_modules/.package-lock.json

LIB_OBJ += $(WEB_C:.c=.o)

# npm touches its own lock copy when it is done; --ignore-scripts: nothing of npm's runs here
$(WEB_MODULES): tools/web/package.json tools/web/package-lock.json
	$(call say,NPM,tools/web)
	$(Q)cd tools/web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

ifneq ($(WEB_BUNDLE),)
$(WEB_BUNDLE) &: $(wildcard tools/web/*.js tools/web/*.css tools/web/*.mjs) $(WEB_MODULES)
	$(call say,WEB,$(B)/gen/web)
	@mkdir -p $(B)/gen/web
	$(Q)node tools/web/build.mjs $(B)/gen/web
	@touch $(WEB_BUNDLE)
endif

# made anew when a file comes or goes
WEB_LIST := $(B)/gen/web/.list
ifneq ($(shell cat $(WEB_LIST) 2>/dev/null || echo none),$(strip $(WEB_STATIC) $(WEB_BUNDLE)))
$(shell mkdir -p $(B)/gen/web && echo '$(strip $(WEB_STATIC) $(WEB_BUNDLE))' >$(WEB_LIST))
endif

$(WEB_C): tools/web/embed.sh $(WEB_LIST) $(WEB_STATIC) $(WEB_BUNDLE)
	$(call say,EMBED,$@)
	$(if $(WEB_BUNDLE),,@echo '  without npm: this build has no interactive pages')
	$(Q)tools/web/embed.sh $(WEB_STATIC) $(WEB_BUNDLE) > $@

$(WEB_C:.c=.o): $(WEB_C)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fno-lto -MMD -MP -c -o $@ $<
