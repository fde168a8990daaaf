/* printf FORMAT ARGUMENT...: formatted output; the format is used again while arguments remain. */
#include "lib.h"

int main(int argc, char **argv) {
  return finish(printf_main(argc, argv));
}
