/* data_folders.c - where data lies: the environment is read here, the library gets folders. */
#include "app/data_folders.h"

#include "app/names.h"

#include <stdlib.h>

c2c_status data_folders_init(data_folders *f, const option_list *given, c2c_error *error) {
    *f = (data_folders){0};
    const char *variable = getenv("C2C_DATA");
    size_t room = given->count + 1, count = 0;
    for (const char *c = variable ? variable : ""; *c; c++)
        room += *c == ':';
    f->list = string_copy(variable ? variable : "");
    f->folders = calloc(room, sizeof *f->folders);
    if (!f->list || !f->folders) {
        data_folders_deinit(f);
        return error_memory(error, room * sizeof *f->folders, "folders of data");
    }
    for (size_t i = 0; i < given->count; i++)
        f->folders[count++] = given->items[i];
    for (char *at = f->list; *at;) {
        size_t length = strcspn(at, ":");
        bool last = !at[length];
        at[length] = 0;
        if (length)
            f->folders[count++] = at;
        at += length + !last;
    }
    f->cache = name_cache_folder();
    f->caches[0] = f->cache;
    f->places = (data_places){f->folders, count, f->caches, f->cache != NULL};
    return C2C_STATUS_OK;
}

void data_folders_deinit(data_folders *f) {
    free(f->list);
    free(f->cache);
    free(f->folders);
    *f = (data_folders){0};
}

option data_option(option_list *given) {
    return (option){.name = "--data",
                    .value = "DIR",
                    .kind = OPTION_PATHS,
                    .target = given,
                    .shown = "",
                    .help = "folder in which files of rows are looked up first, such as "
                            "DIR/OpenHermes-2.5/train.jsonl; then in C2C_DATA and the Hugging Face "
                            "cache"};
}
