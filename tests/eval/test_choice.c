/* test_choice.c - letters out of answer texts: the original's rules on our own texts (its recorded
 * ones are compared by the golden runner), and those for more than four options. */
#include "eval/eval.h"
#include "support/test.h"

static char letter_of(const char *text, int options) {
    char letter = '?';
    assert_ok(choice_extract(&letter, text, strlen(text), options, &test_error));
    return letter;
}

#define assert_letter(text, options, letter)                                                       \
    do {                                                                                           \
        char got_ = letter_of(text, options);                                                      \
        if (got_ != (letter))                                                                      \
            fail_msg("\"%s\": expected '%c', got '%c'", text, (letter) ? (letter) : '-',           \
                     got_ ? got_ : '-');                                                           \
    } while (0)

static void test_phrases(void **state) {
    (void)state;
    assert_letter("Answer: B", 4, 'B');
    assert_letter("ANSWER:\n\n  \xe3\x80\x80 C", 4, 'C');
    /* Case of the phrase does not matter, that of the letter behind it does. */
    assert_letter("Answer: the one called Duck", 4, 'D');
    assert_letter("Answer: abc\nChoice: B", 4, 'B');
    /* The first occurrence counts, and only the rest of its line. */
    assert_letter("Answer: none\nThe answer is D", 4, 'D');
    assert_letter("an\xc5\xbfwer: B or C", 4, 'B'); /* a long s is an s to Python */
}

static void test_places(void **state) {
    (void)state;
    assert_letter("", 4, 0);
    assert_letter(" \n\t", 4, 0);
    assert_letter("it is c !", 4, 'C');
    assert_letter("b) and then nothing", 4, 'B');
    assert_letter("x = A", 4, 0);
    assert_letter("the option x = A", 4, 'A');
    assert_letter("Fabulous Cats", 4, 'C');
    assert_letter("ABBA+", 4, 'A'); /* guarded, but no letter stands alone: the last one */
    assert_letter("caf\xc3\xa9"
                  "B",
                  4, 'B'); /* part of a word, so only the last rule sees it */
}

static void test_many_options(void **state) {
    (void)state;
    assert_letter("The correct answer is J", 10, 'J');
    assert_letter("A", 10, 'A');
    assert_letter("I", 10, 'I');
    assert_letter("The correct answer is I.", 10, 'I');
    assert_letter("I think it is (G)", 10, 'G');
    assert_letter("Answer: It is F", 10, 'F');
    assert_letter("A dog, so H", 10, 'H');
    assert_letter("I'd say E.", 10, 'E');
    assert_letter("j", 10, 0);  /* lower-case letters are words here */
    assert_letter("K", 10, 0);  /* not one of the ten */
    assert_letter("E", 5, 'E'); /* five options */
    assert_letter("F", 5, 0);
    assert_letter("E", 4, 0);
}

/* Any bytes, as long as a text may be. */
static void test_bytes(void **state) {
    (void)state;
    char letter;
    assert_ok(choice_extract(&letter, "\xff\xfe\0B", 4, 4, &test_error));
    assert_int_equal(letter, 'B');
    assert_ok(choice_extract(&letter, NULL, 0, 4, &test_error));
    assert_int_equal(letter, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_phrases),
                                       cmocka_unit_test(test_places),
                                       cmocka_unit_test(test_many_options),
                                       cmocka_unit_test(test_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
