/* recorded.c - what an expected*.safetensors asks: ids, padding, sections, and the names of all
 * that must be compared. */
#include "golden.h"

void recorded_job_free(recorded_job *r) {
    free(r->ids);
    free(r->sharer_ids);
    free(r->sharer_rows);
    free(r->decode_ids);
    free(r->greedy);
    free(r->sections);
    free(r->padding);
    *r = (recorded_job){0};
}

/* ---- Ids ---------------------------------------------------------------------------------- */

/* Reads a mask (1: a token, 0: padding) and puts C2C_PADDING where it is 0; NULL after case_fail.
 */
static bool *padding_read(golden_case *c, const tensor_file *file, const char *name, int32_t *ids,
                          int64_t count) {
    int64_t mask_count = 0;
    int32_t *mask = expected_ids(c, file, name, &mask_count);
    bool *padding = NULL;
    if (mask && mask_count != count)
        case_fail(c, "%s: %lld numbers for %lld ids", name, (long long)mask_count,
                  (long long)count);
    else if (mask)
        padding = memory_get((size_t)count, sizeof *padding);
    for (int64_t i = 0; padding && i < count; i++) {
        padding[i] = mask[i] == 0;
        if (padding[i])
            ids[i] = C2C_PADDING;
    }
    free(mask);
    return padding;
}

/* With two tokenizers each model has ids of its own, and padding where only the other has a token.
 */
static bool aligned_ids_read(golden_case *c, const tensor_file *file, size_t sharers,
                             recorded_job *r) {
    int64_t count = 0, tokens = r->job.plan.token_count;
    r->sharer_ids = expected_ids(c, file, "sharer_input_ids", &count);
    if (!r->sharer_ids)
        return false;
    if (count != tokens) {
        case_fail(c, "sharer_input_ids: %lld ids for %lld", (long long)count, (long long)tokens);
        return false;
    }
    bool *other = padding_read(c, file, "sharer_attention_mask", r->sharer_ids, tokens);
    r->padding = padding_read(c, file, "attention_mask", r->ids, tokens);
    for (int64_t i = 0; r->padding && i < tokens; i++)
        r->job.rows -= r->padding[i];
    r->sharer_rows = memory_get(sharers, sizeof *r->sharer_rows);
    for (size_t s = 0; s < sharers; s++)
        r->sharer_rows[s] = r->sharer_ids;
    r->job.plan.sharer_ids = r->sharer_rows;
    free(other);
    return c->failures == 0;
}

/* ---- Sections ----------------------------------------------------------------------------- */

/* sections [[length, mask], ...], or for a model alone one section of all tokens. */
static bool sections_read(golden_case *c, const tensor_file *file, size_t sharers,
                          recorded_job *r) {
    int64_t count = 2, total = 0, tokens = r->job.plan.token_count;
    int32_t *pairs = NULL;
    if (sharers > 0 && !(pairs = expected_ids(c, file, "sections", &count)))
        return false;
    r->sections = memory_get((size_t)count / 2 + 1, sizeof *r->sections);
    r->sections[0] = (c2c_section){tokens, -1};
    for (int64_t i = 0; pairs && i < count / 2; i++)
        r->sections[i] = (c2c_section){pairs[2 * i], pairs[2 * i + 1]};
    for (int64_t i = 0; i < count / 2; i++)
        total += r->sections[i].length;
    free(pairs);
    r->job.plan.sections = r->sections;
    r->job.plan.section_count = (size_t)count / 2;
    r->job.last_rows = count >= 2 ? r->sections[count / 2 - 1].length : 0;
    if (count % 2 != 0 || total != tokens || r->job.last_rows < 1)
        case_fail(c, "sections: %lld tokens in sections, %lld in input_ids", (long long)total,
                  (long long)tokens);
    return c->failures == 0;
}

bool recorded_job_is_usual(const recorded_job *r, size_t sharers) {
    return !r->padding && r->job.plan.section_count == 2 &&
           r->sections[0].mask == (1 << sharers) - 1 && r->sections[1].length == 1;
}

bool recorded_job_read(golden_case *c, const tensor_file *file, size_t sharers, bool aligned,
                       recorded_job *r) {
    r->ids = expected_ids(c, file, "input_ids", &r->job.plan.token_count);
    r->greedy = expected_ids(c, file, "greedy_ids", &r->greedy_count);
    if (!aligned)
        r->decode_ids = expected_ids(c, file, "decode_ids", &r->job.decode_count);
    if (c->failures > 0)
        return false;
    r->job.plan.ids = r->ids;
    r->job.decode_ids = r->decode_ids;
    r->job.greedy_limit = r->greedy_count;
    r->job.rows = r->job.plan.token_count;
    return (!aligned || aligned_ids_read(c, file, sharers, r)) &&
           sections_read(c, file, sharers, r);
}

/* ---- Names -------------------------------------------------------------------------------- */

/* Each name is known to files of models (1), of fusers (2) and of aligned prompts (4). */
static const struct {
    const char *name;
    int files;
} known[] = {
    {"input_ids", 7},        {"logits", 7},
    {"greedy_ids", 7},       {"decode_ids", 3},
    {"decode_logits", 3},    {"sections", 6},
    {"attention_mask", 4},   {"receiver_only_last_logits", 2},
    {"sharer_input_ids", 4}, {"sharer_attention_mask", 4},
};

void recorded_names_check(golden_case *c, const tensor_file *file, int layers, size_t sharers,
                          bool aligned) {
    int kind = aligned ? 4 : sharers > 0 ? 2 : 1;
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const char *name = tensor_file_at(file, i)->name;
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || ((known[k].files & kind) && strcmp(name, known[k].name) == 0);
        for (int layer = 0; !found && layer < layers; layer++) {
            char key[32], value[32];
            snprintf(key, sizeof key, "key.%d", layer);
            snprintf(value, sizeof value, "value.%d", layer);
            found = strcmp(name, key) == 0 || strcmp(name, value) == 0;
        }
        if (!found)
            case_fail(c, "%s: a tensor that this runner does not compare", name);
    }
}
