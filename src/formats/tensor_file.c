/* tensor_file.c - the table of named tensors that all formats end in: who owns the mapped files,
 * order by name, and which format a file is. One file is opened here, a folder of shards in
 * tensor_folder.c, the formats are read by safetensors.c and pt.c. */
#include "formats/tensor_table.h"

#include <stdlib.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are used as they lie in the file: little-endian machines only"
#endif

/* ---- The table ---------------------------------------------------------------------------- */

c2c_status tensor_file_new(tensor_file **file, const char *path, c2c_error *error) {
    *file = NULL;
    tensor_file *f = calloc(1, sizeof *f);
    if (f && (f->memory = arena_new(4096)) &&
        (f->path = arena_copy(f->memory, path, strlen(path)))) {
        *file = f;
        return C2C_STATUS_OK;
    }
    tensor_file_close(f);
    return error_memory(error, sizeof *f, path);
}

void tensor_file_close(tensor_file *file) {
    if (!file)
        return;
    for (size_t i = 0; i < file->map_count; i++)
        file_map_close(&file->maps[i]);
    free(file->maps);
    free(file->tensors);
    arena_free(file->memory);
    free(file);
}

bool tensor_size_checked(const tensor *shape, size_t *bytes) {
    size_t padded = dtype_size(shape->type);
    bool empty = false;
    for (int i = 0; i < shape->rank; i++) {
        int64_t n = shape->shape[i];
        empty |= n == 0;
        if (n < 0 || !size_mul(padded, n == 0 ? 1 : (size_t)n, &padded) || padded > INT64_MAX)
            return false;
    }
    *bytes = empty ? 0 : padded;
    return true;
}

c2c_status tensor_name_check(const char *name, size_t length, const char *path, c2c_error *error) {
    if (length > TENSOR_NAME_MAX)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%.60s...\": expected a name of at most %d bytes, found %zu",
                         path, name, TENSOR_NAME_MAX, length);
    if (memchr(name, 0, length))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected a name without NUL, found one", path, name);
    return C2C_STATUS_OK;
}

c2c_status tensor_file_add(tensor_file *file, const char *name, size_t name_length,
                           const tensor *view, const char *path, c2c_error *error) {
    if (file->count == file->capacity) {
        size_t capacity = file->capacity ? file->capacity * 2 : 64, bytes;
        named_tensor *tensors = NULL;
        if (size_mul(capacity, sizeof *tensors, &bytes))
            tensors = realloc(file->tensors, bytes);
        if (!tensors)
            return error_memory(error, capacity * sizeof *tensors, path);
        file->tensors = tensors;
        file->capacity = capacity;
    }
    char *copy = arena_copy(file->memory, name, name_length);
    if (!copy)
        return error_memory(error, name_length, path);
    file->tensors[file->count++] = (named_tensor){.name = copy, .view = *view, .path = path};
    return C2C_STATUS_OK;
}

const void *tensor_file_align(tensor_file *file, const uint8_t *data, size_t size, size_t element) {
    if ((uintptr_t)data % element == 0)
        return data;
    void *copy = arena_alloc(file->memory, size);
    return copy ? memcpy(copy, data, size) : NULL;
}

/* Byte order, the same in every locale. */
static int compare_names(const void *a, const void *b) {
    return strcmp(((const named_tensor *)a)->name, ((const named_tensor *)b)->name);
}

void tensor_file_sort(tensor_file *file, size_t first) {
    if (file->count - first > 1)
        qsort(file->tensors + first, file->count - first, sizeof *file->tensors, compare_names);
}

const named_tensor *tensor_file_search(const tensor_file *file, size_t first, const char *name) {
    named_tensor key = {.name = name};
    if (file->count == first)
        return NULL;
    return bsearch(&key, file->tensors + first, file->count - first, sizeof key, compare_names);
}

/* Equal names lie side by side once they are in order. */
c2c_status tensor_file_finish(tensor_file *file, c2c_error *error) {
    tensor_file_sort(file, 0);
    for (size_t i = 1; i < file->count; i++) {
        const named_tensor *a = &file->tensors[i - 1], *b = &file->tensors[i];
        if (strcmp(a->name, b->name) != 0)
            continue;
        if (strcmp(a->path, b->path) == 0)
            return error_set(error, C2C_STATUS_BAD_FILE,
                             "%s: tensor \"%s\": expected once, found twice", a->path, a->name);
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected in one file, found in %s too", a->path,
                         a->name, b->path);
    }
    return C2C_STATUS_OK;
}

/* ---- Which format ------------------------------------------------------------------------- */

static bool starts_with(file_bytes bytes, const char *start, size_t length) {
    return bytes.size >= length && memcmp(bytes.data, start, length) == 0;
}

