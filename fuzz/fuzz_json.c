/* fuzz_json.c - any bytes as JSON: parse, walk, read every member, write every string back. */
#include "formats/formats.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is written must read back as the same string. */
static void check_string(const char *text, size_t length) {
    buffer out = {0};
    json_write_string(&out, text, length);
    json_document *again;
    C2C_ASSERT(json_parse(&again, out.data, out.length, "again", NULL) == C2C_STATUS_OK);
    const json_value *root = json_root(again);
    C2C_ASSERT(root->type == JSON_STRING && root->count == length);
    C2C_ASSERT(memcmp(root->string, text, length) == 0 && root->string[length] == 0);
    json_close(again);
    buffer_free(&out);
}

static void read_member(const json_value *object, const char *key) {
    c2c_error error;
    int64_t integer;
    double real;
    bool boolean;
    const char *string;
    json_get_integer(object, key, NULL, -5, 5, &integer, "fuzz", &error);
    json_get_real(object, key, NULL, &real, "fuzz", &error);
    json_get_bool(object, key, NULL, &boolean, "fuzz", &error);
    json_get_string(object, key, NULL, &string, "fuzz", &error);
}

/* Depth is bounded by the parser, so this may recurse. `budget` keeps large inputs fast. */
static void walk(const json_value *value, int *budget) {
    if (--*budget < 0)
        return;
    if (value->type == JSON_STRING)
        check_string(value->string, value->count);
    for (uint32_t i = 0; value->type == JSON_ARRAY && i < value->count; i++)
        walk(&value->items[i], budget);
    for (uint32_t i = 0; value->type == JSON_OBJECT && i < value->count; i++) {
        check_string(value->members[i].key, value->members[i].key_length);
        read_member(value, value->members[i].key);
        walk(&value->members[i].value, budget);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_document *document;
    c2c_error error;
    int budget = 200;
    if (json_parse(&document, (const char *)data, size, "fuzz", &error) == C2C_STATUS_OK)
        walk(json_root(document), &budget);
    json_close(document);
    return 0;
}
