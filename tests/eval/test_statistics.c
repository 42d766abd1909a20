/* test_statistics.c - intervals and tests against values computed elsewhere, and LongBench's
 * metrics on small texts (the public scores are compared by the golden runner). */
#include "eval/run.h"
#include "support/test.h"

#include <time.h>

/* Formulas of a few operations: what double arithmetic loses. */
#define CLOSE 1e-6

static void assert_near(double got, double expected) {
    if (!(fabs(got - expected) <= CLOSE))
        fail_msg("expected %.9g, got %.9g", expected, got);
}

static void test_share(void **state) {
    (void)state;
    /* statsmodels: proportion_confint(15, 20, method="wilson") */
    eval_interval i = eval_share(15, 20);
    assert_near(i.value, 0.75);
    assert_near(i.low, 0.53129907);
    assert_near(i.high, 0.88813824);
    i = eval_share(0, 10);
    assert_near(i.low, 0);
    assert_true(i.high > 0.2 && i.high < 0.35);
    assert_true(isnan(eval_share(0, 0).value));
}

static void test_mcnemar(void **state) {
    (void)state;
    assert_near(eval_mcnemar(0, 0), 1);
    assert_near(eval_mcnemar(5, 5), 1);
    assert_near(eval_mcnemar(1, 9), 22.0 / 1024); /* 2 (1 + 10) / 2^10 */
    assert_near(eval_mcnemar(9, 1), 22.0 / 1024);
    assert_near(eval_mcnemar(0, 3), 0.25);
    assert_true(eval_mcnemar(0, 2000) < 1e-300);
}

/* The interval of a mean of independent values is about 1.96 standard errors to each side; of
 * 10,000 samples it is known to within some hundredths of that. */
static void test_bootstrap(void **state) {
    (void)state;
    double values[400];
    for (int i = 0; i < 400; i++)
        values[i] = i % 4 == 0 ? 1 : i % 4 == 1 ? -1 : 0;
    values[0] = 0;
    eval_interval i = eval_bootstrap(values, 400, &test_error);
    double deviation = sqrt(0.5 / 400);
    assert_near(i.value, -1.0 / 400);
    assert_true(fabs(i.high - i.value - 1.96 * deviation) < 0.1 * deviation);
    assert_true(fabs(i.value - i.low - 1.96 * deviation) < 0.1 * deviation);
    eval_interval again = eval_bootstrap(values, 400, &test_error);
    assert_memory_equal(&i, &again, sizeof i);
}

static double long_of(const char *task, const char *said, const char *truth) {
    double score;
    const long_texts answers = {&truth, 1}, none = {0};
    assert_ok(long_score(&score, long_task_find(task), said, &answers, &none, &test_error));
    return score;
}

static void test_long_scores(void **state) {
    (void)state;
    assert_near(long_of("qasper", "The cat!", "a Cat"), 1);
    assert_near(long_of("qasper", "an", "an"), 0); /* nothing but articles */
    assert_near(long_of("qasper", "one two", "two three four"), 0.4);
    assert_near(long_of("triviaqa", "\n\nyes\nand more", "yes"), 1);
    assert_near(long_of("passage_count", "There are 3 or 4", "3"), 0.5);
    assert_near(long_of("passage_retrieval_en", "Paragraph 12", "Paragraph 1"), 0);
    assert_near(long_of("lcc", "# no\nx = 1\n", "x = 1"), 1);
    assert_near(long_of("vcsum", "x", "x"), 0); /* no metric here */
    assert_true(long_of("multi_news", "a b c. d e", "a c. d e f") > 0.7);
    assert_near(long_of("multi_news", ".", "a"), 0);
}

/* Long lines and texts without any match end soon. */
static void test_long_bounds(void **state) {
    (void)state;
    static const char *const tasks[] = {"lcc", "multi_news", "qasper"};
    buffer a = {0}, b = {0};
    for (int i = 0; i < 3000; i++) {
        buffer_printf(&a, "w%d ", i);
        buffer_printf(&b, "v%d ", 3000 - i);
    }
    clock_t started = clock(); /* the processor's time: machines are shared */
    for (int i = 0; i < 3; i++) {
        long_of(tasks[i], a.data, b.data);
        long_of(tasks[i], a.data, a.data);
    }
    assert_true((double)(clock() - started) / CLOCKS_PER_SEC < 8);
    buffer_free(&a);
    buffer_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_share), cmocka_unit_test(test_mcnemar),
                                       cmocka_unit_test(test_bootstrap),
                                       cmocka_unit_test(test_long_scores),
                                       cmocka_unit_test(test_long_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
