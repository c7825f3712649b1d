// The threads of parallel regions.
//
// Helpers sleep or spin briefly until a region opens and take a seat in it; the caller never waits
// for a helper that has not come. What the caller does wait for is a helper that the system has
// taken off its CPU for a neighbor: when that repeats, a helper is left out for a while, since on
// one free core alone the work ends sooner than with a second thread that runs every other time
// slice.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "platform.h"
#include "team.h"

int omp_get_num_places(void);
int omp_get_proc_bind(void);
int omp_get_place_num_procs(int place);
void omp_get_place_proc_ids(int place, int *ids);

enum {
  SPIN_NS = 100 * 1000,
  LONG_WAIT_NS = 200 * 1000,
  REPEATED_NS = 30 * 1000 * 1000,
  FIRST_REST_NS = 25 * 1000 * 1000,
  LAST_REST_NS = 400 * 1000 * 1000,
};

// The region that is open. `state` has the number of the region, the seats left and the helpers
// inside it in one word, so that a helper sits down only in the region that it saw.
typedef struct {
  uint32_t number;
  uint16_t seats, inside;
} region_state;

static _Atomic(region_state) state;
static void (*region_body)(void *);
static void *region_context;
static uint64_t region_control;
static atomic_flag taken = ATOMIC_FLAG_INIT;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static atomic_int sleepers, caller_sleeps;
static atomic_int wanted;  // helpers of the last region: those from there on do not spin
static _Thread_local bool in_region, is_helper;

// What follows belongs to the caller that has taken the region.
static int helpers, most_helpers = UINT16_MAX;
static atomic_bool interrupted;  // whether a helper lost its CPU
static int left_out;             // helpers that rest
static int interruptions;        // one soon after the other
static int64_t rest_until, rest = FIRST_REST_NS, last_interruption = INT64_MIN / 2;

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

// Waits a short while of a spinning wait that began at `begun`; false once that has lasted long
// enough.
static bool spin(int64_t begun) {
  for (int i = 0; i < 16; i++) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
  }
  return nanoseconds() - begun < SPIN_NS;
}

