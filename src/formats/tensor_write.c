/* tensor_write.c - what writing a file of tensors has in common: the file is written aside, and
 * elements are converted on their way, a piece at a time. The layouts are safetensors_write.c and
 * pt_write.c. Converting a file is reading it and writing it. */
#include "formats/tensor_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PIECE_BYTES (64 << 10)

dtype tensor_written_type(const tensor *view, dtype type) {
    return type != DTYPE_COUNT && dtype_is_weight(view->type) ? type : view->type;
}

size_t tensor_output_bytes(const tensor_output *out, size_t i) {
    const tensor *view = &out->tensors[i].view;
    return (size_t)tensor_elements(view) * dtype_size(tensor_written_type(view, out->type));
}

/* Element `at`, found to have no finite form in the new type. */
static c2c_status does_not_fit(const tensor_output *out, size_t i, int64_t at, c2c_error *error) {
    const named_tensor *t = &out->tensors[i];
    return error_set(error, C2C_STATUS_MISMATCH,
                     "%s: tensor \"%s\": element %" PRId64 " is %g, which %s can only hold as "
                     "infinity; write bf16 or f32 instead",
                     t->path, t->name, at, (double)tensor_get_f32(&t->view, at),
                     dtype_name(out->type));
}

static c2c_status stream_made(const tensor_output *out, size_t i, byte_sink sink, void *user,
                              c2c_error *error) {
    size_t size = tensor_output_bytes(out, i);
    void *bytes = malloc(size + 1);
    if (!bytes)
        return error_memory(error, size, out->tensors[i].name);
    c2c_status status = out->maker->make(out->maker->user, i, bytes, error);
    if (!status)
        status = sink(user, bytes, size, error);
    free(bytes);
    return status;
}

c2c_status tensor_output_stream(const tensor_output *out, size_t i, byte_sink sink, void *user,
                                c2c_error *error) {
    const tensor *view = &out->tensors[i].view;
    dtype type = tensor_written_type(view, out->type);
    if (out->maker && !view->data)
        return stream_made(out, i, sink, user, error);
    if (type == view->type)
        return sink(user, view->data, tensor_bytes(view), error);
    uint32_t piece[PIECE_BYTES / sizeof(uint32_t)];
    int64_t elements = tensor_elements(view), step = (int64_t)(sizeof piece / dtype_size(type));
    c2c_status status = C2C_STATUS_OK;
    for (int64_t first = 0; first < elements && !status; first += step) {
        int64_t count = min_i64(step, elements - first);
        int64_t fitted = tensor_convert(piece, type, view, first, count);
        if (fitted < count)
            return does_not_fit(out, i, first + fitted, error);
        status = sink(user, piece, (size_t)count * dtype_size(type), error);
    }
    return status;
}

static c2c_status write_output(tensor_output *out, tensor_format format, c2c_error *error) {
    c2c_status status = file_writer_open(&out->writer, out->path, error);
    if (!status)
        status = format == TENSOR_FORMAT_PT ? pt_write(out, error) : safetensors_write(out, error);
    return file_writer_end(out->writer, status, error);
}

c2c_status tensor_file_write(const char *path, tensor_format format, const named_tensor *tensors,
                             size_t count, dtype type, c2c_error *error) {
    C2C_ASSERT(type == DTYPE_COUNT || dtype_is_weight(type));
    tensor_output out = {.path = path, .tensors = tensors, .count = count, .type = type};
    return write_output(&out, format, error);
}

c2c_status tensor_file_write_made(const char *path, const named_tensor *tensors, size_t count,
                                  const tensor_maker *maker, c2c_error *error) {
    tensor_output out = {
        .path = path, .tensors = tensors, .count = count, .type = DTYPE_COUNT, .maker = maker};
    return write_output(&out, TENSOR_FORMAT_SAFETENSORS, error);
}

/* ---- Converting --------------------------------------------------------------------------- */

/* Counts the tensors; true when all have the type already that they shall have. */
static bool tally(const tensor_file *file, dtype type, tensor_conversion *done) {
    bool same = true;
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const tensor *view = &tensor_file_at(file, i)->view;
        dtype written = tensor_written_type(view, type);
        done->from_types[view->type]++;
        done->to_types[written]++;
        done->tensors++;
        same = same && written == view->type;
    }
    return same;
}

static c2c_status copy_file(const char *from, const char *to, c2c_error *error) {
    file_map map;
    c2c_status status = file_map_open(&map, from, error);
    if (!status)
        status = file_write(to, map.data, map.size, error);
    file_map_close(&map);
    return status;
}

static c2c_status write_list(const tensor_file *file, const char *to, tensor_format format,
                             dtype type, c2c_error *error) {
    size_t count = tensor_file_count(file);
    named_tensor *list = calloc(count + 1, sizeof *list);
    if (!list)
        return error_memory(error, count * sizeof *list, to);
    for (size_t i = 0; i < count; i++)
        list[i] = *tensor_file_at(file, i);
    c2c_status status = tensor_file_write(to, format, list, count, type, error);
    free(list);
    return status;
}

static int64_t file_bytes_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

c2c_status tensor_file_convert(const char *from, const char *to, tensor_format format, dtype type,
                               tensor_conversion *done, c2c_error *error) {
    tensor_file *file;
    int64_t from_bytes = file_bytes_of(from);
    c2c_status status = tensor_file_open(&file, from, error);
    if (status)
        return status;
    bool copy = tally(file, type, done) && tensor_file_format(file) == format;
    if (copy)
        status = copy_file(from, to, error);
    else
        status = write_list(file, to, format, type, error);
    done->files++;
    done->copied += copy;
    done->from_formats[tensor_file_format(file)]++;
    done->from_bytes += from_bytes;
    done->to_bytes += file_bytes_of(to);
    tensor_file_close(file);
    return status;
}
