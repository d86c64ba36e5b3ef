# make install / make uninstall; PREFIX (default /usr/local) and DESTDIR as everywhere.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/memwatch
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
LOGROTATEDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)/logrotate.d

install: $(BIN)
	$(Q)install -D -m 755 $(BIN) $(DESTDIR)$(BINDIR)/memwatch
	$(Q)install -D -m 644 docs/memwatch.1 $(DESTDIR)$(MANDIR)/man1/memwatch.1
	$(Q)install -D -m 644 tools/completion/memwatch.bash $(DESTDIR)$(BASHCOMPDIR)/memwatch
	$(Q)install -D -m 644 tools/completion/_memwatch $(DESTDIR)$(ZSHCOMPDIR)/_memwatch
	$(Q)install -D -m 644 tools/completion/memwatch.fish $(DESTDIR)$(FISHCOMPDIR)/memwatch.fish
	$(Q)mkdir -p $(DESTDIR)$(UNITDIR)
	$(Q)for u in memwatch-oom.service memwatch-daemon.service; do \
		sed 's|/usr/local/bin|$(BINDIR)|' tools/systemd/$$u > $(DESTDIR)$(UNITDIR)/$$u; done
	$(Q)for l in memwatch-oom memwatch-daemon; do \
		install -D -m 644 tools/systemd/$$l.logrotate $(DESTDIR)$(LOGROTATEDIR)/$$l; done
	$(Q)for f in README.md LICENSE docs/*.md; do \
		[ ! -e $$f ] || install -D -m 644 $$f $(DESTDIR)$(DOCDIR)/$$(basename $$f); done

uninstall:
	$(Q)rm -f $(DESTDIR)$(BINDIR)/memwatch $(DESTDIR)$(MANDIR)/man1/memwatch.1 \
		$(DESTDIR)$(BASHCOMPDIR)/memwatch $(DESTDIR)$(ZSHCOMPDIR)/_memwatch \
		$(DESTDIR)$(FISHCOMPDIR)/memwatch.fish \
		$(DESTDIR)$(UNITDIR)/memwatch-oom.service \
		$(DESTDIR)$(UNITDIR)/memwatch-daemon.service $(DESTDIR)$(LOGROTATEDIR)/memwatch-oom \
		$(DESTDIR)$(LOGROTATEDIR)/memwatch-daemon
	$(Q)rm -rf $(DESTDIR)$(DOCDIR)
