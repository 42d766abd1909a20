/* fuzz_pt.c - any bytes as the two halves of a .pt file: the archive, and the pickle alone.
 *
 * An archive whose offsets do not fit ends early, so mutations of whole files hardly reach the
 * pickle. The first byte chooses: 'P' is a whole archive, anything else is a pickle that is put
 * into an archive with a few storages beside it. */
#include "formats/tensor_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keeps the reads from being left out. */
static volatile unsigned sum;

static void put(buffer *b, uint64_t number, int width) {
    for (int i = 0; i < width; i++)
        buffer_append_char(b, i < 8 ? (char)(number >> (8 * i)) : 0);
}

typedef struct member {
    const char *name;
    const void *data;
    size_t size, offset;
} member;

static void put_local(buffer *b, member *m) {
    m->offset = b->length;
    put(b, 0x04034b50, 4);
    put(b, 0, 14);
    put(b, m->size, 4);
    put(b, m->size, 4);
    put(b, strlen(m->name), 2);
    put(b, 0, 2);
    buffer_append_text(b, m->name);
    buffer_append(b, m->data, m->size);
}

static void put_central(buffer *b, const member *m) {
    put(b, 0x02014b50, 4);
    put(b, 0, 16);
    put(b, m->size, 4);
    put(b, m->size, 4);
    put(b, strlen(m->name), 2);
    put(b, 0, 12);
    put(b, m->offset, 4);
    buffer_append_text(b, m->name);
}

static buffer wrap_pickle(const uint8_t *data, size_t size) {
    static const char storage[64] = {1, 2, 3};
    member members[] = {{"m/data.pkl", data, size, 0},
                        {"m/data/0", storage, 64, 0},
                        {"m/data/1", storage, 2, 0},
                        {"m/data/2", storage, 0, 0}};
    size_t count = sizeof members / sizeof *members;
    buffer b = {0};
    for (size_t i = 0; i < count; i++)
        put_local(&b, &members[i]);
    size_t directory = b.length;
    for (size_t i = 0; i < count; i++)
        put_central(&b, &members[i]);
    size_t end = b.length;
    put(&b, 0x06054b50, 4);
    put(&b, 0, 4);
    put(&b, count, 2);
    put(&b, count, 2);
    put(&b, end - directory, 4);
    put(&b, directory, 4);
    put(&b, 0, 2);
    return b;
}

static void open_and_read(const void *data, size_t size) {
    tensor_file *file = NULL;
    c2c_error error;
    if (tensor_file_open_bytes(&file, data, size, "fuzz", &error) != C2C_STATUS_OK)
        return;
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const named_tensor *t = tensor_file_at(file, i);
        C2C_ASSERT((uintptr_t)t->view.data % dtype_size(t->view.type) == 0);
        for (size_t k = 0; k < tensor_bytes(&t->view); k++)
            sum += ((const uint8_t *)t->view.data)[k];
    }
    tensor_file_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == 'P') {
        open_and_read(data, size);
    } else {
        buffer b = wrap_pickle(data, size);
        open_and_read(b.data, b.length);
        buffer_free(&b);
    }
    return 0;
}
