/* The table of all cases, and which of them a command line means. */
#include "cases.h"

const struct bench_case *const all_cases[] = {
#define CASE(name) &case_##name,
#include "cases.def"
#undef CASE
};

const size_t n_cases = sizeof(all_cases) / sizeof(all_cases[0]);

static const uint64_t no_params[] = {1, 0}; /* one run; the value is not used */

const uint64_t *case_params(const struct bench_case *bench) {
  return bench->params != NULL ? bench->params : no_params;
}

bool case_selected(const struct options *options, const struct bench_case *bench) {
  return options_select(options, bench->name);
}

uint32_t runs_count(const struct options *options) {
  uint32_t n = 0;
  for (size_t i = 0; i < n_cases; i++) {
    if (case_selected(options, all_cases[i])) {
      for (const uint64_t *param = case_params(all_cases[i]); *param != 0; param++) {
        n++;
      }
    }
  }
  return n;
}
