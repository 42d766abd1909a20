/* recipe_set.c - "training.learning_rate=3e-4": a document written out with one value replaced, and
 * read again. Documents are immutable, and recipes are small. */
#include "train/recipe_set.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct setter {
    buffer *out;
    const char *set; /* the whole, for messages */
    const json_value *value;
    c2c_error *error;
} setter;

static c2c_status write_set(const setter *s, const json_value *old, const char *path, int level);

static void write_member(const setter *s, const char *key, size_t length, bool *first) {
    if (!*first)
        buffer_append_text(s->out, ", ");
    *first = false;
    json_write_string(s->out, key, length);
    buffer_append_text(s->out, ": ");
}

/* The members of an object, `key` with the rest of the path applied to it, at the place it had. */
static c2c_status write_object(const setter *s, const json_value *old, const char *key,
                               size_t length, const char *rest, int level) {
    c2c_status status = C2C_STATUS_OK;
    bool first = true, found = false;
    const json_value *counts = NULL; /* of equal keys the last one */
    for (uint32_t i = 0; old && i < old->count; i++)
        if (old->members[i].key_length == length && !memcmp(old->members[i].key, key, length))
            counts = &old->members[i].value;
    buffer_append_char(s->out, '{');
    for (uint32_t i = 0; old && i < old->count && !status; i++) {
        const json_member *member = &old->members[i];
        bool same = member->key_length == length && !memcmp(member->key, key, length);
        if (same && &member->value != counts)
            continue;
        write_member(s, member->key, member->key_length, &first);
        if (same)
            status = write_set(s, counts, rest, level + 1);
        else
            json_write_value(s->out, &member->value, level + 1);
        found = found || same;
    }
    if (!found && !status) {
        write_member(s, key, length, &first);
        status = write_set(s, NULL, rest, level + 1);
    }
    buffer_append_char(s->out, '}');
    return status;
}

/* `old` (NULL: it was not there) with the value put at `path`; at the end of the path, the value.
 */
static c2c_status write_set(const setter *s, const json_value *old, const char *path, int level) {
    if (!path) {
        json_write_value(s->out, s->value, level);
        return C2C_STATUS_OK;
    }
    size_t length = strcspn(path, ".=");
    const char *rest = path[length] == '.' ? path + length + 1 : NULL;
    if (length == 0 || level > JSON_MAX_DEPTH)
        return error_set(s->error, C2C_STATUS_INVALID_ARGUMENT,
                         "\"%s\": expected KEY.KEY=VALUE, such as training.learning_rate=3e-4",
                         s->set);
    if (old && old->type == JSON_NULL)
        old = NULL;
    if (old && old->type != JSON_OBJECT)
        return error_set(s->error, C2C_STATUS_INVALID_ARGUMENT,
                         "\"%s\": \"%.*s\" would lie in %s, which has no keys", s->set, (int)length,
                         path, json_type_name(old->type));
    return write_object(s, old, path, length, rest, level);
}

c2c_status recipe_set(json_document **document, const char *set, c2c_error *error) {
    const char *equals = strchr(set, '=');
    json_document *value = NULL, *changed = NULL;
    buffer out = {0};
    if (!equals)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "\"%s\": expected KEY.KEY=VALUE, such as training.learning_rate=3e-4",
                         set);
    c2c_status status = yaml_parse(&value, equals + 1, strlen(equals + 1), set, error);
    if (status)
        goto done;
    const setter s = {.out = &out, .set = set, .value = json_root(value), .error = error};
    status = write_set(&s, json_root(*document), set, 0);
    if (!status && out.failed)
        status = error_memory(error, out.length, set);
    if (!status)
        status = json_parse(&changed, out.data, out.length, json_name(*document), error);
    if (!status) {
        json_close(*document);
        *document = changed;
    }
done:
    json_close(value);
    buffer_free(&out);
    return status;
}
