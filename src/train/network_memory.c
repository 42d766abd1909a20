/* network_memory.c - the memory that a step works in, with shadows for what gradients flow through.
 * It is made for the largest batch so far; when a larger one comes, it is made anew. */
#include "train/network_parts.h"

#include <math.h>
#include <stdlib.h>

/* Logits of a few rows are held at a time: of so many that the head's weights, which every part
 * reads twice, do not cost more time than its products. */
#define LOGIT_BYTES      ((int64_t)32 << 20)
#define LOGIT_LEAST_ROWS 128
#define LOGIT_ROWS       256

/* ---- Sizes -------------------------------------------------------------------------------- */

static bool grow(int64_t *size, int64_t wanted) {
    if (wanted <= *size)
        return false;
    *size = wanted;
    return true;
}

/* Whether something must become larger. A network that is new has nothing yet. */
static bool grow_sizes(step_sizes *sizes, const training_network *n, const batch_plan *plan) {
    bool grown = n->memory.integers == NULL;
    grown |= grow(&sizes->receiver_rows, max_i64(plan->receiver_rows, 1));
    grown |= grow(&sizes->most_rows, max_i64(plan->most_rows, 1));
    grown |= grow(&sizes->most_section, max_i64(plan->most_section, 1));
    grown |= grow(&sizes->most_fused, max_i64(plan->most_fused, 1));
    grown |= grow(&sizes->graded, max_i64(plan->graded, 1));
    grown |= grow(&sizes->integers, plan->integer_count);
    grown |= grow(&sizes->noise, max_i64(plan->noise, 1));
    for (size_t s = 0; s < n->pair_count; s++)
        grown |= grow(&sizes->sharer_rows[s], max_i64(plan->sharer_rows[s], 1));
    return grown;
}

/* Floats of the largest call of a fuser, and of its results and summary; rows of logits. */
static void count_calls(training_network *n) {
    step_memory *m = &n->memory;
    const model_config *c = &n->receiver.config;
    int64_t features = (int64_t)c->kv_heads * c->head_dim, summary = 1;
    m->fuse_floats = m->result_floats = 16;
    for (size_t s = 0; s < n->pair_count; s++)
        for (int k = 0; k < n->learners[s].fuser.stack_count; k++) {
            const projector_stack *stack = &n->learners[s].fuser.stacks[k];
            const projector_kind *kind = stack->spec.kind;
            int64_t rows = stack_call_places(stack, stack_block_rows(stack, m->sizes.most_fused,
                                                                     m->sizes.most_section));
            m->fuse_floats = max_i64(m->fuse_floats, rows * kind->scratch(&stack->spec));
            m->result_floats = max_i64(m->result_floats, rows * features);
            if (kind->summary)
                summary = max_i64(summary, stack->groups * kind->summary(&stack->spec));
        }
    m->fuse_floats = (m->fuse_floats + 15) / 16 * 16;
    m->summary_floats = summary;
    m->logit_rows = LOGIT_BYTES / (c->vocabulary * (int64_t)sizeof(float));
    m->logit_rows =
        min_i64(max_i64(m->logit_rows, LOGIT_LEAST_ROWS), min_i64(LOGIT_ROWS, m->sizes.graded));
}

/* Floats of a row of activations. */
static double scratch_row(const model_config *c) {
    return 2.0 * (double)(c->embedding + c->feed_forward + c->head_dim +
                          (int64_t)(c->heads + c->kv_heads) * c->head_dim);
}

/* What all of it takes, which is known before any of it is taken: memory that is given out may not
 * be there once it is touched. In double, since it need not fit anything. */
static double count_bytes(const training_network *n) {
    const step_memory *m = &n->memory;
    const step_sizes *sizes = &m->sizes;
    const model_config *c = &n->receiver.config;
    double rows = (double)sizes->receiver_rows * (double)model_cache_row_bytes(c, DTYPE_F32);
    double floats = (double)sizes->most_rows * scratch_row(c) +
                    2.0 * (double)sizes->graded * (double)c->embedding +
                    (double)(m->fuse_floats + m->result_floats + m->summary_floats);
    double once = (double)m->logit_rows * (double)c->vocabulary + (double)sizes->graded +
                  (double)sizes->noise + (double)sizes->integers;
    double bytes = 2 * rows + 4 * (2 * floats + once);
    for (size_t s = 0; s < n->pair_count; s++) {
        const model_config *sharer = &n->sharers[s]->config;
        bytes += (double)sizes->sharer_rows[s] *
                 ((double)model_cache_row_bytes(sharer, DTYPE_F32) + 4 * scratch_row(sharer));
    }
    return bytes;
}

