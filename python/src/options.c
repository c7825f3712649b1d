#include <stdlib.h>
#include <string.h>

#include "core.h"

/// Integers of a tuple or list; NULL with an error set where they are none.
static int64_t *read_integers(PyObject *sequence, int64_t *count) {
  *count = PySequence_Size(sequence);
  if (*count < 0) return NULL;
  int64_t *values = malloc(sizeof(int64_t) * ((size_t)*count + 1));
  if (!values) {
    PyErr_NoMemory();
    return NULL;
  }
  for (int64_t i = 0; i < *count; i++) {
    PyObject *item = PySequence_GetItem(sequence, i);
    PyObject *index = item ? PyNumber_Index(item) : NULL;
    values[i] = index ? PyLong_AsLongLong(index) : -1;
    Py_XDECREF(index);
    Py_XDECREF(item);
    if (PyErr_Occurred()) {
      free(values);
      return NULL;
    }
  }
  return values;
}

static int read_integer(const char *kind, PyObject *value, vq_option *option) {
  PyObject *index = PyNumber_Index(value);
  if (!index) return 0;
  int overflow;
  option->type = VQ_OPTION_INTEGER;
  option->integer = PyLong_AsLongLongAndOverflow(index, &overflow);
  if (overflow > 0) {
    option->type = VQ_OPTION_WORD;
    option->integer = (int64_t)PyLong_AsUnsignedLongLong(index);
    if (PyErr_Occurred()) overflow = -1;
  }
  if (overflow < 0) {
    PyErr_Format(PyExc_OverflowError, "[%s] %s = %S: must fit in int64", kind, option->name, value);
  }
  Py_DECREF(index);
  return PyErr_Occurred() ? 0 : 1;
}

static int read_option(const char *kind, PyObject *name, PyObject *value, vq_option *option) {
  option->name = PyUnicode_AsUTF8AndSize(name, NULL);
  if (!option->name) return 0;
  if (PyBool_Check(value)) {
    option->type = VQ_OPTION_BOOLEAN;
    option->integer = value == Py_True;
    return 1;
  }
  if (PyUnicode_Check(value)) {
    option->type = VQ_OPTION_TEXT;
    return (option->text = PyUnicode_AsUTF8AndSize(value, NULL)) != NULL;
  }
  if (PyTuple_Check(value) || PyList_Check(value)) {
    option->type = VQ_OPTION_INTEGERS;
    return (option->integers = read_integers(value, &option->count)) != NULL;
  }
  if (PyIndex_Check(value)) return read_integer(kind, value, option);
  option->type = VQ_OPTION_NUMBER;
  option->number = PyFloat_AsDouble(value);
  if (!PyErr_Occurred()) return 1;
  PyErr_Clear();
  PyObject *type = PyType_GetName(Py_TYPE(value));
  if (type)
    PyErr_Format(
        PyExc_TypeError,
        "[%s] %s is a %S: an integer, a number, a bool, a string or a sequence of integers is "
        "required",
        kind, option->name, type);
  Py_XDECREF(type);
  return 0;
}

int read_options(const char *kind, PyObject *dictionary, option_list *out) {
  memset(out, 0, sizeof *out);
  if (!PyDict_Check(dictionary)) {
    PyErr_Format(PyExc_TypeError, "[%s] options: a dict is required", kind);
    return 0;
  }
  out->options = calloc((size_t)PyDict_Size(dictionary) + 1, sizeof(vq_option));
  if (!out->options) {
    PyErr_NoMemory();
    return 0;
  }
  PyObject *name, *value;
  Py_ssize_t position = 0;
  while (PyDict_Next(dictionary, &position, &name, &value)) {
    if (!read_option(kind, name, value, &out->options[out->count])) {
      clear_options(out);
      return 0;
    }
    out->count++;
  }
  return 1;
}

void clear_options(option_list *list) {
  for (int64_t i = 0; list->options && i < list->count; i++)
    free((void *)list->options[i].integers);
  free(list->options);
  memset(list, 0, sizeof *list);
}

/// (kind, {name: value}, children, generator or None) -> module
static PyObject *module_create(PyObject *self, PyObject *args) {
  const char *kind;
  PyObject *dictionary, *sequence;
  vq_generator *generator;
  option_list options;
  handle_list children;
  if (!PyArg_ParseTuple(args, "sOOO&", &kind, &dictionary, &sequence, to_optional_generator,
                        &generator))
    return NULL;
  if (!read_options(kind, dictionary, &options)) return NULL;
  if (!read_list(sequence, MODULE_HANDLE, 0, &children)) {
    clear_options(&options);
    return NULL;
  }
  vq_module *out;
  vq_status status =
      vq_module_create(kind, options.options, options.count,
                       (const vq_module *const *)children.handles, children.count, generator, &out);
  clear_list(&children);
  clear_options(&options);
  return wrap(status, MODULE_HANDLE, &out);
}

/// kind -> [(name, type, required, initial, choices, rule), ...]
static PyObject *module_options(PyObject *self, PyObject *args) {
  static const char *const types[] = {"int", "int", "float", "bool", "str", "ints", "pair"};
  const char *kind;
  const vq_option_description *options;
  int64_t count;
  if (!PyArg_ParseTuple(args, "s", &kind)) return NULL;
  vq_status status = vq_module_options(kind, &options, &count);
  if (status != VQ_OK) return raise_status(status);
  PyObject *list = PyList_New(0);
  for (int64_t i = 0; list && i < count; i++) {
    const vq_option_description *o = &options[i];
    PyObject *row = Py_BuildValue("(ssNsss)", o->name, types[o->type], PyBool_FromLong(o->required),
                                  o->initial, o->choices, o->rule);
    if (!row || PyList_Append(list, row) < 0) Py_CLEAR(list);
    Py_XDECREF(row);
  }
  return list;
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef option_methods[] = {
    ENTRY(module_create),
    ENTRY(module_options),
    {NULL, NULL, 0, NULL},
};
