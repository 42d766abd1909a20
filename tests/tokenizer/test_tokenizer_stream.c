/* test_tokenizer_stream.c - properties that hold for any ids and any text: streamed text is the
 * decoded text in whole characters; encoding is the same on all threads; long words stay cheap. */
#include "tokenizer_parts.h"

#include <pthread.h>
#include <time.h>

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Text of whole characters whose bytes, and special tokens in their middle, come in any order. */
static void check_stream(const tokenizer *t, const int32_t *ids, size_t count, bool skip) {
    buffer whole = {0}, joined = {0}, chunk = {0};
    text_stream s;
    text_stream_init(&s, t, skip);
    for (size_t i = 0; i <= count; i++) {
        buffer_clear(&chunk);
        if (i < count)
            assert_ok(text_stream_push(&s, ids[i], &chunk, &test_error));
        else
            assert_ok(text_stream_finish(&s, &chunk, &test_error));
        assert_int_equal(utf8_valid_prefix(chunk.data, chunk.length), chunk.length);
        buffer_append(&joined, chunk.data, chunk.length);
    }
    text_stream_deinit(&s);
    assert_ok(tokenizer_decode(t, ids, count, skip, &whole, &test_error));
    assert_int_equal(whole.length, joined.length);
    if (whole.length > 0)
        assert_memory_equal(whole.data, joined.data, whole.length);
    buffer_free(&whole);
    buffer_free(&joined);
    buffer_free(&chunk);
}

static void test_any_ids(void **state) {
    (void)state;
    static const char *const decoders[] = {
        BYTES, "null",
        "{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'Ã'},'content':'▁'},"
        "{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':'▁','start':1,"
        "'stop':2}]}"};
    /* The lead and the last bytes of characters, mostly; then anything, too large ids as well. */
    static const int32_t likely[] = {0xc3, 0xa9, 0xe4, 0xb8, 0xad, 0xf0,
                                     0x9f, 0x99, 0x82, 269,  270};
    for (size_t d = 0; d < 3; d++) {
        tokenizer *t;
        uint64_t random = 7 + d;
        parts p = {.decoder = decoders[d],
                   .added_tokens =
                       "[{'content':'<中>'},{'content':'<s>','special':true},"
                       "{'content':'<0xE4>'},{'content':'<0xB8>'},{'content':'<0xAD>'}]"};
        assert_ok(parts_open(&t, &p, &test_error));
        for (int round = 0; round < 20000; round++) {
            int32_t ids[12];
            size_t count = next_random(&random) % 13;
            for (size_t i = 0; i < count; i++)
                ids[i] = next_random(&random) % 4
                             ? likely[next_random(&random) % (sizeof likely / sizeof *likely)]
                             : (int32_t)(next_random(&random) % 280) - 2;
            check_stream(t, ids, count, round % 2);
        }
        tokenizer_close(t);
    }
}

/* What was streamed is never taken back: a character comes with its last byte. */
static void test_character_with_its_last_byte(void **state) {
    (void)state;
    tokenizer *t;
    parts p = {0};
    assert_ok(parts_open(&t, &p, &test_error));
    static const int32_t ids[] = {0xf0, 0x9f, 0x99, 0x82, 0xe4, 'a'};
    static const char *const expected[] = {"",
                                           "",
                                           "",
                                           "🙂",
                                           "",
                                           ("\xef\xbf\xbd"
                                            "a")};
    text_stream s;
    text_stream_init(&s, t, false);
    for (size_t i = 0; i < 6; i++) {
        buffer chunk = {0};
        buffer_append_text(&chunk, "");
        assert_ok(text_stream_push(&s, ids[i], &chunk, &test_error));
        assert_string_equal(chunk.data, expected[i]);
        buffer_free(&chunk);
    }
    text_stream_deinit(&s);
    tokenizer_close(t);
}

/* Encoding, then decoding, gives any text back where nothing is normalized. */
static void test_round_trip(void **state) {
    (void)state;
    tokenizer *t;
    uint64_t random = 3;
    parts p = {.pre_tokenizer = WORDS, .added_tokens = "[{'content':'<x>','lstrip':false}]"};
    assert_ok(parts_open(&t, &p, &test_error));
    for (int round = 0; round < 5000; round++) {
        static const char *const pieces[] = {"hello", " world", "é",        "中",  "🙂",
                                             "<x>",   "\n",     "  ",       "12",  "\t",
                                             "'s",    "<",      "\xcc\x81", "\x7f"};
        buffer text = {0}, again = {0};
        token_list tokens = {0};
        int32_t ids[128];
        buffer_append_text(&text, "");
        for (uint64_t n = next_random(&random) % 10; n > 0; n--)
            buffer_append_text(&text,
                               pieces[next_random(&random) % (sizeof pieces / sizeof *pieces)]);
        assert_ok(tokenizer_encode(t, text.data, text.length, false, &tokens, &test_error));
        int32_t last = 0;
        for (size_t i = 0; i < tokens.count; i++) {
            ids[i] = tokens.items[i].id;
            assert_true(tokens.items[i].start <= tokens.items[i].end);
            assert_true(tokens.items[i].end >= last);
            last = tokens.items[i].end;
        }
        buffer_append_text(&again, "");
        assert_ok(tokenizer_decode(t, ids, tokens.count, false, &again, &test_error));
        assert_string_equal(again.data, text.data);
        token_list_free(&tokens);
        buffer_free(&text);
        buffer_free(&again);
    }
    tokenizer_close(t);
}

/* One word of a million characters: the square of that would take minutes. */
static void test_long_word(void **state) {
    (void)state;
    tokenizer *t;
    token_list tokens = {0};
    size_t length = 1000000;
    char *text = malloc(length);
    parts p = {.pre_tokenizer = BYTES};
    assert_non_null(text);
    assert_ok(parts_open(&t, &p, &test_error));
    for (size_t i = 0; i < length; i++)
        text[i] = i % 2 ? 'b' : 'a';
    clock_t start = clock();
    assert_ok(tokenizer_encode(t, text, length, false, &tokens, &test_error));
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_int_equal(tokens.count, length / 4);
    assert_int_equal(tokens.items[1].end, 8);
    print_message("a word of %zu characters: %.2f s\n", length, seconds);
    assert_true(seconds < 20); /* sanitizers and slow machines included */
    free(text);
    token_list_free(&tokens);
    tokenizer_close(t);
}

#define ROUNDS 300

static void *encode_often(void *context) {
    const tokenizer *t = context;
    static const char text[] = "hello world 12 é hello <x> 12";
    for (int round = 0; round < ROUNDS; round++) {
        token_list tokens = {0};
        c2c_status status = tokenizer_encode(t, text, sizeof text - 1, false, &tokens, NULL);
        bool right = status == C2C_STATUS_OK && tokens.count == 14 && tokens.items[0].id == 259 &&
                     tokens.items[11].id == 269;
        token_list_free(&tokens);
        if (!right)
            return NULL;
    }
    return context;
}

static void test_threads(void **state) {
    (void)state;
    tokenizer *t;
    pthread_t threads[4];
    parts p = {.normalizer = NFC, .pre_tokenizer = WORDS, .added_tokens = "[{'content':'<x>'}]"};
    assert_ok(parts_open(&t, &p, &test_error));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, t), 0);
    for (size_t i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, t);
    }
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_ids),    cmocka_unit_test(test_character_with_its_last_byte),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_long_word),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
