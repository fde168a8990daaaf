/* What the program says: tab-separated records on stdout, progress on stderr.
 *
 *   # KEY VALUE                                     a stamp: what was measured, where, how
 *   case NAME UNIT OP                               what one operation is
 *   sample NAME PARAM ITERATIONS VALUE              one sample: units per operation
 *   summary NAME PARAM N MIN MEDIAN P95 P99 MAX MEAN CI_LO CI_HI
 *   absent NAME PARAM REASON                        this system or machine has no such thing
 *   ERROR NAME PARAM REASON                         the work was not done; the status will be 1
 *
 * PARAM is name=value, or - when the case has none. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "harness.h"

__attribute__((format(printf, 2, 3))) void report_stamp(const char *key, const char *format, ...);

/* Lines `key value` of a small text file as stamps with a prefix; nothing when there is no such
 * file. */
void report_stamp_file(const char *prefix, const char *path);

void report_case(const struct bench_case *bench, const struct options *options);
void report_progress(const struct bench_case *bench, uint64_t param, uint32_t index,
                     uint32_t count);

/* Prints the outcome and sorts its samples. False when it is an error. */
bool report_outcome(const struct bench_case *bench, struct outcome *outcome);

#endif
