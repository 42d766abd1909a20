/* backend.h - the op table: everything that computes goes through here.
 *
 * A backend owns memory and a queue. Ops are plain data (one struct of arguments each) handed to
 * backend_run in order; a backend may run them later. Rules for every caller:
 *
 *   - memory from backend_alloc or backend_import is read and written by ops only; the host moves
 *     bytes with backend_upload and backend_download (the latter waits for all queued ops);
 *   - arguments and pointer tables are read or copied before backend_run returns; the memory that
 *     the pointers name must live until the next download or sync;
 *   - ops allocate nothing and cannot fail: shapes were checked when files were opened;
 *   - the order of every sum depends on sizes alone, never on threads, on how many rows are in the
 *     call, or on their place in it: a row gets the same bits alone or in a batch.
 *
 * Activations are f32, caches f32 or bf16. Weights keep their file's dtype (f32, f16, bf16). Shape
 * letters are STYLE's: P networks of a fuser, N rows, B sequences, H query heads, G kv heads, D
 * head dim, E embedding, V vocabulary. All strides are in elements, from one row to the next.
 */
#ifndef C2C_BACKEND_H
#define C2C_BACKEND_H

#include "base/base.h"

/* ---- Ops ---------------------------------------------------------------------------------- */

/* X(name, tables): `tables` leading fields of name_args are tables of `groups` pointers. */
#define OP_LIST(X)                                                                                 \
    X(embed, 0)                                                                                    \
    X(rmsnorm, 3)                                                                                  \
    X(layernorm, 4)                                                                                \
    X(linear, 9)                                                                                   \
    X(activate, 3)                                                                                 \
    X(add, 3)                                                                                      \
    X(add_difference, 3)                                                                           \
    X(sum_rows, 2)                                                                                 \
    X(rope_table, 0)                                                                               \
    X(rope, 0)                                                                                     \
    X(rope_store, 0)                                                                               \
    X(scatter_rows, 0)                                                                             \
    X(gather_rows, 0)                                                                              \
    X(copy_rows, 2)                                                                                \
    X(attention, 0)                                                                                \
    X(fuse_mix, 6)                                                                                 \
    X(argmax, 0)                                                                                   \
    X(sample, 0)                                                                                   \
    X(count_ids, 0)                                                                                \
    X(zero, 0)                                                                                     \
    X(step_advance, 0)                                                                             \
    X(quantize, 0)                                                                                 \
    X(pack_panels, 0)                                                                              \
    /* training: see backward.h */                                                                 \
    X(linear_backward_x, 3)                                                                        \
    X(linear_backward_w, 4)                                                                        \
    X(rmsnorm_backward, 5)                                                                         \
    X(layernorm_backward, 6)                                                                       \
    X(activate_backward, 5)                                                                        \
    X(accumulate, 2)                                                                               \
    X(sum_rows_backward, 2)                                                                        \
    X(gather_rows_backward, 0)                                                                     \
    X(scatter_rows_backward, 0)                                                                    \
    X(rope_backward, 0)                                                                            \
    X(attention_backward, 0)                                                                       \
    X(fuse_mix_backward, 10)                                                                       \
    X(uniforms, 1)                                                                                 \
    X(dropout, 2)                                                                                  \
    X(cross_entropy, 0)                                                                            \
    X(squared_norm, 0)                                                                             \
    X(scale, 0)                                                                                    \
    X(adamw, 0)

typedef enum op_kind {
#define X(name, tables) OP_##name,
    OP_LIST(X)
#undef X
        OP_COUNT
} op_kind;

#define OP_TRAINING_FIRST OP_linear_backward_x /* from here on, ops of backward.h */

/* y[n, :] = scale * table[ids[n], :] */
typedef struct embed_args {
    float *y;           /* [N, E] */
    const void *table;  /* [V, E] of table_type */
    const int32_t *ids; /* [N], each in 0 .. V-1 */
    int64_t rows, features;
    dtype table_type;
    float scale;
} embed_args;

/* y[p][n, :] = x[p][n, :] / sqrt(mean(x[p][n, :]^2) + epsilon) * w[p][:]. y[p] may be x[p]. */
typedef struct rmsnorm_args {
    float *const *y;
    const float *const *x;
    const void *const *w; /* [features] of w_type */
    int32_t groups;
    dtype w_type;
    int64_t rows, features, y_stride, x_stride;
    float epsilon;
} rmsnorm_args;

