/* Words are cut at seams and remembered; neither may change a token. Random small models with every
 * option, and the models in the repository, encode the same with seams as without, and in one long
 * text the same as in many short ones. */
#include "support/test.h"
#include "tokenizer/internal.h"

/* Where a random choice is made does not matter here, only that runs repeat. */
static uint64_t state_of_draw;

static uint32_t draw(uint32_t below) {
    state_of_draw = state_of_draw * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state_of_draw >> 33) % below;
}

/* ---- Random models ------------------------------------------------------------------------ */

/* Of one, two, three and four bytes; the first is sentencepiece's space. */
static const char *const letters[] = {"\xe2\x96\x81",     "a", "b",
                                      "\xc3\xa9",         "c", "\xe4\xb8\xad",
                                      "\xf0\x9f\x99\x82", "d", "\xe6\x96\x87"};
#define LETTERS (sizeof letters / sizeof *letters)

#define TOKENS 40

typedef struct model {
    char *texts[300 + TOKENS];
    size_t count;
    buffer merges;
} model;

static bool model_add(model *m, const char *text) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->texts[i], text) == 0)
            return false;
    m->texts[m->count++] = strdup(text);
    return true;
}

/* Some of the letters, bytes where asked for, then merges of what is there. */
static void model_fill(model *m, bool unknown, bool bytes) {
    if (unknown)
        model_add(m, "<unk>");
    for (size_t i = 0; i < LETTERS; i++)
        if (draw(4))
            model_add(m, letters[i]);
    for (int i = 0; bytes && i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        if (i < 0x80 || draw(400)) /* sometimes one is missing */
            model_add(m, text);
    }
    /* Mostly of letters; now and then of bytes or the unknown token. */
    for (int i = 0; i < TOKENS; i++) {
        size_t low = unknown + LETTERS < m->count ? unknown + LETTERS : m->count;
        const char *parts[2];
        for (int j = 0; j < 2; j++) {
            bool late = m->count > 270 && draw(2);
            parts[j] = late ? m->texts[m->count - 1 - draw((uint32_t)m->count - 270)]
                            : m->texts[draw(draw(16) ? (uint32_t)low : (uint32_t)m->count)];
        }
        char text[256];
        if (strlen(parts[0]) + strlen(parts[1]) > 60)
            continue;
        snprintf(text, sizeof text, "%s%s", parts[0], parts[1]);
        buffer_printf(&m->merges, "%s[\"%s\",\"%s\"]", m->merges.length ? "," : "", parts[0],
                      parts[1]);
        model_add(m, text);
    }
}

