# Installation, and the Debian package.

# The folders of `make install`, below DESTDIR if given.
PREFIX  ?= /usr/local
CONFDIR ?= /etc/ragnarok
UNITDIR ?= $(PREFIX)/lib/systemd/system
USERDIR ?= $(PREFIX)/lib/sysusers.d
PROGRAMS := ragnarok ragchat
UNITS_SD := ragnarok.service ragnarok.socket
BASHDIR := $(PREFIX)/share/bash-completion/completions
ZSHDIR  := $(PREFIX)/share/zsh/site-functions
FISHDIR := $(PREFIX)/share/fish/vendor_completions.d

.PHONY: install-completions uninstall-completions

# Existing settings are kept. The files of the first start go where the unit may write.
install: $(SERVER) $(TALKER) install-completions
	$(Q)install -d $(addprefix $(DESTDIR),$(PREFIX)/bin $(PREFIX)/share/man/man1 $(PREFIX)/share/man/man5 \
		$(UNITDIR) $(USERDIR) $(CONFDIR))
	$(Q)install -m 0755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	$(Q)install -m 0644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 0644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	$(Q)install -m 0644 $(UNITS_SD:%=contrib/systemd/%) $(DESTDIR)$(UNITDIR)
	$(Q)sed -i 's|/usr/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(UNITDIR)/ragnarok.service
	$(Q)install -m 0644 contrib/systemd/ragnarok.sysusers $(DESTDIR)$(USERDIR)/ragnarok.conf
	$(Q)[ -e $(DESTDIR)$(CONFDIR)/config.json ] || { \
		install -m 0640 config.json $(DESTDIR)$(CONFDIR)/config.json; \
		sed -i 's|"self-signed|"/var/lib/ragnarok/self-signed|' $(DESTDIR)$(CONFDIR)/config.json; }

install-completions:
	$(Q)install -d $(addprefix $(DESTDIR),$(BASHDIR) $(ZSHDIR) $(FISHDIR))
	$(Q)for program in $(PROGRAMS); do \
		install -m 0644 contrib/completions/$$program.bash $(DESTDIR)$(BASHDIR)/$$program || exit 1; done
	$(Q)install -m 0644 $(PROGRAMS:%=contrib/completions/_%) $(DESTDIR)$(ZSHDIR)
	$(Q)install -m 0644 $(PROGRAMS:%=contrib/completions/%.fish) $(DESTDIR)$(FISHDIR)

uninstall-completions:
	$(Q)rm -f $(PROGRAMS:%=$(DESTDIR)$(BASHDIR)/%) $(PROGRAMS:%=$(DESTDIR)$(ZSHDIR)/_%) \
		$(PROGRAMS:%=$(DESTDIR)$(FISHDIR)/%.fish)

uninstall: uninstall-completions
	$(Q)rm -f $(PROGRAMS:%=$(DESTDIR)$(PREFIX)/bin/%) $(UNITS_SD:%=$(DESTDIR)$(UNITDIR)/%) \
		$(DESTDIR)$(USERDIR)/ragnarok.conf $(patsubst man/%,$(DESTDIR)$(PREFIX)/share/man/man1/%,$(wildcard man/*.1)) \
		$(patsubst man/%,$(DESTDIR)$(PREFIX)/share/man/man5/%,$(wildcard man/*.5))

# Built from a copy of the sources, so that no keys or certificates get into the package.
deb:
	$(Q)tools/deps package
	$(Q)tools/deb
