/* prompt.h - inside the app: a question as the plan that a session prefills. */
#ifndef C2C_APP_PROMPT_H
#define C2C_APP_PROMPT_H

#include "app/app.h"
#include "app/plan_spec.h"

/* The models that read a prompt. */
typedef struct prompt_models {
    const c2c_model *writer;   /* answers */
    c2c_model *const *sharers; /* [sharer_count] */
    size_t sharer_count;
    const c2c_align_options *align; /* NULL: all models read the writer's ids */
} prompt_models;

/* Those of one way. */
prompt_models pair_models(const pair *p, way w);

/* A plan and the memory behind it. Zero-initialise; prompt_deinit. */
typedef struct prompt {
    c2c_plan plan;
    int32_t *ids;
    c2c_alignment *aligned;
    c2c_section room[PLAN_SPEC_ROOM];
    int64_t response; /* tokens of the answer's beginning, which end the prompt */
} prompt;

/* Renders or takes the text, encodes it (for each model, when they are aligned), and lays out the
 * sections that the question's plan asks for. */
c2c_status prompt_make(prompt *p, const prompt_models *models, const question *q, c2c_error *error);
void prompt_deinit(prompt *p);

#endif
