/* The part of ACPI that SMP needs: RSDP -> RSDT or XSDT -> MADT (ACPI Specification 6.4, 5.2.5 to
 * 5.2.12). Read once, on the boot tables (4 GiB direct map), everything kept is copied out. Tables
 * are checked by length and checksum; a machine without a usable MADT boots with one CPU. */
#include "arch/x86_64/x86.h"
#include "lib/string.h"

#define BOOT_MAP_END (4ul << 30)
#define MADT_LAPIC 0
#define MADT_IOAPIC 1
#define MADT_OVERRIDE 2
#define MADT_LAPIC_ADDRESS 5
#define MADT_X2APIC 9
#define MADT_CPU_ENABLED 1u
#define XAPIC_ID_MOST 254u /* 255 is the broadcast */

struct sdt_header {
  char signature[4];
  uint32_t length;
  uint8_t revision, checksum;
  char oem[22];
  uint32_t creator;
} __attribute__((packed));

struct rsdp {
  char signature[8];
  uint8_t checksum;
  char oem[6];
  uint8_t revision;
  uint32_t rsdt;
  uint32_t length;
  uint64_t xsdt;
} __attribute__((packed));

struct acpi_info acpi;

static const void *table_at(uint64_t pa) {
  return pa != 0 && pa < BOOT_MAP_END - PAGE_SIZE ? direct_map((paddr_t){pa}) : NULL;
}

static const struct sdt_header *sdt_at(uint64_t pa, const char *signature) {
  const struct sdt_header *t = table_at(pa);
  if (t == NULL || memcmp(t->signature, signature, 4) != 0 || t->length < sizeof(*t) ||
      t->length > BOOT_MAP_END - pa) {
    return NULL;
  }
  uint8_t sum = 0;
  for (uint32_t i = 0; i < t->length; i++) {
    sum = (uint8_t)(sum + ((const uint8_t *)t)[i]);
  }
  return sum == 0 ? t : NULL;
}

static uint32_t read_u32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof(v));
  return v;
}

static uint64_t read_u64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof(v));
  return v;
}

static const struct sdt_header *madt_find(paddr_t rsdp_at) {
  const struct rsdp *r = table_at(rsdp_at.v);
  if (r == NULL || memcmp(r->signature, "RSD PTR ", 8) != 0) {
    return NULL;
  }
  bool wide = r->revision >= 2 && sdt_at(r->xsdt, "XSDT") != NULL;
  const struct sdt_header *root = wide ? sdt_at(r->xsdt, "XSDT") : sdt_at(r->rsdt, "RSDT");
  if (root == NULL) {
    return NULL;
  }
  uint32_t size = wide ? 8 : 4;
  const uint8_t *entries = (const uint8_t *)(root + 1);
  for (uint32_t i = 0; i + size <= root->length - sizeof(*root); i += size) {
    const struct sdt_header *t =
        sdt_at(wide ? read_u64(entries + i) : read_u32(entries + i), "APIC");
    if (t != NULL) {
      return t;
    }
  }
  return NULL;
}

/* All 32 bits where the CPU tells them (leaf 0xB), else the 8 of leaf 1. */
static uint32_t boot_apic_id(void) {
  return cpuid(0, 0).eax >= 0xb && cpuid(0xb, 0).ebx != 0 ? cpuid(0xb, 0).edx
                                                          : cpuid(1, 0).ebx >> 24;
}

/* The booting CPU was entered first, so that the others follow it whatever the table's order. */
static void cpu_add(uint32_t id, uint32_t flags) {
  if (id > XAPIC_ID_MOST && !cpu_features.x2apic) {
    return; /* nothing can be sent to it */
  }
  if ((flags & MADT_CPU_ENABLED) == 0 || id == acpi.apic_ids[0] || acpi.n_cpus == MAX_CPUS) {
    return;
  }
  acpi.apic_ids[acpi.n_cpus++] = id;
}

static void entry_read(const uint8_t *e, uint8_t len) {
  if (e[0] == MADT_LAPIC && len >= 8) {
    cpu_add(e[3], read_u32(e + 4));
  } else if (e[0] == MADT_X2APIC && len >= 16) {
    cpu_add(read_u32(e + 4), read_u32(e + 8));
  } else if (e[0] == MADT_IOAPIC && len >= 12 && acpi.ioapic_base == 0) {
    acpi.ioapic_base = read_u32(e + 4);
    acpi.ioapic_gsi_base = read_u32(e + 8);
  } else if (e[0] == MADT_OVERRIDE && len >= 10 && e[3] < 16) {
    acpi.isa_gsi[e[3]] = read_u32(e + 4);
    acpi.isa_flags[e[3]] = (uint16_t)(e[8] | e[9] << 8);
  } else if (e[0] == MADT_LAPIC_ADDRESS && len >= 12) {
    acpi.lapic_base = read_u64(e + 4);
  }
}

void acpi_read(paddr_t rsdp_at) {
  acpi.apic_ids[0] = boot_apic_id();
  acpi.n_cpus = 1;
  acpi.lapic_base = 0xfee00000;
  for (uint32_t i = 0; i < 16; i++) {
    acpi.isa_gsi[i] = i;
  }
  const struct sdt_header *madt = madt_find(rsdp_at);
  if (madt == NULL || madt->length < sizeof(*madt) + 8) {
    return;
  }
  const uint8_t *p = (const uint8_t *)(madt + 1);
  acpi.lapic_base = read_u32(p);
  const uint8_t *end = (const uint8_t *)madt + madt->length;
  for (p += 8; p + 2 <= end && p[1] >= 2 && p + p[1] <= end; p += p[1]) {
    entry_read(p, p[1]);
  }
}
