/* setjmp and longjmp as exceptions, with a handler stack, and out of a signal handler. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf handlers[8];
static int depth;

static void throw_error(int code) {
  longjmp(handlers[--depth], code);
}

static int divide(int a, int b) {
  if (b == 0) {
    throw_error(42);
  }
  return a / b;
}

static void attempt(int a, int b) {
  int code = setjmp(handlers[depth++]);
  if (code == 0) {
    printf("%d / %d = %d\n", a, b, divide(a, b));
    depth--;
  } else {
    printf("%d / %d: error %d\n", a, b, code);
  }
}

static sigjmp_buf from_handler;

static void on_fault(int number) {
  siglongjmp(from_handler, number);
}

int main(void) {
  attempt(84, 2);
  attempt(1, 0);
  attempt(7, 7);
  signal(SIGSEGV, on_fault);
  int number = sigsetjmp(from_handler, 1);
  if (number == 0) {
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
    puts("not reached");
  } else {
    printf("caught %s\n", number == SIGSEGV ? "SIGSEGV" : "something else");
  }
  if (sigsetjmp(from_handler, 1) == 0) {
    raise(SIGSEGV);
  } else {
    puts("and again");
  }
  fflush(stdout);
  abort();
}
