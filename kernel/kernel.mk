# The kernel, twice: build/kernel.elf (release: what benchmarks run) and build/debug/kernel.elf
# (lock order, preconditions: what tests run). Each is linked in two passes: the symbol table of
# the first goes into the second, so that a panic can name functions.

KERNEL_C := $(filter-out %_test.c,$(wildcard kernel/*.c kernel/*/*.c kernel/arch/x86_64/*.c))
KERNEL_ASM := $(wildcard kernel/arch/x86_64/*.asm)

KERNEL_CFLAGS := $(STD) -O2 -g $(WARNINGS) -ffreestanding -fno-pic -fno-pie -mcmodel=kernel \
  -mno-red-zone -mgeneral-regs-only -mpreferred-stack-boundary=3 -fno-stack-protector \
  -fno-asynchronous-unwind-tables \
  -fno-omit-frame-pointer -fno-strict-aliasing -fno-common -ffunction-sections -Ikernel
KERNEL_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --gc-sections \
  --no-warn-rwx-segments -T kernel/kernel.ld

# $(call kernel_rules,directory,value of CATHODE_DEBUG)
define kernel_rules
$(1)_OBJECTS := $$(KERNEL_C:%.c=$(1)/obj/%.o) $$(KERNEL_ASM:%.asm=$(1)/obj/%.o)

$(1)/obj/kernel/%.o: kernel/%.c
	@mkdir -p $$(@D)
	$$(call run,CC,$$<)$$(CC) $$(KERNEL_CFLAGS) -DCATHODE_DEBUG=$(2) $$(DEPFLAGS) -c -o $$@ $$<

$(1)/obj/kernel/%.o: kernel/%.asm kernel/arch/x86_64/offsets.inc
	@mkdir -p $$(@D)
	$$(call run,NASM,$$<)$$(NASM) -f elf64 -g -F dwarf -DCATHODE_DEBUG=$(2) -o $$@ $$<

$(1)/nosymbols.c: tools/symbols.py
	@mkdir -p $$(@D)
	$$(call quiet)tools/symbols.py --empty >$$@

$(1)/symbols.c: $(1)/kernel.pass1 tools/symbols.py
	$$(call quiet)tools/symbols.py $$< >$$@

$(1)/symbols.o $(1)/nosymbols.o: %.o: %.c
	$$(call quiet)$$(CC) $$(KERNEL_CFLAGS) -c -o $$@ $$<

$(1)/kernel.pass1: $$($(1)_OBJECTS) $(1)/nosymbols.o kernel/kernel.ld
	$$(call run,LD,$$@)$$(LD) $$(KERNEL_LDFLAGS) -o $$@ $$($(1)_OBJECTS) $(1)/nosymbols.o

$(1)/kernel.elf: $$($(1)_OBJECTS) $(1)/symbols.o kernel/kernel.ld
	$$(call run,LD,$$@)$$(LD) $$(KERNEL_LDFLAGS) -o $$@ $$($(1)_OBJECTS) $(1)/symbols.o

-include $$($(1)_OBJECTS:.o=.d)
endef

$(eval $(call kernel_rules,$(B),0))
$(eval $(call kernel_rules,$(B)/debug,1))
