/* chat_template.c - a model folder's chat template: where it is found, which variables it sees,
 * and its rendering. The language itself is template_*.c's.
 *
 * The variables are those that transformers' apply_chat_template gives: messages, tools and
 * documents (none), the special tokens by name, add_generation_prompt, and whatever the caller
 * sets (enable_thinking). What the caller does not set is undefined and not none: templates ask
 * `is defined`.
 *
 * A template that cannot be run is kept as a refusal and opens: a folder may be used with --raw
 * or for fusing alone, so only a rendering fails, with the reason found at opening. A template
 * with mistakes in it is a bad file and does not open. */
#include "tokenizer/template.h"

#include <stdlib.h>

/* Special tokens that a template may name, as transformers offers them. */
static const char *const token_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

/* Immutable after opening; the tree and the tokens live in its arena. */
struct chat_template {
    arena *memory;
    const char *name;
    const node *body;  /* NULL: nothing to render, and refusal says why */
    c2c_error refusal; /* a missing template, or one this build cannot run: no reason not to open
                          the folder, since not every use of a model renders a chat */
    binding *tokens;
};

/* ---- Special tokens ----------------------------------------------------------------------- */

/* The text of a token: a string, or an object that holds it as "content"; NULL when there is none.
 */
static const json_value *token_text(const json_value *token) {
    if (token && token->type == JSON_OBJECT)
        token = json_get(token, "content");
    return token && token->type == JSON_STRING && token->count ? token : NULL;
}

/* Copies: the document that these come from is closed after opening. */
static bool make_text(arena *memory, const json_value *string, value *out) {
    char *bytes = arena_copy(memory, string->string, string->count);
    text *t = arena_alloc(memory, sizeof *t);
    if (!bytes || !t)
        return false;
    text_init(t, bytes, string->count);
    *out = value_from_text(t);
    return true;
}

static bool add_variable(chat_template *t, const char *name, const value *v) {
    binding *b = arena_alloc(t->memory, sizeof *b);
    char *copy = arena_copy(t->memory, name, strlen(name));
    if (!b || !copy)
        return false;
    *b = (binding){.next = t->tokens, .name = copy, .value = *v};
    t->tokens = b;
    return true;
}

static bool add_token(chat_template *t, const char *name, const json_value *token) {
    const json_value *string = token_text(token);
    value v;
    return !string || (make_text(t->memory, string, &v) && add_variable(t, name, &v));
}

/* Elements that are neither texts nor objects with a content are left out, as transformers would
 * fail on them. */
static bool add_more_tokens(chat_template *t, const json_value *list) {
    if (!list || list->type != JSON_ARRAY || !list->count)
        return true;
    sequence *s = arena_alloc(t->memory, sizeof *s);
    value *items = arena_alloc(t->memory, list->count * sizeof *items);
    if (!s || !items)
        return false;
    s->items = items;
    for (uint32_t i = 0; i < list->count; i++) {
        const json_value *string = token_text(&list->items[i]);
        if (string && !make_text(t->memory, string, &items[s->count++]))
            return false;
    }
    value v = {.type = VALUE_LIST, .sequence = s};
    return add_variable(t, "additional_special_tokens", &v);
}

static c2c_status read_tokens(chat_template *t, const json_value *config, c2c_error *error) {
    const json_value *extra = json_get(config, "extra_special_tokens");
    bool good = true;
    for (size_t i = 0; good && i < sizeof token_names / sizeof *token_names; i++)
        good = add_token(t, token_names[i], json_get(config, token_names[i]));
    good = good && add_more_tokens(t, json_get(config, "additional_special_tokens"));
    for (uint32_t i = 0; good && extra && extra->type == JSON_OBJECT && i < extra->count; i++)
        good = add_token(t, extra->members[i].key, &extra->members[i].value);
    return good ? C2C_STATUS_OK : error_memory(error, 0, "special tokens");
}

/* ---- Parsing ------------------------------------------------------------------------------ */

static chat_template *template_new(const char *name) {
    chat_template *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->memory = arena_new(16 << 10);
    t->name = t->memory ? arena_copy(t->memory, name, strlen(name)) : NULL;
    if (!t->name) {
        chat_template_close(t);
        return NULL;
    }
    return t;
}

void chat_template_close(chat_template *t) {
    if (!t)
        return;
    arena_free(t->memory);
    free(t);
}

