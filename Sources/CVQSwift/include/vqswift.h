/// vqswift.h: the C interface of vqswift, vector-quantized neural networks on the CPU.
///
/// Rules that hold for every function:
/// - Arguments are borrowed. What stands in an out-parameter belongs to the caller, who releases it
///   once; after a failure it is NULL. `release(NULL)` is allowed.
/// - `VQ_NULLABLE` pointers may be NULL: an argument that is not given, a result that is not wanted
///   or not there. `VQ_LIST(n)` has n items, `VQ_ARRAY(n, m)` n x m numbers in the caller's memory.
/// - A `vq_status` other than `VQ_OK` has a text in `vq_last_error()` of the same thread.
/// - Shapes are row-major, outermost axis first. Images are [n, h, w, c]. "f32" and "i32" name the
///   element types. Operators broadcast as NumPy does and record gradients unless that is switched
///   off.
/// - One handle, one thread at a time, except that tensors may be read by several. Different
///   handles run in parallel.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VQ_ABI_VERSION 2

#if defined(__GNUC__)
#define VQ_CHECKED __attribute__((warn_unused_result))
#else
#define VQ_CHECKED
#endif
/// Of calls that take microseconds, whatever the sizes.
#define VQ_QUICK VQ_CHECKED

#define VQ_NULLABLE
#define VQ_LIST(count)
#define VQ_ARRAY(...)

typedef struct vq_tensor vq_tensor;
typedef struct vq_generator vq_generator;
typedef struct vq_module vq_module;
typedef struct vq_optimizer vq_optimizer;
typedef struct vq_estimator vq_estimator;

/// Names, each with the thing of its own kind.
typedef struct vq_list vq_list;
typedef vq_list vq_named_tensors;
typedef vq_list vq_named_modules;
typedef vq_list vq_named_texts;

typedef int32_t vq_status;
enum {
  VQ_OK = 0,
  VQ_ERROR_VALUE = 1,        ///< shape, range, non-finite, empty
  VQ_ERROR_TYPE = 2,         ///< element type
  VQ_ERROR_INDEX = 3,        ///< code, label or position out of range
  VQ_ERROR_OVERFLOW = 4,     ///< sizes whose product overflows
  VQ_ERROR_MEMORY = 5,       ///< the system has not enough memory
  VQ_ERROR_IO = 6,           ///< a file could not be read or written
  VQ_ERROR_RUNTIME = 7,      ///< misuse: backward twice, concurrent use of one handle
  VQ_ERROR_INTERRUPTED = 8,  ///< stopped by the interrupt check
  VQ_ERROR_HOST = 9,         ///< a function that the caller gave failed
};

/// The elements of a bool are int32, 0 or 1. Tensors of halves, two bytes an element, are stored:
/// operators compute with the f32 tensor that they widen to, exactly, and give f32.
enum { VQ_FLOAT32 = 0, VQ_INT32 = 1, VQ_BOOL = 2, VQ_FLOAT16 = 3, VQ_BFLOAT16 = 4 };

/// What an optimizer knows of a parameter: codebooks never decay, biases and norms by option.
enum { VQ_ROLE_WEIGHT = 0, VQ_ROLE_BIAS = 1, VQ_ROLE_NORM = 2, VQ_ROLE_CODEBOOK = 3 };

// MARK: - The library

/// `VQ_ABI_VERSION` of the library; a caller compares it with the header's.
uint32_t vq_abi_version(void);
/// The text of the calling thread's last failure; valid until its next failure.
const char *vq_last_error(void);
/// The errno of that failure when it is a VQ_ERROR_IO, else 0.
int32_t vq_last_error_code(void);
/// Handles that are not released yet.
int64_t vq_live_handles(void);
/// "oneDNN 2.6.3, OpenBLAS ..., kernels avx512": the libraries underneath, and the instruction set
/// of the kernels: the highest of portable, avx2, avx512, avx512vnni and avx512bf16 that the CPU
/// runs, or the lower one that the environment variable VQSWIFT_INSTRUCTIONS names when the library
/// is loaded.
const char *vq_libraries(void);
/// Threads of every later call, 1 to 4096. The library begins with those of OMP_NUM_THREADS, at
/// most 64 or four a processor, else with one a processor; a forked child with 1.
VQ_QUICK vq_status vq_set_threads(int64_t count);
/// Those that a call of this thread would use.
int64_t vq_get_threads(void);
/// Lets calls of this thread use so many threads at most; 0, as at first, for those of
/// `vq_set_threads`. Several threads that each call with a limit of 1 do not wait for one another.
VQ_QUICK vq_status vq_set_thread_limit(int64_t limit);
int64_t vq_thread_limit(void);
/// Whether kernels take denormal numbers for zero, on their threads only; true at the start.
/// Kernels that decide codes keep them. Returns what it was.
bool vq_set_flush_denormal(bool flush);
/// Whether convolutions take direct sums alone; false at the start. Returns what it was.
bool vq_set_exact_convolutions(bool exact);
/// Before the process ends: waits until calls of other threads have left, two seconds at most, and
/// holds what they call later for ever. The calling thread may go on. `exit` does so itself, but
/// after a language runtime that the threads return to may have come down.
void vq_shut_down(void);
/// Installs `check`, which long calls ask between blocks of work on the thread that made the call;
/// NULL for none. Where it returns true the call ends within a second with VQ_ERROR_INTERRUPTED and
/// its handles are as before; gradients that a backward had added stay. It may call this interface.
void vq_set_interrupt_check(bool (*check)(void));
/// Switches gradient recording of the calling thread; returns what it was.
bool vq_set_grad_enabled(bool enabled);
bool vq_grad_enabled(void);
/// How matrix products and convolutions of the calling thread multiply; sums are f32, and gradients
/// are computed as their forward was. Quantizers, attention and recurrent layers stay f32.
enum {
  VQ_PRODUCTS_FLOAT32 = 0,   ///< as at first
  VQ_PRODUCTS_BFLOAT16 = 1,  ///< operands rounded to bfloat16, by the CPU's instruction
  VQ_PRODUCTS_ROUNDED = 2,   ///< the same, multiplied in f32: on any CPU, and not faster
};
/// VQ_ERROR_VALUE for VQ_PRODUCTS_BFLOAT16 where `vq_multiplies_bfloat16` is false.
VQ_QUICK vq_status vq_set_products(int32_t products);
int32_t vq_products(void);
/// Whether the CPU has the instruction, and oneDNN's products by it are right in a trial.
bool vq_multiplies_bfloat16(void);

// MARK: - Tensors

/// Copies `data` ([shape] elements of `dtype`, row-major).
VQ_CHECKED vq_status vq_tensor_create(int32_t dtype, const int64_t *shape VQ_LIST(rank),
    int64_t rank, const void *data, vq_tensor **out);
