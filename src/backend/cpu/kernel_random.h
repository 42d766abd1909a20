/* kernel_random.h - the counter generator in vectors: uniform numbers and dropout, compiled once
 * per instruction set. Philox4x32-10 as in base's random.c, 16 blocks at a time. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

#define RANDOM_BLOCKS 16
#define RANDOM_CHUNK  (4 * RANDOM_BLOCKS) /* numbers made at once */

/* The key of a row: random bits of its own, and a counter for the group and place. */
typedef struct row_key {
    uint32_t key[2];
    uint32_t place, group;
} row_key;

static row_key random_row_key(const random_rows *r, int64_t n, int64_t group) {
    uint32_t bits[4];
    const random_key key = {.seed = r->seed,
                            .step = r->step,
                            .sample = (uint32_t)r->samples[n],
                            .site = r->site};
    random_block(&key, bits);
    return (row_key){{bits[0], bits[1]}, (uint32_t)r->positions[n], r->group + (uint32_t)group};
}

/* The two halves of a[l] * factor. */
KERNEL_INLINE void multiply_wide(vec_bits a, uint32_t factor, vec_bits *high, vec_bits *low) {
#if LANES == 16
    __m512i f = _mm512_set1_epi32((int)factor), even = _mm512_mul_epu32((__m512i)a, f);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), f);
    *high = (vec_bits)_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
    *low = (vec_bits)_mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32));
#elif LANES == 8
    __m256i f = _mm256_set1_epi32((int)factor), even = _mm256_mul_epu32((__m256i)a, f);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)a, 32), f);
    *high = (vec_bits)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    *low = (vec_bits)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
#else
    uint32_t upper[LANES], lower[LANES];
    for (int l = 0; l < LANES; l++) {
        uint64_t product = (uint64_t)a[l] * factor;
        upper[l] = (uint32_t)(product >> 32);
        lower[l] = (uint32_t)product;
    }
    memcpy(high, upper, sizeof upper);
    memcpy(low, lower, sizeof lower);
#endif
}

/* Numbers chunk * RANDOM_CHUNK .. of a row, LANES blocks at a time. */
static void random_chunk(const row_key *row, int64_t chunk, float u[RANDOM_CHUNK]) {
    for (int first = 0; first < RANDOM_BLOCKS; first += LANES) {
        uint32_t blocks[LANES], k[2] = {row->key[0], row->key[1]};
        for (int l = 0; l < LANES; l++)
            blocks[l] = (uint32_t)(chunk * RANDOM_BLOCKS + first + l);
        vec_bits zero = {0}, c[4] = {zero + row->place, zero + row->group, zero, zero};
        memcpy(&c[2], blocks, sizeof blocks);
        for (int round = 0; round < 10; round++) {
            vec_bits high[2], low[2];
            multiply_wide(c[0], 0xd2511f53u, &high[0], &low[0]);
            multiply_wide(c[2], 0xcd9e8d57u, &high[1], &low[1]);
            c[0] = high[1] ^ c[1] ^ k[0];
            c[1] = low[1];
            c[2] = high[0] ^ c[3] ^ k[1];
            c[3] = low[0];
            k[0] += 0x9e3779b9u;
            k[1] += 0xbb67ae85u;
        }
        UNROLL for (int w = 0; w < 4; w++) { /* 24 bits, which f32 holds */
            vec_ints odd = (vec_ints)((c[w] >> 9) * 2 + 1);
            vec_store(u + w * RANDOM_BLOCKS + first, __builtin_convertvector(odd, vec) * 0x1p-24f);
        }
    }
}

static void kernel_uniforms(const void *args, int64_t group, int64_t begin, int64_t end) {
    const uniforms_args *a = args;
    float u[RANDOM_CHUNK];
    for (int64_t n = begin; n < end; n++) {
        row_key row = random_row_key(&a->random, n, group);
        for (int64_t i = 0; i < a->features; i += RANDOM_CHUNK) {
            random_chunk(&row, i / RANDOM_CHUNK, u);
            memcpy(a->u[group] + n * a->u_stride + i, u,
                   (size_t)min_i64(RANDOM_CHUNK, a->features - i) * sizeof *u);
        }
    }
}

static void kernel_dropout(const void *args, int64_t group, int64_t begin, int64_t end) {
    const dropout_args *a = args;
    float u[RANDOM_CHUNK], factor = 1.0f / (1.0f - a->rate);
    if (!a->y[group])
        return;
    for (int64_t n = begin; n < end; n++) {
        row_key row = random_row_key(&a->random, n, group);
        const float *x = a->x[group] + n * a->x_stride;
        float *y = a->y[group] + n * a->y_stride;
        for (int64_t i = 0; i < a->features; i += LANES) {
            int64_t left = a->features - i;
            if (i % RANDOM_CHUNK == 0)
                random_chunk(&row, i / RANDOM_CHUNK, u);
            vec keep = vec_select(vec_load(u + i % RANDOM_CHUNK) >= a->rate, vec_set(factor),
                                  vec_set(0.0f));
            vec v = vec_load_some(x + i, left) * keep;
            vec_store_some(y + i, a->accumulate ? vec_load_some(y + i, left) + v : v, left);
        }
    }
}