/* y[p][n, :] = (x[p][n, :] - m) / sqrt(v + epsilon) * w[p][:] + b[p][:], with m and v the mean and
 * the (biased) variance of x[p][n, :]. y[p] may be x[p]. */
typedef struct layernorm_args {
    float *const *y;
    const float *const *x;
    const void *const *w; /* [features] of w_type */
    const void *const *b; /* [features] of b_type */
    int32_t groups;
    dtype w_type, b_type;
    int64_t rows, features, y_stride, x_stride;
    float epsilon;
} layernorm_args;

/* How a linear multiplies: LINEAR_F32 as it is; LINEAR_BF16 rounds x (and weights that are not
 * bf16) to bf16 first. Sums are f32 in both. */
typedef enum linear_math { LINEAR_F32 = 0, LINEAR_BF16 } linear_math;

/* Elements of x that have one scale beside i8 weights. */
#define LINEAR_INT8_BLOCK 128

/* silu(x) = x / (1 + exp(-x)); gelu_tanh(x) = x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3))),
 * which is 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); gelu(x) = x Phi(x), the exact (erf)
 * one; relu(x) = max(x, 0). */
typedef enum activation {
    ACTIVATION_SILU = 0,
    ACTIVATION_GELU_TANH,
    ACTIVATION_GELU,
    ACTIVATION_RELU
} activation;

/* What is done to rows of x before a linear multiplies them. */
typedef enum linear_prepare {
    LINEAR_PREPARE_NONE = 0,
    LINEAR_PREPARE_NORM,    /* rmsnorm's formula with the weights norm[p] and epsilon */
    LINEAR_PREPARE_ACTIVATE /* activate's formula with up[p], whose rows have x's stride */
} linear_prepare;

#define LINEAR_MAX_OUTS 4

/* y[p][n, o] (= or +=) sum_i x[p][n, i] * w[p][o, i] + b[p][o]. i8 weights are integers that
 * scale[p][o] multiplies; x is then rounded to integers, too, whatever the math: in blocks of
 * LINEAR_INT8_BLOCK elements to x' = s * round(x * (127 / m)), s = m / 127, m the largest |x| of
 * the block (all 0 where m is below 1e-36, NaN where it is not finite). Rows of w may be longer
 * than `in` (w_stride): concat(a, b) W^T is two linears, the second with accumulate.
 *
 * With `prepare` the rows are those that the named op would make of x. They are written to
 * prepared[p], which may be x[p] when activating: as good as running that op first, but a few rows
 * at a time. All prepared[p] are different, or all groups have the same (and the same x, norm and
 * up): several products of one input. Such groups may have different numbers of outputs. */
typedef struct linear_args {
    float *const *y;
    const float *const *x;
    const void *const *w;      /* [out, in] of w_type */
    const void *const *b;      /* [out] of b_type; the table, or one pointer in it, may be NULL */
    const float *const *scale; /* [out]: of i8 weights; else NULL */
    const void *const *norm;   /* [in] of norm_type */
    const float *const *up;    /* [N, in]; NULL: x is activated alone */
    float *const *prepared;    /* [N, in], rows next to each other */
    const uint16_t *const *panels; /* w in panels, too (see pack_panels); the table may be NULL */
    int32_t groups;
    dtype w_type, b_type, norm_type;
    linear_math math;
    linear_prepare prepare;
    activation activation;
    float epsilon;
    int64_t rows, in, out, y_stride, x_stride, w_stride;
    /* Where the first is not 0: the outputs of each of up to LINEAR_MAX_OUTS groups, in place of
     * `out`; rows of y[p] are then next to each other. */
    int64_t outs[LINEAR_MAX_OUTS];
    bool accumulate; /* += into y */
} linear_args;

/* For each row n: scale[n] = m / 127, y[n, i] = round(x[n, i] * (127 / m)), ties to even, m the
 * largest |x[n, :]|; both are 0 where m is below 1e-36. */
