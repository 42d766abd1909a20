/* bench_train.c - the speed of a training step: a pair's receiver and sharer, a new fuser between
 * them (C2CProjector of the usual size), rows of random ids of which the second half is learned.
 * Says seconds a step, tokens a second, the most memory the process held, and which ops took the
 * time. What a step is is what the Python original's is: forward, backward, clipping, AdamW.
 * usage: bench_train [PAIR [f32|bf16 [THREADS [STEPS [TOKENS [ROWS]]]]]], PAIR a folder with
 * receiver/ and sharer/ (share/demo), TOKENS those of the question and as many of the answer (128),
 * ROWS of a batch (1) */
#include "session/session.h"
#include "train/network.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define MAX_STEPS 1000
#define RECIPE                                                                                     \
    "{\"model\": {\"base_model\": \"receiver\", \"teacher_model\": \"sharer\", \"projector\": "    \
    "{\"type\": \"C2CProjector\", \"params\": {\"hidden_dim\": 1024, \"intermediate_dim\": 1024, " \
    "\"num_layers\": 3}}, \"mapping\": \"last_aligned\"}}"

/* ---- A backend that times what another one does -------------------------------------------- */

/* Linears of each type of weights are a line of their own. */
#define KINDS ((int)OP_COUNT * DTYPE_COUNT)

typedef struct clock_backend {
    backend base;
    backend *inner;
    double seconds[KINDS];
    int64_t calls[KINDS];
} clock_backend;

static clock_backend *clock_of(backend *b) {
    return (clock_backend *)b;
}

static void clock_run(backend *b, op_kind kind, const void *args) {
    clock_backend *c = clock_of(b);
    int key = (int)kind * DTYPE_COUNT;
    if (kind == OP_linear)
        key += ((const linear_args *)args)->w_type;
    if (kind == OP_linear_backward_x)
        key += ((const linear_backward_x_args *)args)->w_type;
    double started = system_seconds();
    backend_run(c->inner, kind, args);
    c->seconds[key] += system_seconds() - started;
    c->calls[key]++;
}

static void clock_close(backend *b) {
    backend_close(clock_of(b)->inner);
    free(b);
}

static c2c_status clock_alloc(backend *b, void **memory, size_t bytes, c2c_error *error) {
    return backend_alloc(clock_of(b)->inner, memory, bytes, error);
}

static void clock_fill(backend *b, void *memory) {
    backend *inner = clock_of(b)->inner;
    if (inner->class->fill)
        inner->class->fill(inner, memory);
}

static void clock_release(backend *b, void *memory) {
    backend_release(clock_of(b)->inner, memory);
}

static c2c_status clock_import(backend *b, const void **memory, const void *host, size_t bytes,
                               c2c_error *error) {
    return backend_import(clock_of(b)->inner, memory, host, bytes, error);
}

static void clock_release_import(backend *b, const void *memory) {
    backend_release_import(clock_of(b)->inner, memory);
}

static c2c_status clock_reserve(backend *b, size_t features, c2c_error *error) {
    return backend_reserve(clock_of(b)->inner, features, error);
}

static void clock_upload(backend *b, void *memory, const void *host, size_t bytes) {
    backend_upload(clock_of(b)->inner, memory, host, bytes);
}

static void clock_download(backend *b, void *host, const void *memory, size_t bytes) {
    backend_download(clock_of(b)->inner, host, memory, bytes);
}

static void clock_sync(backend *b) {
    backend_sync(clock_of(b)->inner);
}

static const backend_class clock_class = {
    .name = "clock",
    .close = clock_close,
    .alloc = clock_alloc,
    .release = clock_release,
    .fill = clock_fill,
    .import = clock_import,
    .release_import = clock_release_import,
    .reserve = clock_reserve,
    .run = clock_run,
    .upload = clock_upload,
    .download = clock_download,
    .sync = clock_sync,
};

static c2c_status clock_open(clock_backend **c, int threads, c2c_error *error) {
    *c = calloc(1, sizeof **c);
    if (!*c)
        return error_memory(error, sizeof **c, "a clock");
    c2c_status status = backend_cpu_open(&(*c)->inner, threads, error);
    if (status) {
        free(*c);
        *c = NULL;
        return status;
    }
    (*c)->base.class = &clock_class;
    return status;
}

