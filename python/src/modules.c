#include "core.h"

static PyObject *linear_create(PyObject *self, PyObject *args) {
  long long inputs, outputs;
  int bias;
  vq_generator *generator;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "LLpO&", &inputs, &outputs, &bias, to_generator, &generator))
    return NULL;
  return wrap(vq_linear_create(inputs, outputs, bias, generator, &out), MODULE_HANDLE, &out);
}

static PyObject *convolution(PyObject *args, int transposed) {
  vq_conv2d_options options = {.struct_size = sizeof options};
  long long inputs, outputs;
  int bias;
  vq_generator *generator;
  if (!PyArg_ParseTuple(args, "LLO&O&O&O&pO&", &inputs, &outputs, to_pair, options.kernel, to_pair,
                        options.stride, to_pair, options.padding, to_pair, options.output_padding,
                        &bias, to_generator, &generator))
    return NULL;
  options.input_channels = inputs;
  options.output_channels = outputs;
  options.bias = bias;
  vq_module *out;
  vq_status status = transposed ? vq_conv_transpose2d_create(&options, generator, &out)
                                : vq_conv2d_create(&options, generator, &out);
  return wrap(status, MODULE_HANDLE, &out);
}

static PyObject *conv2d_create(PyObject *self, PyObject *args) { return convolution(args, 0); }
static PyObject *conv_transpose2d_create(PyObject *self, PyObject *args) {
  return convolution(args, 1);
}

static PyObject *batch_norm_create(PyObject *self, PyObject *args) {
  long long features;
  float epsilon, momentum;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "Lff", &features, &epsilon, &momentum)) return NULL;
  return wrap(vq_batch_norm_create(features, epsilon, momentum, &out), MODULE_HANDLE, &out);
}

static PyObject *layer_norm_create(PyObject *self, PyObject *args) {
  long long features;
  float epsilon;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "Lf", &features, &epsilon)) return NULL;
  return wrap(vq_layer_norm_create(features, epsilon, &out), MODULE_HANDLE, &out);
}

static PyObject *embedding_create(PyObject *self, PyObject *args) {
  long long count, features;
  vq_generator *generator;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "LLO&", &count, &features, to_generator, &generator)) return NULL;
  return wrap(vq_embedding_create(count, features, generator, &out), MODULE_HANDLE, &out);
}

static PyObject *activation_create(PyObject *self, PyObject *args) {
  int kind;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "i", &kind)) return NULL;
  return wrap(vq_activation_create((vq_activation)kind, &out), MODULE_HANDLE, &out);
}

static PyObject *dropout_create(PyObject *self, PyObject *args) {
  float probability;
  vq_generator *generator;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "fO&", &probability, to_generator, &generator)) return NULL;
  return wrap(vq_dropout_create(probability, generator, &out), MODULE_HANDLE, &out);
}

#define POOL(name)                                                                             \
  static PyObject *name##_create(PyObject *self, PyObject *args) {                             \
    int64_t kernel[2], stride[2], padding[2];                                                  \
    vq_module *out;                                                                            \
    if (!PyArg_ParseTuple(args, "O&O&O&", to_pair, kernel, to_pair, stride, to_pair, padding)) \
      return NULL;                                                                             \
    return wrap(vq_##name##_create(kernel, stride, padding, &out), MODULE_HANDLE, &out);       \
  }
POOL(max_pool2d)
POOL(average_pool2d)

static PyObject *upsample_nearest2d_create(PyObject *self, PyObject *args) {
  int64_t scale[2];
  vq_module *out;
  if (!PyArg_ParseTuple(args, "O&", to_pair, scale)) return NULL;
  return wrap(vq_upsample_nearest2d_create(scale, &out), MODULE_HANDLE, &out);
}

static PyObject *sequential_create(PyObject *self, PyObject *args) {
  PyObject *sequence;
  handle_list list;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "O", &sequence)) return NULL;
  if (!read_list(sequence, MODULE_HANDLE, 0, &list)) return NULL;
  vq_status status = vq_sequential_create((const vq_module *const *)list.handles, list.count, &out);
  clear_list(&list);
  return wrap(status, MODULE_HANDLE, &out);
}

static PyObject *residual_create(PyObject *self, PyObject *args) {
  vq_module *body, *out;
  if (!PyArg_ParseTuple(args, "O&", to_module, &body)) return NULL;
  return wrap(vq_residual_create(body, &out), MODULE_HANDLE, &out);
}

#define BACKBONE(name)                                                                            \
  static PyObject *name##_create(PyObject *self, PyObject *args) {                                \
    long long size, channels, width;                                                              \
    vq_generator *generator;                                                                      \
    vq_module *out;                                                                               \
    if (!PyArg_ParseTuple(args, "LLLO&", &size, &channels, &width, to_generator, &generator))     \
      return NULL;                                                                                \
    return wrap(vq_##name##_create(size, channels, width, generator, &out), MODULE_HANDLE, &out); \
  }
BACKBONE(sqvae_encoder)
BACKBONE(sqvae_decoder)

