/* prompt.c - from a question to ids and sections. */
#include "app/prompt.h"

/* The text goes on with the beginning of the answer, which takes p->response tokens. */
static c2c_status append_response(prompt *p, const c2c_model *writer, char **text, size_t *length,
                                  const char *response, c2c_error *error) {
    buffer all = {0};
    int32_t *ids;
    size_t count;
    buffer_append(&all, *text, *length);
    buffer_append_text(&all, response);
    c2c_free(*text);
    *text = buffer_take(&all, length);
    if (!*text)
        return error_memory(error, strlen(response), "a prompt");
    c2c_status status =
        c2c_model_encode(writer, response, strlen(response), false, &ids, &count, error);
    if (status)
        return status;
    p->response = (int64_t)count;
    c2c_free(ids);
    return C2C_STATUS_OK;
}

/* One row of ids, which all models read. */
static c2c_status encode(prompt *p, const c2c_model *writer, const question *q, c2c_error *error) {
    size_t count = 0, length;
    char *text = NULL;
    c2c_status status;
    /* A plain text gets the special tokens that the tokenizer adds to a text; a template writes its
     * own. */
    if (q->raw) {
        status = c2c_model_encode(writer, q->raw, strlen(q->raw), true, &p->ids, &count, error);
    } else {
        const c2c_chat_options options = {.add_generation_prompt = true,
                                          .thinking = q->thinking,
                                          .now = q->now};
        status = c2c_model_render(writer, q->messages->messages, q->messages->count, &options,
                                  &text, &length, error);
        if (!status && q->response)
            status = append_response(p, writer, &text, &length, q->response, error);
        if (!status)
            status = c2c_model_encode(writer, text, length, false, &p->ids, &count, error);
    }
    c2c_free(text);
    p->plan.ids = p->ids;
    p->plan.token_count = (int64_t)count;
    return status;
}

/* Rows of their own for each model. What is fused, alignment says: the messages' contents. */
static c2c_status align(prompt *p, const prompt_models *models, const question *q,
                        c2c_error *error) {
    plan_shape shape = q->plan ? q->plan->shape : PLAN_ALL;
    c2c_align_options options = *models->align;
    options.now = q->now;
    if (q->raw || q->thinking == C2C_THINKING_ON || (shape != PLAN_ALL && shape != PLAN_NONE))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "--align cannot go with %s: aligned prompts are chats without thinking "
                         "whose message contents are fused, or none",
                         q->raw                           ? "--raw"
                         : q->thinking == C2C_THINKING_ON ? "--thinking"
                                                          : "--plan");
    chat begun = {0};
    const chat *messages = q->messages;
    c2c_status status = C2C_STATUS_OK;
    if (q->response) {
        options.add_generation_prompt = false;
        options.open_end = true;
        status = chat_add_chat(&begun, messages, error);
        if (!status)
            status = chat_add(&begun, "assistant", q->response, error);
        messages = &begun;
    }
    if (!status)
        status = c2c_align_chat(&p->aligned, models->writer,
                                (const c2c_model *const *)models->sharers, models->sharer_count,
                                messages->messages, messages->count, &options, error);
    chat_deinit(&begun);
    if (status)
        return status;
    for (size_t i = 0; shape == PLAN_NONE && i < p->aligned->section_count; i++)
        p->aligned->sections[i].mask = -1;
    p->plan = (c2c_plan){.ids = p->aligned->ids,
                         .sharer_ids = (const int32_t *const *)p->aligned->sharer_ids,
                         .token_count = p->aligned->token_count,
                         .sections = p->aligned->sections,
                         .section_count = p->aligned->section_count};
    return C2C_STATUS_OK;
}

/* The plan of the tokens before the response, one of which counts as the last; the response then
 * takes the place of that one. */
static c2c_status plan_response(prompt *p, const plan_spec *plan, size_t sharers,
                                c2c_error *error) {
    static const plan_spec all = {0};
    int64_t before = p->plan.token_count - p->response;
    if (before < 1)
        return C2C_STATUS_OK;
    c2c_status status = plan_spec_sections(plan ? plan : &all, before + 1, sharers, p->room,
                                           &p->plan.sections, &p->plan.section_count, error);
    if (status || p->plan.sections != p->room)
        return status ? status
                      : error_set(error, C2C_STATUS_UNSUPPORTED,
                                  "a plan of explicit sections cannot go with the beginning of "
                                  "an answer");
    p->room[p->plan.section_count - 1].length += p->response - 1;
    return C2C_STATUS_OK;
}

c2c_status prompt_make(prompt *p, const prompt_models *models, const question *q,
                       c2c_error *error) {
    if (models->align && models->sharer_count)
        return align(p, models, q, error);
    c2c_status status = encode(p, models->writer, q, error);
    /* Without sharers there is nothing to plan. */
    if (!status && models->sharer_count && p->response > 1)
        status = plan_response(p, q->plan, models->sharer_count, error);
    else if (!status && models->sharer_count && q->plan && p->plan.token_count)
        status = plan_spec_sections(q->plan, p->plan.token_count, models->sharer_count, p->room,
                                    &p->plan.sections, &p->plan.section_count, error);
    return status;
}

void prompt_deinit(prompt *p) {
    c2c_free(p->ids);
    c2c_alignment_free(p->aligned);
    *p = (prompt){0};
}
