# SPDX-License-Identifier: GPL-2.0-or-later
# The interactive pages: npm packages bundled at build time and embedded in the binary.
WEB_H := $(B)/gen/web_bundle.h
WEB_MODULES := tools/web/node_modules/.package-lock.json

# npm touches its own lock copy when it is done; --ignore-scripts: nothing of npm's runs here
$(WEB_MODULES): tools/web/package.json tools/web/package-lock.json
	$(call say,NPM,tools/web)
	$(Q)cd tools/web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

$(WEB_H): $(wildcard tools/web/*.js tools/web/*.css tools/web/*.mjs) $(WEB_MODULES)
	$(call say,WEB,$@)
	@mkdir -p $(@D)
	$(Q)node tools/web/build.mjs $@

gen: $(WEB_H)
