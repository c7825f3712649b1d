// Denormal numbers cost a hundred times what others do: kernels take them for zero.
#include <stdatomic.h>

#include "platform.h"
#include "team.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
// Denormal operands are zeros, denormal results too.
#define FLUSH 0x8040u
static uint64_t control(void) { return _mm_getcsr(); }
static void set_control(uint64_t value) { _mm_setcsr((unsigned)value); }
#elif defined(__aarch64__)
#define FLUSH (UINT64_C(1) << 24)
static uint64_t control(void) {
  uint64_t value;
  __asm__ volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
static void set_control(uint64_t value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
#define FLUSH UINT64_C(0)
static uint64_t control(void) { return 0; }
static void set_control(uint64_t value) { (void)value; }
#endif

static _Atomic(bool) keeps_denormals;
// Scopes of gradual underflow that the calling thread is in, and its control before them.
static _Thread_local int gradual_scopes;
static _Thread_local uint64_t outer_control;

bool vq_flushes_denormals(void) { return !atomic_load(&keeps_denormals); }
void vq_set_flushes_denormals(bool flush) { atomic_store(&keeps_denormals, !flush); }

uint64_t vq_kernel_control(void) { return control(); }
void vq_set_kernel_control(uint64_t value) { set_control(value); }

uint64_t vq_enter_kernels(void) {
  uint64_t before = control();
  bool flush = !vq_in_region() && gradual_scopes == 0 && vq_flushes_denormals();
  if (flush && (before & FLUSH) != FLUSH) set_control(before | FLUSH);
  return before;
}

void vq_leave_kernels(uint64_t before) {
  if (control() != before) set_control(before);
}

void vq_begin_gradual_underflow(void) {
  if (gradual_scopes++ > 0) return;
  outer_control = control();
  set_control(outer_control & ~(uint64_t)FLUSH);
}

void vq_end_gradual_underflow(void) {
  if (--gradual_scopes == 0) set_control(outer_control);
}
