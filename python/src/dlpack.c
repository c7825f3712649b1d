#include <stdlib.h>
#include <string.h>

#include "core.h"

#define AT(parameter) ((place){operation, parameter})

/// The structures of DLPack (github.com/dmlc/dlpack): memory that others read in place.
typedef struct {
  void *data;
  struct {
    int32_t type, id;
  } device;
  int32_t ndim;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} dl_tensor;

/// That of version 0, which says nothing of who may write.
typedef struct dl_managed {
  dl_tensor tensor;
  void *context;
  void (*release)(struct dl_managed *);
} dl_managed;

typedef struct dl_versioned {
  uint32_t major, minor;
  void *context;
  void (*release)(struct dl_versioned *);
  uint64_t flags;
  dl_tensor tensor;
} dl_versioned;

enum { DL_CPU = 1, DL_INT = 0, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 };
enum { DL_READ_ONLY = 1, DL_IS_COPIED = 2 };

typedef struct {
  union {
    dl_managed managed;
    dl_versioned versioned;
  };
  void *copy;
  int64_t sizes[];  ///< shape, then strides
} dl_owner;

/// Called by any thread, without the interpreter lock.
static void release_managed(dl_managed *managed) {
  vq_tensor_release(managed->context);
  free(((dl_owner *)managed)->copy);
  free(managed);
}

static void release_versioned(dl_versioned *versioned) {
  vq_tensor_release(versioned->context);
  free(((dl_owner *)versioned)->copy);
  free(versioned);
}

// Who takes the memory renames the capsule.
static void release_capsule(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, "dltensor"))
    release_managed(PyCapsule_GetPointer(capsule, "dltensor"));
  else if (PyCapsule_IsValid(capsule, "dltensor_versioned"))
    release_versioned(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
}

/// Shape, strides and type; returns the number of elements.
static int64_t describe(const vq_tensor *tensor, int64_t *sizes, dl_tensor *out) {
  int64_t rank = vq_tensor_rank(tensor), count = 1;
  out->data = (void *)vq_tensor_data(tensor);
  out->device.type = DL_CPU;
  out->ndim = (int32_t)rank;
  out->shape = sizes;
  out->strides = sizes + rank;
  vq_tensor_shape(tensor, out->shape);
  for (int64_t axis = rank - 1; axis >= 0; axis--) {
    out->strides[axis] = count;
    count *= out->shape[axis];
  }
  int32_t dtype = vq_tensor_dtype(tensor);
  bool is_half = dtype == VQ_FLOAT16 || dtype == VQ_BFLOAT16;
  out->dtype.code = dtype == VQ_BFLOAT16                         ? DL_BFLOAT
                    : dtype == VQ_FLOAT32 || dtype == VQ_FLOAT16 ? DL_FLOAT
                                                                 : DL_INT;
  out->dtype.bits = is_half ? 16 : 32;
  out->dtype.lanes = 1;
  return count;
}

/// A copy of the elements, bools in a byte each; NULL without memory.
static void *copied(const vq_tensor *tensor, int64_t count, dl_tensor *out) {
  size_t size = (size_t)count * out->dtype.bits / 8;
  // Whole lines of the cache, where readers with vectors want it to begin.
  void *copy = aligned_alloc(64, (size + 64) / 64 * 64);
  if (!copy) return NULL;
  if (vq_tensor_dtype(tensor) == VQ_BOOL) {
    const int32_t *elements = out->data;
    for (int64_t i = 0; i < count; i++) ((uint8_t *)copy)[i] = elements[i] != 0;
    out->dtype.code = DL_BOOL;
    out->dtype.bits = 8;
  } else if (count > 0) {
    memcpy(copy, out->data, size);
  }
  return out->data = copy;
}

/// `tensor_dlpack(tensor, is_versioned, is_copied)`: bools that are not copied are int32.
PyObject *tensor_dlpack(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "dlpack";
  vq_tensor *tensor, *kept;
  bool is_versioned, is_copied;
  if (!takes(operation, given, 3) ||
      !take_handle(args[0], AT("tensor"), TENSOR_HANDLE, false, &tensor) ||
      !take_boolean(args[1], AT("is_versioned"), &is_versioned) ||
      !take_boolean(args[2], AT("is_copied"), &is_copied))
    return NULL;
  vq_status status = vq_tensor_detach(tensor, &kept);
  if (status != VQ_OK) return raise_status(status);
  int64_t rank = vq_tensor_rank(kept);
  dl_owner *owner = calloc(1, sizeof *owner + 2 * (rank > 0 ? rank : 1) * sizeof(int64_t));
  if (!owner) {
    vq_tensor_release(kept);
    return PyErr_NoMemory();
  }
  dl_tensor *out = is_versioned ? &owner->versioned.tensor : &owner->managed.tensor;
  if (is_versioned) {
    owner->versioned.major = 1;
    owner->versioned.context = kept;
    owner->versioned.release = release_versioned;
    owner->versioned.flags = is_copied ? DL_IS_COPIED : DL_READ_ONLY;
  } else {
    owner->managed.context = kept;
    owner->managed.release = release_managed;
  }
  int64_t count = describe(kept, owner->sizes, out);
  PyObject *capsule = NULL;
  if (is_copied && !(owner->copy = copied(kept, count, out)))
    PyErr_NoMemory();
  else
    capsule =
        PyCapsule_New(owner, is_versioned ? "dltensor_versioned" : "dltensor", release_capsule);
  if (!capsule) {
    vq_tensor_release(kept);
    free(owner->copy);
    free(owner);
  }
  return capsule;
}
