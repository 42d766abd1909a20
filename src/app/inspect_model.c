/* inspect_model.c - a model folder: sizes, tokenizer, template, and the memory it needs. */
#include "app/inspect.h"
#include "app/moment.h"

#include <stdlib.h>

void report_model_config(report *r, const model_config *config) {
    report_text(r, "family", "family", config->family->model_type);
    report_integer(r, "layers", "layers", config->layers);
    report_integer(r, "embedding_size", "embedding", config->embedding);
    report_integer(r, "feed_forward_size", "feed forward", config->feed_forward);
    report_line(r, "heads", "%d query, %d key/value, %d features each", config->heads,
                config->kv_heads, config->head_dim);
    report_integer(r, "query_heads", NULL, config->heads);
    report_integer(r, "kv_heads", NULL, config->kv_heads);
    report_integer(r, "head_dim", NULL, config->head_dim);
    report_integer(r, "vocabulary_size", "vocabulary", config->vocabulary);
    report_integer(r, "context_length", "context", config->context);
    report_text(r, NULL, "head", config->tied ? "tied to the embedding" : "its own matrix");
    json_out_bool(&r->json, "tied", config->tied);
    buffer ids = {0};
    json_out_open(&r->json, "eos_ids", '[');
    for (int i = 0; i < config->eos_count; i++) {
        json_out_integer(&r->json, NULL, config->eos_ids[i]);
        buffer_printf(&ids, "%s%d", i ? ", " : "", (int)config->eos_ids[i]);
    }
    json_out_close(&r->json, ']');
    report_text(r, NULL, "end of text", ids.data ? ids.data : "no id: answers end at their length");
    buffer_free(&ids);
}

/* A template is there when it renders; where it came from is the first of the places that the
 * library looks in. */
static void report_template(report *r, const c2c_model *model) {
    static const char *const places[] = {"chat_template.jinja", "chat_template.json",
                                         "tokenizer_config.json"};
    static const c2c_message probe = {.role = "user", .content = "Hello"};
    moment_choice today;
    c2c_error error = {0};
    moment_read(&today, NULL, &error); /* now: cannot fail */
    const c2c_chat_options options = {.add_generation_prompt = true,
                                      .thinking = C2C_THINKING_OFF,
                                      .now = &today.moment};
    char *text = NULL;
    size_t length;
    bool renders = !c2c_model_render(model, &probe, 1, &options, &text, &length, &error);
    c2c_free(text);
    const char *source = NULL;
    for (size_t i = 0; !source && i < sizeof places / sizeof *places; i++) {
        char *path = path_join(model->folder, places[i]);
        if (path && file_exists(path))
            source = places[i];
        free(path);
    }
    json_out_open(&r->json, "chat_template", '{');
    json_out_bool(&r->json, "renders", renders);
    report_text(r, renders ? "file" : "error", "chat template",
                renders && source ? source : error.message);
    json_out_close(&r->json, '}');
}

static void report_memory(report *r, const c2c_model *model) {
    int64_t row = model_cache_row_bytes(&model->config, model_cache_type(model));
    char text[NUMBER_TEXT], full[NUMBER_TEXT];
    json_out_open(&r->json, "memory", '{');
    report_bytes(r, "weight_bytes", NULL, model->weight_bytes);
    report_line(r, "weights", "%s, mapped from the files", bytes_text(model->weight_bytes, text));
    json_out_integer(&r->json, "cache_bytes_per_token", row);
    /* The configuration is bounded so that this product fits. */
    json_out_integer(&r->json, "cache_bytes_full_context", row * model->config.context);
    report_line(r, "cache", "%s per token, %s for the whole context", bytes_text(row, text),
                bytes_text(row * model->config.context, full));
    json_out_close(&r->json, '}');
}

c2c_status inspect_model(report *r, const char *folder, c2c_error *error) {
    c2c_engine *engine = NULL;
    c2c_model *model = NULL;
    const c2c_engine_options one = {.threads = 1, .log = app_warning};
    c2c_status status = c2c_engine_open(&engine, &one, error);
    if (!status)
        status = c2c_model_open(&model, engine, folder, NULL, error);
    if (status)
        goto done;
    report_text(r, "kind", "kind", "model folder");
    report_text(r, "path", "path", folder);
    report_model_config(r, &model->config);
    report_integer(r, "tokenizer_size", "tokenizer",
                   (int64_t)tokenizer_vocabulary_size(model->tokenizer));
    report_template(r, model);
    report_integer(r, "parameters", "parameters", model->parameters);
    dtype_tally tally = {0};
    dtype_tally_add(&tally, model->files);
    report_dtypes(r, &tally);
    report_text(r, "matrices", "matrices",
                model->config.int8 ? "8-bit integers, a scale for each output" : "as in the files");
    report_memory(r, model);
done:
    c2c_model_close(model);
    c2c_engine_close(engine);
    return status;
}