// How often the system has taken the calling thread off its CPU for another thread.
static long preemptions(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

// Takes a seat where one is free.
static bool sit_down(void) {
  region_state now = atomic_load(&state);
  while (now.seats > 0) {
    region_state next = {now.number, (uint16_t)(now.seats - 1), (uint16_t)(now.inside + 1)};
    if (atomic_compare_exchange_weak(&state, &now, next)) return true;
  }
  return false;
}

static void stand_up(void) {
  region_state now = atomic_load(&state), next;
  do next = (region_state){now.number, now.seats, (uint16_t)(now.inside - 1)};
  while (!atomic_compare_exchange_weak(&state, &now, next));
  if (next.inside == 0 && atomic_load(&caller_sleeps)) {
    pthread_mutex_lock(&mutex);
    pthread_cond_signal(&emptied);
    pthread_mutex_unlock(&mutex);
  }
}

static void work(long *known_preemptions) {
  int64_t begun = nanoseconds();
  vq_set_kernel_control(region_control);
  region_body(region_context);
  if (nanoseconds() - begun > LONG_WAIT_NS) {
    long known = *known_preemptions;
    *known_preemptions = preemptions();
    if (*known_preemptions > known) atomic_store(&interrupted, true);
  }
  stand_up();
}

// Waits until the region is not the one of that number, and returns the number of the new one.
static uint32_t await_region(int helper, uint32_t seen) {
  uint32_t number;
  int64_t begun = nanoseconds();
  while (helper < atomic_load(&wanted) && spin(begun))
    if ((number = atomic_load(&state).number) != seen) return number;
  pthread_mutex_lock(&mutex);
  atomic_fetch_add(&sleepers, 1);
  while ((number = atomic_load(&state).number) == seen) pthread_cond_wait(&opened, &mutex);
  atomic_fetch_sub(&sleepers, 1);
  pthread_mutex_unlock(&mutex);
  return number;
}

static void *help(void *index) {
  int helper = (int)(intptr_t)index;
  in_region = true;
  is_helper = true;
  long known_preemptions = preemptions();
  for (uint32_t seen = atomic_load(&state).number;;) {
    if (sit_down()) work(&known_preemptions);
    seen = await_region(helper, seen);
  }
  return NULL;
}

// The CPUs of a helper where OMP_PROC_BIND or OMP_PLACES binds threads; without them, the caller's.
static void bind_helper(pthread_attr_t *attributes, int helper) {
  int places = omp_get_num_places();
  if (places == 0 || omp_get_proc_bind() == 0) return;
  int place = (helper + 1) % places, ids[CPU_SETSIZE];
  int count = omp_get_place_num_procs(place);
  if (count > CPU_SETSIZE) return;
  omp_get_place_proc_ids(place, ids);
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (int i = 0; i < count; i++) CPU_SET(ids[i], &cpus);
  pthread_attr_setaffinity_np(attributes, sizeof cpus, &cpus);
}

// Makes helpers until there are so many, or as many as the system grants.
static void hire(int count) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (helpers < count && helpers < most_helpers) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    bind_helper(&attributes, helpers);
    pthread_t thread;
    int failed = pthread_create(&thread, &attributes, help, (void *)(intptr_t)helpers);
    pthread_attr_destroy(&attributes);
    if (failed) {
      most_helpers = helpers;
    } else {
      helpers++;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// Opens a region of so many seats and wakes as many helpers.
static void open_region(void (*body)(void *), void *context, int seats) {
  region_body = body;
  region_context = context;
  region_control = vq_kernel_control();
  atomic_store(&interrupted, false);
  atomic_store(&wanted, seats);
  region_state next = {atomic_load(&state).number + 1, (uint16_t)seats, 0};
  atomic_store(&state, next);
  int asleep = atomic_load(&sleepers);
  if (asleep == 0) return;
  // Who has looked at the number before it changed waits once the mutex is free.
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  for (int i = 0; i < asleep && i < seats; i++) pthread_cond_signal(&opened);
}

// Takes the seats away and waits for the helpers inside; the nanoseconds that it waited.
static int64_t close_region(void) {
  region_state now = atomic_load(&state), next;
  do next = (region_state){now.number, 0, now.inside};
  while (!atomic_compare_exchange_weak(&state, &now, next));
  if (next.inside == 0) return 0;
  int64_t begun = nanoseconds();
  while (atomic_load(&state).inside > 0 && spin(begun)) continue;
  if (atomic_load(&state).inside > 0) {
    pthread_mutex_lock(&mutex);
    atomic_store(&caller_sleeps, 1);
    while (atomic_load(&state).inside > 0) pthread_cond_wait(&emptied, &mutex);
    atomic_store(&caller_sleeps, 0);
    pthread_mutex_unlock(&mutex);
  }
  return nanoseconds() - begun;
}

// Lets a helper rest when a third interruption follows soon after others, or a second one where
// helpers have rested shortly before: then longer than that time.
static void note_interruption(int64_t now) {
  int64_t since = now - last_interruption;
  last_interruption = now;
  if (since > 2 * LAST_REST_NS) rest = FIRST_REST_NS;
  interruptions = since > REPEATED_NS ? 1 : interruptions + 1;
  if (interruptions < (rest == FIRST_REST_NS ? 3 : 2)) return;
  interruptions = 0;
  left_out++;
  rest_until = now + rest;
  rest = rest < LAST_REST_NS / 2 ? 2 * rest : LAST_REST_NS;
}

static void run_alone(void (*body)(void *), void *context) {
  uint64_t control = vq_enter_kernels();
  body(context);
  vq_leave_kernels(control);
}

void vq_parallel(void (*body)(void *), void *context, int threads) {
  if (threads <= 1 || atomic_flag_test_and_set(&taken)) return run_alone(body, context);
  if (left_out > 0 && nanoseconds() > rest_until) left_out = 0;
  if (helpers < threads - 1) hire(threads - 1);
  int seats = (helpers < threads - 1 ? helpers : threads - 1) - left_out;
  uint64_t control = vq_enter_kernels();
  in_region = true;
  if (seats > 0) open_region(body, context, seats);
  body(context);
  if (seats > 0 && close_region() > LONG_WAIT_NS && atomic_load(&interrupted))
    note_interruption(nanoseconds());
  in_region = false;
  vq_leave_kernels(control);
  atomic_flag_clear(&taken);
}

bool vq_in_region(void) { return in_region; }
bool vq_is_helper(void) { return is_helper; }

void vq_forget_helpers(void) {
  helpers = 0;
  most_helpers = UINT16_MAX;
  left_out = 0;
  in_region = false;
  atomic_store(&state, (region_state){0});
  atomic_store(&sleepers, 0);
  atomic_store(&caller_sleeps, 0);
  pthread_mutex_init(&mutex, NULL);
  pthread_cond_init(&opened, NULL);
  pthread_cond_init(&emptied, NULL);
  atomic_flag_clear(&taken);
}
