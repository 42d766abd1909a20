/* bench_qa.c - questions with one exact answer, as JSON lines: "question" and "answer", and maybe
 * "messages", the chat that is asked in place of the question alone, and "kind", its category. */
#include "eval/bench.h"

#include <stdlib.h>

static c2c_status read_messages(bench_item *item, const json_value *list, const char *where,
                                c2c_error *error) {
    if (list->type != JSON_ARRAY || list->count == 0)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: messages: expected a list of messages, found %s", where,
                         json_type_name(list->type));
    c2c_message *messages = arena_alloc(item->texts, list->count * sizeof *messages);
    if (!messages)
        return error_memory(error, list->count * sizeof *messages, "a chat");
    for (uint32_t i = 0; i < list->count; i++) {
        c2c_status status =
            bench_text(item, &messages[i].role, &list->items[i], "role", false, where, error);
        if (!status)
            status = bench_text(item, &messages[i].content, &list->items[i], "content", false,
                                where, error);
        if (status)
            return status;
    }
    item->messages = messages;
    item->message_count = list->count;
    return C2C_STATUS_OK;
}

static c2c_status read(bench_item *item, const json_value *row, const char *where,
                       c2c_error *error) {
    const json_value *messages = json_get(row, "messages");
    c2c_status status = bench_text(item, &item->question, row, "question", false, where, error);
    if (status || (status = bench_text(item, &item->truth, row, "answer", false, where, error)) ||
        (status = bench_text(item, &item->category, row, "kind", true, where, error)))
        return status;
    return messages && messages->type != JSON_NULL ? read_messages(item, messages, where, error)
                                                   : C2C_STATUS_OK;
}

const benchmark bench_qa = {
    .name = "qa", .split = "eval", .subject = "main", .kind = BENCH_EXACT, .read = read};
