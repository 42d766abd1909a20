/* test_options.c - what the command line may say, and what is refused in which words. */
#include "app/app.h"
#include "support/test.h"

static const char *const words[] = {"auto", "f32", "bf16", NULL};

/* A table with one option of each kind. */
typedef struct fixture {
    const char *text, *path, *operand;
    option_list list;
    int64_t number;
    int choice;
    bool flag;
    double real;
    option options[7];
    option_set set;
} fixture;

static void fixture_init(fixture *f, bool operand) {
    *f = (fixture){.number = 256};
    const option options[] = {
        {.name = "--path", .value = "DIR", .kind = OPTION_PATH, .target = &f->path, .help = "a"},
        {.name = "--many", .value = "DIR", .kind = OPTION_PATHS, .target = &f->list, .help = "b"},
        {.name = "-p", .value = "TEXT", .kind = OPTION_TEXT, .target = &f->text, .help = "c"},
        {.name = "-n",
         .value = "N",
         .kind = OPTION_INTEGER,
         .target = &f->number,
         .low = 1,
         .high = 1000,
         .help = "d"},
        {.name = "--dtype",
         .value = "NAME",
         .kind = OPTION_CHOICE,
         .target = &f->choice,
         .choices = words,
         .help = "e"},
        {.name = "--flag", .kind = OPTION_FLAG, .target = &f->flag, .help = "f"},
        {.name = "--real",
         .value = "R",
         .kind = OPTION_REAL,
         .target = &f->real,
         .least = -1,
         .most = 2.5,
         .help = "g"}};
    memcpy(f->options, options, sizeof options);
    f->set = (option_set){.options = f->options, .count = 7};
    if (operand) {
        f->set.operand = "PATH";
        f->set.operand_target = &f->operand;
    }
}

static options_outcome parse(fixture *f, const char *const *arguments) {
    int count = 0;
    while (arguments[count])
        count++;
    test_error = (c2c_error){0};
    return options_parse(&f->set, count, (char *const *)arguments, &test_error);
}

#define PARSE(f, ...) parse(f, (const char *const[]){__VA_ARGS__, NULL})

static void test_values(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, true);
    assert_int_equal(PARSE(&f, "--path", "a/b", "--many=x", "-p", "--flag", "file", "-n=7",
                           "--many", "y", "--dtype", "bf16", "--flag"),
                     OPTIONS_READY);
    assert_string_equal(f.path, "a/b");
    assert_int_equal(f.list.count, 2);
    assert_string_equal(f.list.items[0], "x");
    assert_string_equal(f.list.items[1], "y");
    /* A text may look like an option. */
    assert_string_equal(f.text, "--flag");
    assert_string_equal(f.operand, "file");
    assert_int_equal(f.number, 7);
    assert_int_equal(f.choice, 2);
    assert_true(f.flag);
    assert_int_equal(PARSE(&f, "--real=-.5"), OPTIONS_WRONG); /* the operand is missing */
    assert_true(f.real == -0.5);
    assert_int_equal(PARSE(&f, "x", "--real", "2.5e0"), OPTIONS_READY);
    assert_true(f.real == 2.5);
}

static void test_edges(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, true);
    assert_int_equal(PARSE(&f, "-p", "", "--path=--odd", "--", "--flag"), OPTIONS_READY);
    assert_string_equal(f.text, "");
    assert_string_equal(f.path, "--odd");
    assert_string_equal(f.operand, "--flag");
    assert_false(f.flag);
    assert_int_equal(f.number, 256);
    fixture_init(&f, true);
    assert_int_equal(PARSE(&f, "-"), OPTIONS_READY);
    assert_string_equal(f.operand, "-");
    fixture_init(&f, false);
    assert_int_equal(PARSE(&f, "-n", "1000"), OPTIONS_READY);
    assert_int_equal(PARSE(&f, "--unknown", "--help"), OPTIONS_WRONG);
    assert_int_equal(PARSE(&f, "--flag", "--help", "--unknown"), OPTIONS_HELP);
    /* As a value it is no request for help. */
    assert_int_equal(PARSE(&f, "-p", "--help"), OPTIONS_READY);
}

