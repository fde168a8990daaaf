# The image, the runner, the SDK's source tree, and everything that is not compiled for Cathode.

# ---- the image ---------------------------------------------------------------------------------
# build/root is the tree of the image; IMAGE_BIN and TEST_BIN become its /bin.

ROOT_BIN = $(IMAGE_BIN) $(TEST_BIN)

$(B)/root/.stamp: $(ROOT_BIN) $(wildcard $(addsuffix /*,$(IMAGE_TREES))) tools/mkroot.sh \
  $(MAKEFILE_LIST)
	$(call run,ROOT,$(B)/root)tools/mkroot.sh $(B)/root '$(IMAGE_TREES)' $(ROOT_BIN) && touch $@

$(B)/initfs.img: $(B)/root/.stamp $(B)/user/bootstrap.bin tools/mkinitfs.py
	$(call run,IMAGE,$@)tools/mkinitfs.py -o $@ --bootstrap $(B)/user/bootstrap.bin $(B)/root

# ---- the proof of KVM --------------------------------------------------------------------------

$(B)/kvmtest.o: tools/kvmtest/kvmtest.asm
	@mkdir -p $(@D)
	$(call run,NASM,$<)$(NASM) -f elf64 -Werror -o $@ $<

$(B)/kvmtest.elf: $(B)/kvmtest.o tools/kvmtest/kvmtest.ld
	$(call run,LD,$@)$(LD) -nostdlib -z max-page-size=4096 --no-warn-rwx-segments \
	  -T tools/kvmtest/kvmtest.ld -o $@ $<

# ---- running ------------------------------------------------------------------------------------
# CMD, ADD, BOOTARGS and SCHED reach the runner through the environment and as they were typed: make
# and the shell would otherwise each take their turn at the quotes and dollars in them.

SMP := 2
MEM := 512
ACCEL := auto
ICOUNT :=
TIMEOUT :=
KERNEL := $(B)/kernel.elf
LOG := $(B)/run.log
override CMD := $(value CMD)
override ADD := $(value ADD)
override BOOTARGS := $(value BOOTARGS)
override SCHED := $(value SCHED)
export CMD ADD BOOTARGS SCHED

RUN_OPTIONS = --smp $(SMP) --mem $(MEM) --accel $(ACCEL) --kernel $(KERNEL) --log $(LOG) \
  $(if $(ICOUNT),--icount) $(if $(TIMEOUT),--timeout $(TIMEOUT)) $(if $(V),--verbose) \
  --sched "$$SCHED"
RUNNER = tools/run.py $(RUN_OPTIONS) --cmd "$$CMD" --bootargs "$$BOOTARGS" --add "$$ADD"

# make's own status would be 2 for every failure: $(exit-with) makes it the runner's. NAME-guest
# leaves that in a file, and NAME ends with $(answer).
ifneq ($(filter run trace profile,$(MAKECMDGOALS)),)
-load $(B)/makeexit.so
RUN_STATUS := $(B)/run.$(shell echo $$PPID).status
endif
answer = $(eval STATUS := $(shell cat $(RUN_STATUS); rm -f $(RUN_STATUS)))$(exit-with $(STATUS)) \
  exit $(STATUS)
.PHONY: run-guest trace-guest profile-guest

$(B)/makeexit.so: tools/makeexit.c
	@mkdir -p $(@D)
	@$(CC) -std=gnu2x -Wall -Wextra -Werror -O1 -shared -fPIC -o $@ $<

run: run-guest ## boot: an interactive shell, or CMD="prog args"
	@$(answer)

# What is built before the boot is told on stderr: stdout belongs to the command.
run-guest:
	@$(MAKE) -s all >&2
	@$(RUNNER); echo $$? >$(RUN_STATUS)

OUT := $(B)/trace.json
MASK :=
ONCE :=

trace: trace-guest ## run CMD="..." and write its trace for ui.perfetto.dev, with a summary
	@$(answer)

trace-guest:
	@$(MAKE) -s all >&2
	@tools/trace.py --out $(OUT) $(if $(MASK),--mask $(MASK)) --cmd "$$CMD" \
	  --bootargs "$$BOOTARGS" -- $(RUN_OPTIONS); echo $$? >$(RUN_STATUS)

itrace: ## functions that the instructions of CMD="..." went to; ONCE=function: of one operation
	@$(MAKE) -s all >&2
	@tools/itrace.py --cmd "$$CMD" --bootargs "$$BOOTARGS" --mem $(MEM) --kernel $(KERNEL) \
	  --once "$(ONCE)"

HZ := 1000
PROFILE_OUT := $(B)/profile

profile: profile-guest ## run CMD="..." and draw where its time went, as a flame graph
	@$(answer)

profile-guest:
	@$(MAKE) -s all >&2
	@tools/profiler.py --out $(PROFILE_OUT) --hz $(HZ) --kernel $(KERNEL) --cmd "$$CMD" \
	  -- $(RUN_OPTIONS) --bootargs "$$BOOTARGS"; echo $$? >$(RUN_STATUS)

perf: ## the same by the host's perf and the processor's counters, where there is KVM
	@$(MAKE) -s all >&2
	@tools/perf.py --cmd "$$CMD" -- $(RUN_OPTIONS) --bootargs "$$BOOTARGS"

debug: ## boot and wait for gdb, which is started with the kernel's symbols
	@$(MAKE) all $(B)/debug/kernel.elf >&2
	@tools/debug.sh $(B)/debug/kernel.elf $(RUN_OPTIONS) --cmd "$$CMD" --bootargs "$$BOOTARGS"

bochs: ## run CMD="prog args" under Bochs, which is stricter than QEMU and much slower
	@$(MAKE) -s all $(B)/debug/kernel.elf >&2
	@tools/bochs.py --kernel $(B)/debug/kernel.elf --smp $(or $(SMP),2) --cmd "$$CMD"

iso: $(B)/cathode.iso ## a disc image for real machines and Bochs (Multiboot2, GRUB)

$(B)/cathode.iso: $(B)/kernel.elf $(B)/initfs.img tools/iso/grub.cfg
	@mkdir -p $(B)/iso/boot/grub
	$(call run,ISO,$@)cp $(B)/kernel.elf $(B)/initfs.img $(B)/iso/boot/ && \
	  cp tools/iso/grub.cfg $(B)/iso/boot/grub/ && \
	  grub-mkrescue -o $@ $(B)/iso >$(B)/iso.log 2>&1 || { cat $(B)/iso.log >&2; exit 1; }

# ---- set-up ------------------------------------------------------------------------------------

setup: ## install what is missing (apt), or say in one line what to install
	@tools/setup.sh

# Whatever builds needs the compilers: the outermost make asks for them before it begins.
ifeq ($(MAKELEVEL)$(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS)))),0)
ifneq ($(filter-out help clean distclean setup doctor,$(or $(MAKECMDGOALS),all)),)
$(shell tools/setup.sh --build >&2)
ifneq ($(.SHELLSTATUS),0)
$(error set-up failed, see above)
endif
endif
endif

doctor: ## say what is missing or broken on this host, and the fix
	@$(MAKE) $(B)/kvmtest.elf >/dev/null 2>&1 || true
	@tools/doctor.py

# ---- musl's source -----------------------------------------------------------------------------
# Fetched as a Debian source package, pinned; MUSL_TARBALL=path serves hosts without apt.

MUSL_TARBALL :=
MUSL_SRC := $(B)/musl/src

$(MUSL_SRC)/.stamp: tools/musl.sh
	$(call run,FETCH,musl)MUSL_TARBALL='$(MUSL_TARBALL)' tools/musl.sh $(B)/musl
	@touch $@

# ---- checks and tests --------------------------------------------------------------------------

check: ## warnings, directions, lock contracts, docs, format, host tests (a minute)
	@$(MAKE) setup
	@$(MAKE) all $(B)/debug/kernel.elf $(CHECK_NEEDS)
	@tools/check.py

gates: ## plant one fault for each check and demand its refusal
	@$(MAKE) setup
	@$(MAKE) all $(CHECK_NEEDS)
	@tools/gates.py

test: ## install what is missing, then every test; closes with "N passed, N failed"
	@$(MAKE) setup
	@$(MAKE) all $(B)/debug/kernel.elf $(CHECK_NEEDS)
	@tools/test.py

# SMP counts only when it was given: its default is that of `make run`. SEED and MINUTES belong to
# `make tune`, too, which has other defaults (bench/bench.mk).
stress: ## storms on the scheduler, a minute at 1 to 8 CPUs and 20 s at 64; MINUTES=10: ten at each
	@$(MAKE) -s all $(B)/debug/kernel.elf
	@tools/stress.py $(if $(SEED),--seed='$(SEED)') $(if $(MINUTES),--minutes='$(MINUTES)') \
	  $(if $(filter file,$(origin SMP)),,--smp='$(SMP)')

models: ## check the models of the kernel's lock-free hand-overs (spin)
	@tools/check/models.py

fuzz: ## fuzz the pure cores that can be: SECONDS=60 each, found inputs stay in build/fuzz
	@tools/check/fuzz.py --seconds $(if $(filter file,$(origin SECONDS)),60,$(SECONDS))

format: ## lay out every C file as `make check` demands
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

docs: ## write docs/abi.md and docs/tuning.md from the tables of kernel/abi
	@tools/abidoc.py

compdb: ## write compile_commands.json from the real build
	@$(MAKE) --always-make --dry-run V=1 all | tools/compdb.py compile_commands.json

clean: ## remove what was built, keep what was fetched
	$(call run,CLEAN,$(B))find $(B) -mindepth 1 -maxdepth 1 $(CLEAN_KEEP:%=! -name %) \
	  -exec rm -rf {} + 2>/dev/null || true

distclean: ## remove everything that is not source
	$(call run,CLEAN,everything)rm -rf $(B) compile_commands.json
