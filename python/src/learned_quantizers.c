#include "core.h"

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
    ENTRY(reinmax),
    ENTRY(gumbel_softmax),
    ENTRY(straight_through_softmax),
    {NULL, NULL, 0, NULL},
};