typedef struct quantize_args {
    int8_t *y;     /* [N, features] */
    float *scale;  /* [N] */
    const void *x; /* of x_type: f32, f16 or bf16 */
    int64_t rows, features, x_stride;
    dtype x_type;
} quantize_args;

/* A bf16 matrix as some backends multiply it fastest, where its rows are short: beside each other,
 * a pair of numbers at a time. Columns 2 k and 2 k + 1 of row r become
 * y[r / 64][k][r % 64][0 .. 1]; what the matrix lacks of the last panel and pair is 0. A linear
 * that reads columns 2 c and on is given the address of y[0][c]. */
typedef struct pack_panels_args {
    uint16_t *y;       /* panel_elements(rows, features) */
    const uint16_t *x; /* [N, features] of bf16 */
    int64_t rows, features, x_stride;
} pack_panels_args;

#define PANEL_OUTS 64

/* From one panel to the next. */
static inline int64_t panel_stride(int64_t features) {
    return (features + 1) / 2 * 2 * PANEL_OUTS;
}
static inline int64_t panel_elements(int64_t rows, int64_t features) {
    return (rows + PANEL_OUTS - 1) / PANEL_OUTS * panel_stride(features);
}

/* y[p] = activation(x[p]) * up[p] (a gated linear unit), or activation(x[p]) where the table up is
 * NULL. y[p] may be x[p] or up[p]. */
typedef struct activate_args {
    float *const *y;
    const float *const *x;
    const float *const *up;
    int32_t groups;
    activation activation;
    int64_t rows, features, y_stride, x_stride, up_stride;
} activate_args;

/* The op that prepares a linear's rows, for `groups` groups. */
static inline rmsnorm_args linear_norm(const linear_args *a, int32_t groups) {
    return (rmsnorm_args){.y = a->prepared,
                          .x = a->x,
                          .w = a->norm,
                          .groups = groups,
                          .w_type = a->norm_type,
                          .rows = a->rows,
                          .features = a->in,
                          .y_stride = a->in,
                          .x_stride = a->x_stride,
                          .epsilon = a->epsilon};
}

static inline activate_args linear_activate(const linear_args *a, int32_t groups) {
    return (activate_args){.y = a->prepared,
                           .x = a->x,
                           .up = a->up,
                           .groups = groups,
                           .activation = a->activation,
                           .rows = a->rows,
                           .features = a->in,
                           .y_stride = a->in,
                           .x_stride = a->x_stride,
                           .up_stride = a->x_stride};
}

/* The numbers of outputs of group p, and from one row of its y to the next. */
static inline int64_t linear_outs(const linear_args *a, int64_t p) {
    return a->outs[0] ? a->outs[p] : a->out;
}
static inline int64_t linear_y_stride(const linear_args *a, int64_t p) {
    return a->outs[0] ? a->outs[p] : a->y_stride;
}

/* Whether all groups multiply the same rows. */
static inline bool linear_shares_rows(const linear_args *a) {
    const float *const *rows = a->prepare ? (const float *const *)a->prepared : a->x;
    for (int32_t p = 1; p < a->groups; p++)
        if (rows[p] != rows[0])
            return false;
    return true;
}

/* y[p] = a[p] + b[p]. y[p] may be a[p] or b[p]. */
typedef struct add_args {
    float *const *y;
    const float *const *a;
    const float *const *b;
    int32_t groups;
    int64_t rows, features, y_stride, a_stride, b_stride;
} add_args;

/* y[p] += a[p] - b[p], all different. */
typedef struct add_difference_args {
    float *const *y;
    const float *const *a;
    const float *const *b;
    int32_t groups;
    int64_t rows, features, y_stride, a_stride, b_stride;
} add_difference_args;

/* y[p][:] (= or +=) scale * sum_n x[p][n, :]. y[p] must not be x[p]. */
typedef struct sum_rows_args {
    float *const *y;
    const float *const *x;
    int32_t groups;
    int64_t rows, features, x_stride;
    float scale;
    bool accumulate; /* += into y */
} sum_rows_args;

/* table[n, 0 .. half-1] = cos(positions[n] * inverse_frequency[i]) * scale, then the sines. */
typedef struct rope_table_args {
    float *table;                   /* [N, 2 * half] */
    const int32_t *positions;       /* [N] */
    const float *inverse_frequency; /* [half] */
    int64_t rows, half;
    float scale;
} rope_table_args;

