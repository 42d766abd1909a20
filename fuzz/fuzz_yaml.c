/* fuzz_yaml.c - any bytes as YAML: what is accepted is a document that JSON can hold again. */
#include "formats/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_document *document, *again;
    c2c_error error;
    if (yaml_parse(&document, (const char *)data, size, "fuzz", &error))
        return 0;
    buffer text = {0};
    json_write_value(&text, json_root(document), 0);
    C2C_ASSERT(!json_parse(&again, text.data, text.length, "again", &error));
    C2C_ASSERT(json_root(again)->type == json_root(document)->type);
    json_close(again);
    buffer_free(&text);
    json_close(document);
    return 0;
}
