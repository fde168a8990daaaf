# Lines of musl that are edited, in the files that build.sh names.
#
# env/__init_tls.c: room in .bss for libc's own thread-local block, so that an ordinary program starts
# without a mapping for it.
s/void \*space\[16\]/void *space[64]/
# thread/pthread_create.c: the kernel wakes the word that ends a thread's life as a private one.
s/\(__wait(&__thread_list_lock, &tl_lock_waiters, val\), 0)/\1, 1)/
s/__wake(&__thread_list_lock, 1, 0)/__wake(\&__thread_list_lock, 1, 1)/
# time/timer_create.c: thread-local storage also holds what the kernel knows of a thread.
s/^\t__reset_tls();/\t{ void __cathode_tls_reset(void); __cathode_tls_reset(); }/
# thread/pthread_mutex_timedlock.c: a thread whose first shared lock with inheritance is contended
# must have told of its list of locks, too, before it is given it.
s/^\tif (!priv) self->robust_list.pending = &m->_m_next;/\tif (!priv \&\& !self->robust_list.off) {\n\t\tself->robust_list.off = (char *)\&m->_m_lock-(char *)\&m->_m_next;\n\t\t__syscall(SYS_set_robust_list, \&self->robust_list, 3*sizeof(long));\n\t}\n&/
# internal/syscall.h: a cancellation point is a call in place (point.h) unless there is more to it.
s/^\(#define __syscall_cp[0-6](.*) \)(__syscall_cp)(n,/\1point_call(n,/
# thread/pthread_cancel.c: which looks at these words of a thread.
s/^hidden long __cancel(), .*/&\n_Static_assert(offsetof(struct pthread, cancel) == POINT_CANCEL \&\& offsetof(struct pthread, canceldisable) == POINT_DISABLE, "point.h");/
