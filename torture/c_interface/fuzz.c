/// A libFuzzer target for vqswift.h: an input is a program of calls, each with arguments of its
/// own. After it every handle is released, and none may be left.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "count.inc"
#include "vqswift.h"

enum { TENSOR, GENERATOR, MODULE, OPTIMIZER, ESTIMATOR, LIST, KINDS };
enum { POOL = 24, LONGEST = 8, MOST_CALLS = 64 };

typedef struct {
  const uint8_t *data;
  size_t size;
} input;

static void *pools[KINDS][POOL];
static int held[KINDS];
static void *blocks[8 * MOST_CALLS];
static int block_count;
static char path[64];
volatile int sink;

static uint8_t take_byte(input *in) {
  if (in->size == 0) return 0;
  in->size--;
  return *in->data++;
}

static int64_t take_small(input *in) { return (int8_t)take_byte(in) % 17; }

/// Mostly a small size, at times one at which arithmetic goes wrong.
static int64_t take_int(input *in) {
  static const int64_t extremes[] = {-1, -2, 16, 31, 32, 64, 127, 255, 1024, INT32_MAX, INT32_MIN,
      INT64_C(1) << 31, INT64_C(1) << 32, INT64_C(1) << 40, INT64_C(1) << 61, INT64_C(1) << 62,
      INT64_MAX, INT64_MIN};
  uint8_t byte = take_byte(in);
  if (byte < 224) return byte % 9;
  return extremes[byte % (sizeof extremes / sizeof *extremes)];
}

static float take_float(input *in) {
  static const float values[] = {0, 1, -1, 0.5f, 2, 3, 0.1f, 0.9f, 1e-3f, 100, 1e-8f, 1e20f, 1e38f,
      1e-40f, -1e30f, -0.0f, 4, 0.25, 0.99f, 1e-5f, 10, 1 / 0.0f, -1 / 0.0f, 0 / 0.0f};
  return values[take_byte(in) % (sizeof values / sizeof *values)];
}

static void *optional(input *in, const void *pointer) {
  return take_byte(in) % 32 == 31 ? NULL : (void *)pointer;
}

/// Memory of exactly so many bytes until the input ends.
static void *block(size_t bytes) {
  if (block_count == sizeof blocks / sizeof *blocks) abort();
  void *memory = malloc(bytes ? bytes : 1);
  memset(memory, 0, bytes);
  blocks[block_count++] = memory;
  return memory;
}

static void free_handle(int kind, void *handle) {
  switch (kind) {
    case TENSOR: vq_tensor_release(handle); break;
    case GENERATOR: vq_generator_release(handle); break;
    case MODULE: vq_module_release(handle); break;
    case OPTIMIZER: vq_optimizer_release(handle); break;
    case ESTIMATOR: vq_estimator_release(handle); break;
    case LIST: vq_list_release(handle); break;
  }
}

static void keep(int kind, void *handle) {
  if (!handle) return;
  if (held[kind] == POOL) free_handle(kind, pools[kind][--held[kind]]);
  pools[kind][held[kind]++] = handle;
}

static void *pick(input *in, int kind) {
  uint8_t byte = take_byte(in);
  return byte >= 250 || held[kind] == 0 ? NULL : pools[kind][byte % held[kind]];
}

static void drop(input *in, int kind) {
  uint8_t byte = take_byte(in);
  if (held[kind] == 0 || byte >= 250) {
    free_handle(kind, NULL);
    return;
  }
  int index = byte % held[kind];
  free_handle(kind, pools[kind][index]);
  pools[kind][index] = pools[kind][--held[kind]];
}

/// How long the lists of a call are: so many items, or any number of lists that are all NULL.
typedef struct {
  int64_t count;
  bool is_bare;
} length;

static length take_length(input *in) {
  uint8_t byte = take_byte(in);
  if (byte >= 240) return (length){take_int(in), true};
  return (length){byte % (LONGEST + 1), false};
}

