/* prompt.c - from a question to ids and sections. */
#include "app/prompt.h"

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
    c2c_status status =
        c2c_align_chat(&p->aligned, models->writer, (const c2c_model *const *)models->sharers,
                       models->sharer_count, q->messages->messages, q->messages->count, &options,
                       error);
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

c2c_status prompt_make(prompt *p, const prompt_models *models, const question *q,
                       c2c_error *error) {
    if (models->align && models->sharer_count)
        return align(p, models, q, error);
    c2c_status status = encode(p, models->writer, q, error);
    /* Without sharers there is nothing to plan. */
    if (!status && models->sharer_count && q->plan && p->plan.token_count)
        status = plan_spec_sections(q->plan, p->plan.token_count, models->sharer_count, p->room,
                                    &p->plan.sections, &p->plan.section_count, error);
    return status;
}

void prompt_deinit(prompt *p) {
    c2c_free(p->ids);
    c2c_alignment_free(p->aligned);
    *p = (prompt){0};
}
