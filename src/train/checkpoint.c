/* checkpoint.c - what a checkpoint holds: the fuser as it is published, and beside it the numbers
 * that going on needs (optimizer.safetensors: parameters and moments; state.json: where the run
 * stands). Random numbers and the order of rows are functions of seed and step, so these two are
 * their whole state. */
#include "train/checkpoint.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdlib.h>

#define NUMBERS_NAME "optimizer.safetensors"
#define STATE_NAME   "state.json"

/* Bytes that are on their way from the backend to the file: buffers are large, and there need be no
 * second copy of them. */
#define PIECE_FLOATS ((int64_t)1 << 18)

static const char *const tensor_names[] = {"parameters", "first_moment", "second_moment"};
#define TENSORS 3

/* ---- optimizer.safetensors ---------------------------------------------------------------- */

/* Length of the header and the header, filled up to a multiple of 8 with spaces. */
static c2c_status write_head(file_writer *writer, int64_t count, c2c_error *error) {
    buffer text = {0};
    uint64_t bytes = (uint64_t)count * sizeof(float);
    for (int i = 0; i < TENSORS; i++)
        buffer_printf(&text,
                      "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld],\"data_offsets\":[%" PRIu64
                      ",%" PRIu64 "]}",
                      i ? "," : "{", tensor_names[i], (long long)count, bytes * (uint64_t)i,
                      bytes * (uint64_t)(i + 1));
    buffer_append_text(&text, "}");
    while (text.length % 8 && !text.failed)
        buffer_append_char(&text, ' ');
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)text.length >> 8 * i);
    c2c_status status = text.failed ? error_memory(error, text.length, NUMBERS_NAME)
                                    : file_writer_append(writer, length, 8, error);
    if (!status)
        status = file_writer_append(writer, text.data, text.length, error);
    buffer_free(&text);
    return status;
}

static c2c_status write_floats(file_writer *writer, backend *b, const float *from, int64_t count,
                               float *piece, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < count && !status; i += PIECE_FLOATS) {
        size_t bytes = (size_t)min_i64(PIECE_FLOATS, count - i) * sizeof *from;
        backend_download(b, piece, from + i, bytes);
        status = file_writer_append(writer, piece, bytes, error);
    }
    return status;
}

static c2c_status write_numbers(const char *path, const trainee *t, const optimizer *o,
                                c2c_error *error) {
    const float *const from[TENSORS] = {t->parameters, o->first, o->second};
    file_writer *writer = NULL;
    float *piece = malloc((size_t)PIECE_FLOATS * sizeof *piece);
    c2c_status status = piece ? file_writer_open(&writer, path, error)
                              : error_memory(error, (size_t)PIECE_FLOATS * sizeof *piece, path);
    if (!status)
        status = write_head(writer, t->count, error);
    for (int i = 0; i < TENSORS && !status; i++)
        status = write_floats(writer, t->backend, from[i], t->count, piece, error);
    status = file_writer_end(writer, status, error);
    free(piece);
    return status;
}

static c2c_status read_numbers(const char *path, const trainee *t, const optimizer *o,
                               c2c_error *error) {
    float *const to[TENSORS] = {t->parameters, o->first, o->second};
    const named_tensor *found[TENSORS];
    tensor_file *file = NULL;
    c2c_status status = tensor_file_open(&file, path, error);
    for (int i = 0; i < TENSORS && !status; i++) {
        char shape[TENSOR_SHAPE_TEXT] = "";
        found[i] = tensor_file_find(file, tensor_names[i]);
        const tensor *view = found[i] ? &found[i]->view : NULL;
        if (!view || view->type != DTYPE_F32 || view->rank != 1 || view->shape[0] != t->count)
            status =
                error_set(error, C2C_STATUS_MISMATCH,
                          "%s: tensor %s: expected f32 [%lld], found %s%s%s", path, tensor_names[i],
                          (long long)t->count, view ? dtype_name(view->type) : "none",
                          view ? " " : "", view ? tensor_shape_text(view, shape) : "");
    }
    for (int i = 0; i < TENSORS && !status; i++)
        backend_upload(t->backend, to[i], found[i]->view.data, (size_t)t->count * sizeof(float));
    backend_sync(t->backend);
    tensor_file_close(file);
    return status;
}

/* ---- state.json --------------------------------------------------------------------------- */

/* Every number, its name, and what to do where the run that goes on has another one. */
typedef struct state_field {
    const char *name;
    size_t offset;
    bool must_equal;
} state_field;

