/* data_files.c - which file holds the rows of a data set: the user's own, one in the folders that
 * were named, or one in the cache that Hugging Face's tools download to. Data sets are mostly
 * published in forms that are not read here (Parquet, Arrow): then the message says how to turn
 * one into a file that is. */
#include "train/data.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const endings[] = {".jsonl", ".json", ".csv"};
#define ENDINGS (sizeof endings / sizeof *endings)

/* One search. */
typedef struct file_search {
    const data_wanted *wanted;
    char *found;
    bool failed; /* out of memory */
} file_search;

/* ---- Candidates --------------------------------------------------------------------------- */

static bool done(const file_search *s) {
    return s->found || s->failed;
}

/* FOLDER/STEM with one of the endings; as printf writes the stem. */
static C2C_PRINTF(3, 4) void try_stem(file_search *s, const char *folder, const char *format, ...) {
    buffer path = {0};
    va_list arguments;
    char stem[1024];
    va_start(arguments, format);
    int length = vsnprintf(stem, sizeof stem, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof stem)
        return; /* no file has such a name */
    for (size_t i = 0; i < ENDINGS && !done(s); i++) {
        buffer_clear(&path);
        buffer_printf(&path, "%s/%s%s", folder, stem, endings[i]);
        s->failed = s->failed || path.failed;
        if (!path.failed && file_exists(path.data))
            s->found = buffer_take(&path, NULL);
    }
    buffer_free(&path);
}

/* The only file of rows in a folder, when there is no other. */
typedef struct only_file {
    char first[256];
    int count;
} only_file;

static bool ends_with(const char *name, const char *end) {
    size_t length = strlen(name), part = strlen(end);
    return length > part && strcmp(name + length - part, end) == 0;
}

static c2c_status count_file(void *user, const char *name, c2c_error *error) {
    (void)error;
    only_file *only = user;
    /* What such a folder holds beside its rows. */
    static const char *const others[] = {"dataset_info.json", "dataset_infos.json", "state.json",
                                         "dataset_dict.json", "config.json"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0)
            return C2C_STATUS_OK;
    for (size_t i = 0; i < ENDINGS; i++)
        if (ends_with(name, endings[i]) && strlen(name) < sizeof only->first) {
            snprintf(only->first, sizeof only->first, "%s", name);
            only->count++;
        }
    return C2C_STATUS_OK;
}

static void try_only_file(file_search *s, const char *folder) {
    only_file only = {0};
    if (done(s) || folder_each(folder, count_file, &only, NULL) || only.count != 1)
        return;
    s->found = path_join(folder, only.first);
    s->failed = !s->found;
}

/* A folder that holds one data set. */
static void try_set_folder(file_search *s, const char *folder) {
    const char *config = s->wanted->config, *split = s->wanted->split;
    if (done(s) || !folder_exists(folder))
        return;
    if (config && s->wanted->file_of_config) {
        try_stem(s, folder, "%s", config);
        try_stem(s, folder, "data/%s", config);
        return;
    }
    if (config) {
        try_stem(s, folder, "%s/%s", config, split);
        try_stem(s, folder, "%s_%s", config, split);
        try_stem(s, folder, "%s-%s", config, split);
    }
    try_stem(s, folder, "%s", split);
    try_stem(s, folder, "data/%s", split);
    if (strcmp(split, "train") == 0) /* another split would be mistaken for it too easily */
        try_only_file(s, folder);
}

/* ---- Places ------------------------------------------------------------------------------- */

static const char *short_name(const char *hub) {
    const char *slash = strrchr(hub, '/');
    return slash ? slash + 1 : hub;
}

static void try_joined(file_search *s, const char *folder, const char *name) {
    char *path = done(s) ? NULL : path_join(folder, name);
    if (path)
        try_set_folder(s, path);
    free(path);
}

/* Each snapshot in turn; mostly there is one. */
typedef struct snapshots {
    file_search *search;
    const char *folder;
} snapshots;

static c2c_status try_snapshot(void *user, const char *name, c2c_error *error) {
    (void)error;
    snapshots *each = user;
    try_joined(each->search, each->folder, name);
    return C2C_STATUS_OK;
}

static void try_cache(file_search *s, const char *cache) {
    buffer path = {0};
    buffer_printf(&path, "%s/datasets--", cache);
    for (const char *c = s->wanted->hub; *c; c++)
        buffer_append_text(&path, *c == '/' ? "--" : (const char[]){*c, 0});
    buffer_append_text(&path, "/snapshots");
    s->failed = s->failed || path.failed;
    if (!done(s) && folder_exists(path.data)) {
        snapshots each = {s, path.data};
        (void)folder_each(path.data, try_snapshot, &each, NULL);
    }
    buffer_free(&path);
}

static void try_folder(file_search *s, const char *folder) {
    const char *hub = s->wanted->hub, *name = short_name(hub), *split = s->wanted->split;
    try_joined(s, folder, hub);
    try_joined(s, folder, name);
    if (!s->wanted->file_of_config) {
        try_stem(s, folder, "%s-%s", name, split);
        try_stem(s, folder, "%s_%s", name, split);
        try_stem(s, folder, "%s", name);
    }
    try_cache(s, folder); /* the folder may be such a cache */
}

