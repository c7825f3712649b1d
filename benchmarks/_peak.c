/* Prints the GFLOP/s of fused multiply-adds on as many threads as the first argument says: 24
   chains of the widest vectors that the CPU multiplies, in registers. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define CHAINS (LANES == 16 ? 24 : 12)
typedef float vector __attribute__((vector_size(4 * LANES)));

static const long rounds = 20000000;
static vector sink[256];

static void *run(void *place) {
  vector sums[CHAINS], factor = {0}, term = {0};
  factor += 0.999f;
  term += 1e-3f;
  for (int i = 0; i < CHAINS; i++) sums[i] = term * (float)i;
  for (long round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + term;
  }
  for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
  *(vector *)place = sums[0];
  return NULL;
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 1;
  if (threads < 1 || threads > 256) return 1;
  double best = 0;
  for (int trial = 0; trial < 5; trial++) {
    struct timespec start, end;
    pthread_t ids[256];
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, run, &sink[i]);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    double rate = 2.0 * LANES * CHAINS * (double)rounds * threads / seconds / 1e9;
    if (rate > best) best = rate;
  }
  printf("%.1f\n", best);
  return 0;
}