static void clock_reset(clock_backend *c) {
    memset(c->seconds, 0, sizeof c->seconds);
    memset(c->calls, 0, sizeof c->calls);
}

/* The slowest first; what takes less than a hundredth is left out. */
static void clock_print(clock_backend *c, int steps, double total) {
    for (;;) {
        int slowest = 0;
        for (int key = 1; key < KINDS; key++)
            if (c->seconds[key] > c->seconds[slowest])
                slowest = key;
        double seconds = c->seconds[slowest] / steps;
        if (seconds < total / 100)
            return;
        op_kind kind = (op_kind)(slowest / DTYPE_COUNT);
        bool typed = kind == OP_linear || kind == OP_linear_backward_x;
        printf("  %-20s %-4s %7.1f ms %5.1f%% %6lld calls\n", op_infos[kind].name,
               typed ? dtype_name((dtype)(slowest % DTYPE_COUNT)) : "", seconds * 1e3,
               seconds / total * 100, (long long)(c->calls[slowest] / steps));
        c->seconds[slowest] = 0;
    }
}

/* ---- What is trained ---------------------------------------------------------------------- */

typedef struct world {
    clock_backend *clock;
    c2c_engine *engine;
    c2c_model *receiver, *sharer;
    training_network *network;
    trainee trainee;
    optimizer optimizer;
    training_sample *samples;
    int32_t *ids, *labels;
    c2c_section sections[2];
    size_t rows;
    int64_t tokens; /* of a row */
} world;

static c2c_status open_model(c2c_model **model, const world *w, const char *pair, const char *name,
                             c2c_compute compute, c2c_error *error) {
    char *path = path_join(pair, name);
    c2c_status status = path ? C2C_STATUS_OK : error_memory(error, strlen(pair), "a path");
    if (!status)
        status =
            c2c_model_open(model, w->engine, path, &(c2c_model_options){.compute = compute}, error);
    free(path);
    return status;
}

static c2c_status open_network(world *w, c2c_error *error) {
    c2c_fuser *fuser = NULL;
    const c2c_recipe recipe = {.text = RECIPE, .seed = 1};
    c2c_status status = c2c_fuser_new(&fuser, w->receiver, w->sharer, &recipe, error);
    const c2c_pair pair = {w->sharer, fuser};
    if (!status)
        status = training_network_open(&w->network, w->receiver, &pair, 1, NULL, error);
    c2c_fuser_close(fuser);
    if (status)
        return status;
    const training_parameters *p = training_network_parameters(w->network);
    w->trainee = (trainee){.backend = p->backend,
                           .parameters = p->values,
                           .gradients = p->gradients,
                           .count = p->elements};
    return optimizer_init(&w->optimizer, &w->trainee, &(adamw_options){0.9, 0.999, 1e-8, 0.01},
                          error);
}

/* All of the question but its last token is fused, and every token of the answer graded. */
static c2c_status make_samples(world *w, int64_t half, c2c_error *error) {
    c2c_model_info info;
    c2c_model_describe(w->receiver, &info);
    int64_t vocabulary = info.vocabulary_size;
    c2c_model_describe(w->sharer, &info);
    vocabulary = min_i64(vocabulary, info.vocabulary_size);
    w->tokens = 2 * half;
    w->samples = calloc(w->rows, sizeof *w->samples);
    w->ids = malloc(w->rows * (size_t)w->tokens * sizeof *w->ids);
    w->labels = malloc(w->rows * (size_t)w->tokens * sizeof *w->labels);
    if (!w->samples || !w->ids || !w->labels)
        return error_memory(error, w->rows * (size_t)w->tokens * sizeof *w->ids, "rows");
    w->sections[0] = (c2c_section){.length = half - 1, .mask = 1};
    w->sections[1] = (c2c_section){.length = half + 1, .mask = -1};
    for (size_t r = 0; r < w->rows; r++) {
        int32_t *ids = w->ids + (int64_t)r * w->tokens, *labels = w->labels + (ids - w->ids);
        for (int64_t i = 0; i < w->tokens; i++) {
            const random_key key = {.seed = 7, .step = (uint64_t)r, .sample = (uint32_t)i};
            ids[i] = (int32_t)(random_uniform(&key) * (double)vocabulary);
            labels[i] = i < half ? LABEL_NONE : ids[i];
        }
        w->samples[r] = (training_sample){.ids = ids,
                                          .labels = labels,
                                          .tokens = w->tokens,
                                          .sections = w->sections,
                                          .section_count = 2};
        c2c_status status = training_sample_check(w->network, &w->samples[r], "row", error);
        if (status)
            return status;
    }
    return C2C_STATUS_OK;
}

