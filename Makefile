# Cathode: the one Makefile. `make help` lists the targets, `make V=1` shows whole commands.
#
# Each part of the tree brings its own rules in a .mk file, included below. What they share:
#   B               the build directory; nothing is written outside it but results/
#   $(call run,CC,$<)  goes in front of a recipe line: prints `  CC  file`, or the command with V=1
#   IMAGE_BIN       programs (paths of built files) that the image carries in /bin
#   IMAGE_TREES     directories laid over the image's root as they are
#   TEST_BIN        programs that only the image for tests and benchmarks needs, also in /bin
#   CHECK_NEEDS     files that `make check` wants built first
#   CLEAN_KEEP      what `make clean` leaves in B (fetched things, verdicts)
# Dependencies on headers are the compiler's own (-MMD -MP, $(DEPFLAGS)).

B := build
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
SHELL := /bin/sh

CC := gcc
CLANG := clang
NASM := nasm
LD := ld
AR := ar
PYTHON := python3
DEPFLAGS = -MMD -MP -MF $(@:.o=.d)
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
STD := -std=gnu2x

V :=
run = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)'; )
# $(call quiet,command): a command with no line of its own.
quiet = $(if $(V),,@)$(1)

IMAGE_BIN :=
IMAGE_TREES :=
TEST_BIN :=
CHECK_NEEDS :=
CLEAN_KEEP := musl

-include kernel/kernel.mk
-include user/user.mk
-include bench/bench.mk
include tools/tools.mk

.PHONY: all run trace itrace profile perf debug bochs bench test stress fuzz models check gates \
  doctor setup clean distclean iso sdk help docs format compdb

all: $(B)/kernel.elf $(B)/initfs.img $(B)/kvmtest.elf ## build the kernel and the image

help: ## list every target
	@printf 'make TARGET [NAME=value ...]\n\n'
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | sort -u | \
	  awk -F '\t' '{ printf "%-12s %s\n", $$1, $$2 }'
	@printf '\n'
	@sed -n 's/^#: \(.*\)/  \1/p' $(MAKEFILE_LIST)

# Shown by `make help`:
#: make run CMD="ls -l /bin"    one command; its bytes on stdout, its status as ours
#: make run ADD=dir CMD=...     with the tree of dir laid over the image's root
#:   SMP=2 MEM=512              CPUs and MiB of memory
#:   ACCEL=auto|kvm|tcg         auto proves KVM by a self-test boot, or says why it emulates
#:   ICOUNT=1                   count guest instructions instead of time
#:   BOOTARGS="name=value ..."  kernel arguments
#:   SCHED=file                 scheduler settings, such as `make tune` writes
#:   TIMEOUT=seconds            after which a run counts as hung (0: never)
#:   KERNEL=file LOG=file       another kernel; where its log goes (build/run.log)
#: make stress SMP=2,8 SEED=1      storms on the scheduler at these sizes (1,2,4,8,64)
#:   MINUTES=10                 ten minutes at each; unless told one, and 20 s at 64 CPUs
#: make trace CMD="prog args" OUT=build/trace.json   what all CPUs and threads did meanwhile
#:   MASK=0x...                 events to record (docs/tracing.md); OUT=x.gz compresses
#: make profile CMD="prog args" HZ=1000    build/profile.svg, .folded, .txt (docs/profiling.md)
#:   V=1                        whole commands when building, the kernel's log when running
