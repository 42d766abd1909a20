/* case_other.c - the parts of the layout that are only opened here (the demo pair, whose answers
 * tests/demo compares) or that no code here compares yet. */
#include "golden.h"

/* ---- The demo pair ------------------------------------------------------------------------ */

/* Both models, the fuser and the tokenizers open and fit each other, and one row can be asked. */
void demo_pair_run(golden_run *run, const char *folder) {
    golden_case c;
    world w = {0};
    c2c_error error = {0};
    char kind[KIND_SIZE], *text = NULL;
    size_t length = 0, count = 0;
    int32_t *ids = NULL;
    case_paths paths = {.receiver = path_make(folder, "receiver"),
                        .sharers = {path_make(folder, "sharer")},
                        .fusers = {path_make(folder, "fuser")},
                        .count = 1};
    const way how = {.queue = run->queue, .threads = run->threads};
    const c2c_message message = {"user", "Which town is home to Teteke?"};
    const c2c_chat_options options = {.add_generation_prompt = true};
    case_begin(&c, run, "demo_pair");
    c2c_status status = world_open(&w, &how, &paths, kind, &error);
    if (status == C2C_STATUS_OK)
        status = c2c_model_render(w.receiver, &message, 1, &options, &text, &length, &error);
    if (status == C2C_STATUS_OK)
        status = c2c_model_encode(w.receiver, text, length, false, &ids, &count, &error);
    if (status != C2C_STATUS_OK)
        case_status(&c, status, kind, &error);
    else if (count == 0)
        case_fail(&c, "a rendered chat gave no ids");
    c2c_free(ids);
    c2c_free(text);
    world_close(&w);
    case_paths_free(&paths);
    case_end(&c);
}

/* ---- What no code compares yet ------------------------------------------------------------ */

void not_built_run(golden_run *run, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *area = slash ? slash + 1 : path;
    size_t count = 0;
    char **names = folder_exists(path) ? names_list(path, &count) : NULL;
    for (size_t i = 0; i < (names ? count : 1); i++) {
        golden_case c;
        if (names)
            case_begin(&c, run, "%s/%s", area, names[i]);
        else
            case_begin(&c, run, "%s", area);
        case_unsupported(&c, "no comparison", "");
        case_end(&c);
    }
    names_free(names, count);
}
