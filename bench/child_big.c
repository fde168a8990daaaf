/* The program that exec of a large program starts: 10 MiB of constants, of which it looks at both
 * ends. Its exit status proves that they were there, and that it ran with the arguments it was
 * given. */
enum { BALLAST_BYTES = 10 << 20 };

static const volatile unsigned char ballast[BALLAST_BYTES] = {[0] = 1, [BALLAST_BYTES - 1] = 1};

int main(int argc, char **argv) {
  int present = ballast[0] + ballast[BALLAST_BYTES - 1];
  return argc == 2 && present == 2 ? argv[1][0] - '0' : 100;
}
