/* test_math.c - mathematical answers: what is found in a response, what counts as equal, and that
 * hostile texts end soon. The original's recorded verdicts are compared by the golden runner. */
#include "eval/math.h"
#include "support/test.h"

#include <time.h>

typedef struct math_case {
    const char *truth, *response;
    bool right;
} math_case;

static const math_case cases[] = {{"\\text{(C)}", "Answer: $C$", true},
                                  {"\\text{(C)}", "Answer: (C)", true},
                                  {"204_5", "Answer: 204", true},
                                  {"204_5", "Answer: 204_5", true},
                                  {"204_5", "Answer: 54", true},
                                  {"204_5", "Answer: 205", false},
                                  {"\\{1\\pm\\sqrt{5},-2\\}", "\\boxed{-2,1+\\sqrt5,1-\\sqrt5}",
                                   true},
                                  {"11,\\! 111,\\! 111,\\! 100", "Answer: 11111111100", true},
                                  {"x \\in [-2,7]", "Answer: $[-2,7]$", true},
                                  {"x \\in [-2,7]", "Answer: $x=[-2,7]$", true},
                                  {"-2\\le x\\le 7", "Answer: $[-2,7]$", true},
                                  {"x>3", "Answer: $(3,\\infty)$", true},
                                  {"x>3", "Answer: $3<x$", true},
                                  {"x>3", "Answer: $[3,\\infty)$", false},
                                  {"y=2x+3", "Answer: $2x-y=-3$", true},
                                  {"y=2x+3", "Answer: $2x-y=3$", false},
                                  {"2x+3", "Answer: $y=2x+3$", true},
                                  {"5", "Answer: 5 meters", true},
                                  {"5", "Answer: $5$ meters", true},
                                  {"5", "Answer: \\(5\\)", true},
                                  {"5", "**Answer:** 5", true},
                                  {"5", "**Answer: 5**", true},
                                  {"5", "Answer:\n5", true},
                                  {"5", "The answer is $x = 5$.", true},
                                  {"5", "so the result is 5.", true},
                                  {"5", "I get 4 then 5%", true},
                                  {"(1,2)", "Answer: 1,2", true},
                                  {"(1,2)", "Answer: 2,1", false},
                                  {"1,2", "Answer: (2,1)", true},
                                  {"\\{1,2\\}", "Answer: (1,2)", false},
                                  {"[1,2)", "Answer: [1,2)", true},
                                  {"[1,2)", "Answer: (1,2)", false},
                                  {"(-\\infty,3)\\cup(5,\\infty)",
                                   "Answer: $(5,\\infty) \\cup (-\\infty, 3)$", true},
                                  {"1000000000000", "Answer: 1000000000001", false},
                                  {"1000000001", "Answer: 1000000000", false},
                                  {"1/3", "Answer: 0.333333", true},
                                  {"1/3", "Answer: 0.33333", false},
                                  {"0.1\\overline{6}", "Answer: 1/6", true},
                                  {"3\\frac12", "Answer: 3.5", true},
                                  {"3\\frac12", "Answer: 7/2", true},
                                  {"3\\frac12", "Answer: 3 1/2", true},
                                  {"2\\pi r", "Answer: $2 r \\pi$", true},
                                  {"x^2-1", "Answer: (x-1)(x+1)", true},
                                  {"x^2-1", "Answer: $(x-1)(x+2)$", false},
                                  {"xy", "Answer: yx", true},
                                  {"2xy", "Answer: 2ab", false},
                                  {"\\frac{1}{2}", "Answer: 1/2 cup", true},
                                  {"90^\\circ", "Answer: 90 degrees", true},
                                  {"90", "Answer: 90\xc2\xb0", true},
                                  {"10 \\text{ cm}^2", "Answer: $10$", true},
                                  {"\\text{even}", "Answer: Even", true},
                                  {"\\text{even}", "Answer: odd", false},
                                  {"2^{100}", "Answer: 1267650600228229401496703205376", true},
                                  {"\\binom{5}{2}", "Answer: 10", true},
                                  {"5!", "Answer: 120", true},
                                  {"\\sqrt[3]{-8}", "Answer: -2", true},
                                  {"\\sin^2 x + \\cos^2 x", "Answer: 1", true},
                                  {"\\log_2 8", "Answer: 3", true},
                                  {"|{-3}|", "Answer: 3", true},
                                  {"\\lfloor 2.5 \\rfloor", "Answer: 2", true},
                                  {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
                                   "Answer: $\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}$", true},
                                  {"\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
                                   "Answer: $\\begin{bmatrix}1&2\\\\3&5\\end{bmatrix}$", false},
                                  {"e^{i\\pi}", "Answer: -1", true},
                                  {"-1", "Answer: $i^2$", true},
                                  {"\\infty", "Answer: infinity", true},
                                  {"\\infty", "Answer: $-\\infty$", false},
                                  {"5", "", false},
                                  {"5", "Answer: ", false},
                                  {"1,200", "Answer: 1200", true},
                                  {"(1,200)", "Answer: (1,200)", true},
                                  {"1,200", "Answer: 1, 200", true},
                                  {"12", "Answer: 1,2", false},
                                  {"2\\pm\\sqrt3", "Answer: $2+\\sqrt3, 2-\\sqrt3$", true},
                                  {"2\\pm\\sqrt3", "Answer: $2+\\sqrt3$", false},
                                  {"\\emptyset", "Answer: $\\emptyset$", true},
                                  {"0", "Answer: \\sin(\\pi)", true},
                                  {"x", "Answer: y", false},
                                  {"a_1+a_2", "Answer: $a_2+a_1$", true},
                                  {"a_{1}", "Answer: $a_2$", false},
                                  {"\\frac{x+1}{2}", "Answer: (x+1)/2", true},
                                  {"4:30", "Answer: 4:30", true},
                                  {"3/4", "Answer: 75%", true},
                                  {"0.5", "Answer: 5%", false},
                                  {"18", "Answer: 18.", true},
                                  {"-\\frac{1}{2}", "Answer: $\\frac{-1}{2}$", true},
                                  {"7", "Answer: 3 or 7", false},
                                  {"3,7", "Answer: x = 3 or x = 7", true},
                                  {"3,7", "Answer: $x=3$ and $x=7$", true},
                                  {"x=3", "Answer: y=3", false},
                                  {"42", "#### 42", true},
                                  {"1,-2", "Answer: $x=1,-2$", true}};

