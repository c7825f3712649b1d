#include <stdlib.h>
#include <string.h>

#include "core.h"

bool refuse(place at, PyObject *object, const char *required) {
  PyErr_Clear();
  PyObject *name = PyType_GetName(Py_TYPE(object));
  if (name)
    PyErr_Format(PyExc_TypeError, "[%s] %s has type %S: %s is required", at.operation, at.name,
        name, required);
  Py_XDECREF(name);
  return false;
}

bool takes(const char *operation, Py_ssize_t given, Py_ssize_t count) {
  if (given == count) return true;
  PyErr_Format(PyExc_TypeError, "[%s] %zd arguments: %zd are required", operation, given, count);
  return false;
}

bool take_boolean(PyObject *object, place at, bool *out) {
  int truth = PyObject_IsTrue(object);
  *out = truth > 0;
  return truth >= 0 || refuse(at, object, "a bool");
}

/// An integer, or the exception of one that is too large for `type`.
static PyObject *integer(PyObject *object, place at) {
  PyObject *index = PyNumber_Index(object);
  if (!index) refuse(at, object, "an int");
  return index;
}

static bool overflows(place at, PyObject *index, const char *type) {
  PyErr_Clear();
  PyErr_Format(
      PyExc_OverflowError, "[%s] %s = %S: must fit in %s", at.operation, at.name, index, type);
  Py_DECREF(index);
  return false;
}

bool take_int64(PyObject *object, place at, int64_t *out) {
  PyObject *index = integer(object, at);
  if (!index) return false;
  int overflow;
  *out = PyLong_AsLongLongAndOverflow(index, &overflow);
  if (overflow) return overflows(at, index, "int64");
  Py_DECREF(index);
  return true;
}

bool take_int32(PyObject *object, place at, int32_t *out) {
  PyObject *index = integer(object, at);
  if (!index) return false;
  int overflow;
  long long value = PyLong_AsLongLongAndOverflow(index, &overflow);
  if (overflow || value != (int32_t)value) return overflows(at, index, "int32");
  *out = (int32_t)value;
  Py_DECREF(index);
  return true;
}

bool take_word(PyObject *object, place at, uint64_t *out) {
  PyObject *index = integer(object, at);
  if (!index) return false;
  *out = PyLong_AsUnsignedLongLong(index);
  if (PyErr_Occurred()) return overflows(at, index, "uint64");
  Py_DECREF(index);
  return true;
}

bool take_double(PyObject *object, place at, double *out) {
  *out = PyFloat_AsDouble(object);
  return *out != -1 || !PyErr_Occurred() || refuse(at, object, "a float");
}

bool take_float(PyObject *object, place at, float *out) {
  double value;
  if (!take_double(object, at, &value)) return false;
  *out = (float)value;
  return true;
}

bool take_optional_float(PyObject *object, place at, optional_float *out) {
  out->pointer = object == Py_None ? NULL : &out->value;
  return object == Py_None || take_float(object, at, &out->value);
}

bool take_text(PyObject *object, place at, const char **out) {
  Py_ssize_t length;
  *out = PyUnicode_Check(object) ? PyUnicode_AsUTF8AndSize(object, &length) : NULL;
  if (!*out) return PyErr_Occurred() ? false : refuse(at, object, "a string");
  if (strlen(*out) == (size_t)length) return true;
  PyErr_Format(PyExc_ValueError, "[%s] %s has a NUL character", at.operation, at.name);
  return false;
}

bool take_handle(PyObject *object, place at, item_kind kind, bool is_optional, void *out) {
  if (is_optional && object == Py_None) {
    *(void **)out = NULL;
    return true;
  }
  if (Py_TYPE(object) != handle_type(kind)) return refuse(at, object, item_name(kind));
  *(void **)out = ((handle_object *)object)->pointer;
  return true;
}

bool counts(place at, int64_t found, int64_t *count) {
  if (*count < 0) *count = found;
  if (*count == found) return true;
  PyErr_Format(PyExc_ValueError, "[%s] %s has %lld elements: %lld are required", at.operation,
      at.name, (long long)found, (long long)*count);
  return false;
}

bool fits(place at, const Py_buffer *view, int axis, int64_t *count) {
  return counts(at, view->shape[axis], count);
}

/// A tuple of a sequence's items.
static PyObject *items_of(PyObject *object, place at, const char *required) {
  PyObject *tuple = PySequence_Tuple(object);
  if (!tuple && PyErr_ExceptionMatches(PyExc_TypeError)) refuse(at, object, required);
  return tuple;
}

