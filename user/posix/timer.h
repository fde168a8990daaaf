/* Between itimer.c and start.c. */
#ifndef CATHODE_POSIX_TIMER_H
#define CATHODE_POSIX_TIMER_H

/* In the child of a fork: timers are not inherited. */
void timer_forget(void);

#endif
