#include <stdlib.h>

#include "core.h"

#define AT(parameter) ((place){operation, parameter})

/// The structures of DLPack (github.com/dmlc/dlpack), version 0: memory that others read in place.
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

typedef struct dl_managed {
  dl_tensor tensor;
  void *context;
  void (*release)(struct dl_managed *);
} dl_managed;

enum { DL_CPU = 1, DL_INT = 0, DL_FLOAT = 2, DL_BFLOAT = 4 };

typedef struct {
  dl_managed managed;
  int64_t sizes[];  ///< shape, then strides
} dl_owner;

/// Called by any thread, without the interpreter lock.
static void release_managed(dl_managed *managed) {
  vq_tensor_release(managed->context);
  free(managed);
}

static void release_capsule(PyObject *capsule) {
  // Who takes the memory renames the capsule.
  if (!PyCapsule_IsValid(capsule, "dltensor")) return;
  dl_managed *managed = PyCapsule_GetPointer(capsule, "dltensor");
  managed->release(managed);
}

PyObject *tensor_dlpack(PyObject *self, PyObject *const *args, Py_ssize_t given) {
  static const char operation[] = "dlpack";
  vq_tensor *tensor, *kept;
  if (!takes(operation, given, 1) ||
      !take_handle(args[0], AT("tensor"), TENSOR_HANDLE, false, &tensor))
    return NULL;
  vq_status status = vq_tensor_detach(tensor, &kept);
  if (status != VQ_OK) return raise_status(status);
  int64_t rank = vq_tensor_rank(kept), stride = 1;
  dl_owner *owner = calloc(1, sizeof *owner + 2 * (rank > 0 ? rank : 1) * sizeof(int64_t));
  if (!owner) {
    vq_tensor_release(kept);
    return PyErr_NoMemory();
  }
  dl_managed *managed = &owner->managed;
  *managed = (dl_managed){.context = kept, .release = release_managed};
  dl_tensor *out = &managed->tensor;
  out->data = (void *)vq_tensor_data(kept);
  out->device.type = DL_CPU;
  out->ndim = (int32_t)rank;
  out->shape = owner->sizes;
  out->strides = owner->sizes + rank;
  vq_tensor_shape(kept, out->shape);
  for (int64_t axis = rank - 1; axis >= 0; axis--) {
    out->strides[axis] = stride;
    stride *= out->shape[axis];
  }
  int32_t dtype = vq_tensor_dtype(kept);
  bool is_half = dtype == VQ_FLOAT16 || dtype == VQ_BFLOAT16;
  out->dtype.code = dtype == VQ_BFLOAT16                         ? DL_BFLOAT
                    : dtype == VQ_FLOAT32 || dtype == VQ_FLOAT16 ? DL_FLOAT
                                                                 : DL_INT;
  out->dtype.bits = is_half ? 16 : 32;
  out->dtype.lanes = 1;
  PyObject *capsule = PyCapsule_New(managed, "dltensor", release_capsule);
  if (!capsule) managed->release(managed);
  return capsule;
}
