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

static void release_view(void *context) {
  PyGILState_STATE state = PyGILState_Ensure();
  PyBuffer_Release(context);
  PyMem_Free(context);
  PyGILState_Release(state);
}

/// A view of C-contiguous [n, d] elements of `size` bytes; 0 with an exception set after a failure.
static int view_matrix(PyObject *array, Py_ssize_t size, int flags, Py_buffer *view) {
  if (PyObject_GetBuffer(array, view, flags | PyBUF_ND | PyBUF_C_CONTIGUOUS) < 0) return 0;
  if (view->itemsize == size && view->ndim == 2) return 1;
  PyErr_Format(PyExc_TypeError, "[search] %d axes of %zd bytes: a matrix of %zd is required",
               view->ndim, view->itemsize, size);
  PyBuffer_Release(view);
  return 0;
}

static PyObject *points(PyObject *self, PyObject *array) {
  Py_buffer *view = PyMem_Malloc(sizeof *view);
  if (!view) return PyErr_NoMemory();
  if (!view_matrix(array, sizeof(float), 0, view)) {
    PyMem_Free(view);
    return NULL;
  }
  vq_tensor *out;
  vq_status status = vq_points_create_borrowed(view->buf, view->shape[0], view->shape[1],
                                               release_view, view, &out);
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *nearest_codes_f64(PyObject *self, PyObject *args) {
  PyObject *x, *codebook, *codes, *distances;
  long long count;
  if (!PyArg_ParseTuple(args, "OOLOO", &x, &codebook, &count, &codes, &distances)) return NULL;
  Py_buffer points, rows, found = {0}, squares = {0};
  if (!view_matrix(x, 8, 0, &points)) return NULL;
  if (!view_matrix(codebook, 8, 0, &rows)) {
    PyBuffer_Release(&points);
    return NULL;
  }
  PyObject *result = NULL;
  Py_ssize_t wanted = points.shape[0] * (count > 0 ? (Py_ssize_t)count : 0);
  if (points.shape[1] != rows.shape[1]) {
    PyErr_SetString(PyExc_ValueError, "[nearest_codes] the widths differ");
  } else if (view_matrix(codes, 4, PyBUF_WRITABLE, &found) &&
             (distances == Py_None || view_matrix(distances, 8, PyBUF_WRITABLE, &squares))) {
    if (found.len / 4 != wanted || (squares.obj && squares.len / 8 != wanted)) {
      PyErr_SetString(PyExc_ValueError, "[nearest_codes] the results have other shapes");
    } else {
      vq_status status;
      WITHOUT_GIL(status, vq_nearest_codes_f64(points.buf, points.shape[0], rows.buf, rows.shape[0],
                                               rows.shape[1], count, found.buf, squares.buf));
      result = none_or_raise(status);
    }
  }
  if (squares.obj) PyBuffer_Release(&squares);
  if (found.obj) PyBuffer_Release(&found);
  PyBuffer_Release(&rows);
  PyBuffer_Release(&points);
  return result;
}

static PyObject *kmeans_f64(PyObject *self, PyObject *args) {
  PyObject *x, *initial, *centroids, *codes;
  long long max_iterations;
  int init;
  unsigned long long seed;
  if (!PyArg_ParseTuple(args, "OLiOKOO", &x, &max_iterations, &init, &initial, &seed, &centroids,
                        &codes))
    return NULL;
  Py_buffer points, start = {0}, means = {0}, found = {0};
  if (!view_matrix(x, 8, 0, &points)) return NULL;
  PyObject *result = NULL;
  if ((initial == Py_None || view_matrix(initial, 8, 0, &start)) &&
      view_matrix(centroids, 8, PyBUF_WRITABLE, &means) &&
      view_matrix(codes, 4, PyBUF_WRITABLE, &found)) {
    if (means.shape[1] != points.shape[1] || found.len / 4 != points.shape[0] ||
        (start.obj && start.len != means.len)) {
      PyErr_SetString(PyExc_ValueError, "[kmeans] the results have other shapes");
    } else {
      double inertia = 0;
      int64_t iterations = 0;
      vq_status status;
      WITHOUT_GIL(status, vq_kmeans_f64(points.buf, points.shape[0], points.shape[1],
                                        means.shape[0], max_iterations, init, start.buf, seed,
                                        means.buf, found.buf, &inertia, &iterations));
      result = status == VQ_OK ? Py_BuildValue("(dL)", inertia, (long long)iterations)
                               : raise_status(status);
    }
  }
  if (found.obj) PyBuffer_Release(&found);
  if (means.obj) PyBuffer_Release(&means);
  if (start.obj) PyBuffer_Release(&start);
  PyBuffer_Release(&points);
  return result;
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef search_methods[] = {
    ENTRY(nearest_codes),
    ENTRY(nearest_codes_ranked),
    ENTRY(kmeans),
    {"points", points, METH_O, NULL},
    ENTRY(nearest_codes_f64),
    ENTRY(kmeans_f64),
    {NULL, NULL, 0, NULL},
};
