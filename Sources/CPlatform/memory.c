// Memory of a process that may not have all that it asks for.
//
// What the core's larger buffers cannot have is an error that the caller sees. Swift's own objects
// and the libraries underneath end the process instead, so that a call begins, and a buffer is
// taken, only while the process could have `margin` more.
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "platform.h"

enum { MARGIN = 32 << 20, MARGIN_PER_THREAD = 8 << 20 };
enum { PRODUCT_BUFFER = 128 << 20, MOST_PRODUCT_BUFFERS = 64 };

// OpenBLAS's buffers, which products borrow and it never gives back to the system.
extern void *blas_memory_alloc(int kind) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));
int openblas_get_num_threads(void);

// Whether the system refuses memory beyond what it has: vm.overcommit_memory = 2, or RLIMIT_DATA.
static bool is_always_limited;

__attribute__((constructor)) static void read_system_limits(void) {
  struct rlimit data;
  if (getrlimit(RLIMIT_DATA, &data) == 0 && data.rlim_cur != RLIM_INFINITY)
    is_always_limited = true;
  FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
  if (!file) return;
  if (fgetc(file) == '2') is_always_limited = true;
  fclose(file);
}

bool vq_memory_is_limited(void) {
  struct rlimit space;
  return is_always_limited ||
         (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY);
}

static bool can_map(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  munmap(memory, bytes);
  return true;
}

bool vq_has_memory(int64_t bytes) {
  if (!vq_memory_is_limited()) return true;
  int64_t margin = MARGIN + (int64_t)vq_thread_count() * MARGIN_PER_THREAD;
  if (bytes > INT64_MAX - margin) return false;
  size_t wanted = (size_t)(bytes + margin);
  if (can_map(wanted)) return true;
  malloc_trim(0);
  if (can_map(wanted)) return true;
  // A compiler may leave out a pair of malloc and free and take it for granted.
  void *volatile memory = malloc(wanted);
  free(memory);
  return memory != NULL;
}

bool vq_take_product_buffers(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static int held;
  if (!vq_memory_is_limited()) return true;
  int others = vq_calls_under_way() - 1, count = vq_thread_count() + (others > 0 ? others : 0);
  // Threads of its own, which a forked child starts again, take one each.
  count += openblas_get_num_threads() - 1;
  if (!blas_memory_alloc || !blas_memory_free)
    return vq_has_memory(count * (int64_t)PRODUCT_BUFFER);
  if (count > MOST_PRODUCT_BUFFERS) count = MOST_PRODUCT_BUFFERS;
  pthread_mutex_lock(&mutex);
  void *taken[MOST_PRODUCT_BUFFERS];
  int number = 0;
  if (held < count) {
    // All at once, so that each is another; those that others use now are none of them.
    while (number < count && (number < held - others || vq_has_memory(PRODUCT_BUFFER)))
      taken[number++] = blas_memory_alloc(0);
    if (held < number) held = number;
    for (int i = 0; i < number; i++) blas_memory_free(taken[i]);
  }
  bool is_enough = held >= count;
  pthread_mutex_unlock(&mutex);
  return is_enough;
}
