/* attention_dot.c - attention over bf16 keys and values with AVX-512's dot products of bf16 pairs.
 *
 * A block of keys is brought into panels once for all queries of a part: keys transposed, so that
 * lanes are keys and a score adds its pairs of the head in one lane, in order; values with two rows
 * side by side, so that lanes are columns of the head. Queries are rounded to bf16, and so are the
 * weights e^(score - largest); what they are divided by is the sum of the rounded ones, so that a
 * result is a true mean. Keys are summed in runs of ATTENTION_SPLIT_KEYS, each from nothing, which
 * are then put together in order: any thread may compute any run.
 *
 * An unseen key has weight 0 and thus no part in any bit, unless its values are not finite; a block
 * with such is mixed query by query. The instruction takes subnormal numbers for zero. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/attention_rows.h"
#include "backend/cpu/kernel_sets.h"

#include <math.h>

/* Of a part: enough to share the work of making panels; of wide heads half as many. */
#define QUERIES ATTENTION_DOT_QUERIES
#define NARROW  (WIDEST / 2)
_Static_assert(KEYS == WIDTH && KEYS == 64, "a block of keys is one panel and one word of bits");

/* What a run of keys comes to for a query is a record of floats. */
enum {
    LARGEST = 0,                    /* score, as a power of two; -inf: nothing was seen */
    WEIGHTS = LANES,                /* in LANES sums; their sum is what the values are divided by */
    VALUES = ATTENTION_RECORD_HEAD, /* weighted, of a head */
    MOST_FLOATS = QUERIES * (ATTENTION_RECORD_HEAD + NARROW)
};
_Static_assert(WEIGHTS + LANES <= VALUES, "a record's parts lie behind each other");

/* Queries first .. first + count - 1 of a tile. */
typedef struct query_span {
    int64_t first, count;
} query_span;

/* The queries of a part, one kv head's after the other's. */
typedef struct query_tile {
    int64_t count;
    int64_t pairs, columns; /* of a head: whole vectors of them */
    int64_t record;         /* floats */
    int64_t first_position, last_position;
    int64_t position[QUERIES];
    uint64_t seen[QUERIES];                                        /* keys of the block, as bits */
    _Alignas(64) uint32_t q[QUERIES * NARROW / 2];                 /* rows of `pairs` */
    _Alignas(64) uint32_t weight[QUERIES][KEYS / 2];               /* pairs, too */
    _Alignas(64) uint32_t keys[WIDEST / 2][WIDTH];                 /* pairs of the head x keys */
    _Alignas(64) uint32_t values[WIDEST / WIDTH][KEYS / 2][WIDTH]; /* pairs of keys x columns */
    _Alignas(64) float all[MOST_FLOATS];                           /* records */
    _Alignas(64) float run[MOST_FLOATS];
} query_tile;

/* ---- What is seen ------------------------------------------------------------------------- */

static uint64_t bits_of(int64_t first, key_span span) {
    int64_t count = span.end - span.begin;
    return count <= 0 ? 0 : (~UINT64_C(0) >> (KEYS - count)) << (first + span.begin);
}

/* Sets `seen` for every query; returns the keys that anyone sees. */
static uint64_t see_block(const attention_args *a, const key_block *block, query_tile *t) {
    uint64_t some = 0, all = 0;
    memset(t->seen, 0, (size_t)t->count * sizeof *t->seen);
    for (int r = 0; r < block->runs_count; r++) {
        const key_run *run = &block->runs[r];
        key_span early = visible(a, run, t->first_position);
        key_span late = visible(a, run, t->last_position);
        if (early.begin == 0 && late.begin == 0 && early.end == run->count) {
            all |= bits_of(run->first, early);
            continue;
        }
        for (int64_t i = 0; i < t->count; i++) {
            t->seen[i] |= bits_of(run->first, visible(a, run, t->position[i]));
            some |= t->seen[i];
        }
    }
    for (int64_t i = 0; all && i < t->count; i++)
        t->seen[i] |= all;
    return some | all;
}

/* Keys up to the last one of a set. */
static int64_t bits_end(uint64_t set) {
    return set ? KEYS - __builtin_clzll(set) : 0;
}

