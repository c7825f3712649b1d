/// An embedder's program: everything that vqswift.h promises, in C99 alone.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vqswift.h"

#define CHECK(condition)                                                                        \
  do {                                                                                          \
    if (!(condition)) {                                                                         \
      fprintf(stderr, "line %d: %s (last error: %s)\n", __LINE__, #condition, vq_last_error()); \
      exit(1);                                                                                  \
    }                                                                                           \
  } while (0)
#define OK(call) CHECK((call) == VQ_OK)

static int releases;

static void count_release(void *context) {
  CHECK(context == &releases);
  releases++;
}

static vq_tensor *floats(const float *values, int64_t rows, int64_t columns) {
  const int64_t shape[2] = {rows, columns};
  vq_tensor *tensor;
  OK(vq_tensor_create(VQ_FLOAT32, shape, 2, values, &tensor));
  return tensor;
}

static void operators_and_backward(void) {
  const float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 0, 1, 1, 1};
  vq_tensor *x = floats(a, 2, 3), *y = floats(b, 3, 2), *leaf, *product, *sum, *gradient;
  OK(vq_tensor_requiring_grad(x, VQ_ROLE_WEIGHT, &leaf));
  CHECK(vq_tensor_requires_grad(leaf) && vq_tensor_is_leaf(leaf) && !vq_tensor_requires_grad(x));
  OK(vq_tensor_matmul(leaf, y, &product));
  CHECK(vq_tensor_rank(product) == 2 && vq_tensor_dtype(product) == VQ_FLOAT32);
  int64_t shape[2];
  vq_tensor_shape(product, shape);
  CHECK(shape[0] == 2 && shape[1] == 2);
  float values[6];
  OK(vq_tensor_copy_out(product, values, sizeof values));
  CHECK(values[0] == 4 && values[1] == 5 && values[2] == 10 && values[3] == 11);
  CHECK(vq_tensor_copy_out(product, values, 15) == VQ_ERROR_VALUE);
  OK(vq_tensor_sum(product, NULL, 0, false, &sum));
  OK(vq_tensor_backward(sum, NULL, false));
  OK(vq_tensor_grad(leaf, &gradient));
  OK(vq_tensor_copy_out(gradient, values, sizeof values));
  CHECK(values[0] == 1 && values[1] == 1 && values[2] == 2);  // row sums of y
  CHECK(vq_tensor_backward(sum, NULL, false) == VQ_ERROR_RUNTIME);
  vq_tensor_release(gradient);
  OK(vq_tensor_set_grad(leaf, NULL));
  OK(vq_tensor_grad(leaf, &gradient));
  CHECK(gradient == NULL);
  vq_tensor_release(gradient);

  CHECK(vq_set_grad_enabled(false) && !vq_grad_enabled());
  vq_tensor *unrecorded;
  OK(vq_tensor_unary(leaf, "exp", 0, &unrecorded));
  CHECK(!vq_tensor_requires_grad(unrecorded));
  CHECK(!vq_set_grad_enabled(true));

  CHECK(vq_products() == VQ_PRODUCTS_FLOAT32);
  OK(vq_set_products(VQ_PRODUCTS_ROUNDED));
  CHECK(vq_products() == VQ_PRODUCTS_ROUNDED);
  CHECK(vq_set_products(3) == VQ_ERROR_VALUE);
  CHECK((vq_set_products(VQ_PRODUCTS_BFLOAT16) == VQ_OK) == vq_multiplies_bfloat16());
  OK(vq_set_products(VQ_PRODUCTS_FLOAT32));

  vq_tensor *all[] = {x, y, leaf, product, sum, unrecorded};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) vq_tensor_release(all[i]);
}

