/* names.h - inside the app: names such as Qwen/Qwen3-0.6B in place of paths. */
#ifndef C2C_APP_NAMES_H
#define C2C_APP_NAMES_H

#include "app/app.h"

/* The path that `name` stands for, to be freed: itself when something is there, or when it cannot
 * be a name; else what is found in `models` (may be NULL), in the folders of C2C_MODELS, or in the
 * Hugging Face cache. C2C_STATUS_NOT_FOUND: the message says where it was looked for, and which
 * command downloads it. */
c2c_status name_resolve(char **path, const char *name, const char *models, c2c_error *error);

/* The folder of Hugging Face's cache, by the rules of its own tools, without a slash at its end; to
 * be freed. NULL where not even a home is known, or out of memory. */
char *name_cache_folder(void);

/* The row --models of a verb's table. */
option models_option(const char **models);

#endif
