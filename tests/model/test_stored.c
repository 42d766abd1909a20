/* test_stored.c - folders whose matrices are 8-bit integers: the same numbers as those that are
 * made when a model is opened, mapped and not made; and what is refused in them. */
#include "session/session.h"
#include "support/test.h"

#include <stdlib.h>
#include <sys/stat.h>

#define TOKENS 40
#define DATA   "tests/golden/data/models/"

/* ---- Storing ----------------------------------------------------------------------------------
 */

typedef struct numbers {
    float *logits;
    size_t bytes;
    int64_t parameters, weight_bytes;
} numbers;

static c2c_engine *open_engine(void) {
    c2c_engine *engine;
    assert_ok(c2c_engine_open(&engine, &(c2c_engine_options){.threads = 2}, &test_error));
    return engine;
}

static c2c_model *open_model(c2c_engine *engine, const char *folder, c2c_model_weights weights) {
    c2c_model *model;
    const c2c_model_options options = {.weights = weights};
    assert_ok(c2c_model_open(&model, engine, folder, &options, &test_error));
    return model;
}

/* Logits of a prompt's tokens. */
static numbers run_model(const c2c_model *model) {
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        ids[i] = (i * 97 + 13) % 500;
    const c2c_section all = {.length = TOKENS};
    const c2c_plan plan = {.ids = ids, .token_count = TOKENS, .sections = &all, .section_count = 1};
    c2c_session *session;
    numbers n = {.parameters = model->parameters, .weight_bytes = model->weight_bytes};
    n.bytes = (size_t)TOKENS * (size_t)model->config.vocabulary * sizeof(float);
    n.logits = malloc(n.bytes);
    assert_non_null(n.logits);
    assert_ok(c2c_session_open(&session, model, NULL, 0, &(c2c_session_options){.context = TOKENS},
                               &test_error));
    assert_ok(session_prefill_logits(session, &plan, n.logits, &test_error));
    c2c_session_close(session);
    return n;
}