/// Reads `data` in place; `release(context)` is called once, when the last user is gone, and at
/// once after a failure. `data` must be aligned to 64 bytes and stay unchanged until then.
VQ_CHECKED vq_status vq_tensor_create_borrowed(int32_t dtype, const int64_t *shape VQ_LIST(rank),
    int64_t rank, void *data, void (*release)(void *context), void *context, vq_tensor **out);
/// The same of f32 points [n, d] at any address, for `vq_nearest_codes` and `vq_kmeans`
/// alone.
VQ_CHECKED vq_status vq_points_create_borrowed(const float *data, int64_t n, int64_t d,
    void (*release)(void *context), void *context, vq_tensor **out);
void vq_tensor_release(vq_tensor *tensor);
int32_t vq_tensor_dtype(const vq_tensor *tensor);
int64_t vq_tensor_rank(const vq_tensor *tensor);
/// Writes `rank` axes.
void vq_tensor_shape(const vq_tensor *tensor, int64_t *shape);
/// Copies the elements, row-major, to `data`, which has room for `capacity` bytes.
VQ_CHECKED vq_status vq_tensor_copy_out(const vq_tensor *tensor, void *data, int64_t capacity);
/// The elements, row-major; they stay where they are until the last user of the tensor is gone.
const void *vq_tensor_data(const vq_tensor *tensor);
/// Copies `size` bytes, all of the elements, from `data` in place where they differ: what was made
/// of the same elements is kept, and nothing that follows from them changes with them.
VQ_CHECKED vq_status vq_tensor_refresh(vq_tensor *tensor, const void *data, int64_t size);
/// Copies the elements of `source`, same shape and type, into `tensor` in place.
VQ_CHECKED vq_status vq_tensor_assign(vq_tensor *tensor, const vq_tensor *source);
/// Whether the elements were written in place since they were made.
bool vq_tensor_is_written(const vq_tensor *tensor);
bool vq_tensor_requires_grad(const vq_tensor *tensor);
/// True for a tensor that collects gradients itself, false for a computed one.
bool vq_tensor_is_leaf(const vq_tensor *tensor);
/// A leaf over the same elements; `role` is a `VQ_ROLE_*`.
VQ_QUICK vq_status vq_tensor_requiring_grad(const vq_tensor *tensor, int32_t role, vq_tensor **out);
/// Freezes a leaf, which forgets its gradient and passes none until it is released: operators
/// record nothing of it, optimizers leave it alone.
VQ_QUICK vq_status vq_tensor_set_requires_grad(vq_tensor *tensor, bool requires_grad);
/// The same elements, cut from the tape.
VQ_QUICK vq_status vq_tensor_detach(const vq_tensor *tensor, vq_tensor **out);
/// The accumulated gradient; NULL when there is none.
VQ_QUICK vq_status vq_tensor_grad(const vq_tensor *tensor, vq_tensor * VQ_NULLABLE * out);
/// Replaces the gradient; NULL clears it.
VQ_QUICK vq_status vq_tensor_set_grad(vq_tensor *tensor, const vq_tensor *VQ_NULLABLE gradient);
/// Adds this tensor's gradient to every leaf that it depends on. `gradient` may be NULL for one
/// element.
VQ_CHECKED vq_status vq_tensor_backward(
    const vq_tensor *tensor, const vq_tensor *VQ_NULLABLE gradient, bool retain_graph);
/// The same; calls `done` with the place of each of `leaves` as soon as it has all of its gradient,
/// on the thread of the call; not for one that this tensor does not depend on. False ends the call
/// with VQ_ERROR_HOST. `done` may call this interface, but with no other backward of these leaves.
VQ_CHECKED vq_status vq_tensor_backward_by_leaf(const vq_tensor *tensor,
    const vq_tensor *VQ_NULLABLE gradient, bool retain_graph,
    const vq_tensor *const *leaves VQ_LIST(count), int64_t count,
    bool (*done)(void *context, int64_t place), void *context);
/// This tensor's gradient with respect to each of `inputs`, leaves or computed tensors, named "0",
/// "1", ...; zeros where it does not depend on one. No leaf collects any.
VQ_CHECKED vq_status vq_tensor_gradients(const vq_tensor *tensor,
    const vq_tensor *VQ_NULLABLE gradient, const vq_tensor *const *inputs VQ_LIST(count),
    int64_t count, bool retain_graph, vq_named_tensors **out);
/// `value`, f32, which the caller computed from `inputs`, as an operator's result. Backward calls
/// `pullback`, on the thread of its own call: it owns `gradient`, the value's, and writes handles
/// of the gradients of `count` inputs, each of its input's shape, or leaves NULL for none; false
/// ends the call with VQ_ERROR_HOST. Backward is refused once one of `saved`, which the pullback
/// reads, was written in place. `release(context)` is called once, when the tape needs it no more,
/// on any thread, and at once after a failure or where nothing is recorded. Both may call this
/// interface.
VQ_CHECKED vq_status vq_tensor_record(const char *operation, const vq_tensor *value,
    const vq_tensor *const *inputs VQ_LIST(count), int64_t count,
    const vq_tensor *const *saved VQ_LIST(saved_count), int64_t saved_count,
    bool (*pullback)(void *context, vq_tensor *gradient, vq_tensor **gradients, int64_t count),
    void (*release)(void *context), void *context, vq_tensor **out);
/// What `function` computes of `inputs`, f32, without keeping the values inside it: backward calls
/// it again, with recording on and the same random draws, and gradients reach the inputs and all
/// leaves that it reads. It owns its inputs and what it writes in `out` is the library's; false as
/// for a pullback. `release` as above.
VQ_CHECKED vq_status vq_tensor_checkpoint(const vq_tensor *const *inputs VQ_LIST(count),
    int64_t count,
    bool (*function)(void *context, vq_tensor **inputs, int64_t count, vq_tensor **out),
    void (*release)(void *context), void *context, vq_tensor **out);

// MARK: - Operators: elements

