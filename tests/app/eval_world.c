/* eval_world.c - recipes of evaluations. */
#include "app/eval_world.h"

void eval_world_recipe(const char *folder, const char *name, const char *model, const char *eval) {
    buffer text = {0};
    buffer_printf(&text, "model:\n%s\noutput: {output_dir: %s}\neval: {%s}\n", model, folder, eval);
    test_file_write(folder, name, text.data, text.length);
    buffer_free(&text);
}
