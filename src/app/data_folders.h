/* data_folders.h - inside the app: the folders in which files of rows are looked for. */
#ifndef C2C_APP_DATA_FOLDERS_H
#define C2C_APP_DATA_FOLDERS_H

#include "app/app.h"
#include "train/data.h"

/* `places` is valid until the deinit. */
typedef struct data_folders {
    data_places places;
    char *list; /* C2C_DATA, cut at its ':' */
    char *cache;
    const char **folders;
    const char *caches[1];
} data_folders;

/* Those of --data, of C2C_DATA, and Hugging Face's cache, in this order. */
c2c_status data_folders_init(data_folders *folders, const option_list *given, c2c_error *error);
void data_folders_deinit(data_folders *folders);

/* The row --data of a verb's table. */
option data_option(option_list *given);

#endif
