/* pt_write.c - tensors as the archive that torch.save writes of a state dict: NAME/data.pkl,
 * NAME/byteorder, NAME/data/0, 1, ..., NAME/version, where NAME is the file's own without its
 * ending. */
#include "formats/tensor_write.h"

#include <stdio.h>

#define NAME_BYTES 256

typedef struct archive {
    const tensor_output *out;
    zip_writer zip;
    char name[NAME_BYTES];
} archive;

/* The file's name up to its last dot; one that a reader could stumble over is called "archive", as
 * torch.save calls what has no name. */
static void name_archive(archive *a, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t length = dot ? (size_t)(dot - base) : strlen(base);
    if (length == 0 || length >= NAME_BYTES - 32 || utf8_valid_prefix(base, length) != length) {
        base = "archive";
        length = strlen(base);
    }
    memcpy(a->name, base, length);
    a->name[length] = 0;
}

static c2c_status begin_member(archive *a, const char *name, c2c_error *error) {
    buffer full = {0};
    buffer_printf(&full, "%s/%s", a->name, name);
    c2c_status status = full.failed ? error_memory(error, NAME_BYTES, a->out->path)
                                    : zip_writer_begin(&a->zip, full.data, error);
    buffer_free(&full);
    return status;
}

static c2c_status write_member(archive *a, const char *name, const void *bytes, size_t length,
                               c2c_error *error) {
    c2c_status status = begin_member(a, name, error);
    if (!status)
        status = zip_writer_append(&a->zip, bytes, length, error);
    return status ? status : zip_writer_finish_member(&a->zip, error);
}

static c2c_status append(void *user, const void *bytes, size_t length, c2c_error *error) {
    return zip_writer_append(user, bytes, length, error);
}

static c2c_status write_storage(archive *a, size_t i, c2c_error *error) {
    char name[32];
    snprintf(name, sizeof name, "data/%zu", i);
    c2c_status status = begin_member(a, name, error);
    if (!status)
        status = tensor_output_stream(a->out, i, append, &a->zip, error);
    return status ? status : zip_writer_finish_member(&a->zip, error);
}

c2c_status pt_write(const tensor_output *out, c2c_error *error) {
    archive a = {.out = out};
    buffer pickle = {0};
    zip_writer_init(&a.zip, out->writer, out->path);
    name_archive(&a, out->path);
    pickle_write(&pickle, out);
    c2c_status status;
    if (pickle.failed)
        status = error_memory(error, pickle.length, out->path);
    else
        status = write_member(&a, "data.pkl", pickle.data, pickle.length, error);
    if (!status)
        status = write_member(&a, "byteorder", "little", 6, error);
    for (size_t i = 0; i < out->count && !status; i++)
        status = write_storage(&a, i, error);
    if (!status)
        status = write_member(&a, "version", "3\n", 2, error);
    if (!status)
        status = zip_writer_finish(&a.zip, error);
    zip_writer_deinit(&a.zip);
    buffer_free(&pickle);
    return status;
}
