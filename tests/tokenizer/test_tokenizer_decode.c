/* test_tokenizer_decode.c - text from ids, through each kind of decoder. Expected texts were
 * computed with Hugging Face tokenizers from the same JSON. */
#include "tokenizer_parts.h"

#define IDS(...)                                                                                   \
    { __VA_ARGS__, -1 }

static void test_decode(void **state) {
    (void)state;
    static const struct {
        int32_t ids[8];
        bool skip_special, plain; /* plain: no decoder */
        const char *expected;
    } rows[] = {
        {IDS(259, 262, 'l', 'd'), false, false, "hello world"},
        {IDS(0xc3, 0xa9, 0xe4, 0xb8, 0xad), false, false, "é中"},
        {IDS(0xe4, 'a'), false, false,
         "\xef\xbf\xbd"
         "a"},
        /* Two broken starts of characters, and one byte that starts none. */
        {IDS(0xe4, 0xb8, 0xf0, 0x9f, 0x80, 0xff), false, false,
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        /* Not of the alphabet: an added token stands for itself, in the middle of a character. */
        {IDS(0xc3, 269, 0xa9), false, false, "\xef\xbf\xbd<中>\xef\xbf\xbd"},
        {IDS('a', 270, 'b'), false, false, "a<s>b"},
        {IDS('a', 270, 'b'), true, false, "ab"},
        {IDS(0xc3, 270, 0xa9), true, false, "é"},
        {IDS('a', 271, 5000000, 'b'), false, false, "ab"},
        {IDS(259, 270, 'b'), false, true, "hello <s> b"},
        {IDS(259, 270, 'b'), true, true, "hello b"},
    };
    parts p = {.added_tokens = "[{'content':'<中>'},{'content':'<s>','special':true}]"};
    tokenizer *t, *plain;
    assert_ok(parts_open(&t, &p, &test_error));
    p.decoder = "null";
    assert_ok(parts_open(&plain, &p, &test_error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buffer out = {0};
        size_t count = 0;
        while (rows[i].ids[count] >= 0)
            count++;
        assert_ok(tokenizer_decode(rows[i].plain ? plain : t, rows[i].ids, count,
                                   rows[i].skip_special, &out, &test_error));
        assert_string_equal(out.data, rows[i].expected);
        buffer_free(&out);
    }
    tokenizer_close(plain);
    tokenizer_close(t);
}

/* ---- Decoders ------------------------------------------------------------------------------ */

#define MARKS                                                                                      \
    "'vocab':{'▁a':0,'b':1,'<0xE4>':2,'<0xB8>':3,'<0xAD>':4,'▁':5,'a▁b':6,'<0xZZ>':7,' ':8," \
    "'ab':9},'merges':[]"
#define GEMMA_STEPS                                                                                \
    "{'type':'Replace','pattern':{'String':'▁'},'content':' '},{'type':'ByteFallback'},"         \
    "{'type':'Fuse'}"
#define GEMMA "{'type':'Sequence','decoders':[" GEMMA_STEPS "]}"
#define LLAMA                                                                                      \
    "{'type':'Sequence','decoders':[" GEMMA_STEPS                                                  \
    ",{'type':'Strip','content':' ','start':1,'stop':0}]}"

static void test_decoders(void **state) {
    (void)state;
    static const struct {
        const char *decoder;
        int32_t ids[8];
        const char *expected;
    } rows[] = {
        {LLAMA, IDS(0, 1, 0), "ab a"},
        {LLAMA, IDS(5, 5, 1), " b"},
        {LLAMA, IDS(0, 2, 3, 4, 1), "a中b"},
        {LLAMA, IDS(0, 2, 3, 1), "a��b"},
        {LLAMA, IDS(2, 3, 4, 2, 3), "�����"},
        {LLAMA, IDS(2, 10, 4), "�<s>�"},
        {LLAMA, IDS(7, 0), "<0xZZ> a"},
        {GEMMA, IDS(0, 1, 5), " ab "},
        {"{'type':'ByteFallback'}", IDS(2, 3, 4), "中"},
        {"{'type':'Metaspace','replacement':'▁','prepend_scheme':'always'}", IDS(6, 6, 0),
         "aba b a"},
        {"{'type':'Metaspace','replacement':'▁','prepend_scheme':'never'}", IDS(6, 0), "a b a"},
        {"{'type':'Strip','content':'b','start':1,'stop':1}", IDS(9, 6, 0), "aa▁▁a"},
        {"{'type':'Replace','pattern':{'Regex':'[ab]+'},'content':'x'}", IDS(9, 6, 1), "xx▁xx"},
        {"{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'Replace','pattern':{'String':'bb'"
         "},'content':'x'}]}",
         IDS(6, 1, 1), "a▁xb"},
        {"{'type':'Sequence','decoders':[{'type':'ByteLevel'},{'type':'Strip','content':'b','start'"
         ":0,'stop':1}]}",
         IDS(9, 1, 1), "abb"},
        {"{'type':'Sequence','decoders':[]}", IDS(9, 1), "abb"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        parts p = {.decoder = rows[i].decoder,
                   .model = MARKS,
                   .added_tokens = "[{'content':'<s>','special':true}]"};
        tokenizer *t;
        buffer out = {0};
        text_stream s;
        assert_ok(parts_open(&t, &p, &test_error));
        text_stream_init(&s, t, false);
        size_t count = 0;
        for (; rows[i].ids[count] >= 0; count++)
            assert_ok(text_stream_push(&s, rows[i].ids[count], &out, &test_error));
        assert_ok(text_stream_finish(&s, &out, &test_error));
        assert_string_equal(out.data, rows[i].expected);
        buffer_clear(&out);
        assert_ok(tokenizer_decode(t, rows[i].ids, count, false, &out, &test_error));
        assert_string_equal(out.data, rows[i].expected);
        text_stream_deinit(&s);
        buffer_free(&out);
        tokenizer_close(t);
    }
}

/* With byte tokens, what is certain streams at once; a row of bytes comes when it ends. */
static void test_streamed_bytes(void **state) {
    (void)state;
    static const int32_t ids[] = {0, 2, 3, 4, 1, 2, 1};
    static const char *const expected[] = {"a",
                                           "",
                                           "",
                                           "",
                                           "中b",
                                           "",
                                           ("\xef\xbf\xbd"
                                            "b")};
    parts p = {.decoder = LLAMA, .model = MARKS};
    tokenizer *t;
    text_stream s;
    assert_ok(parts_open(&t, &p, &test_error));
    text_stream_init(&s, t, false);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        buffer chunk = {0};
        buffer_append_text(&chunk, "");
        assert_ok(text_stream_push(&s, ids[i], &chunk, &test_error));
        assert_string_equal(chunk.data, expected[i]);
        buffer_free(&chunk);
    }
    text_stream_deinit(&s);
    tokenizer_close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_decoders),
        cmocka_unit_test(test_streamed_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
