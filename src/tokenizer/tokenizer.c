/* tokenizer.c - opening a tokenizer.json: its parts in the order in which they need each other,
 * each loaded by its own file. The vocabulary comes first, since merges, added tokens and
 * post-processors name tokens; the pre-tokenizer comes before the model is prepared, since it
 * decides whether words are bytes or characters.
 *
 * "truncation" and "padding" do not apply here; who encodes decides about both.
 *
 * All memory of a tokenizer is in one arena but for compiled patterns, so closing is short and a
 * failed opening leaves nothing behind. */
#include "tokenizer/internal.h"

#include <stdlib.h>

/* The kind of model; old files do not say it, but no two kinds have the same members. */
static const char *model_type(const json_value *model) {
    const json_value *type = json_get(model, "type"), *vocab = json_get(model, "vocab");
    if (type)
        return type->type == JSON_STRING ? type->string : NULL;
    if (json_get(model, "merges"))
        return "BPE";
    if (vocab && vocab->type == JSON_ARRAY)
        return "Unigram";
    return json_get(model, "max_input_chars_per_word") ? "WordPiece" : NULL;
}

static c2c_status check_model(const json_value *model, const loader *l) {
    char excerpt[EXCERPT_TEXT];
    if (!model || model->type != JSON_OBJECT)
        return error_set(l->error, C2C_STATUS_BAD_FILE, "%s: model: expected an object, found %s",
                         l->name, model ? json_type_name(model->type) : "nothing");
    const char *type = model_type(model);
    if (!type)
        return error_set(l->error, C2C_STATUS_BAD_FILE,
                         "%s: model.type: expected a string, found %s", l->name,
                         json_get(model, "type") ? json_type_name(json_get(model, "type")->type)
                                                 : "nothing");
    if (strcmp(type, "BPE") != 0)
        return error_set(l->error, C2C_STATUS_UNSUPPORTED,
                         "%s: model.type: \"%s\" is not supported; supported: BPE", l->name,
                         text_excerpt(excerpt, type, strlen(type)));
    return C2C_STATUS_OK;
}

static c2c_status load_parts(tokenizer *t, const json_value *root, const loader *l) {
    const json_value *model = json_get(root, "model"), *added = json_get(root, "added_tokens");
    c2c_status status = check_model(model, l);
    if (status == C2C_STATUS_OK)
        status = vocabulary_load(&t->vocabulary, json_get(model, "vocab"),
                                 added && added->type == JSON_ARRAY ? added->count : 0, l);
    if (status == C2C_STATUS_OK)
        status = bpe_load(&t->bpe, &t->vocabulary, model, l);
    if (status == C2C_STATUS_OK)
        status = normalizer_load(&t->normalizer, json_get(root, "normalizer"), l);
    if (status == C2C_STATUS_OK)
        status = added_tokens_load(&t->added, &t->vocabulary, &t->normalizer, added, l);
    if (status == C2C_STATUS_OK)
        status = pre_tokenizer_load(&t->pre_tokenizer, json_get(root, "pre_tokenizer"),
                                    bpe_has_all_bytes(&t->bpe), l);
    if (status == C2C_STATUS_OK)
        status = bpe_prepare(&t->bpe, t->pre_tokenizer.byte_level, l);
    if (status == C2C_STATUS_OK)
        status = post_processor_load(&t->post_processor, &t->vocabulary,
                                     json_get(root, "post_processor"), l);
    if (status == C2C_STATUS_OK)
        status = decoder_load(&t->decoder, json_get(root, "decoder"), l);
    return status;
}

c2c_status tokenizer_load(tokenizer **t, const json_value *root, const char *name,
                          c2c_error *error) {
    *t = NULL;
    if (root->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected an object, found %s", name,
                         json_type_name(root->type));
    tokenizer *made = calloc(1, sizeof *made);
    if (!made)
        return error_memory(error, sizeof *made, name);
    c2c_status status = C2C_STATUS_OK;
    made->arena = arena_new(1 << 16);
    loader l = {.name = name, .arena = made->arena, .error = error};
    if (!made->arena)
        status = error_memory(error, 1 << 16, name);
    else
        status = load_parts(made, root, &l);
    if (status == C2C_STATUS_OK)
        *t = made;
    else
        tokenizer_close(made);
    return status;
}

c2c_status tokenizer_open(tokenizer **t, const char *folder, c2c_error *error) {
    *t = NULL;
    json_document *document = NULL;
    char *path = path_join(folder, "tokenizer.json");
    if (!path)
        return error_memory(error, strlen(folder), "a path");
    c2c_status status = json_open(&document, path, error);
    if (status == C2C_STATUS_OK)
        status = tokenizer_load(t, json_root(document), path, error);
    json_close(document);
    free(path);
    return status;
}

void tokenizer_close(tokenizer *t) {
    if (!t)
        return;
    normalizer_deinit(&t->normalizer);
    pre_tokenizer_deinit(&t->pre_tokenizer);
    decoder_deinit(&t->decoder);
    arena_free(t->arena);
    free(t);
}

size_t tokenizer_vocabulary_size(const tokenizer *t) {
    return t->vocabulary.count;
}

int32_t tokenizer_find(const tokenizer *t, const char *text, size_t length) {
    return vocabulary_find(&t->vocabulary, text, length);
}

bool tokenizer_is_special(const tokenizer *t, int32_t id) {
    const vocabulary_token *token = vocabulary_token_of(&t->vocabulary, id);
    return token && token->special;
}
