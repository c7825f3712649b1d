#include <string.h>

#include "core.h"

PyObject *raise_status(vq_status status) {
  PyObject *exception;
  switch (status) {
    case VQ_ERROR_INTERRUPTED: raise_interruption(); return NULL;
    case VQ_ERROR_HOST: raise_host_exception(); return NULL;
    case VQ_ERROR_VALUE: exception = PyExc_ValueError; break;
    case VQ_ERROR_TYPE: exception = PyExc_TypeError; break;
    case VQ_ERROR_INDEX: exception = PyExc_IndexError; break;
    case VQ_ERROR_OVERFLOW: exception = PyExc_OverflowError; break;
    case VQ_ERROR_MEMORY: exception = PyExc_MemoryError; break;
    case VQ_ERROR_IO: exception = PyExc_OSError; break;
    default: exception = PyExc_RuntimeError;
  }
  PyErr_SetString(exception, vq_last_error());
  return NULL;
}

PyObject *raise_file_status(vq_status status, PyObject *path) {
  if (status != VQ_ERROR_IO || !vq_last_error_code()) return raise_status(status);
  // The text is "[action] path: reason".
  const char *text = vq_last_error(), *reason = text;
  for (const char *next = strstr(text, ": "); next; next = strstr(reason, ": ")) reason = next + 2;
  PyObject *arguments = Py_BuildValue("(isO)", (int)vq_last_error_code(), reason, path);
  if (arguments) PyErr_SetObject(PyExc_OSError, arguments);
  Py_XDECREF(arguments);
  return NULL;
}

PyObject *give_text(const char *text) {
  if (!text) Py_RETURN_NONE;
  return PyUnicode_FromString(text);
}

PyObject *give_fields(PyTypeObject *type, PyObject **items, int count) {
  PyObject *result = PyStructSequence_New(type);
  for (int i = 0; i < count; i++) {
    if (result && items[i]) {
      PyStructSequence_SetItem(result, i, items[i]);
    } else {
      Py_XDECREF(items[i]);
      Py_CLEAR(result);
    }
  }
  return result;
}

/// What stands at a place of a list, whose kind it finds.
static PyObject *give_item(const vq_list *list, int64_t index) {
  const char *text = vq_list_text(list, index);
  if (text) return PyUnicode_FromString(text);
  vq_tensor *tensor;
  if (vq_list_tensor(list, index, &tensor) == VQ_OK) return give_handle(TENSOR_HANDLE, tensor);
  vq_module *module;
  vq_status status = vq_list_module(list, index, &module);
  return status == VQ_OK ? give_handle(MODULE_HANDLE, module) : raise_status(status);
}

PyObject *give_list(vq_list *list) {
  int64_t count = vq_list_count(list);
  PyObject *result = PyList_New(count);
  for (int64_t i = 0; result && i < count; i++) {
    PyObject *item = give_item(list, i);
    PyObject *pair = item ? Py_BuildValue("(sN)", vq_list_name(list, i), item) : NULL;
    if (!pair || PyList_SetItem(result, i, pair) < 0) Py_CLEAR(result);
  }
  vq_list_release(list);
  return result;
}
