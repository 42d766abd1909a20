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

/* Numbers chunk * RANDOM_CHUNK .. of a row. Plain loops over the blocks, which compilers turn into
 * vectors. */
static void random_chunk(const row_key *row, int64_t chunk, float u[RANDOM_CHUNK]) {
    uint32_t c[4][RANDOM_BLOCKS], k[2] = {row->key[0], row->key[1]};
    for (int l = 0; l < RANDOM_BLOCKS; l++) {
        c[0][l] = row->place;
        c[1][l] = row->group;
        c[2][l] = (uint32_t)(chunk * RANDOM_BLOCKS + l);
        c[3][l] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int l = 0; l < RANDOM_BLOCKS; l++) {
            uint64_t a = (uint64_t)0xd2511f53u * c[0][l], b = (uint64_t)0xcd9e8d57u * c[2][l];
            uint32_t x1 = c[1][l], x3 = c[3][l];
            c[0][l] = (uint32_t)(b >> 32) ^ x1 ^ k[0];
            c[1][l] = (uint32_t)b;
            c[2][l] = (uint32_t)(a >> 32) ^ x3 ^ k[1];
            c[3][l] = (uint32_t)a;
        }
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    for (int w = 0; w < 4; w++)
        for (int l = 0; l < RANDOM_BLOCKS; l++) /* 24 bits, which f32 holds */
            u[w * RANDOM_BLOCKS + l] = (float)(int32_t)((c[w][l] >> 9) * 2 + 1) * 0x1p-24f;
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
