/* random.c - the counter generator: a number depends on its key alone, so that every backend,
 * thread count and rank draws the same ones, in any order. Philox4x32-10 (Salmon et al., SC 2011).
 */
#include "base/base.h"

static void philox_round(uint32_t counter[4], const uint32_t key[2]) {
    uint64_t a = (uint64_t)0xd2511f53u * counter[0], b = (uint64_t)0xcd9e8d57u * counter[2];
    uint32_t next[4] = {(uint32_t)(b >> 32) ^ counter[1] ^ key[0], (uint32_t)b,
                        (uint32_t)(a >> 32) ^ counter[3] ^ key[1], (uint32_t)a};
    memcpy(counter, next, sizeof next);
}

void random_block(const random_key *key, uint32_t bits[4]) {
    uint32_t k[2] = {(uint32_t)key->seed, (uint32_t)(key->seed >> 32)};
    uint32_t counter[4] = {(uint32_t)key->step, (uint32_t)(key->step >> 32), key->sample,
                           key->site};
    for (int round = 0; round < 10; round++) {
        philox_round(counter, k);
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    memcpy(bits, counter, sizeof counter);
}

double random_uniform(const random_key *key) {
    uint32_t bits[4];
    random_block(key, bits);
    /* The middles of 2^52 equal steps: never 0, never 1. */
    uint64_t step = (uint64_t)bits[0] << 20 | bits[1] >> 12;
    return ((double)step + 0.5) * 0x1p-52;
}