/* Files that people do have in this place, but that hold no tensors we can read. */
static c2c_status refuse_known(file_bytes bytes, c2c_error *error) {
    /* A pickle that is not inside a zip: what torch.save wrote before version 1.6. The header of
     * safetensors would start at byte 8. */
    if (starts_with(bytes, "\x80", 1) && bytes.size > 8 && bytes.data[1] <= 5 &&
        bytes.data[8] != '{')
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: expected safetensors or the zip form of .pt, found a bare pickle "
                         "(PyTorch's form before 1.6); save it again with PyTorch: torch.save("
                         "torch.load(OLD, map_location=\"cpu\", weights_only=True), NEW)",
                         bytes.path);
    if (starts_with(bytes, "version https://git-lfs", 23))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected tensors, found a Git LFS pointer to them; fetch the file "
                         "itself with: git lfs pull",
                         bytes.path);
    return C2C_STATUS_OK;
}

/* By content, not by name: people rename files. */
c2c_status tensor_file_read(tensor_file *file, file_bytes bytes, c2c_error *error) {
    bool pt = starts_with(bytes, "PK", 2);
    file->format = pt ? TENSOR_FORMAT_PT : TENSOR_FORMAT_SAFETENSORS;
    if (pt)
        return pt_read(file, bytes, error);
    c2c_status status = refuse_known(bytes, error);
    return status == C2C_STATUS_OK ? safetensors_read(file, bytes, error) : status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

c2c_status tensor_file_map(tensor_file *file, const char *path, file_bytes *bytes,
                           c2c_error *error) {
    char *kept = arena_copy(file->memory, path, strlen(path));
    file_map *maps = realloc(file->maps, (file->map_count + 1) * sizeof *maps);
    if (maps)
        file->maps = maps;
    if (!kept || !maps)
        return error_memory(error, sizeof *maps, path);
    file_map *map = &maps[file->map_count];
    c2c_status status = file_map_open(map, path, error);
    if (status != C2C_STATUS_OK)
        return status;
    file->map_count++;
    *bytes = (file_bytes){map->data, map->size, kept};
    return C2C_STATUS_OK;
}

/* Takes `file` over: it becomes the result, or is closed. */
static c2c_status open_end(tensor_file **result, tensor_file *file, c2c_status status,
                           c2c_error *error) {
    if (status == C2C_STATUS_OK)
        status = tensor_file_finish(file, error);
    if (status == C2C_STATUS_OK)
        *result = file;
    else
        tensor_file_close(file);
    return status;
}

c2c_status tensor_file_open(tensor_file **file, const char *path, c2c_error *error) {
    *file = NULL;
    tensor_file *f;
    file_bytes bytes;
    c2c_status status = tensor_file_new(&f, path, error);
    if (status != C2C_STATUS_OK)
        return status;
    status = tensor_file_map(f, path, &bytes, error);
    if (status == C2C_STATUS_OK)
        status = tensor_file_read(f, bytes, error);
    return open_end(file, f, status, error);
}

c2c_status tensor_file_open_bytes(tensor_file **file, const void *data, size_t size,
                                  const char *name, c2c_error *error) {
    *file = NULL;
    tensor_file *f;
    c2c_status status = tensor_file_new(&f, name, error);
    if (status != C2C_STATUS_OK)
        return status;
    status = tensor_file_read(f, (file_bytes){data, size, f->path}, error);
    return open_end(file, f, status, error);
}

/* ---- In memory ---------------------------------------------------------------------------- */

c2c_status tensor_memory_new(tensor_file **file, const char *name, c2c_error *error) {
    return tensor_file_new(file, name, error);
}

c2c_status tensor_memory_add(tensor_file *file, const char *name, const tensor *shape, void **data,
                             c2c_error *error) {
    size_t bytes;
    char text[TENSOR_SHAPE_TEXT];
    tensor view = *shape;
    if (!tensor_size_checked(shape, &bytes))
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                         "%s: tensor \"%s\": expected a size that fits in memory, found shape %s",
                         file->path, name, tensor_shape_text(shape, text));
    *data = arena_alloc(file->memory, bytes);
    if (!*data)
        return error_memory(error, bytes, name);
    view.data = *data;
    return tensor_file_add(file, name, strlen(name), &view, file->path, error);
}

c2c_status tensor_memory_finish(tensor_file *file, c2c_error *error) {
    return tensor_file_finish(file, error);
}

/* ---- Reading the table -------------------------------------------------------------------- */

const char *tensor_file_path(const tensor_file *file) {
    return file->path;
}

tensor_format tensor_file_format(const tensor_file *file) {
    return file->format;
}

size_t tensor_file_count(const tensor_file *file) {
    return file->count;
}

const named_tensor *tensor_file_at(const tensor_file *file, size_t i) {
    C2C_ASSERT(i < file->count);
    return &file->tensors[i];
}

const named_tensor *tensor_file_find(const tensor_file *file, const char *name) {
    return tensor_file_search(file, 0, name);
}
