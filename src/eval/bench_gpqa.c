/* bench_gpqa.c - GPQA: the options are shuffled by their own content, exactly as Python's
 * random.Random(md5).shuffle does it, so that every run and every tool sees one order. */
#include "eval/bench.h"

/* ---- The Mersenne Twister (Matsumoto and Nishimura 1998), as Python seeds and reads it ----------
 */

#define TWISTER_SIZE  624
#define TWISTER_SHIFT 397

typedef struct twister {
    uint32_t state[TWISTER_SIZE];
    int next;
} twister;

/* init_by_array with a key of one number. */
static void twister_seed(twister *t, uint32_t key) {
    uint32_t *s = t->state;
    s[0] = 19650218u;
    for (uint32_t i = 1; i < TWISTER_SIZE; i++)
        s[i] = 1812433253u * (s[i - 1] ^ (s[i - 1] >> 30)) + i;
    uint32_t i = 1;
    for (int k = 0; k < TWISTER_SIZE; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key;
        if (++i == TWISTER_SIZE) {
            s[0] = s[TWISTER_SIZE - 1];
            i = 1;
        }
    }
    for (int k = 0; k < TWISTER_SIZE - 1; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == TWISTER_SIZE) {
            s[0] = s[TWISTER_SIZE - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u;
    t->next = TWISTER_SIZE;
}

static uint32_t twister_draw(twister *t) {
    uint32_t *s = t->state;
    if (t->next == TWISTER_SIZE) {
        for (int i = 0; i < TWISTER_SIZE; i++) {
            uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % TWISTER_SIZE] & 0x7fffffffu);
            s[i] = s[(i + TWISTER_SHIFT) % TWISTER_SIZE] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->next = 0;
    }
    uint32_t y = s[t->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

/* Python's shuffle of four: from the last place down, the other place is drawn from as many bits as
 * its number has, again until it fits. */
static void shuffle_four(const char *items[4], uint32_t seed) {
    twister t = {0};
    twister_seed(&t, seed);
    for (uint32_t i = 3; i >= 1; i--) {
        int bits = i + 1 >= 4 ? 3 : 2;
        uint32_t k;
        do
            k = twister_draw(&t) >> (32 - bits);
        while (k > i);
        const char *other = items[i];
        items[i] = items[k];
        items[k] = other;
    }
}

/* ---- Rows --------------------------------------------------------------------------------------
 */

static bool is_blank(const char *text) {
    while (*text == ' ' || (*text >= '\t' && *text <= '\r'))
        text++;
    return *text == '\0';
}

/* The revised text where there is one. */
static c2c_status pick(bench_item *item, const char **text, const json_value *row,
                       const char *const keys[2], const char *where, c2c_error *error) {
    c2c_status status = bench_text(item, text, row, keys[1], true, where, error);
    if (!status && (!*text || is_blank(*text)))
        status = bench_text(item, text, row, keys[0], false, where, error);
    return status;
}

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    static const char *const keys[][2] = {
        {"Question", "Extra Revised Question"},
        {"Correct Answer", "Extra Revised Correct Answer"},
        {"Incorrect Answer 1", "Extra Revised Incorrect Answer 1"},
        {"Incorrect Answer 2", "Extra Revised Incorrect Answer 2"},
        {"Incorrect Answer 3", "Extra Revised Incorrect Answer 3"}};
    c2c_status status = pick(item, &item->question, row, keys[0], where, error);
    for (int i = 0; !status && i < 4; i++)
        status = pick(item, &item->choices[i], row, keys[i + 1], where, error);
    if (status)
        return status;
    buffer source = {0};
    uint8_t digest[DIGEST_MD5];
    buffer_append_text(&source, item->question);
    for (int i = 0; i < 4; i++)
        buffer_printf(&source, "||%s", item->choices[i]);
    if (source.failed)
        return error_memory(error, source.length, "a question");
    digest_md5(digest, source.data, source.length);
    buffer_free(&source);
    const char *right = item->choices[0];
    /* The digest modulo 2^32 is its last four bytes. */
    shuffle_four(item->choices, (uint32_t)digest[12] << 24 | (uint32_t)digest[13] << 16 |
                                    (uint32_t)digest[14] << 8 | digest[15]);
    item->choice_count = 4;
    int64_t index = 0;
    while (strcmp(item->choices[index], right) != 0)
        index++;
    return bench_truth(item, index, error);
}

const benchmark bench_gpqa = {.name = "gpqa",
                              .hub = "Idavidrein/gpqa",
                              .split = "train",
                              .subject = "gpqa_diamond",
                              .kind = BENCH_CHOICE,
                              .letters = 4,
                              .read = read};
