#include <stdlib.h>
#include <string.h>

#include "core.h"

static PyTypeObject *types[HANDLE_KINDS];
static const char *const kind_names[HANDLE_KINDS] = {"tensor", "generator", "module", "optimizer"};

static void deallocate(PyObject *self, void (*release)(void *)) {
  PyTypeObject *type = Py_TYPE(self);
  release(((handle_object *)self)->pointer);
  freefunc free_object = (freefunc)PyType_GetSlot(type, Py_tp_free);
  free_object(self);
  Py_DECREF(type);
}

#define HANDLE_TYPE(kind, Name)                                                                \
  static void release_##kind(void *pointer) { vq_##kind##_release(pointer); }                  \
  static void deallocate_##kind(PyObject *self) { deallocate(self, release_##kind); }          \
  static PyType_Slot kind##_slots[] = {{Py_tp_dealloc, (void *)deallocate_##kind}, {0, NULL}}; \
  static PyType_Spec kind##_spec = {"vqswift._core." Name, sizeof(handle_object), 0,           \
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,    \
                                    kind##_slots};

HANDLE_TYPE(tensor, "TensorHandle")
HANDLE_TYPE(generator, "GeneratorHandle")
HANDLE_TYPE(module, "ModuleHandle")
HANDLE_TYPE(optimizer, "OptimizerHandle")

int add_handle_types(PyObject *module) {
  PyType_Spec *specs[HANDLE_KINDS] = {&tensor_spec, &generator_spec, &module_spec, &optimizer_spec};
  for (int kind = 0; kind < HANDLE_KINDS; kind++) {
    types[kind] = (PyTypeObject *)PyType_FromSpec(specs[kind]);
    if (!types[kind]) return -1;
    if (PyModule_AddObjectRef(module, strrchr(specs[kind]->name, '.') + 1,
                              (PyObject *)types[kind]) < 0)
      return -1;
  }
  return 0;
}

