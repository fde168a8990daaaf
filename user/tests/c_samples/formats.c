/* printf and mathematics: values whose text is the same on every correct implementation. */
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

int main(void) {
  printf("%d %5d %-5d| %05d %+d %x %X %#o\n", 42, 42, 42, 42, 42, 255, 255, 8);
  printf("%ld %lu %lld %zu %" PRId64 "\n", LONG_MIN, ULONG_MAX, LLONG_MAX, sizeof(long), INT64_MIN);
  printf("%s %10s %-10s| %.3s %c %%\n", "text", "right", "left", "truncate", 'x');
  printf("%f %.0f %.10f %e %g %g %g\n", 3.14159, 2.5, 1.0 / 3, 12345.678, 0.0001, 0.00001, 1e10);
  printf("%a %.3a\n", 1.0, 3.14159);
  printf("%g %g %g\n", DBL_MAX, DBL_MIN, DBL_EPSILON);
  printf("%.17g %.17g\n", 0.1, 2.0 / 3);
  for (int i = 0; i <= 4; i++) {
    double x = i * 0.5;
    printf("%.1f: sin %.12f exp %.12f log1p %.12f atan %.12f\n", x, sin(x), exp(x), log1p(x),
           atan(x));
  }
  printf("%g %g %g %g\n", floor(-2.5), ceil(-2.5), round(-2.5), fmod(7, -3));
  printf("%d %d %d\n", isnan(NAN), isinf(INFINITY) != 0, signbit(-0.0) != 0);
  return 0;
}
