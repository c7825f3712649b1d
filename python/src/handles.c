#include <string.h>

#include "core.h"

static PyTypeObject *types[HANDLE_KINDS];

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
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, kind##_slots};

HANDLE_TYPE(tensor, "TensorHandle")
HANDLE_TYPE(generator, "GeneratorHandle")
HANDLE_TYPE(module, "ModuleHandle")
HANDLE_TYPE(optimizer, "OptimizerHandle")
HANDLE_TYPE(estimator, "EstimatorHandle")

static const struct {
  const char *name;
  PyType_Spec *spec;
  void (*release)(void *);
} kinds[HANDLE_KINDS] = {
    {"a tensor handle", &tensor_spec, release_tensor},
    {"a generator handle", &generator_spec, release_generator},
    {"a module handle", &module_spec, release_module},
    {"an optimizer handle", &optimizer_spec, release_optimizer},
    {"an estimator handle", &estimator_spec, release_estimator},
};

const char *item_name(item_kind kind) { return kind == TEXT ? "a string" : kinds[kind].name; }

PyTypeObject *handle_type(item_kind kind) { return types[kind]; }

int add_handle_types(PyObject *module) {
  for (int kind = 0; kind < HANDLE_KINDS; kind++) {
    types[kind] = (PyTypeObject *)PyType_FromSpec(kinds[kind].spec);
    if (!types[kind]) return -1;
    if (PyModule_AddObjectRef(
            module, strrchr(kinds[kind].spec->name, '.') + 1, (PyObject *)types[kind]) < 0)
      return -1;
  }
  return 0;
}

PyObject *give_handle(item_kind kind, void *pointer) {
  allocfunc allocate = (allocfunc)PyType_GetSlot(types[kind], Py_tp_alloc);
  handle_object *object = (handle_object *)allocate(types[kind], 0);
  if (object)
    object->pointer = pointer;
  else
    kinds[kind].release(pointer);
  return (PyObject *)object;
}
