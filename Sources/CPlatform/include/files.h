/// System calls on files whose constants Swift does not import.
#pragma once

/// A descriptor of a directory as a place for names, which needs no permission to read it.
int vq_open_directory(const char *path);

/// A file without a name on the file system of `directory`, open for writing; -1 where there is no
/// such file.
int vq_create_unnamed(int directory, unsigned mode);

/// Gives such a file a name that is free.
int vq_name_unnamed(int file, int directory, const char *name);

/// Takes the file for this descriptor, until it is closed or its process ends; `wait`: after
/// whoever has it, else -1 with EWOULDBLOCK.
int vq_take_file(int file, int wait);
