/* kernel_attention_backward.h - the gradients of attention for one kv head of one sequence,
 * compiled once per instruction set.
 *
 * Queries go in the forward's tiles, keys in its blocks. A tile walks over the keys twice: first
 * for the largest score and the sum of its queries' softmax, then for the gradients; so nothing of
 * the size queries x keys is kept. One part does all queries of its head, tile after tile: rows of
 * dk and dv are added to in that order. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/kernel_attention.h"
#include "backend/cpu/kernel_outer.h"
#include "backend/cpu/vector.h"

typedef struct backward_tile {
    query_tile scores;                    /* p: scores, then weights; y: where dq is added to */
    query_tile values;                    /* q: dy; p: dy . v, then the gradients of the scores */
    float center[ATTENTION_PART_QUERIES]; /* dy . y */
    bool seen[ATTENTION_PART_QUERIES];    /* whether the block holds a key for the query */
} backward_tile;

/* The op, and the forward's arguments that it is made of: with its keys, with values for keys. */
typedef struct backward_call {
    const attention_backward_args *a;
    attention_args keys, values;
    int64_t kv_head;
} backward_call;

static bool run_wanted(const attention_backward_args *a, int32_t range) {
    return a->dk && (!a->wanted || a->wanted[range]);
}

static float dot(const float *x, const float *y, int64_t n) {
    vec sum = {0};
    for (int64_t i = 0; i < n; i += LANES)
        sum = vec_fma(vec_load_some(x + i, n - i), vec_load_some(y + i, n - i), sum);
    return vec_sum(sum);
}

static void fill_tile(const backward_call *call, int64_t sequence, int64_t begin, int64_t end,
                      backward_tile *t) {
    const attention_backward_args *a = call->a;
    int64_t repeat = a->heads / a->kv_heads;
    t->scores.count = t->values.count = end - begin;
    for (int64_t i = 0; i < end - begin; i++) {
        int64_t row = a->q_start[sequence] + (begin + i) / repeat;
        int64_t skip = (call->kv_head * repeat + (begin + i) % repeat) * a->head_dim;
        const float *dy = a->dy + row * a->dy_stride + skip;
        t->scores.q[i] = a->q + row * a->q_stride + skip;
        t->scores.y[i] = a->dq ? a->dq + row * a->dq_stride + skip : NULL;
        t->scores.position[i] = t->values.position[i] = a->positions[row];
        t->scores.sum[i] = 0;
        t->values.q[i] = dy;
        t->center[i] = dot(dy, a->y + row * a->y_stride + skip, a->head_dim);
    }
}

/* Which queries see a key of the block; false when none does. */
static bool look(const attention_args *a, const key_block *block, backward_tile *t) {
    bool any = false;
    for (int64_t i = 0; i < t->scores.count; i++) {
        t->seen[i] = false;
        for (int r = 0; r < block->runs_count && !t->seen[i]; r++) {
            key_span span = visible(a, &block->runs[r], t->scores.position[i]);
            t->seen[i] = span.begin < span.end;
        }
        any |= t->seen[i];
    }
    return any;
}

static void score_block(const backward_call *call, const key_block *block, backward_tile *t) {
    for (int r = 0; r < block->runs_count; r++)
        score_run(&call->keys, &block->runs[r], call->kv_head, &t->scores);
    for (int64_t i = 0; i < t->scores.count; i++)
        if (t->seen[i])
            mask_scores(&call->keys, block, &t->scores, i, ATTENTION_BLOCK_KEYS);
}

/* Query i's largest score and sum of e^(score - largest), with this block's. */
static void add_to_softmax(query_tile *t, int64_t i) {
    const float *p = t->p[i];
    vec lanes = vec_load(p), sum = {0};
    for (int64_t j = LANES; j < ATTENTION_BLOCK_KEYS; j += LANES)
        lanes = vec_max(vec_load(p + j), lanes);
    float largest = vec_largest(lanes);
    if (t->sum[i] == 0) {
        t->largest[i] = largest;
    } else if (largest > t->largest[i]) {
        t->sum[i] *= vec_exp(vec_set(t->largest[i] - largest))[0];
        t->largest[i] = largest;
    }
    for (int64_t j = 0; j < ATTENTION_BLOCK_KEYS; j += LANES)
        sum += vec_exp(vec_load(p + j) - t->largest[i]);
    t->sum[i] += vec_sum(sum);
}

/* Query i's scores become weights, and dy . v the gradients of the scores before their scale. */
static void differentiate(const attention_args *a, backward_tile *t, int64_t i) {
    float *p = t->scores.p[i], *e = t->values.p[i], factor = 1.0f / t->scores.sum[i];
    if (!t->seen[i]) {
        memset(p, 0, ATTENTION_BLOCK_KEYS * sizeof *p);
        memset(e, 0, ATTENTION_BLOCK_KEYS * sizeof *e);
        return;
    }
    for (int64_t j = 0; j < ATTENTION_BLOCK_KEYS; j += LANES) {
        vec weight = vec_exp(vec_load(p + j) - t->scores.largest[i]) * factor;
        vec slope = weight * ((vec_load(e + j) - t->center[i]) * a->scale);
        vec_store(p + j, weight);
        /* what nobody computed of dy . v may be anything */
        vec_store(e + j, vec_select(weight > 0.0f, slope, vec_set(0.0f)));
    }
}

