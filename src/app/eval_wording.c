/* eval_wording.c - what a question says: the prompt of its benchmark as a chat, or a plain text. */
#include "app/eval.h"

/* A prompt beyond max_length tokens loses its middle, as in the original: the first and the last
 * half of the tokens are turned back into text. */
static c2c_status shorten(buffer *text, const c2c_model *model, int64_t most, c2c_error *error) {
    int32_t *ids = NULL;
    size_t count, head_length = 0, tail_length = 0;
    char *head = NULL, *tail = NULL;
    c2c_status status =
        c2c_model_encode(model, text->data, text->length, true, &ids, &count, error);
    if (status || (int64_t)count <= most)
        goto done;
    size_t half = (size_t)(most / 2);
    status = c2c_model_decode(model, ids, half, true, &head, &head_length, error);
    if (!status)
        status =
            c2c_model_decode(model, ids + count - half, half, true, &tail, &tail_length, error);
    if (!status) {
        buffer_clear(text);
        buffer_append(text, head, head_length);
        buffer_append(text, tail, tail_length);
        if (text->failed)
            status = error_memory(error, head_length + tail_length, "a prompt");
    }
done:
    c2c_free(head);
    c2c_free(tail);
    c2c_free(ids);
    return status;
}

c2c_status eval_word_background(buffer *out, const char *prompt, const char *question,
                                c2c_error *error) {
    static const char word[] = "{question}";
    for (const char *c = prompt; *c;) {
        if (strncmp(c, word, sizeof word - 1) == 0) {
            buffer_append_text(out, question);
            c += sizeof word - 1;
        } else {
            buffer_append_char(out, *c++);
        }
    }
    return out->failed ? error_memory(error, out->length, "a prompt") : C2C_STATUS_OK;
}

c2c_status eval_word_question(buffer *prompt, chat *messages, const eval_system *s,
                              const eval_set *set, const eval_question *q, c2c_error *error) {
    const bench_item *item = &q->item;
    c2c_status status = C2C_STATUS_OK;
    if (item->messages) {
        for (size_t i = 0; !status && i < item->message_count; i++)
            status = chat_add(messages, item->messages[i].role, item->messages[i].content, error);
        return status;
    }
    status =
        bench_prompt(prompt, set->benchmark, item, s->recipe->cot, s->recipe->use_template, error);
    if (!status && set->benchmark->kind == BENCH_LONG)
        status = shorten(prompt, s->answerer.receiver, s->recipe->max_length, error);
    return status ? status : chat_add(messages, "user", prompt->data, error);
}
