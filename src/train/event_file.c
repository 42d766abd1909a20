/* event_file.c - scalars as TensorBoard reads them: records (TFRecord: length, bytes, and a masked
 * CRC-32C of each) of protocol buffer messages. Only the few fields that scalars need are written:
 *
 *     Event   { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
 * } Summary { repeated Value value = 1; } Value   { string tag = 1; float simple_value = 2; }
 */
#include "train/train.h"

/* Room for the summary of one metric: all names below, and their numbers. */
#define MESSAGE_MAX 512

/* Keys of protocol buffers: a field's number and how it is stored. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };
#define KEY(number, storage) ((uint8_t)((number) << 3 | (storage)))

typedef struct message {
    uint8_t bytes[MESSAGE_MAX];
    size_t length;
} message;

static void put(message *m, const void *bytes, size_t length) {
    C2C_ASSERT(length <= sizeof m->bytes - m->length);
    memcpy(m->bytes + m->length, bytes, length);
    m->length += length;
}

static void put_little(message *m, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        put(m, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void put_varint(message *m, uint64_t value) {
    for (; value >= 0x80; value >>= 7)
        put(m, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    put(m, &(uint8_t){(uint8_t)value}, 1);
}

static void put_key(message *m, int number, int storage) {
    put(m, &(uint8_t){KEY(number, storage)}, 1);
}

static void put_bytes(message *m, int number, const void *bytes, size_t length) {
    put_key(m, number, BYTES);
    put_varint(m, length);
    put(m, bytes, length);
}

static void put_double(message *m, int number, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(m, number, FIXED64);
    put_little(m, bits, 8);
}

/* The checksum of data that itself may hold checksums is stored rotated, plus a constant. */
static uint32_t masked(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void write_record(buffer *out, const message *event) {
    message head = {.length = 0}, tail = {.length = 0};
    put_little(&head, event->length, 8);
    put_little(&head, masked(crc32c_update(0, head.bytes, 8)), 4);
    put_little(&tail, masked(crc32c_update(0, event->bytes, event->length)), 4);
    buffer_append(out, head.bytes, head.length);
    buffer_append(out, event->bytes, event->length);
    buffer_append(out, tail.bytes, tail.length);
}

void event_write_head(buffer *out, double time) {
    static const char version[] = "brain.Event:2";
    message event = {.length = 0};
    put_double(&event, 1, time);
    put_bytes(&event, 3, version, sizeof version - 1);
    write_record(out, &event);
}

static void put_scalar(message *summary, const char *tag, double value) {
    message scalar = {.length = 0};
    float number = (float)value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_bytes(&scalar, 1, tag, strlen(tag));
    put_key(&scalar, 2, FIXED32);
    put_little(&scalar, bits, 4);
    put_bytes(summary, 1, scalar.bytes, scalar.length);
}

void event_write_metric(buffer *out, const metric *m) {
    message event = {.length = 0}, summary = {.length = 0};
    if (m->kind == METRIC_EVAL) {
        put_scalar(&summary, "eval/loss", m->loss);
    } else {
        put_scalar(&summary, "train/loss", m->loss);
        put_scalar(&summary, "train/lr", m->rate);
        put_scalar(&summary, "train/grad_norm", m->gradient_norm);
        put_scalar(&summary, "train/temperature", m->temperature);
        put_scalar(&summary, "train/gates_open", (double)m->gates_open);
        put_scalar(&summary, "train/tokens_per_s", m->tokens_per_second);
        put_scalar(&summary, "train/epoch", m->epoch);
    }
    put_double(&event, 1, m->time);
    put_key(&event, 2, VARINT);
    put_varint(&event, (uint64_t)m->step);
    put_bytes(&event, 5, summary.bytes, summary.length);
    write_record(out, &event);
}
