# The other side of a comparison: musl for Linux, Debian's kernel, a first file system with the same
# programs. Everything below build/linux.
#
#   LINUX_CC     compiles; LINUX_LD links, with LINUX_END after the objects
#   BENCH_LINUX  programs that the Linux guest has in /bin
#
#: make compare ICOUNT=1 SMP=1            Cathode against Linux; takes what `make bench` takes, and
#:   ROUNDS=n                             boots of each (5; 3 with ICOUNT=1 or QUICK=1)
#:   LINUX_KERNEL=file                    another Linux than Debian's cloud kernel
#:   LINUX_ARGS="mitigations=auto ..."   the whole boot line, not the one that favours Linux

L := $(B)/linux
LINUX_MUSL := $(L)/musl
LINUX_GCC := $(shell $(CC) -print-file-name=include)
LINUX_CC = $(CC) -nostdinc -isystem $(LINUX_MUSL)/include -isystem $(LINUX_GCC) -fno-pie \
  -fno-stack-protector
LINUX_LD = $(CC) -static -no-pie -nostdlib -nostartfiles $(LINUX_MUSL)/lib/crt1.o \
  $(LINUX_MUSL)/lib/crti.o $(shell $(CC) -print-file-name=crtbeginT.o)
LINUX_END = -L $(LINUX_MUSL)/lib -Wl,--start-group -lc -lgcc -lgcc_eh -Wl,--end-group \
  $(shell $(CC) -print-file-name=crtend.o) $(LINUX_MUSL)/lib/crtn.o
CLEAN_KEEP += linux

$(LINUX_MUSL)/.stamp: $(B)/musl/src/.stamp bench/linux/musl.sh
	$(call run,MUSL,$(LINUX_MUSL))CC=$(CC) MAKE='$(MAKE)' bench/linux/musl.sh $(MUSL_SRC) \
	  $(LINUX_MUSL) && touch $@

LINUX_KERNEL := $(L)/kernel/vmlinuz

$(L)/kernel/vmlinuz: bench/linux/kernel.sh
	$(call run,FETCH,linux)bench/linux/kernel.sh $(@D)
	@touch $@

$(L)/init: bench/linux/init.c $(LINUX_MUSL)/.stamp
	@mkdir -p $(@D)
	$(call run,CC,$<)$(LINUX_CC) $(BENCH_CFLAGS) -c -o $@.o $<
	$(call quiet,$(LINUX_LD) -o $@ $@.o $(LINUX_END))

$(L)/initramfs.cpio: $(L)/init $(BENCH_LINUX) bench/linux/mkinitramfs.py
	$(call run,IMAGE,$@)bench/linux/mkinitramfs.py $@ $(L)/init $(BENCH_LINUX)