/* Bytes that the step's buffers and copies may take together. */
static double budget(const training_network *n) {
    if (n->limit > 0)
        return (double)n->limit;
    int64_t available = system_memory_available();
    return available < 0 ? HUGE_VAL
                         : (double)available + (double)n->memory.bytes +
                               (double)tape_bytes(n->tape) - training_network_saving(n);
}

/* ---- Taking memory ------------------------------------------------------------------------ */

static c2c_status take(training_network *n, void *pointer, int64_t count, size_t size,
                       c2c_error *error) {
    size_t bytes;
    void *memory;
    if (!size_mul((size_t)count, size, &bytes))
        return error_memory(error, SIZE_MAX, "a training step");
    c2c_status status = backend_alloc_whole(n->inner, &memory, bytes, error);
    if (status)
        return status;
    memcpy(pointer, &memory, sizeof memory);
    return C2C_STATUS_OK;
}

static c2c_status take_host(float **memory, int64_t count, c2c_error *error) {
    *memory = malloc((size_t)count * sizeof **memory + 1);
    return *memory ? C2C_STATUS_OK
                   : error_memory(error, (size_t)count * sizeof **memory, "a training step");
}

/* Rows of the receiver and what gradients go back through. The cache ops go through the tape. */
static c2c_status take_receiver(training_network *n, c2c_error *error) {
    step_memory *m = &n->memory;
    const model_config *c = &n->receiver.config;
    const step_sizes *sizes = &m->sizes;
    int64_t e = c->embedding;
    c2c_status status;
    if ((status = kv_cache_init(&m->cache, tape_backend(n->tape), c, DTYPE_F32,
                                sizes->receiver_rows, error)) ||
        (status = kv_cache_init(&m->cache_shadow, n->inner, c, DTYPE_F32, sizes->receiver_rows,
                                error)) ||
        (status = decoder_scratch_init(&m->scratch, &n->receiver, sizes->most_rows, error)))
        return status;
    if ((status = take(n, &m->scratch_shadow, (int64_t)m->scratch.bytes, 1, error)) ||
        (status = take(n, &m->graded, sizes->graded * e, sizeof(float), error)) ||
        (status = take(n, &m->graded_shadow, sizes->graded * e, sizeof(float), error)) ||
        (status = take(n, &m->normed, sizes->graded * e, sizeof(float), error)) ||
        (status = take(n, &m->normed_shadow, sizes->graded * e, sizeof(float), error)) ||
        (status = take(n, &m->losses, sizes->graded, sizeof(float), error)) ||
        (status = take_host(&m->host_losses, sizes->graded, error)))
        return status;
    return take(n, &m->logits, m->logit_rows * c->vocabulary, sizeof(float), error);
}

static c2c_status take_sharers(training_network *n, c2c_error *error) {
    step_memory *m = &n->memory;
    c2c_status status = C2C_STATUS_OK;
    for (size_t s = 0; s < n->pair_count && !status; s++) {
        const c2c_model *sharer = n->sharers[s];
        int64_t rows = m->sizes.sharer_rows[s];
        status =
            kv_cache_init(&m->sharer_caches[s], n->inner, &sharer->config, DTYPE_F32, rows, error);
        if (!status)
            status = decoder_scratch_init(&m->sharer_scratch[s], sharer, rows, error);
    }
    return status;
}

static c2c_status take_fuse(training_network *n, c2c_error *error) {
    step_memory *m = &n->memory;
    int64_t floats = m->fuse_floats + m->result_floats;
    c2c_status status;
    if ((status = take(n, &m->fuse, floats, sizeof(float), error)) ||
        (status = take(n, &m->fuse_shadow, floats, sizeof(float), error)) ||
        (status = take(n, &m->summary, m->summary_floats, sizeof(float), error)) ||
        (status = take(n, &m->summary_shadow, m->summary_floats, sizeof(float), error)) ||
        (status = take(n, &m->noise, m->sizes.noise, sizeof(float), error)) ||
        (status = take_host(&m->host_noise, m->sizes.noise, error)))
        return status;
    return take(n, &m->integers, m->sizes.integers, sizeof(int32_t), error);
}

/* ---- Watching it -------------------------------------------------------------------------- */

