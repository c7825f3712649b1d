#include "core.h"

static PyObject *module_forward(PyObject *self, PyObject *args) {
  vq_module *module;
  vq_tensor *x, *out;
  if (!PyArg_ParseTuple(args, "O&O&", to_module, &module, to_tensor, &x)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_module_forward(module, x, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *module_set_training(PyObject *self, PyObject *args) {
  vq_module *module;
  int training;
  if (!PyArg_ParseTuple(args, "O&p", to_module, &module, &training)) return NULL;
  return none_or_raise(vq_module_set_training(module, training));
}

static PyObject *module_is_training(PyObject *self, PyObject *args) {
  vq_module *module;
  if (!PyArg_ParseTuple(args, "O&", to_module, &module)) return NULL;
  return PyBool_FromLong(vq_module_is_training(module));
}

static PyObject *module_parameters(PyObject *self, PyObject *args) {
  vq_module *module;
  int all;
  if (!PyArg_ParseTuple(args, "O&p", to_module, &module, &all)) return NULL;
  PyObject *list = PyList_New(0);
  int64_t count = vq_module_parameter_count(module, all);
  for (int64_t i = 0; list && i < count; i++) {
    const char *name = NULL;
    vq_tensor *tensor = NULL;
    vq_status status = vq_module_parameter(module, all, i, &name, &tensor);
    if (!append_named(list, status, name, TENSOR_HANDLE, &tensor)) Py_CLEAR(list);
  }
  return list;
}

#define NAMED_LIST(plural, singular)                                                 \
  static PyObject *module_##plural(PyObject *self, PyObject *args) {                 \
    vq_module *module;                                                               \
    if (!PyArg_ParseTuple(args, "O&", to_module, &module)) return NULL;              \
    PyObject *list = PyList_New(0);                                                  \
    int64_t count = vq_module_##singular##_count(module);                            \
    for (int64_t i = 0; list && i < count; i++) {                                    \
      const char *name = NULL;                                                       \
      vq_tensor *tensor = NULL;                                                      \
      vq_status status = vq_module_##singular(module, i, &name, &tensor);            \
      if (!append_named(list, status, name, TENSOR_HANDLE, &tensor)) Py_CLEAR(list); \
    }                                                                                \
    return list;                                                                     \
  }
NAMED_LIST(buffers, buffer)
NAMED_LIST(optional_buffers, optional_buffer)
NAMED_LIST(generators, generator)

static PyObject *module_load(PyObject *self, PyObject *args) {
  vq_module *module;
  PyObject *pairs;
  int strict;
  handle_list list;
  if (!PyArg_ParseTuple(args, "O&Op", to_module, &module, &pairs, &strict)) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_module_load(module, list.names, (const vq_tensor *const *)list.handles,
                                     list.count, strict));
  clear_list(&list);
  return none_or_raise(status);
}

static PyObject *module_load_generators(PyObject *self, PyObject *args) {
  vq_module *module;
  PyObject *pairs;
  handle_list list;
  if (!PyArg_ParseTuple(args, "O&O", to_module, &module, &pairs)) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) return NULL;
  vq_status status = vq_module_load_generators(module, list.names,
                                               (const vq_tensor *const *)list.handles, list.count);
  clear_list(&list);
  return none_or_raise(status);
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef module_methods[] = {
    ENTRY(module_forward),    ENTRY(module_set_training), ENTRY(module_is_training),
    ENTRY(module_parameters), ENTRY(module_buffers),      ENTRY(module_optional_buffers),
    ENTRY(module_load),       ENTRY(module_generators),   ENTRY(module_load_generators),
    {NULL, NULL, 0, NULL},
};