/* Rotates pairs (i, i + D/2) of every head: y1 = x1 cos - x2 sin, y2 = x2 cos + x1 sin.
 * y may be x. */
typedef struct rope_args {
    float *y;
    const float *x;     /* [N, heads * D] */
    const float *table; /* [N, D] of rope_table */
    int64_t rows, heads, head_dim, y_stride, x_stride;
} rope_args;

/* y[index[n], :] = x[n, :], the indices all different; bf16 is rounded to nearest, even on ties. */
typedef struct scatter_rows_args {
    void *y; /* of y_type: f32 or bf16 */
    const float *x;
    const int32_t *index; /* [N] */
    int64_t rows, features, y_stride, x_stride;
    dtype y_type;
} scatter_rows_args;

/* Heads on their way from their product to attention, one pass over the rows:
 *     q[n, h, :]          = rope(norm(q[n, h, :]))
 *     keys[index[n], g, :] = rope(norm(k[n, g, :]))
 *     values[index[n], :]  = v[n, :]
 * with rmsnorm's formula over the D elements of a head (nothing where q_norm or k_norm is NULL),
 * rope's, and scatter_rows' rounding. Either q, or k and v with their pools, may be NULL. Rows of
 * q, k and v lie next to each other; k may be overwritten with anything. */
typedef struct rope_store_args {
    float *q;             /* [N, H * D] */
    float *k;             /* [N, G * D] */
    const float *v;       /* [N, G * D] */
    void *keys, *values;  /* row pools [rows, G * D] of kv_type: f32 or bf16 */
    const int32_t *index; /* [N], all different */
    const float *table;   /* [N, D] of rope_table */
    const void *q_norm;   /* [D] of q_norm_type */
    const void *k_norm;   /* [D] of k_norm_type */
    int64_t rows, heads, kv_heads, head_dim, kv_stride;
    dtype q_norm_type, k_norm_type, kv_type;
    float epsilon;
} rope_store_args;

/* y[n, :] = x[index[n], :] */
typedef struct gather_rows_args {
    float *y;
    const float *x;
    const int32_t *index; /* [N] */
    int64_t rows, features, y_stride, x_stride;
} gather_rows_args;

/* y[p] = x[p], not overlapping; each f32 or bf16, rounded as in scatter_rows. */
typedef struct copy_rows_args {
    void *const *y;
    const void *const *x;
    int32_t groups;
    int64_t rows, features, y_stride, x_stride;
    dtype y_type, x_type;
} copy_rows_args;

/* A run of cache rows that hold consecutive positions of one sequence. */
typedef struct cache_range {
    int32_t row, count, position;
} cache_range;

/* Causal grouped-query attention over a row pool. For query row n of sequence b and head h, with
 * g = h / (H / G), over all rows j of b's ranges whose position p_j <= positions[n] (and, when
 * window > 0, p_j > positions[n] - window):
 *     y[n, h, :] = sum_j softmax_j(scale * q[n, h, :] . k[j, g, :]) v[j, g, :]
 * Rows are summed in the order of the ranges. y must not be q. A query that sees no row gets 0.
 * LINEAR_BF16: over bf16 rows, q and the weights e^(score - largest score) may be rounded to bf16,
 * too; then the sum that these are divided by is that of the rounded ones. */
typedef struct attention_args {
    float *y;       /* [N, H * D] */
    const float *q; /* [N, H * D] */
    const void *k;  /* row pool [rows, G * D] of kv_type: f32 or bf16 */
    const void *v;
    const int32_t *q_start;     /* [B + 1]: queries of b are q_start[b] .. q_start[b+1]-1 */
    const int32_t *range_start; /* [B + 1]: ranges of b are range_start[b] .. range_start[b+1]-1 */
    const cache_range *ranges;
    const int32_t *positions; /* [N] */
    int64_t rows, sequences, heads, kv_heads, head_dim;
    int64_t y_stride, q_stride, kv_stride;
    int64_t window;
    dtype kv_type;
    linear_math math;
    float scale;
} attention_args;

