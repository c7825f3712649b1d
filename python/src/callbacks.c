#include <string.h>

#include "core.h"

#define AT(parameter) ((place){operation, parameter})

// The exception that a function of the thread's call under way has raised.
static _Thread_local PyObject *type, *value, *traceback;

void raise_host_exception(void) {
  if (type)
    PyErr_Restore(type, value, traceback);
  else
    PyErr_SetString(PyExc_RuntimeError, vq_last_error());
  type = value = traceback = NULL;
}

/// A handle of the caller's to a tensor with its tape.
static bool take_result(const vq_tensor *tensor, vq_tensor **out) {
  int64_t rank = vq_tensor_rank(tensor), shape[MAX_RANK];
  if (rank > MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "[checkpoint] %lld axes: at most %d are taken", (long long)rank,
        MAX_RANK);
    return false;
  }
  vq_tensor_shape(tensor, shape);
  vq_status status = vq_tensor_reshape(tensor, shape, rank, out);
  if (status != VQ_OK) raise_status(status);
  return status == VQ_OK;
}

static bool take_gradient(PyObject *item, vq_tensor **gradient) {
  static const char operation[] = "backward";
  vq_tensor *tensor;
  if (!take_handle(item, AT("gradient"), TENSOR_HANDLE, true, &tensor)) return false;
  vq_status status = tensor ? vq_tensor_detach(tensor, gradient) : VQ_OK;
  if (status != VQ_OK) raise_status(status);
  return status == VQ_OK;
}

/// Calls `context`, a function of a handle to a sequence of handles or None.
static bool pull(void *context, vq_tensor *gradient, vq_tensor **gradients, int64_t count) {
  static const char operation[] = "backward";
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *handle = give_handle(TENSOR_HANDLE, gradient);
  PyObject *given = handle ? PyObject_CallFunctionObjArgs(context, handle, NULL) : NULL;
  PyObject *items = given ? PySequence_Tuple(given) : NULL;
  bool is_done = items && counts(AT("gradients"), PyTuple_Size(items), &count);
  for (int64_t i = 0; is_done && i < count; i++)
    is_done = take_gradient(PyTuple_GetItem(items, i), &gradients[i]);
  Py_XDECREF(items);
  Py_XDECREF(given);
  Py_XDECREF(handle);
  if (!is_done) PyErr_Fetch(&type, &value, &traceback);
  PyGILState_Release(state);
  return is_done;
}

static PyObject *list_of_handles(vq_tensor **tensors, int64_t count) {
  PyObject *list = PyList_New(count);
  for (int64_t i = 0; i < count; i++) {
    // Each is taken or released.
    PyObject *handle = give_handle(TENSOR_HANDLE, tensors[i]);
    if (!list || !handle || PyList_SetItem(list, i, handle) < 0) {
      if (!list) Py_XDECREF(handle);
      Py_CLEAR(list);
    }
  }
  return list;
}

/// Calls `context`, a function of a list of handles to a handle.
static bool compute(void *context, vq_tensor **inputs, int64_t count, vq_tensor **out) {
  static const char operation[] = "checkpoint";
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *list = list_of_handles(inputs, count);
  PyObject *given = list ? PyObject_CallFunctionObjArgs(context, list, NULL) : NULL;
  vq_tensor *tensor;
  bool is_done = given && take_handle(given, AT("result"), TENSOR_HANDLE, false, &tensor) &&
                 take_result(tensor, out);
  Py_XDECREF(given);
  Py_XDECREF(list);
  if (!is_done) PyErr_Fetch(&type, &value, &traceback);
  PyGILState_Release(state);
  return is_done;
}

/// Calls `context`, a function of a handle, whose result says nothing.
static bool step(void *context, vq_tensor *gradient) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *handle = give_handle(TENSOR_HANDLE, gradient);
  PyObject *given = handle ? PyObject_CallFunctionObjArgs(context, handle, NULL) : NULL;
  bool is_done = given != NULL;
  Py_XDECREF(given);
  Py_XDECREF(handle);
  if (!is_done) PyErr_Fetch(&type, &value, &traceback);
  PyGILState_Release(state);
  return is_done;
}

/// Calls `context`, a function of a leaf's place.
static bool tell(void *context, int64_t place) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyObject *given = PyObject_CallFunction(context, "L", (long long)place);
  if (!given) PyErr_Fetch(&type, &value, &traceback);
  Py_XDECREF(given);
  PyGILState_Release(state);
  return given != NULL;
}

