#define _GNU_SOURCE
#include "platform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "team.h"

int omp_get_max_threads(void);
int omp_get_num_procs(void);
void omp_set_num_threads(int count);
int omp_in_parallel(void);

// Of OMP_NUM_THREADS: where more are given, so many, or four a processor.
enum { MOST_THREADS_AT_START = 64 };

static _Atomic(int) configured_threads;
static _Atomic(bool) direct_convolutions;
static _Atomic(bool (*)(void)) interrupt_check;
static _Thread_local int thread_limit;  // 0 for none
static _Thread_local vq_loop_mode loop_mode;
static _Thread_local bool gradients_disabled;
static _Thread_local int32_t precision;
static _Thread_local void *dropping;
static _Thread_local void *draw_log;
static _Thread_local int library_scopes;
static _Thread_local char error_text[4096];
static _Thread_local int error_code;

__attribute__((constructor)) static void start(void) {
  int threads = omp_get_max_threads(), most = 4 * omp_get_num_procs();
  if (most < MOST_THREADS_AT_START) most = MOST_THREADS_AT_START;
  atomic_store(&configured_threads, threads < 1 ? 1 : threads > most ? most : threads);
}

int vq_thread_count(void) {
  if (vq_in_region() || omp_in_parallel()) return 1;
  int count = atomic_load(&configured_threads);
  return thread_limit > 0 && thread_limit < count ? thread_limit : count;
}

void vq_set_thread_count(int count) { atomic_store(&configured_threads, count); }

int vq_loop_thread_limit(void) { return thread_limit; }
void vq_set_loop_thread_limit(int limit) { thread_limit = limit; }

vq_library_scope vq_enter_library(void) {
  vq_library_scope before = {.is_outermost = library_scopes++ == 0};
  if (!before.is_outermost) return before;
  before.threads = omp_get_max_threads();
  if (before.threads != 1) omp_set_num_threads(1);
  // Helpers have no signals.
  if (vq_is_helper()) return before;
  sigset_t waiting;
  sigfillset(&waiting);
  // A fault's own handler tells where it was.
  const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV};
  for (int i = 0; i < 4; i++) sigdelset(&waiting, faults[i]);
  pthread_sigmask(SIG_BLOCK, &waiting, &before.signals);
  return before;
}

void vq_leave_library(vq_library_scope before) {
  library_scopes--;
  if (!before.is_outermost) return;
  if (!vq_is_helper()) pthread_sigmask(SIG_SETMASK, &before.signals, NULL);
  if (before.threads != 1) omp_set_num_threads(before.threads);
}

bool vq_direct_convolutions(void) { return atomic_load(&direct_convolutions); }
void vq_set_direct_convolutions(bool direct) { atomic_store(&direct_convolutions, direct); }

void vq_install_interrupt_check(bool (*check)(void)) { atomic_store(&interrupt_check, check); }

// The check may run the host's own code, which may call in here again.
bool vq_is_interrupted(void) {
  bool (*check)(void) = atomic_load(&interrupt_check);
  if (!check || vq_is_helper()) return false;
  vq_loop_mode mode = loop_mode;
  loop_mode = VQ_LOOPS_RUN_ON;
  bool interrupted = check();
  loop_mode = mode;
  return interrupted;
}

vq_loop_mode vq_loops(void) { return loop_mode; }
void vq_set_loops(vq_loop_mode mode) { loop_mode = mode; }

bool vq_gradients_enabled(void) { return !gradients_disabled; }
void vq_set_gradients_enabled(bool enabled) { gradients_disabled = !enabled; }

int32_t vq_precision(void) { return precision; }
void vq_set_precision(int32_t value) { precision = value; }

void *vq_dropping(void) { return dropping; }
void vq_set_dropping(void *list) { dropping = list; }

void *vq_draw_log(void) { return draw_log; }
void vq_set_draw_log(void *log) { draw_log = log; }

const char *vq_error_text(void) { return error_text; }
int vq_error_code(void) { return error_code; }
void vq_set_error(const char *text, int code) {
  size_t length = strnlen(text, sizeof error_text);
  if (length == sizeof error_text) {
    length--;
    // Bytes 10xxxxxx go on with a character.
    while (length > 0 && (text[length] & 0xC0) == 0x80) length--;
  }
  memcpy(error_text, text, length);
  error_text[length] = 0;
  error_code = code;
}

int64_t vq_atomic_add(vq_atomic *counter, int64_t amount) {
  return __atomic_fetch_add(&counter->value, amount, __ATOMIC_SEQ_CST);
}
int64_t vq_atomic_load(vq_atomic *counter) {
  return __atomic_load_n(&counter->value, __ATOMIC_SEQ_CST);
}

void vq_atomic_store(vq_atomic *counter, int64_t value) {
  __atomic_store_n(&counter->value, value, __ATOMIC_SEQ_CST);
}

bool vq_atomic_try_take(vq_atomic *flag) {
  int64_t expected = 0;
  return __atomic_compare_exchange_n(
      &flag->value, &expected, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
void vq_atomic_release(vq_atomic *flag) { __atomic_store_n(&flag->value, 0, __ATOMIC_SEQ_CST); }

static const char *const instruction_set_names[] = {
    "portable", "avx2", "avx512", "avx512vnni", "avx512bf16"};

static vq_instruction_set highest_instruction_set(void) {
#ifdef __x86_64__
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("f16c"))
    return VQ_PORTABLE;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512cd"))
    return VQ_AVX2;
  if (!__builtin_cpu_supports("avx512vnni")) return VQ_AVX512;
  return __builtin_cpu_supports("avx512bf16") ? VQ_AVX512_BF16 : VQ_AVX512_VNNI;
#else
  return VQ_PORTABLE;
#endif
}

vq_instruction_set vq_usable_instruction_set(void) {
  vq_instruction_set highest = highest_instruction_set();
  const char *wanted = getenv("VQSWIFT_INSTRUCTIONS");
  for (int set = VQ_PORTABLE; wanted && set < (int)highest; set++)
    if (strcmp(wanted, instruction_set_names[set]) == 0) return (vq_instruction_set)set;
  return highest;
}

bool vq_has_avx512(void) { return highest_instruction_set() >= VQ_AVX512; }

const char *vq_instruction_set_name(vq_instruction_set set) { return instruction_set_names[set]; }
