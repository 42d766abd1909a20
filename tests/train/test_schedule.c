/* test_schedule.c - learning rates against transformers' get_scheduler, temperatures, and which
 * rows a step reads. */
#include "support/test.h"
#include "train/train.h"

/* What get_scheduler of transformers 4.52.4 multiplies a rate of 1e-3 with. */
static const struct {
    const char *name;
    int64_t total, warmup;
    struct {
        int64_t step;
        double factor;
    } at[10];
} recorded[] = {
    {"linear",
     20,
     3,
     {{0, 0.0},
      {1, 0.3333333333333333},
      {2, 0.6666666666666666},
      {3, 1.0},
      {4, 0.9411764705882353},
      {6, 0.8235294117647058},
      {10, 0.5882352941176471},
      {19, 0.058823529411764705},
      {20, 0.0},
      {23, 0.0}}},
    {"linear",
     1929,
     192,
     {{0, 0.0},
      {1, 0.005208333333333333},
      {2, 0.010416666666666666},
      {3, 0.015625},
      {4, 0.020833333333333332},
      {643, 0.740356937248129},
      {964, 0.5555555555555556},
      {1928, 0.0005757052389176742},
      {1929, 0.0},
      {1932, 0.0}}},
    {"cosine",
     20,
     3,
     {{0, 0.0},
      {1, 0.3333333333333333},
      {2, 0.6666666666666666},
      {3, 1.0},
      {4, 0.991486549841951},
      {6, 0.9251085678648071},
      {10, 0.6368314950360415},
      {19, 0.008513450158049107},
      {20, 0},
      {23, 0.07489143213519295}}},
    {"cosine",
     1000,
     0,
     {{0, 1.0},
      {1, 0.9999975326009292},
      {2, 0.9999901304280685},
      {3, 0.9999777935544749},
      {4, 0.9999605221019081},
      {333, 0.750453312680355},
      {500, 0.5},
      {999, 2.467399070893439e-06},
      {1000, 0},
      {1003, 2.2206445525085883e-05}}},
    {"cosine_with_restarts",
     20,
     3,
     {{0, 0.0},
      {1, 0.3333333333333333},
      {2, 0.6666666666666666},
      {3, 1.0},
      {4, 0.991486549841951},
      {6, 0.9251085678648071},
      {10, 0.6368314950360415},
      {19, 0.008513450158049107},
      {20, 0.0},
      {23, 0.0}}},
    {"polynomial",
     20,
     3,
     {{0, 0.0},
      {1, 0.3333333333333333},
      {2, 0.6666666666666666},
      {3, 1.0},
      {4, 0.9411823529411764},
      {6, 0.8235470588235293},
      {10, 0.5882764705882353},
      {19, 0.05891764705882354},
      {20, 9.999999999999999e-05},
      {23, 9.999999999999999e-05}}},
    {"constant",
     20,
     3,
     {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {6, 1}, {10, 1}, {19, 1}, {20, 1}, {23, 1}}},
    {"constant_with_warmup",
     20,
     3,
     {{0, 0.0},
      {1, 0.3333333333333333},
      {2, 0.6666666666666666},
      {3, 1.0},
      {4, 1.0},
      {6, 1.0},
      {10, 1.0},
      {19, 1.0},
      {20, 1.0},
      {23, 1.0}}},
    {"inverse_sqrt",
     20,
     3,
     {{0, 0.0},
      {1, 0.3333333333333333},
      {2, 0.6666666666666666},
      {3, 1.0},
      {4, 0.8660254037844387},
      {6, 0.7071067811865475},
      {10, 0.5477225575051661},
      {19, 0.3973597071195132},
      {20, 0.3872983346207417},
      {23, 0.3611575592573076}}},
    {"inverse_sqrt",
     20,
     0,
     {{0, 1.0},
      {1, 0.9999500037496877},
      {2, 0.9999000149975006},
      {3, 0.9998500337415648},
      {4, 0.9998000599800071},
      {6, 0.9997001349325354},
      {10, 0.9995003746877732},
      {19, 0.9990513516101199},
      {20, 0.9990014975043671},
      {23, 0.9988519799554487}}},
};

static void schedules_are_those_of_transformers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        schedule s = {.warmup = recorded[i].warmup, .total = recorded[i].total, .rate = 1e-3};
        assert_true(schedule_find(&s.kind, recorded[i].name));
        assert_string_equal(schedule_name(s.kind), recorded[i].name);
        for (size_t k = 0; k < 10; k++) {
            int64_t step = recorded[i].at[k].step;
            double got = schedule_factor(&s, step), expected = recorded[i].at[k].factor;
            /* The same formula in the same type: only cos and the order of a product may differ by
             * a few units in the last place. */
            if (fabs(got - expected) > 1e-15)
                fail_msg("%s, %lld of %lld: expected %.17g, got %.17g", recorded[i].name,
                         (long long)step, (long long)s.total, expected, got);
            assert_true(schedule_rate(&s, step) == 1e-3 * got);
        }
    }
    schedule_kind kind;
    assert_false(schedule_find(&kind, "Linear"));
    assert_false(schedule_find(&kind, "reduce_lr_on_plateau"));
}

static void warmup_that_takes_every_step_ends(void **state) {
    (void)state;
    for (int kind = 0; kind < SCHEDULE_COUNT; kind++) {
        schedule s = {.kind = (schedule_kind)kind, .warmup = 5, .total = 5, .rate = 1};
        if (kind != SCHEDULE_CONSTANT)
            assert_true(schedule_factor(&s, 4) == 0.8);
        for (int64_t step = 5; step < 9; step++)
            assert_true(isfinite(schedule_factor(&s, step)));
    }
}