#define FIELD(name, must_equal)                                                                    \
    { #name, offsetof(train_state, name), must_equal }
static const state_field fields[] = {
    FIELD(step, false),        FIELD(steps, false),     FIELD(rows, true), FIELD(batch, true),
    FIELD(accumulation, true), FIELD(parameters, true), FIELD(seed, true), FIELD(data, true),
};

/* Seeds beyond an int64_t come back to the bit through it. */
static int64_t *field_of(const train_state *state, const state_field *field) {
    return (int64_t *)((char *)state + field->offset);
}

static c2c_status write_state(const char *path, const train_state *state, c2c_error *error) {
    buffer text = {0};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        buffer_printf(&text, "%s  \"%s\": %lld", i ? ",\n" : "{\n", fields[i].name,
                      (long long)*field_of(state, &fields[i]));
    buffer_append_text(&text, "\n}\n");
    c2c_status status = text.failed ? error_memory(error, text.length, path)
                                    : file_write(path, text.data, text.length, error);
    buffer_free(&text);
    return status;
}

static c2c_status read_state(train_state *state, const char *path, c2c_error *error) {
    json_document *document = NULL;
    c2c_status status = json_open(&document, path, error);
    for (size_t i = 0; i < sizeof fields / sizeof *fields && !status; i++)
        status = json_get_integer(json_root(document), fields[i].name, NULL, INT64_MIN, INT64_MAX,
                                  field_of(state, &fields[i]), path, error);
    if (!status && state->step < 0)
        status = error_set(error, C2C_STATUS_BAD_FILE, "%s: step: expected 0 or more, found %lld",
                           path, (long long)state->step);
    json_close(document);
    return status;
}

static c2c_status compare_state(const train_state *found, const train_state *expected,
                                const char *path, c2c_error *error) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int64_t was = *field_of(found, &fields[i]), is = *field_of(expected, &fields[i]);
        if (fields[i].must_equal && was != is)
            return error_set(error, C2C_STATUS_MISMATCH,
                             "%s: %s was %lld when the run was stopped, and is %lld now: it cannot "
                             "go on as the same run; give it the recipe and data that it had, or "
                             "another output folder",
                             path, fields[i].name, (long long)was, (long long)is);
    }
    return C2C_STATUS_OK;
}

/* ---- Both --------------------------------------------------------------------------------- */

static c2c_status fill(const char *aside, const trainee *t, const optimizer *o,
                       const train_state *state, c2c_error *error) {
    char *numbers = path_join(aside, NUMBERS_NAME), *place = path_join(aside, STATE_NAME);
    c2c_status status = numbers && place ? t->save(t->user, aside, state->step, error)
                                         : error_memory(error, strlen(aside), "a file name");
    if (!status && o)
        status = write_numbers(numbers, t, o, error);
    if (!status && o)
        status = write_state(place, state, error);
    if (!status)
        status = done_mark_write(aside, error);
    free(numbers);
    free(place);
    return status;
}

static c2c_status write_folder(const char *path, const trainee *t, const optimizer *o,
                               const train_state *state, c2c_error *error) {
    char *aside = NULL;
    c2c_status status = folder_begin(&aside, path, error);
    if (!status)
        status = folder_end(aside, path, fill(aside, t, o, state, error), error);
    free(aside);
    return status;
}

c2c_status checkpoint_write(const char *folder, const trainee *t, const optimizer *o,
                            const train_state *state, c2c_error *error) {
    char *path = checkpoint_path(folder, state->step);
    c2c_status status = path ? write_folder(path, t, o, state, error)
                             : error_memory(error, strlen(folder), "a file name");
    free(path);
    return status;
}

c2c_status checkpoint_write_final(const char *folder, const trainee *t, const train_state *state,
                                  c2c_error *error) {
    char *path = path_join(folder, "final");
    c2c_status status = path ? write_folder(path, t, NULL, state, error)
                             : error_memory(error, strlen(folder), "a file name");
    free(path);
    return status;
}

bool checkpoint_final_exists(const char *folder) {
    char *path = path_join(folder, "final");
    bool exists = path && !done_mark_check(path, NULL);
    free(path);
    return exists;
}

c2c_status checkpoint_read(const char *path, const trainee *t, const optimizer *o,
                           const train_state *expected, int64_t *step, c2c_error *error) {
    char *numbers = path_join(path, NUMBERS_NAME), *place = path_join(path, STATE_NAME);
    train_state found;
    c2c_status status = numbers && place ? read_state(&found, place, error)
                                         : error_memory(error, strlen(path), "a file name");
    if (!status)
        status = compare_state(&found, expected, place, error);
    if (!status)
        status = read_numbers(numbers, t, o, error);
    if (!status)
        *step = found.step;
    free(numbers);
    free(place);
    return status;
}