/* Element (n, g, d) of a table of logits stands at n * row + g * head + d * element; a stride of 0
 * repeats one number. `element` is 0 or 1. */
typedef struct fuse_strides {
    int64_t row, head, element;
} fuse_strides;

/* The end of every projector (SPEC section 3), for heads of the receiver:
 *     y[p][n, g, d] = a * receiver[p][n, g, d] + open * s * x[p][n, g, d]
 * with, for this p, n, g, d,
 *     s    = 1 / (1 + exp(-w / temperature)), or 1 where the table w or w[p] is NULL
 *     a    = 1 - s with scale_receiver, else 1
 *     open = 1 where gate > 0, else 0; or 1 where the table gate or gate[p] is NULL. In training,
 *            where the table uniforms and uniforms[p] are there: with u the one of this place and
 *            G = -log(-log(u + 1e-20) + 1e-20), 1 / (1 + exp(-(gate + G) / gate_temperature))
 * A term is 0 where its table or pointer (receiver, x) is NULL. y[p] may be receiver[p]. */
typedef struct fuse_mix_args {
    float *const *y;
    const float *const *receiver;
    const float *const *x;
    const void *const *w;    /* logits of w_type */
    const void *const *gate; /* logits of gate_type */
    const float *const *uniforms;
    int32_t groups;
    dtype w_type, gate_type;
    int64_t rows, kv_heads, head_dim, y_stride, receiver_stride, x_stride;
    fuse_strides w_strides, gate_strides, uniform_strides;
    float temperature, gate_temperature;
    bool scale_receiver;
} fuse_mix_args;

/* ids[n] = the first index of the largest x[n, :] (a NaN never wins; all NaN gives 0). */
typedef struct argmax_args {
    int32_t *ids;
    const float *x;
    int64_t rows, features, x_stride;
} argmax_args;

/* An id and its share of the draw. */
typedef struct sample_candidate {
    float weight;
    int32_t id;
} sample_candidate;

/* Chooses ids[n] from logits[n, :] (SPEC section 1). For ids whose count is above 0: x becomes
 * x / repetition_penalty, or x * repetition_penalty where x < 0, then minus presence_penalty, minus
 * frequency_penalty * count. With temperature 0 the first largest. Else p = softmax(x /
 * temperature); the top_k largest (0: all) stay, then those while their cumulative share, their own
 * included, is at most top_p (1: all; at least one), then those with p >= min_p * largest p; and
 * one is drawn with the random number of (seed, positions[n] + 1, n). */
typedef struct sample_args {
    int32_t *ids;                 /* [N] */
    const float *logits;          /* [N, V] */
    const int32_t *counts;        /* [N, V], or NULL: all 0 */
    const int32_t *positions;     /* [N] */
    sample_candidate *candidates; /* [N, V] scratch */
    int64_t rows, features, top_k;
    float temperature, top_p, min_p;
    float repetition_penalty, presence_penalty, frequency_penalty;
    uint64_t seed;
} sample_args;

/* counts[n * stride + ids[n]] += 1, one after the other; stride 0: all into one row. */
typedef struct count_ids_args {
    int32_t *counts;
    const int32_t *ids; /* [N] */
    int64_t rows, stride;
} count_ids_args;

typedef struct zero_args {
    void *y;
    int64_t bytes;
} zero_args;

/* Makes the batch tables ready for the next decoding step of B slots of one token each:
 * ids[b] = next[b], positions[b] += 1, index[b] += 1 and the last range of b grows by one row.
 * Rows index[b] of one slot must follow each other. */
typedef struct step_advance_args {
    int32_t *ids, *positions, *index; /* [B] */
    cache_range *ranges;
    const int32_t *range_start; /* [B + 1] */
    const int32_t *next;        /* [B] */
    int64_t sequences;
} step_advance_args;

#include "backend/backward.h"

typedef struct op_info {
    const char *name;
    size_t args_size;
    int tables;           /* leading pointer-table fields of the arguments */
    size_t groups_offset; /* of int32_t groups; 0 when tables is 0 */
} op_info;

extern const op_info op_infos[OP_COUNT];

/* ---- Backends ----------------------------------------------------------------------------- */

typedef struct backend backend;