/// Calls `context`, a function of a bool and bytes to an array of as many float64.
static bool exchange(void *context, bool moments, double *values, int64_t count) {
  static const char operation[] = "batch_norm";
  PyGILState_STATE state = PyGILState_Ensure();
  Py_buffer view = {0};
  Py_ssize_t size = count * sizeof(double);
  PyObject *bytes = PyBytes_FromStringAndSize((char *)values, size);
  PyObject *of = moments ? Py_True : Py_False;
  PyObject *given = bytes ? PyObject_CallFunctionObjArgs(context, of, bytes, NULL) : NULL;
  bool is_done = given && take_array(given, AT("values"), FLOAT64, 1, 0, &view) &&
                 fits(AT("values"), &view, 0, &count);
  if (is_done) memcpy(values, view.buf, size);
  if (view.obj) PyBuffer_Release(&view);
  Py_XDECREF(given);
  Py_XDECREF(bytes);
  if (!is_done) PyErr_Fetch(&type, &value, &traceback);
  PyGILState_Release(state);
  return is_done;
}

static void forget(void *context) {
  if (!Py_IsInitialized()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF((PyObject *)context);
  PyGILState_Release(state);
}

PyObject *tensor_record(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "tensor_record";
  const char *name;
  vq_tensor *computed, *out;
  item_list inputs = {0}, saved = {0};
  PyObject *result = NULL;
  if (takes(operation, given, 5) && take_text(args[0], AT("operation"), &name) &&
      take_handle(args[1], AT("value"), TENSOR_HANDLE, false, &computed) &&
      take_list(args[2], AT("inputs"), TENSOR_HANDLE, false, &inputs) &&
      take_list(args[3], AT("saved"), TENSOR_HANDLE, false, &saved) &&
      (PyCallable_Check(args[4]) || refuse(AT("pullback"), args[4], "a function"))) {
    vq_status status = vq_tensor_record(name, computed, (void *)inputs.items, inputs.count,
        (void *)saved.items, saved.count, pull, forget, Py_NewRef(args[4]), &out);
    result = status == VQ_OK ? give_handle(TENSOR_HANDLE, out) : raise_status(status);
  }
  clear_item_list(&inputs);
  clear_item_list(&saved);
  return result;
}

PyObject *tensor_checkpoint(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "checkpoint";
  vq_tensor *out;
  item_list inputs = {0};
  PyObject *result = NULL;
  if (takes(operation, given, 2) &&
      take_list(args[0], AT("inputs"), TENSOR_HANDLE, false, &inputs) &&
      (PyCallable_Check(args[1]) || refuse(AT("function"), args[1], "a function"))) {
    PyObject *function = Py_NewRef(args[1]);
    vq_status status;
    WITHOUT_GIL(status,
        vq_tensor_checkpoint((void *)inputs.items, inputs.count, compute, forget, function, &out));
    result = status == VQ_OK ? give_handle(TENSOR_HANDLE, out) : raise_status(status);
  }
  clear_item_list(&inputs);
  return result;
}

PyObject *optimizer_create_hosted(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "optimizer_create_hosted";
  vq_tensor *parameter;
  vq_optimizer *out;
  if (!takes(operation, given, 2) ||
      !take_handle(args[0], AT("parameter"), TENSOR_HANDLE, false, &parameter) ||
      !(PyCallable_Check(args[1]) || refuse(AT("step"), args[1], "a function")))
    return NULL;
  vq_status status = vq_optimizer_create_hosted(parameter, step, forget, Py_NewRef(args[1]), &out);
  return status == VQ_OK ? give_handle(OPTIMIZER_HANDLE, out) : raise_status(status);
}

PyObject *tensor_backward_by_leaf(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "backward";
  vq_tensor *tensor, *gradient;
  bool retain_graph;
  item_list leaves = {0};
  PyObject *result = NULL;
  if (takes(operation, given, 5) &&
      take_handle(args[0], AT("tensor"), TENSOR_HANDLE, false, &tensor) &&
      take_handle(args[1], AT("gradient"), TENSOR_HANDLE, true, &gradient) &&
      take_boolean(args[2], AT("retain_graph"), &retain_graph) &&
      take_list(args[3], AT("leaves"), TENSOR_HANDLE, false, &leaves) &&
      (PyCallable_Check(args[4]) || refuse(AT("done"), args[4], "a function"))) {
    vq_status status;
    WITHOUT_GIL(status, vq_tensor_backward_by_leaf(tensor, gradient, retain_graph,
                            (void *)leaves.items, leaves.count, tell, args[4]));
    result = status == VQ_OK ? Py_NewRef(Py_None) : raise_status(status);
  }
  clear_item_list(&leaves);
  return result;
}

PyObject *module_exchange_moments(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "exchange_moments";
  vq_module *module;
  if (!takes(operation, given, 2) ||
      !take_handle(args[0], AT("module"), MODULE_HANDLE, false, &module) ||
      !(PyCallable_Check(args[1]) || refuse(AT("exchange"), args[1], "a function")))
    return NULL;
  int64_t norms;
  vq_status status =
      vq_module_exchange_moments(module, exchange, forget, Py_NewRef(args[1]), &norms);
  return status == VQ_OK ? PyLong_FromLongLong(norms) : raise_status(status);
}
