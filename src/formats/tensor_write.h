/* tensor_write.h - for the writers of this room only: the tensors of a file that is being written,
 * and the parts that a .pt is made of. */
#ifndef C2C_FORMATS_TENSOR_WRITE_H
#define C2C_FORMATS_TENSOR_WRITE_H

#include "formats/formats.h"

/* What is written, and where. */
typedef struct tensor_output {
    file_writer *writer;
    const char *path; /* for messages, and for the name inside a .pt */
    const named_tensor *tensors;
    size_t count;
    dtype type;                /* see tensor_written_type */
    const tensor_maker *maker; /* or NULL: all are there */
} tensor_output;

/* Bytes of tensor i as it is written. */
size_t tensor_output_bytes(const tensor_output *out, size_t i);

/* Takes bytes in their order. */
typedef c2c_status (*byte_sink)(void *user, const void *bytes, size_t length, c2c_error *error);

/* Hands the bytes of tensor i to `sink`, converted, in pieces. */
c2c_status tensor_output_stream(const tensor_output *out, size_t i, byte_sink sink, void *user,
                                c2c_error *error);

/* The formats. */
c2c_status safetensors_write(const tensor_output *out, c2c_error *error);
c2c_status pt_write(const tensor_output *out, c2c_error *error);

/* ---- Parts of a .pt ----------------------------------------------------------------------- */

/* Appends the pickle of an OrderedDict of tensors, each with a storage of its own whose key is its
 * index. */
void pickle_write(buffer *pickle, const tensor_output *out);

/* CRC-32 as zip has it. */
typedef struct crc32_table {
    uint32_t of[8][256];
} crc32_table;

void crc32_init(crc32_table *table);
/* The checksum of what gave `crc` (0: of nothing) and `length` more bytes. */
uint32_t crc32_update(const crc32_table *table, uint32_t crc, const void *bytes, size_t length);

/* An archive of stored members, laid out as torch.save does: data from multiples of 64 on, sizes
 * and checksum behind it. */
typedef struct zip_writer {
    file_writer *writer;
    const char *path;
    buffer directory;
    uint64_t count;
    uint64_t offset, size; /* of the open member: its local header, its bytes so far */
    uint32_t checksum;
    buffer name;
    crc32_table table;
} zip_writer;

void zip_writer_init(zip_writer *zip, file_writer *writer, const char *path);
c2c_status zip_writer_begin(zip_writer *zip, const char *name, c2c_error *error);
c2c_status zip_writer_append(zip_writer *zip, const void *bytes, size_t length, c2c_error *error);
c2c_status zip_writer_finish_member(zip_writer *zip, c2c_error *error);
/* The directory and the end records. */
c2c_status zip_writer_finish(zip_writer *zip, c2c_error *error);
void zip_writer_deinit(zip_writer *zip);

#endif
