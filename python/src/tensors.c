#include "core.h"

static PyObject *tensor_create(PyObject *self, PyObject *args) {
  PyObject *array;
  int dtype;
  if (!PyArg_ParseTuple(args, "Oi", &array, &dtype)) return NULL;
  Py_buffer view;
  if (!view_elements(array, "tensor", dtype == VQ_FLOAT32 ? FLOAT32 : INT32, 0, &view)) return NULL;
  if (view.ndim > MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "[tensor] %d axes: at most %d are taken", view.ndim, MAX_RANK);
    PyBuffer_Release(&view);
    return NULL;
  }
  int64_t shape[MAX_RANK];
  for (int axis = 0; axis < view.ndim; axis++) shape[axis] = view.shape[axis];
  vq_tensor *out;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_create(dtype, shape, view.ndim, view.buf, &out));
  PyBuffer_Release(&view);
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *tensor_copy_out(PyObject *self, PyObject *args) {
  vq_tensor *tensor;
  PyObject *array;
  if (!PyArg_ParseTuple(args, "O&O", to_tensor, &tensor, &array)) return NULL;
  Py_buffer view;
  element_kind kind = vq_tensor_dtype(tensor) == VQ_FLOAT32 ? FLOAT32 : INT32;
  if (!view_elements(array, "copy_out", kind, PyBUF_WRITABLE, &view)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_copy_out(tensor, view.buf, view.len));
  PyBuffer_Release(&view);
  return none_or_raise(status);
}

static PyObject *tensor_shape(PyObject *self, PyObject *args) {
  vq_tensor *tensor;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  int64_t rank = vq_tensor_rank(tensor), shape[MAX_RANK];
  if (rank > MAX_RANK)
    return PyErr_Format(PyExc_ValueError, "[shape] %lld axes: at most %d are taken",
                        (long long)rank, MAX_RANK);
  vq_tensor_shape(tensor, shape);
  PyObject *tuple = PyTuple_New(rank);
  for (int64_t axis = 0; tuple && axis < rank; axis++)
    PyTuple_SetItem(tuple, axis, PyLong_FromLongLong(shape[axis]));
  return tuple;
}

static PyObject *tensor_dtype(PyObject *self, PyObject *args) {
  vq_tensor *tensor;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  return PyLong_FromLong(vq_tensor_dtype(tensor));
}

static PyObject *tensor_requires_grad(PyObject *self, PyObject *args) {
  vq_tensor *tensor;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  return PyBool_FromLong(vq_tensor_requires_grad(tensor));
}

static PyObject *tensor_is_leaf(PyObject *self, PyObject *args) {
  vq_tensor *tensor;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  return PyBool_FromLong(vq_tensor_is_leaf(tensor));
}

static PyObject *tensor_is_written(PyObject *self, PyObject *args) {
  vq_tensor *tensor;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  return PyBool_FromLong(vq_tensor_is_written(tensor));
}

static PyObject *tensor_requiring_grad(PyObject *self, PyObject *args) {
  vq_tensor *tensor, *out;
  int role;
  if (!PyArg_ParseTuple(args, "O&i", to_tensor, &tensor, &role)) return NULL;
  return wrap(vq_tensor_requiring_grad(tensor, role, &out), TENSOR_HANDLE, &out);
}

static PyObject *tensor_detach(PyObject *self, PyObject *args) {
  vq_tensor *tensor, *out;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  return wrap(vq_tensor_detach(tensor, &out), TENSOR_HANDLE, &out);
}

static PyObject *tensor_grad(PyObject *self, PyObject *args) {
  vq_tensor *tensor, *out;
  if (!PyArg_ParseTuple(args, "O&", to_tensor, &tensor)) return NULL;
  vq_status status = vq_tensor_grad(tensor, &out);
  if (status == VQ_OK && !out) Py_RETURN_NONE;
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *tensor_set_grad(PyObject *self, PyObject *args) {
  vq_tensor *tensor, *gradient;
  if (!PyArg_ParseTuple(args, "O&O&", to_tensor, &tensor, to_optional_tensor, &gradient))
    return NULL;
  return none_or_raise(vq_tensor_set_grad(tensor, gradient));
}

static PyObject *tensor_assign(PyObject *self, PyObject *args) {
  vq_tensor *tensor, *source;
  if (!PyArg_ParseTuple(args, "O&O&", to_tensor, &tensor, to_tensor, &source)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_assign(tensor, source));
  return none_or_raise(status);
}

static PyObject *tensor_backward(PyObject *self, PyObject *args) {
  vq_tensor *tensor, *gradient;
  int retain;
  if (!PyArg_ParseTuple(args, "O&O&p", to_tensor, &tensor, to_optional_tensor, &gradient, &retain))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_backward(tensor, gradient, retain));
  return none_or_raise(status);
}

static PyObject *generator_create(PyObject *self, PyObject *args) {
  unsigned long long seed, stream;
  vq_generator *out;
  if (!PyArg_ParseTuple(args, "KK", &seed, &stream)) return NULL;
  return wrap(vq_generator_create(seed, stream, &out), GENERATOR_HANDLE, &out);
}

static PyObject *generator_counter(PyObject *self, PyObject *args) {
  vq_generator *generator;
  if (!PyArg_ParseTuple(args, "O&", to_generator, &generator)) return NULL;
  return PyLong_FromUnsignedLongLong(vq_generator_counter(generator));
}