static void test_wrong(void **state) {
    (void)state;
    static const struct {
        const char *arguments[5];
        const char *holds[2];
    } cases[] = {
        {{"--nope"}, {"unknown option --nope"}},
        {{"-x"}, {"unknown option -x"}},
        {{"--pat", "x"}, {"unknown option --pat"}},
        {{"--path"}, {"--path needs a value: --path DIR"}},
        {{"--path", "--flag"}, {"--path needs a value"}},
        {{"--path", ""}, {"--path: expected a path", "\"\""}},
        {{"--many="}, {"--many: expected a path", "\"\""}},
        {{"-n"}, {"-n needs a value: -n N"}},
        {{"-n", "x"}, {"-n: expected a whole number from 1 to 1000", "\"x\""}},
        {{"-n", ""}, {"-n: expected a whole number", "\"\""}},
        {{"-n", "5x"}, {"\"5x\""}},
        {{"-n", " 5"}, {"\" 5\""}},
        {{"-n", "+5"}, {"\"+5\""}},
        {{"-n", "1.5"}, {"\"1.5\""}},
        {{"-n", "0x10"}, {"\"0x10\""}},
        {{"--real", "x"}, {"--real: expected a number from -1 to 2.5", "\"x\""}},
        {{"--real="}, {"\"\""}},
        {{"--real", "nan"}, {"\"nan\""}},
        {{"--real", "0x1"}, {"\"0x1\""}},
        {{"--real", " 1"}, {"\" 1\""}},
        {{"--real", "1e"}, {"\"1e\""}},
        {{"--real", "+1"}, {"\"+1\""}},
        {{"--real", "2.6"}, {"\"2.6\""}},
        {{"-n", "0"}, {"from 1 to 1000", "\"0\""}},
        {{"-n", "-1"}, {"from 1 to 1000", "\"-1\""}},
        {{"-n", "1001"}, {"from 1 to 1000", "\"1001\""}},
        {{"-n", "99999999999999999999"}, {"\"99999999999999999999\""}},
        {{"-n", "1", "-n", "1"}, {"-n is given twice"}},
        {{"--flag", "--flag"}, {"--flag is given twice"}},
        {{"--flag=yes"}, {"--flag takes no value", "\"yes\""}},
        {{"--dtype", "f16"}, {"--dtype: expected one of auto, f32, bf16", "\"f16\""}},
        {{"--dtype="}, {"--dtype: expected one of auto, f32, bf16", "\"\""}},
        {{"word"}, {"unexpected argument \"word\""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        fixture_init(&f, false);
        if (parse(&f, cases[i].arguments) != OPTIONS_WRONG)
            fail_msg("case %zu (%s) was accepted", i, cases[i].arguments[0]);
        for (size_t k = 0; k < 2 && cases[i].holds[k]; k++)
            if (!strstr(test_error.message, cases[i].holds[k]))
                fail_msg("\"%s\" lacks \"%s\"", test_error.message, cases[i].holds[k]);
    }
}

static void test_required_and_many(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, true);
    assert_int_equal(PARSE(&f, "--flag"), OPTIONS_WRONG);
    assert_string_equal(test_error.message, "PATH is missing");
    assert_int_equal(PARSE(&f, "a", "b"), OPTIONS_WRONG);
    assert_string_equal(test_error.message, "expected one PATH, found a second one: \"b\"");
    fixture_init(&f, false);
    f.options[0].required = true;
    assert_int_equal(PARSE(&f, "--flag"), OPTIONS_WRONG);
    assert_string_equal(test_error.message, "--path DIR is missing");
    /* More than the list holds. */
    const char *many[2 * OPTION_LIST_MAX + 3] = {0};
    for (size_t i = 0; i <= OPTION_LIST_MAX; i++) {
        many[2 * i] = "--many";
        many[2 * i + 1] = "x";
    }
    fixture_init(&f, false);
    assert_int_equal(parse(&f, many), OPTIONS_WRONG);
    assert_non_null(strstr(test_error.message, "--many: expected at most 31"));
}

static void test_help(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, false);
    f.options[1].shown = "";
    f.options[2].shown = "a word";
    buffer help = {0};
    options_help(&f.set, &help);
    assert_string_equal(help.data, "  --path DIR    a\n"
                                   "  --many DIR    b\n"
                                   "  -p TEXT       c (default: a word)\n"
                                   "  -n N          d (default: 256)\n"
                                   "  --dtype NAME  e (default: auto)\n"
                                   "  --flag        f\n"
                                   "  --real R      g (default: 0)\n"
                                   "  --help        this text\n");
    buffer_free(&help);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_edges),
        cmocka_unit_test(test_wrong),  cmocka_unit_test(test_required_and_many),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
