// make -s -C examples/c run
//
// Reduces the colors of a picture to palettes: k-means, and the nearest color of each pixel.

#include <stdio.h>
#include <stdlib.h>

#include "vqswift.h"

enum { SIDE = 96, PIXELS = SIDE * SIDE, COLORS = 8 };

static void require(vq_status status) {
  if (status == VQ_OK) return;
  fprintf(stderr, "%s\n", vq_last_error());
  exit(1);
}

/// A sun in the sky over a meadow: red, green and blue in 0...1.
static void paint(float (*pixels)[3]) {
  for (int i = 0; i < PIXELS; i++) {
    float x = (float)(i % SIDE) / SIDE, y = (float)(i / SIDE) / SIDE;
    float height = 0.55f + 0.1f * x * (1 - x);
    float from_sun = (x - 0.7f) * (x - 0.7f) + (y - 0.25f) * (y - 0.25f);
    float sky[3] = {0.4f + 0.4f * y, 0.6f + 0.3f * y, 0.95f};
    float meadow[3] = {0.5f - 0.4f * y, 0.7f - 0.2f * y, 0.2f * x};
    float sun[3] = {1, 0.95f - 8 * from_sun, 0.5f};
    const float *color = from_sun < 0.02f ? sun : y < height ? sky : meadow;
    for (int channel = 0; channel < 3; channel++) pixels[i][channel] = color[channel];
  }
}

int main(void) {
  if (vq_abi_version() != VQ_ABI_VERSION) return 1;
  static float picture[PIXELS][3];
  paint(picture);
  vq_tensor *pixels, *palette = NULL;
  require(vq_tensor_create(VQ_FLOAT32, (const int64_t[2]){PIXELS, 3}, 2, picture, &pixels));

  for (int64_t colors = 2; colors <= COLORS; colors *= 2) {
    vq_tensor *codes, *reduced;
    double inertia, psnr;
    int64_t iterations;
    vq_tensor_release(palette);
    require(vq_kmeans(
        pixels, colors, 25, "kmeans++", NULL, 0, &palette, &codes, &inertia, &iterations));
    require(vq_tensor_gather_rows(palette, codes, &reduced));
    require(vq_psnr(pixels, reduced, 1, &psnr));
    printf("%d colors: %.2f dB\n", (int)colors, psnr);
    vq_tensor_release(reduced);
    vq_tensor_release(codes);
  }

  const float orange[1][3] = {{1, 0.6f, 0.2f}};
  vq_tensor *point, *nearest;
  int32_t code;
  float rgb[COLORS][3];
  require(vq_tensor_create(VQ_FLOAT32, (const int64_t[2]){1, 3}, 2, orange, &point));
  require(vq_nearest_codes(point, palette, 0, &nearest, NULL));
  require(vq_tensor_copy_out(nearest, &code, sizeof code));
  require(vq_tensor_copy_out(palette, rgb, sizeof rgb));
  printf(
      "orange becomes red %.2f, green %.2f, blue %.2f\n", rgb[code][0], rgb[code][1], rgb[code][2]);
  vq_tensor_release(nearest);
  vq_tensor_release(point);
  vq_tensor_release(palette);
  vq_tensor_release(pixels);
  return vq_live_handles() == 0 ? 0 : 1;
}
