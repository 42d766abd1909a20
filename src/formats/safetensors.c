/* safetensors.c - the header of a safetensors file, checked, as views of its data.
 *
 * Format: 8 bytes N (little-endian), N bytes of JSON {name: {dtype, shape, data_offsets}}, data.
 * As in the reference implementation (huggingface/safetensors) the tensors must cover the data
 * exactly: an overlap, a hole or bytes left over is an error, and a header is at most 100 MB. */
#include "formats/tensor_file.h"

#include <inttypes.h>
#include <stdlib.h>

#define LENGTH_BYTES 8
#define MAX_HEADER   100000000 /* as the reference implementation has it */

/* One tensor as the header tells of it. */
typedef struct entry {
    const char *name;
    size_t name_length;
    tensor view;
    uint64_t begin, end; /* in the data */
} entry;

typedef struct reader {
    tensor_file *file;
    file_bytes bytes;
    json_document *header;
    const uint8_t *data;
    uint64_t data_size;
    entry *entries; /* in order of their data, once it is checked */
    size_t count;
    c2c_error *error;
} reader;

/* The types that a tensor can have here; eight-bit floats and unsigned words are not among them. */
static const struct {
    const char *name;
    dtype type;
} dtypes[] = {
    {"F32", DTYPE_F32}, {"F16", DTYPE_F16},   {"BF16", DTYPE_BF16}, {"F64", DTYPE_F64},
    {"I64", DTYPE_I64}, {"I32", DTYPE_I32},   {"I16", DTYPE_I16},   {"I8", DTYPE_I8},
    {"U8", DTYPE_U8},   {"BOOL", DTYPE_BOOL},
};

/* ---- One entry of the header -------------------------------------------------------------- */

/* A value that is not what it should be; `found` may be NULL. */
static c2c_status wrong_value(const reader *r, const entry *e, const char *key,
                              const char *expected, const json_value *found) {
    return error_set(r->error, C2C_STATUS_BAD_FILE,
                     "%s: tensor \"%s\": \"%s\": expected %s, found %s", r->bytes.path, e->name,
                     key, expected, found ? json_type_name(found->type) : "no such key");
}

static c2c_status read_dtype(const reader *r, const json_value *info, entry *e) {
    const json_value *value = json_get(info, "dtype");
    if (!value || value->type != JSON_STRING)
        return wrong_value(r, e, "dtype", "a string", value);
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(value->string, dtypes[i].name) == 0) {
            e->view.type = dtypes[i].type;
            return C2C_STATUS_OK;
        }
    return error_set(r->error, C2C_STATUS_UNSUPPORTED,
                     "%s: tensor \"%s\": expected dtype F32, F16, BF16, F64, I64, I32, I16, I8, U8 "
                     "or BOOL, found \"%s\"",
                     r->bytes.path, e->name, value->string);
}

/* Fills rank and shape; the size is checked when the offsets are known. */
static c2c_status read_shape(const reader *r, const json_value *info, entry *e) {
    const json_value *value = json_get(info, "shape");
    if (!value || value->type != JSON_ARRAY)
        return wrong_value(r, e, "shape", "an array", value);
    if (value->count > TENSOR_MAX_RANK)
        return error_set(r->error, C2C_STATUS_UNSUPPORTED,
                         "%s: tensor \"%s\": expected at most %d dimensions, found %" PRIu32,
                         r->bytes.path, e->name, TENSOR_MAX_RANK, value->count);
    for (uint32_t i = 0; i < value->count; i++) {
        const json_value *item = &value->items[i];
        if (item->type != JSON_INTEGER)
            return wrong_value(r, e, "shape", "integers that fit in 63 bits", item);
        if (item->integer < 0)
            return error_set(r->error, C2C_STATUS_BAD_FILE,
                             "%s: tensor \"%s\": expected a shape of numbers >= 0, found %" PRId64,
                             r->bytes.path, e->name, item->integer);
        e->view.shape[e->view.rank++] = item->integer;
    }
    return C2C_STATUS_OK;
}

/* Where the tensor is in the data. Here a truncated file shows first. */
static c2c_status read_offsets(const reader *r, const json_value *info, entry *e) {
    const json_value *value = json_get(info, "data_offsets");
    if (!value || value->type != JSON_ARRAY || value->count != 2 ||
        value->items[0].type != JSON_INTEGER || value->items[1].type != JSON_INTEGER)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": \"data_offsets\": expected two integers, found %s",
                         r->bytes.path, e->name, value ? "something else" : "no such key");
    int64_t begin = value->items[0].integer, end = value->items[1].integer;
    if (begin < 0 || end < begin || (uint64_t)end > r->data_size)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected data_offsets in order and within %" PRIu64
                         " bytes of data, found [%" PRId64 ", %" PRId64 "]; is the file truncated?",
                         r->bytes.path, e->name, r->data_size, begin, end);
    e->begin = (uint64_t)begin;
    e->end = (uint64_t)end;
    return C2C_STATUS_OK;
}

/* What dtype and shape need must be what the offsets give, to the byte. */
static c2c_status check_size(const reader *r, const entry *e) {
    char shape[TENSOR_SHAPE_TEXT];
    size_t bytes;
    if (!tensor_size_checked(&e->view, &bytes))
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected a size that fits in memory, found shape %s",
                         r->bytes.path, e->name, tensor_shape_text(&e->view, shape));
    if (bytes != e->end - e->begin)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected %zu bytes for %s %s, found data_offsets "
                         "[%" PRIu64 ", %" PRIu64 "]",
                         r->bytes.path, e->name, bytes, dtype_name(e->view.type),
                         tensor_shape_text(&e->view, shape), e->begin, e->end);
    return C2C_STATUS_OK;
}

