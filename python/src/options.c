#include <stdlib.h>
#include <string.h>

#include "core.h"

/// Integers of a tuple or list, or numbers where one is none; false with an error set.
static bool read_sequence(const char *kind, PyObject *sequence, vq_option *option) {
  place at = {kind, option->name};
  option->count = PySequence_Size(sequence);
  int64_t *integers = malloc(sizeof(int64_t) * ((size_t)option->count + 1));
  double *numbers = malloc(sizeof(double) * ((size_t)option->count + 1));
  option->integers = integers;
  option->numbers = numbers;
  if (!integers || !numbers) {
    PyErr_NoMemory();
    return false;
  }
  option->type = VQ_OPTION_INTEGERS;
  for (int64_t i = 0; i < option->count; i++) {
    PyObject *item = PySequence_GetItem(sequence, i);
    if (!item) return false;
    if (!PyIndex_Check(item)) option->type = VQ_OPTION_NUMBERS;
    Py_DECREF(item);
  }
  for (int64_t i = 0; i < option->count; i++) {
    PyObject *item = PySequence_GetItem(sequence, i);
    if (!item) return false;
    bool taken = option->type == VQ_OPTION_INTEGERS ? take_int64(item, at, &integers[i])
                                                    : take_double(item, at, &numbers[i]);
    Py_DECREF(item);
    if (!taken) return false;
  }
  return true;
}

/// An integer, or the word of one beyond int64.
static bool read_integer(const char *kind, PyObject *value, vq_option *option) {
  place at = {kind, option->name};
  option->type = VQ_OPTION_INTEGER;
  if (take_int64(value, at, &option->integer)) return true;
  if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return false;
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  option->type = VQ_OPTION_WORD;
  bool taken = take_word(value, at, (uint64_t *)&option->integer);
  if (taken) {
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
  } else {
    PyErr_Restore(type, error, traceback);
  }
  return taken;
}

static bool read_option(const char *kind, PyObject *name, PyObject *value, vq_option *option) {
  option->name = PyUnicode_AsUTF8AndSize(name, NULL);
  if (!option->name) return false;
  if (PyBool_Check(value)) {
    option->type = VQ_OPTION_BOOLEAN;
    option->integer = value == Py_True;
    return true;
  }
  if (PyUnicode_Check(value)) {
    option->type = VQ_OPTION_TEXT;
    return (option->text = PyUnicode_AsUTF8AndSize(value, NULL)) != NULL;
  }
  if (PyTuple_Check(value) || PyList_Check(value)) return read_sequence(kind, value, option);
  if (PyIndex_Check(value)) return read_integer(kind, value, option);
  option->type = VQ_OPTION_NUMBER;
  option->number = PyFloat_AsDouble(value);
  return !PyErr_Occurred() || refuse((place){kind, option->name}, value,
                                  "a number, a bool, a string or a sequence of numbers");
}

bool read_options(const char *kind, PyObject *dictionary, option_list *out) {
  if (!PyDict_Check(dictionary)) return refuse((place){kind, "options"}, dictionary, "a dict");
  out->owner = PyDict_Copy(dictionary);
  if (!out->owner) return false;
  out->items = calloc((size_t)PyDict_Size(out->owner) + 1, sizeof(vq_option));
  if (!out->items) {
    PyErr_NoMemory();
    return false;
  }
  PyObject *name, *value;
  Py_ssize_t position = 0;
  while (PyDict_Next(out->owner, &position, &name, &value))
    if (!read_option(kind, name, value, &out->items[out->count++])) return false;
  return true;
}

void clear_option_list(option_list *list) {
  for (int64_t i = 0; list->items && i < list->count; i++) {
    free((void *)list->items[i].integers);
    free((void *)list->items[i].numbers);
  }
  free(list->items);
  Py_XDECREF(list->owner);
}
