/* Declarations of all cases of cases.def. */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include "case.h"

#define CASE(name) extern const struct bench_case case_##name;
#include "cases.def"
#undef CASE

#endif
