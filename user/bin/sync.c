/* sync: write everything back that waits in memory. */
#include <unistd.h>

int main(void) {
  sync();
  return 0;
}
