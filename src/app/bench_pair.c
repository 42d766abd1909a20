/* bench_pair.c - how fast a pair answers: the parts of an answer, each measured alone on sessions
 * that are opened once, and what the machine could do at most. How it is shown: bench_report.c. */
#include "app/bench.h"
#include "backend/cpu/cpu.h"
#include "session/session.h"

#include <stdlib.h>
#include <sys/resource.h>

/* Everything that is measured, opened once. */
typedef struct bench_world {
    const bench_settings *s;
    pair models;
    c2c_session *receiver, *sharer, *fused; /* the latter two NULL without sharer */
    int32_t *ids;                           /* [prompt_tokens] */
    double *times;                          /* [repeat] */
    double *peaks, *reads;                  /* [repeat]: ceilings, each beside one of `times` */
    bench_figures figures;
} bench_world;

/* ---- What work there is ------------------------------------------------------------------- */

/* Products of all layers' linears for one token. */
static double layer_products(const model_config *c) {
    double queries = (double)c->heads * c->head_dim, keys = (double)c->kv_heads * c->head_dim;
    return (double)c->embedding * (2 * queries + 2 * keys + 3 * (double)c->feed_forward);
}

/* Additions and products of a prompt: linears, causal attention, and one row of logits. */
static double prefill_flops(const model_config *c, int layers, double tokens) {
    double attention = 2 * (double)c->heads * c->head_dim * tokens * tokens / 2;
    return 2 * layers * (tokens * layer_products(c) + attention) +
           2 * (double)c->vocabulary * (double)c->embedding;
}

/* Fewer bytes may come from a cache. */
#define CEILING_BYTES ((size_t)128 << 20)

static size_t head_bytes(const c2c_model *model) {
    return (size_t)model->config.vocabulary * (size_t)model->config.embedding *
           dtype_size(model->head.type);
}

