/* chat.c - messages that own their texts: from the command line, from a file, from a demo row. */
#include "app/app.h"

#include <stdlib.h>

c2c_status chat_add(chat *c, const char *role, const char *content, c2c_error *error) {
    if (!c->texts && !(c->texts = arena_new(4096)))
        return error_memory(error, 4096, "messages");
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 8, bytes;
        c2c_message *messages = NULL;
        if (size_mul(capacity, sizeof *messages, &bytes))
            messages = realloc(c->messages, bytes);
        if (!messages)
            return error_memory(error, capacity * sizeof *messages, "messages");
        c->messages = messages;
        c->capacity = capacity;
    }
    const char *role_copy = arena_copy(c->texts, role, strlen(role));
    const char *content_copy = arena_copy(c->texts, content, strlen(content));
    if (!role_copy || !content_copy)
        return error_memory(error, strlen(content), "a message");
    c->messages[c->count++] = (c2c_message){.role = role_copy, .content = content_copy};
    return C2C_STATUS_OK;
}

static bool role_is_known(const char *role) {
    return strcmp(role, "system") == 0 || strcmp(role, "user") == 0 ||
           strcmp(role, "assistant") == 0;
}

/* One {role, content}. A key that templates might read but that would be lost here is refused. */
static c2c_status chat_add_element(chat *c, const json_value *element, const char *where,
                                   c2c_error *error) {
    if (element->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected an object with role and content, found %s", where,
                         json_type_name(element->type));
    for (uint32_t i = 0; i < element->count; i++) {
        const char *key = element->members[i].key;
        if (strcmp(key, "role") != 0 && strcmp(key, "content") != 0)
            return error_set(error, C2C_STATUS_UNSUPPORTED,
                             "%s: expected the keys role and content, found \"%s\"; remove it",
                             where, key);
    }
    const char *role, *content;
    c2c_status status = json_get_string(element, "role", NULL, &role, where, error);
    if (!status)
        status = json_get_string(element, "content", NULL, &content, where, error);
    if (status)
        return status;
    if (!role_is_known(role))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: role: expected system, user or assistant, found \"%s\"", where, role);
    return chat_add(c, role, content, error);
}

c2c_status chat_add_json(chat *c, const json_value *list, const char *where, c2c_error *error) {
    if (!list || list->type != JSON_ARRAY)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected a list of {\"role\", \"content\"} objects, found %s", where,
                         list ? json_type_name(list->type) : "nothing");
    if (!list->count)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected at least one message, found an empty list", where);
    c2c_status status = C2C_STATUS_OK;
    for (uint32_t i = 0; !status && i < list->count; i++) {
        buffer place = {0};
        buffer_printf(&place, "%s: element %u", where, i);
        status = chat_add_element(c, &list->items[i], place.data ? place.data : where, error);
        buffer_free(&place);
    }
    return status;
}

c2c_status chat_add_file(chat *c, const char *path, const char *system, c2c_error *error) {
    json_document *document = NULL;
    c2c_status status = json_open(&document, path, error);
    if (status)
        return status;
    const json_value *list = json_root(document);
    const json_value *first = list->type == JSON_ARRAY && list->count ? list->items : NULL;
    const json_value *role = json_get(first, "role");
    bool has_system = role && role->type == JSON_STRING && strcmp(role->string, "system") == 0;
    if (system && !has_system)
        status = chat_add(c, "system", system, error);
    if (!status)
        status = chat_add_json(c, list, path, error);
    json_close(document);
    return status;
}

void chat_drop_last(chat *c) {
    if (c->count)
        c->count--; /* its text stays in the arena */
}

c2c_status chat_set_system(chat *c, const char *system, c2c_error *error) {
    bool has_system = c->count && strcmp(c->messages[0].role, "system") == 0;
    if (!system) {
        if (has_system)
            memmove(c->messages, c->messages + 1, --c->count * sizeof *c->messages);
        return C2C_STATUS_OK;
    }
    c2c_status status = chat_add(c, "system", system, error);
    if (status)
        return status;
    const c2c_message message = c->messages[--c->count];
    if (!has_system)
        memmove(c->messages + 1, c->messages, c->count++ * sizeof *c->messages);
    c->messages[0] = message;
    return C2C_STATUS_OK;
}

c2c_status chat_add_chat(chat *c, const chat *from, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; !status && i < from->count; i++)
        status = chat_add(c, from->messages[i].role, from->messages[i].content, error);
    return status;
}

void chat_write_json(const chat *c, json_out *out) {
    json_out_open(out, NULL, '[');
    for (size_t i = 0; i < c->count; i++) {
        const c2c_message *message = &c->messages[i];
        json_out_open(out, NULL, '{');
        json_out_text(out, "role", message->role, strlen(message->role));
        json_out_text(out, "content", message->content, strlen(message->content));
        json_out_close(out, '}');
    }
    json_out_close(out, ']');
}

const char *chat_last_user(const chat *c) {
    for (size_t i = c->count; i > 0; i--)
        if (strcmp(c->messages[i - 1].role, "user") == 0)
            return c->messages[i - 1].content;
    return NULL;
}

c2c_status chat_add_after_turn(chat *c, const char *ask, const char *reply, const chat *from,
                               c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    size_t i = 0;
    for (; !status && i < from->count && strcmp(from->messages[i].role, "system") == 0; i++)
        status = chat_add(c, "system", from->messages[i].content, error);
    if (!status)
        status = chat_add(c, "user", ask, error);
    if (!status)
        status = chat_add(c, "assistant", reply, error);
    for (; !status && i < from->count; i++)
        status = chat_add(c, from->messages[i].role, from->messages[i].content, error);
    return status;
}

void chat_deinit(chat *c) {
    free(c->messages);
    arena_free(c->texts);
    *c = (chat){0};
}