/* ---- Panels ------------------------------------------------------------------------------- */

static void pack_keys(const head_rows *rows, int64_t end, query_tile *t, ahead *next) {
    for (int64_t j = 0; j < end; j += LANES)
        for (int64_t k = 0; k < t->pairs; k += LANES) {
            const __mmask32 mask = there(2 * k, rows->head_dim);
            __m512i v[LANES];
            ask(next, LANES);
            UNROLL for (int r = 0; r < LANES; r++) v[r] = row_pairs(rows, j + r, 2 * k, mask);
            transpose(v);
            UNROLL for (int r = 0; r < LANES; r++) _mm512_store_si512(&t->keys[k + r][j], v[r]);
        }
}

/* Whether all of them are finite. */
static bool pack_values(const head_rows *rows, int64_t end, query_tile *t, ahead *next) {
    const __m512i exponent = _mm512_set1_epi16(0x7f80);
    __mmask32 special = 0;
    for (int64_t j = 0; j < end; j += 2)
        for (int64_t d = 0; d < t->columns; d += 2 * LANES) {
            uint32_t *to = &t->values[d / WIDTH][j / 2][d % WIDTH];
            const __mmask32 mask = there(d, rows->head_dim);
            __m512i first = row_pairs(rows, j, d, mask), second = row_pairs(rows, j + 1, d, mask);
            __m512i larger = _mm512_max_epu16(_mm512_and_si512(first, exponent),
                                              _mm512_and_si512(second, exponent));
            special |= _mm512_cmpeq_epi16_mask(larger, exponent);
            ask(next, 2);
            value_pairs v = pair_values(first, second);
            _mm512_store_si512(to, v.low);
            if (d + LANES < t->columns)
                _mm512_store_si512(to + LANES, v.high);
        }
    return !special;
}

