/* tensor_file.h - for the files of this room only: how a reader of one format fills the table of
 * named tensors, and what every reader must check alike. */
#ifndef C2C_FORMATS_TENSOR_FILE_H
#define C2C_FORMATS_TENSOR_FILE_H

#include "formats/formats.h"

/* No name is longer, so that every message has room for one and for what is wrong with it. */
#define TENSOR_NAME_MAX 512

/* The bytes of one whole file, mapped or from a test; they outlive the tensors in them. */
typedef struct file_bytes {
    const uint8_t *data;
    size_t size;
    const char *path; /* for messages, and for named_tensor; as long-lived as `data` */
} file_bytes;

/* The readers: they add every tensor of `bytes` to `file`, or fail. Nothing of the tensors' own
 * bytes is touched unless they have to be moved. */
c2c_status safetensors_read(tensor_file *file, file_bytes bytes, c2c_error *error);
c2c_status pt_read(tensor_file *file, file_bytes bytes, c2c_error *error);

/* As tensor_file_open, from memory that the caller keeps until the close: for tests and fuzzing. */
c2c_status tensor_file_open_bytes(tensor_file **file, const void *data, size_t size,
                                  const char *name, c2c_error *error);

/* A name that can be used as one: not too long, no NUL inside. */
c2c_status tensor_name_check(const char *name, size_t length, const char *path, c2c_error *error);

/* Adds a tensor; `name` is checked and valid UTF-8, and is copied. Equal names are found when the
 * file is finished, by its opener. */
c2c_status tensor_file_add(tensor_file *file, const char *name, size_t name_length,
                           const tensor *view, const char *path, c2c_error *error);

/* `data` itself when it is aligned for elements of `element` bytes, else a copy that lives as long
 * as the file; NULL when out of memory. */
const void *tensor_file_align(tensor_file *file, const uint8_t *data, size_t size, size_t element);

#endif
