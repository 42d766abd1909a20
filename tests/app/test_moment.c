/* test_moment.c - the date that templates see: what --date says, and that it reaches the prompt. */
#include "app/moment.h"
#include "app/program.h"

#include <stdlib.h>
#include <time.h>

/* What a template that writes the date reads, by the ids of its answer. */
static void test_date(void **state) {
    (void)state;
    static const char template[] = "{{ messages[-1]['content'] }}{% if strftime_now is defined %} "
                                   "{{ strftime_now('%Y-%m-%d') }}{% endif %}";
    char *folder = test_folder_make();
    test_file_write(folder, "own.jinja", template, sizeof template - 1);
    char *path = path_join(folder, "own.jinja");
    /* The same prompts without a template, and which of them each option must give. */
    static const char *const texts[] = {"When? 2024-07-26", "When? 2023-01-05", "When?"};
    static const char *const dates[] = {"2024-07-26", "2023-01-05", "none"};
    for (int i = 0; i < 3; i++) {
        program_result raw, dated;
        PROGRAM(&raw, "run", "--receiver", DEMO_SHARER, "-p", texts[i], "-n", "4", "--raw",
                "--json");
        PROGRAM(&dated, "run", "--receiver", DEMO_SHARER, "-p", "When?", "-n", "4",
                "--chat-template", path, "--date", dates[i], "--json");
        json_document *a = program_json(&raw), *b = program_json(&dated);
        assert_int_equal(json_get(json_root(a), "prompt_tokens")->integer,
                         json_get(json_root(b), "prompt_tokens")->integer);
        assert_string_equal(json_get(json_root(a), "text")->string,
                            json_get(json_root(b), "text")->string);
        json_close(a);
        json_close(b);
        program_result_free(&raw);
        program_result_free(&dated);
    }
    free(path);
    test_folder_remove(folder);
}

static void test_moment_read(void **state) {
    (void)state;
    static const char *const bad[] = {"",           "today",      "2024-2-3",    "2024-02-30",
                                      "2024-13-01", "0000-01-01", "2024-07-26 ", "2024/07/26",
                                      "+024-07-26", "20240726"};
    moment_choice m;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(moment_read(&m, bad[i], &test_error), C2C_STATUS_INVALID_ARGUMENT,
                     "now, none or a date YYYY-MM-DD");
    assert_ok(moment_read(&m, "2024-07-26", &test_error));
    assert_true(!m.none && m.moment.unix_seconds == 1721952000 && m.moment.utc_offset == 0);
    assert_ok(moment_read(&m, "none", &test_error));
    assert_true(m.none);
    /* Without a word it is the local time, whose offset is that of the zone. */
    char *before = getenv("TZ") ? strdup(getenv("TZ")) : NULL;
    setenv("TZ", "XYZ-5:45", 1);
    assert_ok(moment_read(&m, NULL, &test_error));
    assert_true(!m.none && m.moment.utc_offset == 20700);
    assert_true(llabs((long long)time(NULL) - (long long)m.moment.unix_seconds) < 60);
    if (before)
        setenv("TZ", before, 1);
    else
        unsetenv("TZ");
    free(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_date),
        cmocka_unit_test(test_moment_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
