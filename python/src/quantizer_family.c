#include "core.h"

static PyObject *fsq_create(PyObject *self, PyObject *args) {
  size_list levels;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "O&", to_sizes, &levels)) return NULL;
  return wrap(vq_fsq_create(levels.values, levels.count, &out), MODULE_HANDLE, &out);
}

static PyObject *lfq_create(PyObject *self, PyObject *args) {
  vq_lfq_options options = {.struct_size = sizeof options};
  long long bits;
  if (!PyArg_ParseTuple(args, "Lffff", &bits, &options.commitment_weight, &options.entropy_weight,
                        &options.diversity, &options.temperature))
    return NULL;
  options.bits = bits;
  vq_module *out;
  return wrap(vq_lfq_create(&options, &out), MODULE_HANDLE, &out);
}

static PyObject *gumbel_quant_create(PyObject *self, PyObject *args) {
  vq_gumbel_quant_options options = {.struct_size = sizeof options};
  long long d, k, c;
  unsigned long long seed, stream;
  int hard;
  if (!PyArg_ParseTuple(args, "LLLffffpKK", &d, &k, &c, &options.temperature,
                        &options.temperature_decay, &options.temperature_min, &options.kl_weight,
                        &hard, &seed, &stream))
    return NULL;
  options.feature_size = d;
  options.num_codes = k;
  options.code_size = c;
  options.hard = hard;
  options.seed = seed;
  options.stream = stream;
  vq_module *out;
  return wrap(vq_gumbel_quant_create(&options, &out), MODULE_HANDLE, &out);
}

static PyObject *gaussian_quant_create(PyObject *self, PyObject *args) {
  vq_gaussian_quant_options options = {.struct_size = sizeof options};
  long long d, k;
  unsigned long long seed, stream;
  int kind;
  if (!PyArg_ParseTuple(args, "LLifffKK", &d, &k, &kind, &options.temperature,
                        &options.temperature_decay, &options.temperature_min, &seed, &stream))
    return NULL;
  options.feature_size = d;
  options.num_codes = k;
  options.kind = kind;
  options.seed = seed;
  options.stream = stream;
  vq_module *out;
  return wrap(vq_gaussian_quant_create(&options, &out), MODULE_HANDLE, &out);
}

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
    ENTRY(fsq_create),
    ENTRY(lfq_create),
    ENTRY(gumbel_quant_create),
    ENTRY(gaussian_quant_create),
    ENTRY(gaussian_quant_forward),
    ENTRY(gaussian_quant_encode),
    ENTRY(gaussian_reconstruction_loss),
    {NULL, NULL, 0, NULL},
};