static void halves(void) {
  const uint16_t bits[2] = {0x3F80, 0xC020};  // 1 and -2.5
  const int64_t shape[1] = {2};
  vq_tensor *x, *twice, *narrow, *out;
  OK(vq_tensor_create(VQ_BFLOAT16, shape, 1, bits, &x));
  CHECK(vq_tensor_dtype(x) == VQ_BFLOAT16 && vq_tensor_rank(x) == 1);
  float values[2];
  uint16_t found[2];
  CHECK(vq_tensor_copy_out(x, found, 3) == VQ_ERROR_VALUE);
  OK(vq_tensor_copy_out(x, found, sizeof found));
  CHECK(memcmp(found, bits, sizeof bits) == 0);
  OK(vq_tensor_add(x, x, &twice));
  CHECK(vq_tensor_dtype(twice) == VQ_FLOAT32);
  OK(vq_tensor_copy_out(twice, values, sizeof values));
  CHECK(values[0] == 2 && values[1] == -5);
  OK(vq_tensor_astype(twice, VQ_FLOAT16, &narrow));
  OK(vq_tensor_copy_out(narrow, found, sizeof found));
  CHECK(found[0] == 0x4000 && found[1] == 0xC500);
  CHECK(vq_tensor_requiring_grad(x, VQ_ROLE_WEIGHT, &out) == VQ_ERROR_TYPE && !out);
  CHECK(vq_tensor_assign(x, twice) == VQ_ERROR_TYPE);
  CHECK(vq_tensor_create_borrowed(VQ_FLOAT16, shape, 1, values, NULL, NULL, &out) == VQ_ERROR_TYPE);
  vq_tensor *all[] = {x, twice, narrow};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) vq_tensor_release(all[i]);
}

static void errors(void) {
  vq_tensor *x = floats((const float[2]){1, 2}, 1, 2), *out = x;
  CHECK(vq_tensor_matmul(x, x, &out) == VQ_ERROR_VALUE);
  CHECK(out == NULL);
  CHECK(
      strcmp(vq_last_error(),
          "[matmul] shapes [1, 2] and [1, 2]: the inner axes must be equal, and 2 is not 1") == 0);
  const int64_t huge[2] = {(int64_t)1 << 40, (int64_t)1 << 40}, negative[1] = {-1};
  CHECK(vq_tensor_create(VQ_FLOAT32, huge, 2, NULL, &out) == VQ_ERROR_OVERFLOW && !out);
  CHECK(vq_tensor_create(VQ_FLOAT32, negative, 1, NULL, &out) == VQ_ERROR_VALUE);
  CHECK(vq_tensor_create(7, negative, 0, NULL, &out) == VQ_ERROR_VALUE);
  CHECK(vq_tensor_create(VQ_INT32, negative, -1, NULL, &out) == VQ_ERROR_RUNTIME);
  CHECK(vq_tensor_create(VQ_INT32, NULL, 0, NULL, &out) == VQ_ERROR_RUNTIME);
  CHECK(vq_tensor_add(NULL, x, &out) == VQ_ERROR_RUNTIME);
  CHECK(vq_tensor_add(x, x, NULL) == VQ_ERROR_RUNTIME);
  CHECK(vq_tensor_copy_out(x, NULL, 8) == VQ_ERROR_RUNTIME);
  CHECK(vq_tensor_concatenate(NULL, 1, 0, &out) == VQ_ERROR_RUNTIME);
  CHECK(vq_tensor_concatenate(NULL, -1, 0, &out) == VQ_ERROR_RUNTIME);
  CHECK(vq_set_threads(0) == VQ_ERROR_VALUE);
  vq_module *module;
  const vq_option unknown = {.name = "sync_nuu", .type = VQ_OPTION_NUMBER, .number = 1};
  const vq_option text = {.name = "in_features", .type = VQ_OPTION_TEXT, .text = "x"};
  CHECK(vq_module_create("vector_quant", &unknown, 1, NULL, 0, NULL, &module) == VQ_ERROR_TYPE);
  CHECK(!module && strstr(vq_last_error(), "did you mean 'sync_nu'?"));
  CHECK(vq_module_create("linear", &text, 1, NULL, 0, NULL, &module) == VQ_ERROR_TYPE);
  CHECK(vq_module_create("linear", NULL, 0, NULL, 0, NULL, &module) == VQ_ERROR_RUNTIME);
  CHECK(vq_module_create("linear", NULL, -1, NULL, 0, NULL, &module) == VQ_ERROR_RUNTIME);
  CHECK(vq_module_create("nothing", NULL, 0, NULL, 0, NULL, &module) == VQ_ERROR_VALUE);
  CHECK(vq_module_create(NULL, NULL, 0, NULL, 0, NULL, &module) == VQ_ERROR_RUNTIME);
  CHECK(vq_nearest_codes(x, x, 1, NULL, NULL) == VQ_ERROR_RUNTIME);
  CHECK(vq_schedule_factor("cosine", NULL, 0, 0, NULL) == VQ_ERROR_RUNTIME);
  vq_list *tensors, *metadata, *unread;
  CHECK(vq_archive_load("/nonexistent/file", &tensors, &metadata, &unread) == VQ_ERROR_IO);
  CHECK(!tensors && !metadata && !unread);
  CHECK(vq_last_error_code() == ENOENT);
  CHECK(strstr(vq_last_error(), "/nonexistent/file"));
  vq_tensor_release(x);
  vq_tensor_release(NULL);
  vq_module_release(NULL);
  vq_generator_release(NULL);
  vq_optimizer_release(NULL);
  vq_estimator_release(NULL);
  vq_list_release(NULL);
}