#define FILL(kind, take)                                            \
  static void *fill_##kind(input *in, int64_t count) {              \
    kind *values = block((size_t)count * sizeof *values);           \
    for (int64_t i = 0; i < count; i++) values[i] = (kind)take(in); \
    return values;                                                  \
  }
FILL(int64_t, take_int)
FILL(int32_t, take_small)
FILL(double, take_float)

static void *fill_handles(input *in, int kind, int64_t count) {
  void **values = block((size_t)count * sizeof *values);
  for (int64_t i = 0; i < count; i++) values[i] = pick(in, kind);
  return values;
}

static const char *string(input *in) {
  static const char *const texts[] = {"", "weight", "bias", "codebook", "0.weight", "running_mean",
      "e\xcc\x81", "\xc3\xa9", "\xff\xfe", "a\"b\\c\n", "step", "__metadata__"};
  uint8_t byte = take_byte(in);
  return byte == 255 ? NULL : texts[byte % (sizeof texts / sizeof *texts)];
}

static void *fill_texts(input *in, int64_t count) {
  const char **values = block((size_t)count * sizeof *values);
  for (int64_t i = 0; i < count; i++) values[i] = string(in);
  return values;
}

static int64_t elements(const int64_t *shape, int64_t rank) {
  int64_t count = 1;
  for (int64_t i = 0; i < rank; i++) {
    if (shape[i] < 0 || shape[i] > 64) return -1;
    count *= shape[i];
    if (count > 1 << 16) return -1;
  }
  return count;
}

static void create(input *in) {
  length sizes = take_length(in);
  int64_t rank = sizes.count;
  int64_t *shape = sizes.is_bare ? NULL : fill_int64_t(in, rank);
  int32_t dtype = (int32_t)(take_byte(in) % 8 < 5 ? VQ_FLOAT32 : take_small(in));
  int64_t count = shape ? elements(shape, rank) : -1;
  vq_tensor *out = NULL;
  float *data = count < 0 ? NULL : block((size_t)count * 4);
  for (int64_t i = 0; i < count && data; i++) {
    if (dtype == VQ_INT32)
      ((int32_t *)data)[i] = (int32_t)take_int(in);
    else
      data[i] = i < 64 ? take_float(in) : (float)(i % 13) / 13;
  }
  sink += vq_tensor_create(dtype, shape, rank, data, optional(in, &out));
  keep(TENSOR, out);
}

static int borrows, returns;
static void give_back(void *context) {
  if (context != &returns) abort();
  returns++;
}

static void create_borrowed(input *in) {
  static _Alignas(64) float memory[64];
  int64_t shape[2] = {take_byte(in) % 9, take_byte(in) % 8};
  vq_tensor *out = NULL;
  uint8_t shift = take_byte(in) % 8 == 7;
  void *data = optional(in, (char *)memory + 4 * shift);
  int64_t rank = take_byte(in) % 3;
  if (rank == 2 && shape[0] * shape[1] > 60) shape[0] = 1;
  borrows++;
  sink += vq_tensor_create_borrowed(
      (int32_t)(take_byte(in) % 3), shape, rank, data, give_back, &returns, &out);
  keep(TENSOR, out);
}

static bool pull(void *context, vq_tensor *gradient, vq_tensor **gradients, int64_t count) {
  if (context != &returns) abort();
  for (int64_t i = 0; i < count; i++) sink += vq_tensor_multiply(gradient, gradient, &gradients[i]);
  vq_tensor_release(gradient);
  return count < 3;
}

static bool square(void *context, vq_tensor **inputs, int64_t count, vq_tensor **out) {
  if (context != &returns) abort();
  vq_status status = count > 0 ? vq_tensor_multiply(inputs[0], inputs[0], out) : VQ_OK;
  for (int64_t i = 0; i < count; i++) vq_tensor_release(inputs[i]);
  return status == VQ_OK;
}

