/* test_weights.c - --weights int8 through the program, on the demo pair: what it costs in answers.
 */
#include "app/program.h"

static double fused_accuracy(const char *weights) {
    program_result r;
    PROGRAM(&r, "demo", "--questions", "0", "--limit", "200", "--json", "--weights", weights);
    json_document *document = program_json(&r);
    const json_value *all = json_get(json_get(json_root(document), "c2c"), "all");
    double accuracy = all->type == JSON_INTEGER ? (double)all->integer : all->real;
    json_close(document);
    program_result_free(&r);
    return accuracy;
}

/* At most one point, a bound that was fixed beforehand: 2 of these 200 questions. */
static void test_fused_answers_stay_right(void **state) {
    (void)state;
    double stored = fused_accuracy("stored"), int8 = fused_accuracy("int8");
    print_message("C2C: %.1f%% as stored, %.1f%% with int8\n", stored * 100, int8 * 100);
    assert_true(stored > 0.85);
    assert_true(int8 >= stored - 0.01 - 1e-9);
}

static void test_wrong_name(void **state) {
    (void)state;
    program_result r;
    PROGRAM(&r, "demo", "--weights", "int4");
    assert_program_fails(&r, 2, (const char *const[]){"stored, int8", NULL});
    program_result_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_answers_stay_right),
        cmocka_unit_test(test_wrong_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
