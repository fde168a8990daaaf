# What is compiled for Cathode: the runtime, libc, the servers and every program.
#
#   build/user/runtime.a       the native library: no libc, for bootstrap and servers
#   build/sysroot              musl with user/posix below it: headers, libc.a, crt1.o, rcrt1.o
#   build/sdk/bin/cathode-cc   the compiler that uses it
#   build/user/bin/NAME        one program for each user/bin/NAME.c and user/tests/NAME.c, and for
#   each
#                              directory user/servers/NAME, user/init and user/sh with all its files
#
# A libc program's sources may include "abi/abi.h" and "runtime/syscall.h".

U := $(B)/user
SYSROOT := $(B)/sysroot
MUSL := $(B)/musl/tree
SDK_CC := $(B)/sdk/bin/cathode-cc

USER_INCLUDE := -Iuser -Ikernel
USER_CFLAGS := $(STD) -O2 -g $(WARNINGS) $(USER_INCLUDE) -fPIE -ffreestanding -fno-stack-protector \
  -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns
# Below libc: musl's public headers, and nothing of the host's.
# No red zone: posix_retry3() pushes an address behind the compiler's back.
POSIX_CFLAGS = $(filter-out -ffreestanding,$(USER_CFLAGS)) -D_GNU_SOURCE -mno-red-zone \
  -nostdinc -isystem $(MUSL_INCLUDE) \
  -isystem $(shell $(CC) -print-file-name=include) -I$(MUSL)/src/process -fno-builtin
MUSL_INCLUDE := $(SYSROOT)/include

# ---- the runtime
# ----------------------------------------------------------------------------------