static void record(input *in) {
  length count = take_length(in), saved = take_length(in);
  const vq_tensor *const *inputs = count.is_bare ? NULL : fill_handles(in, TENSOR, count.count);
  const vq_tensor *const *kept = saved.is_bare ? NULL : fill_handles(in, TENSOR, saved.count);
  vq_tensor *out = NULL;
  borrows++;
  if (take_byte(in) % 2)
    sink += vq_tensor_record("fuzz", pick(in, TENSOR), inputs, count.count, kept, saved.count,
        take_byte(in) % 8 ? pull : NULL, give_back, &returns, optional(in, &out));
  else
    sink += vq_tensor_checkpoint(inputs, count.count, take_byte(in) % 8 ? square : NULL, give_back,
        &returns, optional(in, &out));
  keep(TENSOR, out);
}

static bool tell(void *context, int64_t place) {
  if (context != &returns || place < 0) abort();
  return place < 3;
}

static bool exchange(void *context, bool moments, double *values, int64_t count) {
  if (context != &returns || count < moments) abort();
  for (int64_t i = 0; i < count; i++) values[i] *= 1.5;
  return count < 9;
}

static void in_parts(input *in) {
  length count = take_length(in);
  const vq_tensor *const *leaves = count.is_bare ? NULL : fill_handles(in, TENSOR, count.count);
  int64_t norms = 0;
  if (take_byte(in) % 2) {
    sink += vq_tensor_backward_by_leaf(pick(in, TENSOR), pick(in, TENSOR), take_byte(in) % 2,
        leaves, count.count, take_byte(in) % 8 ? tell : NULL, &returns);
    return;
  }
  borrows++;
  sink += vq_module_exchange_moments(pick(in, MODULE), take_byte(in) % 8 ? exchange : NULL,
      give_back, &returns, optional(in, &norms));
}

static void copy_out(input *in) {
  length room = take_length(in);
  void *data = room.is_bare ? NULL : fill_double(in, room.count);
  int64_t size = data ? 8 * room.count : room.count;
  if (take_byte(in) % 2)
    sink += (int)vq_tensor_refresh(pick(in, TENSOR), data, size);
  else
    sink += (int)vq_tensor_copy_out(pick(in, TENSOR), data, size);
}

static void shape(input *in) {
  vq_tensor *tensor = pick(in, TENSOR);
  int64_t rank = tensor ? vq_tensor_rank(tensor) : 0;
  vq_tensor_shape(tensor, block((size_t)rank * 8));
  sink += vq_tensor_data(tensor) != NULL;
}

static void load_saved(input *in) {
  vq_named_tensors *tensors = NULL;
  vq_named_texts *metadata = NULL, *unread = NULL;
  sink +=
      vq_archive_load(path, optional(in, &tensors), optional(in, &metadata), optional(in, &unread));
  keep(LIST, tensors);
  keep(LIST, metadata);
  keep(LIST, unread);
}

/// A file of the input's own bytes.
static void load(input *in) {
  size_t length = take_byte(in);
  length = length < in->size ? length : in->size;
  FILE *file = fopen(path, "wb");
  if (!file) abort();
  if (take_byte(in) % 2 == 0) {  // a header that says how long it is
    uint64_t header = length;
    fwrite(&header, 8, 1, file);
  }
  fwrite(in->data, 1, length < in->size ? length : in->size, file);
  fclose(file);
  load_saved(in);
}

enum { MOST_OPTIONS = 40 };

