/* zip_write.c - a zip archive of stored members, laid out as PyTorch's own writer lays it out
 * (PKWARE's APPNOTE, sections 4.3.7 to 4.3.16): each member's data starts at a multiple of 64, its
 * checksum and sizes follow it, zip64 end records are always there. What is read is zip.c's. */
#include "formats/tensor_write.h"

#include <inttypes.h>

#define LOCAL_SIZE  30u
#define ALIGNMENT   64u
#define FLAGS       0x0808u /* checksum and sizes behind the data; names in UTF-8 */
#define MAX_MEMBERS 65534u  /* more would need zip64 counts */

/* ---- Checksum ----------------------------------------------------------------------------- */

/* table[0] has the remainder of each byte, table[k] that of a byte with k zero bytes behind it: so
 * eight bytes are taken at a time, which no longer wait for each other. */
void crc32_init(crc32_table *table) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        table->of[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = table->of[k - 1][byte];
            table->of[k][byte] = before >> 8 ^ table->of[0][before & 255];
        }
}

uint32_t crc32_update(const crc32_table *table, uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *p = bytes;
    crc = ~crc;
    for (; length >= 8; p += 8, length -= 8) {
        uint32_t low, high; /* little-endian, as all machines that this is built for */
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = table->of[7][low & 255] ^ table->of[6][low >> 8 & 255] ^
              table->of[5][low >> 16 & 255] ^ table->of[4][low >> 24] ^ table->of[3][high & 255] ^
              table->of[2][high >> 8 & 255] ^ table->of[1][high >> 16 & 255] ^
              table->of[0][high >> 24];
    }
    for (; length > 0; p++, length--)
        crc = crc >> 8 ^ table->of[0][(crc ^ *p) & 255];
    return ~crc;
}

/* ---- Members ------------------------------------------------------------------------------ */

/* Little-endian; several fields that are all 0 are put at once. */
static void put(buffer *b, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        buffer_append_char(b, i < 8 ? (char)(value >> (8 * i)) : 0);
}

static c2c_status append_buffer(zip_writer *zip, buffer *b, c2c_error *error) {
    c2c_status status = b->failed ? error_memory(error, b->length, zip->path)
                                  : file_writer_append(zip->writer, b->data, b->length, error);
    buffer_free(b);
    return status;
}

/* Places and sizes are written with 32 bits. */
static c2c_status check_size(const zip_writer *zip, uint64_t more, c2c_error *error) {
    uint64_t end = file_writer_size(zip->writer);
    if (more < UINT32_MAX && end < UINT32_MAX - more && zip->count <= MAX_MEMBERS)
        return C2C_STATUS_OK;
    return error_set(
        error, C2C_STATUS_UNSUPPORTED,
        "%s: a .pt of 4 GiB or more, or of more than %u tensors, is not written; write "
        "safetensors instead",
        zip->path, MAX_MEMBERS);
}

void zip_writer_init(zip_writer *zip, file_writer *writer, const char *path) {
    *zip = (zip_writer){.writer = writer, .path = path};
    crc32_init(&zip->table);
}

c2c_status zip_writer_begin(zip_writer *zip, const char *name, c2c_error *error) {
    c2c_status status = check_size(zip, LOCAL_SIZE, error);
    if (status)
        return status;
    zip->offset = file_writer_size(zip->writer);
    zip->size = 0;
    zip->checksum = 0;
    buffer_clear(&zip->name);
    buffer_append_text(&zip->name, name);
    size_t name_length = strlen(name);
    /* The extra field "FB" is filled up to where the data shall start. */
    uint64_t start = zip->offset + LOCAL_SIZE + name_length + 4;
    unsigned padding = (unsigned)(-start % ALIGNMENT);
    buffer header = {0};
    buffer_append(&header, "PK\3\4\0\0", 6);
    put(&header, FLAGS, 2);
    put(&header, 0, 2 + 4 + 12); /* stored; no time; checksum and sizes come later */
    put(&header, name_length, 2);
    put(&header, padding + 4, 2);
    buffer_append(&header, name, name_length);
    buffer_append_text(&header, "FB");
    put(&header, padding, 2);
    for (unsigned i = 0; i < padding; i++)
        buffer_append_char(&header, 'Z');
    return append_buffer(zip, &header, error);
}

c2c_status zip_writer_append(zip_writer *zip, const void *bytes, size_t length, c2c_error *error) {
    c2c_status status = check_size(zip, length, error);
    if (status)
        return status;
    zip->checksum = crc32_update(&zip->table, zip->checksum, bytes, length);
    zip->size += length;
    return file_writer_append(zip->writer, bytes, length, error);
}

c2c_status zip_writer_finish_member(zip_writer *zip, c2c_error *error) {
    buffer *d = &zip->directory, descriptor = {0};
    buffer_append(&descriptor, "PK\7\10", 4);
    put(&descriptor, zip->checksum, 4);
    put(&descriptor, zip->size, 4);
    put(&descriptor, zip->size, 4);
    buffer_append(d, "PK\1\2\0\0\0\0", 8);
    put(d, FLAGS, 2);
    put(d, 0, 2 + 4);
    put(d, zip->checksum, 4);
    put(d, zip->size, 4);
    put(d, zip->size, 4);
    put(d, zip->name.length, 2);
    put(d, 0, 2 + 2 + 2 + 2 + 4); /* no extra field, comment, other disk, attributes */
    put(d, zip->offset, 4);
    buffer_append(d, zip->name.data, zip->name.length);
    d->failed = d->failed || zip->name.failed;
    zip->count++;
    return append_buffer(zip, &descriptor, error);
}

c2c_status zip_writer_finish(zip_writer *zip, c2c_error *error) {
    c2c_status status = check_size(zip, zip->directory.length, error);
    if (status)
        return status;
    uint64_t offset = file_writer_size(zip->writer), size = zip->directory.length;
    buffer *d = &zip->directory;
    buffer_append(d, "PK\6\6", 4);
    put(d, 44, 8);
    put(d, 0x031e, 2); /* made on Unix, by version 3.0; readers need 4.5 */
    put(d, 0x2d, 2);
    put(d, 0, 8);
    put(d, zip->count, 8);
    put(d, zip->count, 8);
    put(d, size, 8);
    put(d, offset, 8);
    buffer_append(d, "PK\6\7\0\0\0\0", 8);
    put(d, offset + size, 8);
    put(d, 1, 4);
    buffer_append(d, "PK\5\6\0\0\0\0", 8);
    put(d, zip->count, 2);
    put(d, zip->count, 2);
    put(d, size, 4);
    put(d, offset, 4);
    put(d, 0, 2);
    return append_buffer(zip, d, error);
}

void zip_writer_deinit(zip_writer *zip) {
    buffer_free(&zip->directory);
    buffer_free(&zip->name);
}
