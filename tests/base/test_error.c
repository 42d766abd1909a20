/* Errors: what a message looks like whatever went into it, and that NULL is fine. */
#include "support/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_every_status_has_a_name(void **state) {
    (void)state;
    for (int a = C2C_STATUS_OK; a <= C2C_STATUS_CANCELLED; a++) {
        assert_string_not_equal(c2c_status_name((c2c_status)a), "unknown status");
        for (int b = C2C_STATUS_OK; b < a; b++)
            assert_string_not_equal(c2c_status_name((c2c_status)a), c2c_status_name((c2c_status)b));
    }
    assert_string_equal(c2c_status_name((c2c_status)12345), "unknown status");
    assert_string_equal(c2c_version(), C2C_VERSION);
}

static void test_set_returns_its_code(void **state) {
    (void)state;
    c2c_error error = {0};
    assert_int_equal(error_set(&error, C2C_STATUS_IO, "%s: line %d", "a.json", 7), C2C_STATUS_IO);
    assert_int_equal(error.code, C2C_STATUS_IO);
    assert_string_equal(error.message, "a.json: line 7");
    assert_int_equal(error_set(NULL, C2C_STATUS_BAD_FILE, "x"), C2C_STATUS_BAD_FILE);
    error_prefix(NULL, "x");
    assert_int_equal(error_memory(&error, 1234567, "a cache"), C2C_STATUS_OUT_OF_MEMORY);
    assert_string_equal(error.message, "out of memory: could not get 1234567 bytes for a cache");
}

static void test_the_old_message_may_be_an_argument(void **state) {
    (void)state;
    c2c_error error = {0};
    error_set(&error, C2C_STATUS_MISMATCH, "inner");
    error_set(&error, C2C_STATUS_BAD_FILE, "<%s>", error.message);
    assert_string_equal(error.message, "<inner>");
    error_prefix(&error, "file %d", 3);
    assert_string_equal(error.message, "file 3: <inner>");
    assert_int_equal(error.code, C2C_STATUS_BAD_FILE);
}

static void test_message_is_one_line_of_valid_text(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *message;
    } cases[] = {
        {"a\nb\tc\x7f", "a b c "},
        {"gr\xc3\xbc\xc3\x9f \xe4\xb8\xad \xf0\x9f\x99\x82", "gr\xc3\xbc\xc3\x9f \xe4\xb8\xad "
                                                             "\xf0\x9f\x99\x82"},
        {"\xff|\x80|\xc3", "?|?|?"},                   /* never valid, alone, cut off */
        {"\xc0\xaf|\xe0\x80\xaf", "??|???"},           /* longer than they need to be */
        {"\xed\xa0\x80|\xf4\x90\x80\x80", "???|????"}, /* surrogate, beyond U+10FFFF */
        {"\xc2\x85|\xc2\xa0", "??|\xc2\xa0"}, /* the C1 "next line" ends lines on terminals */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        c2c_error error;
        error_set(&error, C2C_STATUS_BAD_FILE, "%s", cases[i].bytes);
        assert_string_equal(error.message, cases[i].message);
    }
}

static void test_long_message_says_that_it_was_cut(void **state) {
    (void)state;
    c2c_error error;
    char text[3000];
    /* Characters of 3 bytes behind 0, 1 or 2 others: the cut falls on each byte of one. */
    for (int shift = 0; shift < 3; shift++) {
        for (int i = 0; i < 2700; i++)
            text[i] = i < shift ? 'x' : "\xe4\xb8\xad"[(i - shift) % 3];
        text[2700] = 0;
        error_set(&error, C2C_STATUS_BAD_FILE, "%s", text);
        size_t length = strlen(error.message);
        assert_in_range(length, sizeof error.message - 6, sizeof error.message - 1);
        assert_string_equal(error.message + length - 3, "...");
        assert_null(strchr(error.message, '?'));
        assert_memory_equal(error.message, text, length - 3);
    }
    memset(text, 'y', 1023), text[1023] = 0;
    error_set(&error, C2C_STATUS_BAD_FILE, "%s", text); /* just fits */
    assert_string_equal(error.message, text);
    error_prefix(&error, "file");
    assert_memory_equal(error.message, "file: yyy", 9);
    assert_string_equal(error.message + strlen(error.message) - 4, "y...");
}

static void test_broken_invariant_stops_the_program(void **state) {
    (void)state;
    int zero = 0;
    C2C_ASSERT(zero == 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(3);
        C2C_ASSERT(zero == 1);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_status_has_a_name),
        cmocka_unit_test(test_set_returns_its_code),
        cmocka_unit_test(test_the_old_message_may_be_an_argument),
        cmocka_unit_test(test_message_is_one_line_of_valid_text),
        cmocka_unit_test(test_long_message_says_that_it_was_cut),
        cmocka_unit_test(test_broken_invariant_stops_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
