/* All cases: cases.def as declarations and as a table. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "case.h"
#include "options.h"

#define CASE(name) extern const struct bench_case case_##name;
#include "cases.def"
#undef CASE

/* In the order in which they run. */
extern const struct bench_case *const all_cases[];
extern const size_t n_cases;

/* Its parameters, ended by 0; a case that has none has one run. */
const uint64_t *case_params(const struct bench_case *bench);

/* Whether the command line means it. */
bool case_selected(const struct options *options, const struct bench_case *bench);

/* Runs of all selected cases: each with each of its parameters. */
uint32_t runs_count(const struct options *options);

#endif