VQ_CHECKED vq_status vq_tensor_add(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_subtract(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_multiply(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_divide(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_maximum(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_minimum(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
/// A function of each element: abs, ceil, celu, cos, elu, erf, exp, expm1, floor, gelu, gelu_tanh,
/// hardsigmoid, hardswish, leaky_relu, log, log10, log1p, log2, log_sigmoid, mish, negate, pow,
/// relu, round, rsqrt, selu, sigmoid, sign, silu, sin, softplus, softsign, sqrt, square or tanh.
/// `parameter`: exponent, alpha, slope or beta of those that have one.
VQ_CHECKED vq_status vq_tensor_unary(
    const vq_tensor *x, const char *function, float parameter, vq_tensor **out);
/// A bound that is NULL does not hold.
VQ_CHECKED vq_status vq_tensor_clamp(const vq_tensor *x, const float *VQ_NULLABLE minimum,
    const float *VQ_NULLABLE maximum, vq_tensor **out);
/// Zeroes elements with `probability`, the others times 1 / (1 - probability).
VQ_CHECKED vq_status vq_tensor_dropout(
    const vq_tensor *x, float probability, vq_generator *generator, vq_tensor **out);

// MARK: - Operators: reductions. `axes` NULL: over all.

VQ_CHECKED vq_status vq_tensor_sum(const vq_tensor *x,
    const int64_t *VQ_NULLABLE axes VQ_LIST(count), int64_t count, bool keep_dims, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_mean(const vq_tensor *x,
    const int64_t *VQ_NULLABLE axes VQ_LIST(count), int64_t count, bool keep_dims, vq_tensor **out);
/// The gradient goes to the first maximum.
VQ_CHECKED vq_status vq_tensor_max(const vq_tensor *x,
    const int64_t *VQ_NULLABLE axes VQ_LIST(count), int64_t count, bool keep_dims, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_min(const vq_tensor *x,
    const int64_t *VQ_NULLABLE axes VQ_LIST(count), int64_t count, bool keep_dims, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_variance(const vq_tensor *x,
    const int64_t *VQ_NULLABLE axes VQ_LIST(count), int64_t count, bool keep_dims, bool unbiased,
    vq_tensor **out);
/// "prod", or "norm": (sum |x|^p)^(1 / p) of the `parameter` p, above 0 or infinite.
VQ_CHECKED vq_status vq_tensor_reduce(const vq_tensor *x, const char *function, float parameter,
    const int64_t *VQ_NULLABLE axes VQ_LIST(count), int64_t count, bool keep_dims, vq_tensor **out);
/// Of each element and those before it along `axis`: "cumsum" or "cumprod".
VQ_CHECKED vq_status vq_tensor_scan(
    const vq_tensor *x, const char *function, int64_t axis, vq_tensor **out);
/// i32 position of the first maximum along `axis`.
VQ_CHECKED vq_status vq_tensor_argmax(const vq_tensor *x, int64_t axis, vq_tensor **out);
/// i32 positions along `axis` in the order of the elements, of equal ones the lowest first: the
/// `first` of them, all for -1. NaN is greater than every number.
VQ_CHECKED vq_status vq_tensor_argsort(
    const vq_tensor *x, int64_t axis, bool descending, int64_t first, vq_tensor **out);

// MARK: - Operators: integers and truth
//
// Arithmetic of two integers is int32 and wraps around, but the quotient is f32; beside f32 an
// integer becomes f32 where that is exact and is refused where it is not.

/// Another element type; f32 loses its fraction as an integer, or is refused beyond int32. Halves
/// round to the nearest, ties to even, and pass gradients unchanged.
VQ_CHECKED vq_status vq_tensor_astype(const vq_tensor *x, int32_t dtype, vq_tensor **out);
typedef enum {
  VQ_EQUAL,
  VQ_NOT_EQUAL,
  VQ_LESS,
  VQ_LESS_OR_EQUAL,
  VQ_GREATER,
  VQ_GREATER_OR_EQUAL
} vq_comparison;
/// bool; operands broadcast, integers and f32 compare exactly.
VQ_CHECKED vq_status vq_tensor_compare(
    const vq_tensor *a, const vq_tensor *b, vq_comparison kind, vq_tensor **out);
/// `condition ? a : b` of each element, operands broadcast; condition bool or i32.
VQ_CHECKED vq_status vq_tensor_where(
    const vq_tensor *condition, const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
/// Integers: the quotient rounded down, and what is left; a divisor of 0 is refused.
VQ_CHECKED vq_status vq_tensor_floor_divide(
    const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_remainder(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
/// Integers bit by bit; bools give bool.
VQ_CHECKED vq_status vq_tensor_bitwise_and(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_bitwise_or(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_bitwise_xor(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);

// MARK: - Operators: shape

/// One axis may be -1.
VQ_CHECKED vq_status vq_tensor_reshape(
    const vq_tensor *x, const int64_t *shape VQ_LIST(rank), int64_t rank, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_permute(
    const vq_tensor *x, const int64_t *axes VQ_LIST(rank), int64_t rank, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_broadcast_to(
    const vq_tensor *x, const int64_t *shape VQ_LIST(rank), int64_t rank, vq_tensor **out);
/// Positions start, start + step, ... below stop along `axis`; step at least 1.
VQ_CHECKED vq_status vq_tensor_slice(
    const vq_tensor *x, int64_t axis, int64_t start, int64_t stop, int64_t step, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_concatenate(
    const vq_tensor *const *tensors VQ_LIST(count), int64_t count, int64_t axis, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_stack(
    const vq_tensor *const *tensors VQ_LIST(count), int64_t count, int64_t axis, vq_tensor **out);
/// What stands at `positions`, i32 of any shape, along `axis`; their axes take its place.
VQ_CHECKED vq_status vq_tensor_take(
    const vq_tensor *x, const vq_tensor *positions, int64_t axis, vq_tensor **out);
/// x[..., positions[..., j, ...], ...] of each element of `positions`, i32 of as many axes and
/// along no other than `axis` larger.
VQ_CHECKED vq_status vq_tensor_gather(
    const vq_tensor *x, const vq_tensor *positions, int64_t axis, vq_tensor **out);
/// x with each element of `source` added at its place of `positions` along `axis`; both have one
/// shape, that of x but for `axis`.
VQ_CHECKED vq_status vq_tensor_scatter_add(const vq_tensor *x, const vq_tensor *positions,
    const vq_tensor *source, int64_t axis, vq_tensor **out);
/// x [k, d], codes i32 [...] -> [..., d].
VQ_CHECKED vq_status vq_tensor_gather_rows(
    const vq_tensor *x, const vq_tensor *codes, vq_tensor **out);
/// x [..., d], codes i32 [...] -> [rows, d], the sum of the rows of each code.
VQ_CHECKED vq_status vq_tensor_scatter_add_rows(
    const vq_tensor *x, const vq_tensor *codes, int64_t rows, vq_tensor **out);
/// codes i32 [...] -> f32 [..., count].
VQ_CHECKED vq_status vq_tensor_one_hot(const vq_tensor *codes, int64_t count, vq_tensor **out);

// MARK: - Operators: products and networks

/// NumPy's matmul: batch axes broadcast, vectors allowed.
VQ_CHECKED vq_status vq_tensor_matmul(const vq_tensor *a, const vq_tensor *b, vq_tensor **out);
/// x [..., in], weight [out, in], bias [out] -> x W^T + bias [..., out].
VQ_CHECKED vq_status vq_tensor_linear(const vq_tensor *x, const vq_tensor *weight,
    const vq_tensor *VQ_NULLABLE bias, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_softmax(const vq_tensor *x, int64_t axis, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_log_softmax(const vq_tensor *x, int64_t axis, vq_tensor **out);
/// Mean over all elements of (prediction - target)^2; equal shapes.
VQ_CHECKED vq_status vq_tensor_mse_loss(
    const vq_tensor *prediction, const vq_tensor *target, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_l1_loss(
    const vq_tensor *prediction, const vq_tensor *target, vq_tensor **out);
/// logits [n, k], labels i32 [n] -> mean negative log likelihood.
VQ_CHECKED vq_status vq_tensor_cross_entropy(
    const vq_tensor *logits, const vq_tensor *labels, float label_smoothing, vq_tensor **out);
/// query [..., n, heads * d], key [..., m, heads * d], value [..., m, heads * e] ->
/// [..., n, heads * e]; key and value NULL where query holds all three side by side. mask NULL, or
/// f32 to add to the scores, or bool, true where a query sees a key, broadcast to
/// [..., heads, n, m].
VQ_CHECKED vq_status vq_tensor_attention(const vq_tensor *query, const vq_tensor *VQ_NULLABLE key,
    const vq_tensor *VQ_NULLABLE value, const vq_tensor *VQ_NULLABLE mask, int64_t heads,
    bool causal, float scale, vq_tensor **out);
/// x [n, h, w, i], weight [o, i / groups, kh, kw], bias [o] or NULL; pairs are (height, width).
VQ_CHECKED vq_status vq_tensor_conv2d(const vq_tensor *x, const vq_tensor *weight,
    const vq_tensor *VQ_NULLABLE bias, const int64_t stride[2], const int64_t padding[2],
    const int64_t dilation[2], int64_t groups, vq_tensor **out);
/// x [n, h, w, i], weight [i, o / groups, kh, kw], bias [o] or NULL.
VQ_CHECKED vq_status vq_tensor_conv_transpose2d(const vq_tensor *x, const vq_tensor *weight,
    const vq_tensor *VQ_NULLABLE bias, const int64_t stride[2], const int64_t padding[2],
    const int64_t output_padding[2], const int64_t dilation[2], int64_t groups, vq_tensor **out);
/// Along one axis, by "constant", "reflect", "replicate" or "circular".
VQ_CHECKED vq_status vq_tensor_pad(const vq_tensor *x, int64_t axis, int64_t before, int64_t after,
    const char *mode, float value, vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_max_pool2d(const vq_tensor *x, const int64_t kernel[2],
    const int64_t stride[2], const int64_t padding[2], vq_tensor **out);
/// Padding counts as zeros.
VQ_CHECKED vq_status vq_tensor_average_pool2d(const vq_tensor *x, const int64_t kernel[2],
    const int64_t stride[2], const int64_t padding[2], vq_tensor **out);
VQ_CHECKED vq_status vq_tensor_upsample_nearest2d(
    const vq_tensor *x, const int64_t scale[2], vq_tensor **out);
/// Over the last axes, those of `weight`; `bias` NULL for 0. `centers` false: RMS norm, without the
/// mean.
VQ_CHECKED vq_status vq_tensor_layer_norm(const vq_tensor *x, const vq_tensor *weight,
    const vq_tensor *VQ_NULLABLE bias, bool centers, float epsilon, vq_tensor **out);
/// x [n, ..., c]; weight and bias [c], NULL for 1 and 0; each group of channels of a sample.
VQ_CHECKED vq_status vq_tensor_group_norm(const vq_tensor *x, int64_t groups,
    const vq_tensor *VQ_NULLABLE weight, const vq_tensor *VQ_NULLABLE bias, float epsilon,
    vq_tensor **out);
/// Over the last axis. In training the running statistics change in place:
/// running = (1 - momentum) running + momentum batch, the variance unbiased.
VQ_CHECKED vq_status vq_tensor_batch_norm(const vq_tensor *x, const vq_tensor *scale,
    const vq_tensor *shift, vq_tensor *running_mean, vq_tensor *running_variance, bool training,
    float momentum, float epsilon, vq_tensor **out);
/// One layer in one direction, from the last step to the first where it is `reversed`: x [t, n, i],
/// h [n, h], weight_ih [g h, i], weight_hh [g h, h], biases [g h] or NULL for 0. `cell`: rnn_tanh
/// or rnn_relu, g = 1; gru, g = 3, gates r, z, n; lstm, g = 4, gates i, f, g, o, which alone takes
/// c [n, h] and gives the last one in `last_c`. `out` [t, n, h].
VQ_CHECKED vq_status vq_tensor_recurrence(const char *cell, const vq_tensor *x, const vq_tensor *h,
    const vq_tensor *VQ_NULLABLE c, const vq_tensor *weight_ih, const vq_tensor *weight_hh,
    const vq_tensor *VQ_NULLABLE bias_ih, const vq_tensor *VQ_NULLABLE bias_hh, bool reversed,
    vq_tensor **out, vq_tensor * VQ_NULLABLE * last_c);

// MARK: - Kinds and their options

typedef enum {
  VQ_OPTION_INTEGER,
  VQ_OPTION_WORD,  ///< the bits of a uint64_t
  VQ_OPTION_NUMBER,
  VQ_OPTION_BOOLEAN,
  VQ_OPTION_TEXT,
  VQ_OPTION_INTEGERS,
  VQ_OPTION_NUMBERS,
  VQ_OPTION_PAIR  ///< in descriptions: two integers, height and width
} vq_option_type;

/// An option by name; the member of its type counts.
typedef struct {
  const char *name;
  vq_option_type type;
  int64_t integer;  ///< of integers, words and booleans
  double number;
  const char *text;
  const int64_t *integers;
  const double *numbers;
  int64_t count;  ///< of integers or numbers
} vq_option;

/// What an option takes and is when it is not given; texts live as long as the library.
typedef struct {
  const char *name;
  vq_option_type type;
  bool required;
  const char *initial;  ///< as text, empty for none
  const char *choices;  ///< the texts that are taken, separated by spaces; empty for any value
  const char *rule;     ///< of values beyond the type, empty for none
} vq_option_description;

/// The kinds that a family has, "module", "optimizer", "schedule" or "estimator", each with the
/// names of its options.
VQ_QUICK vq_status vq_kinds(const char *family, vq_named_texts **out);
/// What a kind takes; the description lives as long as the library.
VQ_QUICK vq_status vq_kind_options(
    const char *family, const char *kind, const vq_option_description **out, int64_t *count);

// MARK: - Lists

void vq_list_release(vq_list *list);
int64_t vq_list_count(const vq_list *list);
/// Name and text are valid as long as the list; NULL beyond it.
const char *vq_list_name(const vq_list *list, int64_t index);
const char *vq_list_text(const vq_named_texts *list, int64_t index);
VQ_QUICK vq_status vq_list_tensor(const vq_named_tensors *list, int64_t index, vq_tensor **out);
VQ_QUICK vq_status vq_list_module(const vq_named_modules *list, int64_t index, vq_module **out);

// MARK: - Random numbers: Philox 4x32-10

VQ_QUICK vq_status vq_generator_create(uint64_t seed, uint64_t stream, vq_generator **out);
void vq_generator_release(vq_generator *generator);
uint64_t vq_generator_counter(const vq_generator *generator);
void vq_generator_set_counter(vq_generator *generator, uint64_t counter);
/// f32 in [low, high).
VQ_CHECKED vq_status vq_generator_uniform(vq_generator *generator,
    const int64_t *shape VQ_LIST(rank), int64_t rank, float low, float high, vq_tensor **out);
VQ_CHECKED vq_status vq_generator_normal(vq_generator *generator,
    const int64_t *shape VQ_LIST(rank), int64_t rank, float mean, float standard_deviation,
    vq_tensor **out);
/// Normal numbers conditioned on minimum...maximum, in standard deviations from the mean.
VQ_CHECKED vq_status vq_generator_truncated_normal(vq_generator *generator,
    const int64_t *shape VQ_LIST(rank), int64_t rank, float mean, float standard_deviation,
    float minimum, float maximum, vq_tensor **out);
/// i32 in 0..<below.
VQ_CHECKED vq_status vq_generator_integers(vq_generator *generator,
    const int64_t *shape VQ_LIST(rank), int64_t rank, int64_t below, vq_tensor **out);
/// i32 0..<count in random order.
VQ_CHECKED vq_status vq_generator_permutation(
    vq_generator *generator, int64_t count, vq_tensor **out);

// MARK: - Modules

/// A module of a kind. Options that are not given are at their initial value; one that is unknown,
/// of another type, or missing though required is refused. `generator` draws initial weights, or in
/// training forwards, where a kind does. A "sequential" takes children, named "0", "1", ...; a
/// "residual" one, as x + child(x).
VQ_QUICK vq_status vq_module_create(const char *kind, const vq_option *options VQ_LIST(count),
    int64_t count, const vq_module *const *children VQ_LIST(child_count), int64_t child_count,
    vq_generator *VQ_NULLABLE generator, vq_module **out);
void vq_module_release(vq_module *module);
VQ_CHECKED vq_status vq_module_forward(vq_module *module, const vq_tensor *x, vq_tensor **out);
VQ_QUICK vq_status vq_module_set_training(vq_module *module, bool training);
bool vq_module_is_training(const vq_module *module);
/// Lets the batch norms of a tree of modules, whose number it writes, take the moments of a
/// training batch that has parts elsewhere: `exchange` replaces the values of this part by those of
/// all. With `moments` they are a count, which may be 0, c means and c sums of squared deviations,
/// 1 + 2 c values; otherwise sums, to be added up. A forward in training calls it once with moments
/// and its backward once with sums, on the thread of the call; false ends that with VQ_ERROR_HOST.
/// `release(context)` is called once, when no batch norm and no tape needs it more, on any thread,
/// and at once after a failure or where there is no batch norm. Both may call this interface.
VQ_CHECKED vq_status vq_module_exchange_moments(vq_module *module,
    bool (*exchange)(void *context, bool moments, double *values, int64_t count),
    void (*release)(void *context), void *context, int64_t *out);
/// Parameters that an outer optimizer may own, then (`all`) those of in-place optimizers too. Names
/// are dotted; the tensors are the parameters themselves.
VQ_QUICK vq_status vq_module_parameters(const vq_module *module, bool all, vq_named_tensors **out);
VQ_QUICK vq_status vq_module_buffers(const vq_module *module, vq_named_tensors **out);
/// Buffers that a state may have or leave out, among those of `vq_module_buffers` or not.
VQ_QUICK vq_status vq_module_optional_buffers(const vq_module *module, vq_named_tensors **out);
/// Generators that layers draw from in training: i32 [6], seed, stream and counter, low words
/// first.
VQ_QUICK vq_status vq_module_generators(const vq_module *module, vq_named_tensors **out);
/// Copies named tensors into parameters and buffers. `strict`: every name once, none else. After a
/// failure nothing has changed. `writes`: false to find out what would fail.
VQ_CHECKED vq_status vq_module_load(vq_module *module, const char *const *names VQ_LIST(count),
    const vq_tensor *const *tensors VQ_LIST(count), int64_t count, bool strict, bool writes);
/// Sets the counters of all generators, each named once and of the same seed and stream.
VQ_QUICK vq_status vq_module_load_generators(vq_module *module,
    const char *const *names VQ_LIST(count), const vq_tensor *const *tensors VQ_LIST(count),
    int64_t count);

// MARK: - Vector quantization

/// What a quantizer's forward returns; every tensor belongs to the caller, who sets `struct_size`.
typedef struct {
  size_t struct_size;
  vq_tensor *z_q;                 ///< z's shape, 0 where the mask is 0
  vq_tensor *q;                   ///< codes, i32 [..., code axes...], -1 where there is none
  vq_tensor *d;                   ///< squared distance to each code, shape of codes
  vq_tensor *loss;                ///< to be added, times alpha, to the task's loss
  vq_tensor *z;                   ///< the vectors as they were compared
  vq_tensor *stage_losses;        ///< [stages]: loss of each stage or group, else [1]
  vq_tensor *stage_perplexities;  ///< [stages]
  float commitment_loss;          ///< (1-beta) part
  float codebook_loss;            ///< beta part
  float regularization;           ///< the rest of the loss
  float perplexity;               ///< 2^entropy of the batch's code usage, mean over stages
  int64_t active_codes;           ///< codes that the batch uses
} vq_quantized;

/// z [..., d]. `mask`, i32 [...], is 0 for vectors to leave out; `stages` of a residual quantizer
/// are used, 0 for all. `logvar`, z's shape, is the log variance that a "sqvae_quant" of types
/// II to IV requires, and no other takes.
VQ_CHECKED vq_status vq_quantizer_forward(vq_module *quantizer, const vq_tensor *z,
    const vq_tensor *VQ_NULLABLE logvar, const vq_tensor *VQ_NULLABLE mask, int64_t stages,
    vq_quantized *out);
/// The same without a tape, for callers with gradients of their own: `state` gets, by name, what
/// the forward read and then changed, as it was when it was read. The rest of what
/// `vq_quantizer_pullback` needs is the state before. After a failure the state is undefined.
VQ_CHECKED vq_status vq_quantizer_trace(vq_module *quantizer, const vq_tensor *z,
    const vq_tensor *VQ_NULLABLE logvar, const vq_tensor *VQ_NULLABLE mask, int64_t stages,
    vq_quantized *out, vq_named_tensors **state);
/// The gradients of a forward that gave `codes`, of a quantizer that has the state which the
/// forward read: by name, those in "z", "logvar" and the parameters that the outer optimizer
/// trains, from those in the forward's z_q, loss, z and stage_losses (NULL for 0). Nothing is
/// looked up again. The quantizer's state is undefined afterwards.
VQ_CHECKED vq_status vq_quantizer_pullback(vq_module *quantizer, const vq_tensor *z,
    const vq_tensor *VQ_NULLABLE logvar, const vq_tensor *VQ_NULLABLE mask, const vq_tensor *codes,
    int64_t stages, const vq_tensor *VQ_NULLABLE output, const vq_tensor *VQ_NULLABLE loss,
    const vq_tensor *VQ_NULLABLE compared, const vq_tensor *VQ_NULLABLE stage_losses,
    vq_named_tensors **out);
/// z [..., d] -> i32 [..., code axes...]; changes no state. Only type IV needs `logvar`.
VQ_CHECKED vq_status vq_quantizer_encode(vq_module *quantizer, const vq_tensor *z,
    const vq_tensor *VQ_NULLABLE logvar, const vq_tensor *VQ_NULLABLE mask, int64_t stages,
    vq_tensor **out);
/// codes i32 [..., code axes...] -> [..., d]; a code of -1 gives 0.
VQ_CHECKED vq_status vq_quantizer_decode(
    vq_module *quantizer, const vq_tensor *codes, vq_tensor **out);
/// Codebooks by k-means++ and `iterations` Lloyd updates of z [..., d]; misuse while frozen.
VQ_CHECKED vq_status vq_quantizer_fit(vq_module *quantizer, const vq_tensor *z,
    const vq_tensor *VQ_NULLABLE mask, int64_t iterations);
/// EMA codebooks from the statistics that wait for an update.
VQ_QUICK vq_status vq_quantizer_update(vq_module *quantizer);
/// From a block of 0 on the quantizer is in the deferred mode: training forwards, of that block of
/// a batch, change no state but keep their vectors and codes, which wait until their statistics are
/// applied; what they draw depends on state and block, and they may have no vectors. A block of -1
/// ends the mode.
VQ_QUICK vq_status vq_quantizer_defer(vq_module *quantizer, int64_t block);
/// VQ_OK unless an option of the quantizer cannot be deferred.
VQ_QUICK vq_status vq_quantizer_check_deferred(vq_module *quantizer);
/// Lloyd updates of the k-means of z that the codebooks are due for, as `fit` makes; -1 for none.
int64_t vq_quantizer_due_fit(const vq_module *quantizer);
/// Stages of forwards that wait for codebook `index`.
int64_t vq_quantizer_waiting_count(const vq_module *quantizer, int64_t index);
/// Vectors [n, code size] and codes i32 [n] of one of them, `part`, and which stage it is.
VQ_QUICK vq_status vq_quantizer_waiting(vq_module *quantizer, int64_t index, int64_t part,
    vq_tensor **vectors, vq_tensor **codes, int64_t *stage);
/// Its counts and sums by code, and the mean and biased variance of its vectors.
VQ_CHECKED vq_status vq_quantizer_waiting_statistics(vq_module *quantizer, int64_t index,
    int64_t part, int64_t *counts VQ_ARRAY(k), int64_t k, double *sums VQ_ARRAY(k, d), int64_t d,
    double *mean VQ_ARRAY(d), double *variance VQ_ARRAY(d));
/// Changes codebook `index` and what belongs to it as one training forward of all vectors would
/// that have these statistics; writes 1 for codes that are dead then, for `replace`, else 0.
VQ_CHECKED vq_status vq_quantizer_apply_statistics(vq_module *quantizer, int64_t index,
    const int64_t *counts VQ_ARRAY(k), int64_t k, const double *sums VQ_ARRAY(k, d), int64_t d,
    const double *mean VQ_ARRAY(d), const double *variance VQ_ARRAY(d), int32_t *dead VQ_ARRAY(k));
/// Rows of 0..n-1, equally likely, for so many dead codes.
VQ_CHECKED vq_status vq_quantizer_draw_rows(
    vq_module *quantizer, int64_t index, int64_t n, int32_t *rows VQ_ARRAY(count), int64_t count);
/// Writes `vectors` [count, code size], moved by a little noise, in the place of these codes.
VQ_CHECKED vq_status vq_quantizer_replace(vq_module *quantizer, int64_t index,
    const int32_t *codes VQ_ARRAY(count), int64_t count, const vq_tensor *vectors);
/// Nothing waits any more, and later forwards draw other numbers.
VQ_QUICK vq_status vq_quantizer_end_update(vq_module *quantizer);
/// Codebooks that vectors are assigned to: one, or those of the groups or stages.
int64_t vq_quantizer_codebook_count(const vq_module *quantizer);
/// [k, code size] after affine map and norm. Gradients reach what an outer optimizer trains: not a
/// codebook that is frozen, has statistics or an in-place optimizer.
VQ_QUICK vq_status vq_quantizer_effective_codebook(
    vq_module *quantizer, int64_t index, vq_tensor **out);
/// false lets vectors pass through unchanged; codes are still found, and no state changes.
VQ_QUICK vq_status vq_quantizer_set_quantizing(vq_module *quantizer, bool quantizing);
bool vq_quantizer_is_quantizing(const vq_module *quantizer);
/// true fixes the codebooks: no gradient, statistics or replacement reaches them.
VQ_QUICK vq_status vq_quantizer_set_frozen(vq_module *quantizer, bool frozen);
bool vq_quantizer_is_frozen(const vq_module *quantizer);
/// `optimizer` owns exactly the raw codebook `index` from now on; NULL gives it back to the outer
/// one.
VQ_QUICK vq_status vq_quantizer_set_inplace_optimizer(
    vq_module *quantizer, int64_t index, vq_optimizer *VQ_NULLABLE optimizer);
/// D/2 log(SSE / batch) of images [batch, ...] of D values.
VQ_CHECKED vq_status vq_gaussian_reconstruction_loss(
    const vq_tensor *x, const vq_tensor *reconstruction, vq_tensor **out);

/// x [n, d], codebook [k, d] -> codes and squared distances of the `count` nearest, nearest first,
/// i32 and f32 [n, count]; of the nearest alone, [n], for a count of 0. The order is that of exact
/// distances in Float64, the lowest index first on equality.
VQ_CHECKED vq_status vq_nearest_codes(const vq_tensor *x, const vq_tensor *codebook, int64_t count,
    vq_tensor **codes, vq_tensor **VQ_NULLABLE distances);
/// The same of Float64 matrices in the caller's memory, compared as they are: codes and, unless
/// NULL, squared distances [n, count].
VQ_CHECKED vq_status vq_nearest_codes_f64(const double *x VQ_ARRAY(n, d), int64_t n,
    const double *codebook VQ_ARRAY(k, d), int64_t k, int64_t d, int64_t count,
    int32_t *codes VQ_ARRAY(n, count), double *VQ_NULLABLE distances VQ_ARRAY(n, count));

/// x [n, d] -> centroids [k, d], codes i32 [n], inertia (sum of squared distances), iterations run.
/// `init` is "kmeans++" or "random"; `initial` [k, d], if not NULL, stands in its place.
VQ_CHECKED vq_status vq_kmeans(const vq_tensor *x, int64_t k, int64_t max_iterations,
    const char *init, const vq_tensor *VQ_NULLABLE initial, uint64_t seed, vq_tensor **centroids,
    vq_tensor **codes, double *inertia, int64_t *iterations);
/// The same of Float64 points in the caller's memory.
VQ_CHECKED vq_status vq_kmeans_f64(const double *x VQ_ARRAY(n, d), int64_t n, int64_t d,
    int64_t max_iterations, const char *init, const double *VQ_NULLABLE initial VQ_ARRAY(k, d),
    uint64_t seed, double *centroids VQ_ARRAY(k, d), int64_t k, int32_t *codes VQ_ARRAY(n),
    double *inertia, int64_t *iterations);

// MARK: - Gradient estimators of quantized weights

/// An estimator h of a kind on the grid of 2^bits values from -bound to bound, bits from 1 to 16.
VQ_QUICK vq_status vq_estimator_create(const char *kind, const vq_option *options VQ_LIST(count),
    int64_t count, int64_t bits, double bound, vq_estimator **out);
void vq_estimator_release(vq_estimator *estimator);
enum { VQ_ESTIMATE_QUANTIZED = 0, VQ_ESTIMATE_H = 1, VQ_ESTIMATE_WARP = 2, VQ_ESTIMATE_UNWARP = 3 };
/// Q(w), h(w), M(w) or its inverse of `count` numbers.
VQ_CHECKED vq_status vq_estimator_evaluate(const vq_estimator *estimator, int32_t what,
    const double *w VQ_ARRAY(count), double *out VQ_ARRAY(count), int64_t count);
/// Whether it has a factor and a warp at all.
bool vq_estimator_has_warp(const vq_estimator *estimator);
/// The factor on the learning rate of the straight-through model that trains like this one.
VQ_QUICK vq_status vq_estimator_alpha(const vq_estimator *estimator, double *out);
/// Why no straight-through model does under SGD; NULL when one does. Valid as long as the
/// estimator.
const char *VQ_NULLABLE vq_estimator_obstacle(const vq_estimator *estimator);
/// The kind of that model's estimator: "ste" or "clipped_ste".
const char *vq_estimator_partner(const vq_estimator *estimator);

/// A module w -> Q(w) with the gradient gradient_scale h(w) g of an estimator. With a `range` its
/// grid follows from `weight`, and `bound` is He's: "max" is the largest absolute weight, "mse" the
/// least mean squared error, "auto" He's bound unless weights that were given or trained are better
/// served by the largest. `per_slice`: a bound for each slice along the first axis. A `layer` has
/// it at once, as by `vq_module_set_weight_quantizer`.
VQ_CHECKED vq_status vq_weight_quantizer_create(const char *kind,
    const vq_option *options VQ_LIST(count), int64_t count, int64_t bits, double bound,
    double gradient_scale, const char *VQ_NULLABLE range, bool per_slice,
    const vq_tensor *VQ_NULLABLE weight, vq_module *VQ_NULLABLE layer, vq_module **out);
/// Takes the bounds of a grid with a range from `w` again; others stay as they are.
VQ_CHECKED vq_status vq_weight_quantizer_fit(const vq_module *quantizer, const vq_tensor *w);
/// The share of the elements of `w` beyond the grid.
VQ_CHECKED vq_status vq_weight_quantizer_clipped_share(
    const vq_module *quantizer, const vq_tensor *w, double *out);
/// w -> i32 number of Q(w) on the grid, from 0 for -bound; -1 for NaN.
VQ_CHECKED vq_status vq_weight_quantizer_codes(
    const vq_module *quantizer, const vq_tensor *w, vq_tensor **out);
/// Linear and convolution layers of a tree of modules; names are dotted, empty for the module
/// itself.
VQ_QUICK vq_status vq_module_weighted_layers(const vq_module *module, vq_named_modules **out);
/// The layer's forward computes with quantizer(weight) from now on; NULL: with the weight.
VQ_QUICK vq_status vq_module_set_weight_quantizer(
    vq_module *layer, const vq_module *VQ_NULLABLE quantizer);

// MARK: - Samples with gradients

/// logits [..., k] -> a one-hot sample of softmax(logits), with ReinMax's gradient.
VQ_CHECKED vq_status vq_tensor_reinmax(
    const vq_tensor *logits, float temperature, vq_generator *generator, vq_tensor **out);
/// logits [..., k] -> softmax((logits + Gumbel noise) / temperature); `hard`: the one-hot rows of
/// its largest elements, with its gradient.
VQ_CHECKED vq_status vq_tensor_gumbel_softmax(const vq_tensor *logits, float temperature, bool hard,
    vq_generator *generator, vq_tensor **out);
/// logits [..., k] -> a one-hot sample of softmax(logits), with the gradient of softmax(logits).
VQ_CHECKED vq_status vq_tensor_straight_through_softmax(
    const vq_tensor *logits, vq_generator *generator, vq_tensor **out);

// MARK: - Metrics. Results are f64; every tensor is read only and none is recorded.

/// counts[j] += uses of code j in codes, i32 of any shape in -1..<num_codes; -1 (masked) is left
/// out. After a failure nothing has changed.
VQ_CHECKED vq_status vq_count_codes(
    const vq_tensor *codes, int64_t *counts VQ_ARRAY(num_codes), int64_t num_codes);
/// Of counts [num_codes]: probabilities [num_codes] (NULL: not wanted) and perplexity 2^H, H their
/// entropy in bits. An error when nothing was counted.
VQ_CHECKED vq_status vq_code_usage(const int64_t *counts VQ_ARRAY(num_codes), int64_t num_codes,
    double *VQ_NULLABLE probabilities VQ_ARRAY(num_codes), double *perplexity);
/// Codes whose count is not 0.
VQ_QUICK vq_status vq_active_codes(
    const int64_t *counts VQ_ARRAY(num_codes), int64_t num_codes, int64_t *out);
/// Mean of (z - z_q)^2 over all elements of z [..., d] where mask, i32 [...] or NULL, is not 0.
VQ_CHECKED vq_status vq_quantization_error(
    const vq_tensor *z, const vq_tensor *z_q, const vq_tensor *VQ_NULLABLE mask, double *out);
/// Mean over the points of p [..., d] of 1/2 |p_i - c_j|^2 to the nearest point of c [..., d].
VQ_CHECKED vq_status vq_divergence(const vq_tensor *p, const vq_tensor *c, double *out);
/// 1/2 mean |p_i - mean p|^2: the divergence of p [..., d] to its mean.
VQ_CHECKED vq_status vq_divergence_bound(const vq_tensor *p, double *out);
/// |exact_i - quantized_i|^2 of `count` pairs of gradients, to out [count].
VQ_CHECKED vq_status vq_gradient_gap(const vq_tensor *const *exact VQ_LIST(count),
    const vq_tensor *const *quantized VQ_LIST(count), int64_t count, double *out VQ_ARRAY(count));
/// |ma - mb|^2 + tr(Sa + Sb - 2 (Sa Sb)^(1/2)), m and S the means and unbiased covariances of
/// features a [n, d] and b [m, d].
VQ_CHECKED vq_status vq_frechet_distance(const double *a VQ_ARRAY(n, d), int64_t n,
    const double *b VQ_ARRAY(m, d), int64_t m, int64_t d, double *out);
/// P(X >= at_least), X binomial with p = 1 / num_codes over the vectors of a batch of images after
/// pool_layers poolings of 2 x 2.
VQ_CHECKED vq_status vq_activation_probability(int64_t num_codes, int64_t batch_size,
    int64_t height, int64_t width, int64_t pool_layers, int64_t at_least, double *out);
/// Mean of (a - b)^2 over all elements.
VQ_CHECKED vq_status vq_mse(const vq_tensor *a, const vq_tensor *b, double *out);
/// 10 log10(data_range^2 / mse) in dB; infinite for equal tensors.
VQ_CHECKED vq_status vq_psnr(
    const vq_tensor *a, const vq_tensor *b, double data_range, double *out);
/// Structural similarity of images [n, h, w, c] over the Gaussian windows, window x window taps of
/// standard deviation sigma, that lie inside: mean over windows, channels and images.
VQ_CHECKED vq_status vq_ssim(const vq_tensor *a, const vq_tensor *b, double data_range,
    int64_t window, double sigma, double *out);

// MARK: - Optimizers

/// An optimizer of a kind, of no parameters yet.
VQ_QUICK vq_status vq_optimizer_create(
    const char *kind, const vq_option *options VQ_LIST(count), int64_t count, vq_optimizer **out);
/// An optimizer of one leaf that the caller steps: `step` owns `gradient`, the parameter's, and
/// writes the parameter by `vq_tensor_refresh`; false ends the call with VQ_ERROR_HOST. It is
/// called on the thread of a step. `release(context)` is called once, with the optimizer or after
/// a failure. Both may call this interface.
VQ_CHECKED vq_status vq_optimizer_create_hosted(const vq_tensor *parameter,
    bool (*step)(void *context, vq_tensor *gradient), void (*release)(void *context), void *context,
    vq_optimizer **out);
void vq_optimizer_release(vq_optimizer *optimizer);
/// Leaves that share a learning rate and a weight decay.
VQ_QUICK vq_status vq_optimizer_add_group(vq_optimizer *optimizer,
    const vq_tensor *const *parameters VQ_LIST(count), int64_t count, double learning_rate,
    double weight_decay);
/// The same with betas of their own, for an optimizer that has betas.
VQ_QUICK vq_status vq_optimizer_add_group_with_betas(vq_optimizer *optimizer,
    const vq_tensor *const *parameters VQ_LIST(count), int64_t count, double learning_rate,
    double weight_decay, double first_beta, double second_beta);
VQ_QUICK vq_status vq_optimizer_set_group(
    vq_optimizer *optimizer, int64_t group, double learning_rate, double weight_decay);
VQ_CHECKED vq_status vq_optimizer_step(vq_optimizer *optimizer);
VQ_QUICK vq_status vq_optimizer_zero_grad(vq_optimizer *optimizer);
VQ_CHECKED vq_status vq_optimizer_state(const vq_optimizer *optimizer, vq_named_tensors **out);
/// `writes`: false to find out what would fail.
VQ_CHECKED vq_status vq_optimizer_load(vq_optimizer *optimizer,
    const char *const *names VQ_LIST(count), const vq_tensor *const *tensors VQ_LIST(count),
    int64_t count, bool writes);
/// Scales the gradients so that their joint L2 norm is at most `maximum`; gives the norm before.
VQ_CHECKED vq_status vq_clip_grad_norm(
    const vq_tensor *const *parameters VQ_LIST(count), int64_t count, float maximum, float *norm);
VQ_CHECKED vq_status vq_clip_grad_value(
    const vq_tensor *const *parameters VQ_LIST(count), int64_t count, float maximum);

/// A kind's factor on the learning rate at `step`, counted from 0.
VQ_QUICK vq_status vq_schedule_factor(const char *kind, const vq_option *options VQ_LIST(count),
    int64_t count, int64_t step, double *out);

// MARK: - Checkpoints: safetensors

/// Puts a complete, synced file in the place of `path`, bytes as the system has them. Links are
/// followed and a file's mode stays; what is no regular file is refused. Names must be given once.
/// Elements are written as they are, F32, F16 or BF16, I32 for a bool.
VQ_CHECKED vq_status vq_archive_save(const char *path, const char *const *names VQ_LIST(count),
    const vq_tensor *const *tensors VQ_LIST(count), int64_t count,
    const char *const *keys VQ_LIST(metadata_count),
    const char *const *values VQ_LIST(metadata_count), int64_t metadata_count);
/// F16, BF16 and F8 become f32 exactly, F64 rounded; integers and BOOL become i32. What these do
/// not hold is left out of the tensors and stands in `unread` with the reason; an error where that
/// leaves none.
VQ_CHECKED vq_status vq_archive_load(const char *path, vq_named_tensors **tensors,
    vq_named_texts **metadata, vq_named_texts **unread);

#ifdef __cplusplus
}
#endif
