/* files.c - folders as sorted names, and memory that a test program need not check for. */
#include "golden.h"

#include <dirent.h>

void *memory_get(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) {
        fprintf(stderr, "run_golden: out of memory: %zu x %zu bytes\n", count, size);
        exit(1);
    }
    return memory;
}

char *path_make(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    if (!path) {
        fprintf(stderr, "run_golden: out of memory\n");
        exit(1);
    }
    return path;
}

static int names_order(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **names_list(const char *folder, size_t *count) {
    DIR *dir = opendir(folder);
    *count = 0;
    if (!dir)
        return NULL;
    size_t room = 16;
    char **names = memory_get(room, sizeof *names);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == room) {
            char **more = memory_get(room * 2, sizeof *names);
            memcpy(more, names, room * sizeof *names);
            free(names);
            names = more;
            room *= 2;
        }
        size_t size = strlen(entry->d_name) + 1;
        names[*count] = memory_get(size, 1);
        memcpy(names[(*count)++], entry->d_name, size);
    }
    closedir(dir);
    qsort(names, *count, sizeof *names, names_order);
    return names;
}

void names_free(char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool text_ends(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

void json_text_read(const char *path, const char *key, char *text, size_t size) {
    text[0] = '\0';
    json_document *document = NULL;
    if (json_open(&document, path, NULL) != C2C_STATUS_OK)
        return;
    char outer[64] = "";
    const char *dot = strchr(key, '.');
    const json_value *object = json_root(document);
    if (dot && (size_t)(dot - key) < sizeof outer) {
        memcpy(outer, key, (size_t)(dot - key));
        object = json_get(object, outer);
        key = dot + 1;
    }
    const json_value *value = json_get(object, key);
    if (value && value->type == JSON_STRING)
        snprintf(text, size, "%s", value->string);
    json_close(document);
}