/* One member of the header but __metadata__. */
static c2c_status read_entry(const reader *r, const json_member *member, entry *e) {
    *e = (entry){.name = member->key, .name_length = member->key_length};
    c2c_status status = tensor_name_check(e->name, e->name_length, r->bytes.path, r->error);
    if (status != C2C_STATUS_OK)
        return status;
    if (member->value.type != JSON_OBJECT)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected an object, found %s", r->bytes.path, e->name,
                         json_type_name(member->value.type));
    status = read_dtype(r, &member->value, e);
    if (status == C2C_STATUS_OK)
        status = read_shape(r, &member->value, e);
    if (status == C2C_STATUS_OK)
        status = read_offsets(r, &member->value, e);
    return status == C2C_STATUS_OK ? check_size(r, e) : status;
}

/* ---- The whole header --------------------------------------------------------------------- */

/* The length is the one number of a file that is not JSON, and the first that may lie. */
static c2c_status parse_header(reader *r) {
    const file_bytes *b = &r->bytes;
    if (b->size < LENGTH_BYTES)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected a safetensors or .pt file, found %zu bytes", b->path,
                         b->size);
    uint64_t length;
    memcpy(&length, b->data, LENGTH_BYTES);
    if (length > MAX_HEADER)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected a safetensors header of at most %d bytes, found a length of "
                         "%" PRIu64 "; is it a safetensors or .pt file at all?",
                         b->path, MAX_HEADER, length);
    if (length > b->size - LENGTH_BYTES)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected a header of %" PRIu64 " bytes, found %zu; is the file "
                         "truncated?",
                         b->path, length, b->size - LENGTH_BYTES);
    const char *text = (const char *)b->data + LENGTH_BYTES;
    if (length == 0 || text[0] != '{')
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected a safetensors header that starts with {, found none; is it "
                         "a safetensors or .pt file at all?",
                         b->path);
    r->data = b->data + LENGTH_BYTES + length;
    r->data_size = b->size - LENGTH_BYTES - length;
    c2c_status status = json_parse(&r->header, text, length, "safetensors header", r->error);
    if (status != C2C_STATUS_OK)
        error_prefix(r->error, "%s", b->path);
    return status;
}

static c2c_status read_entries(reader *r) {
    const json_value *root = json_root(r->header);
    size_t bytes;
    if (!size_mul(root->count + (size_t)1, sizeof *r->entries, &bytes) ||
        !(r->entries = malloc(bytes)))
        return error_memory(r->error, root->count * sizeof *r->entries, r->bytes.path);
    for (uint32_t i = 0; i < root->count; i++) {
        if (strcmp(root->members[i].key, "__metadata__") == 0)
            continue;
        c2c_status status = read_entry(r, &root->members[i], &r->entries[r->count]);
        if (status != C2C_STATUS_OK)
            return status;
        r->count++;
    }
    return C2C_STATUS_OK;
}

static int compare_offsets(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Each tensor starts where the one before it ends, and the last ends with the file. */
static c2c_status check_cover(reader *r) {
    const char *before = NULL; /* the tensor that ends at `covered` */
    uint64_t covered = 0;
    if (r->count > 1)
        qsort(r->entries, r->count, sizeof *r->entries, compare_offsets);
    for (size_t i = 0; i < r->count; i++) {
        const entry *e = &r->entries[i];
        if (e->begin < covered)
            return error_set(r->error, C2C_STATUS_BAD_FILE,
                             "%s: tensor \"%s\" overlaps tensor \"%s\": expected it to start at "
                             "byte %" PRIu64 " of the data, found %" PRIu64,
                             r->bytes.path, e->name, before, covered, e->begin);
        if (e->begin > covered)
            return error_set(r->error, C2C_STATUS_BAD_FILE,
                             "%s: tensor \"%s\": expected it to start at byte %" PRIu64
                             " of the data, found %" PRIu64 ": a hole",
                             r->bytes.path, e->name, covered, e->begin);
        covered = e->end;
        before = e->name;
    }
    if (covered != r->data_size)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected %" PRIu64 " bytes of data for %zu tensors, found %" PRIu64,
                         r->bytes.path, covered, r->count, r->data_size);
    return C2C_STATUS_OK;
}

/* Last, when all is known to be good. Moved tensors take no more memory than the file has bytes, as
 * no two share any. */
static c2c_status add_tensors(reader *r) {
    for (size_t i = 0; i < r->count; i++) {
        entry *e = &r->entries[i];
        size_t size = (size_t)(e->end - e->begin);
        e->view.data =
            tensor_file_align(r->file, r->data + e->begin, size, dtype_size(e->view.type));
        if (!e->view.data)
            return error_memory(r->error, size, e->name);
        c2c_status status =
            tensor_file_add(r->file, e->name, e->name_length, &e->view, r->bytes.path, r->error);
        if (status != C2C_STATUS_OK)
            return status;
    }
    return C2C_STATUS_OK;
}

c2c_status safetensors_read(tensor_file *file, file_bytes bytes, c2c_error *error) {
    reader r = {.file = file, .bytes = bytes, .error = error};
    c2c_status status = parse_header(&r);
    if (status == C2C_STATUS_OK)
        status = read_entries(&r);
    if (status == C2C_STATUS_OK)
        status = check_cover(&r);
    if (status == C2C_STATUS_OK)
        status = add_tensors(&r);
    json_close(r.header);
    free(r.entries);
    return status;
}
