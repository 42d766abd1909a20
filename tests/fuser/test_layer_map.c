/* Layer maps: the two published rules, and projector_config.json. */
#include "support/test.h"

#include "fuser/fuser.h"

static void test_last_aligned(void **state) {
    (void)state;
    int map[6];
    c2c_layer_map_last_aligned(4, 6, map); /* deeper sharer: its last layers */
    assert_memory_equal(map, ((int[]){2, 3, 4, 5}), 4 * sizeof(int));
    c2c_layer_map_last_aligned(6, 4, map); /* shallower: its first layer repeats */
    assert_memory_equal(map, ((int[]){0, 0, 0, 1, 2, 3}), 6 * sizeof(int));
    c2c_layer_map_last_aligned(1, 1, map);
    assert_int_equal(map[0], 0);
}

static void test_k_nearest(void **state) {
    (void)state;
    int map[6];
    /* Positions 0, 1/3, 2/3, 1 against 0, 1/5, ... 1. */
    c2c_layer_map_k_nearest(4, 6, map);
    assert_memory_equal(map, ((int[]){0, 2, 3, 5}), 4 * sizeof(int));
    /* As in the published fuser for tiny-qwen2 from tiny-qwen3. */
    c2c_layer_map_k_nearest(6, 4, map);
    assert_memory_equal(map, ((int[]){0, 1, 1, 2, 2, 3}), 6 * sizeof(int));
    /* 1/2 is as near to 0 as to 1: the lower layer. */
    c2c_layer_map_k_nearest(3, 2, map);
    assert_memory_equal(map, ((int[]){0, 0, 1}), 3 * sizeof(int));
    c2c_layer_map_k_nearest(1, 5, map);
    assert_int_equal(map[0], 0);
    c2c_layer_map_k_nearest(3, 1, map);
    assert_memory_equal(map, ((int[]){0, 0, 0}), 3 * sizeof(int));
}

static c2c_status parse(layer_map *map, const char *text) {
    json_document *document;
    assert_ok(json_parse(&document, text, strlen(text), "projector_config.json", &test_error));
    c2c_status status = layer_map_parse(map, document, &test_error);
    json_close(document);
    return status;
}

static void test_ids_may_be_texts_and_the_first_pair_counts(void **state) {
    (void)state;
    layer_map map;
    assert_ok(parse(&map, "{\"0\": {\"1\": {\"3\": [[\"5\", \"1\"], [0, 7]], \"0\": [[2, 0]], "
                          "\"2\": []}}}"));
    assert_int_equal(map.layers, 4);
    assert_int_equal(map.projectors, 8);
    assert_int_equal(map.links[0].sharer_layer, 2);
    assert_int_equal(map.links[1].sharer_layer, -1);
    assert_int_equal(map.links[2].sharer_layer, -1);
    assert_int_equal(map.links[3].sharer_layer, 5);
    assert_int_equal(map.links[3].projector, 1);
    layer_map_deinit(&map);
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"[]", "expected an object"},
        {"{}", "found 0"},
        {"{\"0\": {\"1\": {\"0\": [[0, 0]]}, \"2\": {\"0\": [[0, 0]]}}}", "expected one sharer"},
        {"{\"0\": {\"1\": {}}}", "an empty one"},
        {"{\"0\": {\"1\": {\"x\": [[0, 0]]}}}", "\"x\""},
        {"{\"0\": {\"1\": {\"-1\": [[0, 0]]}}}", "\"-1\""},
        {"{\"0\": {\"1\": {\"0\": {}}}}", "expected a list"},
        {"{\"0\": {\"1\": {\"0\": [[0]]}}}", "pair 0"},
        {"{\"0\": {\"1\": {\"0\": [[0, 0], [1, \"y\"]]}}}", "pair 1"},
        {"{\"0\": {\"1\": {\"0\": [[99999999999, 0]]}}}", "pair 0"},
        {"{\"0\": {\"1\": {\"2000\": [[0, 0]]}}}", "2000"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        layer_map map;
        assert_fails(parse(&map, rows[i].text), C2C_STATUS_BAD_FILE, "projector_config.json",
                     rows[i].part);
        assert_null(map.links);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_aligned),
        cmocka_unit_test(test_k_nearest),
        cmocka_unit_test(test_ids_may_be_texts_and_the_first_pair_counts),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