typedef struct backend_class {
    const char *name;
    void (*close)(backend *b);
    c2c_status (*alloc)(backend *b, void **memory, size_t bytes, c2c_error *error);
    void (*release)(backend *b, void *memory);
    void (*fill)(backend *b, void *memory); /* see backend_alloc_whole; may be NULL */
    c2c_status (*import)(backend *b, const void **memory, const void *host, size_t bytes,
                         c2c_error *error);
    void (*release_import)(backend *b, const void *memory);
    c2c_status (*reserve)(backend *b, size_t features, c2c_error *error);
    bool (*wants_panels)(backend *b, linear_math math, int64_t out, int64_t in,
                         int64_t bytes); /* NULL: never */
    void (*run)(backend *b, op_kind kind, const void *args);
    void (*upload)(backend *b, void *memory, const void *host, size_t bytes);
    void (*download)(backend *b, void *host, const void *memory, size_t bytes);
    void (*sync)(backend *b);
} backend_class;

/* The first field of every backend's own struct. */
struct backend {
    const backend_class *class;
};

/* The CPU backend; threads >= 1. */
c2c_status backend_cpu_open(backend **b, int threads, c2c_error *error);
/* The same with the kernels of that name; NULL: the best that the processor can run. */
c2c_status backend_cpu_open_named(backend **b, int threads, const char *isa, c2c_error *error);

/* The test backend: queues ops until a download or sync, and keeps its memory unreadable outside
 * ops. It computes with a CPU backend of its own. */
c2c_status backend_queue_open(backend **b, int threads, c2c_error *error);

/* Waits for queued ops; NULL is fine. */
void backend_close(backend *b);

/* Zeroed memory, aligned to 64, that costs nothing until it is touched. Release it with
 * backend_release (NULL is fine). */
c2c_status backend_alloc(backend *b, void **memory, size_t bytes, c2c_error *error);
void backend_release(backend *b, void *memory);
/* The same for memory that will be touched from end to end, many times: it may be taken in pages of
 * a larger size. */
c2c_status backend_alloc_whole(backend *b, void **memory, size_t bytes, c2c_error *error);

/* Host bytes as backend memory, read-only: the bytes themselves on the CPU, a copy elsewhere. The
 * host bytes must live until backend_release_import (NULL is fine). */
c2c_status backend_import(backend *b, const void **memory, const void *host, size_t bytes,
                          c2c_error *error);
void backend_release_import(backend *b, const void *memory);

/* Says that ops will see rows of up to `features` elements; before the first op that does. */
c2c_status backend_reserve(backend *b, size_t features, c2c_error *error);

/* Whether products of bf16 matrices [out, in] gain from panels, so that the caller should
 * make them once and give them to every linear; `bytes` are those of all weights that are used one
 * after the other. */
bool backend_wants_panels(backend *b, linear_math math, int64_t out, int64_t in, int64_t bytes);
/* Panels of a [rows, features] matrix in new memory, which backend_release gives back. They are
 * made when this returns. */
c2c_status backend_make_panels(backend *b, const uint16_t **panels, const void *matrix,
                               int64_t rows, int64_t features, int64_t stride, c2c_error *error);

void backend_run(backend *b, op_kind kind, const void *args);
void backend_upload(backend *b, void *memory, const void *host, size_t bytes);
void backend_download(backend *b, void *host, const void *memory, size_t bytes);
void backend_sync(backend *b);

/* The public engine owns one backend. Tests give it the queue backend. */
struct c2c_engine {
    backend *backend;
    c2c_log_callback log; /* or NULL */
    void *log_user;
};

/* Tells the caller what is no error but should be known: one line. NULL: nobody listens. */
void engine_warn(const c2c_engine *engine, const char *format, ...) C2C_PRINTF(2, 3);

/* Takes ownership of `b`, which is closed when this fails. */
c2c_status engine_adopt(c2c_engine **engine, backend *b, c2c_error *error);

/* op_linear(b, &(linear_args){...}) and so on: backend_run with the arguments' type checked. */
#define X(name, tables)                                                                            \
    static inline void op_##name(backend *b, const name##_args *args) {                            \
        backend_run(b, OP_##name, args);                                                           \
    }
OP_LIST(X)
#undef X

#endif