/* As Python's int(ratio * total). */
static void warmup_ratio_is_cut_down(void **state) {
    (void)state;
    assert_int_equal(schedule_warmup_steps(0.1, 2500), 250);
    assert_int_equal(schedule_warmup_steps(0.29, 100), 28);
    assert_int_equal(schedule_warmup_steps(0.07, 100), 7);
    assert_int_equal(schedule_warmup_steps(0.1, 1929), 192);
    assert_int_equal(schedule_warmup_steps(0, 10), 0);
}

static void temperature_is_annealed(void **state) {
    (void)state;
    assert_true(anneal_temperature(1, 0.001, 1929, 0) == 1);
    /* 0.001^(1/2) */
    assert_float_equal(anneal_temperature(1, 0.001, 1000, 500), 0.0316227766016838, 1e-15);
    assert_float_equal(anneal_temperature(2, 0.5, 4, 1), 1.4142135623730951, 1e-15);
    assert_float_equal(anneal_temperature(1, 0.001, 1000, 1000), 0.001, 1e-18);
    assert_float_equal(anneal_temperature(1, 0.001, 1000, 5000), 0.001, 1e-18);
    assert_float_equal(anneal_temperature(1, 0.001, 0, 0), 0.001, 1e-18);
}

/* ---- Order -------------------------------------------------------------------------------- */

#define ROWS 101

static bool is_permutation(const uint32_t *items, int64_t count) {
    bool seen[ROWS] = {false};
    for (int64_t i = 0; i < count; i++) {
        if (items[i] >= count || seen[items[i]])
            return false;
        seen[items[i]] = true;
    }
    return true;
}

static void orders_depend_on_seed_epoch_and_site_alone(void **state) {
    (void)state;
    uint32_t a[ROWS], b[ROWS];
    order_permute(a, ROWS, 42, 0, RANDOM_SITE_ORDER);
    assert_true(is_permutation(a, ROWS));
    order_permute(b, ROWS, 42, 0, RANDOM_SITE_ORDER);
    assert_memory_equal(a, b, sizeof a);
    const struct {
        uint64_t seed;
        uint32_t epoch, site;
    } others[] = {{43, 0, RANDOM_SITE_ORDER},
                  {42, 1, RANDOM_SITE_ORDER},
                  {42, 0, RANDOM_SITE_SPLIT}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        order_permute(b, ROWS, others[i].seed, others[i].epoch, others[i].site);
        assert_true(is_permutation(b, ROWS));
        assert_memory_not_equal(a, b, sizeof a);
    }
    order_permute(a, 1, 42, 0, RANDOM_SITE_ORDER);
    assert_int_equal(a[0], 0);
    order_permute(a, 0, 42, 0, RANDOM_SITE_ORDER);
}

/* Each row comes to each place about equally often: a mean of 200 of 4,000, with a deviation of 14;
 * 90 is more than six of them. */
static void orders_are_fair(void **state) {
    (void)state;
    int counts[20][20] = {{0}};
    uint32_t items[20];
    for (uint32_t seed = 0; seed < 4000; seed++) {
        order_permute(items, 20, seed, 3, RANDOM_SITE_ORDER);
        for (int i = 0; i < 20; i++)
            counts[i][items[i]]++;
    }
    for (int i = 0; i < 20; i++)
        for (int j = 0; j < 20; j++)
            assert_in_range(counts[i][j], 110, 290);
}

static void rows_are_split_once(void **state) {
    (void)state;
    uint32_t rows[ROWS];
    assert_int_equal(order_split(rows, ROWS, 0.9, 42), 90); /* int(0.9 * 101) */
    assert_true(is_permutation(rows, ROWS));
    assert_int_equal(order_split(rows, ROWS, 1, 42), ROWS);
    assert_int_equal(order_split(rows, ROWS, 0, 42), 0);
}

/* Every row is read once an epoch, in windows whose last batch and last window are short. */
static void steps_cover_an_epoch(void **state) {
    (void)state;
    step_plan plan;
    assert_ok(step_plan_init(&plan, 101, 4, 3, 2, 0, &test_error));
    assert_int_equal(plan.batches, 26);
    assert_int_equal(plan.steps_per_epoch, 9);
    assert_int_equal(plan.steps, 18);
    int64_t next = 0;
    for (int64_t step = 9; step < 18; step++) {
        step_window w = step_plan_window(&plan, step);
        assert_int_equal(w.epoch, 1);
        assert_int_equal(w.in_epoch, step - 9);
        assert_int_equal(w.batches, step == 17 ? 2 : 3);
        for (int64_t i = 0; i < w.batches; i++) {
            int64_t first, count = step_plan_batch(&plan, w.first_batch + i, &first);
            assert_int_equal(first, next);
            assert_int_equal(count, first == 100 ? 1 : 4);
            next += count;
        }
    }
    assert_int_equal(next, 101);
    assert_ok(step_plan_init(&plan, 101, 4, 3, 2, 7, &test_error));
    assert_int_equal(plan.steps, 7);
    assert_fails(step_plan_init(&plan, 0, 4, 3, 2, 7, &test_error), C2C_STATUS_MISMATCH, "no row",
                 "train_ratio");
    assert_fails(step_plan_init(&plan, 101, 4, 3, INT64_MAX, 0, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "num_epochs");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_are_those_of_transformers),
        cmocka_unit_test(warmup_that_takes_every_step_ends),
        cmocka_unit_test(warmup_ratio_is_cut_down),
        cmocka_unit_test(temperature_is_annealed),
        cmocka_unit_test(orders_depend_on_seed_epoch_and_site_alone),
        cmocka_unit_test(orders_are_fair),
        cmocka_unit_test(rows_are_split_once),
        cmocka_unit_test(steps_cover_an_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