static c2c_status parse_source(chat_template *t, const char *source, size_t length,
                               c2c_error *error) {
    lexeme_list lexemes = {0};
    node *body = NULL;
    size_t valid = utf8_valid_prefix(source, length);
    if (length > TEMPLATE_MAX_SOURCE)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: a chat template of %zu bytes, expected at most %u", t->name, length,
                         TEMPLATE_MAX_SOURCE);
    if (valid < length)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: byte %zu is not UTF-8", t->name, valid);
    c2c_error own;
    c2c_status status = template_lex(&lexemes, t->memory, source, length, t->name, &own);
    if (status == C2C_STATUS_OK)
        status = template_parse(&body, t->memory, lexemes.items, t->name, &own);
    free(lexemes.items);
    /* Known, but not built: kept for whoever renders. */
    if (status == C2C_STATUS_UNSUPPORTED) {
        t->refusal = own;
        return C2C_STATUS_OK;
    }
    if (status != C2C_STATUS_OK && error)
        *error = own;
    t->body = body;
    return status;
}

c2c_status chat_template_parse(chat_template **out, const char *source, size_t length,
                               const char *name, const json_value *tokenizer_config,
                               c2c_error *error) {
    *out = NULL;
    chat_template *t = template_new(name);
    if (!t)
        return error_memory(error, sizeof *t, "a chat template");
    c2c_status status = read_tokens(t, tokenizer_config, error);
    if (status == C2C_STATUS_OK)
        status = parse_source(t, source, length, error);
    if (status == C2C_STATUS_OK)
        *out = t;
    else
        chat_template_close(t);
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

#define ADVICE "; give one with --chat-template FILE, or use --raw"

/* A template that only knows why it cannot render. */
static c2c_status open_refusal(chat_template **out, const char *name, const json_value *config,
                               const c2c_error *why, c2c_error *error) {
    c2c_status status = chat_template_parse(out, "", 0, name, config, error);
    if (status == C2C_STATUS_OK) {
        (*out)->refusal = *why;
        (*out)->body = NULL;
    }
    return status;
}

static c2c_status open_file(chat_template **out, const char *path, const json_value *config,
                            c2c_error *error) {
    file_map map = {0};
    c2c_status status = file_map_open(&map, path, error);
    if (status == C2C_STATUS_OK)
        status = chat_template_parse(out, map.data ? (const char *)map.data : "", map.size, path,
                                     config, error);
    file_map_close(&map);
    return status;
}

/* The template of a list of {name, template}: the one named "default". */
static c2c_status open_named(chat_template **out, const json_value *list, const char *name,
                             const json_value *config, c2c_error *error) {
    c2c_error why;
    buffer choices = {0};
    for (uint32_t i = 0; i < list->count; i++) {
        const json_value *key = json_get(&list->items[i], "name");
        const json_value *source = json_get(&list->items[i], "template");
        if (!key || key->type != JSON_STRING || !source || source->type != JSON_STRING) {
            buffer_free(&choices);
            return error_set(error, C2C_STATUS_BAD_FILE,
                             "%s: chat_template[%u]: expected {\"name\": ..., \"template\": ...}",
                             name, i);
        }
        /* transformers takes this one unless asked for another by name or given tools. */
        if (strcmp(key->string, "default") == 0) {
            buffer_free(&choices);
            return chat_template_parse(out, source->string, source->count, name, config, error);
        }
        buffer_printf(&choices, "%s%s", i ? ", " : "", key->string);
    }
    error_set(&why, C2C_STATUS_UNSUPPORTED,
              "%s: chat_template: none of the templates is named default, only: %s" ADVICE, name,
              choices.data ? choices.data : "none");
    buffer_free(&choices);
    return open_refusal(out, name, config, &why, error);
}

/* The member chat_template of a document; *found is false where it is missing or null. */
static c2c_status open_member(chat_template **out, const json_document *document,
                              const json_value *config, bool *found, c2c_error *error) {
    const char *name = json_name(document);
    const json_value *member = json_get(json_root(document), "chat_template");
    *found = member && member->type != JSON_NULL;
    if (!*found)
        return C2C_STATUS_OK;
    if (member->type == JSON_ARRAY)
        return open_named(out, member, name, config, error);
    if (member->type != JSON_STRING)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: chat_template: expected a string or a list, found %s", name,
                         json_type_name(member->type));
    return chat_template_parse(out, member->string, member->count, name, config, error);
}

