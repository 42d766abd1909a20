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
    assert_true(c.rope.theta == 10000.0);
    assert_int_equal(model_cache_row_bytes(&c, DTYPE_F32), 4 * 2 * 2 * 128 * 4);
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
                    "\"layer_types\": [\"full_attention\", \"full_attention\", "
                    "\"full_attention\", \"full_attention\"]}",
                    NULL));
    assert_true(c.rope.theta == 1000000.0);
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

/* Which layers slide, by the rule of each family. */
static void test_sliding_layers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool sliding[4];
    } rows[] = {
        {"{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, \"sliding_window\": 32, " SIZES
         ", \"use_sliding_window\": false, \"max_window_layers\": 2}",
         {false, false, false, false}},
        {"{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, \"sliding_window\": 32, " SIZES
         ", \"use_sliding_window\": true, \"max_window_layers\": 2}",
         {false, false, true, true}},
        {"{\"model_type\": \"mistral\", \"num_attention_heads\": 4, \"sliding_window\": 32, " SIZES
         "}",
         {true, true, true, true}},
        {"{\"model_type\": \"mistral\", \"num_attention_heads\": 4, \"sliding_window\": "
         "null, " SIZES "}",
         {false, false, false, false}},
        {"{\"model_type\": \"llama\", \"num_attention_heads\": 4, \"sliding_window\": 32, " SIZES
         "}",
         {false, false, false, false}},
        {"{\"model_type\": \"gemma3_text\", \"num_attention_heads\": 4, \"sliding_window\": "
         "32, " SIZES ", \"sliding_window_pattern\": 3}",
         {true, true, false, true}},
        {"{\"model_type\": \"gemma3_text\", \"num_attention_heads\": 4, \"sliding_window\": "
         "32, " SIZES ", \"layer_types\": [\"full_attention\", \"sliding_attention\", "
         "\"full_attention\", \"full_attention\"]}",
         {false, true, false, false}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        model_config c;
        assert_ok(parse(&c, rows[i].text, NULL));
        assert_memory_equal(c.sliding, rows[i].sliding, sizeof rows[i].sliding);
    }
}

/* Expected values: the formulas of modeling_rope_utils.py (transformers 4.52.4), evaluated in
 * double precision; f32 powers and divisions differ by a few roundings. */
static void test_rope_frequencies(void **state) {
    (void)state;
    static const struct {
        const char *keys;
        float attention_factor;
        float expected[8];
    } rows[] = {
        {"\"rope_theta\": 1e6",
         1.0f,
         {1.0f, 0.17782794f, 0.031622777f, 0.0056234133f, 0.001f, 0.00017782794f, 3.1622777e-05f,
          5.6234133e-06f}},
        {"\"rope_theta\": 1e4, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}",
         1.0f,
         {0.4f, 0.12649111f, 0.04f, 0.012649111f, 0.004f, 0.0012649111f, 0.0004f, 0.00012649111f}},
        {"\"rope_theta\": 1e4, \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}",
         1.0f,
         {1.0f, 0.31622777f, 0.1f, 0.031622777f, 0.01f, 0.0031622777f, 0.001f, 0.00031622777f}},
        {"\"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 32.0, "
         "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
         "\"original_max_position_embeddings\": 64}",
         1.0f,
         {1.0f, 0.067133038f, 0.0011751885f, 0.00022789577f, 4.4194174e-05f, 8.5702555e-06f,
          1.6619675e-06f, 3.2229329e-07f}},
        {"\"rope_parameters\": {\"rope_theta\": 1e6, \"rope_type\": \"yarn\", \"factor\": 3.0, "
         "\"original_max_position_embeddings\": 1024}",
         1.1386294f,
         {1.0f, 0.13337096f, 0.015811388f, 0.0014058533f, 0.00025f, 4.4456985e-05f, 7.9056942e-06f,
          1.4058533e-06f}},
        {"\"rope_theta\": 1e6, \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 3.0, "
         "\"attention_factor\": 1.5}",
         1.5f,
         {1.0f, 0.17782794f, 0.024595493f, 0.0031241185f, 0.00033333333f, 5.927598e-05f,
          1.0540926e-05f, 1.8744711e-06f}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "{\"model_type\": \"llama\", \"num_attention_heads\": 4, \"head_dim\": 16, " SIZES
                 ", %s}",
                 rows[i].keys);
        model_config c;
        assert_ok(parse(&c, text, NULL));
        assert_true(fabsf(c.rope.attention_factor - rows[i].attention_factor) < 1e-6f);
        float got[8];
        rope_frequencies(&c.rope, 16, got);
        for (int j = 0; j < 8; j++)
            assert_true(fabsf(got[j] - rows[i].expected[j]) <= 2e-6f * rows[i].expected[j]);
    }
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
         ", \"rope_scaling\": {\"rope_type\": \"longrope\", \"factor\": 4.0}}",
         {"longrope", "not supported", "default, linear, dynamic, llama3, yarn"}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen3\", \"num_attention_heads\": 4, " SIZES
         ", \"rope_scaling\": {\"type\": \"linear\"}}",
         {"factor", "config.json", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"llama\", \"num_attention_heads\": 4, " SIZES
         ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 4, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 64}}",
         {"high_freq_factor", "more than low_freq_factor", ""}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"hidden_act\": \"gelu\"}",
         {"hidden_act", "gelu", "silu"}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"use_sliding_window\": true, \"max_window_layers\": 3}",
         {"layer 3", "sliding_window is missing", ""}},
        {C2C_STATUS_BAD_FILE,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"layer_types\": [\"full_attention\"]}",
         {"layer_types", "list of 4 names", "of 1"}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"layer_types\": [\"full_attention\", \"linear_attention\", \"full_attention\", "
         "\"full_attention\"]}",
         {"layer_types[1]", "linear_attention", ""}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"gemma3_text\", \"num_attention_heads\": 4, " SIZES
         ", \"sliding_window\": 16, \"final_logit_softcapping\": 30.0}",
         {"final_logit_softcapping", "not supported", ""}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"quantization_config\": {\"bits\": 4}}",
         {"quantization_config", "c2c-int8", "none"}},
        {C2C_STATUS_UNSUPPORTED,
         "{\"model_type\": \"qwen2\", \"num_attention_heads\": 4, " SIZES
         ", \"quantization_config\": {\"quant_method\": \"gptq\"}}",
         {"quantization_config", "c2c-int8", "gptq"}},
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
        cmocka_unit_test(test_sliding_layers),
        cmocka_unit_test(test_rope_frequencies),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_a_missing_folder_says_what_was_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
