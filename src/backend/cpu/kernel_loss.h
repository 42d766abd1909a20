/* kernel_loss.h - the loss and the optimizer, compiled once per instruction set. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/vector.h"

#include <math.h>

/* Half of the lanes: as doubles they are as wide as a vec. */
typedef float vec_half __attribute__((vector_size(LANES * 2)));
typedef double vec_doubles __attribute__((vector_size(LANES * 4)));

/* Logits whose e^x are added up in f32 before the sum goes into an f64. */
#define LOSS_CHUNK 4096

static float largest_of(const float *x, int64_t count) {
    vec best = vec_set(-INFINITY);
    float largest = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        best = vec_max(vec_load(x + i), best);
    for (; i < count; i++)
        largest = x[i] > largest ? x[i] : largest;
    float of_lanes = vec_largest(best);
    return of_lanes > largest ? of_lanes : largest;
}

/* sum_i e^(x[i] - largest) */
static double sum_exp(const float *x, int64_t count, float largest) {
    double total = 0;
    for (int64_t begin = 0; begin < count; begin += LOSS_CHUNK) {
        int64_t end = min_i64(begin + LOSS_CHUNK, count), i = begin;
        vec sum = {0};
        for (; i + LANES <= end; i += LANES)
            sum += vec_exp(vec_load(x + i) - largest);
        total += vec_sum(sum);
        if (i < end) { /* the last few: lanes behind the end must not count */
            vec rest = vec_exp(vec_load_part(x + i, end - i) - largest);
            for (int64_t j = 0; j < end - i; j++)
                total += rest[j];
        }
    }
    return total;
}

static void kernel_cross_entropy(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const cross_entropy_args *a = args;
    for (int64_t n = begin; n < end; n++) {
        float *x = a->logits + n * a->stride;
        int32_t label = a->labels[n];
        C2C_ASSERT(label < a->features);
        if (label < 0) {
            a->losses[n] = 0;
            if (!a->loss_only)
                memset(x, 0, (size_t)a->features * sizeof *x);
            continue;
        }
        float largest = largest_of(x, a->features);
        double total = sum_exp(x, a->features, largest);
        a->losses[n] = (float)(log(total) + ((double)largest - x[label]));
        if (a->loss_only)
            continue;
        float factor = (float)(a->scale / total);
        /* of the label, p - 1 without what rounding does to p near 1 */
        double p = exp((double)x[label] - largest) / total;
        for (int64_t i = 0; i < a->features; i += LANES) {
            int64_t left = a->features - i;
            vec_store_some(x + i, vec_exp(vec_load_some(x + i, left) - largest) * factor, left);
        }
        x[label] = (float)((p - 1) * a->scale);
    }
}

KERNEL_INLINE void add_squares(vec_doubles *low, vec_doubles *high, const float *x) {
    vec_half halves[2];
    memcpy(halves, x, sizeof halves);
    vec_doubles a = __builtin_convertvector(halves[0], vec_doubles);
    vec_doubles b = __builtin_convertvector(halves[1], vec_doubles);
    *low += a * a;
    *high += b * b;
}

/* begin .. end-1 are blocks of SQUARED_NORM_BLOCK elements here. */
static void kernel_squared_norm(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const squared_norm_args *a = args;
    for (int64_t block = begin; block < end; block++) {
        int64_t i = block * SQUARED_NORM_BLOCK;
        int64_t last = min_i64(i + SQUARED_NORM_BLOCK, a->count);
        vec_doubles low = {0}, high = {0};
        double total = 0;
        for (; i + LANES <= last; i += LANES)
            add_squares(&low, &high, a->x + i);
        if (i < last) {
            float rest[LANES];
            vec_store(rest, vec_load_part(a->x + i, last - i));
            add_squares(&low, &high, rest);
        }
        for (int l = 0; l < LANES / 2; l++)
            total += low[l];
        for (int l = 0; l < LANES / 2; l++)
            total += high[l];
        a->blocks[block] = total;
    }
}

/* begin .. end-1 are elements, here and in adamw. */
static void kernel_scale(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const scale_args *a = args;
    for (int64_t i = begin; i < end; i += LANES)
        vec_store_some(a->y + i, vec_load_some(a->y + i, end - i) * a->factor, end - i);
}

KERNEL_INLINE vec vec_root(vec x) {
    for (int l = 0; l < LANES; l++)
        x[l] = sqrtf(x[l]);
    return x;
}

static void kernel_adamw(const void *args, int64_t group, int64_t begin, int64_t end) {
    (void)group;
    const adamw_args *a = args;
    /* Constants of a step are made in f64 and rounded once, as PyTorch's are. */
    double correction1 = 1 - pow(a->beta1, (double)a->step);
    double correction2 = 1 - pow(a->beta2, (double)a->step);
    float keep = (float)(1 - a->learning_rate * a->weight_decay);
    float step = (float)(-a->learning_rate / correction1), root = (float)sqrt(correction2);
    float weight1 = (float)(1 - a->beta1), weight2 = (float)(1 - a->beta2);
    float beta2 = (float)a->beta2, epsilon = (float)a->epsilon;
    for (int64_t i = begin; i < end; i += LANES) {
        int64_t left = end - i;
        vec g = vec_load_some(a->dw + i, left) * a->gradient_scale;
        vec m = vec_load_some(a->m + i, left), v = vec_load_some(a->v + i, left);
        m = vec_fma(vec_set(weight1), g - m, m);
        v = v * beta2 + weight2 * g * g;
        vec down = vec_root(v) / root + epsilon;
        vec w = vec_load_some(a->w + i, left) * keep;
        vec_store_some(a->w + i, w + step * m / down, left);
        vec_store_some(a->m + i, m, left);
        vec_store_some(a->v + i, v, left);
    }
}