/* The folder's places, in order; *found is false where none has a template. */
static c2c_status open_folder(chat_template **out, const char *folder, const json_document *config,
                              bool *found, c2c_error *error) {
    const json_value *tokens = config ? json_root(config) : NULL;
    char *jinja = path_join(folder, "chat_template.jinja");
    char *json = path_join(folder, "chat_template.json");
    json_document *document = NULL;
    c2c_status status = C2C_STATUS_OK;
    *found = false;
    if (!jinja || !json) {
        status = error_memory(error, 0, "a path");
        goto done;
    }
    /* The newest way to store a template comes first, as transformers prefers it: a folder that
     * was converted may still have the older ones. */
    if (file_exists(jinja)) {
        *found = true;
        status = open_file(out, jinja, tokens, error);
        goto done;
    }
    if (file_exists(json)) {
        status = json_open(&document, json, error);
        if (status == C2C_STATUS_OK)
            status = open_member(out, document, tokens, found, error);
        if (status != C2C_STATUS_OK || *found)
            goto done;
    }
    if (config)
        status = open_member(out, config, tokens, found, error);
done:
    json_close(document);
    free(jinja);
    free(json);
    return status;
}

c2c_status chat_template_open(chat_template **out, const char *folder, const char *override,
                              c2c_error *error) {
    char *path = path_join(folder, "tokenizer_config.json");
    json_document *config = NULL;
    bool found = false;
    c2c_status status = C2C_STATUS_OK;
    *out = NULL;
    if (!path) {
        status = error_memory(error, 0, "a path");
        goto done;
    }
    if (file_exists(path))
        status = json_open(&config, path, error);
    if (status != C2C_STATUS_OK)
        goto done;
    const json_value *tokens = config ? json_root(config) : NULL;
    if (override) {
        status = open_file(out, override, tokens, error);
        goto done;
    }
    status = open_folder(out, folder, config, &found, error);
    if (status == C2C_STATUS_OK && !found) {
        c2c_error why;
        error_set(&why, C2C_STATUS_NOT_FOUND,
                  "%s: no chat template: looked for chat_template.jinja, chat_template.json and "
                  "chat_template in tokenizer_config.json" ADVICE,
                  folder);
        status = open_refusal(out, folder, tokens, &why, error);
    }
done:
    json_close(config);
    free(path);
    return status;
}

/* ---- Rendering ---------------------------------------------------------------------------- */

/* One message; its content's texts remember that they are this message's. */
static bool message_value(render *r, const json_value *json, int message, value *out) {
    if (json->type != JSON_OBJECT)
        return value_from_json(r, json, -1, out);
    dict *d = dict_new(r, json->count);
    for (uint32_t i = 0; d && i < json->count; i++) {
        const json_member *m = &json->members[i];
        const text *t = text_view(r, m->key, m->key_length);
        value v, key = value_from_text(t);
        /* Only the content is what a person said: roles and names are the chat's own. */
        int owner = t && text_is(t, "content") ? message : -1;
        if (!t || !value_from_json(r, &m->value, owner, &v) || !dict_set(r, d, &key, &v))
            return false;
    }
    *out = (value){.type = VALUE_DICT, .dict = d};
    return d != NULL;
}

/* The variables that transformers gives a template. */
static bool bind_context(render *r, scope *s, const chat_template *t, const json_value *messages,
                         const c2c_chat_options *options) {
    value list, none = value_none();
    value prompt = value_bool(options && options->add_generation_prompt);
    value *items = render_array(r, messages->count, sizeof *items);
    for (uint32_t i = 0; items && i < messages->count; i++)
        if (!message_value(r, &messages->items[i], (int)i, &items[i]))
            return false;
    if (!items || !value_list(r, VALUE_LIST, items, messages->count, &list))
        return false;
    /* The caller's variables come last and so win over a special token that has one of their
     * names. */
    for (const binding *b = t->tokens; b; b = b->next)
        if (!scope_set(r, s, b->name, &b->value))
            return false;
    if (options && options->thinking != C2C_THINKING_UNSET) {
        value thinking = value_bool(options->thinking == C2C_THINKING_ON);
        if (!scope_set(r, s, "enable_thinking", &thinking))
            return false;
    }
    return scope_set(r, s, "messages", &list) && scope_set(r, s, "tools", &none) &&
           scope_set(r, s, "documents", &none) && scope_set(r, s, "add_generation_prompt", &prompt);
}

