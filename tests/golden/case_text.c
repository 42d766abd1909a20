/* case_text.c - tokenizers and chat templates: ids, character offsets, decoded texts and rendered
 * chats, of the models' own tokenizers and of real ones. All must be equal. */
#include "golden.h"

/* ---- Rows --------------------------------------------------------------------------------- */

/* Field names that the rows may have; another one would pass unseen. */
static void fields_check(golden_case *c, const char *what, const json_value *row,
                         const char *const *known) {
    for (uint32_t i = 0; i < row->count; i++) {
        size_t k = 0;
        while (known[k] && strcmp(known[k], row->members[i].key) != 0)
            k++;
        if (!known[k])
            case_fail(c, "%s: a field \"%s\" that this runner does not compare", what,
                      row->members[i].key);
    }
}

static const json_value *field_get(golden_case *c, const char *what, const json_value *row,
                                   const char *key, json_type type) {
    const json_value *value = json_get(row, key);
    if (value && value->type == type)
        return value;
    case_fail(c, "%s: expected %s \"%s\" in the row", what, json_type_name(type), key);
    return NULL;
}

/* ---- Encodings ---------------------------------------------------------------------------- */

static void ids_compare(golden_case *c, const char *what, const char *key, const json_value *want,
                        const token_list *got) {
    char name[200];
    snprintf(name, sizeof name, "%s: %s", what, key);
    int32_t *a = memory_get(want->count, sizeof *a), *b = memory_get(got->count, sizeof *b);
    for (uint32_t i = 0; i < want->count; i++)
        a[i] = want->items[i].type == JSON_INTEGER ? (int32_t)want->items[i].integer : -1;
    for (size_t i = 0; i < got->count; i++)
        b[i] = got->items[i].id;
    compare_ids(c, name, a, want->count, b, got->count);
    free(a);
    free(b);
}

static void offsets_compare(golden_case *c, const char *what, const json_value *want,
                            const token_list *got) {
    if (want->count != got->count) {
        case_fail(c, "%s: offsets: expected %u, got %zu", what, (unsigned)want->count, got->count);
        return;
    }
    for (uint32_t i = 0; i < want->count; i++) {
        const json_value *pair = &want->items[i];
        const token *t = &got->items[i];
        if (pair->type != JSON_ARRAY || pair->count != 2 || pair->items[0].type != JSON_INTEGER ||
            pair->items[1].type != JSON_INTEGER) {
            case_fail(c, "%s: offsets[%u] in the file is no pair", what, (unsigned)i);
            return;
        }
        long long start = pair->items[0].integer, end = pair->items[1].integer;
        if (t->start != start || t->end != end) {
            case_fail(c, "%s: offsets[%u]: expected [%lld, %lld], got [%d, %d]", what, (unsigned)i,
                      start, end, (int)t->start, (int)t->end);
            return;
        }
    }
}

/* Decoded at once, and joined from the pieces of a stream, each of whole characters. */
static void decoded_compare(golden_case *c, const char *what, const char *key,
                            const json_value *want, const tokenizer *t, const token_list *tokens,
                            bool skip_special) {
    int32_t *ids = memory_get(tokens->count, sizeof *ids);
    char name[200];
    buffer whole = {0}, pieces = {0};
    c2c_error error = {0};
    text_stream stream;
    text_stream_init(&stream, t, skip_special);
    for (size_t i = 0; i < tokens->count; i++)
        ids[i] = tokens->items[i].id;
    c2c_status status = tokenizer_decode(t, ids, tokens->count, skip_special, &whole, &error);
    for (size_t i = 0; status == C2C_STATUS_OK && i < tokens->count; i++) {
        status = text_stream_push(&stream, ids[i], &pieces, &error);
        if (utf8_valid_prefix(pieces.data ? pieces.data : "", pieces.length) != pieces.length)
            case_fail(c, "%s: %s: the stream gave half a character at token %zu", what, key, i);
    }
    if (status == C2C_STATUS_OK)
        status = text_stream_finish(&stream, &pieces, &error);
    if (status == C2C_STATUS_OK) {
        snprintf(name, sizeof name, "%s: %s", what, key);
        compare_text(c, name, want->string, want->count, whole.data ? whole.data : "",
                     whole.length);
        snprintf(name, sizeof name, "%s: %s (streamed)", what, key);
        compare_text(c, name, want->string, want->count, pieces.data ? pieces.data : "",
                     pieces.length);
    } else {
        case_fail(c, "%s: %s: %s", what, key, error.message);
    }
    text_stream_deinit(&stream);
    buffer_free(&whole);
    buffer_free(&pieces);
    free(ids);
}

