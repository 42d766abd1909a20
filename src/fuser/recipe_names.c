/* recipe_names.c - the models that a fuser was trained with, as its recipe names them, against
 * those that it is used with. Folders are called what people like, so a difference is only a
 * warning; and a recipe that is missing or unusual says nothing. */
#define _XOPEN_SOURCE 700 /* realpath */

#include "fuser/fuser.h"

#include <stdlib.h>

/* A run of characters of a path between slashes. */
typedef struct component {
    const char *text;
    size_t length;
} component;

/* The last component that ends at or before `end`; false when there is none. */
static bool component_before(component *c, const char *path, size_t end) {
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    *c = (component){path + start, end - start};
    return end > start;
}

static bool ends_with(const component *c, const char *part, size_t length) {
    return c->length >= length && memcmp(c->text + c->length - length, part, length) == 0;
}

/* Whether a folder has a model's name: as its last component, or, in the cache of Hugging Face, as
 * that of models--OWNER--NAME/snapshots/REVISION. */
static bool path_has_name(const char *path, const component *name) {
    static const char cached[] = "models--";
    component c;
    if (!component_before(&c, path, strlen(path)))
        return false;
    if (c.length == name->length && ends_with(&c, name->text, name->length))
        return true;
    for (; component_before(&c, path, (size_t)(c.text - path));)
        if (c.length >= sizeof cached - 1 + name->length &&
            memcmp(c.text, cached, sizeof cached - 1) == 0 &&
            ends_with(&c, name->text, name->length) &&
            memcmp(c.text + c.length - name->length - 2, "--", 2) == 0)
            return true;
    return false;
}

/* "Qwen/Qwen3-0.6B" is the model in .../Qwen3-0.6B, and in what links to such a folder. */
static bool folder_has_name(const char *folder, const char *recipe_name) {
    component name;
    if (!component_before(&name, recipe_name, strlen(recipe_name)))
        return true; /* an empty name names nothing */
    char *real = realpath(folder, NULL);
    bool has = path_has_name(folder, &name) || (real && path_has_name(real, &name));
    free(real);
    return has;
}

static void warn(const c2c_model *model, const char *path, const char *key, const char *side,
                 const char *name) {
    engine_warn(model->engine,
                "%s: %s: the fuser was trained with the %s %s, but is used with %s; if that is "
                "another model, answers will be wrong",
                path, key, side, name, model->folder);
}

/* Several sharers are {name: path, ...}, of which this fuser's is one. */
static void check_names(const c2c_model *model, const char *path, const char *key, const char *side,
                        const json_value *names) {
    if (names && names->type == JSON_STRING && !folder_has_name(model->folder, names->string))
        warn(model, path, key, side, names->string);
    if (!names || names->type != JSON_OBJECT || names->count == 0)
        return;
    for (uint32_t i = 0; i < names->count; i++) {
        const json_member *m = &names->members[i];
        if (folder_has_name(model->folder, m->key) || m->value.type != JSON_STRING ||
            folder_has_name(model->folder, m->value.string))
            return;
    }
    warn(model, path, key, side, names->members[0].key);
}

/* True: there is a recipe in this folder ("" or with a slash at its end), and it was compared. */
static bool check_recipe(const c2c_fuser *fuser, const char *folder, size_t length) {
    json_document *document = NULL;
    buffer path = {0};
    buffer_append(&path, folder, length);
    buffer_append_text(&path, "config.json");
    const json_value *model = NULL;
    if (!path.failed && file_exists(path.data) && !json_open(&document, path.data, NULL))
        model = json_get(json_root(document), "model");
    if (model) {
        check_names(fuser->receiver, path.data, "base_model", "receiver",
                    json_get(model, "base_model"));
        check_names(fuser->sharer, path.data, "teacher_model", "sharer",
                    json_get(model, "teacher_model"));
    }
    json_close(document);
    buffer_free(&path);
    return model != NULL;
}

void fuser_check_names(const c2c_fuser *fuser) {
    const char *folder = fuser->folder;
    component last;
    if (check_recipe(fuser, folder, strlen(folder)))
        return;
    /* Training writes the recipe beside final/ and the checkpoints. */
    if (component_before(&last, folder, strlen(folder)) && last.text[0] != '.')
        check_recipe(fuser, folder, (size_t)(last.text - folder));
}
