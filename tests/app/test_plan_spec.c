/* test_plan_spec.c - which tokens --plan fuses, and what it refuses in which words. */
#include "app/plan_spec.h"
#include "support/test.h"

#define MOST 8

/* The sections of `text` for a prompt, without empty ones. */
static size_t sections_of(const char *text, int64_t tokens, size_t sharers,
                          c2c_section found[MOST]) {
    plan_spec spec;
    c2c_section room[PLAN_SPEC_ROOM];
    const c2c_section *sections;
    size_t count, kept = 0;
    assert_ok(plan_spec_parse(&spec, text, &test_error));
    assert_ok(plan_spec_sections(&spec, tokens, sharers, room, &sections, &count, &test_error));
    for (size_t i = 0; i < count; i++)
        if (sections[i].length) {
            assert_true(kept < MOST);
            found[kept++] = sections[i];
        }
    plan_spec_deinit(&spec);
    return kept;
}

static void test_sections(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t tokens;
        size_t sharers, count;
        c2c_section sections[MOST];
    } cases[] = {
        {"all", 10, 1, 2, {{9, 1}, {1, -1}}},
        {"all", 10, 3, 2, {{9, 7}, {1, -1}}},
        {"all", 10, 31, 2, {{9, INT32_MAX}, {1, -1}}},
        {"all", 1, 1, 1, {{1, -1}}},
        {"none", 10, 2, 2, {{9, -1}, {1, -1}}},
        /* int(p * (n - 1)): 4 of 9, 2 of 9. */
        {"front:0.5", 10, 1, 3, {{4, 1}, {5, -1}, {1, -1}}},
        {"back:0.25", 10, 2, 3, {{7, -1}, {2, 3}, {1, -1}}},
        {"front:0", 10, 1, 2, {{9, -1}, {1, -1}}},
        {"back:1", 10, 1, 2, {{9, 1}, {1, -1}}},
        {"front:1.0", 1, 1, 1, {{1, -1}}},
        /* As in Python, 0.29 * 100 is 28.999999999999996. */
        {"front:0.29", 101, 1, 3, {{28, 1}, {72, -1}, {1, -1}}},
        {"4:1,5:-1,1:0", 10, 1, 3, {{4, 1}, {5, -1}, {1, 0}}},
        {"4:3,0:1,6:-1", 10, 2, 2, {{4, 3}, {6, -1}}},
        {"10:1", 10, 1, 1, {{10, 1}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        c2c_section found[MOST];
        size_t count = sections_of(cases[i].text, cases[i].tokens, cases[i].sharers, found);
        if (count != cases[i].count)
            fail_msg("%s: expected %zu sections, found %zu", cases[i].text, cases[i].count, count);
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(found[k].length, cases[i].sections[k].length);
            assert_int_equal(found[k].mask, cases[i].sections[k].mask);
        }
    }
}

static void test_refused_words(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "half",
                                        "All",
                                        "front",
                                        "front:",
                                        "front:x",
                                        "front:-0.1",
                                        "back:1.1",
                                        "back:nan",
                                        "back:0x1",
                                        "front: 1",
                                        "front:0.5,",
                                        "front:1e0",
                                        "front:.",
                                        "4",
                                        "4:",
                                        ":1",
                                        "4:1,",
                                        ",4:1",
                                        "4:1;5:1",
                                        "-4:1",
                                        "4:-2",
                                        "4:1 ",
                                        " 4:1",
                                        "4:2147483648",
                                        "99999999999:1",
                                        "4:1:1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        plan_spec spec;
        if (plan_spec_parse(&spec, texts[i], &test_error) != C2C_STATUS_INVALID_ARGUMENT)
            fail_msg("\"%s\" was taken", texts[i]);
        assert_non_null(strstr(test_error.message, texts[i]));
        assert_null(spec.sections);
    }
}

static void test_lengths_and_masks_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        const char *text, *holds[2];
    } cases[] = {{"4:1,5:-1", {"10 tokens", "found 9"}},
                 {"4:1,7:-1", {"10 tokens", "found 11"}},
                 {"4:1,5:2,1:-1", {"section 1", "from -1 to 1 for 1 sharer, found 2"}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plan_spec spec;
        c2c_section room[PLAN_SPEC_ROOM];
        const c2c_section *sections;
        size_t count;
        assert_ok(plan_spec_parse(&spec, cases[i].text, &test_error));
        assert_fails(plan_spec_sections(&spec, 10, 1, room, &sections, &count, &test_error),
                     C2C_STATUS_INVALID_ARGUMENT, "--plan", cases[i].holds[0], cases[i].holds[1]);
        plan_spec_deinit(&spec);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_refused_words),
        cmocka_unit_test(test_lengths_and_masks_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
