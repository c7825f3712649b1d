/// The conversions between Python objects and vqswift.h. Nothing here decides anything.
#pragma once
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#include "vqswift.h"

/// A Python object that owns one native handle.
typedef struct {
  PyObject_HEAD void *pointer;
} handle_object;

typedef enum {
  TENSOR_HANDLE,
  GENERATOR_HANDLE,
  MODULE_HANDLE,
  OPTIMIZER_HANDLE,
  HANDLE_KINDS
} handle_kind;

/// Adds the handle types to the module; -1 with an exception set.
int add_handle_types(PyObject *module);

/// A new owner of the handle at `address`, or the exception of `status`. The address lets a call
/// that gives the handle stand in the same argument list.
PyObject *wrap(vq_status status, handle_kind kind, const void *address);
/// Sets the exception of `status` and returns NULL.
PyObject *raise_status(vq_status status);
/// None, or the exception of `status`.
PyObject *none_or_raise(vq_status status);

// "O&" converters. The optional ones take None as NULL.
int to_tensor(PyObject *object, void *out);
int to_optional_tensor(PyObject *object, void *out);
int to_generator(PyObject *object, void *out);
int to_optional_generator(PyObject *object, void *out);
int to_module(PyObject *object, void *out);
int to_optimizer(PyObject *object, void *out);
int to_optional_optimizer(PyObject *object, void *out);

#define MAX_RANK 32
typedef struct {
  int64_t values[MAX_RANK];
  int64_t count;
  int given;  ///< 0 for None
} size_list;
/// A sequence of at most MAX_RANK integers.
int to_sizes(PyObject *object, void *out);
/// The same, or None.
int to_optional_sizes(PyObject *object, void *out);
/// Two integers.
int to_pair(PyObject *object, void *out);
/// A float or None: a pointer to the value, or NULL.
typedef struct {
  float value;
  const float *pointer;
} optional_float;
int to_optional_float(PyObject *object, void *out);

/// Borrowed handles of a sequence; `names` too when its items are pairs (name, handle).
typedef struct {
  PyObject *owner;
  void **handles;
  const char **names;
  int64_t count;
} handle_list;
/// 0 with an exception set after a failure; `clear_list` frees what a success took.
int read_list(PyObject *sequence, handle_kind kind, int named, handle_list *out);
void clear_list(handle_list *list);

/// Options by name from a dict of a kind of module; borrows its texts.
typedef struct {
  vq_option *options;
  int64_t count;
} option_list;
int read_options(const char *kind, PyObject *dictionary, option_list *out);
void clear_options(option_list *list);

/// Appends (name, handle at `address`) to `list`; 0 with an exception set after a failure.
int append_named(PyObject *list, vq_status status, const char *name, handle_kind kind,
                 const void *address);

typedef enum { FLOAT32, INT32, FLOAT64, INT64 } element_kind;
/// A contiguous view of an array of that element type; 0 with an exception set after a failure.
int view_elements(PyObject *array, const char *operation, element_kind kind, int flags,
                  Py_buffer *view);
/// Its number of elements, of 8 bytes.
int64_t words(const Py_buffer *view);
/// 0 with TypeError set unless `object` is a tuple, which `PyArg_ParseTuple` takes for granted.
int check_tuple(PyObject *object, const char *operation, const char *contents);

/// The tuple of a quantizer's forward, or the exception of `status`.
PyObject *give_quantized(vq_status status, vq_quantized *out);

/// Lets long native calls run the handlers of signals that have come, and end when one raises.
void install_interrupt_check(void);
/// Marks the begin of a native call: its first check comes a while later.
void begin_call(void);
/// Sets the exception that a signal's handler raised during the call.
void raise_interruption(void);

/// Runs a call that returns a status without the interpreter lock.
#define WITHOUT_GIL(status, call)           \
  do {                                      \
    begin_call();                           \
    Py_BEGIN_ALLOW_THREADS status = (call); \
    Py_END_ALLOW_THREADS                    \
  } while (0)

extern PyMethodDef tensor_methods[];
extern PyMethodDef operator_methods[];
extern PyMethodDef module_methods[];
extern PyMethodDef option_methods[];
extern PyMethodDef quantizer_methods[];
extern PyMethodDef quantizer_family_methods[];
extern PyMethodDef learned_quantizer_methods[];
extern PyMethodDef search_methods[];
extern PyMethodDef optimizer_methods[];
extern PyMethodDef archive_methods[];
extern PyMethodDef metric_methods[];
extern PyMethodDef estimator_methods[];