static void borrowed_memory(void) {
  float *data = aligned_alloc(64, 64);
  CHECK(data);
  for (int i = 0; i < 16; i++) data[i] = (float)i;
  const int64_t shape[2] = {4, 4}, wrong[1] = {-4};
  vq_tensor *tensor, *flat, *sum;
  releases = 0;
  OK(vq_tensor_create_borrowed(VQ_FLOAT32, shape, 2, data, count_release, &releases, &tensor));
  OK(vq_tensor_reshape(tensor, (const int64_t[1]){16}, 1, &flat));
  vq_tensor_release(tensor);
  CHECK(releases == 0);  // the reshaped tensor reads the same memory
  OK(vq_tensor_sum(flat, NULL, 0, false, &sum));
  float total;
  OK(vq_tensor_copy_out(sum, &total, sizeof total));
  CHECK(total == 120);
  vq_tensor_release(sum);
  vq_tensor_release(flat);
  CHECK(releases == 1);
  CHECK(vq_tensor_create_borrowed(VQ_FLOAT32, wrong, 1, data, count_release, &releases, &tensor) ==
        VQ_ERROR_VALUE);
  CHECK(releases == 2 && !tensor);
  CHECK(vq_tensor_create_borrowed(
            VQ_FLOAT32, shape, 2, data + 1, count_release, &releases, &tensor) == VQ_ERROR_VALUE);
  CHECK(releases == 3);
  CHECK(vq_tensor_create_borrowed(VQ_FLOAT32, shape, 2, data, count_release, &releases, NULL) ==
        VQ_ERROR_RUNTIME);
  CHECK(releases == 4);
  free(data);
}

/// The gradient of 3 x, written by the host: twice x, so that it is seen.
static bool pull(void *context, vq_tensor *gradient, vq_tensor **gradients, int64_t count) {
  CHECK(count == 1);
  bool is_done = vq_tensor_add(gradient, gradient, &gradients[0]) == VQ_OK && context != NULL;
  vq_tensor_release(gradient);
  return is_done;
}

static bool square(void *context, vq_tensor **inputs, int64_t count, vq_tensor **out) {
  CHECK(context && count == 1);
  vq_status status = vq_tensor_multiply(inputs[0], inputs[0], out);
  vq_tensor_release(inputs[0]);
  return status == VQ_OK;
}

/// Doubles the gradient's elements into the parameter, which is the context.
static bool double_into(void *context, vq_tensor *gradient) {
  float values[2];
  bool is_done = vq_tensor_copy_out(gradient, values, sizeof values) == VQ_OK && values[0] > 0;
  values[0] *= 2, values[1] *= 2;
  is_done = is_done && vq_tensor_refresh(context, values, sizeof values) == VQ_OK;
  vq_tensor_release(gradient);
  return is_done;
}

static void host_optimizer(void) {
  const float values[2] = {1, 2}, negative[2] = {-1, 2};
  const int64_t shape[1] = {2};
  float found[2];
  vq_tensor *plain, *parameter, *wrong;
  vq_optimizer *optimizer;
  OK(vq_tensor_create(VQ_FLOAT32, shape, 1, values, &plain));
  OK(vq_tensor_create(VQ_FLOAT32, shape, 1, negative, &wrong));
  OK(vq_tensor_requiring_grad(plain, VQ_ROLE_CODEBOOK, &parameter));
  OK(vq_optimizer_create_hosted(parameter, double_into, NULL, parameter, &optimizer));
  OK(vq_tensor_set_grad(parameter, plain));
  OK(vq_optimizer_step(optimizer));
  OK(vq_tensor_copy_out(parameter, found, sizeof found));
  CHECK(found[0] == 2 && found[1] == 4);
  OK(vq_tensor_set_grad(parameter, wrong));
  CHECK(vq_optimizer_step(optimizer) == VQ_ERROR_HOST);
  vq_optimizer_release(optimizer);
  releases = 0;
  CHECK(vq_optimizer_create_hosted(parameter, NULL, count_release, &releases, &optimizer) ==
        VQ_ERROR_RUNTIME);
  CHECK(releases == 1 && !optimizer);
  vq_tensor_release(wrong);
  vq_tensor_release(parameter);
  vq_tensor_release(plain);
}

