#include <stdlib.h>

#include "core.h"

/// groups: ((parameters, learning rate, weight decay), ...)
static PyObject *optimizer_create(PyObject *self, PyObject *args) {
  vq_optimizer_options options = {.struct_size = sizeof options};
  int kind, nesterov, decay_all;
  PyObject *sequence;
  if (!PyArg_ParseTuple(args, "Oidpdddp", &sequence, &kind, &options.momentum, &nesterov,
                        &options.beta1, &options.beta2, &options.epsilon, &decay_all))
    return NULL;
  options.kind = kind;
  options.nesterov = nesterov;
  options.decay_biases_and_norms = decay_all;
  PyObject *items = PySequence_Tuple(sequence);
  if (!items) return NULL;
  Py_ssize_t count = PyTuple_Size(items), read = 0;
  vq_parameter_group *groups = calloc((size_t)count + 1, sizeof *groups);
  handle_list *lists = calloc((size_t)count + 1, sizeof *lists);
  PyObject *result = groups && lists ? NULL : PyErr_NoMemory();
  for (; groups && lists && read < count; read++) {
    PyObject *parameters;
    vq_parameter_group *group = &groups[read];
    PyObject *item = PyTuple_GetItem(items, read);
    if (!check_tuple(item, "optimizer", "parameters, learning rate, weight decay") ||
        !PyArg_ParseTuple(item, "Odd", &parameters, &group->learning_rate, &group->weight_decay) ||
        !read_list(parameters, TENSOR_HANDLE, 0, &lists[read]))
      break;
    group->parameters = (const vq_tensor *const *)lists[read].handles;
    group->count = lists[read].count;
  }
  if (groups && lists && read == count) {
    vq_optimizer *out;
    result = wrap(vq_optimizer_create(&options, groups, count, &out), OPTIMIZER_HANDLE, &out);
  }
  for (Py_ssize_t i = 0; lists && i < read; i++) clear_list(&lists[i]);
  free(groups);
  free(lists);
  Py_DECREF(items);
  return result;
}

static PyObject *optimizer_group_count(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  if (!PyArg_ParseTuple(args, "O&", to_optimizer, &optimizer)) return NULL;
  return PyLong_FromLongLong(vq_optimizer_group_count(optimizer));
}

static PyObject *optimizer_learning_rate(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  long long group;
  double rate;
  if (!PyArg_ParseTuple(args, "O&L", to_optimizer, &optimizer, &group)) return NULL;
  vq_status status = vq_optimizer_learning_rate(optimizer, group, &rate);
  return status == VQ_OK ? PyFloat_FromDouble(rate) : raise_status(status);
}

static PyObject *optimizer_set_learning_rate(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  long long group;
  double rate;
  if (!PyArg_ParseTuple(args, "O&Ld", to_optimizer, &optimizer, &group, &rate)) return NULL;
  return none_or_raise(vq_optimizer_set_learning_rate(optimizer, group, rate));
}

static PyObject *optimizer_set_weight_decay(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  long long group;
  double decay;
  if (!PyArg_ParseTuple(args, "O&Ld", to_optimizer, &optimizer, &group, &decay)) return NULL;
  return none_or_raise(vq_optimizer_set_weight_decay(optimizer, group, decay));
}

static PyObject *optimizer_step(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  if (!PyArg_ParseTuple(args, "O&", to_optimizer, &optimizer)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_optimizer_step(optimizer));
  return none_or_raise(status);
}

static PyObject *optimizer_zero_grad(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  if (!PyArg_ParseTuple(args, "O&", to_optimizer, &optimizer)) return NULL;
  return none_or_raise(vq_optimizer_zero_grad(optimizer));
}

static PyObject *optimizer_state(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  if (!PyArg_ParseTuple(args, "O&", to_optimizer, &optimizer)) return NULL;
  PyObject *list = PyList_New(0);
  int64_t count = vq_optimizer_state_count(optimizer);
  for (int64_t i = 0; list && i < count; i++) {
    const char *name = NULL;
    vq_tensor *tensor = NULL;
    vq_status status = vq_optimizer_state(optimizer, i, &name, &tensor);
    if (!append_named(list, status, name, TENSOR_HANDLE, &tensor)) Py_CLEAR(list);
  }
  return list;
}

static PyObject *optimizer_load(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  PyObject *pairs;
  handle_list list;
  if (!PyArg_ParseTuple(args, "O&O", to_optimizer, &optimizer, &pairs)) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_optimizer_load(optimizer, list.names,
                                        (const vq_tensor *const *)list.handles, list.count));
  clear_list(&list);
  return none_or_raise(status);
}

/// None for a state that `optimizer_load` would take.
static PyObject *optimizer_check(PyObject *self, PyObject *args) {
  vq_optimizer *optimizer;
  PyObject *pairs;
  handle_list list;
  if (!PyArg_ParseTuple(args, "O&O", to_optimizer, &optimizer, &pairs)) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) return NULL;
  vq_status status =
      vq_optimizer_check(optimizer, list.names, (const vq_tensor *const *)list.handles, list.count);
  clear_list(&list);
  return none_or_raise(status);
}

static PyObject *clip_grad_norm(PyObject *self, PyObject *args) {
  PyObject *sequence;
  float maximum, norm;
  handle_list list;
  if (!PyArg_ParseTuple(args, "Of", &sequence, &maximum)) return NULL;
  if (!read_list(sequence, TENSOR_HANDLE, 0, &list)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_clip_grad_norm((const vq_tensor *const *)list.handles, list.count, maximum,
                                        &norm));
  clear_list(&list);
  return status == VQ_OK ? PyFloat_FromDouble(norm) : raise_status(status);
}

static PyObject *clip_grad_value(PyObject *self, PyObject *args) {
  PyObject *sequence;
  float maximum;
  handle_list list;
  if (!PyArg_ParseTuple(args, "Of", &sequence, &maximum)) return NULL;
  if (!read_list(sequence, TENSOR_HANDLE, 0, &list)) return NULL;
  vq_status status;
  WITHOUT_GIL(status,
              vq_clip_grad_value((const vq_tensor *const *)list.handles, list.count, maximum));
  clear_list(&list);
  return none_or_raise(status);
}

static PyObject *schedule_factor(PyObject *self, PyObject *args) {
  vq_schedule_options options = {.struct_size = sizeof options};
  int kind;
  long long warmup, total, size, step;
  double factor;
  if (!PyArg_ParseTuple(args, "iLLLddL", &kind, &warmup, &total, &size, &options.gamma,
                        &options.minimum, &step))
    return NULL;
  options.kind = kind;
  options.warmup_steps = warmup;
  options.total_steps = total;
  options.step_size = size;
  vq_status status = vq_schedule_factor(&options, step, &factor);
  return status == VQ_OK ? PyFloat_FromDouble(factor) : raise_status(status);
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef optimizer_methods[] = {
    ENTRY(optimizer_create),
    ENTRY(optimizer_group_count),
    ENTRY(optimizer_learning_rate),
    ENTRY(optimizer_set_learning_rate),
    ENTRY(optimizer_set_weight_decay),
    ENTRY(optimizer_step),
    ENTRY(optimizer_zero_grad),
    ENTRY(optimizer_state),
    ENTRY(optimizer_load),
    ENTRY(optimizer_check),
    ENTRY(clip_grad_norm),
    ENTRY(clip_grad_value),
    ENTRY(schedule_factor),
    {NULL, NULL, 0, NULL},
};
