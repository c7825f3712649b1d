/// What Swift cannot say itself: threads, thread-local flags and atomics.
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/// Runs `body(context)` on the caller and up to `threads - 1` helpers, fewer where neighbors hold
/// their cores. The bodies must share their work: a helper that comes too late does none.
void vq_parallel(void (*body)(void *), void *context, int threads);

/// Threads that a parallel loop uses; 1 inside a parallel region and in a forked child.
int vq_thread_count(void);

/// Sets the thread count of every later loop; `count` is at least 1.
void vq_set_thread_count(int count);
/// What the calling thread's loops keep to of them, 0 for all.
int vq_loop_thread_limit(void);
void vq_set_loop_thread_limit(int limit);

/// Begins calls of oneDNN on the calling thread: one thread for libgomp's loops, and signals wait,
/// since its matrix products keep the stack pointer in a buffer on the heap, where the frame of a
/// signal's handler would overwrite what stands below. Scopes may be nested.
typedef struct {
  bool is_outermost;
  int threads;
  sigset_t signals;
} vq_library_scope;
vq_library_scope vq_enter_library(void);
void vq_leave_library(vq_library_scope before);

/// Whether kernels take denormal numbers for zero; true at the start.
bool vq_flushes_denormals(void);
void vq_set_flushes_denormals(bool flush);

/// Begins kernels on the calling thread; returns its floating-point control for `vq_leave_kernels`.
uint64_t vq_enter_kernels(void);
void vq_leave_kernels(uint64_t before);

/// Between the two, kernels of the calling thread keep denormal numbers: they decide codes.
void vq_begin_gradual_underflow(void);
void vq_end_gradual_underflow(void);

/// Whether convolutions take direct sums alone.
bool vq_direct_convolutions(void);
void vq_set_direct_convolutions(bool direct);

/// Begins a call: a fork and the end of the process wait for it, and hold later ones. False in a
/// process forked while another thread's call was under way: its locks are lost, no call works.
bool vq_enter_call(void);
void vq_leave_call(void);

/// Leaves the calling thread's calls while a function of the host's runs, which may wait for a
/// thread that forks; `vq_resume_calls` takes the result.
int vq_suspend_calls(void);
void vq_resume_calls(int before);

/// Those of all threads.
int vq_calls_under_way(void);

/// Ends the calls: waits until those of other threads have left, and holds what they call later for
/// ever, since the libraries underneath come down with the process. After two seconds of waiting
/// the process leaves at once when it exits. The calling thread may go on to call.
void vq_end_calls(void);

/// Whether the system may refuse memory: an address-space limit, or no overcommitment.
bool vq_memory_is_limited(void);

/// Whether the process can have `bytes` more memory, and beside them what small objects and the
/// libraries underneath take without asking. True where memory is not limited.
bool vq_has_memory(int64_t bytes);

/// Makes OpenBLAS hold a buffer for each product that threads may compute at once: it waits without
/// end for one that the system refuses. False where memory is limited and there is none.
bool vq_take_product_buffers(void);

/// Long work asks `check` between blocks whether to stop; NULL for none.
void vq_install_interrupt_check(bool (*check)(void));

/// Whether the calling thread's work is to stop: what the check says, false in a helper.
bool vq_is_interrupted(void);

/// What parallel loops of the calling thread do when it is interrupted. Only a thread that may stop
/// asks; once stopped, its loops do nothing more, and what they computed is undefined.
typedef enum { VQ_LOOPS_RUN_ON, VQ_LOOPS_MAY_STOP, VQ_LOOPS_STOPPED } vq_loop_mode;
vq_loop_mode vq_loops(void);
void vq_set_loops(vq_loop_mode mode);

/// Gradient recording of the calling thread.
bool vq_gradients_enabled(void);
void vq_set_gradients_enabled(bool enabled);

/// A number of the calling thread, 0 at first: how its products are multiplied.
int32_t vq_precision(void);
void vq_set_precision(int32_t precision);

/// The calling thread's last error text, UTF-8, and the errno that belongs to it, 0 for none.
const char *vq_error_text(void);
int vq_error_code(void);
/// Longer texts are cut behind a whole character.
void vq_set_error(const char *text, int code);

/// What the calling thread puts off to drop, NULL while it drops nothing.
void *vq_dropping(void);
void vq_set_dropping(void *list);

/// Where the calling thread's random draws are noted, NULL for nowhere.
void *vq_draw_log(void);
void vq_set_draw_log(void *log);

typedef struct {
  int64_t value;
} vq_atomic;

/// Adds and returns the value from before.
int64_t vq_atomic_add(vq_atomic *counter, int64_t amount);
int64_t vq_atomic_load(vq_atomic *counter);
void vq_atomic_store(vq_atomic *counter, int64_t value);

/// Sets 1 where there was 0; false where it was taken already.
bool vq_atomic_try_take(vq_atomic *flag);
void vq_atomic_release(vq_atomic *flag);

/// Instruction sets that the kernels know, each with those before it.
typedef enum { VQ_PORTABLE, VQ_AVX2, VQ_AVX512, VQ_AVX512_VNNI, VQ_AVX512_BF16 } vq_instruction_set;

/// The highest that this CPU and its operating system run, or the lower one that the environment
/// variable VQSWIFT_INSTRUCTIONS names.
vq_instruction_set vq_usable_instruction_set(void);
/// Whether the CPU has AVX-512, whatever VQSWIFT_INSTRUCTIONS names.
bool vq_has_avx512(void);
const char *vq_instruction_set_name(vq_instruction_set set);

/// Functions of one number. p and q are parameters where a function has some.
typedef enum {
  VQ_EXP,
  VQ_LOG,
  VQ_LOG2,
  VQ_LOG10,
  VQ_LOG1P,
  VQ_EXPM1,
  VQ_SQRT,
  VQ_RSQRT,
  VQ_SIN,
  VQ_COS,
  VQ_TANH,
  VQ_ERF,
  VQ_SIGMOID,
  VQ_LOG_SIGMOID,
  VQ_SOFTPLUS,  ///< log(1 + e^(p x)) / p
  VQ_SOFTSIGN,
  VQ_RELU,
  VQ_LEAKY_RELU,  ///< p x below 0
  VQ_ELU,         ///< p (e^x - 1) below 0
  VQ_CELU,        ///< p (e^(x / p) - 1) below 0
  VQ_SELU,
  VQ_GELU,
  VQ_GELU_TANH,
  VQ_SILU,
  VQ_MISH,
  VQ_HARDSWISH,
  VQ_HARDSIGMOID,
  VQ_ABS,
  VQ_SIGN,
  VQ_SQUARE,
  VQ_CUBE,
  VQ_RECIPROCAL,
  VQ_POWER,  ///< x^p
  VQ_CLAMP,  ///< to p...q
  VQ_FLOOR,
  VQ_CEIL,
  VQ_ROUND,  ///< the nearest integer, the even one of two
} vq_function;
