// Swift's runtime in a forked child.
//
// Each of its one-time initializations is a lock that holds the number of its thread, which the
// runtime reads from the system once per thread and keeps. The thread of a forked child would go on
// under its parent's number: a second thread that comes meanwhile waits for the wrong owner, and
// the first one cannot let it go.
#include <stdint.h>

#include "team.h"

// Names within the runtime that is linked statically; absent in one that is loaded.
extern void run_once(void) __asm__("_ZN5swift14threading_impl9once_slowERNS0_6once_tEPFvPvES3_")
    __attribute__((weak, visibility("hidden")));
extern _Thread_local uint32_t kept_number __asm__(
    "_ZZN5swift14threading_impl5linux13ulock_get_tidEvE3tid")
    __attribute__((weak, visibility("hidden")));

void vq_forget_thread_number(void) {
  if (run_once) kept_number = 0;
}
