/* case_chats.c - training data: rows of data types as messages, messages as ids with labels and
 * masks, and a padded batch of the reference beside our packed one. All must be equal. */
#include "golden.h"

#include "train/data.h"

/* ---- Rows to messages ----------------------------------------------------------------------- */

static void messages_compare(golden_case *c, uint32_t i, const json_value *want,
                             const row_chat *got) {
    char what[64];
    if (!want || want->type != JSON_ARRAY || want->count != got->count) {
        case_fail(c, "row %u: expected %u messages, got %zu", (unsigned)i,
                  want ? (unsigned)want->count : 0, got->count);
        return;
    }
    for (uint32_t m = 0; m < want->count; m++) {
        const json_value *role = json_get(&want->items[m], "role");
        const json_value *content = json_get(&want->items[m], "content");
        snprintf(what, sizeof what, "row %u: message %u", (unsigned)i, (unsigned)m);
        if (!role || !content || role->type != JSON_STRING || content->type != JSON_STRING) {
            case_fail(c, "%s: expected a role and a content", what);
            continue;
        }
        const c2c_message *message = &got->messages[m];
        compare_text(c, what, role->string, role->count, message->role, strlen(message->role));
        compare_text(c, what, content->string, content->count, message->content,
                     strlen(message->content));
    }
}

void chat_rows_run(golden_case *c, const json_value *rows) {
    row_chat chat = {0};
    for (uint32_t i = 0; i < rows->count; i++) {
        const json_value *type = json_get(&rows->items[i], "type");
        const json_value *row = json_get(&rows->items[i], "row");
        const dataset_kind *kind =
            type && type->type == JSON_STRING ? dataset_find(type->string) : NULL;
        c2c_error error = {0};
        if (!kind || !row)
            case_fail(c, "row %u: expected a \"row\" of a \"type\" that is known", (unsigned)i);
        else if (dataset_row_chat(kind, &chat, row, &error))
            case_fail(c, "row %u: %s", (unsigned)i, error.message);
        else
            messages_compare(c, i, json_get(&rows->items[i], "messages"), &chat);
    }
    row_chat_deinit(&chat);
}

/* ---- Messages to ids ------------------------------------------------------------------------ */

/* A model that can read a chat and nothing else. */
typedef struct reader {
    char name[128];
    c2c_model model;
} reader;

static void reader_close(reader *r) {
    chat_template_close(r->model.chat_template);
    tokenizer_close(r->model.tokenizer);
    *r = (reader){0};
}

/* The tokenizer of a tiny model here, or a real one beside the folder. */
static c2c_status reader_open(golden_case *c, reader *r, const char *name, c2c_error *error) {
    if (strcmp(r->name, name) == 0)
        return C2C_STATUS_OK;
    reader_close(r);
    char *models = path_make(c->run->folder, "models"), *folder = path_make(models, name);
    if (!folder_exists(folder)) {
        free(models);
        free(folder);
        models = path_make(c->run->folder, "../assets/tokenizers");
        folder = path_make(models, name);
    }
    c2c_status status = C2C_STATUS_NOT_FOUND;
    if (folder_exists(folder)) {
        status = tokenizer_open(&r->model.tokenizer, folder, error);
        if (!status)
            status = chat_template_open(&r->model.chat_template, folder, NULL, error);
    }
    snprintf(r->name, sizeof r->name, "%s", status ? "" : name);
    free(models);
    free(folder);
    return status;
}

static int32_t *numbers_read(const json_value *list, size_t *count) {
    *count = list && list->type == JSON_ARRAY ? list->count : 0;
    int32_t *numbers = memory_get(*count + 1, sizeof *numbers);
    for (size_t i = 0; i < *count; i++) {
        const json_value *item = &list->items[i];
        numbers[i] = item->type == JSON_INTEGER ? (int32_t)item->integer
                     : item->type == JSON_REAL  ? (int32_t)item->real
                                                : INT32_MIN;
    }
    return numbers;
}

static void list_compare(golden_case *c, const char *what, const char *key, const json_value *row,
                         const int32_t *got, size_t got_count) {
    char name[200];
    size_t count;
    int32_t *want = numbers_read(json_get(row, key), &count);
    snprintf(name, sizeof name, "%s: %s", what, key);
    compare_ids(c, name, want, count, got, got_count);
    free(want);
}

static void sample_compare(golden_case *c, const char *what, const json_value *row,
                           const encoded_chat *e) {
    size_t count = (size_t)e->tokens, at = 0;
    int32_t *labels = memory_get(count, sizeof *labels), *mask = memory_get(count, sizeof *mask);
    for (size_t i = 0; i < count; i++)
        labels[i] = (int64_t)i < e->first_label ? LABEL_NONE : e->ids[i];
    for (size_t s = 0; s < e->section_count; s++)
        for (int64_t i = 0; i < e->sections[s].length && at < count; i++)
            mask[at++] = e->sections[s].mask;
    list_compare(c, what, "input_ids", row, e->ids, count);
    list_compare(c, what, "labels", row, labels, count);
    list_compare(c, what, "mask", row, mask, at);
    free(labels);
    free(mask);
}

/* Roles and contents of a list that the runner was given. */
static c2c_message *messages_read(const json_value *list) {
    size_t count = list && list->type == JSON_ARRAY ? list->count : 0;
    c2c_message *messages = memory_get(count + 1, sizeof *messages);
    for (size_t i = 0; i < count; i++) {
        const json_value *role = json_get(&list->items[i], "role");
        const json_value *content = json_get(&list->items[i], "content");
        messages[i].role = role && role->type == JSON_STRING ? role->string : "";
        messages[i].content = content && content->type == JSON_STRING ? content->string : "";
    }
    return messages;
}

