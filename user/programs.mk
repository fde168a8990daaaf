# Which sources make which programs: lists only, the rules are in user.mk.
#
# user/bin: each NAME.c is /bin/NAME, linked with lib*.c, which are not programs. test is also /bin/[.
# user/sh:  one program, /bin/sh, from all its sources and user/bin/lib*.c.
# user/tests: each t_NAME.c and testall.c is /bin/t_NAME and /bin/testall; flags -pthread. Those named
#   t_native_NAME.c use user/runtime directly and do not build for Linux.
USER_BIN_LIB := $(wildcard user/bin/lib*.c)
USER_BIN_SOURCES := $(filter-out $(USER_BIN_LIB),$(wildcard user/bin/*.c))
USER_SH_SOURCES := $(wildcard user/sh/*.c) $(USER_BIN_LIB)
USER_TEST_SOURCES := $(wildcard user/tests/*.c)
USER_NATIVE_TEST_SOURCES := $(wildcard user/tests/t_native_*.c)