static void encode_row_run(golden_case *c, const tokenizer *t, const json_value *row,
                           const char *what) {
    static const char *const known[] = {
        "text",    "ids",          "ids_with_special",     "offsets",
        "decoded", "decoded_skip", "decoded_skip_special", NULL};
    fields_check(c, what, row, known);
    const json_value *text = field_get(c, what, row, "text", JSON_STRING);
    const json_value *ids = field_get(c, what, row, "ids", JSON_ARRAY);
    const json_value *decoded = field_get(c, what, row, "decoded", JSON_STRING);
    const char *skip = json_get(row, "decoded_skip") ? "decoded_skip" : "decoded_skip_special";
    const json_value *skipped = field_get(c, what, row, skip, JSON_STRING);
    if (!text || !ids || !decoded || !skipped)
        return;
    token_list plain = {0}, special = {0};
    c2c_error error = {0};
    c2c_status status = tokenizer_encode(t, text->string, text->count, false, &plain, &error);
    if (status == C2C_STATUS_OK)
        status = tokenizer_encode(t, text->string, text->count, true, &special, &error);
    if (status == C2C_STATUS_OK) {
        ids_compare(c, what, "ids", ids, &plain);
        const json_value *with = json_get(row, "ids_with_special");
        if (with)
            ids_compare(c, what, "ids_with_special", with, &special);
        const json_value *offsets = json_get(row, "offsets");
        if (offsets)
            offsets_compare(c, what, offsets, &plain);
        decoded_compare(c, what, "decoded", decoded, t, &plain, false);
        decoded_compare(c, what, skip, skipped, t, &plain, true);
    } else {
        case_fail(c, "%s: %s", what, error.message);
    }
    token_list_free(&plain);
    token_list_free(&special);
}

/* The named special tokens must be in the vocabulary, as special ones. */
static void special_check(golden_case *c, const tokenizer *t, const json_value *special) {
    for (uint32_t i = 0; special && i < special->count; i++) {
        const json_value *text = &special->members[i].value;
        if (text->type != JSON_STRING)
            continue;
        int32_t id = tokenizer_find(t, text->string, text->count);
        if (id < 0 || !tokenizer_is_special(t, id))
            case_fail(c, "special token %s \"%s\": id %d, which is not special",
                      special->members[i].key, text->string, (int)id);
    }
}

static void encode_case_run(golden_case *c, const json_value *root, const char *folder) {
    tokenizer *t = NULL;
    c2c_error error = {0};
    const json_value *rows = json_get(root, "encode");
    c2c_status status = tokenizer_open(&t, folder, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, "tokenizer", &error);
        return;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        char what[64];
        snprintf(what, sizeof what, "encode[%u]", (unsigned)i);
        encode_row_run(c, t, &rows->items[i], what);
    }
    special_check(c, t, json_get(root, "special"));
    tokenizer_close(t);
}

/* ---- Chats -------------------------------------------------------------------------------- */

/* "TemplateError: MESSAGE" is what the template itself raised, and stands in our message. Any other
 * class is the original's own wording (it has no template at all): then failing is enough. */
static void chat_error_compare(golden_case *c, const char *what, const json_value *want,
                               c2c_status status, const c2c_error *error) {
    const char *raised = strstr(want->string, "TemplateError: ");
    if (status == C2C_STATUS_OK)
        case_fail(c, "%s: expected the error \"%s\", got a text", what, want->string);
    else if (raised && !strstr(error->message, raised + strlen("TemplateError: ")))
        case_fail(c, "%s: expected the error \"%s\", got \"%s\"", what, want->string,
                  error->message);
    else if (error->message[0] == '\0')
        case_fail(c, "%s: an error without a message", what);
}

