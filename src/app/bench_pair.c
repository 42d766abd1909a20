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
    if (!status) /* Answers are as long as was asked for. */
        w->models.receiver->config.eos_count = 0;
    return status;
}

static c2c_session_options session_options(const bench_world *w) {
    return (c2c_session_options){.context = w->s->prompt_tokens + w->s->new_tokens,
                                 .cache = (c2c_cache_type)w->s->cache};
}

static c2c_status open_sessions(bench_world *w, c2c_error *error) {
    const pair *p = &w->models;
    const c2c_session_options options = session_options(w);
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
    w->reads = calloc(repeat, sizeof *w->reads);
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

/* Of the weights that every token reads, where they are more than caches hold. */
static void sample_read(bench_world *w, int64_t i) {
    const c2c_model *model = w->models.receiver;
    size_t bytes = head_bytes(model);
    if (bytes >= CEILING_BYTES)
        w->reads[i] = cpu_measure_read_of(model->backend, model->head.data, bytes);
}

/* Small models' reads would come from a cache: memory for this alone stands in for their weights,
 * once it is known how much the rest needed. */
static c2c_status end_ceilings(bench_world *w, c2c_error *error) {
    const c2c_model *receiver = w->models.receiver;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        w->figures.peak_rss = (double)usage.ru_maxrss * 1024;
    if (head_bytes(receiver) >= CEILING_BYTES)
        return C2C_STATUS_OK;
    return cpu_measure_read(receiver->backend, &w->figures.read, error);
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

/* ---- Answers ------------------------------------------------------------------------------ */

/* Lets every session of a batch answer the prompt, up to the first token. */
static c2c_status begin_answers(const bench_world *w, c2c_batch *batch, c2c_error *error) {
    const c2c_plan plan = {.ids = w->ids, .token_count = w->s->prompt_tokens};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < batch->count && !status; i++) {
        c2c_session *session = c2c_batch_session(batch, i);
        status = c2c_session_extend(session, &plan, NULL, error);
        if (!status)
            status = c2c_session_begin(session, w->s->new_tokens, NULL, NULL, error);
    }
    return status ? status : c2c_batch_step(batch, NULL, error);
}

/* The other tokens of all answers, which are written together: seconds of one step. A session that
 * holds the prompt already does not run it again: it takes back what was answered before. */
static c2c_status time_decode(bench_world *w, c2c_batch *batch, bench_time *time,
                              c2c_error *error) {
    int64_t steps = w->s->new_tokens - 1;
    c2c_status status = C2C_STATUS_OK;
    for (int64_t i = 0; i < w->s->repeat && !status; i++) {
        status = begin_answers(w, batch, error);
        sample_read(w, i);
        double start = system_seconds();
        for (int64_t n = 0; n < steps && !status; n++)
            status = c2c_batch_step(batch, NULL, error);
        w->times[i] = (system_seconds() - start) / (double)steps;
    }
    if (!status)
        *time = time_of(w);
    return status;
}

/* Of the receiver alone: who else took part in the prompt changes nothing of a step. */
static c2c_status time_batch(bench_world *w, c2c_error *error) {
    const c2c_session_options options = session_options(w);
    c2c_batch *batch = NULL;
    c2c_status status =
        c2c_batch_open(&batch, w->models.receiver, NULL, 0, (size_t)w->s->batch, &options, error);
    if (!status)
        status = time_decode(w, batch, &w->figures.batch_decode, error);
    c2c_batch_close(batch);
    return status;
}

/* ---- All of it ---------------------------------------------------------------------------- */

static void describe(bench_world *w) {
    bench_figures *f = &w->figures;
    const c2c_model *receiver = w->models.receiver;
    f->isa = backend_cpu_isa(receiver->backend);
    f->threads = backend_cpu_threads(receiver->backend);
    f->compute = receiver->math == LINEAR_BF16 ? C2C_COMPUTE_BF16 : C2C_COMPUTE_F32;
    f->cache = w->receiver->receiver.cache.type;
    f->int8 = receiver->layers[0].q.type == DTYPE_I8;
    f->fused = w->fused != NULL;
}

/* The fuser last: it writes over the rows that answers read. */
static c2c_status measure_fused(bench_world *w, c2c_error *error) {
    bench_figures *f = &w->figures;
    const c2c_fuser *fuser = w->models.fusers[0];
    const model_config *r = &w->models.receiver->config, *c = &w->models.sharers[0]->config;
    double tokens = (double)w->s->prompt_tokens;
    f->sharer_flops = prefill_flops(c, c->layers, tokens);
    c2c_status status = time_prompt(w, w->sharer, &f->sharer_prefill, error);
    if (!status)
        status = time_prompt(w, w->fused, &f->ttft, error);
    if (!status)
        status = time_decode(w, w->fused->batch, &f->decode, error);
    if (status)
        return status;
    time_fuser(w);
    f->ttft_flops = prefill_flops(r, r->layers, fuser->replaces ? 1 : tokens) +
                    (fuser->sharer_used ? f->sharer_flops : 0) + f->fuser_flops;
    return C2C_STATUS_OK;
}

static c2c_status measure(bench_world *w, c2c_error *error) {
    bench_figures *f = &w->figures;
    const model_config *r = &w->models.receiver->config;
    double tokens = (double)w->s->prompt_tokens;
    describe(w);
    f->receiver_flops = prefill_flops(r, r->layers, tokens);
    f->decode_bytes = decode_bytes(w->models.receiver, f->cache, tokens);
    c2c_status status = time_prompt(w, w->receiver, &f->receiver_prefill, error);
    f->peak = status ? 0 : bench_median(w->peaks, w->s->repeat);
    if (!status)
        status = f->fused ? measure_fused(w, error)
                          : time_decode(w, w->receiver->batch, &f->decode, error);
    f->read = status ? 0 : bench_median(w->reads, w->s->repeat);
    if (!status && w->s->batch > 1)
        status = time_batch(w, error);
    return status ? status : end_ceilings(w, error);
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