static PyObject *resnet50_create(PyObject *self, PyObject *args) {
  long long channels, classes;
  int small_images;
  vq_generator *generator;
  vq_module *out;
  if (!PyArg_ParseTuple(args, "LLpO&", &channels, &classes, &small_images, to_generator,
                        &generator))
    return NULL;
  return wrap(vq_resnet50_create(channels, classes, small_images, generator, &out), MODULE_HANDLE,
              &out);
}

static PyObject *module_forward(PyObject *self, PyObject *args) {
  vq_module *module;
  vq_tensor *x, *out;
  if (!PyArg_ParseTuple(args, "O&O&", to_module, &module, to_tensor, &x)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_module_forward(module, x, &out));
  return wrap(status, TENSOR_HANDLE, &out);
}

static PyObject *module_set_training(PyObject *self, PyObject *args) {
  vq_module *module;
  int training;
  if (!PyArg_ParseTuple(args, "O&p", to_module, &module, &training)) return NULL;
  return none_or_raise(vq_module_set_training(module, training));
}

static PyObject *module_is_training(PyObject *self, PyObject *args) {
  vq_module *module;
  if (!PyArg_ParseTuple(args, "O&", to_module, &module)) return NULL;
  return PyBool_FromLong(vq_module_is_training(module));
}

static PyObject *module_parameters(PyObject *self, PyObject *args) {
  vq_module *module;
  int all;
  if (!PyArg_ParseTuple(args, "O&p", to_module, &module, &all)) return NULL;
  PyObject *list = PyList_New(0);
  int64_t count = vq_module_parameter_count(module, all);
  for (int64_t i = 0; list && i < count; i++) {
    const char *name = NULL;
    vq_tensor *tensor = NULL;
    vq_status status = vq_module_parameter(module, all, i, &name, &tensor);
    if (!append_named(list, status, name, TENSOR_HANDLE, &tensor)) Py_CLEAR(list);
  }
  return list;
}

#define NAMED_LIST(plural, singular)                                                 \
  static PyObject *module_##plural(PyObject *self, PyObject *args) {                 \
    vq_module *module;                                                               \
    if (!PyArg_ParseTuple(args, "O&", to_module, &module)) return NULL;              \
    PyObject *list = PyList_New(0);                                                  \
    int64_t count = vq_module_##singular##_count(module);                            \
    for (int64_t i = 0; list && i < count; i++) {                                    \
      const char *name = NULL;                                                       \
      vq_tensor *tensor = NULL;                                                      \
      vq_status status = vq_module_##singular(module, i, &name, &tensor);            \
      if (!append_named(list, status, name, TENSOR_HANDLE, &tensor)) Py_CLEAR(list); \
    }                                                                                \
    return list;                                                                     \
  }
NAMED_LIST(buffers, buffer)
NAMED_LIST(optional_buffers, optional_buffer)
NAMED_LIST(generators, generator)

static PyObject *module_load(PyObject *self, PyObject *args) {
  vq_module *module;
  PyObject *pairs;
  int strict;
  handle_list list;
  if (!PyArg_ParseTuple(args, "O&Op", to_module, &module, &pairs, &strict)) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) return NULL;
  vq_status status;
  WITHOUT_GIL(status, vq_module_load(module, list.names, (const vq_tensor *const *)list.handles,
                                     list.count, strict));
  clear_list(&list);
  return none_or_raise(status);
}

static PyObject *module_load_generators(PyObject *self, PyObject *args) {
  vq_module *module;
  PyObject *pairs;
  handle_list list;
  if (!PyArg_ParseTuple(args, "O&O", to_module, &module, &pairs)) return NULL;
  if (!read_list(pairs, TENSOR_HANDLE, 1, &list)) return NULL;
  vq_status status = vq_module_load_generators(module, list.names,
                                               (const vq_tensor *const *)list.handles, list.count);
  clear_list(&list);
  return none_or_raise(status);
}

#define ENTRY(name) {#name, name, METH_VARARGS, NULL}
PyMethodDef module_methods[] = {
    ENTRY(linear_create),
    ENTRY(conv2d_create),
    ENTRY(conv_transpose2d_create),
    ENTRY(batch_norm_create),
    ENTRY(layer_norm_create),
    ENTRY(embedding_create),
    ENTRY(activation_create),
    ENTRY(dropout_create),
    ENTRY(max_pool2d_create),
    ENTRY(average_pool2d_create),
    ENTRY(upsample_nearest2d_create),
    ENTRY(sequential_create),
    ENTRY(residual_create),
    ENTRY(sqvae_encoder_create),
    ENTRY(sqvae_decoder_create),
    ENTRY(resnet50_create),
    ENTRY(module_forward),
    ENTRY(module_set_training),
    ENTRY(module_is_training),
    ENTRY(module_parameters),
    ENTRY(module_buffers),
    ENTRY(module_optional_buffers),
    ENTRY(module_load),
    ENTRY(module_generators),
    ENTRY(module_load_generators),
    {NULL, NULL, 0, NULL},
};
