/* linear_panels.c - y = x w^T + b in LINEAR_BF16 for weights that stand in panels, with AVX-512's
 * dot products of bf16 pairs.
 *
 * A panel has the outputs of a part side by side, as the right side of a product, whose sums need
 * no folding. bf16 weights of short rows come as panels. f32 and f16 ones are rounded before use,
 * so they are packed anyway: into a panel on the way. The rows of a part share that work; one row
 * alone waits for memory more than for it. */
#ifdef __x86_64__
#define LANES 16
#include "backend/cpu/kernel_pairs.h"
#include "backend/cpu/kernel_sets.h"

#define BLOCK_ROWS 264

_Static_assert(PANEL_OUTS == WIDTH && LINEAR_PART_OUTS == WIDTH, "a part's outputs are one panel");

/* ---- Packing ------------------------------------------------------------------------------ */

static int64_t row_pairs(int64_t in) {
    return (in + 2 * LANES - 1) / (2 * LANES) * LANES;
}

static size_t row_bytes(int64_t in) {
    return (size_t)row_pairs(in) * sizeof(uint32_t);
}

/* Numbers i .. i + 31 of a row, as many as there are, as 16 pairs. */
KERNEL_INLINE __m512i pairs_of(dtype type, const char *row, int64_t i, int64_t n) {
    vec low = vec_load_weight(type, row, i, n), high = {0};
    if (n > LANES)
        high = vec_load_weight(type, row, i + LANES, n - LANES);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

static void pack_rows(const linear_args *a, int64_t group, int64_t begin, int64_t end,
                      void *packed) {
    uint32_t *to = packed;
    for (int64_t row = begin; row < end; row++, to += row_pairs(a->in))
        for (int64_t i = 0; i < a->in; i += 2 * LANES)
            _mm512_storeu_si512(to + i / 2,
                                pairs_of(DTYPE_F32, (const char *)(a->x[group] + row * a->x_stride),
                                         i, a->in - i));
}

/* Numbers first .. first + depth - 1 of the part's rows of w, as a panel whose columns they are. */
KERNEL_INLINE void pack_typed(panels *to, dtype type, const linear_args *a, const linear_part *part,
                              int64_t first, int64_t depth) {
    const char *w = a->w[part->group];
    const int64_t size = type == DTYPE_F32 ? 4 : 2, row_size = a->w_stride * size;
    for (int64_t o = 0; o < to->width; o += LANES)
        for (int64_t k = 0; k < depth; k += 2 * LANES) {
            __m512i v[LANES];
            UNROLL for (int r = 0; r < LANES; r++) {
                const char *row = w + (part->out_begin + o + r) * row_size;
                v[r] = o + r < to->width ? pairs_of(type, row, first + k, depth - k)
                                         : _mm512_setzero_si512();
                /* the next panel's: sixteen rows at once are more than the machine foresees */
                __builtin_prefetch(row + (first + k + DEPTH) * size);
                if (size == 4)
                    __builtin_prefetch(row + (first + k + DEPTH + LANES) * size);
            }
            transpose(v);
            UNROLL for (int r = 0; r < LANES; r++)
                _mm512_storeu_si512(&to->at[0][k / 2 + r][o], v[r]);
        }
    to->pairs = (depth + 1) / 2;
}

static void pack_weights(panels *to, const linear_args *a, const linear_part *part, int64_t first,
                         int64_t depth) {
    switch (a->w_type) {
    case DTYPE_BF16: pack_typed(to, DTYPE_BF16, a, part, first, depth); break;
    case DTYPE_F16: pack_typed(to, DTYPE_F16, a, part, first, depth); break;
    default: pack_typed(to, DTYPE_F32, a, part, first, depth); break;
    }
}

/* ---- Blocks ------------------------------------------------------------------------------- */

/* What the products are added to: what was there, the bias, or both; or nothing. */
static vec_way start_rows(const linear_args *a, const linear_part *part) {
    const char *bias = a->b ? a->b[part->group] : NULL;
    if (!bias)
        return a->accumulate ? VEC_ADD : VEC_OVER;
    for (int64_t n = part->row_begin; n < part->row_end; n++)
        for (int64_t o = part->out_begin; o < part->out_end; o += LANES) {
            float *y = a->y[part->group] + n * a->y_stride + o;
            int64_t left = part->out_end - o;
            vec v = vec_load_weight(a->b_type, bias, o, left);
            if (a->accumulate)
                v += vec_load_some(y, left);
            vec_store_some(y, v, left);
        }
    return VEC_ADD;
}

/* Numbers i .. i + depth - 1 of the part's rows by a panel that begins there. Tiles of about as
 * many rows: one that is left over would load the panel for itself. */
static void multiply(vec_way way, const linear_args *a, const linear_part *part, int64_t i,
                     int64_t depth, const uint32_t (*panel)[WIDTH]) {
    const uint32_t *x = part->packed;
    const int64_t pairs = row_pairs(a->in), rows = part->row_end - part->row_begin;
    const int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t tile = 0, n = 0, end; tile < tiles; tile++, n = end) {
        end = rows * (tile + 1) / tiles;
        strip_rows(way, end - n, (left_pairs){x + n * pairs + i / 2, pairs, 1}, panel,
                   (depth + 1) / 2, part->out_end - part->out_begin,
                   a->y[part->group] + (part->row_begin + n) * a->y_stride + part->out_begin,
                   a->y_stride);
    }
}

static void run(const linear_args *a, const linear_part *part) {
    vec_way way = start_rows(a, part);
    if (a->panels) {
        const uint32_t *panel = (const void *)a->panels[part->group];
        panel +=
            part->out_begin / WIDTH * (panel_stride(a->w_stride) / 2) + part->out_begin % WIDTH;
        multiply(way, a, part, 0, a->in, (const uint32_t(*)[WIDTH])panel);
        return;
    }
    panels made;
    made.width = part->out_end - part->out_begin;
    for (int64_t i = 0; i < a->in; i += DEPTH, way = VEC_ADD) {
        int64_t depth = min_i64(DEPTH, a->in - i);
        pack_weights(&made, a, part, i, depth);
        multiply(way, a, part, i, depth, made.at[0]);
    }
}

const linear_kernel linear_panels_dot = {.pack_rows = 1,
                                         .step_rows = 12,
                                         .block_rows = BLOCK_ROWS,
                                         .pack_bytes = row_bytes,
                                         .pack = pack_rows,
                                         .run = run};
#endif