static bool count_leaf(void *context, int64_t place) {
  CHECK(place == 0);
  return ++*(int *)context == 1;
}

/// This part's values twice: another part like it.
static bool double_part(void *context, bool moments, double *values, int64_t count) {
  CHECK(count == (moments ? 3 : 2));
  ++*(int *)context;
  for (int64_t i = 0; i < count; i++)
    if (!moments || i != 1) values[i] *= 2;  // the mean stays
  return true;
}

static void end_part(void *context) { *(int *)context = -1; }

static void batch_in_parts(void) {
  const float values[2] = {1, 3};
  const int64_t shape[2] = {2, 1};
  const vq_option features = {.name = "features", .type = VQ_OPTION_INTEGER, .integer = 1};
  vq_tensor *plain, *x, *y;
  vq_module *norm;
  int calls = 0, leaves = 0;
  int64_t norms;
  OK(vq_tensor_create(VQ_FLOAT32, shape, 2, values, &plain));
  OK(vq_tensor_requiring_grad(plain, VQ_ROLE_WEIGHT, &x));
  OK(vq_module_create("batch_norm", &features, 1, NULL, 0, NULL, &norm));
  OK(vq_module_exchange_moments(norm, double_part, end_part, &calls, &norms));
  CHECK(norms == 1 && calls == 0);
  OK(vq_module_forward(norm, x, &y));
  float given[2];
  OK(vq_tensor_copy_out(y, given, sizeof given));
  CHECK(calls == 1 && given[0] < -0.99 && given[1] > 0.99);
  const vq_tensor *inputs[1] = {x};
  OK(vq_tensor_backward_by_leaf(y, plain, true, inputs, 1, count_leaf, &leaves));
  CHECK(calls == 2 && leaves == 1);
  CHECK(
      vq_tensor_backward_by_leaf(y, plain, false, inputs, 1, count_leaf, &leaves) == VQ_ERROR_HOST);
  CHECK(calls == 3);
  vq_module_release(norm);
  CHECK(calls == -1);  // the tape is gone
  vq_tensor_release(y);
  vq_tensor_release(x);
  vq_tensor_release(plain);
}

static void host_operators(void) {
  const float values[2] = {1, 2};
  const int64_t shape[1] = {2};
  vq_tensor *plain, *x, *y, *gradient, *squares;
  OK(vq_tensor_create(VQ_FLOAT32, shape, 1, values, &plain));
  OK(vq_tensor_requiring_grad(plain, VQ_ROLE_WEIGHT, &x));
  const vq_tensor *inputs[1] = {x};
  releases = 0;
  OK(vq_tensor_record("triple", plain, inputs, 1, NULL, 0, pull, count_release, &releases, &y));
  OK(vq_tensor_backward(y, plain, false));
  CHECK(releases == 1);  // with the tape
  vq_tensor_release(y);
  OK(vq_tensor_grad(x, &gradient));
  float two[2];
  OK(vq_tensor_copy_out(gradient, two, sizeof two));
  CHECK(two[0] == 2 && two[1] == 4);
  vq_tensor_release(gradient);
  OK(vq_tensor_record("triple", plain, inputs, 1, NULL, 0, pull, NULL, NULL, &y));
  CHECK(vq_tensor_backward(y, plain, false) == VQ_ERROR_HOST);
  CHECK(strstr(vq_last_error(), "[triple]"));
  vq_tensor_release(y);
  CHECK(vq_tensor_record("triple", plain, inputs, 1, NULL, 0, NULL, count_release, &releases, &y) ==
        VQ_ERROR_RUNTIME);
  CHECK(releases == 2 && !y);
  OK(vq_tensor_checkpoint(inputs, 1, square, count_release, &releases, &squares));
  vq_list *list;
  OK(vq_tensor_gradients(squares, plain, inputs, 1, false, &list));
  CHECK(releases == 3 && vq_list_count(list) == 1);
  OK(vq_list_tensor(list, 0, &gradient));
  OK(vq_tensor_copy_out(gradient, two, sizeof two));
  CHECK(two[0] == 2 && two[1] == 8);
  vq_list_release(list);
  vq_tensor_release(gradient);
  vq_tensor_release(squares);
  OK(vq_tensor_set_requires_grad(x, false));
  CHECK(!vq_tensor_requires_grad(x) && vq_tensor_is_leaf(x));
  CHECK(vq_tensor_set_requires_grad(plain, false) == VQ_ERROR_RUNTIME);
  vq_tensor_release(x);
  vq_tensor_release(plain);
}

