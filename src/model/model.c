/* model.c - opens a Hugging Face model folder as one immutable object, and the public calls on
 * it: describe, render, encode, decode. */
#include "model/model.h"

#include <stdlib.h>

/* The RoPE frequencies of full and of sliding layers. */
static c2c_status make_frequencies(c2c_model *model, c2c_error *error) {
    const model_config *c = &model->config;
    int half = c->head_dim / 2;
    size_t bytes = (size_t)half * 2 * sizeof(float);
    float *host = malloc(bytes);
    if (!host)
        return error_memory(error, bytes, "RoPE frequencies");
    rope_frequencies(&c->rope, c->head_dim, host);
    rope_frequencies(&c->local_rope, c->head_dim, host + half);
    void *memory;
    c2c_status status = backend_alloc(model->backend, &memory, bytes, error);
    if (!status) {
        model->frequencies = memory;
        backend_upload(model->backend, memory, host, bytes);
    }
    free(host);
    return status;
}

static int64_t longest_row(const model_config *c) {
    int64_t longest = max_i64(c->embedding, c->feed_forward);
    return max_i64(longest, (int64_t)c->heads * c->head_dim);
}

/* AUTO computes in bf16 when the weights are bf16: rounding f32 weights would lose something. */
static linear_math choose_math(const c2c_model *model, c2c_compute compute) {
    if (compute == C2C_COMPUTE_AUTO)
        return model->embedding.type == DTYPE_BF16 ? LINEAR_BF16 : LINEAR_F32;
    return compute == C2C_COMPUTE_BF16 ? LINEAR_BF16 : LINEAR_F32;
}

c2c_status c2c_model_open(c2c_model **out, c2c_engine *engine, const char *folder,
                          const c2c_model_options *options, c2c_error *error) {
    static const c2c_model_options defaults = {0};
    if (!options)
        options = &defaults;
    if (out)
        *out = NULL;
    c2c_status status =
        ARGUMENTS_CHECK(error, {"model", out}, {"engine", engine}, {"folder", folder});
    if (!status)
        status = error_choice(error, "compute", (int)options->compute, C2C_COMPUTE_BF16);
    if (!status)
        status = error_choice(error, "weights", (int)options->weights, C2C_MODEL_WEIGHTS_INT8);
    if (status)
        return status;
    c2c_model *model = calloc(1, sizeof *model);
    if (!model)
        return error_memory(error, sizeof *model, "a model");
    model->engine = engine;
    model->backend = engine->backend;
    model->folder = string_copy(folder);
    if (!model->folder)
        status = error_memory(error, strlen(folder) + 1, "a folder name");
    if (status || (status = model_config_open(&model->config, folder, error)) ||
        (status = tokenizer_open(&model->tokenizer, folder, error)) ||
        (status =
             chat_template_open(&model->chat_template, folder, options->chat_template, error)) ||
        (status = tensor_folder_open(&model->files, folder, error)) ||
        (status = model_weights_bind(model, error)) ||
        (status = backend_reserve(model->backend, (size_t)longest_row(&model->config), error)) ||
        (status = make_frequencies(model, error))) {
        c2c_model_close(model);
        return status;
    }
    model->math = choose_math(model, options->compute);
    if (options->weights == C2C_MODEL_WEIGHTS_INT8 && !model->config.int8 &&
        (status = model_weights_quantize(model, error))) {
        c2c_model_close(model);
        return status;
    }
    if ((status = model_panels_make(model, error))) {
        c2c_model_close(model);
        return status;
    }
    *out = model;
    return C2C_STATUS_OK;
}

void c2c_model_close(c2c_model *model) {
    if (!model)
        return;
    backend_sync(model->backend); /* uploads may still be on their way */
    model_weights_release(model);
    backend_release(model->backend, model->frequencies);
    tensor_file_close(model->files);
    chat_template_close(model->chat_template);
    tokenizer_close(model->tokenizer);
    free(model->folder);
    free(model);
}

void c2c_model_describe(const c2c_model *model, c2c_model_info *info) {
    const model_config *c = &model->config;
    *info = (c2c_model_info){
        .family = c->family->model_type,
        .folder = model->folder,
        .compute = model->math == LINEAR_BF16 ? C2C_COMPUTE_BF16 : C2C_COMPUTE_F32,
        .layers = c->layers,
        .embedding_size = (int)c->embedding,
        .feed_forward_size = (int)c->feed_forward,
        .query_heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .vocabulary_size = (int)c->vocabulary,
        .context_length = c->context,
        .parameters = model->parameters,
        .weight_bytes = model->weight_bytes,
        .cache_row_bytes = model_cache_row_bytes(c, model_cache_type(model)),
    };
}

