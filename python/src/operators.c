#include "core.h"

/// One operator: what it parses, the native call, the tensor it gives.
#define OPERATOR(name, format, declarations, targets, call)          \
  static PyObject *operator_##name(PyObject *self, PyObject *args) { \
    declarations;                                                    \
    if (!PyArg_ParseTuple(args, format, targets)) return NULL;       \
    vq_tensor *out;                                                  \
    vq_status status;                                                \
    WITHOUT_GIL(status, call);                                       \
    return wrap(status, TENSOR_HANDLE, &out);                        \
  }
#define LIST(...) __VA_ARGS__

#define UNARY(name) \
  OPERATOR(name, "O&", vq_tensor *x, LIST(to_tensor, &x), vq_tensor_##name(x, &out))
#define BINARY(name)                                                                 \
  OPERATOR(name, "O&O&", LIST(vq_tensor *a, *b), LIST(to_tensor, &a, to_tensor, &b), \
           vq_tensor_##name(a, b, &out))

BINARY(add)
BINARY(subtract)
BINARY(multiply)
BINARY(divide)
BINARY(maximum)
BINARY(minimum)
BINARY(matmul)
BINARY(gather_rows)
BINARY(mse_loss)
BINARY(l1_loss)
BINARY(floor_divide)
BINARY(remainder)
BINARY(bitwise_and)
BINARY(bitwise_or)
BINARY(bitwise_xor)
UNARY(negate)
UNARY(exp)
UNARY(log)
UNARY(sqrt)
UNARY(tanh)
UNARY(sigmoid)
UNARY(relu)
UNARY(gelu)
UNARY(silu)
UNARY(abs)
UNARY(square)

#define REDUCTION(name)                                                    \
  OPERATOR(name, "O&O&p", vq_tensor *x; size_list axes;                    \
           int keep, LIST(to_tensor, &x, to_optional_sizes, &axes, &keep), \
           vq_tensor_##name(x, axes.given ? axes.values : NULL, axes.count, keep, &out))
REDUCTION(sum)
REDUCTION(mean)
REDUCTION(max)
REDUCTION(min)

#define ALONG_AXIS(name)              \
  OPERATOR(name, "O&L", vq_tensor *x; \
           long long axis, LIST(to_tensor, &x, &axis), vq_tensor_##name(x, axis, &out))
ALONG_AXIS(argmax)
ALONG_AXIS(softmax)
ALONG_AXIS(log_softmax)
ALONG_AXIS(one_hot)

#define SHAPED(name)                                                                           \
  OPERATOR(name, "O&O&", vq_tensor *x; size_list sizes, LIST(to_tensor, &x, to_sizes, &sizes), \
                                       vq_tensor_##name(x, sizes.values, sizes.count, &out))
SHAPED(reshape)
SHAPED(permute)
SHAPED(broadcast_to)

#define JOINING(name)                                                                              \
  static PyObject *operator_##name(PyObject *self, PyObject *args) {                               \
    PyObject *sequence;                                                                            \
    long long axis;                                                                                \
    handle_list list;                                                                              \
    if (!PyArg_ParseTuple(args, "OL", &sequence, &axis)) return NULL;                              \
    if (!read_list(sequence, TENSOR_HANDLE, 0, &list)) return NULL;                                \
    vq_tensor *out;                                                                                \
    vq_status status;                                                                              \
    WITHOUT_GIL(status,                                                                            \
                vq_tensor_##name((const vq_tensor *const *)list.handles, list.count, axis, &out)); \
    clear_list(&list);                                                                             \
    return wrap(status, TENSOR_HANDLE, &out);                                                      \
  }
JOINING(concatenate)
JOINING(stack)

OPERATOR(variance, "O&O&pp", vq_tensor *x; size_list axes; int keep;
         int unbiased, LIST(to_tensor, &x, to_optional_sizes, &axes, &keep, &unbiased),
         vq_tensor_variance(x, axes.given ? axes.values : NULL, axes.count, keep, unbiased, &out))

OPERATOR(astype, "O&i", vq_tensor *x;
         int dtype, LIST(to_tensor, &x, &dtype), vq_tensor_astype(x, dtype, &out))

OPERATOR(compare, "O&O&i", LIST(vq_tensor *a, *b);
         int kind, LIST(to_tensor, &a, to_tensor, &b, &kind),
         vq_tensor_compare(a, b, (vq_comparison)kind, &out))

OPERATOR(where, "O&O&O&", LIST(vq_tensor *condition, *a, *b),
         LIST(to_tensor, &condition, to_tensor, &a, to_tensor, &b),
         vq_tensor_where(condition, a, b, &out))

OPERATOR(pow, "O&f", vq_tensor *x;
         float exponent, LIST(to_tensor, &x, &exponent), vq_tensor_pow(x, exponent, &out))

OPERATOR(clamp, "O&O&O&", vq_tensor *x; optional_float low;
         optional_float high,
         LIST(to_tensor, &x, to_optional_float, &low, to_optional_float, &high),
         vq_tensor_clamp(x, low.pointer, high.pointer, &out))

OPERATOR(dropout, "O&fO&", vq_tensor *x; float probability;
         vq_generator * generator, LIST(to_tensor, &x, &probability, to_generator, &generator),
         vq_tensor_dropout(x, probability, generator, &out))

OPERATOR(slice, "O&LLLL", vq_tensor *x; long long axis; long long from; long long to;
         long long step, LIST(to_tensor, &x, &axis, &from, &to, &step),
         vq_tensor_slice(x, axis, from, to, step, &out))

OPERATOR(scatter_add_rows, "O&O&L", LIST(vq_tensor *x, *codes);
         long long rows, LIST(to_tensor, &x, to_tensor, &codes, &rows),
         vq_tensor_scatter_add_rows(x, codes, rows, &out))

OPERATOR(cross_entropy, "O&O&f", LIST(vq_tensor *logits, *labels);
         float smoothing, LIST(to_tensor, &logits, to_tensor, &labels, &smoothing),
         vq_tensor_cross_entropy(logits, labels, smoothing, &out))

OPERATOR(conv2d, "O&O&O&O&O&", LIST(vq_tensor *x, *weight, *bias); int64_t stride[2];
         int64_t padding[2],
         LIST(to_tensor, &x, to_tensor, &weight, to_optional_tensor, &bias, to_pair, stride,
              to_pair, padding),
         vq_tensor_conv2d(x, weight, bias, stride, padding, &out))

OPERATOR(conv_transpose2d, "O&O&O&O&O&O&", LIST(vq_tensor *x, *weight, *bias); int64_t stride[2];
         int64_t padding[2];
         int64_t output_padding[2],
         LIST(to_tensor, &x, to_tensor, &weight, to_optional_tensor, &bias, to_pair, stride,
              to_pair, padding, to_pair, output_padding),
         vq_tensor_conv_transpose2d(x, weight, bias, stride, padding, output_padding, &out))

#define POOLING(name)                                                               \
  OPERATOR(name, "O&O&O&O&", vq_tensor *x; int64_t kernel[2]; int64_t stride[2];    \
           int64_t padding[2],                                                      \
           LIST(to_tensor, &x, to_pair, kernel, to_pair, stride, to_pair, padding), \
           vq_tensor_##name(x, kernel, stride, padding, &out))
POOLING(max_pool2d)
POOLING(average_pool2d)

OPERATOR(upsample_nearest2d, "O&O&", vq_tensor *x; int64_t scale[2],
                                                   LIST(to_tensor, &x, to_pair, scale),
                                                   vq_tensor_upsample_nearest2d(x, scale, &out))

OPERATOR(batch_norm, "O&O&O&O&O&pff", LIST(vq_tensor *x, *scale, *shift, *mean, *variance);
         int training; float momentum;
         float epsilon,
         LIST(to_tensor, &x, to_tensor, &scale, to_tensor, &shift, to_tensor, &mean, to_tensor,
              &variance, &training, &momentum, &epsilon),
         vq_tensor_batch_norm(x, scale, shift, mean, variance, training, momentum, epsilon, &out))

#define ENTRY(name) {#name, operator_##name, METH_VARARGS, NULL}
PyMethodDef operator_methods[] = {
    ENTRY(add),
    ENTRY(subtract),
    ENTRY(multiply),
    ENTRY(divide),
    ENTRY(maximum),
    ENTRY(minimum),
    ENTRY(matmul),
    ENTRY(gather_rows),
    ENTRY(mse_loss),
    ENTRY(l1_loss),
    ENTRY(floor_divide),
    ENTRY(remainder),
    ENTRY(bitwise_and),
    ENTRY(bitwise_or),
    ENTRY(bitwise_xor),
    ENTRY(astype),
    ENTRY(compare),
    ENTRY(where),
    ENTRY(negate),
    ENTRY(exp),
    ENTRY(log),
    ENTRY(sqrt),
    ENTRY(tanh),
    ENTRY(sigmoid),
    ENTRY(relu),
    ENTRY(gelu),
    ENTRY(silu),
    ENTRY(abs),
    ENTRY(square),
    ENTRY(sum),
    ENTRY(mean),
    ENTRY(max),
    ENTRY(min),
    ENTRY(argmax),
    ENTRY(softmax),
    ENTRY(log_softmax),
    ENTRY(one_hot),
    ENTRY(reshape),
    ENTRY(permute),
    ENTRY(broadcast_to),
    ENTRY(concatenate),
    ENTRY(stack),
    ENTRY(variance),
    ENTRY(pow),
    ENTRY(clamp),
    ENTRY(dropout),
    ENTRY(slice),
    ENTRY(scatter_add_rows),
    ENTRY(cross_entropy),
    ENTRY(conv2d),
    ENTRY(conv_transpose2d),
    ENTRY(max_pool2d),
    ENTRY(average_pool2d),
    ENTRY(upsample_nearest2d),
    ENTRY(batch_norm),
    {NULL, NULL, 0, NULL},
};
