#include <stdlib.h>
#include <string.h>

#include "core.h"

/// An OSError of the errno's own class that names the path, where the system refused one.
static PyObject *raise_file_status(vq_status status, PyObject *path) {
  if (status != VQ_ERROR_IO || !vq_last_error_code()) return raise_status(status);
  // The text is "[action] path: reason".
  const char *text = vq_last_error(), *reason = text;
  for (const char *next = strstr(text, ": "); next; next = strstr(reason, ": ")) reason = next + 2;
  PyObject *arguments = Py_BuildValue("(isO)", (int)vq_last_error_code(), reason, path);
  if (arguments) PyErr_SetObject(PyExc_OSError, arguments);
  Py_XDECREF(arguments);
  return NULL;
}

/// path: str or bytes; metadata: ((key, value), ...)
static PyObject *archive_save(PyObject *self, PyObject *args) {
  PyObject *path, *encoded, *pairs, *metadata;
  handle_list list;
  if (!PyArg_ParseTuple(args, "OOO", &path, &pairs, &metadata)) return NULL;
  PyObject *entries = PySequence_Tuple(metadata);
  if (!entries) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) {
    Py_DECREF(entries);
    return NULL;
  }
  Py_ssize_t count = PyTuple_Size(entries);
  const char **texts = calloc(2 * (size_t)count + 1, sizeof *texts);
  PyObject *result = texts ? NULL : PyErr_NoMemory();
  int parsed = texts != NULL;
  for (Py_ssize_t i = 0; parsed && i < count; i++) {
    PyObject *entry = PyTuple_GetItem(entries, i);
    parsed = check_tuple(entry, "save", "key, value") &&
             PyArg_ParseTuple(entry, "ss", &texts[i], &texts[count + i]);
  }
  if (parsed && PyUnicode_FSConverter(path, &encoded)) {
    vq_status status;
    WITHOUT_GIL(status, vq_archive_save(PyBytes_AsString(encoded), list.names,
                                        (const vq_tensor *const *)list.handles, list.count, texts,
                                        texts + count, count));
    Py_DECREF(encoded);
    result = status == VQ_OK ? none_or_raise(status) : raise_file_status(status, path);
  }
  free(texts);
  clear_list(&list);
  Py_DECREF(entries);
  return result;
}

/// The pairs of texts of an archive that `give` brings.
static PyObject *texts(const vq_archive *archive, int64_t count,
                       vq_status (*give)(const vq_archive *, int64_t, const char **,
                                         const char **)) {
  PyObject *list = PyList_New(0);
  for (int64_t i = 0; list && i < count; i++) {
    const char *first = NULL, *second = NULL;
    vq_status status = give(archive, i, &first, &second);
    PyObject *pair = status == VQ_OK ? Py_BuildValue("(ss)", first, second) : raise_status(status);
    if (!pair || PyList_Append(list, pair) < 0) Py_CLEAR(list);
    Py_XDECREF(pair);
  }
  return list;
}

/// ([(name, tensor)], [(key, value)], [(name of what is left out, reason)])
static PyObject *archive_load(PyObject *self, PyObject *args) {
  PyObject *path, *encoded;
  vq_archive *archive;
  if (!PyArg_ParseTuple(args, "O", &path) || !PyUnicode_FSConverter(path, &encoded)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_archive_load(PyBytes_AsString(encoded), &archive));
  Py_DECREF(encoded);
  if (status != VQ_OK) return raise_file_status(status, path);
  PyObject *tensors = PyList_New(0);
  int64_t count = vq_archive_count(archive);
  for (int64_t i = 0; tensors && i < count; i++) {
    const char *name = NULL;
    vq_tensor *tensor = NULL;
    status = vq_archive_tensor(archive, i, &name, &tensor);
    if (!append_named(tensors, status, name, TENSOR_HANDLE, &tensor)) Py_CLEAR(tensors);
  }
  PyObject *metadata =
      tensors ? texts(archive, vq_archive_metadata_count(archive), vq_archive_metadata) : NULL;
  PyObject *unread =
      metadata ? texts(archive, vq_archive_unread_count(archive), vq_archive_unread) : NULL;
  vq_archive_release(archive);
  if (unread) return Py_BuildValue("(NNN)", tensors, metadata, unread);
  Py_XDECREF(tensors);
  Py_XDECREF(metadata);
  return NULL;
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef archive_methods[] = {
    ENTRY(archive_save),
    ENTRY(archive_load),
    {NULL, NULL, 0, NULL},
};
