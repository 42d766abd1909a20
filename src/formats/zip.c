/* zip.c - the directory of a zip archive, checked, with members left where they are mapped.
 *
 * Follows PKWARE's APPNOTE: sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to
 * 4.3.16 (end records, zip64), 4.5.3 (zip64 extra field). Archives of several disks, encryption and
 * compression are refused: torch.save uses none of them. */
#include "formats/zip.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOCAL_SIGNATURE   0x04034b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define END_SIGNATURE     0x06054b50u
#define END64_SIGNATURE   0x06064b50u
#define LOCATOR_SIGNATURE 0x07064b50u

/* Sizes of the fixed parts of these records. */
#define LOCAL_SIZE   30u
#define CENTRAL_SIZE 46u
#define END_SIZE     22u
#define END64_SIZE   56u
#define LOCATOR_SIZE 20u

#define ZIP64_EXTRA     0x0001u
#define FLAG_ENCRYPTED  0x0001u
#define FLAG_DESCRIPTOR 0x0008u /* sizes follow the data; the local header may leave them 0 */

/* One entry of the central directory, with the bytes it takes in the file. */
typedef struct entry {
    zip_member member;
    uint64_t begin, end; /* local header to the end of the data */
} entry;

/* What is known while reading; the directory's numbers come from one of the end records. */
typedef struct reader {
    file_bytes bytes;
    uint64_t directory, directory_size, count;
    entry *entries;
    c2c_error *error;
} reader;

/* What a header says about a member, in either place. */
typedef struct header {
    uint32_t flags, method;
    uint64_t packed, size, offset;
    size_t name_length, extra_length;
} header;

