/* safetensors_write.c - tensors as a safetensors file, byte for byte what the reference
 * implementation (huggingface/safetensors) makes of them: wide types first, then by name, so that
 * each tensor is aligned; the header filled up with spaces to a multiple of 8. */
#include "formats/tensor_write.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAX_HEADER 100000000 /* what readers take */

/* Transformers loads no file that does not say whose layout its tensors have. */
#define METADATA "{\"__metadata__\":{\"format\":\"pt\"}"

/* The name of each type, and its place in the reference implementation's order. */
static const struct {
    const char *name;
    int rank;
} types[DTYPE_COUNT] = {
    [DTYPE_I64] = {"I64", 9},   [DTYPE_F64] = {"F64", 8},   [DTYPE_F32] = {"F32", 7},
    [DTYPE_I32] = {"I32", 6},   [DTYPE_BF16] = {"BF16", 5}, [DTYPE_F16] = {"F16", 4},
    [DTYPE_I16] = {"I16", 3},   [DTYPE_I8] = {"I8", 2},     [DTYPE_U8] = {"U8", 1},
    [DTYPE_BOOL] = {"BOOL", 0},
};

/* One tensor by its place in the file. */
typedef struct place {
    const char *name;
    dtype type;
    size_t index;
} place;

static int compare_places(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->type != y->type)
        return types[y->type].rank - types[x->type].rank;
    return strcmp(x->name, y->name);
}

/* {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} */
static void write_entry(buffer *header, const tensor_output *out, const place *p, uint64_t begin,
                        uint64_t end) {
    const tensor *view = &out->tensors[p->index].view;
    buffer_append_char(header, ',');
    json_write_string(header, p->name, strlen(p->name));
    buffer_printf(header, ":{\"dtype\":\"%s\",\"shape\":[", types[p->type].name);
    for (int d = 0; d < view->rank; d++)
        buffer_printf(header, "%s%" PRId64, d ? "," : "", view->shape[d]);
    buffer_printf(header, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, end);
}

static c2c_status write_header(const tensor_output *out, const place *places, c2c_error *error) {
    buffer header = {0};
    uint64_t offset = 0;
    buffer_append_text(&header, METADATA);
    for (size_t i = 0; i < out->count; i++) {
        size_t bytes = tensor_output_bytes(out, places[i].index);
        write_entry(&header, out, &places[i], offset, offset + bytes);
        offset += bytes;
    }
    buffer_append_char(&header, '}');
    while (header.length % 8 != 0 && !header.failed)
        buffer_append_char(&header, ' ');
    uint64_t length = header.length;
    c2c_status status = C2C_STATUS_OK;
    if (header.failed)
        status = error_memory(error, header.length, out->path);
    else if (length > MAX_HEADER)
        status = error_set(error, C2C_STATUS_UNSUPPORTED,
                           "%s: expected names and shapes of at most %d bytes, found %" PRIu64,
                           out->path, MAX_HEADER, length);
    if (!status)
        status = file_writer_append(out->writer, &length, sizeof length, error);
    if (!status)
        status = file_writer_append(out->writer, header.data, header.length, error);
    buffer_free(&header);
    return status;
}

static c2c_status append(void *user, const void *bytes, size_t length, c2c_error *error) {
    return file_writer_append(user, bytes, length, error);
}

c2c_status safetensors_write(const tensor_output *out, c2c_error *error) {
    place *places = calloc(out->count + 1, sizeof *places);
    if (!places)
        return error_memory(error, out->count * sizeof *places, out->path);
    for (size_t i = 0; i < out->count; i++)
        places[i] = (place){.name = out->tensors[i].name,
                            .type = tensor_written_type(&out->tensors[i].view, out->type),
                            .index = i};
    qsort(places, out->count, sizeof *places, compare_places);
    c2c_status status = write_header(out, places, error);
    for (size_t i = 0; i < out->count && !status; i++)
        status = tensor_output_stream(out, places[i].index, append, out->writer, error);
    free(places);
    return status;
}