static tokenizer *model_load(uint64_t seed) {
    state_of_draw = seed;
    model m = {0};
    buffer json = {0};
    bool unknown = draw(3), bytes = draw(2);
    model_fill(&m, unknown, bytes);
    buffer_printf(&json,
                  "{\"pre_tokenizer\":null,\"normalizer\":null,\"decoder\":null,"
                  "\"model\":{\"type\":\"BPE\",\"unk_token\":%s,\"byte_fallback\":%s,"
                  "\"fuse_unk\":%s,\"ignore_merges\":%s,\"merges\":[%s],\"vocab\":{",
                  unknown ? "\"<unk>\"" : "null", bytes ? "true" : "false",
                  draw(2) ? "true" : "false", draw(2) ? "true" : "false",
                  m.merges.data ? m.merges.data : "");
    for (size_t i = 0; i < m.count; i++)
        buffer_printf(&json, "%s\"%s\":%zu", i ? "," : "", m.texts[i], i);
    buffer_append_text(&json, "}}}");
    json_document *document;
    tokenizer *t;
    assert_ok(json_parse(&document, json.data, json.length, "random", &test_error));
    assert_ok(tokenizer_load(&t, json_root(document), "random", &test_error));
    json_close(document);
    for (size_t i = 0; i < m.count; i++)
        free(m.texts[i]);
    buffer_free(&m.merges);
    buffer_free(&json);
    return t;
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static void encode(const tokenizer *t, const buffer *text, token_list *list) {
    list->count = 0;
    assert_ok(tokenizer_encode(t, text->data, text->length, false, list, &test_error));
}

/* Every pair of characters in a token: no word is cut any more. */
static void remove_seams(tokenizer *t) {
    memset(t->bpe.seams.pairs, 0xff, ((size_t)1 << 19) / 8);
}

static void assert_same(const token_list *a, const token_list *b, const char *text) {
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = a->items[i].id == b->items[i].id && a->items[i].start == b->items[i].start &&
               a->items[i].end == b->items[i].end;
    if (!same)
        fail_msg("other tokens with seams: %s", text);
}

/* Letters, and what no model knows. */
static void random_text(buffer *text, size_t count) {
    buffer_clear(text);
    while (count--)
        buffer_append_text(text, draw(12) ? letters[draw(LETTERS)]
                                          : (const char *[]){"\n", "\xc2\xb5", "z", "<"}[draw(4)]);
}

static void test_seams_of_random_models(void **state) {
    (void)state;
    buffer texts[12] = {{0}};
    token_list with[12] = {{0}}, without = {0};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        tokenizer *t = model_load(seed);
        for (int i = 0; i < 12; i++) {
            /* The last is long enough to be looked up, and for the heap. */
            random_text(&texts[i], i < 11 ? 1 + draw(60) : 1500);
            encode(t, &texts[i], &with[i]);
        }
        remove_seams(t);
        for (int i = 0; i < 12; i++) {
            encode(t, &texts[i], &without);
            assert_same(&with[i], &without, texts[i].data);
        }
        tokenizer_close(t);
    }
    for (int i = 0; i < 12; i++) {
        buffer_free(&texts[i]);
        token_list_free(&with[i]);
    }
    token_list_free(&without);
}

/* Tokens of the model and random characters, joined by nothing or by a space. */
static void token_text(const tokenizer *t, buffer *text, size_t count) {
    static const char *const more[] = {" ",        "\n", "\xe4\xb8\xad",     "\xe7\x9a\x84",
                                       "\xc3\xa9", "a",  "\xf0\x9f\x99\x82", "\xe2\x80\x9c",
                                       "."};
    buffer_clear(text);
    while (count--) {
        int32_t id = (int32_t)draw((uint32_t)tokenizer_vocabulary_size(t));
        if (draw(3) == 0)
            buffer_append_text(text, more[draw(9)]);
        else
            assert_ok(tokenizer_decode(t, &id, 1, true, text, &test_error));
    }
}

static void check_folder(const char *folder) {
    tokenizer *t;
    buffer texts[20] = {{0}};
    token_list with[20] = {{0}}, without = {0};
    state_of_draw = 7;
    assert_ok(tokenizer_open(&t, folder, &test_error));
    for (int i = 0; i < 20; i++) {
        token_text(t, &texts[i], i < 19 ? 1 + draw(40) : 3000);
        encode(t, &texts[i], &with[i]);
    }
    remove_seams(t);
    for (int i = 0; i < 20; i++) {
        encode(t, &texts[i], &without);
        assert_same(&with[i], &without, texts[i].data);
        buffer_free(&texts[i]);
        token_list_free(&with[i]);
    }
    token_list_free(&without);
    tokenizer_close(t);
}

static void test_seams_of_real_models(void **state) {
    (void)state;
    static const char *const names[] = {"Llama-2-7b-chat",
                                        "Llama-3.2-1B-Instruct",
                                        "Mistral-7B-Instruct-v0.2",
                                        "Qwen2.5-0.5B-Instruct",
                                        "Qwen3-0.6B",
                                        "SmolLM2-135M-Instruct"};
    check_folder("tests/golden/data/models/tiny-qwen3");
    check_folder("share/demo/receiver");
    char folder[4096];
    size_t found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *root = test_shared("assets/tokenizers");
        snprintf(folder, sizeof folder, "%s/%s", root ? root : "", names[i]);
        if (!root || !folder_exists(folder))
            continue;
        check_folder(folder);
        found++;
    }
    if (!found)
        puts("SKIP: assets/tokenizers is not there: the repository's models only");
}

