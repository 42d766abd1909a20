/* store_int8.c - writes a model as a folder whose matrices are 8-bit integers, so that opening it
 * makes none: the same numbers that quantize.c makes, each matrix beside its scales. All else of
 * the folder is copied, so that the new one is a complete model. */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- What is written --------------------------------------------------------------------------
 */

/* A tensor that is made of a matrix: its integers, or its scales. */
typedef struct made_tensor {
    model_matrix matrix;
    bool scale;
} made_tensor;

typedef struct store {
    c2c_model *model;
    model_matrix *matrices; /* of all layers, then the head */
    size_t matrix_count;
    named_tensor *tensors; /* [room] */
    made_tensor *made;     /* [room] beside them */
    size_t count;
    arena *names;
    void *integers, *scales; /* backend memory for the largest matrix */
} store;

static c2c_status list_matrices(store *s, c2c_error *error) {
    int layers = s->model->config.layers;
    s->matrix_count = (size_t)layers * MODEL_LAYER_MATRICES + 1;
    s->matrices = calloc(s->matrix_count, sizeof *s->matrices);
    if (!s->matrices)
        return error_memory(error, s->matrix_count * sizeof *s->matrices, "a model");
    for (int i = 0; i < layers; i++)
        model_layer_matrices(s->model, i, s->matrices + (size_t)i * MODEL_LAYER_MATRICES);
    s->matrices[s->matrix_count - 1] = model_head_matrix(s->model);
    return C2C_STATUS_OK;
}

/* Adds the two tensors of a matrix. */
static c2c_status add_matrix(store *s, const model_matrix *m, const char *name, c2c_error *error) {
    size_t length = strlen(name) + sizeof MODEL_INT8_SCALE;
    char *scale_name = arena_alloc(s->names, length);
    if (!scale_name)
        return error_memory(error, length, "a tensor's name");
    snprintf(scale_name, length, "%s" MODEL_INT8_SCALE, name);
    s->made[s->count] = (made_tensor){*m, false};
    s->tensors[s->count++] =
        (named_tensor){.name = name,
                       .view = {.type = DTYPE_I8, .rank = 2, .shape = {m->rows, m->columns}},
                       .path = s->model->folder};
    s->made[s->count] = (made_tensor){*m, true};
    s->tensors[s->count++] =
        (named_tensor){.name = scale_name,
                       .view = {.type = DTYPE_F32, .rank = 1, .shape = {m->rows}},
                       .path = s->model->folder};
    return C2C_STATUS_OK;
}

/* The matrix that a tensor of the files is; NULL: none, so that it is copied. */
static const model_matrix *matrix_of(const store *s, const tensor *view) {
    for (size_t i = 0; i < s->matrix_count; i++)
        if (s->matrices[i].w->source == view && s->matrices[i].w->data != s->model->embedding.data)
            return &s->matrices[i];
    return NULL;
}

static c2c_status list_tensors(store *s, c2c_error *error) {
    static const char head_name[] = "lm_head.weight";
    const tensor_file *files = s->model->files;
    size_t found = tensor_file_count(files), room = found + s->matrix_count + 2;
    bool tied = s->model->config.tied;
    c2c_status status = C2C_STATUS_OK;
    s->tensors = calloc(room, sizeof *s->tensors);
    s->made = calloc(room, sizeof *s->made);
    if (!s->tensors || !s->made)
        return error_memory(error, room * sizeof *s->tensors, "a model");
    for (size_t i = 0; i < found && !status; i++) {
        const named_tensor *t = tensor_file_at(files, i);
        const model_matrix *m = matrix_of(s, &t->view);
        if (m)
            status = add_matrix(s, m, t->name, error);
        else if (!tied || strcmp(t->name, head_name) != 0) /* such a head would not be used */
            s->tensors[s->count++] = *t;
    }
    if (!status && tied)
        status = add_matrix(s, &s->matrices[s->matrix_count - 1], head_name, error);
    return status;
}

static c2c_status make_tensor(void *user, size_t i, void *bytes, c2c_error *error) {
    (void)error;
    const store *s = user;
    const made_tensor *made = &s->made[i];
    const model_matrix *m = &made->matrix;
    backend *b = s->model->backend;
    op_quantize(b, &(quantize_args){.y = s->integers,
                                    .scale = s->scales,
                                    .x = m->w->data,
                                    .rows = m->rows,
                                    .features = m->columns,
                                    .x_stride = m->columns,
                                    .x_type = m->w->type});
    if (made->scale)
        backend_download(b, bytes, s->scales, (size_t)m->rows * sizeof(float));
    else
        backend_download(b, bytes, s->integers, (size_t)(m->rows * m->columns));
    return C2C_STATUS_OK;
}

