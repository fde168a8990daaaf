/* Clocks: the TSC's frequency, short delays, the battery clock.
 *
 * The frequency comes from the hypervisor (CPUID 0x40000010, eax in kHz; VMware's convention, which
 * KVM follows), else from CPUID 0x15 (SDM vol. 3B 19.7.3), else it is measured against the PIT's
 * channel 2 (1 193 182 Hz). The local APIC timer's rate is measured with it in every case, as no
 * leaf tells it. */
#include "arch/x86_64/x86.h"

#define PIT_HZ 1193182ul
#define DEVICE_LOOPS                                                                               \
  10000000u /* port reads, each about 1 us: enough for any device that is there */
#define CALIBRATE_PIT_TICKS 11932u /* 10 ms */
#define CALIBRATE_LEAST 4u         /* measurements */
#define CALIBRATE_MOST 100u
#define CALIBRATE_PPM 500ul /* apart: they agree */

static READ_MOSTLY uint64_t tsc_hz;
static const char *tsc_source;

static uint64_t hz_from_hypervisor(void) {
  if (!(cpuid(1, 0).ecx >> 31) || cpuid(0x40000000, 0).eax < 0x40000010) {
    return 0;
  }
  return (uint64_t)cpuid(0x40000010, 0).eax * 1000;
}

static uint64_t hz_from_crystal(void) {
  if (cpuid(0, 0).eax < 0x15) {
    return 0;
  }
  struct cpuid r = cpuid(0x15, 0);
  return r.eax == 0 || r.ebx == 0 ? 0 : (uint64_t)r.ecx * r.ebx / r.eax;
}

/* Channel 2 in mode 0, gate through port 0x61: its output (bit 5) rises after the count. */
static void pit_start(uint16_t ticks) {
  outb(0x61, (inb(0x61) & ~3) | 1);
  outb(0x43, 0xb0);
  outb(0x42, (uint8_t)ticks);
  outb(0x42, (uint8_t)(ticks >> 8));
}

/* The APIC timer's rate is kept when this is the shortest measurement so far. */
static uint64_t pit_measure(uint64_t shortest) {
  pit_start(CALIBRATE_PIT_TICKS);
  uint64_t start = arch_tsc();
  apic_timer_calibrate_start();
  for (uint32_t i = 0; i < DEVICE_LOOPS && !(inb(0x61) & 0x20); i++) {
    cpu_pause();
  }
  uint64_t cycles = arch_tsc() - start;
  apic_timer_calibrate_end(cycles, cycles < shortest);
  return cycles;
}

/* A hypervisor that is busy elsewhere at the wrong moment makes a measurement too long, rarely too
 * short, often by whole time slices of its own: so the two shortest of at least CALIBRATE_LEAST are
 * to agree. */
static uint64_t cycles_measure(bool *agreed) {
  uint64_t best = UINT64_MAX, second = UINT64_MAX;
  *agreed = false;
  for (uint32_t i = 1; i <= CALIBRATE_MOST && !*agreed; i++) {
    uint64_t cycles = pit_measure(best);
    second = MIN(second, MAX(best, cycles));
    best = MIN(best, cycles);
    *agreed = i >= CALIBRATE_LEAST && (second - best) * 1000000 <= best * CALIBRATE_PPM;
  }
  return best;
}

void arch_clock_init(void) {
  bool agreed;
  uint64_t cycles = cycles_measure(&agreed);
  uint64_t hz = hz_from_hypervisor();
  tsc_source = "hypervisor";
  if (hz == 0) {
    hz = hz_from_crystal();
    tsc_source = "cpuid 0x15";
  }
  if (hz == 0) {
    hz = cycles * PIT_HZ / CALIBRATE_PIT_TICKS;
    tsc_source = agreed ? "measured against the PIT"
                        : "measured against the PIT while the machine was busy: times may be wrong";
  }
  tsc_hz = hz;
}

uint64_t arch_tsc_hz(void) {
  return tsc_hz;
}

const char *arch_clock_source(void) {
  return tsc_source;
}

void tsc_delay_us(uint64_t us) {
  uint64_t end = arch_tsc() + us * tsc_hz / 1000000;
  while (arch_tsc() < end) {
    cpu_pause();
  }
}

static uint32_t cmos_read(uint8_t reg) {
  outb(0x70, reg);
  return inb(0x71);
}

static uint32_t from_bcd(uint32_t v) {
  return (v >> 4) * 10 + (v & 15);
}

/* Days since 1970-01-01 of a date in the Gregorian calendar, years 2000..2099 (every fourth is a
 * leap year). */
static int64_t days_of(uint32_t year, uint32_t month, uint32_t day) {
  static const uint16_t before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  uint32_t y = year - 2000;
  int64_t days = 10957 + 365ll * y + (y + 3) / 4 + before[(month - 1) % 12] + day - 1;
  return days + (month > 2 && y % 4 == 0);
}

int64_t arch_wall_clock(void) {
  for (uint32_t i = 0; i < DEVICE_LOOPS && cmos_read(0x0a) & 0x80;
       i++) { /* an update is in progress */
    cpu_pause();
  }
  uint32_t r[6];
  static const uint8_t regs[6] = {0, 2, 4, 7, 8, 9};
  bool binary = cmos_read(0x0b) & 4;
  for (uint32_t i = 0; i < 6; i++) {
    r[i] = cmos_read(regs[i]);
    r[i] = binary ? r[i] : from_bcd(r[i]);
  }
  return days_of(2000 + r[5], r[4], r[3]) * 86400 + r[2] * 3600ll + r[1] * 60ll + r[0];
}
