#include <string.h>

#include "core.h"

#define AT(parameter) ((place){operation, parameter})

/// What an array of a tensor's elements holds: int32 for bool, bits for halves.
static element_kind elements_of(int32_t dtype) {
  switch (dtype) {
    case VQ_FLOAT32: return FLOAT32;
    case VQ_FLOAT16:
    case VQ_BFLOAT16: return HALF;
    default: return INT32;
  }
}

static PyObject *tensor_create(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "tensor";
  int32_t dtype;
  Py_buffer view = {0};
  vq_tensor *out;
  if (!takes(operation, given, 2) || !take_int32(args[1], AT("dtype"), &dtype)) return NULL;
  element_kind kind = elements_of(dtype);
  PyObject *result = NULL;
  if (!take_array(args[0], AT("array"), kind, -1, 0, &view)) goto end;
  if (view.ndim > MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "[tensor] %d axes: at most %d are taken", view.ndim, MAX_RANK);
    goto end;
  }
  int64_t shape[MAX_RANK];
  for (int axis = 0; axis < view.ndim; axis++) shape[axis] = view.shape[axis];
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_create(dtype, shape, view.ndim, view.buf, &out));
  result = status == VQ_OK ? give_handle(TENSOR_HANDLE, out) : raise_status(status);
end:
  if (view.obj) PyBuffer_Release(&view);
  return result;
}

static PyObject *tensor_copy_out(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "copy_out";
  vq_tensor *tensor;
  Py_buffer view = {0};
  PyObject *result = NULL;
  if (!takes(operation, given, 2) ||
      !take_handle(args[0], AT("tensor"), TENSOR_HANDLE, false, &tensor))
    return NULL;
  element_kind kind = elements_of(vq_tensor_dtype(tensor));
  if (take_array(args[1], AT("array"), kind, -1, PyBUF_WRITABLE, &view)) {
    vq_status status;
    WITHOUT_GIL(status, vq_tensor_copy_out(tensor, view.buf, view.len));
    result = status == VQ_OK ? Py_NewRef(Py_None) : raise_status(status);
  }
  if (view.obj) PyBuffer_Release(&view);
  return result;
}

static PyObject *tensor_shape(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "shape";
  vq_tensor *tensor;
  if (!takes(operation, given, 1) ||
      !take_handle(args[0], AT("tensor"), TENSOR_HANDLE, false, &tensor))
    return NULL;
  int64_t rank = vq_tensor_rank(tensor), shape[MAX_RANK];
  if (rank > MAX_RANK)
    return PyErr_Format(
        PyExc_ValueError, "[shape] %lld axes: at most %d are taken", (long long)rank, MAX_RANK);
  vq_tensor_shape(tensor, shape);
  PyObject *tuple = PyTuple_New(rank);
  for (int64_t axis = 0; tuple && axis < rank; axis++)
    PyTuple_SetItem(tuple, axis, PyLong_FromLongLong(shape[axis]));
  return tuple;
}

static void release_view(void *context) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(context);
  PyMem_Free(context);
  PyGILState_Release(state);
}

/// A tensor over an array's own elements, for searches alone.
static PyObject *points(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "points";
  if (!takes(operation, given, 1)) return NULL;
  Py_buffer *view = PyMem_Calloc(1, sizeof *view);
  if (!view) return PyErr_NoMemory();
  if (!take_array(args[0], AT("array"), FLOAT32, 2, 0, view)) {
    if (view->obj) PyBuffer_Release(view);
    PyMem_Free(view);
    return NULL;
  }
  vq_tensor *out;
  vq_status status = vq_points_create_borrowed(
      view->buf, view->shape[0], view->shape[1], release_view, view, &out);
  return status == VQ_OK ? give_handle(TENSOR_HANDLE, out) : raise_status(status);
}

