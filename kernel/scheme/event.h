/* Event queues, for the schemes that register watches themselves (proc: steps). */
#ifndef CATHODE_SCHEME_EVENT_H
#define CATHODE_SCHEME_EVENT_H

#include "scheme/scheme.h"

bool event_is_queue(const struct file *f);
/* ABI_EPERM: the file cannot be waited for. */
[[nodiscard]] enum abi_error event_watch_add(struct file *queue, struct file *f, uint32_t events,
                                             uint64_t data);

#endif