RUNTIME_SRC := $(filter-out %_test.c,$(wildcard user/runtime/*.c))
RUNTIME_OBJ := $(RUNTIME_SRC:user/%.c=$(U)/obj/%.o) $(U)/obj/runtime/entry.o
# Programs without libc also need these; state-free, shared with the kernel.
RUNTIME_LIB := $(U)/obj/lib/string.o $(U)/obj/lib/fmt.o

$(U)/obj/runtime/%.o: user/runtime/%.c
	@mkdir -p $(@D)
	$(call run,CC,$<)$(CC) $(USER_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(U)/obj/runtime/%.o: user/runtime/%.asm
	@mkdir -p $(@D)
	$(call run,NASM,$<)$(NASM) -f elf64 -Werror -o $@ $<

$(U)/obj/lib/%.o: kernel/lib/%.c
	@mkdir -p $(@D)
	$(call run,CC,$<)$(CC) $(USER_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(U)/runtime.a: $(RUNTIME_OBJ) $(RUNTIME_LIB)
	@rm -f $@
	$(call run,AR,$@)$(AR) rcs $@ $^

# ---- musl
# -----------------------------------------------------------------------------------------

$(SYSROOT)/.musl: $(B)/musl/src/.stamp user/posix/calls.def user/posix/calls.h user/posix/point.h \
  $(shell find user/posix/musl -type f)
	$(call run,MUSL,$(SYSROOT)/musl.a)CC=$(CC) MAKE='$(MAKE)' user/posix/musl/build.sh $(B)/musl/src \
	  $(MUSL) $(SYSROOT) && touch $@

# ---- libc
# -----------------------------------------------------------------------------------------
# Everything of ours becomes one object, in which only the names that musl uses are left global: a
# program may call its own functions what it likes.

POSIX_SRC := $(filter-out %_test.c,$(wildcard user/posix/*.c))
POSIX_OBJ := $(POSIX_SRC:user/%.c=$(U)/obj/%.o) \
  $(patsubst user/%.S,$(U)/obj/%.o,$(wildcard user/posix/*.S))
LIBC_RUNTIME := $(U)/obj/lib/fmt.o \
  $(filter-out $(U)/obj/runtime/server% $(U)/obj/runtime/start%,$(RUNTIME_OBJ))
LIBC_NAMES := __cathode_* __clone __unmapself __set_thread_area __syscall_cp_asm __cp_begin \
  __cp_end __cp_cancel __restore __restore_rt posix_spawn vfork

$(U)/obj/posix/%.o: user/posix/%.c | $(SYSROOT)/.musl
	@mkdir -p $(@D)
	$(call run,CC,$<)$(CC) $(POSIX_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(U)/obj/posix/%.o: user/posix/%.S
	@mkdir -p $(@D)
	$(call run,AS,$<)$(CC) $(USER_INCLUDE) $(DEPFLAGS) -c -o $@ $<

$(U)/obj/cathode.o: $(POSIX_OBJ) $(LIBC_RUNTIME)
	$(call run,LD,$@)$(LD) -r -o $@.tmp $^ && objcopy --wildcard \
	  $(foreach name,$(LIBC_NAMES),--keep-global-symbol='$(name)') $@.tmp $@ && rm $@.tmp

# Put in place whole: whoever links meanwhile has the old one.
$(SYSROOT)/.stamp: $(SYSROOT)/.musl $(U)/obj/cathode.o user/posix/state.ld $(wildcard kernel/abi/*)
	$(call run,AR,$(SYSROOT)/lib/libc.a)cp user/posix/state.ld $(SYSROOT)/lib/ && \
	  cd $(SYSROOT) && cp musl.a libc.new.a && \
	  $(AR) rs libc.new.a $(CURDIR)/$(U)/obj/cathode.o 2>/dev/null && mv libc.new.a lib/libc.a && \
	  for name in m rt pthread dl util crypt; do $(AR) rc lib/lib$$name.a; done && \
	  mkdir -p include/cathode && cp -R $(CURDIR)/kernel/abi include/cathode/ && touch .stamp

$(B)/sdk/bin/cathode.specs: tools/cathode.specs
	@mkdir -p $(@D)
	$(call quiet,cp $< $@)

$(SDK_CC): tools/cathode-cc.in $(B)/sdk/bin/cathode.specs $(SYSROOT)/.stamp
	@mkdir -p $(@D)
	$(call run,SDK,$@)sed 's|@CC@|$(CC)|' $< >$@ && chmod +x $@

sdk: $(SDK_CC) ## the compiler for programs: build/sdk/bin/cathode-cc

# ---- programs
# -------------------------------------------------------------------------------------

PROGRAM_CFLAGS := $(STD) -O2 -g $(WARNINGS) $(USER_INCLUDE)

$(U)/prog/%.o: user/%.c | $(SDK_CC)
	@mkdir -p $(@D)
	$(call run,CC,$<)$(SDK_CC) $(PROGRAM_CFLAGS) $(DEPFLAGS) -c -o $@ $<

# Tests do on purpose what the compiler warns about.
$(U)/prog/tests/%.o: PROGRAM_CFLAGS += -Wno-format-truncation -Wno-infinite-recursion -Wno-nonnull

# Its stacks are to be walked.
$(U)/prog/tests/t_native_profile.o: PROGRAM_CFLAGS += -fno-omit-frame-pointer

# What several programs of user/bin share.
BIN_SHARED := $(patsubst user/%.c,$(U)/prog/%.o,$(wildcard user/bin/lib*.c))
BIN_NAMES := $(patsubst user/bin/%.c,%,$(filter-out user/bin/lib%,$(wildcard user/bin/*.c)))
TEST_NAMES := $(patsubst user/tests/%.c,%,$(filter-out user/tests/lib%,$(wildcard user/tests/*.c)))
# A directory is one program of its name, from all its files.
DIR_NAMES := sh init ramfs tty
DIR_OF_sh := user/sh
DIR_OF_init := user/init
DIR_OF_ramfs := user/servers/ramfs
DIR_OF_tty := user/servers/tty
# Servers that are linked with the native server library beside libc.
NATIVE_OF_ramfs := $(wildcard user/runtime/server*.c)
NATIVE_OF_tty := $(NATIVE_OF_ramfs)

BIN_PROGRAMS := $(BIN_NAMES:%=$(U)/bin/%)
TEST_PROGRAMS := $(TEST_NAMES:%=$(U)/bin/%)
DIR_PROGRAMS := $(foreach name,$(DIR_NAMES),\
  $(if $(wildcard $(DIR_OF_$(name))/*.c),$(U)/bin/$(name)))

$(BIN_PROGRAMS): $(U)/bin/%: $(U)/prog/bin/%.o $(BIN_SHARED) $(SYSROOT)/.stamp
	@mkdir -p $(@D)
	$(call run,LD,$@)$(SDK_CC) -Wl,--gc-sections -o $@ $(filter %.o,$^)

$(TEST_PROGRAMS): $(U)/bin/%: $(U)/prog/tests/%.o $(SYSROOT)/.stamp
	@mkdir -p $(@D)
	$(call run,LD,$@)$(SDK_CC) -o $@ $(filter %.o,$^) -lm -pthread

define dir_program
$(U)/bin/$(1): $(patsubst user/%.c,$(U)/prog/%.o,$(filter-out %_test.c,\
  $(wildcard $(DIR_OF_$(1))/*.c) $(NATIVE_OF_$(1)))) $(SYSROOT)/.stamp
	@mkdir -p $$(@D)
	$$(call run,LD,$$@)$$(SDK_CC) -Wl,--gc-sections -o $$@ $$(filter %.o,$$^) -pthread
endef
$(U)/bin/sh: $(BIN_SHARED)
$(foreach name,$(DIR_NAMES),$(eval $(call dir_program,$(name))))

# The same test once more as a static-PIE program: its parts are compiled position-independent.
$(U)/bin/t_exec_pie: user/tests/t_exec.c $(SYSROOT)/.stamp | $(SDK_CC)
	@mkdir -p $(@D)
	$(call run,CC,$@)$(SDK_CC) $(PROGRAM_CFLAGS) -Wno-nonnull -fPIE -static-pie -o $@ $<

# test(1) has a second name.
$(U)/bin/[: $(U)/bin/test
	$(call quiet,cp $< $@)

IMAGE_BIN += $(BIN_PROGRAMS) $(DIR_PROGRAMS) $(U)/bin/[
TEST_BIN += $(TEST_PROGRAMS) $(U)/bin/t_exec_pie

-include user/bootstrap/bootstrap.mk
-include $(wildcard $(U)/obj/*/*.d $(U)/prog/*/*.d $(U)/prog/*/*/*.d)
