/* Sampling as a distribution: many draws from known probabilities, and each option's meaning. */
#include "support/test.h"

#include "backend/backend.h"

#define V 6

/* Probabilities at temperature 1 and their logits. */
static const double probabilities[V] = {0.05, 0.4, 0.1, 0.25, 0.15, 0.05};

/* How often each id comes in `draws` draws: counts[V]. */
static void draw_many(sample_args args, const int32_t *id_counts, int draws, int64_t counts[V]) {
    backend *b;
    assert_ok(backend_cpu_open(&b, 1, &test_error));
    float logits[V];
    sample_candidate candidates[V];
    for (int i = 0; i < V; i++)
        logits[i] = (float)log(probabilities[i]) + 3; /* a constant changes nothing */
    memset(counts, 0, V * sizeof *counts);
    for (int32_t position = 0; position < draws; position++) {
        int32_t id;
        args.ids = &id;
        args.logits = logits;
        args.counts = id_counts;
        args.positions = &position;
        args.candidates = candidates;
        args.rows = 1;
        args.features = V;
        op_sample(b, &args);
        assert_in_range(id, 0, V - 1);
        counts[id]++;
    }
    backend_close(b);
}

/* Chi-square against expected shares; 5 degrees of freedom exceed 25.7 once in 10,000 seeds, and
 * the seed is fixed. Ids of share 0 must never come. */
static void check_shares(const int64_t counts[V], const double shares[V], int draws) {
    double chi_square = 0;
    for (int i = 0; i < V; i++) {
        double expected = shares[i] * draws;
        if (expected == 0)
            assert_int_equal(counts[i], 0);
        else
            chi_square +=
                ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    }
    assert_true(chi_square < 25.7);
}

#define DRAWS 20000

static const sample_args neutral = {.temperature = 1,
                                    .top_p = 1,
                                    .repetition_penalty = 1,
                                    .seed = 12345};

static void test_plain_probabilities(void **state) {
    (void)state;
    int64_t counts[V];
    draw_many(neutral, NULL, DRAWS, counts);
    check_shares(counts, probabilities, DRAWS);
}

static void test_temperature(void **state) {
    (void)state;
    sample_args args = neutral;
    args.temperature = 2;
    double shares[V], sum = 0;
    for (int i = 0; i < V; i++)
        sum += shares[i] = sqrt(probabilities[i]);
    for (int i = 0; i < V; i++)
        shares[i] /= sum;
    int64_t counts[V];
    draw_many(args, NULL, DRAWS, counts);
    check_shares(counts, shares, DRAWS);
}

static void test_top_k_top_p_min_p(void **state) {
    (void)state;
    int64_t counts[V];
    sample_args args = neutral;
    args.top_k = 3;
    draw_many(args, NULL, DRAWS, counts);
    check_shares(counts, (double[V]){0, .4 / .8, 0, .25 / .8, .15 / .8, 0}, DRAWS);
    /* Of the three, 0.5 and 0.8125 are within 0.9; with the third it is 1. */
    args.top_p = 0.9f;
    draw_many(args, NULL, DRAWS, counts);
    check_shares(counts, (double[V]){0, .4 / .65, 0, .25 / .65, 0, 0}, DRAWS);
    /* Not even the first is within 0.3: it stays all the same. */
    args.top_p = 0.3f;
    draw_many(args, NULL, 100, counts);
    assert_int_equal(counts[1], 100);
    args = neutral;
    args.min_p = 0.3f; /* 0.12 */
    draw_many(args, NULL, DRAWS, counts);
    check_shares(counts, (double[V]){0, .4 / .8, 0, .25 / .8, .15 / .8, 0}, DRAWS);
}

static void test_penalties(void **state) {
    (void)state;
    int64_t counts[V];
    const int32_t seen[V] = {0, 2, 0, 1, 0, 0};
    sample_args args = neutral;
    args.presence_penalty = 0.5f;
    args.frequency_penalty = 0.25f;
    double shares[V], sum = 0;
    for (int i = 0; i < V; i++)
        sum += shares[i] = probabilities[i] * (seen[i] ? exp(-0.5 - 0.25 * seen[i]) : 1);
    for (int i = 0; i < V; i++)
        shares[i] /= sum;
    draw_many(args, seen, DRAWS, counts);
    check_shares(counts, shares, DRAWS);
    /* The logits are log p + 3, all positive here: division by the penalty. */
    args = neutral;
    args.repetition_penalty = 1.5f;
    sum = 0;
    for (int i = 0; i < V; i++)
        sum += shares[i] = exp((log(probabilities[i]) + 3) / (seen[i] ? 1.5 : 1));
    for (int i = 0; i < V; i++)
        shares[i] /= sum;
    draw_many(args, seen, DRAWS, counts);
    check_shares(counts, shares, DRAWS);
    /* Greedy sees penalties too: 0.4 e^-1 < 0.25. */
    args = neutral;
    args.temperature = 0;
    args.frequency_penalty = 0.5f;
    const int32_t only_first[V] = {0, 2, 0, 0, 0, 0};
    draw_many(args, only_first, 3, counts);
    assert_int_equal(counts[3], 3);
}

static void test_seeds(void **state) {
    (void)state;
    int64_t a[V], b[V];
    sample_args args = neutral;
    draw_many(args, NULL, 500, a);
    draw_many(args, NULL, 500, b);
    assert_memory_equal(a, b, sizeof a);
    args.seed++;
    draw_many(args, NULL, 500, b);
    assert_memory_not_equal(a, b, sizeof a);
}

/* Known answers of Philox4x32-10 (Random123's kat_vectors). */
static void test_the_generator_is_philox(void **state) {
    (void)state;
    uint32_t bits[4];
    random_block(&(random_key){0}, bits);
    assert_memory_equal(bits, ((uint32_t[]){0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}),
                        sizeof bits);
    random_block(&(random_key){UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX}, bits);
    assert_memory_equal(bits, ((uint32_t[]){0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}),
                        sizeof bits);
    random_block(&(random_key){0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x13198a2eu, 0x03707344u},
                 bits);
    assert_memory_equal(bits, ((uint32_t[]){0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}),
                        sizeof bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_probabilities),
        cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_top_k_top_p_min_p),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_the_generator_is_philox),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
