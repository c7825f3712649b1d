#pragma once
#include <stdbool.h>
#include <stdint.h>

/// Whether the calling thread works in a parallel region.
bool vq_in_region(void);

/// Whether the calling thread is a helper of parallel regions.
bool vq_is_helper(void);

/// In a forked child, whose helpers are gone.
void vq_forget_helpers(void);

/// In a forked child, whose thread has another number than Swift's runtime has kept.
void vq_forget_thread_number(void);

/// The calling thread's floating-point control.
uint64_t vq_kernel_control(void);
void vq_set_kernel_control(uint64_t value);
