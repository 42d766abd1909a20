/* Model folders: opening, describing, text, and weights that do not fit. */
#include "support/test.h"

#include "model/model.h"

#define TINY "tests/golden/data/models/tiny-qwen3"

static c2c_engine *open_engine(void) {
    c2c_engine *engine;
    assert_ok(c2c_engine_open(&engine, &(c2c_engine_options){.threads = 1}, &test_error));
    return engine;
}

static void test_description(void **state) {
    (void)state;
    c2c_engine *engine = open_engine();
    c2c_model *model;
    assert_ok(c2c_model_open(&model, engine, TINY, NULL, &test_error));
    c2c_model_info info;
    c2c_model_describe(model, &info);
    assert_string_equal(info.family, "qwen3");
    assert_int_equal(info.compute, C2C_COMPUTE_F32); /* AUTO, f32 weights */
    assert_int_equal(info.layers, 4);
    assert_int_equal(info.query_heads, 4);
    assert_int_equal(info.kv_heads, 2);
    assert_int_equal(info.head_dim, 32);
    assert_int_equal(info.context_length, 4096);
    /* embedding + 4 x (q k v o + 2 head norms + gate up down + 2 norms) + final norm */
    int64_t layer = 64 * (128 + 64 + 64 + 128) + 2 * 32 + 3 * 64 * 160 + 2 * 64;
    assert_int_equal(info.parameters, 576 * 64 + 4 * layer + 64);
    assert_int_equal(info.weight_bytes, 4 * info.parameters);
    assert_int_equal(info.cache_row_bytes, 4 * 2 * 2 * 32 * 4);
    c2c_model_close(model);
    c2c_engine_close(engine);
}

/* What opening queued must not run into memory that closing released. */
static void test_closing_before_anything_ran(void **state) {
    (void)state;
    backend *b;
    c2c_engine *engine;
    c2c_model *model;
    assert_ok(backend_queue_open(&b, 1, &test_error));
    assert_ok(engine_adopt(&engine, b, &test_error));
    assert_ok(c2c_model_open(&model, engine, TINY, NULL, &test_error));
    c2c_model_close(model);
    c2c_engine_close(engine);
}

static void test_text_there_and_back(void **state) {
    (void)state;
    c2c_engine *engine = open_engine();
    c2c_model *model;
    assert_ok(c2c_model_open(&model, engine, TINY, NULL, &test_error));
    const c2c_message messages[] = {{"system", "Be brief."}, {"user", "na\xc3\xafve \"quotes\"\n"}};
    const c2c_chat_options options = {.add_generation_prompt = true, .thinking = C2C_THINKING_OFF};
    char *text, *again;
    size_t length, again_length, count;
    int32_t *ids;
    assert_ok(c2c_model_render(model, messages, 2, &options, &text, &length, &test_error));
    assert_string_equal(text, "<|im_start|>system\nBe brief.<|im_end|>\n"
                              "<|im_start|>user\nna\xc3\xafve \"quotes\"\n<|im_end|>\n"
                              "<|im_start|>assistant\n<think>\n\n</think>\n\n");
    assert_int_equal(length, strlen(text));
    assert_ok(c2c_model_encode(model, text, length, false, &ids, &count, &test_error));
    assert_true(count > 0);
    assert_ok(c2c_model_decode(model, ids, count, false, &again, &again_length, &test_error));
    assert_string_equal(again, text);
    c2c_free(again);
    assert_ok(c2c_model_decode(model, ids, count, true, &again, &again_length, &test_error));
    assert_null(strstr(again, "im_start"));
    c2c_free(again);
    c2c_free(ids);
    c2c_free(text);
    const c2c_message broken[] = {{"user", "fine"}, {"user", "caf\xe9"}};
    assert_fails(c2c_model_render(model, broken, 2, &options, &text, &length, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "message 2", "content", "byte 3", "UTF-8");
    assert_null(text);
    c2c_model_close(model);
    c2c_engine_close(engine);
}

/* ---- A copy of the tiny model, to be changed ---------------------------------------------- */

static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                    "tokenizer_config.json", "chat_template.jinja"};

static char *copy_model(void) {
    char *folder = test_folder_make();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = path_join(TINY, files[i]);
        file_map map;
        assert_ok(file_map_open(&map, from, &test_error));
        test_file_write(folder, files[i], map.data, map.size);
        file_map_close(&map);
        free(from);
    }
    return folder;
}

/* Replaces the first `old` by `new` (of one length, so that offsets stay right) in a file. */
static void patch(const char *folder, const char *name, const char *old, const char *new) {
    char *path = path_join(folder, name);
    file_map map;
    assert_ok(file_map_open(&map, path, &test_error));
    size_t length = strlen(old);
    assert_int_equal(length, strlen(new));
    uint8_t *copy = malloc(map.size);
    assert_non_null(copy);
    memcpy(copy, map.data, map.size);
    size_t at = 0;
    while (at + length <= map.size && memcmp(copy + at, old, length) != 0)
        at++;
    assert_true(at + length <= map.size);
    memcpy(copy + at, new, length);
    size_t size = map.size;
    file_map_close(&map);
    test_file_write(folder, name, copy, size);
    free(copy);
    free(path);
}

static void test_weights_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        c2c_status status;
        const char *file, *old, *new;
        const char *parts[3];
    } rows[] = {
        {C2C_STATUS_BAD_FILE,
         "config.json",
         "\"intermediate_size\": 160",
         "\"intermediate_size\": 164",
         {"mlp.gate_proj.weight", "[164, 64]", "[160, 64]"}},
        {C2C_STATUS_BAD_FILE,
         "config.json",
         "\"vocab_size\": 576",
         "\"vocab_size\": 575",
         {"model.embed_tokens.weight", "[575, 64]", "model.safetensors"}},
        {C2C_STATUS_BAD_FILE,
         "config.json",
         "\"tie_word_embeddings\": true",
         "\"tie_word_embeddings\":false",
         {"lm_head.weight", "missing", "qwen3"}},
        {C2C_STATUS_BAD_FILE,
         "model.safetensors",
         "model.layers.2.mlp.up_proj.weight",
         "model.layers.2.mlp.xx_proj.weight",
         {"model.layers.2.mlp.up_proj.weight", "missing", ""}},
        {C2C_STATUS_BAD_FILE,
         "model.safetensors",
         "\"dtype\":\"F32\"",
         "\"dtype\":\"I32\"",
         {"model.safetensors", "i32", "f32, f16 or bf16"}},
        {C2C_STATUS_UNSUPPORTED,
         "config.json",
         "\"model_type\": \"qwen3\"",
         "\"model_type\": \"qwen9\"",
         {"qwen9", "not supported", "qwen3"}},
    };
    c2c_engine *engine = open_engine();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *folder = copy_model();
        patch(folder, rows[i].file, rows[i].old, rows[i].new);
        c2c_model *model;
        assert_fails(c2c_model_open(&model, engine, folder, NULL, &test_error), rows[i].status,
                     rows[i].parts[0], rows[i].parts[1], rows[i].parts[2]);
        assert_null(model);
        test_folder_remove(folder);
    }
    c2c_engine_close(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_closing_before_anything_ran),
        cmocka_unit_test(test_text_there_and_back),
        cmocka_unit_test(test_weights_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
