/* folder.c - what a fuser folder is made of: the names of its files, where they stand, and the text
 * of projector_<i>.json. */
#include "fuser/fuser.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

c2c_status fuser_folder_find(char **found, const char *folder, c2c_error *error) {
    *found = NULL;
    char *final = path_join(folder, "final");
    char *here = path_join(folder, "projector_config.json");
    char *there = path_join(folder, "final/projector_config.json");
    c2c_status status = C2C_STATUS_OK;
    if (!final || !here || !there) {
        status = error_memory(error, strlen(folder) + 64, "a file name");
    } else if (file_exists(here)) {
        *found = path_join(folder, "");
    } else if (file_exists(there)) {
        *found = path_join(final, "");
    } else {
        status = error_set(error, C2C_STATUS_NOT_FOUND,
                           "%s: no projector_config.json here or in final/; expected a fuser "
                           "folder as training writes it",
                           folder);
    }
    if (!status && !*found)
        status = error_memory(error, strlen(folder) + 64, "a file name");
    free(final);
    free(here);
    free(there);
    return status;
}

char *projector_path(const char *folder, int index, const char *suffix) {
    char name[64];
    snprintf(name, sizeof name, "projector_%d%s", index, suffix);
    return path_join(folder, name);
}

/* ---- What belongs to it ------------------------------------------------------------------- */

/* "projector_<digits>" and an ending. */
static bool is_projector_file(const char *name) {
    static const char start[] = "projector_";
    if (strncmp(name, start, sizeof start - 1) != 0)
        return false;
    const char *digits = name + sizeof start - 1;
    const char *ending = digits + strspn(digits, "0123456789");
    return ending > digits && (strcmp(ending, ".json") == 0 || strcmp(ending, ".pt") == 0 ||
                               strcmp(ending, ".safetensors") == 0);
}

bool fuser_folder_owns(const char *name) {
    return strcmp(name, "config.json") == 0 || strcmp(name, "projector_config.json") == 0 ||
           is_projector_file(name);
}

typedef struct check {
    const char *path;
    bool inside; /* in final/, which holds no final/ itself */
} check;

/* Refuses an entry that would be lost with the old folder, but is no part of a fuser. */
static c2c_status check_entry(void *user, const char *name, c2c_error *error) {
    const check *c = user;
    char *path = path_join(c->path, name);
    if (!path)
        return error_memory(error, strlen(c->path) + strlen(name), "a file name");
    struct stat info;
    c2c_status status = C2C_STATUS_OK;
    bool folder = lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
    if (folder && !c->inside && strcmp(name, "final") == 0)
        status = folder_each(path, check_entry, &(check){path, true}, error);
    else if (folder || !fuser_folder_owns(name))
        status = error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                           "%s is not a part of a fuser, so the folder around it is not replaced; "
                           "move it away, or write to another place",
                           path);
    free(path);
    return status;
}

c2c_status fuser_folder_check_free(const char *path, bool replace, c2c_error *error) {
    struct stat info;
    if (lstat(path, &info) != 0)
        return C2C_STATUS_OK;
    if (!replace)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s exists already; choose another place, or ask for it to be replaced",
                         path);
    if (!S_ISDIR(info.st_mode))
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: expected a fuser folder to replace, found %s", path,
                         S_ISREG(info.st_mode) ? "a file" : "something else");
    return folder_each(path, check_entry, &(check){path, false}, error);
}

/* ---- projector_<i>.json ------------------------------------------------------------------- */

static const char *torch_name(dtype type) {
    return type == DTYPE_BF16 ? "bfloat16" : type == DTYPE_F16 ? "float16" : "float32";
}

/* The original's way to write a dtype down. */
static void write_dtype(buffer *out, dtype type) {
    buffer_printf(out,
                  "\"dtype\": {\n      \"__type__\": \"torch.dtype\",\n      \"value\": \"%s\"\n"
                  "    }",
                  torch_name(type));
}

static bool key_is(const json_member *member, const char *key) {
    return member->key_length == strlen(key) && memcmp(member->key, key, member->key_length) == 0;
}

/* init_args with another dtype, at its place or at the end. */
static void write_init_args(buffer *out, const json_value *args, dtype type) {
    bool written = false;
    buffer_append_char(out, '{');
    for (uint32_t i = 0; i < args->count; i++) {
        const json_member *member = &args->members[i];
        buffer_append_text(out, i ? ",\n    " : "\n    ");
        if (key_is(member, "dtype")) {
            write_dtype(out, type);
            written = true;
            continue;
        }
        json_write_string(out, member->key, member->key_length);
        buffer_append_text(out, ": ");
        json_write_value(out, &member->value, 2);
    }
    if (!written) {
        buffer_append_text(out, args->count ? ",\n    " : "\n    ");
        write_dtype(out, type);
    }
    buffer_append_text(out, "\n  }");
}

void projector_json_write(buffer *out, const json_value *root, dtype type) {
    if (type == DTYPE_COUNT || root->type != JSON_OBJECT) {
        json_write_value(out, root, 0);
        return;
    }
    buffer_append_char(out, '{');
    for (uint32_t i = 0; i < root->count; i++) {
        const json_member *member = &root->members[i];
        buffer_append_text(out, i ? ",\n  " : "\n  ");
        json_write_string(out, member->key, member->key_length);
        buffer_append_text(out, ": ");
        if (key_is(member, "init_args") && member->value.type == JSON_OBJECT)
            write_init_args(out, &member->value, type);
        else
            json_write_value(out, &member->value, 1);
    }
    buffer_append_text(out, "\n}");
}
