/* inspect.h - inside the app: what `c2c inspect` says, written once as text and as JSON. */
#ifndef C2C_APP_INSPECT_H
#define C2C_APP_INSPECT_H

#include "app/app.h"
#include "fuser/fuser.h"

/* ---- Reports (report.c) ------------------------------------------------------------------- */

/* Every call adds to both forms; the verb prints one of them. `label` NULL: not in the text;
 * `key` NULL: not in the JSON. */
typedef struct report {
    json_out json;
    buffer text;
} report;

void report_text(report *r, const char *key, const char *label, const char *text);
void report_line(report *r, const char *label, const char *format, ...) C2C_PRINTF(3, 4);
void report_integer(report *r, const char *key, const char *label, int64_t value);
void report_bytes(report *r, const char *key, const char *label, int64_t bytes);
/* A blank line, then the table. */
void report_table(report *r, table *t);
void report_deinit(report *r);

/* "1,234,567" and "3.1 MiB" into `text`; both return it. */
#define NUMBER_TEXT 48
const char *number_text(int64_t value, char text[NUMBER_TEXT]);
const char *bytes_text(int64_t bytes, char text[NUMBER_TEXT]);

/* How many tensors of each dtype there are, and their bytes. */
typedef struct dtype_tally {
    int64_t tensors[DTYPE_COUNT], bytes[DTYPE_COUNT];
} dtype_tally;

void dtype_tally_add(dtype_tally *tally, const tensor_file *file);
void report_dtypes(report *r, const dtype_tally *tally);

/* ---- Kinds (inspect_model.c, inspect_fuser.c, inspect_file.c, inspect_json.c) -------------- */

c2c_status inspect_model(report *r, const char *folder, c2c_error *error);
c2c_status inspect_fuser(report *r, const char *folder, c2c_error *error);
/* A file of tensors, or one that inspect_json knows. */
c2c_status inspect_file(report *r, const char *path, c2c_error *error);
c2c_status inspect_json(report *r, const char *path, c2c_error *error);
/* What a recipe makes for the models of two folders (inspect_recipe.c). */
c2c_status inspect_recipe(report *r, const char *path, const char *receiver, const char *sharer,
                          c2c_error *error);
/* The processor, and the kernels that it can run (inspect_cpu.c). */
void inspect_cpu(report *r);
/* The lines that a model's configuration gives, in a folder or alone. */
void report_model_config(report *r, const model_config *config);

#endif
