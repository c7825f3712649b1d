#include "core.h"

static PyObject *pact_create(PyObject *self, PyObject *args) {
  long long bits;
  float clip;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "Lf", &bits, &clip)) return NULL;
  return wrap(vq_pact_create(bits, clip, &out), MODULE_HANDLE, &out);
}

static PyObject *lsq_create(PyObject *self, PyObject *args) {
  long long bits;
  int activations, is_signed;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "Lpp", &bits, &activations, &is_signed)) return NULL;
  return wrap(vq_lsq_create(bits, activations, is_signed, &out), MODULE_HANDLE, &out);
}

static PyObject *lsq_plus_create(PyObject *self, PyObject *args) {
  long long bits;
  int is_signed;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "Lp", &bits, &is_signed)) return NULL;
  return wrap(vq_lsq_plus_create(bits, is_signed, &out), MODULE_HANDLE, &out);
}

static PyObject *reinmax(PyObject *self, PyObject *args) {
  vq_tensor *logits, *out;
  vq_generator *generator;
  float temperature;
  if (!PyArg_ParseTuple(args, "O&fO&", to_tensor, &logits, &temperature, to_generator, &generator))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_reinmax(logits, temperature, generator, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *gumbel_softmax(PyObject *self, PyObject *args) {
  vq_tensor *logits, *out;
  vq_generator *generator;
  float temperature;
  int hard;
  if (!PyArg_ParseTuple(args, "O&fpO&", to_tensor, &logits, &temperature, &hard, to_generator,
                        &generator))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_gumbel_softmax(logits, temperature, hard, generator, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *straight_through_softmax(PyObject *self, PyObject *args) {
  vq_tensor *logits, *out;
  vq_generator *generator;
  if (!PyArg_ParseTuple(args, "O&O&", to_tensor, &logits, to_generator, &generator)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_tensor_straight_through_softmax(logits, generator, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef learned_quantizer_methods[] = {
    ENTRY(pact_create),    ENTRY(lsq_create),     ENTRY(lsq_plus_create),
    ENTRY(reinmax),        ENTRY(gumbel_softmax), ENTRY(straight_through_softmax),
    {NULL, NULL, 0, NULL},
};
