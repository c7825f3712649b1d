#include "vqswift.h"