/* Numbers are little-endian and lie anywhere. */
static uint32_t get16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p) {
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p) {
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* What is wrong with the archive, or with one member of it. */
static c2c_status bad(const reader *r, const char *what) {
    return error_set(r->error, C2C_STATUS_BAD_FILE, "%s: zip archive: %s", r->bytes.path, what);
}

static c2c_status bad_member(const reader *r, const zip_member *m, const char *what) {
    return error_set(r->error, C2C_STATUS_BAD_FILE, "%s: zip member \"%.*s\": %s", r->bytes.path,
                     (int)m->name_length, m->name, what);
}

/* ---- End records -------------------------------------------------------------------------- */

/* The end record stands at the very end, behind it at most a comment. */
static bool find_end(const file_bytes *b, size_t *end) {
    for (size_t comment = 0; comment <= 0xffff && END_SIZE + comment <= b->size; comment++) {
        *end = b->size - END_SIZE - comment;
        const uint8_t *record = b->data + *end;
        if (get32(record) == END_SIGNATURE && get16(record + 20) == comment)
            return true;
    }
    return false;
}

/* The value of the zip64 record, which the short one must repeat or leave open. */
static bool agrees(uint64_t value, uint64_t shorter, uint64_t open) {
    return shorter == value || shorter == open;
}

/* Reads the zip64 record in front of the end record at `end`, if there is one. */
static c2c_status read_end64(reader *r, size_t end, size_t *directory_end) {
    if (end < LOCATOR_SIZE)
        return C2C_STATUS_OK;
    const uint8_t *data = r->bytes.data, *locator = data + end - LOCATOR_SIZE;
    if (get32(locator) != LOCATOR_SIGNATURE)
        return C2C_STATUS_OK;
    uint64_t at = get64(locator + 8), before = end - LOCATOR_SIZE;
    if (before < END64_SIZE || at > before - END64_SIZE || get32(data + at) != END64_SIGNATURE)
        return bad(r, "expected a zip64 end record where the locator says, found none");
    const uint8_t *record = data + at;
    if (get64(record + 4) != before - at - 12)
        return bad(r, "expected the zip64 end record to reach to its locator, found another size");
    uint64_t count = get64(record + 32);
    if (get32(locator + 4) != 0 || get32(record + 16) != 0 || get32(record + 20) != 0 ||
        get64(record + 24) != count)
        return bad(r, "expected one disk, found several");
    uint64_t size = get64(record + 40), offset = get64(record + 48);
    if (!agrees(count, r->count, 0xffff) || !agrees(size, r->directory_size, UINT32_MAX) ||
        !agrees(offset, r->directory, UINT32_MAX))
        return bad(r, "expected the zip64 end record to agree with the short one, found other "
                      "numbers");
    r->count = count;
    r->directory_size = size;
    r->directory = offset;
    *directory_end = (size_t)at;
    return C2C_STATUS_OK;
}

/* Finds the directory. It must reach exactly to its end record: bytes between them would be seen by
 * one reader and not by another. The count is held against the size before anything is allocated.
 */
static c2c_status read_end(reader *r) {
    size_t end;
    if (!find_end(&r->bytes, &end))
        return bad(r, "expected an end of central directory, found none; is the file truncated?");
    size_t directory_end = end;
    const uint8_t *record = r->bytes.data + end;
    r->count = get16(record + 10);
    r->directory_size = get32(record + 12);
    r->directory = get32(record + 16);
    if (get16(record + 4) != 0 || get16(record + 6) != 0 || get16(record + 8) != r->count)
        return bad(r, "expected one disk, found several");
    c2c_status status = read_end64(r, end, &directory_end);
    if (status != C2C_STATUS_OK)
        return status;
    if (r->directory > directory_end || directory_end - r->directory != r->directory_size)
        return bad(r, "expected the central directory to lie in front of its end record, found "
                      "other offsets");
    if (r->count > r->directory_size / CENTRAL_SIZE)
        return bad(r, "expected as many members as fit into the central directory, found more");
    return C2C_STATUS_OK;
}

/* ---- Members ------------------------------------------------------------------------------ */

/* Replaces the numbers that a header leaves open by those of its zip64 extra field, which holds
 * only these, in this order. `offset_open` is false in a local header. */
static bool read_extra64(header *h, const uint8_t *extra, bool offset_open) {
    uint64_t *open[3];
    size_t wanted = 0, left = h->extra_length;
    if (h->size == UINT32_MAX)
        open[wanted++] = &h->size;
    if (h->packed == UINT32_MAX)
        open[wanted++] = &h->packed;
    if (offset_open && h->offset == UINT32_MAX)
        open[wanted++] = &h->offset;
    if (wanted == 0)
        return true;
    while (left >= 4) {
        size_t id = get16(extra), length = get16(extra + 2);
        if (length > left - 4)
            return false;
        if (id == ZIP64_EXTRA) {
            for (size_t i = 0; i < wanted; i++)
                if (length >= 8 * (i + 1))
                    *open[i] = get64(extra + 4 + 8 * i);
            return length >= 8 * wanted;
        }
        extra += 4 + length;
        left -= 4 + length;
    }
    return false;
}

/* The local header at h->offset: it must tell of the same member, whose data then follows. */
static c2c_status read_local(const reader *r, const header *central, entry *e) {
    zip_member *m = &e->member;
    uint64_t limit = r->directory;
    if (central->offset > limit || limit - central->offset < LOCAL_SIZE)
        return bad_member(r, m, "expected a local header in front of the central directory");
    const uint8_t *p = r->bytes.data + central->offset;
    if (get32(p) != LOCAL_SIGNATURE)
        return bad_member(r, m, "expected a local header where the directory says, found none");
    header local = {.flags = get16(p + 6),
                    .method = get16(p + 8),
                    .packed = get32(p + 18),
                    .size = get32(p + 22),
                    .name_length = get16(p + 26),
                    .extra_length = get16(p + 28)};
    uint64_t start = central->offset + LOCAL_SIZE + local.name_length + local.extra_length;
    if (start > limit || limit - start < central->size)
        return bad_member(r, m,
                          "expected its data in front of the central directory; is the file "
                          "truncated?");
    if (local.name_length != m->name_length || memcmp(p + LOCAL_SIZE, m->name, m->name_length) != 0)
        return bad_member(r, m, "expected the same name in its local header, found another");
    bool later = (local.flags & FLAG_DESCRIPTOR) && local.size == 0 && local.packed == 0;
    if (!later && !read_extra64(&local, p + LOCAL_SIZE + local.name_length, false))
        return bad_member(r, m, "expected sizes in its local header, found a broken extra field");
    if (local.method != central->method || local.flags != central->flags ||
        (!later && (local.size != central->size || local.packed != central->packed)))
        return bad_member(r, m,
                          "expected the same size and method in its local header, found "
                          "others");
    m->data = r->bytes.data + start;
    m->size = (size_t)central->size;
    e->begin = central->offset;
    e->end = start + central->size;
    return C2C_STATUS_OK;
}

/* Only bytes that can be used where they lie. */
static c2c_status check_kind(const reader *r, const zip_member *m, const header *h) {
    if (h->flags & FLAG_ENCRYPTED)
        return error_set(r->error, C2C_STATUS_UNSUPPORTED,
                         "%s: zip member \"%.*s\": expected stored bytes, found encrypted ones",
                         r->bytes.path, (int)m->name_length, m->name);
    if (h->method != 0)
        return error_set(r->error, C2C_STATUS_UNSUPPORTED,
                         "%s: zip member \"%.*s\": expected stored bytes (method 0), found "
                         "compression method %" PRIu32 "; save the file again with torch.save",
                         r->bytes.path, (int)m->name_length, m->name, h->method);
    return C2C_STATUS_OK;
}

/* One entry of the central directory at *at; *at moves behind it. */
static c2c_status read_entry(const reader *r, uint64_t *at, entry *e) {
    uint64_t left = r->directory + r->directory_size - *at;
    const uint8_t *p = r->bytes.data + *at;
    if (left < CENTRAL_SIZE || get32(p) != CENTRAL_SIGNATURE)
        return bad(r, "expected another entry of the central directory, found something else");
    header h = {.flags = get16(p + 8),
                .method = get16(p + 10),
                .packed = get32(p + 20),
                .size = get32(p + 24),
                .name_length = get16(p + 28),
                .extra_length = get16(p + 30),
                .offset = get32(p + 42)};
    uint64_t length = CENTRAL_SIZE + h.name_length + h.extra_length + get16(p + 32);
    if (left < length)
        return bad(r, "expected an entry inside the central directory, found one that leaves it");
    zip_member *m = &e->member;
    m->name = (const char *)p + CENTRAL_SIZE;
    m->name_length = h.name_length;
    if (m->name_length > TENSOR_NAME_MAX)
        return bad(r, "expected member names of at most 512 bytes, found a longer one");
    if (utf8_valid_prefix(m->name, m->name_length) < m->name_length ||
        memchr(m->name, 0, m->name_length))
        return bad(r, "expected member names in UTF-8 without NUL, found another");
    if (get16(p + 34) != 0)
        return bad_member(r, m, "expected one disk, found several");
    if (!read_extra64(&h, p + CENTRAL_SIZE + h.name_length, true))
        return bad_member(r, m, "expected a zip64 extra field with its sizes, found none");
    c2c_status status = check_kind(r, m, &h);
    if (status != C2C_STATUS_OK)
        return status;
    if (h.packed != h.size)
        return bad_member(r, m, "expected as many stored bytes as its size, found another number");
    *at += length;
    return read_local(r, &h, e);
}

/* ---- The archive -------------------------------------------------------------------------- */

/* By place in the file. */
static int compare_begin(const void *a, const void *b) {
    const entry *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* By bytes, then by length. */
static int compare_name(const zip_member *a, const zip_member *b) {
    size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
    int order = memcmp(a->name, b->name, shorter);
    return order ? order : a->name_length < b->name_length ? -1 : a->name_length > b->name_length;
}

static int compare_members(const void *a, const void *b) {
    return compare_name(a, b);
}

/* Members that share bytes let a small file claim a huge content, and one tensor change another. */
static c2c_status check_overlaps(const reader *r) {
    qsort(r->entries, (size_t)r->count, sizeof *r->entries, compare_begin);
    for (uint64_t i = 1; i < r->count; i++) {
        const entry *before = &r->entries[i - 1], *e = &r->entries[i];
        if (e->begin < before->end)
            return error_set(r->error, C2C_STATUS_BAD_FILE,
                             "%s: zip members \"%.*s\" and \"%.*s\" overlap", r->bytes.path,
                             (int)before->member.name_length, before->member.name,
                             (int)e->member.name_length, e->member.name);
    }
    return C2C_STATUS_OK;
}

/* Hands the members over in order of name; of two equal names readers would take different ones. */
static c2c_status collect(reader *r, zip_file *zip) {
    zip->members = calloc((size_t)r->count + 1, sizeof *zip->members);
    if (!zip->members)
        return error_memory(r->error, (size_t)r->count * sizeof *zip->members, r->bytes.path);
    for (; zip->count < r->count; zip->count++)
        zip->members[zip->count] = r->entries[zip->count].member;
    qsort(zip->members, zip->count, sizeof *zip->members, compare_members);
    for (size_t i = 1; i < zip->count; i++)
        if (compare_name(&zip->members[i - 1], &zip->members[i]) == 0)
            return bad_member(r, &zip->members[i], "expected once, found twice");
    return C2C_STATUS_OK;
}

c2c_status zip_open(zip_file *zip, file_bytes bytes, c2c_error *error) {
    *zip = (zip_file){0};
    reader r = {.bytes = bytes, .error = error};
    c2c_status status = read_end(&r);
    if (status != C2C_STATUS_OK)
        goto done;
    r.entries = calloc((size_t)r.count + 1, sizeof *r.entries);
    if (!r.entries) {
        status = error_memory(error, (size_t)r.count * sizeof *r.entries, bytes.path);
        goto done;
    }
    uint64_t at = r.directory;
    for (uint64_t i = 0; status == C2C_STATUS_OK && i < r.count; i++)
        status = read_entry(&r, &at, &r.entries[i]);
    if (status == C2C_STATUS_OK && at != r.directory + r.directory_size)
        status = bad(&r, "expected the central directory to end with its last member, found more");
    if (status == C2C_STATUS_OK)
        status = check_overlaps(&r);
    if (status == C2C_STATUS_OK)
        status = collect(&r, zip);
done:
    free(r.entries);
    return status;
}

void zip_close(zip_file *zip) {
    free(zip->members);
    *zip = (zip_file){0};
}

const zip_member *zip_find(const zip_file *zip, const char *name, size_t name_length) {
    zip_member key = {.name = name, .name_length = name_length};
    if (zip->count == 0)
        return NULL;
    return bsearch(&key, zip->members, zip->count, sizeof key, compare_members);
}
