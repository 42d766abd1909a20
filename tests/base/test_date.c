/* Dates and days, there and back. */
#include "support/test.h"

static void test_known_days(void **state) {
    (void)state;
    static const struct {
        date date;
        int64_t days;
    } rows[] = {
        {{1970, 1, 1}, 0},         {{1969, 12, 31}, -1},   {{2000, 2, 29}, 11016},
        {{2000, 3, 1}, 11017},     {{2024, 7, 26}, 19930}, {{1, 1, 1}, -719162},
        {{9999, 12, 31}, 2932896},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        date d = date_from_days(rows[i].days);
        assert_int_equal(date_to_days(&rows[i].date), rows[i].days);
        assert_true(d.year == rows[i].date.year && d.month == rows[i].date.month &&
                    d.day == rows[i].date.day);
    }
}

/* Every day of 9999 years is the one after the day before, counted the plain way. */
static void test_every_day(void **state) {
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    date want = {1, 1, 1};
    int64_t days = date_to_days(&want);
    for (; want.year <= 9999; days++) {
        date d = date_from_days(days);
        if (d.year != want.year || d.month != want.month || d.day != want.day ||
            date_to_days(&want) != days)
            fail_msg("day %lld: got %d-%d-%d", (long long)days, d.year, d.month, d.day);
        bool leap = want.year % 4 == 0 && (want.year % 100 != 0 || want.year % 400 == 0);
        if (want.day++ < lengths[want.month - 1] + (leap && want.month == 2))
            continue;
        want.day = 1;
        want.year += want.month == 12;
        want.month = want.month % 12 + 1;
    }
    assert_int_equal(days, 2932897);
}

static void test_which_dates_exist(void **state) {
    (void)state;
    static const date good[] = {{1, 1, 1}, {2000, 2, 29}, {2024, 2, 29}, {9999, 12, 31}};
    static const date bad[] = {{0, 1, 1},     {10000, 1, 1}, {2023, 2, 29}, {1900, 2, 29},
                               {2024, 4, 31}, {2024, 0, 1},  {2024, 13, 1}, {2024, 1, 0},
                               {2024, 1, 32}, {-1, -1, -1}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(date_exists(&good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(date_exists(&bad[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_days),
        cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_which_dates_exist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