/// A tensor over an array's own elements, float32 or int32; a copy where they are not aligned.
static PyObject *tensor_borrow(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "tensor";
  if (!takes(operation, given, 1)) return NULL;
  Py_buffer *view = PyMem_Calloc(1, sizeof *view);
  if (!view) return PyErr_NoMemory();
  element_kind kind = FLOAT32;
  if (PyObject_GetBuffer(args[0], view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) == 0) {
    if (view->format && strcmp(view->format, "f") != 0) kind = INT32;
    PyBuffer_Release(view);
  } else {
    PyErr_Clear();
  }
  if (!take_array(args[0], AT("array"), kind, -1, 0, view) || view->ndim > MAX_RANK) {
    if (!PyErr_Occurred())
      PyErr_Format(
          PyExc_ValueError, "[tensor] %d axes: at most %d are taken", view->ndim, MAX_RANK);
    if (view->obj) PyBuffer_Release(view);
    PyMem_Free(view);
    return NULL;
  }
  int64_t shape[MAX_RANK], rank = view->ndim;
  for (int axis = 0; axis < rank; axis++) shape[axis] = view->shape[axis];
  int32_t dtype = kind == FLOAT32 ? VQ_FLOAT32 : VQ_INT32;
  vq_tensor *out;
  vq_status status;
  if ((uintptr_t)view->buf % 64 == 0 && view->len > 0) {
    status = vq_tensor_create_borrowed(dtype, shape, rank, view->buf, release_view, view, &out);
  } else {
    status = vq_tensor_create(dtype, shape, rank, view->buf, &out);
    release_view(view);
  }
  return status == VQ_OK ? give_handle(TENSOR_HANDLE, out) : raise_status(status);
}

/// Writes `size` bytes at an address into a tensor where they differ.
static PyObject *tensor_refresh(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "refresh";
  vq_tensor *tensor;
  uint64_t address;
  int64_t size;
  if (!takes(operation, given, 3) ||
      !take_handle(args[0], AT("tensor"), TENSOR_HANDLE, false, &tensor) ||
      !take_word(args[1], AT("address"), &address) || !take_int64(args[2], AT("size"), &size))
    return NULL;
  vq_status status = vq_tensor_refresh(tensor, (const void *)(uintptr_t)address, size);
  return status == VQ_OK ? Py_NewRef(Py_None) : raise_status(status);
}

/// (family, kind) -> [(name, type, required, initial, choices, rule), ...]
static PyObject *kind_options(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "kind_options";
  static const char *const types[] = {
      "int", "int", "float", "bool", "str", "ints", "floats", "pair"};
  const char *family, *kind;
  const vq_option_description *options;
  int64_t count;
  if (!takes(operation, given, 2) || !take_text(args[0], AT("family"), &family) ||
      !take_text(args[1], AT("kind"), &kind))
    return NULL;
  vq_status status = vq_kind_options(family, kind, &options, &count);
  if (status != VQ_OK) return raise_status(status);
  PyObject *list = PyList_New(count);
  for (int64_t i = 0; list && i < count; i++) {
    const vq_option_description *o = &options[i];
    PyObject *row = Py_BuildValue("(ssNsss)", o->name, types[o->type], PyBool_FromLong(o->required),
        o->initial, o->choices, o->rule);
    if (!row || PyList_SetItem(list, i, row) < 0) Py_CLEAR(list);
  }
  return list;
}

#define ENTRY(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}
PyMethodDef methods_by_hand[] = {
    ENTRY(tensor_create),
    ENTRY(tensor_copy_out),
    ENTRY(tensor_shape),
    ENTRY(points),
    ENTRY(tensor_borrow),
    ENTRY(tensor_refresh),
    ENTRY(tensor_dlpack),
    ENTRY(tensor_record),
    ENTRY(tensor_checkpoint),
    ENTRY(optimizer_create_hosted),
    ENTRY(tensor_backward_by_leaf),
    ENTRY(module_exchange_moments),
    ENTRY(kind_options),
    {NULL, NULL, 0, NULL},
};
