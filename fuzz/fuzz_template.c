/* fuzz_template.c - any bytes as a chat template: those up to the first NUL are its source, those
 * behind it the messages as JSON; where that is no list of messages, a chat that has a bit of
 * everything. What renders must be UTF-8 with message runs in order, and the same again. */
#include "tokenizer/template.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char chat[] =
    "[{\"role\": \"system\", \"content\": \"  S\\u00e9 'x'\\n\", \"n\": 3, \"f\": 2.5, \"t\": true,"
    "  \"l\": [1, 2, [3, \"x\"]], \"d\": {\"b\": 1, \"a\": \"\\u00e9\", \"c\": null}},"
    " {\"role\": \"user\", \"content\": \"Hello,\\tw\\u00f6rld \\ud83d\\ude42\\nLine two\","
    "  \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1.5, null]}}}]},"
    " {\"role\": \"assistant\", \"content\": \"<think>\\nr\\n</think>\\n\\nThe answer\"},"
    " {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"part\"}]},"
    " {\"role\": \"user\", \"content\": null}]";

static void check_text(const text *t) {
    size_t at = 0;
    text again;
    C2C_ASSERT(utf8_valid_prefix(t->bytes, t->length) == t->length);
    text_init(&again, t->bytes, t->length);
    C2C_ASSERT(again.characters == t->characters);
    for (size_t i = 0; i < t->run_count; i++) {
        C2C_ASSERT(t->runs[i].start >= at && t->runs[i].start < t->runs[i].end);
        at = t->runs[i].end;
    }
    C2C_ASSERT(at <= t->length);
}

static void render_twice(const chat_template *t, const json_value *messages) {
    static const c2c_moment now = {1721952000, 3600};
    c2c_chat_options options = {.add_generation_prompt = true,
                                .thinking = C2C_THINKING_OFF,
                                .now = &now};
    static const template_limits limits = {200000, 8 << 20, 1 << 20};
    c2c_error error = {0}, again = {0};
    const text *a, *b;
    arena *memory = arena_new(4096);
    if (!memory)
        return;
    c2c_status status =
        chat_template_render_runs(t, messages, &options, &limits, memory, &a, &error);
    C2C_ASSERT(chat_template_render_runs(t, messages, &options, &limits, memory, &b, &again) ==
               status);
    C2C_ASSERT((status == C2C_STATUS_OK) == (a != NULL));
    C2C_ASSERT(status == C2C_STATUS_OK ? text_equal(a, b)
                                       : strcmp(error.message, again.message) == 0);
    if (a)
        check_text(a);
    arena_free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t length = nul ? (size_t)(nul - data) : size;
    json_document *document = NULL;
    chat_template *t;
    c2c_error error;
    if (nul &&
        json_parse(&document, (const char *)nul + 1, size - length - 1, "fuzz", &error) ==
            C2C_STATUS_OK &&
        json_root(document)->type != JSON_ARRAY) {
        json_close(document);
        document = NULL;
    }
    if (!document && json_parse(&document, chat, strlen(chat), "chat", &error) != C2C_STATUS_OK)
        return 0;
    if (chat_template_parse(&t, (const char *)data, length, "fuzz", NULL, &error) ==
        C2C_STATUS_OK) {
        render_twice(t, json_root(document));
        chat_template_close(t);
    }
    json_close(document);
    return 0;
}