PyObject *raise_status(vq_status status) {
  PyObject *exception;
  switch (status) {
    case VQ_ERROR_INTERRUPTED: raise_interruption(); return NULL;
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

PyObject *none_or_raise(vq_status status) {
  if (status != VQ_OK) return raise_status(status);
  Py_RETURN_NONE;
}

PyObject *wrap(vq_status status, handle_kind kind, const void *address) {
  void *pointer = *(void *const *)address;
  if (status != VQ_OK) return raise_status(status);
  allocfunc allocate = (allocfunc)PyType_GetSlot(types[kind], Py_tp_alloc);
  handle_object *object = (handle_object *)allocate(types[kind], 0);
  if (!object) {
    switch (kind) {
      case TENSOR_HANDLE: vq_tensor_release(pointer); break;
      case GENERATOR_HANDLE: vq_generator_release(pointer); break;
      case MODULE_HANDLE: vq_module_release(pointer); break;
      default: vq_optimizer_release(pointer);
    }
    return NULL;
  }
  object->pointer = pointer;
  return (PyObject *)object;
}

static int convert(PyObject *object, handle_kind kind, int optional, void *out) {
  if (optional && object == Py_None) {
    *(void **)out = NULL;
    return 1;
  }
  if (Py_TYPE(object) != types[kind]) {
    PyObject *name = PyType_GetName(Py_TYPE(object));
    if (name)
      PyErr_Format(PyExc_TypeError, "[handle] %S: a vqswift %s handle is required", name,
                   kind_names[kind]);
    Py_XDECREF(name);
    return 0;
  }
  *(void **)out = ((handle_object *)object)->pointer;
  return 1;
}

int to_tensor(PyObject *o, void *out) { return convert(o, TENSOR_HANDLE, 0, out); }
int to_optional_tensor(PyObject *o, void *out) { return convert(o, TENSOR_HANDLE, 1, out); }
int to_generator(PyObject *o, void *out) { return convert(o, GENERATOR_HANDLE, 0, out); }
int to_optional_generator(PyObject *o, void *out) { return convert(o, GENERATOR_HANDLE, 1, out); }
int to_module(PyObject *o, void *out) { return convert(o, MODULE_HANDLE, 0, out); }
int to_optimizer(PyObject *o, void *out) { return convert(o, OPTIMIZER_HANDLE, 0, out); }
int to_optional_optimizer(PyObject *o, void *out) { return convert(o, OPTIMIZER_HANDLE, 1, out); }

int to_sizes(PyObject *object, void *out) {
  size_list *list = out;
  PyObject *tuple = PySequence_Tuple(object);
  if (!tuple) return 0;
  Py_ssize_t count = PyTuple_Size(tuple);
  list->count = count;
  list->given = 1;
  if (count > MAX_RANK) {
    PyErr_Format(PyExc_ValueError, "[shape] %zd axes: at most %d are taken", count, MAX_RANK);
    Py_DECREF(tuple);
    return 0;
  }
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *index = PyNumber_Index(PyTuple_GetItem(tuple, i));
    list->values[i] = index ? PyLong_AsLongLong(index) : -1;
    Py_XDECREF(index);
    if (PyErr_Occurred()) {
      Py_DECREF(tuple);
      return 0;
    }
  }
  Py_DECREF(tuple);
  return 1;
}

int to_optional_sizes(PyObject *object, void *out) {
  if (object != Py_None) return to_sizes(object, out);
  ((size_list *)out)->given = 0;
  ((size_list *)out)->count = 0;
  return 1;
}

int to_pair(PyObject *object, void *out) {
  size_list list;
  if (!to_sizes(object, &list)) return 0;
  if (list.count != 2) {
    PyErr_Format(PyExc_ValueError, "[pair] %lld values: a pair (height, width) is required",
                 (long long)list.count);
    return 0;
  }
  memcpy(out, list.values, 2 * sizeof(int64_t));
  return 1;
}

int to_optional_float(PyObject *object, void *out) {
  optional_float *result = out;
  result->pointer = NULL;
  if (object == Py_None) return 1;
  result->value = (float)PyFloat_AsDouble(object);
  result->pointer = &result->value;
  return PyErr_Occurred() ? 0 : 1;
}

int read_list(PyObject *sequence, handle_kind kind, int named, handle_list *out) {
  memset(out, 0, sizeof *out);
  out->owner = PySequence_Tuple(sequence);
  if (!out->owner) return 0;
  out->count = PyTuple_Size(out->owner);
  out->handles = calloc((size_t)out->count + 1, sizeof(void *));
  out->names = calloc((size_t)out->count + 1, sizeof(char *));
  if (!out->handles || !out->names) {
    PyErr_NoMemory();
    clear_list(out);
    return 0;
  }
  for (int64_t i = 0; i < out->count; i++) {
    PyObject *item = PyTuple_GetItem(out->owner, i);
    PyObject *object = item;
    if (named) {
      if (!check_tuple(item, "state", "name, handle") ||
          !PyArg_ParseTuple(item, "sO", &out->names[i], &object)) {
        clear_list(out);
        return 0;
      }
    }
    if (!convert(object, kind, 0, &out->handles[i])) {
      clear_list(out);
      return 0;
    }
  }
  return 1;
}

void clear_list(handle_list *list) {
  free(list->handles);
  free(list->names);
  Py_XDECREF(list->owner);
  memset(list, 0, sizeof *list);
}

int view_elements(PyObject *array, const char *operation, element_kind kind, int flags,
                  Py_buffer *view) {
  static const struct {
    const char *name, *formats;
    Py_ssize_t size;
  } kinds[] = {{"float32", "f", 4}, {"int32", "il", 4}, {"float64", "d", 8}, {"int64", "lq", 8}};
  if (PyObject_GetBuffer(array, view, flags | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
    if (PyErr_ExceptionMatches(PyExc_BufferError)) {
      PyErr_Clear();
      PyErr_Format(PyExc_TypeError, "[%s] a contiguous%s array of %s is required", operation,
                   flags & PyBUF_WRITABLE ? ", writable" : "", kinds[kind].name);
    }
    return 0;
  }
  const char *format = view->format ? view->format : "B";
  if (view->itemsize == kinds[kind].size && format[0] && !format[1] &&
      strchr(kinds[kind].formats, format[0]))
    return 1;
  PyErr_Format(PyExc_TypeError, "[%s] elements of format '%s', %zd bytes each: %s is required",
               operation, format, view->itemsize, kinds[kind].name);
  PyBuffer_Release(view);
  return 0;
}

int check_tuple(PyObject *object, const char *operation, const char *contents) {
  if (PyTuple_Check(object)) return 1;
  PyObject *name = PyType_GetName(Py_TYPE(object));
  if (name)
    PyErr_Format(PyExc_TypeError, "[%s] %S: a tuple (%s) is required", operation, name, contents);
  Py_XDECREF(name);
  return 0;
}

int64_t words(const Py_buffer *view) { return view->len / 8; }

int append_named(PyObject *list, vq_status status, const char *name, handle_kind kind,
                 const void *address) {
  PyObject *handle = wrap(status, kind, address);
  PyObject *pair = handle ? Py_BuildValue("(sN)", name, handle) : NULL;
  int failed = !pair || PyList_Append(list, pair) < 0;
  Py_XDECREF(pair);
  return !failed;
}