/// Options that a kind has, or has not, of values that it takes, or does not.
static int64_t fill_options(input *in, const char *family, const char *kind, vq_option *options) {
  static const char *const texts[] = {"l2", "kmeans", "ema", "rotation", "I", "weights", "", "x"};
  const vq_option_description *known;
  int64_t known_count, count = 0;
  if (vq_kind_options(family, kind, &known, &known_count)) known_count = 0;
  memset(options, 0, MOST_OPTIONS * sizeof *options);
  for (int64_t i = 0; i < known_count; i++) {
    if (!known[i].required && take_byte(in) % 4) continue;
    vq_option *option = &options[count++];
    option->name = take_byte(in) % 64 ? known[i].name : texts[take_byte(in) % 8];
    option->type = take_byte(in) % 16 ? known[i].type : (vq_option_type)(take_byte(in) % 9);
    if (option->type == VQ_OPTION_PAIR) option->type = VQ_OPTION_INTEGERS;
    option->integer = take_int(in);
    option->number = take_float(in);
    option->text = texts[take_byte(in) % 8];
    length items = take_length(in);
    option->count = items.count;
    option->integers = items.is_bare ? NULL : fill_int64_t(in, items.count);
    option->numbers = items.is_bare ? NULL : fill_double(in, items.count);
  }
  return count;
}

/// The name of a kind of the family; none that draws 23 million weights.
static const char *take_kind(input *in, const char *family) {
  vq_named_texts *kinds;
  if (vq_kinds(family, &kinds)) abort();
  keep(LIST, kinds);
  const char *kind = vq_list_name(kinds, take_byte(in) % vq_list_count(kinds));
  return strcmp(kind, "resnet50") == 0 ? "resnet51" : kind;
}

static void create_module(input *in) {
  vq_option options[MOST_OPTIONS];
  const char *kind = take_kind(in, "module");
  int64_t count = fill_options(in, "module", kind, options);
  length children = take_length(in);
  void *parts = children.is_bare ? NULL : fill_handles(in, MODULE, children.count);
  vq_module *out = NULL;
  sink += vq_module_create(optional(in, kind), optional(in, options), count, parts, children.count,
      pick(in, GENERATOR), optional(in, &out));
  keep(MODULE, out);
}

static bool step(void *context, vq_tensor *gradient) {
  if (context != &returns) abort();
  bool is_done = vq_tensor_rank(gradient) != 1;
  vq_tensor_release(gradient);
  return is_done;
}

static void create_hosted_optimizer(input *in) {
  vq_optimizer *out = NULL;
  borrows++;
  sink += vq_optimizer_create_hosted(
      pick(in, TENSOR), take_byte(in) % 8 ? step : NULL, give_back, &returns, optional(in, &out));
  keep(OPTIMIZER, out);
}

static void create_optimizer(input *in) {
  if (take_byte(in) % 4 == 0) return create_hosted_optimizer(in);
  vq_option options[MOST_OPTIONS];
  const char *kind = take_kind(in, "optimizer");
  int64_t count = fill_options(in, "optimizer", kind, options);
  vq_optimizer *out = NULL;
  sink += vq_optimizer_create(optional(in, kind), optional(in, options), count, optional(in, &out));
  keep(OPTIMIZER, out);
}

static void create_estimator(input *in) {
  vq_option options[MOST_OPTIONS];
  const char *kind = take_kind(in, "estimator");
  int64_t count = fill_options(in, "estimator", kind, options), bits = take_int(in);
  double bound = take_float(in);
  vq_estimator *out = NULL;
  sink += vq_estimator_create(
      optional(in, kind), optional(in, options), count, bits, bound, optional(in, &out));
  keep(ESTIMATOR, out);
}

static void create_weight_quantizer(input *in) {
  static const char *const ranges[] = {"he", "max", "mse", "auto", "x", NULL, NULL, NULL};
  vq_option options[MOST_OPTIONS];
  const char *kind = take_kind(in, "estimator"), *range = ranges[take_byte(in) % 8];
  int64_t count = fill_options(in, "estimator", kind, options), bits = take_int(in);
  double bound = take_float(in), scale = take_float(in);
  bool per_slice = take_byte(in) & 1;
  const vq_tensor *weight = pick(in, TENSOR);
  vq_module *layer = pick(in, MODULE), *out = NULL;
  sink += vq_weight_quantizer_create(optional(in, kind), optional(in, options), count, bits, bound,
      scale, range, per_slice, weight, layer, optional(in, &out));
  keep(MODULE, out);
}

