/* The local APIC: identity, inter-processor interrupts, the one-shot timer; and the I/O APIC's two
 * entries for the serial lines. x2APIC (registers as MSRs) where the CPU has it, else the
 * memory-mapped xAPIC. SDM vol. 3A chapter 11 (APIC); 82093AA datasheet for the I/O APIC. */
#include "arch/x86_64/x86.h"

#define REG_ID 0x20u
#define REG_EOI 0xb0u
#define REG_SPURIOUS 0xf0u
#define REG_ICR 0x300u
#define REG_ICR_HIGH 0x310u
#define REG_LVT_TIMER 0x320u
#define REG_LVT_LINT0 0x350u
#define REG_TIMER_COUNT 0x380u
#define REG_TIMER_NOW 0x390u
#define REG_TIMER_DIVIDE 0x3e0u

#define APIC_ENABLE (1ul << 11)
#define APIC_X2 (1ul << 10)
#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define ICR_NMI 0x400u
#define ICR_ASSERT 0x4000u
#define ICR_BUSY 0x1000u
#define ICR_ALL_BUT_SELF (3u << 18)
#define LVT_MASKED 0x10000u
#define IOAPIC_MASKED 0x10000u
#define IOAPIC_NMI 0x400u
#define LVT_DEADLINE (2u << 17)
#define DIVIDE_BY_1 0xbu

static bool x2apic;
static volatile uint32_t *lapic = (volatile uint32_t *)MMIO_REGION_BASE;
static volatile uint32_t *ioapic = (volatile uint32_t *)(MMIO_REGION_BASE + PAGE_SIZE);
static uint64_t timer_ticks_mult; /* timer ticks for 2^32 TSC cycles */
static uint32_t calibrate_start;

static uint32_t reg_read(uint32_t reg) {
  return x2apic ? (uint32_t)rdmsr(0x800 + (reg >> 4)) : lapic[reg / 4];
}

static void reg_write(uint32_t reg, uint32_t value) {
  if (x2apic) {
    wrmsr(0x800 + (reg >> 4), value);
  } else {
    lapic[reg / 4] = value;
  }
}

void apic_map(paddr_t (*alloc_page)(void)) {
  arch_kernel_map_page(MMIO_REGION_BASE, (paddr_t){acpi.lapic_base}, alloc_page);
  if (acpi.ioapic_base != 0) {
    arch_kernel_map_page(MMIO_REGION_BASE + PAGE_SIZE,
                         (paddr_t){acpi.ioapic_base & ~(PAGE_SIZE - 1)}, alloc_page);
  }
}

static void timer_mode_set(void) {
  reg_write(REG_LVT_TIMER, VECTOR_TIMER | (cpu_features.tsc_deadline ? LVT_DEADLINE : 0));
  if (cpu_features.tsc_deadline) {
    __asm__ volatile(
        "mfence" ::
            : "memory"); /* xAPIC: the mode write before the first deadline (11.5.4.1) */
  }
}

