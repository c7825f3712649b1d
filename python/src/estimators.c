#include "core.h"

/// An estimator's options with the samples that they borrow.
typedef struct {
  vq_estimator_options options;
  Py_buffer samples;
  int has_samples;
} estimator;

/// "O&" converter of (kind, bits, bound, parameter, cap, samples or None).
static int to_estimator(PyObject *object, void *out) {
  estimator *e = out;
  if (!object) {
    if (e->has_samples) PyBuffer_Release(&e->samples);
    return 1;
  }
  int kind;
  long long bits;
  PyObject *samples;
  e->has_samples = 0;
  e->options = (vq_estimator_options){.struct_size = sizeof e->options};
  if (!check_tuple(object, "estimator", "kind, bits, bound, parameter, cap, samples") ||
      !PyArg_ParseTuple(object, "iLdddO", &kind, &bits, &e->options.bound, &e->options.parameter,
                        &e->options.cap, &samples))
    return 0;
  e->options.kind = kind;
  e->options.bits = bits;
  if (samples != Py_None) {
    if (!view_elements(samples, "estimator", FLOAT64, 0, &e->samples)) return 0;
    e->has_samples = 1;
    e->options.samples = e->samples.buf;
    e->options.sample_count = words(&e->samples);
  }
  return Py_CLEANUP_SUPPORTED;
}

static void release(estimator *e) { to_estimator(NULL, e); }

static PyObject *estimator_evaluate(PyObject *self, PyObject *args) {
  estimator e;
  int what;
  PyObject *input, *output;
  if (!PyArg_ParseTuple(args, "O&iOO", to_estimator, &e, &what, &input, &output)) return NULL;
  PyObject *result = NULL;
  Py_buffer w, out;
  if (view_elements(input, "estimator", FLOAT64, 0, &w)) {
    if (view_elements(output, "estimator", FLOAT64, PyBUF_WRITABLE, &out)) {
      if (w.len != out.len) {
        PyErr_Format(PyExc_ValueError, "[estimator] %zd bytes in, %zd out", w.len, out.len);
      } else {
        vq_status status;
        WITHOUT_GIL(status, vq_estimator_evaluate(&e.options, what, w.buf, words(&w), out.buf));
        result = none_or_raise(status);
      }
      PyBuffer_Release(&out);
    }
    PyBuffer_Release(&w);
  }
  release(&e);
  return result;
}

static PyObject *estimator_alpha(PyObject *self, PyObject *args) {
  estimator e;
  if (!PyArg_ParseTuple(args, "O&", to_estimator, &e)) return NULL;
  double alpha;
  vq_status status = vq_estimator_alpha(&e.options, &alpha);
  release(&e);
  return status == VQ_OK ? PyFloat_FromDouble(alpha) : raise_status(status);
}

static PyObject *estimator_obstacle(PyObject *self, PyObject *args) {
  estimator e;
  if (!PyArg_ParseTuple(args, "O&", to_estimator, &e)) return NULL;
  char text[256];
  vq_status status = vq_estimator_obstacle(&e.options, text, sizeof text);
  release(&e);
  if (status != VQ_OK) return raise_status(status);
  if (!text[0]) Py_RETURN_NONE;
  return PyUnicode_FromString(text);
}

static PyObject *estimator_partner(PyObject *self, PyObject *args) {
  estimator e;
  if (!PyArg_ParseTuple(args, "O&", to_estimator, &e)) return NULL;
  int32_t kind;
  vq_status status = vq_estimator_partner(&e.options, &kind);
  release(&e);
  return status == VQ_OK ? PyLong_FromLong(kind) : raise_status(status);
}

static PyObject *weight_quantizer_create(PyObject *self, PyObject *args) {
  estimator e;
  double scale;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "O&d", to_estimator, &e, &scale)) return NULL;
  vq_status status = vq_weight_quantizer_create(&e.options, scale, &out);
  release(&e);
  return wrap(status, MODULE_HANDLE, &out);
}

static PyObject *weight_quantizer_create_ranged(PyObject *self, PyObject *args) {
  estimator e;
  double scale;
  int range, per_slice, scales;
  vq_tensor *weight;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "O&dippO&", to_estimator, &e, &scale, &range, &per_slice, &scales,
                        to_tensor, &weight))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_weight_quantizer_create_ranged(&e.options, scale, range, per_slice, scales,
                                                        weight, &out));
  release(&e);
  return wrap(status, MODULE_HANDLE, &out);
}

static PyObject *weight_quantizer_fit(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *w;
  if (!PyArg_ParseTuple(args, "O&O&", to_module, &quantizer, to_tensor, &w)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_weight_quantizer_fit(quantizer, w));
  return none_or_raise(status);
}

static PyObject *weight_quantizer_clipped_share(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *w;
  double share;
  if (!PyArg_ParseTuple(args, "O&O&", to_module, &quantizer, to_tensor, &w)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_weight_quantizer_clipped_share(quantizer, w, &share));
  return status == VQ_OK ? PyFloat_FromDouble(share) : raise_status(status);
}

static PyObject *weight_quantizer_codes(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *w, *out;
  if (!PyArg_ParseTuple(args, "O&O&", to_module, &quantizer, to_tensor, &w)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_weight_quantizer_codes(quantizer, w, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *module_weighted_layers(PyObject *self, PyObject *args) {
  vq_module *module;
  if (!PyArg_ParseTuple(args, "O&", to_module, &module)) return NULL;
  PyObject *list = PyList_New(0);
  int64_t count = vq_module_weighted_layer_count(module);
  for (int64_t i = 0; list && i < count; i++) {
    const char *name = NULL;
    vq_module *layer = NULL;
    vq_status status = vq_module_weighted_layer(module, i, &name, &layer);
    if (!append_named(list, status, name, MODULE_HANDLE, &layer)) Py_CLEAR(list);
  }
  return list;
}

static PyObject *module_set_weight_quantizer(PyObject *self, PyObject *args) {
  vq_module *layer, *quantizer = NULL;
  PyObject *object;
  if (!PyArg_ParseTuple(args, "O&O", to_module, &layer, &object)) return NULL;
  if (object != Py_None && !to_module(object, &quantizer)) return NULL;
  return none_or_raise(vq_module_set_weight_quantizer(layer, quantizer));
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef estimator_methods[] = {
    ENTRY(estimator_evaluate),
    ENTRY(estimator_alpha),
    ENTRY(estimator_obstacle),
    ENTRY(estimator_partner),
    ENTRY(weight_quantizer_create),
    ENTRY(weight_quantizer_codes),
    ENTRY(weight_quantizer_create_ranged),
    ENTRY(weight_quantizer_fit),
    ENTRY(weight_quantizer_clipped_share),
    ENTRY(module_weighted_layers),
    ENTRY(module_set_weight_quantizer),
    {NULL, NULL, 0, NULL},
};