/* All of a rendering's memory is in `memory`: the output is a text in it, and its runs are. */
c2c_status chat_template_render_runs(const chat_template *t, const json_value *messages,
                                     const c2c_chat_options *options, const template_limits *limits,
                                     arena *memory, const text **out, c2c_error *error) {
    static const template_limits usual = {20000000, (size_t)256 << 20, (size_t)64 << 20};
    if (!limits)
        limits = &usual;
    render r = {.memory = memory,
                .limits = limits,
                .memory_left = limits->memory,
                .work_left = limits->work,
                .name = t->name,
                .line = 1,
                .now = options ? options->now : NULL,
                .error = error};
    text_builder output = {.render = &r, .limit = limits->output};
    *out = NULL;
    if (!t->body) {
        if (error)
            *error = t->refusal;
        return t->refusal.code;
    }
    if (messages->type != JSON_ARRAY)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "messages: expected a list of objects with role and content, found %s",
                         json_type_name(messages->type));
    r.out = &output;
    r.context = scope_new(&r, NULL, NULL);
    if (r.context && bind_context(&r, r.context, t, messages, options)) {
        scope *top = scope_new(&r, r.context, t->body);
        if (top && node_exec(&r, top, t->body))
            *out = builder_finish(&output);
    }
    return r.status;
}

static c2c_status copy_spans(content_spans *spans, const text *rendered, c2c_error *error) {
    size_t bytes = (rendered->run_count + 1) * sizeof *spans->items;
    spans->items = malloc(bytes);
    if (!spans->items)
        return error_memory(error, bytes, "the contents of a chat");
    spans->count = 0;
    for (size_t i = 0; i < rendered->run_count; i++) {
        const text_run *run = &rendered->runs[i];
        content_span *last = spans->count ? &spans->items[spans->count - 1] : NULL;
        /* Runs of one message that touch are one span: a template may have taken a content apart
         * and put it together again. */
        if (last && last->message == run->message && last->end == run->start)
            last->end = run->end;
        else if (run->end > run->start)
            spans->items[spans->count++] = (content_span){run->start, run->end, run->message};
    }
    return C2C_STATUS_OK;
}

c2c_status chat_template_render_spans(const chat_template *t, const json_value *messages,
                                      const c2c_chat_options *options, buffer *out,
                                      content_spans *spans, c2c_error *error) {
    arena *memory = arena_new(64 << 10);
    const text *rendered;
    if (!memory)
        return error_memory(error, 64 << 10, "rendering a chat template");
    c2c_status status =
        chat_template_render_runs(t, messages, options, NULL, memory, &rendered, error);
    if (status)
        goto done;
    buffer_append(out, rendered->bytes, rendered->length);
    if (out->failed)
        status = error_memory(error, rendered->length, "a rendered chat");
    else if (spans)
        status = copy_spans(spans, rendered, error);
done:
    arena_free(memory);
    return status;
}

c2c_status chat_template_render(const chat_template *t, const json_value *messages,
                                const c2c_chat_options *options, buffer *out, c2c_error *error) {
    return chat_template_render_spans(t, messages, options, out, NULL, error);
}

/* ---- Special tokens by name --------------------------------------------------------------- */

const char *chat_template_token(const chat_template *t, const char *name) {
    for (const binding *b = t->tokens; b; b = b->next)
        if (strcmp(b->name, name) == 0 && b->value.type == VALUE_TEXT)
            return b->value.text->bytes;
    return NULL;
}

static bool is_text(const value *v, const char *bytes, size_t length) {
    return v->type == VALUE_TEXT && v->text->length == length &&
           memcmp(v->text->bytes, bytes, length) == 0;
}

bool chat_template_is_token(const chat_template *t, const char *bytes, size_t length) {
    for (const binding *b = t->tokens; b; b = b->next) {
        if (is_text(&b->value, bytes, length))
            return true;
        for (size_t i = 0; b->value.type == VALUE_LIST && i < b->value.sequence->count; i++)
            if (is_text(&b->value.sequence->items[i], bytes, length))
                return true;
    }
    return false;
}
