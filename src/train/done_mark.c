/* done_mark.c - DONE, the last file of a checkpoint: what files there are, how long, and their
 * checksums. A folder without it, or that differs from it, is no checkpoint. */
#include "train/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* fuser files may stand in one folder more. */
#define MARK_DEPTH 2

typedef struct marking {
    const char *folder, *prefix; /* prefix: "" or "name/" */
    int depth;
    buffer *text;
} marking;

static c2c_status mark_folder(const marking *m, c2c_error *error);

static c2c_status mark_file(const marking *m, const char *path, const char *name,
                            c2c_error *error) {
    file_map map;
    buffer full = {0};
    c2c_status status = file_map_open(&map, path, error);
    if (status)
        return status;
    buffer_printf(&full, "%s%s", m->prefix, name);
    buffer_append_text(m->text, m->text->length > 1 ? ",\n  {\"name\": " : "\n  {\"name\": ");
    json_write_string(m->text, full.data ? full.data : "", full.length);
    buffer_printf(m->text, ", \"bytes\": %zu, \"crc32c\": \"%08" PRIx32 "\"}", map.size,
                  crc32c_update(0, map.data, map.size));
    if (full.failed)
        status = error_memory(error, strlen(name), "a file name");
    file_map_close(&map);
    buffer_free(&full);
    return status;
}

static c2c_status mark_entry(void *user, const char *name, c2c_error *error) {
    const marking *m = user;
    char *path = path_join(m->folder, name);
    buffer prefix = {0};
    buffer_printf(&prefix, "%s%s/", m->prefix, name);
    c2c_status status = C2C_STATUS_OK;
    if (!path || prefix.failed)
        status = error_memory(error, strlen(name), "a file name");
    else if (!folder_exists(path))
        status = mark_file(m, path, name, error);
    else if (m->depth < MARK_DEPTH)
        status = mark_folder(&(marking){path, prefix.data, m->depth + 1, m->text}, error);
    free(path);
    buffer_free(&prefix);
    return status;
}

static c2c_status mark_folder(const marking *m, c2c_error *error) {
    return folder_each(m->folder, mark_entry, (void *)m, error);
}

c2c_status done_mark_write(const char *folder, c2c_error *error) {
    buffer text = {0};
    char *path = path_join(folder, DONE_NAME);
    buffer_append_text(&text, "[");
    c2c_status status = mark_folder(&(marking){folder, "", 0, &text}, error);
    buffer_append_text(&text, "\n]\n");
    if (!status && (!path || text.failed))
        status = error_memory(error, text.length, DONE_NAME);
    if (!status)
        status = file_write(path, text.data, text.length, error);
    free(path);
    buffer_free(&text);
    return status;
}

/* ---- Comparing ---------------------------------------------------------------------------- */

static c2c_status check_bytes(const char *folder, const char *name, int64_t bytes,
                              const char *checksum, c2c_error *error) {
    char *path = path_join(folder, name), found[16];
    file_map map;
    c2c_status status =
        path ? file_map_open(&map, path, error) : error_memory(error, strlen(name), "a file name");
    if (status) {
        free(path);
        return status;
    }
    snprintf(found, sizeof found, "%08" PRIx32, crc32c_update(0, map.data, map.size));
    if (map.size != (uint64_t)bytes)
        status = error_set(error, C2C_STATUS_BAD_FILE,
                           "%s: expected %lld bytes as " DONE_NAME " says, found %zu", path,
                           (long long)bytes, map.size);
    else if (strcmp(found, checksum) != 0)
        status = error_set(error, C2C_STATUS_BAD_FILE,
                           "%s: its bytes are not those that were written: expected checksum %s, "
                           "found %s",
                           path, checksum, found);
    file_map_close(&map);
    free(path);
    return status;
}

static c2c_status check_item(const char *folder, const json_value *item, const char *where,
                             c2c_error *error) {
    const char *name = NULL, *checksum = NULL;
    int64_t bytes = 0;
    c2c_status status = json_get_string(item, "name", NULL, &name, where, error);
    if (!status)
        status = json_get_string(item, "crc32c", NULL, &checksum, where, error);
    if (!status)
        status = json_get_integer(item, "bytes", NULL, 0, INT64_MAX, &bytes, where, error);
    /* Nothing outside of the folder is read. */
    if (!status && (name[0] == '/' || strstr(name, "..")))
        status = error_set(error, C2C_STATUS_BAD_FILE,
                           "%s: expected names of files in the folder, found \"%s\"", where, name);
    return status ? status : check_bytes(folder, name, bytes, checksum, error);
}

c2c_status done_mark_check(const char *folder, c2c_error *error) {
    json_document *document = NULL;
    char *path = path_join(folder, DONE_NAME);
    c2c_status status = C2C_STATUS_OK;
    if (!path)
        status = error_memory(error, strlen(folder), "a file name");
    else if (!file_exists(path))
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "%s: no " DONE_NAME ": it was not written to its end", folder);
    else
        status = json_open(&document, path, error);
    const json_value *root = status ? NULL : json_root(document);
    if (!status && (root->type != JSON_ARRAY || root->count == 0))
        status = error_set(error, C2C_STATUS_BAD_FILE, "%s: expected a list of files, found %s",
                           path, root->count ? json_type_name(root->type) : "none");
    for (uint32_t i = 0; !status && i < root->count; i++)
        status = check_item(folder, &root->items[i], path, error);
    json_close(document);
    free(path);
    return status;
}