static void factor(input *in) {
  vq_option options[MOST_OPTIONS];
  const char *kind = take_kind(in, "schedule");
  int64_t count = fill_options(in, "schedule", kind, options), step = take_int(in);
  double out = 0;
  sink += vq_schedule_factor(kind, optional(in, options), count, step, optional(in, &out));
}

static void call(input *in) {
  unsigned which = take_byte(in) % (GENERATED + 17);
  switch (which) {
#include "calls.inc"
    case GENERATED: copy_out(in); break;
    case GENERATED + 1: shape(in); break;
    case GENERATED + 2: create_borrowed(in); break;
    case GENERATED + 3: load(in); break;
    case GENERATED + 4: load_saved(in); break;
    case GENERATED + 5: factor(in); break;
    case GENERATED + 6: sink += vq_set_threads(1 + take_byte(in) % 4); break;
    case GENERATED + 7: create_optimizer(in); break;
    case GENERATED + 8: create_estimator(in); break;
    case GENERATED + 9: create_weight_quantizer(in); break;
    case GENERATED + 10:
    case GENERATED + 11:
    case GENERATED + 12:
    case GENERATED + 13: create_module(in); break;
    case GENERATED + 14: record(in); break;
    case GENERATED + 15: in_parts(in); break;
    default: create(in); break;
  }
}

/// Something of everything, so that most calls have what they need.
static void begin(void) {
  static const int64_t shapes[][4] = {{2, 3}, {4, 4}, {1, 4, 4, 2}, {3}, {6, 2}, {2, 2, 3, 3}};
  static const int64_t ranks[] = {2, 2, 4, 1, 2, 4};
  float values[64];
  int32_t codes[6] = {0, 1, 0, 2, 1, 0};
  for (int i = 0; i < 64; i++) values[i] = (float)((i * 7) % 11) / 4 - 1;
  for (int i = 0; i < 6; i++) {
    vq_tensor *tensor, *leaf;
    if (vq_tensor_create(VQ_FLOAT32, shapes[i], ranks[i], values, &tensor)) abort();
    if (vq_tensor_requiring_grad(tensor, i % 4, &leaf)) abort();
    keep(TENSOR, tensor);
    keep(TENSOR, leaf);
  }
  vq_tensor *integers;
  if (vq_tensor_create(VQ_INT32, (int64_t[]){6}, 1, codes, &integers)) abort();
  keep(TENSOR, integers);
  vq_generator *generator;
  if (vq_generator_create(1, 2, &generator)) abort();
  keep(GENERATOR, generator);
  static const vq_option codes_of_3[] = {
      {.name = "feature_size", .integer = 3}, {.name = "num_codes", .integer = 4}};
  static const vq_option sizes[] = {
      {.name = "in_features", .integer = 3}, {.name = "out_features", .integer = 2}};
  vq_module *module;
  if (vq_module_create("vector_quant", codes_of_3, 2, NULL, 0, NULL, &module)) abort();
  keep(MODULE, module);
  if (vq_module_create("linear", sizes, 2, NULL, 0, generator, &module)) abort();
  keep(MODULE, module);
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/vqswift-fuzz-%d", folder ? folder : "/tmp", (int)getpid());
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input in = {data, size};
  int64_t before = vq_live_handles();
  vq_set_grad_enabled(true);
  if (vq_set_products(VQ_PRODUCTS_FLOAT32)) abort();
  begin();
  for (int calls = 0; in.size > 0 && calls < MOST_CALLS; calls++) {
    call(&in);
    while (block_count > 0) free(blocks[--block_count]);
  }
  for (int kind = 0; kind < KINDS; kind++)
    while (held[kind] > 0) free_handle(kind, pools[kind][--held[kind]]);
  if (vq_live_handles() != before) {
    fprintf(stderr, "%lld handles are left\n", (long long)(vq_live_handles() - before));
    abort();
  }
  if (borrows != returns) {
    fprintf(stderr, "%d borrowed buffers, %d given back\n", borrows, returns);
    abort();
  }
  unlink(path);
  return 0;
}