/* A folder inside a fresh one. */
static char *store_model(const char *from, char **root) {
    c2c_engine *engine = open_engine();
    c2c_model *model = open_model(engine, from, C2C_MODEL_WEIGHTS_STORED);
    tensor_conversion done = {0};
    *root = test_folder_make();
    char *to = path_join(*root, "stored");
    assert_non_null(to);
    assert_ok(model_store_int8(model, to, &done, &test_error));
    assert_int_equal(done.to_types[DTYPE_I8], 7 * model->config.layers + 1);
    assert_fails(model_store_int8(model, to, &done, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "stored exists already");
    c2c_model_close(model);
    c2c_engine_close(engine);
    return to;
}

static void assert_mapped(const c2c_model *model) {
    const tensor *in_file =
        &tensor_file_find(model->files, "model.layers.0.self_attn.q_proj.weight")->view;
    assert_null(model->int8_memory);
    assert_ptr_equal(model->layers[0].q.data, in_file->data);
    assert_int_equal(model->layers[0].q.type, DTYPE_I8);
    assert_int_equal(model->head.type, DTYPE_I8);
    assert_int_not_equal(model->embedding.type, DTYPE_I8);
}

static void check_stored(const char *from) {
    char *root, *to = store_model(from, &root);
    c2c_engine *engine = open_engine();
    c2c_model *original = open_model(engine, from, C2C_MODEL_WEIGHTS_STORED);
    c2c_model *made = open_model(engine, from, C2C_MODEL_WEIGHTS_INT8);
    numbers expected = run_model(made);
    for (int weights = C2C_MODEL_WEIGHTS_STORED; weights <= C2C_MODEL_WEIGHTS_INT8; weights++) {
        c2c_model *stored = open_model(engine, to, (c2c_model_weights)weights);
        assert_mapped(stored);
        numbers got = run_model(stored);
        assert_memory_equal(got.logits, expected.logits, expected.bytes);
        assert_int_equal(got.weight_bytes, expected.weight_bytes);
        assert_int_equal(got.parameters, original->parameters);
        assert_int_equal(tokenizer_vocabulary_size(stored->tokenizer),
                         tokenizer_vocabulary_size(original->tokenizer));
        tensor_conversion done = {0};
        assert_fails(model_store_int8(stored, root, &done, &test_error),
                     C2C_STATUS_INVALID_ARGUMENT, "8-bit integers already");
        free(got.logits);
        c2c_model_close(stored);
    }
    free(expected.logits);
    c2c_model_close(made);
    c2c_model_close(original);
    c2c_engine_close(engine);
    free(to);
    test_folder_remove(root);
}

/* Tied heads, in f32 and in bf16. */
static void test_stored_is_made(void **state) {
    (void)state;
    check_stored(DATA "tiny-qwen3");
    check_stored("share/demo/receiver");
}

/* Heads of their own, Gemma's norms, sliding windows. */
static void test_other_families(void **state) {
    (void)state;
    static const char *const names[] = {"tiny-llama", "tiny-gemma3"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *golden = test_shared("golden/models");
        if (!golden) {
            print_message("SKIP: ../shared/golden is not there\n");
            skip();
        }
        char *folder = path_join(golden, names[i]);
        check_stored(folder);
        free(folder);
    }
}

/* ---- What is refused --------------------------------------------------------------------------
 */

/* One tensor of a stored folder, changed. */
typedef struct harm {
    const char *tensor;
    const char *renamed;    /* to this, or NULL */
    int64_t rank, shape[2]; /* 0: as it is */
    dtype type;             /* of what takes its place, filled with zeros; DTYPE_COUNT: as it is */
    const char *holds[3];
} harm;

#define Q "model.layers.1.self_attn.q_proj.weight"

static void write_harmed(const char *from, const char *to, const harm *h) {
    static uint64_t zeros[1 << 16];
    tensor_file *file;
    named_tensor list[256];
    assert_ok(tensor_file_open(&file, from, &test_error));
    size_t count = tensor_file_count(file);
    assert_true(count <= 256);
    for (size_t i = 0; i < count; i++) {
        list[i] = *tensor_file_at(file, i);
        tensor *view = &list[i].view;
        if (strcmp(list[i].name, h->tensor) != 0)
            continue;
        if (h->renamed)
            list[i].name = h->renamed;
        if (h->type != DTYPE_COUNT)
            view->type = h->type;
        if (h->rank) {
            view->rank = (int)h->rank;
            memcpy(view->shape, h->shape, sizeof h->shape);
        }
        view->data = zeros;
        assert_true(tensor_bytes(view) <= sizeof zeros);
    }
    assert_ok(
        tensor_file_write(to, TENSOR_FORMAT_SAFETENSORS, list, count, DTYPE_COUNT, &test_error));
    tensor_file_close(file);
}

static void test_bad_folders(void **state) {
    (void)state;
    static const harm rows[] = {
        {Q "_scale", "other", 0, {0}, DTYPE_COUNT, {Q "_scale", "is missing", ""}},
        {Q "_scale", NULL, 1, {127}, DTYPE_COUNT, {Q "_scale", "[128]", "[127]"}},
        {Q "_scale", NULL, 2, {128, 1}, DTYPE_COUNT, {Q "_scale", "[128]", "[128, 1]"}},
        {Q "_scale", NULL, 0, {0}, DTYPE_BF16, {Q "_scale", "expected f32", "found bf16"}},
        {Q, NULL, 0, {0}, DTYPE_BF16, {Q, "expected i8", "found bf16"}},
        {Q, NULL, 0, {0}, DTYPE_U8, {Q, "expected i8", "found u8"}},
        {Q, NULL, 2, {64, 64}, DTYPE_COUNT, {Q, "[128, 64]", "[64, 64]"}},
        {"lm_head.weight", "head", 0, {0}, DTYPE_COUNT, {"lm_head.weight", "is missing", ""}},
        {"model.embed_tokens.weight", NULL, 0, {0}, DTYPE_I8, {"embed_tokens", "found i8", ""}},
    };
    char *root, *to = store_model(DATA "tiny-qwen3", &root);
    char *weights = path_join(to, "model.safetensors"), *good = path_join(root, "good");
    assert_int_equal(rename(weights, good), 0);
    c2c_engine *engine = open_engine();
    c2c_model *model;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_harmed(good, weights, &rows[i]);
        assert_fails(c2c_model_open(&model, engine, to, NULL, &test_error), C2C_STATUS_BAD_FILE,
                     "stored", rows[i].holds[0], rows[i].holds[1], rows[i].holds[2]);
        assert_null(model);
    }
    /* Integers that the configuration does not speak of. */
    file_map config;
    char *path = path_join(DATA "tiny-qwen3", "config.json"), *copy = path_join(to, "config.json");
    assert_ok(file_map_open(&config, path, &test_error));
    assert_ok(file_write(copy, config.data, config.size, &test_error));
    file_map_close(&config);
    assert_int_equal(rename(good, weights), 0);
    assert_fails(c2c_model_open(&model, engine, to, NULL, &test_error), C2C_STATUS_BAD_FILE,
                 "expected f32, f16 or bf16", "found i8");
    c2c_engine_close(engine);
    free(path), free(copy), free(weights), free(good), free(to);
    test_folder_remove(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_is_made),
        cmocka_unit_test(test_other_families),
        cmocka_unit_test(test_bad_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
