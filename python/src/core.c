#include "core.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "vqswift._core",
    "The native calls behind vqswift.",
    -1,
    NULL,
    NULL,
    NULL,
    NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__core(void) {
  if (vq_abi_version() != VQ_ABI_VERSION)
    return PyErr_Format(PyExc_ImportError, "vqswift core has ABI %u, its extension expects %d",
                        vq_abi_version(), VQ_ABI_VERSION);
  install_interrupt_check();
  // Runs after the interpreter's end and before the destructors of the libraries.
  if (Py_AtExit(vq_shut_down) < 0)
    return PyErr_Format(PyExc_ImportError, "vqswift: the interpreter takes no more exit functions");
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  if (PyModule_AddFunctions(module, tensor_methods) < 0 ||
      PyModule_AddFunctions(module, operator_methods) < 0 ||
      PyModule_AddFunctions(module, module_methods) < 0 ||
      PyModule_AddFunctions(module, option_methods) < 0 ||
      PyModule_AddFunctions(module, quantizer_methods) < 0 ||
      PyModule_AddFunctions(module, quantizer_family_methods) < 0 ||
      PyModule_AddFunctions(module, learned_quantizer_methods) < 0 ||
      PyModule_AddFunctions(module, search_methods) < 0 ||
      PyModule_AddFunctions(module, metric_methods) < 0 ||
      PyModule_AddFunctions(module, estimator_methods) < 0 ||
      PyModule_AddFunctions(module, optimizer_methods) < 0 ||
      PyModule_AddFunctions(module, archive_methods) < 0 || add_handle_types(module) < 0) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