/* ---- Remembered words --------------------------------------------------------------------- */

/* More words than are remembered at a time, in one text and line by line: a line is too short for a
 * memory, and this model cuts at line ends. */
static void test_long_texts_equal_their_lines(void **state) {
    (void)state;
    tokenizer *t;
    buffer all = {0}, line = {0};
    token_list whole = {0}, part = {0};
    assert_ok(tokenizer_open(&t, "tests/golden/data/models/tiny-qwen3", &test_error));
    state_of_draw = 11;
    size_t count = 0, lines = 6000;
    int32_t *ids = NULL;
    for (size_t i = 0; i < lines; i++) {
        buffer_clear(&line);
        for (int j = 0; j < 20; j++) {
            /* Half of the words come again, the others are new. */
            uint32_t word = draw(2) ? draw(300) : draw(1u << 30);
            for (int k = 0; k < 6; k++, word /= 26)
                buffer_append_char(&line, (char)('a' + word % 26));
            buffer_append_text(&line, draw(9) ? " " : "\xe4\xb8\xad\xe6\x96\x87");
        }
        buffer_append_text(&line, "x\n");
        encode(t, &line, &part);
        ids = realloc(ids, (count + part.count) * sizeof *ids);
        assert_non_null(ids);
        for (size_t j = 0; j < part.count; j++)
            ids[count++] = part.items[j].id;
        buffer_append(&all, line.data, line.length);
    }
    encode(t, &all, &whole);
    assert_int_equal(whole.count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(whole.items[i].id, ids[i]);
    free(ids);
    buffer_free(&all);
    buffer_free(&line);
    token_list_free(&whole);
    token_list_free(&part);
    tokenizer_close(t);
}

static void test_word_cache(void **state) {
    (void)state;
    static const bpe_unit one = {5, 3}, two[] = {{6, 1}, {7, 2}};
    word_cache *c = word_cache_new(0);
    word_key key, other;
    size_t count;
    assert_null(word_cache_find(c, &key, "abc", 3, false, &count));
    word_cache_add(c, &key, "abc", &one, 1);
    assert_null(word_cache_find(c, &other, "abc", 3, true, &count));
    word_cache_add(c, &other, "abc", two, 2);
    assert_null(word_cache_find(c, &other, "abd", 3, false, &count));
    assert_null(word_cache_find(c, &other, "ab", 2, false, &count));
    const bpe_unit *got = word_cache_find(c, &key, "abc", 3, false, &count);
    assert_true(got && count == 1 && got->id == 5);
    got = word_cache_find(c, &key, "abc", 3, true, &count);
    assert_true(got && count == 2 && got[1].id == 7);
    /* However many there are, what was just added is there, or nothing is. */
    size_t missing = 0;
    for (int i = 0; i < 20000; i++) {
        char word[200];
        int length = snprintf(word, sizeof word, "%0*d", 1 + i % 190, i);
        const bpe_unit unit = {i, (uint32_t)length};
        if (!word_cache_find(c, &key, word, (size_t)length, false, &count))
            word_cache_add(c, &key, word, &unit, 1);
        got = word_cache_find(c, &key, word, (size_t)length, false, &count);
        assert_true(!got || (count == 1 && got->id == i));
        missing += !got;
    }
    assert_in_range(missing, 0, 200); /* a full neighbourhood of slots is rare */
    word_cache_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seams_of_random_models),
        cmocka_unit_test(test_seams_of_real_models),
        cmocka_unit_test(test_long_texts_equal_their_lines),
        cmocka_unit_test(test_word_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
