/* YAML: scalars as PyYAML's safe_load reads them, structure, aliases and merge keys, and what is
 * refused. The expected values of scalars were written by PyYAML 6. */
#include "formats/formats.h"
#include "support/test.h"

static json_document *parse(const char *text) {
    json_document *d;
    assert_ok(yaml_parse(&d, text, strlen(text), "t.yaml", &test_error));
    return d;
}

#define assert_refused(text, ...)                                                                  \
    do {                                                                                           \
        json_document *d_;                                                                         \
        assert_fails(yaml_parse(&d_, text, strlen(text), "t.yaml", &test_error),                   \
                     C2C_STATUS_BAD_FILE, "t.yaml: line", __VA_ARGS__);                            \
        assert_null(d_);                                                                           \
    } while (0)

static void assert_reads_as(const char *text, const char *expected) {
    json_document *d = parse(text);
    buffer out = {0};
    json_write_value(&out, json_root(d), 0);
    if (strcmp(out.data, expected) != 0)
        fail_msg("%s: expected %s, got %s", text, expected, out.data);
    buffer_free(&out);
    json_close(d);
}

static void test_scalars(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"yes", "true"},
        {"Off", "false"},
        {"y", "\"y\""},
        {"TRUE", "true"},
        {"tRUE", "\"tRUE\""},
        {"~", "null"},
        {"", "null"},
        {"Null", "null"},
        {"nULL", "\"nULL\""},
        {"# nothing", "null"},
        {"12", "12"},
        {"+12", "12"},
        {"-1_000", "-1000"},
        {"0", "0"},
        {"-0", "0"},
        {"00", "0"},
        {"017", "15"},
        {"08", "\"08\""},
        {"0o17", "\"0o17\""},
        {"0x1F", "31"},
        {"-0x1f", "-31"},
        {"0b101", "5"},
        {"0b", "\"0b\""},
        {"190:20:30", "685230"},
        {"1:60", "\"1:60\""},
        {"12:", "{\n  \"12\": null\n}"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "9.223372036854776e+18"},
        {"1.0e-4", "0.0001"},
        {"1.", "1.0"},
        {".5", "0.5"},
        {"-1.5", "-1.5"},
        {"1_0.5", "10.5"},
        {"00.5", "0.5"},
        {"6.02e+23", "6.02e+23"},
        {".", "\".\""},
        {"-", "[\n  null\n]"},
        {"+", "\"+\""},
        {"1.2.3", "\"1.2.3\""},
        {"1e", "\"1e\""},
        {"e5", "\"e5\""},
        {"2001-12-14", "\"2001-12-14\""},
        /* A number to whoever writes it; PyYAML, which wants a point and a sign, leaves a text. */
        {"1e-4", "0.0001"},
        {"3E5", "300000.0"},
        {"\"yes\"", "\"yes\""},
        {"'12'", "\"12\""},
        {"!!str 12", "\"12\""},
        {"! 12", "\"12\""},
        {"!!int \"7\"", "7"},
        {"!!float 1", "1.0"},
        {"!!bool \"no\"", "false"},
        {"|\n  a\n  b\n", "\"a\\nb\\n\""},
        {">-\n  a\n  b\n", "\"a b\""},
        {"a # b", "\"a\""},
        {"\"\\u00e9\\x41\\n\"", "\"\xc3\xa9"
                                "A\\n\""},
        {"null: yes", "{\n  \"null\": true\n}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_reads_as(rows[i][0], rows[i][1]);
}

static void test_structure(void **state) {
    (void)state;
    json_document *d =
        parse("model:\n  name: Rosetta   # a comment\n  config: {a: [1, two, ], b: }\n"
              "eval:\n- 0\n- x: 1\n  y: 2\n");
    const json_value *root = json_root(d), *list = json_get(root, "eval");
    assert_string_equal(json_name(d), "t.yaml");
    assert_string_equal(json_get(json_get(root, "model"), "name")->string, "Rosetta");
    const json_value *config = json_get(json_get(root, "model"), "config");
    assert_int_equal(json_get(config, "a")->count, 2);
    assert_int_equal(json_get(config, "b")->type, JSON_NULL);
    assert_int_equal(list->count, 2);
    assert_int_equal(json_get(&list->items[1], "y")->integer, 2);
    json_close(d);
    assert_reads_as("\xef\xbb\xbf--- {a: 1, a: 2}\n...\n", "{\n  \"a\": 1,\n  \"a\": 2\n}");
}

static void test_aliases_and_merges(void **state) {
    (void)state;
    json_document *d = parse("base: &b {x: 1, y: 2}\nother: &o {x: 3, z: 4}\nsame: *b\n"
                             "one: {y: 5, <<: *b}\ntwo: {<<: [*b, *o], w: &b 6}\nlast: *b\n"
                             "quoted: {\"<<\": 1}\n");
    const json_value *root = json_root(d);
    assert_int_equal(json_get(json_get(root, "same"), "y")->integer, 2);
    assert_int_equal(json_get(json_get(root, "one"), "x")->integer, 1);
    assert_int_equal(json_get(json_get(root, "one"), "y")->integer, 5); /* its own comes first */
    assert_int_equal(json_get(json_get(root, "two"), "x")->integer, 1); /* the first of the list */
    assert_int_equal(json_get(json_get(root, "two"), "z")->integer, 4);
    assert_int_equal(json_get(root, "last")->integer, 6); /* the nearest anchor before it */
    assert_int_equal(json_get(json_get(root, "quoted"), "<<")->integer, 1);
    json_close(d);
}