static void pack_queries(const attention_args *a, int64_t row, int64_t head, uint32_t *to) {
    const float *q = a->q + row * a->q_stride + head * a->head_dim;
    for (int64_t d = 0; d < a->head_dim; d += 2 * LANES) {
        int64_t left = a->head_dim - d;
        vec low = vec_load_some(q + d, left), high = {0};
        if (left > LANES)
            high = vec_load_some(q + d + LANES, left - LANES);
        _mm512_store_si512(to + d / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

/* ---- Softmax ------------------------------------------------------------------------------ */

#define LOG2_E 0x1.715476p0f /* makes powers of two of scores */

/* 2^x for x up to about 0, to 3e-6, which is far below what rounding to bf16 leaves of it. The
 * polynomial is a minimax fit of 2^r for r from 0 to 1, made for this file. -inf gives 0. */
KERNEL_INLINE vec power_of_two(vec x) {
    vec r = _mm512_reduce_ps(x, 0x01 | 0x08); /* x - floor(x) */
    vec p = vec_fma(vec_set(0x1.bb7cd4p-7f), r, vec_set(0x1.aa13fp-5f));
    p = vec_fma(p, r, vec_set(0x1.ee798ap-3f));
    p = vec_fma(p, r, vec_set(0x1.62d166p-1f));
    p = vec_fma(p, r, vec_set(0x1.00002cp0f));
    return _mm512_scalef_ps(p, x); /* p * 2^floor(x) */
}

static void scale_row(float *y, vec factor, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES)
        vec_store(y + i, vec_load(y + i) * factor);
}

/* Scores become the weights of query i; what its record has is brought to the same largest score.
 * `scale` makes powers of two of scores. */
KERNEL_INLINE void soften(query_tile *t, float *record, int64_t i, const float *score,
                          float scale) {
    vec v[KEYS / LANES], largest_lanes = vec_set(-INFINITY);
    UNROLL for (int c = 0; c < KEYS / LANES; c++) {
        v[c] = _mm512_mask_mul_ps(vec_set(-INFINITY), (__mmask16)(t->seen[i] >> (c * LANES)),
                                  vec_load(score + c * LANES), vec_set(scale));
        largest_lanes = vec_max(v[c], largest_lanes);
    }
    float largest = _mm512_reduce_max_ps(largest_lanes);
    vec sum = vec_load(record + WEIGHTS);
    if (largest > record[LARGEST]) {
        if (record[LARGEST] > -INFINITY) {
            vec factor = power_of_two(vec_set(record[LARGEST] - largest));
            sum *= factor;
            scale_row(record + VALUES, factor, t->columns);
        }
        record[LARGEST] = largest;
    }
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    UNROLL for (int c = 0; c < KEYS / LANES; c++) v[c] = power_of_two(v[c] - record[LARGEST]);
    UNROLL for (int c = 0; c < KEYS / LANES; c += 2) {
        __m512bh rounded = _mm512_cvtne2ps_pbh(v[c + 1], v[c]);
        sum = _mm512_dpbf16_ps(sum, rounded, ones);
        _mm512_store_si512(&t->weight[i][c * LANES / 2], (__m512i)rounded);
    }
    vec_store(record + WEIGHTS, sum);
}

/* ---- Blocks ------------------------------------------------------------------------------- */

/* Scores and weights of a few queries from `first` on. */
static void weigh_rows(const attention_args *a, query_tile *t, float *sums, int64_t first,
                       int64_t rows, int64_t end) {
    _Alignas(64) float score[TILE_ROWS][KEYS];
    strip_rows(VEC_OVER, rows, (left_pairs){t->q + first * t->pairs, t->pairs, 1},
               (const uint32_t(*)[WIDTH])t->keys, (a->head_dim + 1) / 2,
               (end + LANES - 1) / LANES * LANES, score[0], KEYS);
    for (int64_t r = 0; r < rows; r++)
        if (t->seen[first + r])
            soften(t, sums + (first + r) * t->record, first + r, score[r], a->scale * LOG2_E);
        else
            memset(t->weight[first + r], 0, sizeof *t->weight);
}

static void mix_rows(query_tile *t, float *sums, int64_t first, int64_t rows, int64_t end) {
    for (int64_t d = 0; d < t->columns; d += WIDTH)
        strip_rows(VEC_ADD, rows, (left_pairs){t->weight[first], KEYS / 2, 1},
                   (const uint32_t(*)[WIDTH])t->values[d / WIDTH], (end + 1) / 2, t->columns - d,
                   sums + first * t->record + VALUES + d, t->record);
}

/* Keys up to the last one that any of a few queries sees. */
static int64_t rows_end(const query_tile *t, int64_t first, int64_t rows) {
    uint64_t seen = 0;
    for (int64_t i = first; i < first + rows; i++)
        seen |= t->seen[i];
    return bits_end(seen);
}

/* A block's keys, where they lie, and what comes after them. */
typedef struct attended {
    const block_rows *rows;
    ahead keys, values;
    uint64_t seen; /* by anyone */
} attended;

/* ---- Few queries -------------------------------------------------------------------------- */

/* Queries for which panels are not worth the detour through memory: products are made from keys as
 * they are transposed and from values as they are paired. They are heads of one query, which see
 * the same keys. The sums are those of panels. */
#define FEW 4

/* Two vectors of keys at a time, so that products need not wait for each other. */
KERNEL_INLINE void score_few(int count, const head_rows *rows, int64_t end, const query_tile *t,
                             int64_t first, ahead *next, float score[FEW][KEYS]) {
    const uint32_t *q = t->q + first * t->pairs;
    for (int64_t j = 0; j < end; j += 2 * LANES) {
        vec sum[2][FEW] = {{{0}}};
        for (int64_t k = 0; k < t->pairs; k += LANES)
            UNROLL for (int g = 0; g < 2; g++) {
                const __mmask32 mask = there(2 * k, rows->head_dim);
                const int64_t from = j + g * LANES;
                __m512i v[LANES];
                ask(next, LANES);
                UNROLL for (int r = 0; r < LANES; r++) v[r] =
                    row_pairs(rows, from + r, 2 * k, mask);
                transpose(v);
                UNROLL for (int r = 0; r < LANES; r++) UNROLL for (int i = 0; i < count; i++) {
                    __m512bh x = (__m512bh)_mm512_set1_epi32((int)q[i * t->pairs + k + r]);
                    sum[g][i] = _mm512_dpbf16_ps(sum[g][i], (__m512bh)v[r], x);
                }
            }
        UNROLL for (int i = 0; i < count; i++) UNROLL for (int g = 0; g < 2; g++)
            vec_store(score[i] + j + g * LANES, sum[g][i]);
    }
}

/* Columns d .. d + 63 of their values, or as many as there are. */
KERNEL_INLINE void mix_few(int count, const head_rows *rows, int64_t end, query_tile *t,
                           int64_t first, float *sums, int64_t d, ahead *next) {
    vec sum[FEW][WIDTH / LANES] = {{{0}}};
    const int64_t left = t->columns - d;
    const __mmask32 mask[2] = {there(d, rows->head_dim), there(d + 2 * LANES, rows->head_dim)};
    for (int64_t j = 0; j < end; j += 2) {
        __m512bh weight[FEW];
        UNROLL for (int i = 0; i < count; i++) weight[i] =
            (__m512bh)_mm512_set1_epi32((int)t->weight[first + i][j / 2]);
        ask(next, 2 * WIDTH / (2 * LANES));
        UNROLL for (int c = 0; c < WIDTH / LANES; c += 2) {
            int64_t at = d + c * LANES;
            if (c * LANES >= left)
                break;
            value_pairs v = pair_values(row_pairs(rows, j, at, mask[c / 2]),
                                        row_pairs(rows, j + 1, at, mask[c / 2]));
            UNROLL for (int i = 0; i < count; i++) {
                sum[i][c] = _mm512_dpbf16_ps(sum[i][c], (__m512bh)v.low, weight[i]);
                sum[i][c + 1] = _mm512_dpbf16_ps(sum[i][c + 1], (__m512bh)v.high, weight[i]);
            }
        }
    }
    UNROLL for (int i = 0; i < count; i++) UNROLL for (int c = 0; c < WIDTH / LANES; c++) {
        float *y = sums + (first + i) * t->record + VALUES + d + c * LANES;
        if (c * LANES < left)
            vec_put(VEC_ADD, y, sum[i][c], LANES);
    }
}

KERNEL_INLINE void attend_few(int count, const attention_args *a, attended *b, int64_t head,
                              int64_t first, query_tile *t, float *sums) {
    _Alignas(64) float score[FEW][KEYS];
    const int64_t end = bits_end(t->seen[first]);
    head_rows rows;
    head_rows_make(&rows, a, a->k, b->rows, head, t->seen[first]);
    score_few(count, &rows, end, t, first, &b->keys, score);
    for (int i = 0; i < count; i++)
        soften(t, sums + (first + i) * t->record, first + i, score[i], a->scale * LOG2_E);
    head_rows_make(&rows, a, a->v, b->rows, head, t->seen[first]);
    for (int64_t d = 0; d < t->columns; d += WIDTH)
        mix_few(count, &rows, end, t, first, sums, d, &b->values);
}

static void attend_some(int64_t count, const attention_args *a, attended *b, int64_t head,
                        int64_t first, query_tile *t, float *sums) {
    switch (count) {
    case 4: attend_few(4, a, b, head, first, t, sums); break;
    case 3: attend_few(3, a, b, head, first, t, sums); break;
    case 2: attend_few(2, a, b, head, first, t, sums); break;
    default: attend_few(1, a, b, head, first, t, sums); break;
    }
}

static bool are_few(const query_tile *t, query_span span) {
    bool same = span.count <= FEW;
    for (int64_t i = span.first + 1; same && i < span.first + span.count; i++)
        same = t->seen[i] == t->seen[span.first];
    return same;
}

/* ---- Blocks for many ---------------------------------------------------------------------- */

/* Queries of one kv head by a block. */
static void attend_head(const attention_args *a, attended *b, int64_t head, query_span span,
                        query_tile *t, float *sums) {
    const int64_t last = span.first + span.count, seen_end = bits_end(b->seen);
    if (are_few(t, span)) {
        attend_some(span.count, a, b, head, span.first, t, sums);
        return;
    }
    head_rows rows;
    head_rows_make(&rows, a, a->k, b->rows, head, b->seen);
    pack_keys(&rows, seen_end, t, &b->keys);
    for (int64_t i = span.first; i < last; i += TILE_ROWS) {
        int64_t few = min_i64(TILE_ROWS, last - i), end = rows_end(t, i, few);
        if (end)
            weigh_rows(a, t, sums, i, few, end);
    }
    head_rows_make(&rows, a, a->v, b->rows, head, b->seen);
    bool finite = pack_values(&rows, seen_end, t, &b->values);
    for (int64_t i = span.first, few; i < last; i += few) {
        few = finite ? min_i64(TILE_ROWS, last - i) : 1;
        int64_t end = rows_end(t, i, few);
        if (!finite && end) {
            head_rows_make(&rows, a, a->v, b->rows, head, t->seen[i]);
            pack_values(&rows, end, t, &b->values);
        }
        if (end)
            mix_rows(t, sums, i, few, end);
    }
}

/* ---- Runs of keys ------------------------------------------------------------------------- */

/* Where a part is among its keys: a block, and the one behind it. */
typedef struct key_walk {
    key_cursor cursor; /* behind both */
    key_block blocks[2];
    block_rows rows[2];
    int now;     /* which of them is the block; the other is behind it */
    int64_t key; /* of the sequence, with which the block begins */
} key_walk;

static void find_block(const attention_args *a, const attention_part *part, key_walk *walk, int i) {
    next_block(a, &walk->cursor, &walk->blocks[i]);
    find_rows(a, part, &walk->blocks[i], &walk->rows[i]);
}

static void walk_on(const attention_args *a, const attention_part *part, key_walk *walk) {
    walk->key += walk->blocks[walk->now].keys;
    find_block(a, part, walk, walk->now);
    walk->now = !walk->now;
}

static void walk_start(const attention_args *a, const attention_part *part, key_walk *walk) {
    walk->cursor = (key_cursor){.range = a->range_start[part->sequence],
                                .range_end = a->range_start[part->sequence + 1]};
    skip_keys(a, &walk->cursor, part->key_begin);
    walk->key = part->key_begin;
    walk->now = 0;
    find_block(a, part, walk, 0);
    find_block(a, part, walk, 1);
    const block_rows *rows = &walk->rows[0];
    const int64_t all = rows->keys * (rows->row_bytes / LINE + 1);
    ask(&(ahead){.rows = rows, .pool = a->k}, all);
    ask(&(ahead){.rows = rows, .pool = a->v}, all);
}

/* All heads' queries over the keys up to the next place where sums begin from nothing. */
static void attend_run(const attention_args *a, const attention_part *part, key_walk *walk,
                       attended *b, query_tile *t, float *sums) {
    const query_span span = {.count = part->end - part->begin};
    memset(sums, 0, (size_t)(t->count * t->record) * sizeof *sums);
    for (int64_t i = 0; i < t->count; i++)
        sums[i * t->record + LARGEST] = -INFINITY;
    do {
        const key_block *block = &walk->blocks[walk->now];
        const block_rows *next = &walk->rows[!walk->now];
        /* Another thread has the run behind a part's own. */
        bool end = part->sums && (walk->key + KEYS) % ATTENTION_SPLIT_KEYS == 0;
        b->keys = (ahead){.rows = next, .pool = a->k, .key = end ? KEYS : 0};
        b->values = (ahead){.rows = next, .pool = a->v, .key = end ? KEYS : 0};
        b->rows = &walk->rows[walk->now];
        b->seen = see_block(a, block, t);
        query_span one = span;
        for (int64_t head = part->head_begin; b->seen && head < part->head_end; head++) {
            attend_head(a, b, head - part->head_begin, one, t, sums);
            one.first += one.count;
        }
        walk_on(a, part, walk);
    } while (walk->blocks[walk->now].keys && walk->key % ATTENTION_SPLIT_KEYS);
}

/* A query's sums of another run, which comes after those that it has. */
static void add_record(float *to, const float *from, int64_t columns) {
    vec more = vec_load(from + WEIGHTS), had = vec_load(to + WEIGHTS);
    if (vec_sum(more) == 0)
        return; /* it saw nothing there */
    if (vec_sum(had) == 0) {
        memcpy(to, from, (size_t)(VALUES + columns) * sizeof *to);
        return;
    }
    float largest = to[LARGEST] > from[LARGEST] ? to[LARGEST] : from[LARGEST];
    vec old = power_of_two(vec_set(to[LARGEST] - largest));
    vec new = power_of_two(vec_set(from[LARGEST] - largest));
    to[LARGEST] = largest;
    vec_store(to + WEIGHTS, vec_fma(had, old, more * new));
    for (int64_t d = VALUES; d < VALUES + columns; d += LANES)
        vec_store(to + d, vec_fma(vec_load(to + d), old, vec_load(from + d) * new));
}

/* ---- The op ------------------------------------------------------------------------------- */

/* The row and the head of query i of a part. */
typedef struct query_place {
    int64_t row, head;
} query_place;

static query_place place_of(const attention_args *a, const attention_part *part, int64_t i) {
    int64_t repeat = a->heads / a->kv_heads, queries = part->end - part->begin;
    int64_t kv_head = part->head_begin + i / queries, query = part->begin + i % queries;
    return (query_place){.row = a->q_start[part->sequence] + query / repeat,
                         .head = kv_head * repeat + query % repeat};
}

static int64_t whole_vectors(int64_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

static void start_tile(const attention_args *a, const attention_part *part, query_tile *t) {
    t->count = (part->end - part->begin) * (part->head_end - part->head_begin);
    t->pairs = whole_vectors((a->head_dim + 1) / 2);
    t->columns = whole_vectors(a->head_dim);
    t->record = VALUES + t->columns;
    t->first_position = INT64_MAX;
    t->last_position = INT64_MIN;
    for (int64_t i = 0; i < t->count; i++) {
        query_place place = place_of(a, part, i);
        pack_queries(a, place.row, place.head, t->q + i * t->pairs);
        t->position[i] = a->positions[place.row];
        t->first_position = min_i64(t->first_position, t->position[i]);
        t->last_position = max_i64(t->last_position, t->position[i]);
    }
}

/* The mean that a record stands for. */
static void store_query(const attention_args *a, query_place place, const float *record) {
    float *y = a->y + place.row * a->y_stride + place.head * a->head_dim;
    float sum = vec_sum(vec_load(record + WEIGHTS));
    vec share = vec_set(sum != 0 ? 1.0f / sum : 0);
    /* + 0: a sum's zero has the sign that unseen keys left there */
    for (int64_t d = 0; d < a->head_dim; d += LANES)
        vec_store_some(y + d, vec_fma(vec_load(record + VALUES + d), share, (vec){0}),
                       a->head_dim - d);
}

static void run(const attention_args *a, const attention_part *part) {
    query_tile t;
    key_walk walk;
    attended b;
    start_tile(a, part, &t);
    walk_start(a, part, &walk);
    attend_run(a, part, &walk, &b, &t, part->sums ? part->sums : t.all);
    if (part->sums)
        return;
    while (walk.blocks[walk.now].keys) {
        attend_run(a, part, &walk, &b, &t, t.run);
        for (int64_t i = 0; i < t.count; i++)
            add_record(t.all + i * t.record, t.run + i * t.record, t.columns);
    }
    for (int64_t i = 0; i < t.count; i++)
        store_query(a, place_of(a, part, i), t.all + i * t.record);
}

/* Puts the runs of a part's queries together, the first of which gets the sums. */
static void merge(const attention_args *a, const attention_part *part, int64_t runs,
                  int64_t stride) {
    int64_t count = (part->end - part->begin) * (part->head_end - part->head_begin);
    int64_t columns = whole_vectors(a->head_dim);
    for (int64_t i = 0; i < count; i++) {
        float *record = part->sums + i * (VALUES + columns);
        for (int64_t r = 1; r < runs; r++)
            add_record(record, record + r * stride, columns);
        store_query(a, place_of(a, part, i), record);
    }
}

const attention_kernel attention_bf16_dot = {.most_queries = QUERIES,
                                             .least_queries = 48,
                                             .run_keys = ATTENTION_SPLIT_KEYS,
                                             .run = run,
                                             .merge = merge};
#endif