static PyObject *generator_set_counter(PyObject *self, PyObject *args) {
  vq_generator *generator;
  unsigned long long counter;
  if (!PyArg_ParseTuple(args, "O&K", to_generator, &generator, &counter)) return NULL;
  vq_generator_set_counter(generator, counter);
  Py_RETURN_NONE;
}

#define DRAW(name)                                                                              \
  static PyObject *generator_##name(PyObject *self, PyObject *args) {                           \
    vq_generator *generator;                                                                    \
    size_list shape;                                                                            \
    float a, b;                                                                                 \
    if (!PyArg_ParseTuple(args, "O&O&ff", to_generator, &generator, to_sizes, &shape, &a, &b))  \
      return NULL;                                                                              \
    vq_tensor *out;                                                                             \
    vq_status status;                                                                           \
    WITHOUT_GIL(status, vq_generator_##name(generator, shape.values, shape.count, a, b, &out)); \
    return wrap(status, TENSOR_HANDLE, &out);                                                   \
  }
DRAW(uniform)
DRAW(normal)

static PyObject *generator_integers(PyObject *self, PyObject *args) {
  vq_generator *generator;
  size_list shape;
  long long below;
  vq_tensor *out;
  if (!PyArg_ParseTuple(args, "O&O&L", to_generator, &generator, to_sizes, &shape, &below))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_generator_integers(generator, shape.values, shape.count, below, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *generator_permutation(PyObject *self, PyObject *args) {
  vq_generator *generator;
  long long count;
  vq_tensor *out;
  if (!PyArg_ParseTuple(args, "O&L", to_generator, &generator, &count)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_generator_permutation(generator, count, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *set_threads(PyObject *self, PyObject *args) {
  long long count;
  if (!PyArg_ParseTuple(args, "L", &count)) return NULL;
  return none_or_raise(vq_set_threads(count));
}

static PyObject *get_threads(PyObject *self, PyObject *ignored) {
  return PyLong_FromLongLong(vq_get_threads());
}

static PyObject *set_flush_denormal(PyObject *self, PyObject *args) {
  int flush;
  if (!PyArg_ParseTuple(args, "p", &flush)) return NULL;
  return PyBool_FromLong(vq_set_flush_denormal(flush));
}

static PyObject *set_exact_convolutions(PyObject *self, PyObject *args) {
  int exact;
  if (!PyArg_ParseTuple(args, "p", &exact)) return NULL;
  return PyBool_FromLong(vq_set_exact_convolutions(exact));
}

static PyObject *set_grad_enabled(PyObject *self, PyObject *args) {
  int enabled;
  if (!PyArg_ParseTuple(args, "p", &enabled)) return NULL;
  return PyBool_FromLong(vq_set_grad_enabled(enabled));
}

static PyObject *grad_enabled(PyObject *self, PyObject *ignored) {
  return PyBool_FromLong(vq_grad_enabled());
}

static PyObject *live_handles(PyObject *self, PyObject *ignored) {
  return PyLong_FromLongLong(vq_live_handles());
}

static PyObject *libraries(PyObject *self, PyObject *ignored) {
  return PyUnicode_FromString(vq_libraries());
}

PyMethodDef tensor_methods[] = {
    {"tensor_create", tensor_create, METH_VARARGS, NULL},
    {"tensor_copy_out", tensor_copy_out, METH_VARARGS, NULL},
    {"tensor_shape", tensor_shape, METH_VARARGS, NULL},
    {"tensor_dtype", tensor_dtype, METH_VARARGS, NULL},
    {"tensor_requires_grad", tensor_requires_grad, METH_VARARGS, NULL},
    {"tensor_is_leaf", tensor_is_leaf, METH_VARARGS, NULL},
    {"tensor_is_written", tensor_is_written, METH_VARARGS, NULL},
    {"tensor_requiring_grad", tensor_requiring_grad, METH_VARARGS, NULL},
    {"tensor_detach", tensor_detach, METH_VARARGS, NULL},
    {"tensor_grad", tensor_grad, METH_VARARGS, NULL},
    {"tensor_set_grad", tensor_set_grad, METH_VARARGS, NULL},
    {"tensor_assign", tensor_assign, METH_VARARGS, NULL},
    {"tensor_backward", tensor_backward, METH_VARARGS, NULL},
    {"generator_create", generator_create, METH_VARARGS, NULL},
    {"generator_counter", generator_counter, METH_VARARGS, NULL},
    {"generator_set_counter", generator_set_counter, METH_VARARGS, NULL},
    {"generator_uniform", generator_uniform, METH_VARARGS, NULL},
    {"generator_normal", generator_normal, METH_VARARGS, NULL},
    {"generator_integers", generator_integers, METH_VARARGS, NULL},
    {"generator_permutation", generator_permutation, METH_VARARGS, NULL},
    {"set_threads", set_threads, METH_VARARGS, NULL},
    {"get_threads", get_threads, METH_NOARGS, NULL},
    {"set_flush_denormal", set_flush_denormal, METH_VARARGS, NULL},
    {"set_exact_convolutions", set_exact_convolutions, METH_VARARGS, NULL},
    {"set_grad_enabled", set_grad_enabled, METH_VARARGS, NULL},
    {"grad_enabled", grad_enabled, METH_NOARGS, NULL},
    {"live_handles", live_handles, METH_NOARGS, NULL},
    {"libraries", libraries, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