static void test_refused(void **state) {
    (void)state;
    assert_refused("a: 1\n---\nb: 2\n", "line 2", "second");
    assert_refused("a: [1\nb: 2\n", "invalid YAML");
    assert_refused("a: b: c\n", "line 1", "invalid YAML");
    assert_refused("\ta: 1\n", "invalid YAML");
    assert_refused("[.inf]", "finite");
    assert_refused("a: 1e999", "column 4", "too large");
    assert_refused("&a [1, *a]", "inside what it stands for");
    assert_refused("[*a, &a 1]", "not there");
    assert_refused("{[a]: 1}", "as a key");
    assert_refused("{<<: 3}", "behind <<");
    assert_refused("{<<: [3]}", "behind <<");
    assert_refused("!!python/object:os.system {a: 1}", "tag");
    assert_refused("!!binary aGk=", "tag");
    assert_refused("!!int x", "tag");
    assert_refused("a: \xff", "UTF-8");
}

static void test_bounds(void **state) {
    (void)state;
    char deep[400], wide[2048] = "a: &a [x,x,x,x,x,x,x,x,x]\n";
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    assert_refused(deep, "nested too deep");
    /* 9^9 values from nine lines. */
    for (char c = 'b'; c <= 'i'; c++)
        snprintf(wide + strlen(wide), sizeof wide - strlen(wide),
                 "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1, c - 1, c - 1,
                 c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    assert_refused(wide, "too many values");
    /* The same by merging, where nothing is left to count in the end. */
    snprintf(wide, sizeof wide, "a: &a {}\n");
    for (char c = 'b'; c <= 'i'; c++)
        snprintf(wide + strlen(wide), sizeof wide - strlen(wide),
                 "%c: &%c {<<: [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]}\n", c, c, c - 1, c - 1, c - 1,
                 c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    assert_refused(wide, "too many values");
    /* Looking for anchors takes time as well. */
    buffer anchors = {0};
    for (int i = 0; i < 1025; i++)
        buffer_printf(&anchors, "- &a%d x\n", i);
    assert_refused(anchors.data, "line 1025", "anchors");
    buffer_free(&anchors);
    size_t large = YAML_MAX_BYTES + 1;
    char *text = malloc(large);
    memset(text, ' ', large);
    json_document *d;
    assert_fails(yaml_parse(&d, text, large, "t.yaml", &test_error), C2C_STATUS_UNSUPPORTED,
                 "t.yaml", "as JSON");
    free(text);
}

/* ---- Files -------------------------------------------------------------------------------- */

static void open_file(const char *name, const char *text, json_type type) {
    char *folder = test_folder_make(), path[4096];
    json_document *d;
    test_file_write(folder, name, text, strlen(text));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(document_open(&d, path, &test_error));
    assert_int_equal(json_root(d)->type, type);
    json_close(d);
    test_folder_remove(folder);
}

static void test_files_by_name_and_content(void **state) {
    (void)state;
    open_file("a.yaml", "x: {y: 1}", JSON_OBJECT);
    open_file("a.yml", "[1, a]", JSON_ARRAY);
    open_file("a.json", "{\"x\": 1e-4}", JSON_OBJECT);
    open_file("recipe", "  {\"x\":\t1}", JSON_OBJECT); /* the tab is JSON's alone */
    open_file("recipe", "x: 1", JSON_OBJECT);
    json_document *d;
    assert_fails(document_open(&d, "/nowhere/a.yaml", &test_error), C2C_STATUS_NOT_FOUND,
                 "/nowhere");
}

static void test_real_recipes(void **state) {
    (void)state;
    const char *assets = test_shared("assets");
    char path[4096];
    json_document *d;
    if (!assets) {
        printf("SKIP: no folder of assets beside the repository\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/recipes/eval_recipe/unified_eval.yaml", assets);
    assert_ok(document_open(&d, path, &test_error));
    const json_value *model = json_get(json_root(d), "model"),
                     *eval = json_get(json_root(d), "eval");
    assert_string_equal(json_get(model, "model_name")->string, "Rosetta");
    assert_int_equal(json_get(json_get(model, "generation_config"), "max_new_tokens")->integer, 64);
    assert_false(json_get(json_get(model, "generation_config"), "do_sample")->boolean);
    assert_int_equal(json_get(eval, "gpu_ids")->count, 1);
    assert_true(json_get(eval, "use_template")->boolean);
    json_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_aliases_and_merges),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_files_by_name_and_content),
        cmocka_unit_test(test_real_recipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
