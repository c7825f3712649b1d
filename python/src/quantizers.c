#include "core.h"

PyObject *give_quantized(vq_status status, vq_quantized *out) {
  if (status != VQ_OK) return raise_status(status);
  return Py_BuildValue(
      "(NNNNNNNffffL)", wrap(status, TENSOR_HANDLE, &out->z_q),
      wrap(status, TENSOR_HANDLE, &out->codes), wrap(status, TENSOR_HANDLE, &out->distances),
      wrap(status, TENSOR_HANDLE, &out->loss), wrap(status, TENSOR_HANDLE, &out->z),
      wrap(status, TENSOR_HANDLE, &out->stage_losses),
      wrap(status, TENSOR_HANDLE, &out->stage_perplexities), out->commitment_loss,
      out->codebook_loss, out->regularization, out->perplexity, (long long)out->active_codes);
}

static PyObject *quantizer_forward(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *z, *mask;
  long long stages;
  if (!PyArg_ParseTuple(args, "O&O&O&L", to_module, &quantizer, to_tensor, &z, to_optional_tensor,
                        &mask, &stages))
    return NULL;
  vq_quantized out = {.struct_size = sizeof out};
  vq_status status;
  WITHOUT_GIL(status, vq_quantizer_forward(quantizer, z, mask, stages, &out));
  return give_quantized(status, &out);
}

static PyObject *quantizer_encode(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *z, *mask, *out;
  long long stages;
  if (!PyArg_ParseTuple(args, "O&O&O&L", to_module, &quantizer, to_tensor, &z, to_optional_tensor,
                        &mask, &stages))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_quantizer_encode(quantizer, z, mask, stages, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *quantizer_decode(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *codes, *out;
  if (!PyArg_ParseTuple(args, "O&O&", to_module, &quantizer, to_tensor, &codes)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_quantizer_decode(quantizer, codes, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

#define QUANTIZER_FLAG(name)                                                       \
  static PyObject *quantizer_set_##name(PyObject *self, PyObject *args) {          \
    vq_module *quantizer;                                                          \
    int flag;                                                                      \
    if (!PyArg_ParseTuple(args, "O&p", to_module, &quantizer, &flag)) return NULL; \
    return none_or_raise(vq_quantizer_set_##name(quantizer, flag));                \
  }                                                                                \
  static PyObject *quantizer_is_##name(PyObject *self, PyObject *args) {           \
    vq_module *quantizer;                                                          \
    if (!PyArg_ParseTuple(args, "O&", to_module, &quantizer)) return NULL;         \
    return PyBool_FromLong(vq_quantizer_is_##name(quantizer));                     \
  }
QUANTIZER_FLAG(quantizing)
QUANTIZER_FLAG(frozen)

static PyObject *quantizer_fit(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  vq_tensor *z, *mask;
  long long iterations;
  if (!PyArg_ParseTuple(args, "O&O&O&L", to_module, &quantizer, to_tensor, &z, to_optional_tensor,
                        &mask, &iterations))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_quantizer_fit(quantizer, z, mask, iterations));
  return none_or_raise(status);
}

static PyObject *quantizer_update(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  if (!PyArg_ParseTuple(args, "O&", to_module, &quantizer)) return NULL;
  return none_or_raise(vq_quantizer_update(quantizer));
}

static PyObject *quantizer_codebook_count(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  if (!PyArg_ParseTuple(args, "O&", to_module, &quantizer)) return NULL;
  return PyLong_FromLongLong(vq_quantizer_codebook_count(quantizer));
}

static PyObject *quantizer_effective_codebook(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  long long index;
  vq_tensor *out;
  if (!PyArg_ParseTuple(args, "O&L", to_module, &quantizer, &index)) return NULL;
  return wrap(vq_quantizer_effective_codebook(quantizer, index, &out), TENSOR_HANDLE, &out);
}

static PyObject *quantizer_set_inplace_optimizer(PyObject *self, PyObject *args) {
  vq_module *quantizer;
  long long index;
  vq_optimizer *optimizer;
  if (!PyArg_ParseTuple(args, "O&LO&", to_module, &quantizer, &index, to_optional_optimizer,
                        &optimizer))
    return NULL;
  return none_or_raise(vq_quantizer_set_inplace_optimizer(quantizer, index, optimizer));
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef quantizer_methods[] = {
    ENTRY(quantizer_forward),
    ENTRY(quantizer_encode),
    ENTRY(quantizer_decode),
    ENTRY(quantizer_set_quantizing),
    ENTRY(quantizer_is_quantizing),
    ENTRY(quantizer_set_frozen),
    ENTRY(quantizer_is_frozen),
    ENTRY(quantizer_fit),
    ENTRY(quantizer_update),
    ENTRY(quantizer_codebook_count),
    ENTRY(quantizer_effective_codebook),
    ENTRY(quantizer_set_inplace_optimizer),
    {NULL, NULL, 0, NULL},
};