static c2c_status take_step(world *w, uint32_t done, double *loss, c2c_error *error) {
    training_result result;
    training_network_clear_gradients(w->network);
    c2c_status status =
        training_network_run(w->network, w->samples, w->rows,
                             &(training_step){.seed = 1, .step = done, .learn = true, .scale = 1},
                             &result, error);
    if (status)
        return status;
    double norm = optimizer_norm(&w->optimizer, &w->trainee);
    optimizer_step(&w->optimizer, &w->trainee, done, 1e-4, norm > 1 ? 1 / norm : 1);
    *loss = result.loss_sum / (double)result.tokens;
    return status;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The first step, which gets memory, is not counted. */
static c2c_status measure(world *w, int steps, const char *name, int threads, c2c_error *error) {
    static double seconds[MAX_STEPS];
    double loss = 0, total = 0;
    struct rusage usage;
    c2c_status status = take_step(w, 0, &loss, error);
    clock_reset(w->clock);
    for (int i = 0; i < steps && !status; i++) {
        double started = system_seconds();
        status = take_step(w, (uint32_t)i + 1, &loss, error);
        total += seconds[i] = system_seconds() - started;
    }
    if (status)
        return status;
    qsort(seconds, (size_t)steps, sizeof *seconds, compare);
    double median = seconds[steps / 2];
    getrusage(RUSAGE_SELF, &usage);
    printf("%s, %d threads, %zu x %lld tokens: %.3f s a step (best %.3f), %.1f tokens/s, "
           "%.2f GiB at most, loss %.4f\n",
           name, threads, w->rows, (long long)w->tokens, median, seconds[0],
           (double)w->rows * (double)w->tokens / median, (double)usage.ru_maxrss / (1 << 20), loss);
    clock_print(w->clock, steps, total / steps);
    return status;
}

static void world_close(world *w) {
    optimizer_deinit(&w->optimizer);
    training_network_close(w->network);
    c2c_model_close(w->sharer);
    c2c_model_close(w->receiver);
    c2c_engine_close(w->engine);
    free(w->samples);
    free(w->ids);
    free(w->labels);
}

static long number(int count, char **words, int at, long usual, long most) {
    long value = count > at ? strtol(words[at], NULL, 10) : usual;
    return value < 1 || value > most ? -1 : value;
}

int main(int count, char **words) {
    const char *pair = count > 1 ? words[1] : "share/demo", *name = count > 2 ? words[2] : "f32";
    long threads = number(count, words, 3, system_processors(), 1024),
         steps = number(count, words, 4, 3, MAX_STEPS),
         half = number(count, words, 5, 128, 1 << 20), rows = number(count, words, 6, 1, 1 << 20);
    bool bf16 = strcmp(name, "bf16") == 0;
    if (threads < 0 || steps < 0 || half < 2 || rows < 0 || (!bf16 && strcmp(name, "f32") != 0)) {
        fprintf(stderr, "usage: bench_train [PAIR [f32|bf16 [THREADS [STEPS [TOKENS [ROWS]]]]]]\n");
        return 2;
    }
    c2c_error error = {0};
    world w = {.rows = (size_t)rows};
    c2c_compute compute = bf16 ? C2C_COMPUTE_BF16 : C2C_COMPUTE_F32;
    c2c_status status = clock_open(&w.clock, (int)threads, &error);
    if (!status)
        status = engine_adopt(&w.engine, &w.clock->base, &error);
    if (!status)
        status = open_model(&w.receiver, &w, pair, "receiver", compute, &error);
    if (!status)
        status = open_model(&w.sharer, &w, pair, "sharer", compute, &error);
    if (!status)
        status = open_network(&w, &error);
    if (!status)
        status = make_samples(&w, half, &error);
    if (!status)
        status = measure(&w, (int)steps, name, (int)threads, &error);
    if (status)
        fprintf(stderr, "bench_train: %s\n", error.message);
    world_close(&w);
    return status ? 1 : 0;
}