static c2c_status alloc_largest(store *s, c2c_error *error) {
    size_t integers = 0, rows = 0;
    for (size_t i = 0; i < s->matrix_count; i++) {
        const model_matrix *m = &s->matrices[i];
        integers = (size_t)max_i64((int64_t)integers, m->rows * m->columns);
        rows = (size_t)max_i64((int64_t)rows, m->rows);
    }
    c2c_status status = backend_alloc(s->model->backend, &s->integers, integers, error);
    return status ? status
                  : backend_alloc(s->model->backend, &s->scales, rows * sizeof(float), error);
}

/* ---- The folder -------------------------------------------------------------------------------
 */

/* The configuration with one more key, which other programs refuse: the numbers would mean nothing
 * to them. */
static c2c_status write_config(const char *from, const char *to, c2c_error *error) {
    static const char added[] = "\"quantization_config\": {\n    \"quant_method\": \"" //
        MODEL_INT8_METHOD "\"\n  }\n}\n";
    json_document *document = NULL;
    buffer text = {0};
    char *source = path_join(from, "config.json"), *copy = path_join(to, "config.json");
    c2c_status status = source && copy ? json_open(&document, source, error)
                                       : error_memory(error, strlen(from), "a file name");
    if (status)
        goto done;
    const json_value *root = json_root(document);
    buffer_append_text(&text, "{\n  ");
    for (uint32_t i = 0; i < root->count; i++) {
        const json_member *member = &root->members[i];
        if (member->key_length == strlen("quantization_config") &&
            memcmp(member->key, "quantization_config", member->key_length) == 0)
            continue; /* null */
        json_write_string(&text, member->key, member->key_length);
        buffer_append_text(&text, ": ");
        json_write_value(&text, &member->value, 1);
        buffer_append_text(&text, ",\n  ");
    }
    buffer_append_text(&text, added);
    status = text.failed ? error_memory(error, text.length, copy)
                         : file_write(copy, text.data, text.length, error);
done:
    json_close(document);
    buffer_free(&text);
    free(source);
    free(copy);
    return status;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

bool model_store_copies(const char *name) {
    static const char *const weights[] = {".safetensors", ".safetensors.index.json",
                                          ".bin",         ".bin.index.json",
                                          ".pt",          ".pth",
                                          ".gguf",        ".h5",
                                          ".msgpack",     ".onnx"};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (ends_with(name, weights[i]))
            return false;
    return name[0] != '.' && strcmp(name, "config.json") != 0;
}

typedef struct copying {
    const char *from, *to;
} copying;

static c2c_status copy_entry(void *user, const char *name, c2c_error *error) {
    const copying *c = user;
    if (!model_store_copies(name))
        return C2C_STATUS_OK;
    return file_copy(c->from, c->to, name, true, error); /* no folders inside */
}

static c2c_status fill(const store *s, const char *aside, c2c_error *error) {
    const tensor_maker maker = {make_tensor, (void *)s};
    copying c = {s->model->folder, aside};
    char *path = path_join(aside, "model.safetensors");
    c2c_status status = path ? write_config(s->model->folder, aside, error)
                             : error_memory(error, strlen(aside), "a file name");
    if (!status)
        status = folder_each(s->model->folder, copy_entry, &c, error);
    if (!status)
        status = tensor_file_write_made(path, s->tensors, s->count, &maker, error);
    free(path);
    return status;
}

static void count_types(const store *s, tensor_conversion *done) {
    const tensor_file *files = s->model->files;
    for (size_t i = 0; i < tensor_file_count(files); i++) {
        const tensor *view = &tensor_file_at(files, i)->view;
        done->from_types[view->type]++;
        done->from_bytes += (int64_t)tensor_bytes(view);
    }
    for (size_t i = 0; i < s->count; i++) {
        const tensor *view = &s->tensors[i].view;
        done->to_types[view->type]++;
        done->to_bytes += (int64_t)tensor_bytes(view);
    }
    done->files = 1;
    done->tensors = (int64_t)s->count;
    done->from_formats[TENSOR_FORMAT_SAFETENSORS] = 1;
}

c2c_status model_store_int8(c2c_model *model, const char *to, tensor_conversion *done,
                            c2c_error *error) {
    store s = {.model = model};
    char *aside = NULL;
    c2c_status status;
    if (model->layers[0].q.type == DTYPE_I8)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: its matrices are 8-bit integers already", model->folder);
    if (file_exists(to) || folder_exists(to))
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s exists already; choose another place", to);
    if (!(s.names = arena_new(0)))
        status = error_memory(error, sizeof s, "a model");
    else if (!(status = list_matrices(&s, error)) && !(status = list_tensors(&s, error)) &&
             !(status = alloc_largest(&s, error)) && !(status = folder_begin(&aside, to, error)))
        status = folder_end(aside, to, fill(&s, aside, error), error);
    if (!status)
        count_types(&s, done);
    free(aside);
    backend_release(model->backend, s.integers);
    backend_release(model->backend, s.scales);
    arena_free(s.names);
    free(s.matrices);
    free(s.tensors);
    free(s.made);
    return status;
}
