#pragma once
#include <stdbool.h>

/// Whether the calling thread works in a parallel region.
bool vq_in_region(void);

/// Whether the calling thread is a helper of parallel regions.
bool vq_is_helper(void);

/// In a forked child, whose helpers are gone.
void vq_forget_helpers(void);
