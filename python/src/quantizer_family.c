#include "core.h"

static PyObject *gaussian_quant_forward(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *z, *logvar, *mask;
  if (!PyArg_ParseTuple(args, "O&O&O&O&", to_module, &quantizer, to_tensor, &z, to_optional_tensor,
                        &logvar, to_optional_tensor, &mask))
    return NULL;
  vq_quantized out = {.struct_size = sizeof out};
  vq_status status;
  WITHOUT_GIL(status, vq_gaussian_quant_forward(quantizer, z, logvar, mask, &out));
  return give_quantized(status, &out);
}

static PyObject *gaussian_quant_encode(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *z, *logvar, *mask, *out;
  if (!PyArg_ParseTuple(args, "O&O&O&O&", to_module, &quantizer, to_tensor, &z, to_optional_tensor,
                        &logvar, to_optional_tensor, &mask))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_gaussian_quant_encode(quantizer, z, logvar, mask, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *gaussian_reconstruction_loss(PyObject *self, PyObject *args) {
  vq_tensor *x, *reconstruction, *out;
  if (!PyArg_ParseTuple(args, "O&O&", to_tensor, &x, to_tensor, &reconstruction)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_gaussian_reconstruction_loss(x, reconstruction, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef quantizer_family_methods[] = {
    ENTRY(gaussian_quant_forward),
    ENTRY(gaussian_quant_encode),
    ENTRY(gaussian_reconstruction_loss),
    {NULL, NULL, 0, NULL},
};
