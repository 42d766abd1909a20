/* case_folders.c - which files of models/, fusers/ and aligned/ are cases, and which models and
 * fusers they are about. */
#include "golden.h"

/* ---- Models ------------------------------------------------------------------------------- */

/* "expected_front_half.safetensors" gives "expected_front_half"; "" for any other file. */
static void expected_name(const char *file, char name[256]) {
    name[0] = '\0';
    if (strncmp(file, "expected", 8) == 0 && text_ends(file, ".safetensors"))
        snprintf(name, 256, "%.*s", (int)(strlen(file) - strlen(".safetensors")), file);
}

static void model_run(golden_run *run, const char *path, const char *model) {
    size_t count = 0;
    char **names = names_list(path, &count), base[256];
    for (size_t i = 0; i < count; i++) {
        golden_case c;
        char *file = path_make(path, names[i]), name[300];
        expected_name(names[i], base);
        snprintf(name, sizeof name, "models/%s", model);
        if (strcmp(names[i], "tokenizer_expected.json") == 0) {
            text_cases_run(run, name, file, path);
        } else if (base[0]) {
            case_begin(&c, run, "%s/%s", name, base);
            numbers_case numbers = {.paths = {.receiver = path_make(path, ".")}};
            numbers_case_run(&c, &numbers, file);
            case_paths_free(&numbers.paths);
            case_end(&c);
        } else if (strstr(names[i], "expected")) {
            case_begin(&c, run, "%s/%s", name, names[i]);
            case_unsupported(&c, "unknown file", "");
            case_end(&c);
        }
        free(file);
    }
    names_free(names, count);
}

void models_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        model_run(run, path, names[i]);
        free(path);
    }
    names_free(names, count);
}

/* ---- Fusers ------------------------------------------------------------------------------- */

static char *named_folder(const golden_run *run, const char *area, const char *name) {
    char *folder = path_make(run->folder, area), *path = path_make(folder, name);
    free(folder);
    return path;
}

/* The fuser's recipe names its models, which are folders in DIR/models. */
static void recipe_paths_read(golden_case *c, const char *fuser, case_paths *paths) {
    char *config = path_make(fuser, "config.json"), receiver[256], sharer[256];
    json_text_read(config, "model.base_model", receiver, sizeof receiver);
    json_text_read(config, "model.teacher_model", sharer, sizeof sharer);
    if (receiver[0] && sharer[0]) {
        paths->receiver = named_folder(c->run, "models", receiver);
        paths->sharers[0] = named_folder(c->run, "models", sharer);
        paths->fusers[0] = path_make(fuser, ".");
        paths->count = 1;
    } else {
        case_fail(c, "%s: expected strings model.base_model and model.teacher_model", config);
    }
    free(config);
}

/* {"receiver": NAME, "sharers": [NAME, ...], "fusers": [NAME, ...]} or, for one sharer,
 * {"receiver": NAME, "sharer": NAME, "fuser": NAME}. */
static void names_paths_read(golden_case *c, const char *path, case_paths *paths) {
    json_document *document = NULL;
    c2c_error error = {0};
    if (json_open(&document, path, &error) != C2C_STATUS_OK) {
        case_fail(c, "%s", error.message);
        return;
    }
    const json_value *root = json_root(document), *receiver = json_get(root, "receiver");
    const json_value *sharers = json_get(root, "sharers"), *fusers = json_get(root, "fusers");
    const json_value *sharer = json_get(root, "sharer"), *fuser = json_get(root, "fuser");
    bool list = sharers && sharers->type == JSON_ARRAY && fusers && fusers->type == JSON_ARRAY &&
                sharers->count == fusers->count && sharers->count <= MAX_SHARERS;
    size_t count = list ? sharers->count : sharer && fuser ? 1 : 0;
    bool good = count > 0 && receiver && receiver->type == JSON_STRING;
    for (size_t i = 0; good && i < count; i++) {
        const json_value *s = list ? &sharers->items[i] : sharer;
        const json_value *f = list ? &fusers->items[i] : fuser;
        good = s->type == JSON_STRING && f->type == JSON_STRING;
        if (!good)
            break;
        paths->sharers[i] = named_folder(c->run, "models", s->string);
        paths->fusers[i] = named_folder(c->run, "fusers", f->string);
        paths->count++;
    }
    if (good)
        paths->receiver = named_folder(c->run, "models", receiver->string);
    else
        case_fail(c, "%s: expected names of a receiver, sharers and as many fusers", path);
    json_close(document);
}

/* "expected_parallel_mask3": how several sharers act together stands in the name alone. */
static void fusion_mode_read(golden_case *c, const char *base, numbers_case *numbers) {
    if (strstr(base, "parallel"))
        numbers->fusion_mode = C2C_FUSION_PARALLEL;
    else if (!strstr(base, "sequential"))
        case_fail(c, "the name says neither \"parallel\" nor \"sequential\"");
}

static void fuser_case_run(golden_run *run, const char *path, const char *fuser, const char *file,
                           const char *base) {
    golden_case c;
    numbers_case numbers = {0};
    char *expected = path_make(path, file), *readme = path_make(path, "README.json");
    case_begin(&c, run, "fusers/%s/%s", fuser, base);
    numbers.include_response = strncmp(base, "expected_include_response", 25) == 0;
    if (file_exists(readme)) {
        fusion_mode_read(&c, base, &numbers);
        names_paths_read(&c, readme, &numbers.paths);
    } else {
        recipe_paths_read(&c, path, &numbers.paths);
    }
    if (c.failures == 0)
        numbers_case_run(&c, &numbers, expected);
    case_paths_free(&numbers.paths);
    free(readme);
    free(expected);
    case_end(&c);
}

static void fuser_run(golden_run *run, const char *path, const char *fuser) {
    size_t count = 0, cases = 0;
    char **names = names_list(path, &count), base[256];
    for (size_t i = 0; i < count; i++) {
        expected_name(names[i], base);
        if (base[0])
            fuser_case_run(run, path, fuser, names[i], base);
        cases += base[0] != '\0';
    }
    names_free(names, count);
    if (cases == 0) {
        golden_case c;
        case_begin(&c, run, "fusers/%s", fuser);
        case_unsupported(&c, "a fuser without expected*.safetensors", "");
        case_end(&c);
    }
}

void fusers_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        fuser_run(run, path, names[i]);
        free(path);
    }
    names_free(names, count);
}

/* ---- Two tokenizers ----------------------------------------------------------------------- */

/* The numbers of the recorded rows; how messages become these rows is a case of its own. */
void aligned_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        golden_case c;
        numbers_case numbers = {.aligned = true};
        char *path = path_make(folder, names[i]), *file = path_make(path, "case.json");
        char *expected = path_make(path, "expected.safetensors");
        case_begin(&c, run, "aligned/%s/expected", names[i]);
        names_paths_read(&c, file, &numbers.paths);
        if (c.failures == 0)
            numbers_case_run(&c, &numbers, expected);
        case_end(&c);
        aligned_messages_run(run, path, names[i]);
        case_paths_free(&numbers.paths);
        free(path);
        free(file);
        free(expected);
    }
    names_free(names, count);
}
