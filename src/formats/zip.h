/* zip.h - for this room only: the members of a zip archive as views of its bytes. */
#ifndef C2C_FORMATS_ZIP_H
#define C2C_FORMATS_ZIP_H

#include "formats/tensor_file.h"

typedef struct zip_member {
    const char *name; /* in the archive's bytes: valid UTF-8 without NUL, not NUL-terminated */
    size_t name_length;
    const uint8_t *data;
    size_t size;
} zip_member;

/* Members in order of name; all borrow the archive's bytes. */
typedef struct zip_file {
    zip_member *members;
    size_t count;
} zip_file;

/* Stored members only. Every offset is checked, local headers must repeat what the central
 * directory says, no two members share a byte or a name. Checksums are not verified: that would
 * read every byte of a mapped file. `zip` can be closed whatever comes back. */
c2c_status zip_open(zip_file *zip, file_bytes bytes, c2c_error *error);
void zip_close(zip_file *zip);
const zip_member *zip_find(const zip_file *zip, const char *name, size_t name_length);

#endif