static bool grade(const char *truth, const char *response) {
    math_verdict verdict;
    assert_ok(math_grade(&verdict, response, strlen(response), truth, strlen(truth), &test_error));
    return verdict.right;
}

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (grade(cases[i].truth, cases[i].response) != cases[i].right)
            fail_msg("truth \"%s\", response \"%s\": expected %s", cases[i].truth,
                     cases[i].response, cases[i].right ? "right" : "wrong");
}

static char *repeated(const char *head, const char *part, size_t count, const char *tail) {
    buffer b = {0};
    size_t length;
    buffer_append_text(&b, head);
    for (size_t i = 0; i < count; i++)
        buffer_append_text(&b, part);
    buffer_append_text(&b, tail);
    return buffer_take(&b, &length);
}

/* Deep, wide and long texts are refused or graded, and soon. */
static void test_bounds(void **state) {
    (void)state;
    static const char *const parts[][2] = {{"(", "1"},        {"-", "1"},
                                           {"{", "1"},        {"\\frac{1}{", "1"},
                                           {"\\sqrt{", "1"},  {"2^", "2"},
                                           {"sin ", "x"},     {"|", "1"},
                                           {"1+", "1"},       {"1,", "1"},
                                           {"{1,", "1"},      {"x^{", "1"},
                                           {"9", ""},         {"\\begin{pmatrix}", "1"},
                                           {"1!", ""},        {"\\boxed{", "}"},
                                           {"Answer: ", "5"}, {"$", "5"},
                                           {"\\pm ", "1"},    {"\\text{a}", ""}};
    clock_t started = clock(); /* the processor's time: machines are shared */
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        for (size_t count = 50; count <= 50000; count *= 10) {
            char *text = repeated("Answer: ", parts[i][0], count, parts[i][1]);
            char *boxed = repeated("\\boxed{", parts[i][0], count, "1}");
            grade(parts[i][1], text);
            grade("1", boxed);
            grade(text, text);
            free(boxed);
            free(text);
        }
    }
    assert_true((double)(clock() - started) / CLOCKS_PER_SEC < 8);
}

/* Sets of many elements, none of which is among the others, are the slowest comparison. */
static void test_sets(void **state) {
    (void)state;
    buffer a = {0}, b = {0};
    for (int i = 0; i < 400; i++) {
        buffer_printf(&a, "%d,", 2 * i);
        buffer_printf(&b, "%d,", 2 * (399 - i));
    }
    buffer_append_text(&a, "1");
    buffer_append_text(&b, "1");
    char *response = repeated("Answer: ", b.data, 1, "");
    assert_true(grade(a.data, response));
    a.data[a.length - 1] = '3';
    assert_false(grade(a.data, response));
    free(response);
    buffer_free(&a);
    buffer_free(&b);
}

/* Every truth of the benchmark is equal to itself, in a line and in a box, and not to another. */
static void test_benchmark_truths(void **state) {
    (void)state;
    const char *assets = test_shared("assets");
    char *path = assets ? path_join(assets, "eval/math500/test.jsonl") : NULL;
    if (!path || !file_exists(path)) {
        free(path);
        print_message("SKIP: no folder assets/eval/math500 beside the repository\n");
        skip();
    }
    file_map map;
    assert_ok(file_map_open(&map, path, &test_error));
    const char *at = (const char *)map.data, *end = at + map.size;
    int graded = 0;
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        json_document *row;
        size_t length = line ? (size_t)(line - at) : (size_t)(end - at);
        assert_ok(json_parse(&row, at, length, "row", &test_error));
        const char *truth;
        assert_ok(json_get_string(json_root(row), "answer", NULL, &truth, "row", &test_error));
        char *said = repeated("Answer: $", truth, 1, "$"),
             *boxed = repeated("\\boxed{", truth, 1, "}");
        if (!grade(truth, said) || !grade(truth, boxed))
            fail_msg("\"%s\" is not itself", truth);
        assert_false(grade(truth, "Answer: $123456789$"));
        graded++;
        free(boxed);
        free(said);
        json_close(row);
        at += length + 1;
    }
    assert_true(graded > 0);
    file_map_close(&map);
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_bounds),
                                       cmocka_unit_test(test_sets),
                                       cmocka_unit_test(test_benchmark_truths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
