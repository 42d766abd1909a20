/* json_get.c - members by key, with types and ranges checked and one line that says what is
 * wrong. The tree itself is json.c. */
#include "formats/formats.h"

#include <inttypes.h>

/* Linear: configurations are small, and who reads a vocabulary walks its members. */
const json_value *json_get(const json_value *object, const char *key) {
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    size_t length = strlen(key);
    for (uint32_t i = object->count; i-- > 0;) { /* from the end: of equal keys the last counts */
        const json_member *member = &object->members[i];
        if (member->key_length == length && memcmp(member->key, key, length) == 0)
            return &member->value;
    }
    return NULL;
}

const char *json_type_name(json_type type) {
    switch (type) {
    case JSON_NULL: return "null";
    case JSON_BOOL: return "true or false";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_STRING: return "a string";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
    }
    return "an unknown type";
}

/* The member in *found; NULL there when it is absent and may be. */
static c2c_status find(const json_value *object, const char *key, bool optional, json_type expected,
                       const json_value **found, const char *where, c2c_error *error) {
    if (!object || object->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected an object with \"%s\", found %s",
                         where, key, object ? json_type_name(object->type) : "nothing");
    const json_value *value = json_get(object, key);
    *found = value && value->type != JSON_NULL ? value : NULL;
    if (!*found && !optional)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: \"%s\": expected %s, found %s", where,
                         key, json_type_name(expected), value ? "null" : "no such key");
    return C2C_STATUS_OK;
}

/* "WHERE: KEY: expected a string, found null" */
static c2c_status wrong_type(const json_value *found, json_type expected, const char *key,
                             const char *where, c2c_error *error) {
    return error_set(error, C2C_STATUS_BAD_FILE, "%s: \"%s\": expected %s, found %s", where, key,
                     json_type_name(expected), json_type_name(found->type));
}

c2c_status json_get_integer(const json_value *object, const char *key, const int64_t *fallback,
                            int64_t low, int64_t high, int64_t *value, const char *where,
                            c2c_error *error) {
    const json_value *found;
    c2c_status status = find(object, key, fallback, JSON_INTEGER, &found, where, error);
    if (status != C2C_STATUS_OK)
        return status;
    if (!found) {
        *value = *fallback;
        return C2C_STATUS_OK;
    }
    if (found->type != JSON_INTEGER)
        return wrong_type(found, JSON_INTEGER, key, where, error);
    if (found->integer < low || found->integer > high)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: \"%s\": expected %" PRId64 " to %" PRId64 ", found %" PRId64, where,
                         key, low, high, found->integer);
    *value = found->integer;
    return C2C_STATUS_OK;
}

c2c_status json_get_real(const json_value *object, const char *key, const double *fallback,
                         double *value, const char *where, c2c_error *error) {
    const json_value *found;
    c2c_status status = find(object, key, fallback, JSON_REAL, &found, where, error);
    if (status != C2C_STATUS_OK)
        return status;
    if (!found)
        *value = *fallback;
    else if (found->type == JSON_REAL)
        *value = found->real;
    else if (found->type == JSON_INTEGER)
        *value = (double)found->integer;
    else
        return wrong_type(found, JSON_REAL, key, where, error);
    return C2C_STATUS_OK;
}

c2c_status json_get_bool(const json_value *object, const char *key, const bool *fallback,
                         bool *value, const char *where, c2c_error *error) {
    const json_value *found;
    c2c_status status = find(object, key, fallback, JSON_BOOL, &found, where, error);
    if (status != C2C_STATUS_OK)
        return status;
    if (!found)
        *value = *fallback;
    else if (found->type == JSON_BOOL)
        *value = found->boolean;
    else
        return wrong_type(found, JSON_BOOL, key, where, error);
    return C2C_STATUS_OK;
}

c2c_status json_get_string(const json_value *object, const char *key, const char *const *fallback,
                           const char **value, const char *where, c2c_error *error) {
    const json_value *found;
    c2c_status status = find(object, key, fallback, JSON_STRING, &found, where, error);
    if (status != C2C_STATUS_OK)
        return status;
    if (!found)
        *value = *fallback;
    else if (found->type != JSON_STRING)
        return wrong_type(found, JSON_STRING, key, where, error);
    else if (memchr(found->string, 0, found->count))
        /* Names and paths end at a NUL: the rest would be lost without a word. */
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: \"%s\": expected text without NUL, found one", where, key);
    else
        *value = found->string;
    return C2C_STATUS_OK;
}