bool take_sizes(PyObject *object, place at, bool is_optional, size_list *out) {
  out->items = NULL;
  if (is_optional && object == Py_None) return true;
  PyObject *tuple = items_of(object, at, "a sequence of integers");
  if (!tuple) return false;
  out->items = out->values;
  out->count = PyTuple_Size(tuple);
  bool taken = out->count <= MAX_RANK;
  if (!taken)
    PyErr_Format(PyExc_ValueError, "[%s] %s has %lld axes: at most %d are taken", at.operation,
        at.name, (long long)out->count, MAX_RANK);
  for (int64_t i = 0; taken && i < out->count; i++)
    taken = take_int64(PyTuple_GetItem(tuple, i), at, &out->values[i]);
  Py_DECREF(tuple);
  return taken;
}

bool take_pair(PyObject *object, place at, int64_t out[2]) {
  size_list list = {0};
  if (!take_sizes(object, at, false, &list)) return false;
  if (list.count != 2) {
    PyErr_Format(PyExc_ValueError, "[%s] %s has %lld values: a pair (height, width) is required",
        at.operation, at.name, (long long)list.count);
    return false;
  }
  memcpy(out, list.values, 2 * sizeof(int64_t));
  return true;
}

/// The item of a list, and its name where `name` is not NULL.
static bool take_item(PyObject *item, place at, item_kind kind, const char **name, void **out) {
  if (name) {
    if (!PyTuple_Check(item) || PyTuple_Size(item) != 2)
      return refuse(at, item, "a tuple (name, item) in a sequence");
    if (!take_text(PyTuple_GetItem(item, 0), at, name)) return false;
    item = PyTuple_GetItem(item, 1);
  }
  return kind == TEXT ? take_text(item, at, (const char **)out)
                      : take_handle(item, at, kind, false, out);
}

bool take_list(PyObject *sequence, place at, item_kind kind, bool is_named, item_list *out) {
  out->owner = items_of(sequence, at, "a sequence");
  if (!out->owner) return false;
  out->count = PyTuple_Size(out->owner);
  out->items = calloc((size_t)out->count + 1, sizeof(void *));
  out->names = calloc((size_t)out->count + 1, sizeof(char *));
  bool taken = out->items && out->names;
  if (!taken) PyErr_NoMemory();
  for (int64_t i = 0; taken && i < out->count; i++)
    taken = take_item(
        PyTuple_GetItem(out->owner, i), at, kind, is_named ? &out->names[i] : NULL, &out->items[i]);
  return taken;
}

void clear_item_list(item_list *list) {
  free(list->items);
  free(list->names);
  Py_XDECREF(list->owner);
}

bool take_array(
    PyObject *object, place at, element_kind kind, int axes, int flags, Py_buffer *view) {
  static const struct {
    const char *name, *formats;
    Py_ssize_t size;
  } kinds[] = {{"float32", "f", 4}, {"int32", "il", 4}, {"float64", "d", 8}, {"int64", "lq", 8},
      {"float16 or uint16", "eH", 2}};
  if (PyObject_GetBuffer(object, view, flags | PyBUF_FORMAT | PyBUF_ND | PyBUF_C_CONTIGUOUS) < 0) {
    view->obj = NULL;
    if (PyErr_ExceptionMatches(PyExc_BufferError) || PyErr_ExceptionMatches(PyExc_ValueError)) {
      PyErr_Clear();
      PyErr_Format(PyExc_TypeError, "[%s] %s: a contiguous%s array of %s is required", at.operation,
          at.name, flags & PyBUF_WRITABLE ? ", writable" : "", kinds[kind].name);
      return false;
    }
    return PyErr_ExceptionMatches(PyExc_TypeError) ? refuse(at, object, "an array") : false;
  }
  const char *format = view->format ? view->format : "B";
  if (view->itemsize != kinds[kind].size || !format[0] || format[1] ||
      !strchr(kinds[kind].formats, format[0])) {
    PyErr_Format(PyExc_TypeError,
        "[%s] %s has elements of format '%s', %zd bytes each: %s is required", at.operation,
        at.name, format, view->itemsize, kinds[kind].name);
    return false;
  }
  if (axes < 0 || view->ndim == axes) return true;
  PyErr_Format(PyExc_ValueError, "[%s] %s has %d axes: %d are required", at.operation, at.name,
      view->ndim, axes);
  return false;
}