static float item(const vq_tensor *tensor) {
  float value;
  OK(vq_tensor_copy_out(tensor, &value, sizeof value));
  return value;
}

/// A linear encoder and a quantizer, trained together; the loss must fall.
static void training(const char *path) {
  vq_generator *generator;
  OK(vq_generator_create(3, 0, &generator));
  vq_tensor *batch;
  OK(vq_generator_normal(generator, (const int64_t[2]){64, 8}, 2, 0, 1, &batch));
  CHECK(vq_generator_counter(generator) > 0);
  vq_module *encoder, *relu, *network, *quantizer;
  const vq_option sizes[] = {
      {.name = "in_features", .integer = 8}, {.name = "out_features", .integer = 4}};
  OK(vq_module_create("linear", sizes, 2, NULL, 0, generator, &encoder));
  OK(vq_module_create("identity", NULL, 0, NULL, 0, NULL, &relu));
  const vq_module *parts[2] = {encoder, relu};
  OK(vq_module_create("sequential", NULL, 0, parts, 2, NULL, &network));
  const vq_option options[] = {{.name = "feature_size", .integer = 4},
      {.name = "num_codes", .integer = 16},
      {.name = "beta", .type = VQ_OPTION_NUMBER, .number = 0.9}, {.name = "sync_nu", .integer = 1},
      {.name = "init", .type = VQ_OPTION_TEXT, .text = "kmeans"}};
  OK(vq_module_create("vector_quant", options, 5, NULL, 0, NULL, &quantizer));
  const vq_option_description *known;
  int64_t known_count;
  OK(vq_kind_options("module", "vector_quant", &known, &known_count));
  CHECK(strcmp(known[0].name, "feature_size") == 0 && known[0].required && known_count > 30);
  OK(vq_module_set_training(quantizer, true));

  vq_tensor *parameters[8];
  const char *names[8];
  vq_named_tensors *lists[2];
  int64_t count = 0;
  vq_module *owners[2] = {network, quantizer};
  for (int owner = 0; owner < 2; owner++) {
    OK(vq_module_parameters(owners[owner], false, &lists[owner]));
    for (int64_t i = 0; i < vq_list_count(lists[owner]); i++, count++) {
      names[count] = vq_list_name(lists[owner], i);
      OK(vq_list_tensor(lists[owner], i, &parameters[count]));
    }
  }
  CHECK(count == 3 && strcmp(names[0], "0.weight") == 0 && strcmp(names[2], "codebook") == 0);
  const double betas[] = {0.9, 0.99};
  const vq_option adamw[] = {
      {.name = "betas", .type = VQ_OPTION_NUMBERS, .numbers = betas, .count = 2}};
  vq_optimizer *optimizer;
  OK(vq_optimizer_create("adamw", adamw, 1, &optimizer));
  OK(vq_optimizer_add_group(optimizer, (const vq_tensor *const *)parameters, count, 0.01, 0.01));

  float first = 0, last = 0;
  for (int step = 0; step < 30; step++) {
    vq_tensor *z;
    vq_quantized quantized = {.struct_size = sizeof quantized};
    OK(vq_module_forward(network, batch, &z));
    OK(vq_quantizer_forward(quantizer, z, NULL, NULL, 0, &quantized));
    CHECK(quantized.active_codes > 0 && quantized.perplexity >= 1);
    last = item(quantized.loss);
    if (step == 0) first = last;
    OK(vq_tensor_backward(quantized.loss, NULL, false));
    OK(vq_optimizer_step(optimizer));
    OK(vq_optimizer_zero_grad(optimizer));
    vq_tensor *all[] = {z, quantized.z_q, quantized.q, quantized.d, quantized.loss, quantized.z,
        quantized.stage_losses, quantized.stage_perplexities};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) vq_tensor_release(all[i]);
  }
  CHECK(isfinite(last) && last < first);
  vq_named_tensors *state;
  OK(vq_optimizer_state(optimizer, &state));
  CHECK(vq_list_count(state) == 3 * count);
  vq_list_release(state);

  OK(vq_archive_save(path, names, (const vq_tensor *const *)parameters, count,
      (const char *[]){"step"}, (const char *[]){"30"}, 1));
  vq_named_tensors *tensors;
  vq_named_texts *metadata, *unread;
  OK(vq_archive_load(path, &tensors, &metadata, &unread));
  CHECK(vq_list_count(tensors) == count && vq_list_count(metadata) == 1);
  CHECK(vq_list_count(unread) == 0);
  CHECK(strcmp(vq_list_name(metadata, 0), "step") == 0);
  CHECK(strcmp(vq_list_text(metadata, 0), "30") == 0);
  CHECK(!vq_list_text(tensors, 0) && !vq_list_name(tensors, count));
  for (int64_t i = 0; i < count; i++) {
    vq_tensor *loaded;
    float saved[64], read[64];
    OK(vq_list_tensor(tensors, i, &loaded));
    for (int64_t j = 0; j < count; j++)
      if (strcmp(vq_list_name(tensors, i), names[j]) == 0)
        OK(vq_tensor_copy_out(parameters[j], saved, sizeof saved));
    OK(vq_tensor_copy_out(loaded, read, sizeof read));
    CHECK(read[0] == saved[0] && read[3] == saved[3]);
    vq_tensor_release(loaded);
  }
  vq_list *all_lists[] = {tensors, metadata, unread, lists[0], lists[1]};
  for (size_t i = 0; i < sizeof all_lists / sizeof *all_lists; i++) vq_list_release(all_lists[i]);

  for (int64_t i = 0; i < count; i++) vq_tensor_release(parameters[i]);
  vq_optimizer_release(optimizer);
  vq_module_release(quantizer);
  vq_module_release(network);
  vq_module_release(relu);
  vq_module_release(encoder);
  vq_tensor_release(batch);
  vq_generator_release(generator);
}

