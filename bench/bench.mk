# The benchmarks: the same sources for Cathode (build/user/bin) and for Linux (build/bench/linux).
#
#: make bench QUICK=1 ONLY='fork.*'   some of it, with fewer samples
#:   SAMPLES=n SECONDS=n              samples of each case, budget for all
#:   ROUNDS=n                         boots, so that `make diff` sees how much boots differ
#: make compare ICOUNT=1 SMP=1        judges the goals, too; PROFILES=0: no profiles of what misses
#: make tune QUICK=1                  two parameters in a minute, instead of all in ten
#:   PARAMS="slice_us=1000,3000 bonus"  cross these parameters; without values, usual ones
#:   MINUTES=n SEED=n WEIGHT=0.5      how long, the order, the share of throughput in the score
#:   RESUME=results/tune-...          take the samples that are missing
#:   REPORT=results/tune-...          say again what the samples say
#: make plot RUN=results/latest       draw the plots of a run again from its samples
#: make report RUN=results/latest     the same and the tables as one HTML page
#: make reference                      EXACT=results/X TIMED=results/Y: from runs that are there
#: make diff A=results/X B=results/Y  what a change did: two runs, best of ROUNDS=5 and more

# Storms are shared with tune. The control program has its own main, and the cases' work left out.
BENCH_SRC := $(filter-out bench/%_test.c bench/os_%.c bench/child%.c bench/control.c, \
  $(wildcard bench/*.c)) $(wildcard bench/cases/*.c) \
  $(patsubst %,bench/tune/%.c,work latency groups request cyclic)
CONTROL_SRC := $(filter-out bench/main.c,$(BENCH_SRC)) bench/control.c
BENCH_CFLAGS := $(STD) $(WARNINGS) -O2 -g -D_GNU_SOURCE -Ikernel -Iuser

BENCH_PROGRAMS := bench bench-child bench-child-big
BENCH_CATHODE := $(BENCH_PROGRAMS:%=$(B)/user/bin/%) $(B)/user/bin/t_bench_control
BENCH_LINUX := $(BENCH_PROGRAMS:%=$(B)/bench/linux/%) $(B)/bench/linux/bench-control \
  $(B)/bench/linux/sh
TEST_BIN += $(BENCH_CATHODE)

BENCH_CATHODE_SRC := $(BENCH_SRC) bench/os_cathode.c
BENCH_LINUX_SRC := $(BENCH_SRC) bench/os_linux.c
BENCH_CATHODE_OBJ := $(BENCH_CATHODE_SRC:%.c=$(B)/obj/bench-cathode/%.o)
BENCH_LINUX_OBJ := $(BENCH_LINUX_SRC:%.c=$(B)/obj/bench-linux/%.o)
CONTROL_CATHODE_OBJ := $(CONTROL_SRC:%.c=$(B)/obj/control-cathode/%.o) \
  $(B)/obj/control-cathode/bench/os_cathode.o
CONTROL_LINUX_OBJ := $(CONTROL_SRC:%.c=$(B)/obj/control-linux/%.o) \
  $(B)/obj/control-linux/bench/os_linux.o

# ---- for Cathode --------------------------------------------------------------------------------

BENCH_SDK := $(B)/sdk/bin/cathode-cc

$(B)/obj/bench-cathode/%.o: %.c | $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,CC,$<)$(BENCH_SDK) $(BENCH_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(B)/obj/control-cathode/%.o: %.c | $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,CC,$<)$(BENCH_SDK) $(BENCH_CFLAGS) -DBENCH_CONTROL $(DEPFLAGS) -c -o $@ $<

$(B)/user/bin/t_bench_control: $(CONTROL_CATHODE_OBJ) \
  $(B)/obj/bench-cathode/user/runtime/server.o $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,LD,$@)$(BENCH_SDK) -o $@ $(filter %.o,$^) -lm -pthread

$(B)/user/bin/bench: $(BENCH_CATHODE_OBJ) $(B)/obj/bench-cathode/user/runtime/server.o $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,LD,$@)$(BENCH_SDK) -o $@ $(filter %.o,$^) -lm -pthread

$(B)/user/bin/bench-child: $(B)/obj/bench-cathode/bench/child.o $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,LD,$@)$(BENCH_SDK) -o $@ $(filter %.o,$^)

$(B)/user/bin/bench-child-big: $(B)/obj/bench-cathode/bench/child_big.o $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,LD,$@)$(BENCH_SDK) -o $@ $(filter %.o,$^)

# ---- for Linux ----------------------------------------------------------------------------------

include bench/linux/linux.mk

$(B)/obj/bench-linux/%.o: %.c | $(LINUX_MUSL)/.stamp
	@mkdir -p $(@D)
	$(call run,CC,$<)$(LINUX_CC) $(BENCH_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(B)/obj/control-linux/%.o: %.c | $(LINUX_MUSL)/.stamp
	@mkdir -p $(@D)
	$(call run,CC,$<)$(LINUX_CC) $(BENCH_CFLAGS) -DBENCH_CONTROL $(DEPFLAGS) -c -o $@ $<

# Cathode's shell, so that `sh -c` starts the same program on both.
BENCH_SH_OBJ := $(patsubst %.c,$(B)/obj/bench-linux/%.o,$(filter-out %_test.c, \
  $(wildcard user/sh/*.c)) $(wildcard user/bin/lib*.c))
$(BENCH_SH_OBJ): BENCH_CFLAGS := $(filter-out -D_GNU_SOURCE,$(BENCH_CFLAGS))

$(B)/bench/linux/bench: $(BENCH_LINUX_OBJ)
$(B)/bench/linux/bench-child: $(B)/obj/bench-linux/bench/child.o
$(B)/bench/linux/bench-child-big: $(B)/obj/bench-linux/bench/child_big.o
$(B)/bench/linux/bench-control: $(CONTROL_LINUX_OBJ)
$(B)/bench/linux/sh: $(BENCH_SH_OBJ)

$(BENCH_LINUX):
	@mkdir -p $(@D)
	$(call run,LD,$@)$(LINUX_LD) -o $@ $^ $(LINUX_END)

# ---- tune: the guest's half of `make tune`; on Linux it checks itself ---------------------------

TUNE_SRC := $(filter-out %_test.c,$(wildcard bench/tune/*.c))
TUNE_CATHODE := $(B)/user/bin/tune
TUNE_LINUX := $(B)/bench/linux/tune
TUNE_CATHODE_OBJ := $(TUNE_SRC:%.c=$(B)/obj/bench-cathode/%.o)
TUNE_LINUX_OBJ := $(TUNE_SRC:%.c=$(B)/obj/bench-linux/%.o)
TEST_BIN += $(TUNE_CATHODE)
CHECK_NEEDS += $(TUNE_LINUX)

$(TUNE_CATHODE): $(TUNE_CATHODE_OBJ) $(BENCH_SDK)
	@mkdir -p $(@D)
	$(call run,LD,$@)$(BENCH_SDK) -o $@ $(filter %.o,$^) -pthread

$(TUNE_LINUX): $(TUNE_LINUX_OBJ)
	@mkdir -p $(@D)
	$(call run,LD,$@)$(LINUX_LD) -o $@ $^ $(LINUX_END)

-include $(BENCH_CATHODE_OBJ:.o=.d) $(BENCH_LINUX_OBJ:.o=.d) $(BENCH_SH_OBJ:.o=.d)
-include $(CONTROL_CATHODE_OBJ:.o=.d) $(CONTROL_LINUX_OBJ:.o=.d)
-include $(TUNE_CATHODE_OBJ:.o=.d) $(TUNE_LINUX_OBJ:.o=.d)

# The host side: reading, statistics, table, plots, and runs that break.
BENCH_HOST := $(wildcard bench/host/*.py bench/host/*.gp) bench/goals.conf
CHECK_NEEDS += $(B)/bench/host_test.tap $(B)/bench/compare_test.tap \
  $(B)/bench/goals_test.tap

$(B)/bench/host_test.tap: $(BENCH_LINUX) $(BENCH_HOST)
	$(call run,TEST,bench/host/host_test.py)bench/host/host_test.py $< >$@.new || \
	  { cat $@.new >&2; exit 1; }
	@mv $@.new $@

# Every case without its work must be an error. In the guest /bin/t_bench_control says so.
CHECK_NEEDS += $(B)/bench/control.tap

$(B)/bench/control.tap: $(BENCH_LINUX)
	$(call run,TEST,bench/control.c)$(B)/bench/linux/bench-control \
	  --child=$(B)/bench/linux/bench-child >$@.new || { grep -v '^ok' $@.new >&2; exit 1; }
	@mv $@.new $@

$(B)/bench/compare_test.tap: $(BENCH_HOST) tools/tune_stats.py
	@mkdir -p $(@D)
	$(call run,TEST,bench/host/compare_test.py)bench/host/compare_test.py >$@.new || \
	  { cat $@.new >&2; exit 1; }
	@mv $@.new $@

$(B)/bench/goals_test.tap: $(BENCH_LINUX) $(BENCH_HOST) tools/itrace.py
	@mkdir -p $(@D)
	$(call run,TEST,bench/host/goals_test.py)bench/host/goals_test.py $< >$@.new || \
	  { cat $@.new >&2; exit 1; }
	@mv $@.new $@

# ---- running ------------------------------------------------------------------------------------

ONLY :=
QUICK :=
SAMPLES :=
SECONDS :=
# RUN on the command line names a run; otherwise it is the runner's command (tools/tools.mk).
PLOT_RUN = $(if $(filter command,$(origin RUN)),$(RUN),results/latest)
BENCH_OPTIONS = $(if $(ONLY),--only '$(ONLY)') $(if $(QUICK),--quick) \
  $(if $(SAMPLES),--samples $(SAMPLES)) $(if $(SECONDS),--seconds $(SECONDS))

PARAMS :=
MINUTES :=
SEED :=
WEIGHT :=
RESUME :=
REPORT :=
TUNE_OPTIONS = $(if $(QUICK),--quick) $(PARAMS:%=--param '%') \
  $(MINUTES:%=--minutes=%) $(SEED:%=--seed=%) $(WEIGHT:%=--weight=%) \
  $(if $(RESUME),--resume '$(RESUME)') $(if $(REPORT),--report '$(REPORT)')

ROUNDS :=
PROFILES :=
LINUX_ARGS :=
override LINUX_ARGS := $(value LINUX_ARGS)
export LINUX_ARGS
COMPARE_OPTIONS = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(filter 0,$(PROFILES)),--no-profiles) \
  --linux-kernel '$(LINUX_KERNEL)' --linux-image $(L)/initramfs.cpio $(BENCH_OPTIONS)

A :=
EXACT :=
TIMED :=

.PHONY: bench-host compare diff figures plot reference report tune

bench: ## install what is missing, build, boot, measure, plot; prints a table and the paths
	@$(MAKE) setup
	@$(MAKE) all $(BENCH_CATHODE)
	@$(if $(ROUNDS),bench/host/compare.py --alone --rounds $(ROUNDS),bench/host/bench.py) \
	  $(BENCH_OPTIONS) -- $(RUN_OPTIONS) --bootargs "$$BOOTARGS"

# Enough for fork with 256 MiB written.
compare: MEM := 1024
compare: ## boot Cathode and Linux in turn on the same machine; table of ratios, pictures
	@$(MAKE) setup
	@$(MAKE) all $(BENCH_CATHODE) $(LINUX_KERNEL) $(L)/initramfs.cpio
	@bench/host/compare.py $(COMPARE_OPTIONS) --linux-args "$$LINUX_ARGS" -- \
	  $(RUN_OPTIONS) --bootargs "$$BOOTARGS"

bench-host: $(BENCH_LINUX) ## the same measurements on this host's own kernel
	@bench/host/bench.py $(BENCH_OPTIONS) --host $(B)/bench/linux/bench

tune: ## sweep the scheduler's parameters; says which mattered, draws, writes a sched.conf
	@$(MAKE) setup
	@$(MAKE) all $(TUNE_CATHODE)
	@tools/tune.py $(TUNE_OPTIONS) -- $(RUN_OPTIONS)

report: ## write RUN=results/... (the latest unless told) as one HTML page
	@bench/host/report.py $(PLOT_RUN)

# B is the build directory for everybody else; here nothing is built.
diff: ## compare Cathode in two runs, A=results/... B=results/...: better, worse or no difference
	@$(if $(A),,echo "make diff A=results/BEFORE B=results/AFTER" >&2; exit 2;) \
	  bench/host/diff.py '$(A)' '$(B)'

figures: ## write the README's tables of figures from the runs that are committed
	@bench/host/figures.py --write README.md results

# Both runs at once, or none: what the README says belongs together.
reference: ## measure the committed runs of the README again: both systems, counted and timed
	@bench/host/reference.py --make '$(MAKE)' \
	  $(if $(EXACT),--of reference='$(EXACT)') $(if $(TIMED),--of reference-smp2='$(TIMED)')

plot: ## draw the plots of RUN=results/... again (the latest run unless told)
	@bench/host/$(if $(wildcard $(PLOT_RUN)/samples.tsv),plot.py,compare.py --again) $(PLOT_RUN)
