# SPDX-License-Identifier: GPL-2.0-or-later
# make help says what there is. V=1 shows commands; SAN=1 builds with ASan and UBSan into build-san/.
SAN ?=
O ?= build$(if $(SAN),-san)
CC ?= gcc
CLANG ?= clang-14
PREFIX ?= /usr
DESTDIR ?=
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2))

LIBS := $(shell pkg-config --libs libbpf liburing liblz4 openssl libxxhash sqlite3 jansson libseccomp blkid libnl-genl-3.0 2>/dev/null) -linih -lpthread
CHECK_LIBS = $(shell pkg-config --libs check)
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wformat=2 -Wno-format-nonliteral -Werror
CFLAGS ?= -O2 -g
comma := ,
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -fstack-protector-strong -Iinclude -Ilib -Ishipper -I/usr/include/libnl3 -I$(O)/bpf $(CFLAGS) \
	$(if $(SAN)$(FUZZ),-fsanitize=address$(comma)undefined$(if $(FUZZ),$(comma)fuzzer-no-link -Wno-missing-field-initializers) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_LDFLAGS := $(LDFLAGS) $(if $(SAN),-fsanitize=address$(comma)undefined)

lib_o := $(patsubst %.c,$(O)/%.o,$(wildcard lib/*.c))
bpf_o := $(patsubst %.c,$(O)/%.o,$(filter-out %.bpf.c,$(wildcard bpf/*.c)))
shipper_o := $(patsubst %.c,$(O)/%.o,$(filter-out shipper/main.c shipper/freezer.c,$(wildcard shipper/*.c)))
target_o := $(patsubst %.c,$(O)/%.o,$(filter-out target/main.c,$(wildcard target/*.c)))
cli_o := $(patsubst %.c,$(O)/%.o,$(filter-out cli/main.c,$(wildcard cli/*.c)))
programs := $(O)/tidemark $(O)/tidemark-shipper $(O)/tidemark-freezer $(O)/tidemark-target
units := $(patsubst tests/unit/%.c,$(O)/tests/%,$(wildcard tests/unit/test_*.c))
tools := $(patsubst tests/tools/%.c,$(O)/tests/%,$(wildcard tests/tools/*.c))
harnesses := $(patsubst tests/fuzz/%.c,%,$(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c)))
replays := $(harnesses:%=$(O)/tests/replay-%)
fuzzers := $(harnesses:%=$(O)/fuzz/%)

all: $(programs)
tests: $(units) $(tools) $(replays)
check: all tests ## unit tests: no root, no VM
	$(Q)scripts/run-units $(O)
# KVER: one of scripts/vm's, headers by scripts/kernel-headers; or KDIR; else the running kernel's. W=1, C=1 (sparse) as in the kernel.
KDIR ?= $(if $(KVER),$(or $(TIDEMARK_CACHE),/var/cache/tidemark)/headers-$(KVER)/kdir,/lib/modules/$(shell uname -r)/build)
kmod_release = $(shell sed -n 's/^\#define UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null)
kmod_dir = $(abspath $(O))/kmod/$(kmod_release)
kmod_sources = $(wildcard kmod/*.[ch] kmod/Kbuild kmod/dkms.conf kmod/probe include/tidemark_uapi.h bpf/commands.h)
kmod_version = $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kmod/dkms.conf)
kmod: ## the kernel module, in $(O)/kmod/RELEASE
	$(if $(kmod_release),,$(error no kernel headers in $(KDIR): scripts/kernel-headers KVER, Debian's linux-headers-amd64, or KDIR=))
	$(Q)mkdir -p $(kmod_dir) && ln -sfn $(abspath $(kmod_sources)) $(kmod_dir)/
	$(Q)$(MAKE) --no-print-directory -C $(KDIR) M=$(kmod_dir) O= CONFIG_DEBUG_INFO_BTF_MODULES= modules
fuzz: ## libFuzzer's programs, in build-fuzz/fuzz; scripts/fuzz runs them
	$(Q)$(MAKE) --no-print-directory O=build-fuzz CC=$(CLANG) FUZZ=1 fuzzers
fuzzers: $(fuzzers)
lint: ## format, static analysis, include rules
	$(Q)scripts/lint
help:
	@echo 'make [all|tests|check|kmod|fuzz|lint|install|clean] [V=1] [SAN=1] [KVER=|KDIR=] [DESTDIR=] [PREFIX=/usr]'

$(O)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(O)/bpf/%.bpf.o: bpf/%.bpf.c bpf/commands.h bpf/tidemark_bpf.h
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D) && $(CLANG) -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -Wall -Werror -Ibpf -I/usr/include/$(shell gcc -dumpmachine) -c -o $@ $<
$(O)/bpf/tidemark.skel.h: $(O)/bpf/tidemark.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(or $(shell command -v bpftool),/usr/sbin/bpftool) gen skeleton $< name tidemark_bpf > $@.new && mv $@.new $@
$(bpf_o): $(O)/bpf/tidemark.skel.h
$(O)/lib.a: $(lib_o)
$(O)/shipper.a: $(shipper_o) $(bpf_o)
$(O)/target.a: $(target_o)
$(O)/cli.a: $(cli_o)
$(O)/%.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
link = $(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)
$(O)/tidemark: $(O)/cli/main.o $(O)/cli.a $(O)/lib.a
	$(call say,LD,$@)
	$(link)
$(O)/tidemark-shipper: $(O)/shipper/main.o $(O)/shipper.a $(O)/lib.a
	$(call say,LD,$@)
	$(link)
# Freezes filesystems, so that it must not depend on anything that may block on one: a program of its own, small, and static
# where there is a static libc.
static := $(if $(filter /%,$(shell $(CC) -print-file-name=libc.a)),-static)
$(O)/tidemark-freezer: shipper/freezer.c shipper/freezer.h
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -Ishipper $(CFLAGS) $(LDFLAGS) $(static) -o $@ $<
$(O)/tidemark-target: $(O)/target/main.o $(O)/target.a $(O)/lib.a
	$(call say,LD,$@)
	$(link)
# A test says which side it tests by its first line: "links: shipper", "links: target", "links: cli"; else lib alone. "links: kmod":
# it takes a file of the module into itself, with as much of the kernel as that needs from tests/unit/kernel.
in_kernel = $(if $(shell sed -n '1,3{/links: kmod/p}' $(1)),-Itests/unit/kernel -Ikmod -Wno-sign-compare)
side = $(foreach s,shipper target cli,$(if $(shell sed -n '1,3{/links:.*$(s)/p}' $(1)),$(O)/$(s).a))
.SECONDEXPANSION:
$(units): $(O)/tests/%: tests/unit/%.c $$(call side,tests/unit/$$*.c) $(O)/lib.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) $(patsubst $(O)/%.a,-I%,$(filter %.a,$^)) -Ibpf $(call in_kernel,$<) $(ALL_LDFLAGS) -o $@ $(filter %.c %.a,$^) $(LIBS) $(CHECK_LIBS)
$(tools): $(O)/tests/%: tests/tools/%.c $$(call side,tests/tools/$$*.c) $(O)/lib.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itarget $(ALL_LDFLAGS) -o $@ $(filter %.c %.a,$^) $(LIBS)
# A harness says by "links:" what it is about; its replay runs the corpus in the check, without libFuzzer.
$(replays): $(O)/tests/replay-%: tests/fuzz/%.c tests/fuzz/replay.c $(wildcard tests/fuzz/*.h) $$(call side,tests/fuzz/$$*.c) $(O)/lib.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itarget $(ALL_LDFLAGS) -o $@ $(filter %.c %.a,$^) $(LIBS)
$(fuzzers): $(O)/fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h) $$(call side,tests/fuzz/$$*.c) $(O)/lib.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -Itarget -fsanitize=fuzzer -o $@ $(filter %.c %.a,$^) $(LIBS)

install: all kmod-install
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(O)/tidemark
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/sbin $(O)/tidemark-shipper $(O)/tidemark-target
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/libexec $(O)/tidemark-freezer
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system shipper/*.service target/*.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 docs/man/*.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 docs/man/*.5
kmod-install: ## the module's sources, for dkms
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/src/tidemark-$(kmod_version) $(filter-out %/probe,$(kmod_sources))
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/src/tidemark-$(kmod_version)/probe kmod/probe/*
clean:
	$(Q)rm -rf build build-san build-fuzz
.PHONY: all tests check kmod kmod-install fuzz fuzzers lint install clean help
-include $(shell find $(O) -name '*.d' 2>/dev/null)
