#include "core.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vqswift._core",
    .m_doc = "The native calls behind vqswift.",
    .m_size = -1,
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
  if (module && (PyModule_AddFunctions(module, generated_methods) < 0 ||
                    PyModule_AddFunctions(module, methods_by_hand) < 0 ||
                    add_handle_types(module) < 0 || add_generated_types(module) < 0))
    Py_CLEAR(module);
  return module;
}
