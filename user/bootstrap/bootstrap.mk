# The bootstrap blob: bootstrap, the initfs: server, and the native library; no libc.

BOOT_SOURCES := user/bootstrap/entry.asm user/bootstrap/main.c user/servers/initfs/image.c \
  user/servers/initfs/initfs.c
BOOT_OBJECTS := $(BOOT_SOURCES:user/%=$(U)/boot/%.o)
BOOT_CFLAGS := $(filter-out -fPIE,$(USER_CFLAGS)) -fno-pic

$(U)/boot/%.c.o: user/%.c
	@mkdir -p $(@D)
	$(call run,CC,$<)$(CC) $(BOOT_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(U)/boot/%.asm.o: user/%.asm
	@mkdir -p $(@D)
	$(call run,NASM,$<)$(NASM) -f elf64 -Werror -o $@ $<

$(U)/bootstrap.elf: $(BOOT_OBJECTS) $(U)/runtime.a user/bootstrap/bootstrap.ld
	$(call run,LD,$@)$(LD) -nostdlib -static --gc-sections -z max-page-size=4096 \
	  -T user/bootstrap/bootstrap.ld -o $@ $(BOOT_OBJECTS) $(U)/runtime.a

$(U)/bootstrap.bin: $(U)/bootstrap.elf
	$(call run,BIN,$@)objcopy -O binary $< $@

-include $(wildcard $(U)/boot/*/*.d $(U)/boot/*/*/*.d)