static void metrics(void) {
  const float first[6] = {0, 0, 1, 1, 2, 2}, second[4] = {0, 0, 2, 1};
  vq_tensor *p = floats(first, 3, 2), *c = floats(second, 2, 2), *codes;
  double value;
  OK(vq_divergence(p, c, &value));
  CHECK(value == 2.0 / 6);  // squared distances 0, 1, 1
  CHECK(vq_mse(p, c, &value) == VQ_ERROR_VALUE);
  OK(vq_mse(p, p, &value));
  CHECK(value == 0);
  CHECK(vq_divergence(p, c, NULL) == VQ_ERROR_RUNTIME);

  const int32_t used[4] = {0, 2, -1, 2};
  const int64_t shape[1] = {4};
  OK(vq_tensor_create(VQ_INT32, shape, 1, used, &codes));
  int64_t counts[3] = {1, 0, 0}, active;
  OK(vq_count_codes(codes, counts, 3));
  CHECK(counts[0] == 2 && counts[1] == 0 && counts[2] == 2);
  CHECK(vq_count_codes(codes, counts, 2) == VQ_ERROR_INDEX && counts[0] == 2);
  double shares[3];
  OK(vq_code_usage(counts, 3, shares, &value));
  OK(vq_active_codes(counts, 3, &active));
  CHECK(value == 2 && active == 2 && shares[0] == 0.5 && shares[1] == 0);
  CHECK(vq_active_codes(NULL, 3, &active) == VQ_ERROR_RUNTIME);
  vq_tensor_release(codes);
  vq_tensor_release(c);
  vq_tensor_release(p);
}

int main(int count, char **arguments) {
  CHECK(count == 2);
  CHECK(vq_abi_version() == VQ_ABI_VERSION);
  CHECK(strstr(vq_libraries(), "OpenBLAS"));
  OK(vq_set_threads(2));
  OK(vq_set_thread_limit(1));
  CHECK(vq_thread_limit() == 1 && vq_get_threads() == 1);
  CHECK(vq_set_thread_limit(-1) == VQ_ERROR_VALUE && vq_thread_limit() == 1);
  OK(vq_set_thread_limit(0));
  CHECK(vq_thread_limit() == 0 && vq_get_threads() == 2);
  OK(vq_set_threads(1));
  CHECK(vq_get_threads() == 1);
  operators_and_backward();
  metrics();
  halves();
  errors();
  borrowed_memory();
  host_operators();
  host_optimizer();
  batch_in_parts();
  training(arguments[1]);
  CHECK(vq_live_handles() == 0);
  puts("ok");
  return 0;
}