void apic_cpu_init(void) {
  x2apic = cpu_features.x2apic;
  uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_ENABLE;
  wrmsr(MSR_APIC_BASE, base);
  if (x2apic) {
    wrmsr(MSR_APIC_BASE, base | APIC_X2);
  }
  reg_write(REG_LVT_LINT0, LVT_MASKED);
  reg_write(REG_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
  reg_write(REG_TIMER_DIVIDE, DIVIDE_BY_1);
  timer_mode_set();
}

uint32_t apic_id(void) {
  return x2apic ? reg_read(REG_ID) : reg_read(REG_ID) >> 24;
}

const char *arch_apic_mode(void) {
  return x2apic ? "x2apic" : "xapic";
}

void apic_eoi(void) {
  reg_write(REG_EOI, 0);
}

static void icr_write(uint32_t dest, uint32_t command) {
  if (x2apic) {
    /* WRMSR to the x2APIC does not order earlier stores (11.12.3): the target must see them. */
    __asm__ volatile("mfence; lfence" ::: "memory");
    wrmsr(0x800 + (REG_ICR >> 4), (uint64_t)dest << 32 | command);
    return;
  }
  while (lapic[REG_ICR / 4] & ICR_BUSY) {
    cpu_pause();
  }
  lapic[REG_ICR_HIGH / 4] = dest << 24;
  lapic[REG_ICR / 4] = command;
}

void apic_send_init(uint32_t dest) {
  icr_write(dest, ICR_INIT | ICR_ASSERT);
}

void apic_send_startup(uint32_t dest, uint8_t page) {
  icr_write(dest, ICR_STARTUP | ICR_ASSERT | page);
}

void arch_ipi_send(uint32_t cpu, enum arch_ipi ipi) {
  icr_write(acpi.apic_ids[cpu], ICR_ASSERT | (VECTOR_IPI_BASE + ipi));
}

void arch_nmi_others(void) {
  icr_write(0, ICR_ALL_BUT_SELF | ICR_NMI | ICR_ASSERT);
}

/* The timer's own rate, against the TSC over the same interval (tsc.c). */
void apic_timer_calibrate_start(void) {
  reg_write(REG_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
  reg_write(REG_TIMER_COUNT, UINT32_MAX);
  calibrate_start = reg_read(REG_TIMER_NOW);
}

void apic_timer_calibrate_end(uint64_t tsc_cycles, bool keep) {
  uint64_t ticks = calibrate_start - reg_read(REG_TIMER_NOW);
  timer_ticks_mult = keep ? (ticks << 32) / tsc_cycles : timer_ticks_mult;
  reg_write(REG_TIMER_COUNT, 0);
  timer_mode_set();
}

void arch_timer_set(uint64_t tsc) {
  if (cpu_features.tsc_deadline) {
    wrmsr(MSR_TSC_DEADLINE, tsc == UINT64_MAX ? 0 : tsc);
    return;
  }
  if (tsc == UINT64_MAX) {
    reg_write(REG_TIMER_COUNT, 0);
    return;
  }
  uint64_t now = arch_tsc();
  uint64_t cycles = tsc > now ? tsc - now : 0;
  uint64_t ticks = (uint64_t)(((unsigned __int128)cycles * timer_ticks_mult) >> 32) + 1;
  reg_write(REG_TIMER_COUNT, ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks);
}

/* One entry of the redirection table, to the booting CPU. */
static void ioapic_write(uint32_t pin, uint32_t low) {
  ioapic[0] = 0x10 + 2 * pin + 1;
  ioapic[4] = acpi.apic_ids[0] << 24;
  ioapic[0] = 0x10 + 2 * pin;
  ioapic[4] = low;
}

/* Route an ISA interrupt to the booting CPU. Polarity and trigger from the MADT (flags bits 1:0,
 * 3:2; 3 means active low, level). */
static void ioapic_route(uint32_t isa, uint8_t vector) {
  uint32_t pin = acpi.isa_gsi[isa] - acpi.ioapic_gsi_base;
  uint32_t low = vector;
  low |= (acpi.isa_flags[isa] & 3) == 3 ? 1u << 13 : 0;
  low |= (acpi.isa_flags[isa] >> 2 & 3) == 3 ? 1u << 15 : 0;
  ioapic_write(pin, low);
}

/* Delivery as NMI ignores the vector; edge-triggered whatever the MADT says (82093AA 3.2.4). */
bool apic_isa_nmi(uint32_t isa, bool on) {
  if (acpi.ioapic_base == 0) {
    return false;
  }
  ioapic_write(acpi.isa_gsi[isa] - acpi.ioapic_gsi_base, on ? IOAPIC_NMI : IOAPIC_MASKED);
  return true;
}

/* With the shorthand the destination is not read: a write of ICR_HIGH that the NMI has interrupted
 * keeps its value. */
void apic_nmi_relay(void) {
  if (x2apic) {
    wrmsr(0x800 + (REG_ICR >> 4), ICR_ALL_BUT_SELF | ICR_NMI | ICR_ASSERT);
  } else {
    lapic[REG_ICR / 4] = ICR_ALL_BUT_SELF | ICR_NMI | ICR_ASSERT;
  }
}

void arch_irq_init(void) {
  if (acpi.ioapic_base == 0) {
    return;
  }
  outb(0x21, 0xff); /* the 8259s stay masked */
  outb(0xa1, 0xff);
  ioapic_route(4, VECTOR_SERIAL);
  uart_irq_enable();
}