/* The JSON writer would replace bytes that are not UTF-8,
 * and an answer to another question helps nobody: refuse them. */
c2c_status model_messages_write(buffer *json, const c2c_message *messages, size_t count,
                                c2c_error *error) {
    if (count > 0 && !messages)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "`messages` must not be NULL");
    buffer_append_char(json, '[');
    for (size_t i = 0; i < count; i++) {
        const char *fields[] = {messages[i].role, messages[i].content};
        static const char *const names[] = {"role", "content"};
        buffer_append_text(json, i ? ",{" : "{");
        for (int f = 0; f < 2; f++) {
            if (!fields[f])
                return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                                 "message %zu: %s: must not be NULL", i + 1, names[f]);
            size_t length = strlen(fields[f]);
            size_t valid = utf8_valid_prefix(fields[f], length);
            if (valid != length)
                return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                                 "message %zu: %s: byte %zu is not valid UTF-8", i + 1, names[f],
                                 valid);
            buffer_printf(json, "%s\"%s\":", f ? "," : "", names[f]);
            json_write_string(json, fields[f], length);
        }
        buffer_append_char(json, '}');
    }
    buffer_append_char(json, ']');
    return json->failed ? error_memory(error, json->length, "the messages") : C2C_STATUS_OK;
}

/* Hands a finished text to the caller of a public function. */
static c2c_status give_text(buffer *from, char **text, size_t *length, c2c_error *error) {
    size_t bytes = from->length;
    *text = buffer_take(from, length);
    return *text ? C2C_STATUS_OK : error_memory(error, bytes, "a text");
}

c2c_status c2c_model_render(const c2c_model *model, const c2c_message *messages,
                            size_t message_count, const c2c_chat_options *options, char **text,
                            size_t *length, c2c_error *error) {
    static const c2c_chat_options defaults = {.add_generation_prompt = true};
    buffer json = {0}, rendered = {0};
    json_document *document = NULL;
    if (!options)
        options = &defaults;
    if (text)
        *text = NULL;
    c2c_status status =
        ARGUMENTS_CHECK(error, {"model", model}, {"text", text}, {"length", length});
    if (status ||
        (status = error_choice(error, "thinking", (int)options->thinking, C2C_THINKING_ON)) ||
        (status = model_messages_write(&json, messages, message_count, error)) ||
        (status = json_parse(&document, json.data, json.length, "messages", error)) ||
        (status = chat_template_render(model->chat_template, json_root(document), options,
                                       &rendered, error)))
        goto done;
    status = give_text(&rendered, text, length, error);
done:
    json_close(document);
    buffer_free(&json);
    buffer_free(&rendered);
    return status;
}

c2c_status c2c_model_encode(const c2c_model *model, const char *text, size_t length,
                            bool add_special, int32_t **ids, size_t *count, c2c_error *error) {
    token_list tokens = {0};
    if (ids)
        *ids = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"model", model}, {"text", length ? text : ""},
                                        {"ids", ids}, {"count", count});
    if (status)
        return status;
    *count = 0;
    status = tokenizer_encode(model->tokenizer, text, length, add_special, &tokens, error);
    if (status)
        goto done;
    *ids = malloc((tokens.count + 1) * sizeof **ids);
    if (!*ids) {
        status = error_memory(error, (tokens.count + 1) * sizeof **ids, "token ids");
        goto done;
    }
    for (size_t i = 0; i < tokens.count; i++)
        (*ids)[i] = tokens.items[i].id;
    *count = tokens.count;
done:
    token_list_free(&tokens);
    return status;
}

c2c_status c2c_model_decode(const c2c_model *model, const int32_t *ids, size_t count,
                            bool skip_special, char **text, size_t *length, c2c_error *error) {
    buffer decoded = {0};
    if (text)
        *text = NULL;
    c2c_status status = ARGUMENTS_CHECK(error, {"model", model}, {"ids", count ? (void *)ids : ""},
                                        {"text", text}, {"length", length});
    if (status)
        return status;
    status = tokenizer_decode(model->tokenizer, ids, count, skip_special, &decoded, error);
    if (!status)
        status = give_text(&decoded, text, length, error);
    buffer_free(&decoded);
    return status;
}
