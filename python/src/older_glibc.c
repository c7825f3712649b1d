// Swift's overlay of the C library refers to hypotf, whose newest version came with glibc 2.35.
// With this one the extension loads with glibc 2.34, that of RHEL 9, too.
#include <math.h>

float hypotf(float x, float y) { return (float)hypotl(x, y); }
