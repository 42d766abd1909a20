/* crc32c.c - the checksum of TensorBoard's records and of finished checkpoints (Castagnoli's
 * polynomial, reflected: 0x82f63b78). Long inputs are divided eight bytes at a time, with tables
 * that are made for the call: nothing global is set up. */
#include "train/train.h"

/* Making the tables costs about as much as this many bytes without them. */
#define LONG_BYTES 4096

/* What dividing half a byte leaves. */
static const uint32_t half_byte[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
                                       0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

static uint32_t add_byte(uint32_t crc, uint8_t byte) {
    crc ^= byte;
    crc = crc >> 4 ^ half_byte[crc & 15];
    return crc >> 4 ^ half_byte[crc & 15];
}

typedef struct tables {
    uint32_t of[8][256]; /* of[k]: a byte that k bytes of zeros follow */
} tables;

static void tables_make(tables *t) {
    for (int i = 0; i < 256; i++) {
        t->of[0][i] = add_byte(0, (uint8_t)i);
        for (int k = 1; k < 8; k++)
            t->of[k][i] = add_byte(t->of[k - 1][i], 0);
    }
}

static uint32_t add_long(uint32_t crc, const uint8_t *p, size_t words) {
    tables t;
    tables_make(&t);
    for (; words > 0; words--, p += 8) {
        uint32_t next = 0;
        for (int k = 0; k < 8; k++) {
            uint8_t byte = k < 4 ? (uint8_t)(p[k] ^ crc >> 8 * k) : p[k];
            next ^= t.of[7 - k][byte];
        }
        crc = next;
    }
    return crc;
}

uint32_t crc32c_update(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *p = bytes;
    crc = ~crc;
    if (length >= LONG_BYTES) {
        size_t words = length / 8;
        crc = add_long(crc, p, words);
        p += words * 8;
        length -= words * 8;
    }
    for (; length > 0; length--)
        crc = add_byte(crc, *p++);
    return ~crc;
}
