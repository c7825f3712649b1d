#include "core.h"

static PyObject *number(vq_status status, double value) {
  return status == VQ_OK ? PyFloat_FromDouble(value) : raise_status(status);
}

static PyObject *count_codes(PyObject *self, PyObject *args) {
  vq_tensor *codes;
  PyObject *array;
  Py_buffer counts;
  if (!PyArg_ParseTuple(args, "O&O", to_tensor, &codes, &array)) return NULL;
  if (!view_elements(array, "count_codes", INT64, PyBUF_WRITABLE, &counts)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_count_codes(codes, counts.buf, words(&counts)));
  PyBuffer_Release(&counts);
  return none_or_raise(status);
}

static PyObject *code_usage(PyObject *self, PyObject *args) {
  PyObject *array, *target;
  Py_buffer counts, probabilities;
  if (!PyArg_ParseTuple(args, "OO", &array, &target)) return NULL;
  if (!view_elements(array, "code_usage", INT64, 0, &counts)) return NULL;
  int wanted = target != Py_None;
  if (wanted && !view_elements(target, "code_usage", FLOAT64, PyBUF_WRITABLE, &probabilities)) {
    PyBuffer_Release(&counts);
    return NULL;
  }
  PyObject *result = NULL;
  if (wanted && probabilities.len != counts.len) {
    PyErr_Format(PyExc_ValueError, "[code_usage] %lld probabilities of %lld counts",
                 (long long)words(&probabilities), (long long)words(&counts));
  } else {
    double perplexity;
    vq_status status;
    WITHOUT_GIL(status, vq_code_usage(counts.buf, words(&counts), wanted ? probabilities.buf : NULL,
                                      &perplexity));
    result = number(status, perplexity);
  }
  if (wanted) PyBuffer_Release(&probabilities);
  PyBuffer_Release(&counts);
  return result;
}

static PyObject *active_codes(PyObject *self, PyObject *args) {
  PyObject *array;
  Py_buffer counts;
  if (!PyArg_ParseTuple(args, "O", &array)) return NULL;
  if (!view_elements(array, "active_codes", INT64, 0, &counts)) return NULL;
  int64_t active;
  vq_status status = vq_active_codes(counts.buf, words(&counts), &active);
  PyBuffer_Release(&counts);
  return status == VQ_OK ? PyLong_FromLongLong(active) : raise_status(status);
}

static PyObject *gradient_gap(PyObject *self, PyObject *args) {
  PyObject *first, *second, *array;
  if (!PyArg_ParseTuple(args, "OOO", &first, &second, &array)) return NULL;
  handle_list exact, quantized;
  if (!read_list(first, TENSOR_HANDLE, 0, &exact)) return NULL;
  if (!read_list(second, TENSOR_HANDLE, 0, &quantized)) {
    clear_list(&exact);
    return NULL;
  }
  PyObject *result = NULL;
  Py_buffer out;
  if (view_elements(array, "gradient_gap", FLOAT64, PyBUF_WRITABLE, &out)) {
    if (exact.count != quantized.count || exact.count != words(&out)) {
      PyErr_Format(PyExc_ValueError, "[gradient_gap] %lld and %lld gradients, room for %lld",
                   (long long)exact.count, (long long)quantized.count, (long long)words(&out));
    } else {
      vq_status status;
      WITHOUT_GIL(status, vq_gradient_gap((const vq_tensor *const *)exact.handles,
                                          (const vq_tensor *const *)quantized.handles, exact.count,
                                          out.buf));
      result = none_or_raise(status);
    }
    PyBuffer_Release(&out);
  }
  clear_list(&exact);
  clear_list(&quantized);
  return result;
}

/// One number: what it parses, the native call.
#define METRIC(name, format, declarations, targets, call)      \
  static PyObject *name(PyObject *self, PyObject *args) {      \
    declarations;                                              \
    if (!PyArg_ParseTuple(args, format, targets)) return NULL; \
    double out = 0;                                            \
    vq_status status;                                          \
    WITHOUT_GIL(status, call);                                 \
    return number(status, out);                                \
  }
#define LIST(...) __VA_ARGS__

METRIC(quantization_error, "O&O&O&", LIST(vq_tensor *z, *z_q, *mask),
       LIST(to_tensor, &z, to_tensor, &z_q, to_optional_tensor, &mask),
       vq_quantization_error(z, z_q, mask, &out))
METRIC(divergence, "O&O&", LIST(vq_tensor *p, *c), LIST(to_tensor, &p, to_tensor, &c),
       vq_divergence(p, c, &out))
METRIC(divergence_bound, "O&", vq_tensor *p, LIST(to_tensor, &p), vq_divergence_bound(p, &out))
METRIC(activation_probability, "LLLLLL", long long codes; long long batch; long long height;
       long long width; long long pools;
       long long least, LIST(&codes, &batch, &height, &width, &pools, &least),
       vq_activation_probability(codes, batch, height, width, pools, least, &out))
METRIC(mse, "O&O&", LIST(vq_tensor *a, *b), LIST(to_tensor, &a, to_tensor, &b), vq_mse(a, b, &out))
METRIC(psnr, "O&O&d", LIST(vq_tensor *a, *b);
       double range, LIST(to_tensor, &a, to_tensor, &b, &range), vq_psnr(a, b, range, &out))
METRIC(ssim, "O&O&dLd", LIST(vq_tensor *a, *b); double range; long long window;
       double sigma, LIST(to_tensor, &a, to_tensor, &b, &range, &window, &sigma),
       vq_ssim(a, b, range, window, sigma, &out))

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef metric_methods[] = {
    ENTRY(count_codes),  ENTRY(code_usage),
    ENTRY(active_codes), ENTRY(quantization_error),
    ENTRY(divergence),   ENTRY(divergence_bound),
    ENTRY(gradient_gap), ENTRY(activation_probability),
    ENTRY(mse),          ENTRY(psnr),
    ENTRY(ssim),         {NULL, NULL, 0, NULL},
};
