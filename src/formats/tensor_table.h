/* tensor_table.h - the inside of a tensor_file, for its two openers: tensor_file.c (one file) and
 * tensor_folder.c (shards). Readers of formats use tensor_file.h only. */
#ifndef C2C_FORMATS_TENSOR_TABLE_H
#define C2C_FORMATS_TENSOR_TABLE_H

#include "formats/tensor_file.h"

struct tensor_file {
    arena *memory; /* names, paths, and copies of what was not aligned */
    char *path;
    tensor_format format;
    file_map *maps;
    size_t map_count;
    named_tensor *tensors;
    size_t count, capacity;
};

c2c_status tensor_file_new(tensor_file **file, const char *path, c2c_error *error);
/* Maps one more file; the map is closed with `file`. */
c2c_status tensor_file_map(tensor_file *file, const char *path, file_bytes *bytes,
                           c2c_error *error);
/* Adds the tensors of a safetensors or .pt file. */
c2c_status tensor_file_read(tensor_file *file, file_bytes bytes, c2c_error *error);

/* Puts the tensors from `first` on in order of name; searches them when they are. */
void tensor_file_sort(tensor_file *file, size_t first);
const named_tensor *tensor_file_search(const tensor_file *file, size_t first, const char *name);
/* Sorts all and refuses equal names: the last step of opening. */
c2c_status tensor_file_finish(tensor_file *file, c2c_error *error);

#endif