/* Weights and cache rows that one new token reads. */
static double decode_bytes(const c2c_model *model, dtype cache, double rows) {
    const model_config *c = &model->config;
    double weight = (double)dtype_size(model->layers[0].q.type);
    return c->layers * layer_products(c) * weight + (double)head_bytes(model) +
           rows * (double)model_cache_row_bytes(c, cache);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static c2c_status open_models(bench_world *w, c2c_error *error) {
    const bench_settings *s = w->s;
    const char *from = s->pair ? s->pair : "";
    char *parts[] = {path_join(from, "receiver"), path_join(from, "sharer"),
                     path_join(from, "fuser")};
    c2c_status status = C2C_STATUS_OK;
    const char *sharer = s->pair ? parts[1] : s->sharer, *fuser = s->pair ? parts[2] : s->fuser;
    if (!parts[0] || !parts[1] || !parts[2])
        status = error_memory(error, strlen(from) + 16, "a path");
    else
        status = pair_open(&w->models,
                           &(pair_settings){.receiver = s->pair ? parts[0] : s->receiver,
                                            .sharers = &sharer,
                                            .fusers = &fuser,
                                            .sharer_count = sharer != NULL,
                                            .models = s->models,
                                            .compute = (c2c_compute)s->dtype,
                                            .threads = s->threads,
                                            .isa = s->isa,
                                            .weights = (c2c_model_weights)s->weights},
                           error);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        free(parts[i]);
    return status;
}

static c2c_status open_sessions(bench_world *w, c2c_error *error) {
    const pair *p = &w->models;
    const c2c_session_options options = {.context = w->s->prompt_tokens + w->s->new_tokens,
                                         .cache = (c2c_cache_type)w->s->cache};
    const c2c_pair fused = {.sharer = p->sharers[0], .fuser = p->fusers[0]};
    c2c_status status = c2c_session_open(&w->receiver, p->receiver, NULL, 0, &options, error);
    if (!status && p->sharer_count)
        status = c2c_session_open(&w->sharer, p->sharers[0], NULL, 0, &options, error);
    if (!status && p->sharer_count)
        status = c2c_session_open(&w->fused, p->receiver, &fused, 1, &options, error);
    return status;
}

/* Arbitrary tokens that all models have. */
static c2c_status make_prompt(bench_world *w, c2c_error *error) {
    int64_t vocabulary = w->models.receiver->config.vocabulary;
    for (size_t i = 0; i < w->models.sharer_count; i++)
        vocabulary = min_i64(vocabulary, w->models.sharers[i]->config.vocabulary);
    size_t tokens = (size_t)w->s->prompt_tokens, repeat = (size_t)w->s->repeat;
    w->ids = malloc(tokens * sizeof *w->ids);
    w->times = malloc(repeat * sizeof *w->times);
    w->peaks = malloc(repeat * sizeof *w->peaks);
    w->reads = malloc(repeat * sizeof *w->reads);
    if (!w->ids || !w->times || !w->peaks || !w->reads)
        return error_memory(error, tokens * sizeof *w->ids, "the prompt");
    for (size_t i = 0; i < tokens; i++)
        w->ids[i] = (int32_t)(((int64_t)i * 7919 + 13) % vocabulary);
    return C2C_STATUS_OK;
}

/* ---- Measuring ---------------------------------------------------------------------------- */

static bench_time time_of(bench_world *w) {
    int64_t n = w->s->repeat;
    double median = bench_median(w->times, n);
    return (bench_time){median, median > 0 ? (w->times[n - 1] - w->times[0]) / median : 0};
}

/* What other programs leave of a machine changes from second to second: ceilings are taken beside
 * each run of what they are compared with. */
static void sample_peak(bench_world *w, int64_t i) {
    const c2c_model *receiver = w->models.receiver;
    w->peaks[i] = cpu_measure_peak(receiver->backend, receiver->math);
}

/* Of the weights that every token reads, where they are more than caches hold; else the rate that
 * was measured at the start. */
static void sample_read(bench_world *w, int64_t i) {
    const c2c_model *model = w->models.receiver;
    size_t bytes = head_bytes(model);
    w->reads[i] = w->figures.read;
    if (bytes >= CEILING_BYTES)
        w->reads[i] = cpu_measure_read_of(model->backend, model->head.data, bytes);
}

/* A whole prompt, up to the first token of the answer. */
static c2c_status time_prompt(bench_world *w, c2c_session *session, bench_time *time,
                              c2c_error *error) {
    const c2c_plan plan = {.ids = w->ids, .token_count = w->s->prompt_tokens};
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < w->s->repeat && !status; i++) {
        c2c_session_reset(session);
        sample_peak(w, i);
        double start = system_seconds();
        status = c2c_session_prefill(session, &plan, error);
        if (!status)
            status = c2c_session_generate(session, 1, NULL, NULL, NULL, error);
        w->times[i] = system_seconds() - start;
    }
    if (!status)
        *time = time_of(w);
    return status;
}

/* The projectors over all rows but the last, which stand in the session from its prefill. */
static void time_fuser(bench_world *w) {
    int64_t rows = w->s->prompt_tokens - 1, sharer_row = 0;
    for (int64_t i = 0; i < w->s->repeat; i++) {
        double start = system_seconds();
        session_fuse(w->fused, 0, &sharer_row, rows, 1);
        backend_sync(w->fused->backend);
        w->times[i] = system_seconds() - start;
    }
    w->figures.fuser = time_of(w);
    const c2c_fuser *fuser = w->fused->pairs[0].fuser;
    double weights = 0;
    for (int t = 0; t < fuser->map.layers; t++)
        if (fuser->map.links[t].sharer_layer >= 0)
            weights += (double)fuser->projectors[fuser->map.links[t].projector].parameters;
    w->figures.fuser_flops = 2 * weights * (double)rows;
}

/* Tokens one by one behind the prompt, as an answer is written: seconds of one. The id is given, so
 * that no end of sequence cuts the measurement. */
static c2c_status time_decode(bench_world *w, c2c_session *session, c2c_error *error) {
    const c2c_plan plan = {.ids = w->ids, .token_count = w->s->prompt_tokens};
    int64_t steps = w->s->new_tokens - 1;
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < w->s->repeat && !status; i++) {
        c2c_session_reset(session);
        status = c2c_session_prefill(session, &plan, error);
        sample_read(w, i);
        double start = system_seconds();
        for (int64_t n = 0; n < steps && !status; n++) {
            status = session_step(session, w->ids[n % w->s->prompt_tokens], NULL, error);
            int32_t id;
            op_argmax(session->backend,
                      &(argmax_args){.ids = session->batch->next,
                                     .x = session->logits,
                                     .rows = 1,
                                     .features = session->receiver.model->config.vocabulary});
            backend_download(session->backend, &id, session->batch->next, sizeof id);
        }
        w->times[i] = (system_seconds() - start) / (double)steps;
    }
    if (!status)
        w->figures.decode = time_of(w);
    return status;
}