/* Columns d .. of rows that lie anywhere, next to each other. */
static void pack_pointers(float *packed, const float *const *rows, int64_t d,
                          const outer_right *b) {
    for (int64_t k = 0; k < b->depth; k++)
        memcpy(packed + k * OUTER_WIDTH, rows[k] + d, (size_t)b->width * sizeof *packed);
}

/* dq += e k over keys of a run. */
static void add_queries(const backward_call *call, const key_run *run, key_span span,
                        backward_tile *t) {
    const attention_args *a = &call->keys;
    float packed[ATTENTION_BLOCK_KEYS * OUTER_WIDTH];
    const float *rows[ATTENTION_BLOCK_KEYS];
    float *to[OUTER_ROWS];
    outer_right b = {.at = packed, .stride = OUTER_WIDTH, .depth = span.end - span.begin};
    for (int64_t j = 0; j < b.depth; j++)
        rows[j] = cache_row(a, a->k, run->row + span.begin + j, call->kv_head);
    for (int64_t d = 0; d < a->head_dim; d += OUTER_WIDTH) {
        b.width = min_i64(OUTER_WIDTH, a->head_dim - d);
        pack_pointers(packed, rows, d, &b);
        for (int64_t i = 0; i < t->scores.count; i += OUTER_ROWS) {
            int64_t some = min_i64(OUTER_ROWS, t->scores.count - i);
            for (int64_t r = 0; r < some; r++)
                to[r] = t->scores.y[i + r] + d;
            outer_left left = {t->values.p[i] + run->first + span.begin, ATTENTION_BLOCK_KEYS, 1};
            outer_add(some, left, &b, to);
        }
    }
}

/* to += p^T x over the tile's queries, for keys of a run; p is the tile's and x its rows. */
static void add_keys(const backward_call *call, const key_run *run, key_span span, int64_t queries,
                     const float *p, const float *const *x, float *to) {
    const attention_backward_args *a = call->a;
    float packed[ATTENTION_PART_QUERIES * OUTER_WIDTH];
    outer_right b = {.at = packed, .stride = OUTER_WIDTH, .depth = queries};
    outer_left left = {p + run->first + span.begin, 1, ATTENTION_BLOCK_KEYS};
    to += (run->row + span.begin) * a->dkv_stride + call->kv_head * a->head_dim;
    for (int64_t d = 0; d < a->head_dim; d += OUTER_WIDTH) {
        b.width = min_i64(OUTER_WIDTH, a->head_dim - d);
        pack_pointers(packed, x, d, &b);
        outer_add_rows(span.end - span.begin, left, &b, to + d, a->dkv_stride);
    }
}

static void add_block(const backward_call *call, const key_block *block, backward_tile *t) {
    const attention_backward_args *a = call->a;
    bool wanted = a->dq != NULL;
    for (int r = 0; r < block->runs_count; r++)
        wanted |= run_wanted(a, block->runs[r].range);
    if (!wanted)
        return;
    score_block(call, block, t);
    for (int r = 0; r < block->runs_count; r++)
        score_run(&call->values, &block->runs[r], call->kv_head, &t->values);
    for (int64_t i = 0; i < t->scores.count; i++)
        differentiate(&call->keys, t, i);
    for (int r = 0; r < block->runs_count; r++) {
        const key_run *run = &block->runs[r];
        key_span some, all;
        spans_of(&call->keys, run, &t->scores, 0, t->scores.count, &some, &all);
        if (some.begin >= some.end)
            continue;
        if (a->dq)
            add_queries(call, run, some, t);
        if (!run_wanted(a, run->range))
            continue;
        add_keys(call, run, some, t->scores.count, t->values.p[0], t->scores.q, a->dk);
        add_keys(call, run, some, t->scores.count, t->scores.p[0], t->values.q, a->dv);
    }
}

static void kernel_attention_backward(const attention_backward_args *a, int64_t sequence,
                                      int64_t kv_head) {
    backward_call call = {.a = a, .kv_head = kv_head};
    call.keys = (attention_args){.k = a->k,
                                 .ranges = a->ranges,
                                 .head_dim = a->head_dim,
                                 .kv_stride = a->kv_stride,
                                 .window = a->window,
                                 .scale = a->scale};
    call.values = call.keys;
    call.values.k = a->v;
    backward_tile t = {.center = {0}};
    int64_t queries = (a->q_start[sequence + 1] - a->q_start[sequence]) * (a->heads / a->kv_heads);
    const key_cursor start = {.range = a->range_start[sequence],
                              .range_end = a->range_start[sequence + 1]};
    for (int64_t begin = 0; begin < queries; begin += ATTENTION_PART_QUERIES) {
        fill_tile(&call, sequence, begin, min_i64(begin + ATTENTION_PART_QUERIES, queries), &t);
        key_block block;
        key_cursor cursor = start;
        for (next_block(&call.keys, &cursor, &block); block.keys;
             next_block(&call.keys, &cursor, &block)) {
            if (!look(&call.keys, &block, &t))
                continue;
            score_block(&call, &block, &t);
            for (int64_t i = 0; i < t.scores.count; i++)
                if (t.seen[i])
                    add_to_softmax(&t.scores, i);
        }
        cursor = start;
        for (next_block(&call.keys, &cursor, &block); block.keys;
             next_block(&call.keys, &cursor, &block))
            if (look(&call.keys, &block, &t))
                add_block(&call, &block, &t);
    }
}