/* The user's own path: a file, one without its ending, or a folder. */
static void try_path(file_search *s, const char *path) {
    if (done(s))
        return;
    if (file_exists(path)) {
        s->found = string_copy(path);
        s->failed = !s->found;
        return;
    }
    try_set_folder(s, path);
    char *folder = done(s) ? NULL : string_copy(path),
         *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash && slash[1]) {
        *slash = 0;
        try_stem(s, folder[0] ? folder : "/", "%s", slash + 1);
    } else if (folder && !slash) {
        try_stem(s, ".", "%s", folder);
    }
    free(folder);
}

/* ---- What to say when there is none -------------------------------------------------------- */

static void help_path(const data_wanted *w, buffer *help) {
    buffer_printf(help,
                  "A folder that `datasets` saved becomes such a file with\n"
                  "    from datasets import load_from_disk\n"
                  "    rows = load_from_disk(\"%s\")\n"
                  "    rows.to_json(\"%s.jsonl\")\n",
                  w->path, w->path);
}

static void help_hub(const data_wanted *w, const char *folder, buffer *help) {
    char config[200] = "";
    if (w->config)
        snprintf(config, sizeof config, "\"%.180s\", ", w->config);
    buffer_printf(help,
                  "Python makes such a file with\n"
                  "    from datasets import load_dataset\n"
                  "    rows = load_dataset(\"%s\", %ssplit=\"%s\")\n"
                  "    rows.to_json(\"%s/%s/%s.jsonl\")\n",
                  w->hub, config, w->split, folder, short_name(w->hub),
                  w->config && w->file_of_config ? w->config : w->split);
}

/* Folders in which a path that is not absolute was looked for, as the message lists them. */
static void list_folders(const data_wanted *w, const data_places *places, buffer *looked) {
    for (size_t i = 0; w->path[0] != '/' && i < places->folder_count; i++)
        buffer_printf(looked, "%s%s", i ? ", " : ", here and in ", places->folders[i]);
}

static c2c_status fail_path(const data_wanted *w, const data_places *places, buffer *help,
                            c2c_error *error) {
    buffer looked = {0};
    if (help)
        help_path(w, help);
    list_folders(w, places, &looked);
    c2c_status status = error_set(
        error, C2C_STATUS_NOT_FOUND,
        "%s: expected a .jsonl, .json or .csv file of rows, or a folder that holds %s.jsonl; found "
        "%s%s",
        w->path, w->split, folder_exists(w->path) ? "a folder without one" : "nothing",
        looked.data ? looked.data : "");
    buffer_free(&looked);
    return status;
}

static c2c_status fail_hub(const data_wanted *w, const data_places *places, buffer *help,
                           c2c_error *error) {
    const char *stem = w->config && w->file_of_config ? w->config : w->split;
    buffer looked = {0};
    for (size_t i = 0; i < places->folder_count; i++)
        buffer_printf(&looked, "%s%s", looked.length ? ", " : "", places->folders[i]);
    for (size_t i = 0; i < places->cache_count; i++)
        buffer_printf(&looked, "%s%s", looked.length ? ", " : "", places->caches[i]);
    if (help)
        help_hub(w, places->folder_count ? places->folders[0] : "data", help);
    c2c_status status = error_set(
        error, C2C_STATUS_NOT_FOUND,
        "%s: expected a file of rows, %s/%s.jsonl (or .json or .csv), in the folder of --data or "
        "C2C_DATA; looked in %s",
        w->hub, short_name(w->hub), stem, looked.data ? looked.data : "no folder: none was named");
    buffer_free(&looked);
    return status;
}

c2c_status data_file_find(char **path, const data_wanted *wanted, const data_places *places,
                          buffer *help, c2c_error *error) {
    file_search s = {.wanted = wanted};
    *path = NULL;
    if (wanted->path) {
        try_path(&s, wanted->path);
        for (size_t i = 0; i < places->folder_count && wanted->path[0] != '/' && !done(&s); i++) {
            char *joined = path_join(places->folders[i], wanted->path);
            s.failed = s.failed || !joined;
            if (joined)
                try_path(&s, joined);
            free(joined);
        }
    } else if (wanted->hub) {
        for (size_t i = 0; i < places->folder_count && !done(&s); i++)
            try_folder(&s, places->folders[i]);
        for (size_t i = 0; i < places->cache_count && !done(&s); i++)
            try_cache(&s, places->caches[i]);
    } else {
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "expected \"data_path\", a file of rows (.jsonl, .json or .csv) or a "
                         "folder that holds one, found no such key");
    }
    if (s.failed) {
        free(s.found);
        return error_memory(error, 0, "the path of a data file");
    }
    *path = s.found;
    if (s.found)
        return C2C_STATUS_OK;
    return wanted->path ? fail_path(wanted, places, help, error)
                        : fail_hub(wanted, places, help, error);
}