static c2c_status encode(encoded_chat *e, const c2c_model *model, const json_value *list,
                         int64_t max_length, row_fate *fate, c2c_error *error) {
    const c2c_model *sharers[] = {model};
    const data_models models = {.receiver = model,
                                .sharers = sharers,
                                .sharer_count = 1,
                                .max_length = max_length};
    c2c_message *messages = messages_read(list);
    c2c_status status =
        chat_encode(e, &models, messages, list ? list->count : 0, fate, NULL, error);
    free(messages);
    return status;
}

static void token_row_run(golden_case *c, uint32_t i, const json_value *row, reader *r,
                          encoded_chat *e) {
    const json_value *name = json_get(row, "tokenizer"), *most = json_get(row, "max_length");
    c2c_error error = {0};
    row_fate fate = ROW_KEPT;
    char what[64];
    snprintf(what, sizeof what, "row %u", (unsigned)i);
    if (!name || name->type != JSON_STRING || !most || most->type != JSON_INTEGER)
        case_fail(c, "%s: expected a tokenizer and a max_length", what);
    else if (reader_open(c, r, name->string, &error))
        case_fail(c, "%s: %s", what, error.message[0] ? error.message : "no such tokenizer");
    else if (encode(e, &r->model, json_get(row, "messages"), most->integer, &fate, &error))
        case_fail(c, "%s: %s", what, error.message);
    else if (json_get(row, "error") && fate != ROW_LONG_INSTRUCTION)
        case_fail(c, "%s: expected \"%s\", got \"%s\"", what, row_fate_text(ROW_LONG_INSTRUCTION),
                  row_fate_text(fate));
    else if (!json_get(row, "error") && fate)
        case_fail(c, "%s: expected ids, got \"%s\"", what, row_fate_text(fate));
    else if (!fate)
        sample_compare(c, what, row, e);
}

void token_rows_run(golden_case *c, const json_value *rows) {
    reader r = {0};
    encoded_chat e = {0};
    for (uint32_t i = 0; i < rows->count; i++)
        token_row_run(c, i, &rows->items[i], &r, &e);
    encoded_chat_free(&e);
    reader_close(&r);
}

/* ---- A batch -------------------------------------------------------------------------------- */

/* What the reference pads: section A of every sample to the longest one, then B likewise. Ours are
 * spread out in the same way; where there is padding, its id is the reference's to choose. */
static void batch_row_compare(golden_case *c, uint32_t i, const json_value *batch,
                              const encoded_chat *e, int64_t widest_a, int64_t width) {
    size_t count = (size_t)width, ids_count;
    int64_t a = e->sections[0].length;
    const json_value *all_ids = json_get(batch, "input_ids");
    int32_t *ids = numbers_read(&all_ids->items[i], &ids_count);
    int32_t *got = memory_get(4 * count, sizeof *got);
    int32_t *mask = got + count, *labels = mask + count, *positions = labels + count;
    for (int64_t t = 0; t < width; t++) {
        int64_t from = t < widest_a ? t : a + t - widest_a;
        bool real = t < widest_a ? t < a : from < e->tokens;
        got[t] = real ? e->ids[from] : (size_t)t < ids_count ? ids[t] : 0;
        mask[t] = real;
        labels[t] = real && from >= e->first_label ? e->ids[from] : LABEL_NONE;
        positions[t] = real ? (int32_t)from : 0;
    }
    static const char *const keys[] = {"input_ids", "attention_mask", "labels", "position_ids"};
    for (size_t k = 0; k < 4; k++) {
        const json_value *rows = json_get(batch, keys[k]);
        char what[64];
        size_t want_count;
        snprintf(what, sizeof what, "sample %u: %s", (unsigned)i, keys[k]);
        if (!rows || rows->type != JSON_ARRAY || i >= rows->count) {
            case_fail(c, "%s: expected such a row", what);
            continue;
        }
        int32_t *want = numbers_read(&rows->items[i], &want_count);
        compare_ids(c, what, want, want_count, got + k * count, count);
        free(want);
    }
    free(ids);
    free(got);
}

void collated_run(golden_case *c, const json_value *root) {
    const json_value *name = json_get(root, "tokenizer"), *chats = json_get(root, "messages");
    const json_value *batch = json_get(root, "batch"), *ids = json_get(batch, "input_ids");
    c2c_error error = {0};
    reader r = {0};
    if (!name || name->type != JSON_STRING || !chats || !ids || ids->type != JSON_ARRAY ||
        chats->type != JSON_ARRAY || chats->count != ids->count) {
        case_fail(c, "expected a tokenizer, chats and a batch of as many rows");
        return;
    }
    encoded_chat *samples = memory_get(chats->count, sizeof *samples);
    int64_t widest_a = 0, widest_b = 0;
    c2c_status status = reader_open(c, &r, name->string, &error);
    for (uint32_t i = 0; i < chats->count && !status; i++) {
        row_fate fate;
        status = encode(&samples[i], &r.model, &chats->items[i], INT32_MAX, &fate, &error);
        if (!status && (fate || samples[i].section_count != 2))
            status = error_set(&error, C2C_STATUS_BAD_FILE, "chat %u: %s", (unsigned)i,
                               row_fate_text(fate));
        if (!status) {
            widest_a = max_i64(widest_a, samples[i].sections[0].length);
            widest_b = max_i64(widest_b, samples[i].sections[1].length);
        }
    }
    if (status)
        case_fail(c, "%s", error.message[0] ? error.message : "no such tokenizer");
    for (uint32_t i = 0; i < chats->count && !status; i++)
        batch_row_compare(c, i, batch, &samples[i], widest_a, widest_a + widest_b);
    for (uint32_t i = 0; i < chats->count; i++)
        encoded_chat_free(&samples[i]);
    free(samples);
    reader_close(&r);
}
