/* case_projectors.c - single projectors: the sharer's and the receiver's keys and values of one
 * section and one layer, and what becomes of the receiver's. */
#include "golden.h"

#include "support/lone_fuser.h"

/* What a case's file holds, as rows of caches: [key or value][tokens][features]. */
typedef struct recorded_rows {
    const tensor *outputs[BRANCH_COUNT]; /* [1, heads, tokens, dim] */
    float *sharer, *receiver;
    int64_t tokens, receiver_features;
} recorded_rows;

static const char *const branch_names[BRANCH_COUNT] = {"key", "value"};

/* SIDE_key and SIDE_value as rows; NULL after case_fail. */
static float *rows_read(golden_case *c, const tensor_file *file, const char *side, int64_t tokens,
                        int64_t heads, int64_t dim) {
    const int64_t shape[4] = {1, heads, tokens, dim};
    float *rows = memory_get((size_t)(2 * tokens * heads * dim), sizeof *rows), *y = rows;
    for (int which = 0; which < BRANCH_COUNT; which++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%s", side, branch_names[which]);
        const tensor *t = expected_f32(c, file, name, 4, shape);
        if (!t) {
            free(rows);
            return NULL;
        }
        for (int64_t n = 0; n < tokens; n++)
            for (int64_t g = 0; g < heads; g++)
                for (int64_t d = 0; d < dim; d++)
                    *y++ = tensor_get_f32(t, (g * tokens + n) * dim + d);
    }
    return rows;
}

static bool recorded_rows_read(golden_case *c, const tensor_file *file, const projector_spec *spec,
                               recorded_rows *r) {
    const named_tensor *output = tensor_file_find(file, "output_key");
    *r = (recorded_rows){0};
    r->tokens = output && output->view.rank == 4 ? output->view.shape[2] : 0;
    const int64_t shape[4] = {1, spec->receiver_heads, r->tokens, spec->receiver_dim};
    if (!(r->outputs[BRANCH_KEY] = expected_f32(c, file, "output_key", 4, shape)) ||
        !(r->outputs[BRANCH_VALUE] = expected_f32(c, file, "output_value", 4, shape)))
        return false;
    r->sharer = rows_read(c, file, "source", r->tokens, spec->sharer_heads, spec->sharer_dim);
    r->receiver = rows_read(c, file, "target", r->tokens, spec->receiver_heads, spec->receiver_dim);
    r->receiver_features = (int64_t)spec->receiver_heads * spec->receiver_dim;
    return r->sharer && r->receiver;
}

/* The outputs in one way of running; compared with the file, or with the first way bit by bit. */
static float *way_outputs(golden_case *c, const char *path, const tensor_file *file, const way *how,
                          const float *first) {
    backend *b = NULL;
    lone_fuser f;
    recorded_rows r = {0};
    c2c_error error = {0};
    char kind[KIND_SIZE];
    float *out = NULL;
    fuser_kind(path, kind);
    c2c_status status = how->queue ? backend_queue_open(&b, how->threads, &error)
                                   : backend_cpu_open(&b, how->threads, &error);
    if (status == C2C_STATUS_OK)
        status = lone_fuser_open(&f, b, path, 1, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, kind, &error);
        goto done;
    }
    if (recorded_rows_read(c, file, &f.fuser.projectors[0].spec, &r)) {
        int64_t size = r.tokens * r.receiver_features;
        out = memory_get((size_t)(2 * size), sizeof *out);
        lone_fuser_run(&f, r.tokens, r.sharer, r.receiver, out, false);
        for (int which = 0; which < BRANCH_COUNT && !first; which++)
            compare_cache(c, which ? "output_value" : "output_key", r.outputs[which],
                          out + which * size, NULL);
        if (first && memcmp(first, out, (size_t)(2 * size) * sizeof *out) != 0)
            case_fail(c, "%s: other bits than before", how->name);
    }
    lone_fuser_close(&f);
done:
    backend_close(b);
    free(r.sharer);
    free(r.receiver);
    return out;
}

static void projector_run(golden_run *run, const char *path, const char *name) {
    golden_case c;
    tensor_file *file = NULL;
    c2c_error error = {0};
    char *expected = path_make(path, "expected.safetensors");
    const way first_way = {.queue = run->queue, .threads = run->threads},
              queue = {.name = "on the queue backend with 3 threads", .queue = true, .threads = 3};
    case_begin(&c, run, "projectors/%s", name);
    c2c_status status = tensor_file_open(&file, expected, &error);
    if (status == C2C_STATUS_OK) {
        float *first = way_outputs(&c, path, file, &first_way, NULL);
        if (first)
            free(way_outputs(&c, path, file, &queue, first));
        free(first);
    } else {
        case_fail(&c, "%s", error.message);
    }
    tensor_file_close(file);
    free(expected);
    case_end(&c);
}

void projectors_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        projector_run(run, path, names[i]);
        free(path);
    }
    names_free(names, count);
}