/* ---- Several answers at once -------------------------------------------------------------- */

/* B sequences in one pool of rows: `stride` rows each. */
typedef struct batch_world {
    backend *backend;
    const c2c_model *model;
    int64_t count, stride;
    kv_cache cache;
    decoder_scratch scratch;
    decoder_batch batch;
    void *logits, *next;
} batch_world;

static c2c_status batch_open(batch_world *b, const bench_world *w, c2c_error *error) {
    const c2c_model *model = w->models.receiver;
    *b = (batch_world){.backend = model->backend,
                       .model = model,
                       .count = w->s->batch,
                       .stride = w->s->prompt_tokens + w->s->new_tokens};
    size_t count = (size_t)b->count, vocabulary = (size_t)model->config.vocabulary;
    c2c_status status;
    if ((status = kv_cache_init(&b->cache, b->backend, &model->config,
                                w->receiver->receiver.cache.type, b->count * b->stride, error)) ||
        (status = decoder_scratch_init(&b->scratch, model, b->count, error)) ||
        (status = decoder_batch_init(&b->batch, b->backend, b->count, b->count, b->count, error)) ||
        (status =
             backend_alloc(b->backend, &b->logits, count * vocabulary * sizeof(float), error)) ||
        (status = backend_alloc(b->backend, &b->next, count * sizeof(int32_t), error)))
        return status;
    return C2C_STATUS_OK;
}

static void batch_close(batch_world *b) {
    if (!b->backend)
        return;
    kv_cache_deinit(&b->cache);
    decoder_scratch_deinit(&b->scratch);
    decoder_batch_deinit(&b->batch);
    backend_release(b->backend, b->logits);
    backend_release(b->backend, b->next);
}

/* Every sequence holds the prompt that `from` holds, and stands before its next token. */
static void batch_begin(batch_world *b, const c2c_session *from, int64_t prompt) {
    for (int64_t i = 0; i < b->count; i++) {
        const int32_t id = 0, row = (int32_t)(i * b->stride + prompt - 1);
        const int32_t position = (int32_t)prompt - 1, at = (int32_t)i;
        const cache_range range = {.row = (int32_t)(i * b->stride), .count = (int32_t)prompt};
        kv_cache_copy(&b->cache, i * b->stride, &from->receiver.cache, 0, prompt);
        backend_upload(b->backend, b->batch.ids + i, &id, sizeof id);
        backend_upload(b->backend, b->batch.positions + i, &position, sizeof position);
        backend_upload(b->backend, b->batch.index + i, &row, sizeof row);
        backend_upload(b->backend, b->batch.q_start + i, &at, sizeof at);
        backend_upload(b->backend, b->batch.range_start + i, &at, sizeof at);
        backend_upload(b->backend, b->batch.ranges + i, &range, sizeof range);
    }
    const int32_t end = (int32_t)b->count;
    backend_upload(b->backend, b->batch.q_start + b->count, &end, sizeof end);
    backend_upload(b->backend, b->batch.range_start + b->count, &end, sizeof end);
    b->batch.rows = b->batch.sequences = b->count;
}

/* One token of every sequence. */
static void batch_step(batch_world *b) {
    int64_t vocabulary = b->model->config.vocabulary;
    int32_t id;
    op_argmax(b->backend, &(argmax_args){.ids = b->next,
                                         .x = b->logits,
                                         .rows = b->count,
                                         .features = vocabulary,
                                         .x_stride = vocabulary});
    op_step_advance(b->backend, &(step_advance_args){.ids = b->batch.ids,
                                                     .positions = b->batch.positions,
                                                     .index = b->batch.index,
                                                     .ranges = b->batch.ranges,
                                                     .range_start = b->batch.range_start,
                                                     .next = b->next,
                                                     .sequences = b->count});
    decoder_forward(b->model, &b->scratch, &b->cache, &b->batch, b->model->config.layers,
                    DECODER_OUTPUT);
    decoder_logits(b->model, &b->scratch, b->logits, 0, b->count);
    backend_download(b->backend, &id, b->batch.ids, sizeof id);
}

