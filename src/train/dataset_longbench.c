/* dataset_longbench.c - LongBenchChatDataset: the tasks of LongBench with their published prompts.
 * Each task is a file of its own. Rows whose id falls to evaluation are left out. */
#include "train/dataset.h"

#include <stdlib.h>

c2c_status longbench_cut_middle(buffer *prompt, const tokenizer *t, int64_t most,
                                c2c_error *error) {
    token_list tokens = {0};
    buffer cut = {0};
    int32_t *ids = NULL;
    c2c_status status =
        tokenizer_encode(t, prompt->data ? prompt->data : "", prompt->length, true, &tokens, error);
    if (status || (int64_t)tokens.count <= most)
        goto done;
    size_t half = (size_t)most / 2;
    ids = malloc(tokens.count * sizeof *ids);
    if (!ids) {
        status = error_memory(error, tokens.count * sizeof *ids, "a prompt");
        goto done;
    }
    for (size_t i = 0; i < tokens.count; i++)
        ids[i] = tokens.items[i].id;
    /* Each half is decoded by itself: a character on the edge becomes U+FFFD. */
    status = tokenizer_decode(t, ids, half, true, &cut, error);
    if (!status)
        status = tokenizer_decode(t, ids + tokens.count - half, half, true, &cut, error);
    if (!status && cut.failed)
        status = error_memory(error, cut.length, "a prompt");
    if (!status) {
        buffer_clear(prompt);
        buffer_append(prompt, cut.data ? cut.data : "", cut.length);
    }
done:
    free(ids);
    buffer_free(&cut);
    token_list_free(&tokens);
    return status;
}

static c2c_status longbench_chat(const dataset_row *row, row_chat *chat) {
    const json_value *answers = json_get(row->row, "answers"),
                     *name = json_get(row->row, "dataset");
    const char *task_name = row->task                           ? row->task
                            : name && name->type == JSON_STRING ? name->string
                                                                : "";
    const longbench_task *task = longbench_task_find(task_name);
    if (!task)
        return row_wrong_field(row, "dataset", "a task of LongBench", name);
    if (!answers || answers->type != JSON_ARRAY ||
        (answers->count && answers->items[0].type != JSON_STRING))
        return row_wrong_field(row, "answers", "a list of texts", answers);
    buffer prompt = {0};
    c2c_status status = longbench_prompt(&prompt, task, row->row, row->error);
    if (!status && row->receiver)
        status = longbench_cut_middle(&prompt, row->receiver->tokenizer, row->options->max_length,
                                      row->error);
    if (!status && prompt.failed)
        status = error_memory(row->error, prompt.length, "a prompt");
    if (!status)
        status = row_chat_add(chat, row, "user", prompt.data, prompt.length, true);
    buffer_free(&prompt);
    if (status)
        return status;
    static const char none[] = "No answer provided";
    const char *answer = answers->count ? answers->items[0].string : none;
    return row_chat_add(chat, row, "assistant", answer,
                        answers->count ? answers->items[0].count : sizeof none - 1, true);
}

/* The id's SHA-256, a number of 256 bits with its last byte at its end, is not 1 modulo 4. */
static bool longbench_keep(const dataset_row *row) {
    const json_value *id = json_get(row->row, "_id");
    uint8_t digest[DIGEST_SHA256];
    if (row->options && !row->options->hold_out)
        return true;
    digest_sha256(digest, id && id->type == JSON_STRING ? id->string : "",
                  id && id->type == JSON_STRING ? id->count : 0);
    return digest[DIGEST_SHA256 - 1] % 4 != 1;
}

static const char *const longbench_keys[] = {
    "dataset_name", "language", "max_word_count", "max_length", "use_longbench_e",
    "filter_mod4",  NULL};

const dataset_kind longbench_dataset = {.name = "LongBenchChatDataset",
                                        .hub = "THUDM/LongBench",
                                        .split = "test",
                                        .keys = longbench_keys,
                                        .by_task = true,
                                        .filter_first = true,
                                        .chat = longbench_chat,
                                        .keep = longbench_keep};
