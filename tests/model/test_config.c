/* config.json and generation_config.json: what is read, and what is refused with which words. */
#include "support/test.h"

#include "model/model.h"

/* A config that is right in every key; a test changes one of them. */
#define SIZES                                                                                      \
    "\"hidden_size\": 64, \"intermediate_size\": 160, \"num_hidden_layers\": 4, "                  \
    "\"num_key_value_heads\": 2, \"vocab_size\": 576, \"max_position_embeddings\": 4096"

static c2c_status parse(model_config *config, const char *text, const char *generation) {
    json_document *document = NULL, *generation_document = NULL;
    assert_ok(json_parse(&document, text, strlen(text), "config.json", &test_error));
    if (generation)
        assert_ok(json_parse(&generation_document, generation, strlen(generation),
                             "generation_config.json", &test_error));
    c2c_status status = model_config_parse(config, document, generation_document, &test_error);
    json_close(document);
    json_close(generation_document);
    return status;
}

static void test_sizes_and_defaults(void **state) {
    (void)state;
    model_config c;
    assert_ok(
        parse(&c, "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, " SIZES "}", NULL));
    assert_int_equal(c.head_dim, 128); /* Qwen3Config's own default, not hidden_size / heads */
    assert_int_equal(c.layers, 4);
    assert_int_equal(c.kv_heads, 2);
    assert_false(c.qkv_bias);
    assert_false(c.tied);
    assert_int_equal(c.eos_count, 0);
    assert_true(c.rope_theta == 10000.0);
    assert_int_equal(model_cache_row_bytes(&c), 4 * 2 * 2 * 128 * 4);
    assert_ok(
        parse(&c, "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES "}", NULL));
    assert_int_equal(c.head_dim, 16);
    assert_true(c.qkv_bias);
    assert_false(c.output_bias);
}

static void test_transformers_5_keys(void **state) {
    (void)state;
    model_config c;
    assert_ok(parse(&c,
                    "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, " SIZES
                    ", \"dtype\": \"float32\", \"rope_parameters\": {\"rope_theta\": 1000000.0, "
                    "\"rope_type\": \"default\"}, \"attention_bias\": true, \"head_dim\": 32, "
                    "\"layer_types\": [\"full_attention\", \"full_attention\"]}",
                    NULL));
    assert_true(c.rope_theta == 1000000.0);
    assert_true(c.qkv_bias && c.output_bias);
}

static void test_eos_ids_of_generation_config_come_first(void **state) {
    (void)state;
    model_config c;
    const char *config =
        "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, \"eos_token_id\": 7, " SIZES "}";
    assert_ok(parse(&c, config, NULL));
    assert_int_equal(c.eos_count, 1);
    assert_true(model_config_is_eos(&c, 7));
    assert_ok(parse(&c, config, "{\"eos_token_id\": [3, 5]}"));
    assert_int_equal(c.eos_count, 2);
    assert_true(model_config_is_eos(&c, 3) && model_config_is_eos(&c, 5));
    assert_false(model_config_is_eos(&c, 7));
    assert_ok(parse(&c, config, "{\"temperature\": 0.7}"));
    assert_true(model_config_is_eos(&c, 7));
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const struct {
        c2c_status status;
        const char *text;
        const char *parts[3];
    } rows[] = {
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"mixtral\"}",
         {"config.json", "\"mixtral\" is not supported", "qwen2, qwen3"}},
        {C2C_STATUS_BAD_FILE, "[]", {"config.json", "expected an object", "an array"}},
        {C2C_STATUS_BAD_FILE, "{}", {"model_type", "config.json", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 3, " SIZES "}",
         {"num_attention_heads (3)", "num_key_value_heads (2)", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": \"4\", " SIZES "}",
         {"num_attention_heads", "", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, \"head_dim\": 31, " SIZES "}",
         {"head_dim", "even", "31"}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, " SIZES
         ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}}",
         {"yarn", "not supported", "default"}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, " SIZES
         ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}}",
         {"linear", "not supported", ""}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"hidden_act\": \"gelu\"}",
         {"hidden_act", "gelu", "silu"}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"use_sliding_window\": true}",
         {"use_sliding_window", "", ""}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
         {"layer_types[1]", "sliding_attention", ""}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"quantization_config\": {\"bits\": 4}}",
         {"quantization_config", "", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"eos_token_id\": [1, \"x\"]}",
         {"eos_token_id", "a string", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"rms_norm_eps\": -1e-6}",
         {"rms_norm_eps", "", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES ", \"rope_theta\": 0}",
         {"rope_theta", "", ""}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        model_config c;
        assert_fails(parse(&c, rows[i].text, NULL), rows[i].status, rows[i].parts[0],
                     rows[i].parts[1], rows[i].parts[2]);
    }
}

static void test_a_missing_folder_says_what_was_expected(void **state) {
    (void)state;
    model_config c;
    assert_fails(model_config_open(&c, "no/such/folder", &test_error), C2C_STATUS_NOT_FOUND,
                 "no/such/folder", "config.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_defaults),
        cmocka_unit_test(test_transformers_5_keys),
        cmocka_unit_test(test_eos_ids_of_generation_config_come_first),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_a_missing_folder_says_what_was_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