static c2c_status time_batch(bench_world *w, c2c_error *error) {
    batch_world b;
    int64_t steps = w->s->new_tokens - 1;
    const c2c_plan plan = {.ids = w->ids, .token_count = w->s->prompt_tokens};
    c2c_status status = batch_open(&b, w, error);
    c2c_session_reset(w->receiver);
    if (!status)
        status = c2c_session_prefill(w->receiver, &plan, error);
    for (int64_t i = 0; i < w->s->repeat && !status; i++) {
        batch_begin(&b, w->receiver, w->s->prompt_tokens);
        double start = system_seconds();
        for (int64_t n = 0; n < steps; n++)
            batch_step(&b);
        w->times[i] = (system_seconds() - start) / (double)steps;
    }
    if (!status)
        w->figures.batch_decode = time_of(w);
    batch_close(&b);
    return status;
}

/* ---- All of it ---------------------------------------------------------------------------- */

static c2c_status begin_ceilings(bench_world *w, c2c_error *error) {
    bench_figures *f = &w->figures;
    const c2c_model *receiver = w->models.receiver;
    f->isa = backend_cpu_isa(receiver->backend);
    f->threads = backend_cpu_threads(receiver->backend);
    f->compute = receiver->math == LINEAR_BF16 ? C2C_COMPUTE_BF16 : C2C_COMPUTE_F32;
    f->cache = w->receiver->receiver.cache.type;
    f->int8 = receiver->layers[0].q.type == DTYPE_I8;
    if (head_bytes(receiver) >= CEILING_BYTES)
        return C2C_STATUS_OK;
    return cpu_measure_read(receiver->backend, &f->read, error);
}

static c2c_status measure(bench_world *w, c2c_error *error) {
    bench_figures *f = &w->figures;
    double tokens = (double)w->s->prompt_tokens;
    c2c_status status = begin_ceilings(w, error);
    if (status || (status = time_prompt(w, w->receiver, &f->receiver_prefill, error)))
        return status;
    f->peak = bench_median(w->peaks, w->s->repeat);
    const model_config *r = &w->models.receiver->config;
    f->receiver_flops = prefill_flops(r, r->layers, tokens);
    f->decode_bytes = decode_bytes(w->models.receiver, f->cache, tokens);
    f->fused = w->fused != NULL;
    if (f->fused) {
        const model_config *c = &w->models.sharers[0]->config;
        f->sharer_flops = prefill_flops(c, c->layers, tokens);
        if ((status = time_prompt(w, w->sharer, &f->sharer_prefill, error)) ||
            (status = time_prompt(w, w->fused, &f->ttft, error)))
            return status;
        time_fuser(w);
        bool replaced = w->models.fusers[0]->replaces;
        f->ttft_flops = prefill_flops(r, r->layers, replaced ? 1 : tokens) +
                        (w->models.fusers[0]->sharer_used ? f->sharer_flops : 0) + f->fuser_flops;
    }
    status = time_decode(w, w->fused ? w->fused : w->receiver, error);
    f->read = status ? 0 : bench_median(w->reads, w->s->repeat);
    if (!status && w->s->batch > 1)
        status = time_batch(w, error);
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        f->peak_rss = (double)usage.ru_maxrss * 1024;
    return status;
}

c2c_status bench_pair(const bench_settings *s, c2c_error *error) {
    bench_world w = {.s = s};
    c2c_status status = open_models(&w, error);
    if (!status)
        status = open_sessions(&w, error);
    if (!status)
        status = make_prompt(&w, error);
    if (!status)
        status = measure(&w, error);
    if (!status)
        status = bench_report(s, &w.figures, error);
    free(w.ids);
    free(w.times);
    free(w.peaks);
    free(w.reads);
    c2c_session_close(w.fused);
    c2c_session_close(w.sharer);
    c2c_session_close(w.receiver);
    pair_close(&w.models);
    return status;
}
