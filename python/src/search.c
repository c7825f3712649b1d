#include "core.h"

/// Codes, or (codes, distances).
static PyObject *found_codes(vq_status status, vq_tensor *codes, vq_tensor *distances) {
  if (status != VQ_OK) return raise_status(status);
  PyObject *first = wrap(status, TENSOR_HANDLE, &codes);
  if (!distances) return first;
  return Py_BuildValue("(NN)", first, wrap(status, TENSOR_HANDLE, &distances));
}

static PyObject *nearest_codes(PyObject *self, PyObject *args) {
  vq_tensor *x, *codebook, *codes, *distances = NULL;
  int with_distances;
  if (!PyArg_ParseTuple(args, "O&O&p", to_tensor, &x, to_tensor, &codebook, &with_distances))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_nearest_codes(x, codebook, &codes, with_distances ? &distances : NULL));
  return found_codes(status, codes, distances);
}

static PyObject *nearest_codes_ranked(PyObject *self, PyObject *args) {
  vq_tensor *x, *codebook, *codes, *distances = NULL;
  long long count;
  int with_distances;
  if (!PyArg_ParseTuple(args, "O&O&Lp", to_tensor, &x, to_tensor, &codebook, &count,
                        &with_distances))
    return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_nearest_codes_ranked(x, codebook, count, &codes,
                                              with_distances ? &distances : NULL));
  return found_codes(status, codes, distances);
}

static PyObject *kmeans(PyObject *self, PyObject *args) {
  vq_tensor *x, *initial, *centroids, *codes;
  long long k, max_iterations;
  int init;
  unsigned long long seed;
  if (!PyArg_ParseTuple(args, "O&LLiO&K", to_tensor, &x, &k, &max_iterations, &init,
                        to_optional_tensor, &initial, &seed))
    return NULL;
  double inertia;
  int64_t iterations;
  vq_status status;
  WITHOUT_GIL(status, vq_kmeans(x, k, max_iterations, init, initial, seed, &centroids, &codes,
                                &inertia, &iterations));
  if (status != VQ_OK) return raise_status(status);
  return Py_BuildValue("(NNdL)", wrap(status, TENSOR_HANDLE, &centroids),
                       wrap(status, TENSOR_HANDLE, &codes), inertia, (long long)iterations);
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef search_methods[] = {
    ENTRY(nearest_codes),
    ENTRY(nearest_codes_ranked),
    ENTRY(kmeans),
    {NULL, NULL, 0, NULL},
};