/* Each buffer of the receiver's activations, and each pool of its cache, is a piece of its own. */
static c2c_status watch_receiver(training_network *n, c2c_error *error) {
    step_memory *m = &n->memory;
    const decoder_scratch *s = &m->scratch;
    const float *const starts[] = {s->x,         s->normed, s->q,  s->k,       s->v,
                                   s->attention, s->gate,   s->up, s->rope[0], s->rope[1]};
    size_t pool = (size_t)(m->cache.rows * m->cache.features) * sizeof(float);
    size_t count = sizeof starts / sizeof *starts;
    const float *end = s->memory + s->bytes / sizeof(float);
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const float *next = i + 1 < count ? starts[i + 1] : end;
        status =
            tape_watch(n->tape, TAPE_REUSED, starts[i], (size_t)(next - starts[i]) * sizeof(float),
                       m->scratch_shadow + (starts[i] - s->memory), error);
    }
    for (int layer = 0; layer < m->cache.layers && !status; layer++) {
        status = tape_watch(n->tape, TAPE_ONCE, kv_cache_keys(&m->cache, layer, 0), pool,
                            kv_cache_keys(&m->cache_shadow, layer, 0), error);
        if (!status)
            status = tape_watch(n->tape, TAPE_ONCE, kv_cache_values(&m->cache, layer, 0), pool,
                                kv_cache_values(&m->cache_shadow, layer, 0), error);
    }
    return status;
}

static c2c_status watch_all(training_network *n, c2c_error *error) {
    step_memory *m = &n->memory;
    size_t graded = (size_t)(m->sizes.graded * n->receiver.config.embedding) * sizeof(float);
    const struct {
        tape_memory kind;
        const float *memory;
        size_t bytes;
        float *shadow;
    } pieces[] = {
        {TAPE_REUSED, m->fuse, (size_t)(m->fuse_floats + m->result_floats) * sizeof(float),
         m->fuse_shadow},
        {TAPE_REUSED, m->summary, (size_t)m->summary_floats * sizeof(float), m->summary_shadow},
        {TAPE_REUSED, m->graded, graded, m->graded_shadow},
        {TAPE_REUSED, m->normed, graded, m->normed_shadow},
        {TAPE_LEARNED, n->parameters.values, (size_t)n->parameters.elements * sizeof(float),
         n->parameters.gradients},
    };
    c2c_status status = watch_receiver(n, error);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces && !status; i++)
        status = tape_watch(n->tape, pieces[i].kind, pieces[i].memory, pieces[i].bytes,
                            pieces[i].shadow, error);
    return status;
}

/* ---- The whole ---------------------------------------------------------------------------- */

static c2c_status take_all(training_network *n, double most, c2c_error *error) {
    c2c_status status;
    count_calls(n);
    double bytes = count_bytes(n);
    if (bytes > most)
        return error_set(error, C2C_STATUS_OUT_OF_MEMORY,
                         "a batch of these sizes takes %.0f MiB and more, but %.0f MiB are "
                         "available; train with smaller batches or shorter samples",
                         bytes / (1 << 20), most / (1 << 20));
    if ((status = take_receiver(n, error)) || (status = take_sharers(n, error)) ||
        (status = take_fuse(n, error)))
        return status;
    n->memory.bytes = (size_t)bytes;
    return watch_all(n, error);
}

c2c_status step_memory_fit(training_network *n, const batch_plan *plan, c2c_error *error) {
    step_sizes sizes = n->memory.sizes;
    double most = budget(n);
    c2c_status status = C2C_STATUS_OK;
    if (grow_sizes(&sizes, n, plan)) {
        step_memory_release(n);
        n->memory.sizes = sizes;
        status = take_all(n, most, error);
    }
    if (status) {
        step_memory_release(n);
        return status;
    }
    double left = most - (double)n->memory.bytes;
    tape_set_limit(n->tape, left < 0 ? 0 : left < 0x1p62 ? (size_t)left : SIZE_MAX);
    return status;
}

void step_memory_release(training_network *n) {
    step_memory *m = &n->memory;
    void *const pieces[] = {m->scratch_shadow, m->fuse,   m->fuse_shadow,   m->summary,
                            m->summary_shadow, m->graded, m->graded_shadow, m->normed,
                            m->normed_shadow,  m->losses, m->logits,        m->noise,
                            m->integers};
    backend_sync(n->inner);
    tape_unwatch(n->tape);
    kv_cache_deinit(&m->cache);
    kv_cache_deinit(&m->cache_shadow);
    decoder_scratch_deinit(&m->scratch);
    for (size_t s = 0; s < n->pair_count; s++) {
        kv_cache_deinit(&m->sharer_caches[s]);
        decoder_scratch_deinit(&m->sharer_scratch[s]);
    }
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        backend_release(n->inner, pieces[i]);
    free(m->host_noise);
    free(m->host_losses);
    n->memory = (step_memory){0};
}
