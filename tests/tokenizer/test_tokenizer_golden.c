/* test_tokenizer_golden.c - recorded results of Hugging Face tokenizers, string by string: ids,
 * ids with special tokens, offsets, decoded both ways, streamed; and how long loading takes. */
#include "support/test.h"
#include "tokenizer/tokenizer.h"

#include <time.h>

/* Processor time of loading the largest vocabulary here; about 0.05 s where nothing else runs, and
 * several times that on a busy machine. Sanitizers cost ten times as much. */
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__)
#define LOAD_SECONDS 5.0
#else
#define LOAD_SECONDS 0.5
#endif

static void check_ids(const json_value *row, const char *key, const token_list *got) {
    const json_value *ids = json_get(row, key);
    if (!ids)
        return;
    assert_int_equal(got->count, ids->count);
    for (size_t i = 0; i < got->count; i++)
        assert_int_equal(got->items[i].id, ids->items[i].integer);
}

static void check_offsets(const json_value *row, const token_list *got) {
    const json_value *offsets = json_get(row, "offsets");
    if (!offsets || offsets->type != JSON_ARRAY)
        return;
    assert_int_equal(got->count, offsets->count);
    for (size_t i = 0; i < got->count; i++) {
        assert_int_equal(got->items[i].start, offsets->items[i].items[0].integer);
        assert_int_equal(got->items[i].end, offsets->items[i].items[1].integer);
    }
}

/* At once and streamed; `expected` may be NULL. */
static void check_text(const tokenizer *t, const token_list *tokens, bool skip,
                       const json_value *expected) {
    buffer whole = {0}, streamed = {0};
    int32_t *ids = calloc(tokens->count + 1, sizeof *ids);
    assert_non_null(ids);
    text_stream s;
    text_stream_init(&s, t, skip);
    for (size_t i = 0; i < tokens->count; i++) {
        ids[i] = tokens->items[i].id;
        assert_ok(text_stream_push(&s, ids[i], &streamed, &test_error));
    }
    assert_ok(text_stream_finish(&s, &streamed, &test_error));
    text_stream_deinit(&s);
    assert_ok(tokenizer_decode(t, ids, tokens->count, skip, &whole, &test_error));
    assert_int_equal(whole.length, streamed.length);
    if (whole.length > 0)
        assert_memory_equal(whole.data, streamed.data, whole.length);
    if (expected) {
        assert_int_equal(whole.length, expected->count);
        if (whole.length > 0)
            assert_memory_equal(whole.data, expected->string, whole.length);
    }
    free(ids);
    buffer_free(&whole);
    buffer_free(&streamed);
}

static void check_row(const tokenizer *t, const json_value *row) {
    const json_value *text = json_get(row, "text");
    const json_value *skip = json_get(row, "decoded_skip");
    token_list plain = {0}, special = {0};
    assert_ok(tokenizer_encode(t, text->string, text->count, false, &plain, &test_error));
    assert_ok(tokenizer_encode(t, text->string, text->count, true, &special, &test_error));
    check_ids(row, "ids", &plain);
    check_ids(row, "ids_with_special", &special);
    check_offsets(row, &plain);
    check_text(t, &plain, false, json_get(row, "decoded"));
    check_text(t, &plain, true, skip ? skip : json_get(row, "decoded_skip_special"));
    token_list_free(&plain);
    token_list_free(&special);
}

/* The folder of a tokenizer, and the file with what is expected of it; both below shared/. */
static void check_file(const char *folder, const char *expected) {
    tokenizer *t;
    json_document *document;
    const char *path = test_shared(folder);
    if (!path) {
        print_message("SKIP: %s is not beside the repository\n", folder);
        skip();
    }
    clock_t start = clock();
    assert_ok(tokenizer_open(&t, path, &test_error));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_true(seconds < LOAD_SECONDS);
    char *file = path_join(test_shared("golden"), expected);
    assert_ok(json_open(&document, file, &test_error));
    const json_value *rows = json_get(json_root(document), "encode");
    assert_true(rows && rows->type == JSON_ARRAY && rows->count > 0);
    for (uint32_t i = 0; i < rows->count; i++)
        check_row(t, &rows->items[i]);
    print_message("%s: %u strings, loaded in %.1f ms\n", folder, rows->count, seconds * 1e3);
    json_close(document);
    free(file);
    tokenizer_close(t);
}

static void test_tiny(void **state) {
    (void)state;
    static const char *const names[] = {"tiny-qwen3", "tiny-qwen2",  "tiny-qwen3-bf16",
                                        "tiny-llama", "tiny-gemma3", "tiny-mistral"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[128], expected[128];
        snprintf(folder, sizeof folder, "golden/models/%s", names[i]);
        snprintf(expected, sizeof expected, "models/%s/tokenizer_expected.json", names[i]);
        check_file(folder, expected);
    }
}

static void test_real(void **state) {
    (void)state;
    static const char *const names[] = {
        "Qwen3-0.6B",      "Qwen2.5-0.5B-Instruct",    "Llama-3.2-1B-Instruct",
        "Llama-2-7b-chat", "Mistral-7B-Instruct-v0.2", "SmolLM2-135M-Instruct"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[128], expected[128];
        snprintf(folder, sizeof folder, "assets/tokenizers/%s", names[i]);
        snprintf(expected, sizeof expected, "tokenizers/%s.json", names[i]);
        check_file(folder, expected);
    }
}

/* A model that this build does not have is refused by its name. */
static void test_refused(void **state) {
    (void)state;
    tokenizer *t;
    const char *path = test_shared("assets/tokenizers/t5-small");
    if (!path) {
        print_message("SKIP: assets/tokenizers/t5-small is not beside the repository\n");
        skip();
    }
    assert_fails(tokenizer_open(&t, path, &test_error), C2C_STATUS_UNSUPPORTED, "tokenizer.json",
                 "Unigram", "supported: BPE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
