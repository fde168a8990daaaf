/* Signals of the shell: traps set by the user, and what an interactive shell does with signals. */
#ifndef SH_TRAP_H
#define SH_TRAP_H

#include <signal.h>
#include <stdbool.h>

enum { TRAP_EXIT = 0 }; /* the pseudo signal of the end of the shell */

/* An interactive shell is not ended by INT, QUIT and TERM. */
void traps_init(bool interactive);

/* NULL: default. "": ignored. Otherwise a command. False when the signal cannot be trapped. */
bool trap_set(int number, const char *command);
const char *trap_get(int number);

/* Runs the commands of signals that have come. Called between commands. */
void traps_run(void);
/* The number of a signal with a command that has come and not been run, or 0. */
int trap_pending(void);
/* ^C at a prompt since the last call. */
bool trap_take_interrupt(void);

/* Runs the EXIT trap, once. */
void trap_run_exit(void);

/* In a forked child: commands are forgotten, ignored signals stay ignored. */
void traps_reset_in_child(void);
/* What a spawned program must have as default: signals that only the interactive shell ignores. */
void traps_spawn_defaults(sigset_t *set);

#endif
