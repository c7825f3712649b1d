/// The conversions between Python objects and vqswift.h. Nothing here decides anything.
///
/// `bindings.py` writes a call for each function of the header: it takes the arguments, makes the
/// native call and gives the results by what is declared here.
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
  ESTIMATOR_HANDLE,
  HANDLE_KINDS,
  TEXT = HANDLE_KINDS,  ///< of lists: a text in place of a handle
} item_kind;

/// Adds the handle types to the module; -1 with an exception set.
int add_handle_types(PyObject *module);
/// What an item must be, "a tensor handle".
const char *item_name(item_kind kind);
PyTypeObject *handle_type(item_kind kind);

// MARK: - Arguments. Each is false with an exception set after a failure.

/// The argument that is converted.
typedef struct {
  const char *operation, *name;
} place;

/// A TypeError that names the place, what stands there and what is required; false.
bool refuse(place at, PyObject *object, const char *required);
bool takes(const char *operation, Py_ssize_t given, Py_ssize_t count);
bool take_boolean(PyObject *object, place at, bool *out);
bool take_int32(PyObject *object, place at, int32_t *out);
bool take_int64(PyObject *object, place at, int64_t *out);
bool take_word(PyObject *object, place at, uint64_t *out);
bool take_float(PyObject *object, place at, float *out);
bool take_double(PyObject *object, place at, double *out);
/// Borrowed; without a NUL inside.
bool take_text(PyObject *object, place at, const char **out);
/// A borrowed handle; NULL of None where that is allowed.
bool take_handle(PyObject *object, place at, item_kind kind, bool is_optional, void *out);

typedef struct {
  float value;
  const float *pointer;  ///< NULL for None
} optional_float;
bool take_optional_float(PyObject *object, place at, optional_float *out);

#define MAX_RANK 32
typedef struct {
  int64_t values[MAX_RANK];
  int64_t count;
  const int64_t *items;  ///< NULL for None
} size_list;
/// A sequence of at most MAX_RANK integers, or None where that is allowed.
bool take_sizes(PyObject *object, place at, bool is_optional, size_list *out);
bool take_pair(PyObject *object, place at, int64_t out[2]);

/// Handles or texts of a sequence; `names` too when its items are pairs (name, item).
typedef struct {
  PyObject *owner;
  void **items;
  const char **names;
  int64_t count;
} item_list;
bool take_list(PyObject *sequence, place at, item_kind kind, bool is_named, item_list *out);
void clear_item_list(item_list *list);

/// Options by name from a dict, for a kind of thing.
typedef struct {
  PyObject *owner;
  vq_option *items;
  int64_t count;
} option_list;
bool read_options(const char *kind, PyObject *dictionary, option_list *out);
void clear_option_list(option_list *list);

typedef enum { FLOAT32, INT32, FLOAT64, INT64, HALF } element_kind;
/// A view of a contiguous array of that element type; of any number of axes where `axes` is -1.
bool take_array(
    PyObject *object, place at, element_kind kind, int axes, int flags, Py_buffer *view);
/// Whether an array's axis, or a list, has as many elements as `count`, or gives it where it is -1.
bool fits(place at, const Py_buffer *view, int axis, int64_t *count);
bool counts(place at, int64_t found, int64_t *count);

// MARK: - Results

/// Sets the exception of `status` and returns NULL.
PyObject *raise_status(vq_status status);
/// An OSError of the errno's own class that names the path, where the system refused one.
PyObject *raise_file_status(vq_status status, PyObject *path);
/// A new owner of a handle.
PyObject *give_handle(item_kind kind, void *pointer);
/// [(name, item)]; releases the list.
PyObject *give_list(vq_list *list);
/// A str, None of NULL.
PyObject *give_text(const char *text);
/// A tuple with names of new references.
PyObject *give_fields(PyTypeObject *type, PyObject **items, int count);

// MARK: - Calls

/// Lets long native calls run the handlers of signals that have come, and end when one raises.
void install_interrupt_check(void);
/// Marks the begin of a native call: its first check comes a while later.
void begin_call(void);
/// Sets the exception that a signal's handler raised during the call.
void raise_interruption(void);

/// Sets the exception that a function given to the core raised during the call.
void raise_host_exception(void);
/// (operation, value, inputs, saved, pullback) -> the value on the tape.
PyObject *tensor_record(PyObject *self, PyObject *const *args, Py_ssize_t given);
/// (inputs, function) -> its result, computed again in backward.
PyObject *tensor_checkpoint(PyObject *self, PyObject *const *args, Py_ssize_t given);
/// (parameter, step) -> an optimizer whose steps are the function's.
PyObject *optimizer_create_hosted(PyObject *self, PyObject *const *args, Py_ssize_t given);
/// (tensor, gradient, retain_graph, leaves, done); calls done(place) for each leaf.
PyObject *tensor_backward_by_leaf(PyObject *self, PyObject *const *args, Py_ssize_t given);
/// (module, exchange); exchange(moments, values) gives float64 for as many in bytes;
/// how many batch norms call it.
PyObject *module_exchange_moments(PyObject *self, PyObject *const *args, Py_ssize_t given);

/// Runs a call that returns a status without the interpreter lock.
#define WITHOUT_GIL(status, call)           \
  do {                                      \
    begin_call();                           \
    Py_BEGIN_ALLOW_THREADS status = (call); \
    Py_END_ALLOW_THREADS                    \
  } while (0)

/// (tensor) -> a DLPack capsule over its elements.
PyObject *tensor_dlpack(PyObject *self, PyObject *const *args, Py_ssize_t given);

extern PyMethodDef generated_methods[];
int add_generated_types(PyObject *module);
extern PyMethodDef methods_by_hand[];