static void chat_row_run(golden_case *c, const chat_template *t, const json_value *row,
                         const char *what) {
    static const char *const known[] = {"messages",        "add_generation_prompt",
                                        "enable_thinking", "text",
                                        "error",           NULL};
    fields_check(c, what, row, known);
    const json_value *messages = field_get(c, what, row, "messages", JSON_ARRAY);
    const json_value *prompt = field_get(c, what, row, "add_generation_prompt", JSON_BOOL);
    const json_value *failure = json_get(row, "error");
    const json_value *text = failure ? field_get(c, what, row, "error", JSON_STRING)
                                     : field_get(c, what, row, "text", JSON_STRING);
    const json_value *thinking = json_get(row, "enable_thinking");
    if (!messages || !prompt || !text)
        return;
    c2c_chat_options options = {.add_generation_prompt = prompt->boolean};
    if (thinking && thinking->type == JSON_BOOL)
        options.thinking = thinking->boolean ? C2C_THINKING_ON : C2C_THINKING_OFF;
    buffer out = {0};
    c2c_error error = {0};
    c2c_status status = chat_template_render(t, messages, &options, &out, &error);
    if (failure)
        chat_error_compare(c, what, failure, status, &error);
    else if (status == C2C_STATUS_OK)
        compare_text(c, what, text->string, text->count, out.data ? out.data : "", out.length);
    else
        case_status(c, status, "chat template", &error);
    buffer_free(&out);
}

static void chat_case_run(golden_case *c, const json_value *rows, const char *folder) {
    chat_template *t = NULL;
    c2c_error error = {0};
    c2c_status status = chat_template_open(&t, folder, NULL, &error);
    if (status != C2C_STATUS_OK) {
        case_status(c, status, "chat template", &error);
        return;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        char what[64];
        snprintf(what, sizeof what, "chat[%u]", (unsigned)i);
        chat_row_run(c, t, &rows->items[i], what);
    }
    chat_template_close(t);
}

/* ---- Files -------------------------------------------------------------------------------- */

void text_cases_run(golden_run *run, const char *name, const char *expected_path,
                    const char *tokenizer_folder) {
    static const char *const known[] = {"encode", "chat", "tokenizer", "special", NULL};
    json_document *document = NULL;
    c2c_error error = {0};
    c2c_status status = json_open(&document, expected_path, &error);
    const json_value *root = document ? json_root(document) : NULL;
    for (int i = 0; i < 2; i++) {
        golden_case c;
        case_begin(&c, run, "%s/%s", name, known[i]);
        if (status != C2C_STATUS_OK) {
            case_fail(&c, "%s", error.message);
        } else if (root->type != JSON_OBJECT) {
            case_fail(&c, "%s: expected an object", expected_path);
        } else {
            const json_value *rows = field_get(&c, expected_path, root, known[i], JSON_ARRAY);
            fields_check(&c, expected_path, root, known);
            if (rows && i == 0)
                encode_case_run(&c, root, tokenizer_folder);
            else if (rows)
                chat_case_run(&c, rows, tokenizer_folder);
        }
        case_end(&c);
    }
    json_close(document);
}

/* tokenizers/NAME.json was made from the real tokenizer in DIR/../assets/tokenizers/NAME. */
static void real_tokenizer_run(golden_run *run, const char *path, const char *file) {
    char name[256], stem[256], folder_name[300];
    json_text_read(path, "tokenizer", name, sizeof name);
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(file) - strlen(".json")), file);
    if (name[0] == '\0' || strchr(name, '/'))
        snprintf(name, sizeof name, "%s", stem);
    char *assets = path_make(run->folder, "../assets/tokenizers");
    snprintf(folder_name, sizeof folder_name, "tokenizers/%s", stem);
    char *folder = path_make(assets, name);
    if (folder_exists(folder)) {
        text_cases_run(run, folder_name, path, folder);
    } else {
        golden_case c;
        case_begin(&c, run, "%s", folder_name);
        case_absent(&c, "%s: no such folder", folder);
        case_end(&c);
    }
    free(folder);
    free(assets);
}

void tokenizers_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        if (text_ends(names[i], ".json")) {
            real_tokenizer_run(run, path, names[i]);
        } else {
            golden_case c;
            case_begin(&c, run, "tokenizers/%s", names[i]);
            case_unsupported(&c, "unknown file", "");
            case_end(&c);
        }
        free(path);
    }
    names_free(names, count);
}
