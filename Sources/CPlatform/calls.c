// The calls under way. A fork waits for those of other threads, whose locks it would copy, and so
// does the end of the process, which takes the libraries underneath away.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "platform.h"
#include "team.h"

enum {
  LOOK_NS = 50 * 1000,
  FORK_WAIT_NS = 1000 * 1000 * 1000,
  END_WAIT_NS = 2000 * 1000 * 1000,
};

typedef enum { FREE, FORKING, ENDING } hold_kind;

static atomic_int under_way;
static _Atomic(hold_kind) hold;
static pthread_mutex_t forking = PTHREAD_MUTEX_INITIALIZER;
static bool has_ghosts;  // calls that outlast the wait of a fork
static atomic_bool is_lost;
static _Thread_local int depth;
static _Thread_local bool is_holder;

static void sleep_briefly(void) { nanosleep(&(struct timespec){0, LOOK_NS}, NULL); }

static void wait_outside(void) {
  while (atomic_load(&hold) == ENDING) pause();
  sleep_briefly();
}

// Counts the thread's call, after whoever holds all.
static void begin(void) {
  atomic_fetch_add(&under_way, 1);
  while (atomic_load(&hold) != FREE && !is_holder) {
    atomic_fetch_sub(&under_way, 1);
    wait_outside();
    atomic_fetch_add(&under_way, 1);
  }
}

bool vq_enter_call(void) {
  if (atomic_load(&is_lost)) return false;
  if (depth++ == 0) begin();
  return true;
}

void vq_leave_call(void) {
  if (--depth > 0) return;
  atomic_fetch_sub(&under_way, 1);
  // The caller may be an interpreter that is gone.
  while (atomic_load(&hold) == ENDING && !is_holder) pause();
}

int vq_suspend_calls(void) {
  int before = depth;
  if (before > 0) {
    depth = 1;
    vq_leave_call();
  }
  return before;
}

void vq_resume_calls(int before) {
  if (before > 0) begin();
  depth = before;
}

int vq_calls_under_way(void) { return atomic_load(&under_way); }

// Waits for the calls of other threads; whether all have left.
static bool await_others(int64_t nanoseconds) {
  int own = depth > 0;
  for (int64_t waited = 0; atomic_load(&under_way) > own; waited += LOOK_NS) {
    if (waited >= nanoseconds) return false;
    sleep_briefly();
  }
  return true;
}

static void leave_at_once(int status, void *context) {
  (void)context;
  fflush(NULL);
  _exit(status);
}

void vq_end_calls(void) {
  if (atomic_load(&hold) == ENDING) return;
  is_holder = true;
  atomic_store(&hold, ENDING);
  // Registered last, it comes before the destructors of the libraries that a call still uses.
  if (!await_others(END_WAIT_NS)) on_exit(leave_at_once, NULL);
}

static void before_fork(void) {
  pthread_mutex_lock(&forking);
  if (atomic_load(&hold) == ENDING) return;
  is_holder = true;
  atomic_store(&hold, FORKING);
  has_ghosts = !await_others(FORK_WAIT_NS);
}

static void release_hold(void) {
  if (atomic_load(&hold) != FORKING) return;
  is_holder = false;
  atomic_store(&hold, FREE);
}

static void after_fork_in_parent(void) {
  release_hold();
  pthread_mutex_unlock(&forking);
}

static void after_fork_in_child(void) {
  release_hold();
  pthread_mutex_init(&forking, NULL);
  atomic_store(&under_way, depth > 0);
  if (has_ghosts) atomic_store(&is_lost, true);
  vq_forget_thread_number();
  vq_forget_helpers();
  vq_set_thread_count(1);
}

__attribute__((constructor)) static void watch_process(void) {
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  atexit(vq_end_calls);
}
