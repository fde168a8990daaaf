/* stdio and conversion: what ordinary programs take for granted. */
#define _GNU_SOURCE
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <wchar.h>

#include "tap.h"

static char text[512];

#define formats(want, ...)                                                                         \
  (snprintf(text, sizeof text, __VA_ARGS__), tap_equal_str(text, want, want, __FILE__, __LINE__))

static void test_formats(void) {
  formats("42 -42 052 0x2a 2A", "%d %i %#o %#x %X", 42, -42, 42, 42, 42);
  formats("[   42][42   ][00042][+42]", "[%5d][%-5d][%05d][%+d]", 42, 42, 42, 42);
  formats("9223372036854775807 18446744073709551615", "%" PRId64 " %" PRIu64, INT64_MAX,
          UINT64_MAX);
  formats("[abc][  abc][ab]", "[%s][%5s][%.2s]", "abc", "abc", "abc");
  formats("a%", "%c%%", 'a');
  formats("1.500000 1.50 1.5e+00 0.001", "%f %.2f %.1e %g", 1.5, 1.5, 1.5, 0.001);
  formats("inf -inf nan", "%f %f %f", INFINITY, -INFINITY, (double)NAN);
  formats("0.1000000000000000055511151231257827", "%.34f", 0.1);
  formats("0x1.8p+0 3.14159", "%a %.5Lf", 1.5, 3.14159265358979L);
  formats("[   7][7   ]", "[%*d][%-*d]", 4, 7, 4, 7);
  volatile size_t room = 4; /* known only when it runs: compilers refuse to cut on purpose */
  is(snprintf(text, room, "abcdef"), 6, "snprintf answers the whole length");
  is_str(text, "abc", "and cuts");
}

static void test_scanning(void) {
  int a = 0, n = 0;
  unsigned b = 0;
  double d = 0;
  char word[16] = "", set[16] = "";
  is(sscanf("12 0x1f 2.5e3 word [abc]", "%d %x %lf %15s [%15[a-c]]%n", &a, &b, &d, word, set, &n),
     5, "sscanf finds five");
  ok(a == 12 && b == 31 && d == 2500.0, "numbers");
  ok(strcmp(word, "word") == 0 && strcmp(set, "abc") == 0 && n == 24, "words, sets, position");
  is(sscanf("x", "%d", &a), 0, "nothing that fits");
  is(sscanf("", "%d", &a), EOF, "nothing at all");
  char *end;
  ok(strtol("-0x10z", &end, 16) == -16 && *end == 'z', "strtol");
  errno = 0;
  ok(strtoll("99999999999999999999", NULL, 10) == LLONG_MAX && errno == ERANGE, "overflow");
  ok(strtod("1e308", NULL) == 1e308 && strtod("2.2250738585072014e-308", NULL) == DBL_MIN,
     "strtod at the limits");
}

static void test_files(void) {
  FILE *file = fopen("stdio", "w+");
  ok(file != NULL, "fopen");
  for (int i = 0; i < 1000; i++) {
    fprintf(file, "line %d\n", i);
  }
  is(ftell(file), 8890, "ftell");
  rewind(file);
  char line[64];
  int lines = 0;
  bool good = true;
  while (fgets(line, sizeof line, file)) {
    int i = -1;
    good = sscanf(line, "line %d", &i) == 1 && i == lines++ && good;
  }
  ok(good && lines == 1000 && feof(file) && !ferror(file), "a thousand lines come back");
  ok(fseek(file, -4, SEEK_END) == 0 && fgetc(file) == '9' && ungetc('x', file) == 'x' &&
         fgetc(file) == 'x',
     "fseek and ungetc");
  is(fclose(file), 0, "fclose");
  file = fopen("stdio", "a");
  fputs("end\n", file);
  fclose(file);
  file = fopen("stdio", "r");
  char *whole = NULL;
  size_t room = 0;
  is(getdelim(&whole, &room, EOF, file), 8894, "append mode, getdelim");
  free(whole);
  fclose(file);
  ok(fopen("none", "r") == NULL && errno == ENOENT, "fopen of nothing");
  unlink("stdio");
}

static void test_buffers(void) {
  FILE *file = fopen("buffered", "w");
  setvbuf(file, NULL, _IOFBF, 100);
  fputs("hello", file);
  FILE *reader = fopen("buffered", "r");
  is(fgetc(reader), EOF, "written text waits in the buffer");
  fflush(file);
  clearerr(reader);
  is(fgetc(reader), 'h', "until it is flushed");
  fclose(reader);
  setvbuf(file, NULL, _IONBF, 0);
  fclose(file);
  unlink("buffered");
  char *memory = NULL;
  size_t size = 0;
  file = open_memstream(&memory, &size);
  fprintf(file, "%s %d", "memory", 1);
  fclose(file);
  is_str(memory, "memory 1", "open_memstream");
  free(memory);
  file = tmpfile();
  ok(file && fputs("temporary", file) >= 0 && fflush(file) == 0, "tmpfile");
  rewind(file);
  ok(fgets(text, sizeof text, file) && strcmp(text, "temporary") == 0, "can be read again");
  fclose(file);
  file = fdopen(dup(1), "w");
  ok(file && fileno(file) > 2, "fdopen");
  fclose(file);
}

static int compare_ints(const void *a, const void *b) {
  return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void test_library(void) {
  int numbers[500];
  uint64_t state = 7;
  for (int i = 0; i < 500; i++) {
    numbers[i] = (int)(random_next(&state) % 1000);
  }
  qsort(numbers, 500, sizeof *numbers, compare_ints);
  bool sorted = true;
  for (int i = 1; i < 500; i++) {
    sorted = sorted && numbers[i - 1] <= numbers[i];
  }
  ok(sorted, "qsort");
  ok(bsearch(&numbers[250], numbers, 500, sizeof *numbers, compare_ints) != NULL, "bsearch");
  char words[] = "a,b,,c";
  char *save, *word = strtok_r(words, ",", &save);
  int n = 0;
  for (; word; word = strtok_r(NULL, ",", &save)) {
    n++;
  }
  is(n, 3, "strtok_r");
  is_str(strerror(ENOENT), "No such file or directory", "strerror");
  ok(fabs(sin(1.0) - 0.8414709848078965) < 1e-15 && sqrt(2.0) * sqrt(2.0) > 1.9999999999 &&
         pow(2.0, 0.5) == sqrt(2.0) && floor(-1.5) == -2.0,
     "mathematics");
  setlocale(LC_ALL, "");
  wchar_t wide[8];
  ok(mbstowcs(wide, "abc", 8) == 3 && wide[2] == L'c', "mbstowcs");
}

int main(void) {
  scratch_enter("t_stdio");
  test_formats();
  test_scanning();
  test_files();
  test_buffers();
  test_library();
  scratch_leave();
  return tap_done();
}
