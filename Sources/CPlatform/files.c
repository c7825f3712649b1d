#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

int vq_open_directory(const char *path) { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); }

static const char descriptors[] = "/proc/self/fd";

int vq_create_unnamed(int directory, unsigned mode) {
  if (access(descriptors, X_OK) < 0) return -1;
  return openat(directory, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
}

int vq_name_unnamed(int file, int directory, const char *name) {
  char path[sizeof descriptors + 16];
  snprintf(path, sizeof path, "%s/%d", descriptors, file);
  return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW);
}

int vq_take_file(int file, int wait) {
  int result;
  do result = flock(file, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
  while (result < 0 && errno == EINTR);
  return result;
}
