/* plan.c - what a caller asks for, checked against the models before anything runs. */
#include "session/session.h"

#include <stdlib.h>

static c2c_status check_ids(const int32_t *ids, int64_t count, const c2c_model *model,
                            const char *side, c2c_error *error) {
    for (int64_t i = 0; i < count; i++)
        if (ids[i] != C2C_PADDING && (ids[i] < 0 || ids[i] >= model->config.vocabulary))
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "prompt token %lld: id %d is not in the %s's vocabulary of %lld (%s)",
                             (long long)i, (int)ids[i], side, (long long)model->config.vocabulary,
                             model->folder);
    return C2C_STATUS_OK;
}

static int32_t all_sharers(size_t pair_count) {
    return (int32_t)((UINT32_C(1) << pair_count) - 1);
}

/* Everything but the last token is fused with every sharer. */
static size_t usual_sections(c2c_section *sections, int64_t tokens, size_t pair_count) {
    size_t count = 0;
    if (tokens > 1)
        sections[count++] = (c2c_section){.length = tokens - 1, .mask = all_sharers(pair_count)};
    sections[count++] = (c2c_section){.length = 1, .mask = -1};
    return count;
}

static c2c_status copy_sections(c2c_section *sections, size_t *count, const c2c_plan *plan,
                                size_t pair_count, c2c_error *error) {
    int64_t total = 0;
    *count = 0;
    for (size_t i = 0; i < plan->section_count; i++) {
        const c2c_section *section = &plan->sections[i];
        if (section->length < 0 || section->length > plan->token_count - total)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "section %zu: length %lld does not fit; %lld of %lld prompt tokens "
                             "are left",
                             i, (long long)section->length, (long long)(plan->token_count - total),
                             (long long)plan->token_count);
        if (section->mask > all_sharers(pair_count))
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "section %zu: mask %d selects a sharer that is not there; the "
                             "session has %zu",
                             i, (int)section->mask, pair_count);
        total += section->length;
        if (section->length > 0)
            sections[(*count)++] = *section;
    }
    if (total != plan->token_count)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "the sections hold %lld tokens, the prompt %lld", (long long)total,
                         (long long)plan->token_count);
    return C2C_STATUS_OK;
}

static bool has_padding(const int32_t *ids, int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count; i++)
        if (ids[i] == C2C_PADDING)
            return true;
    return false;
}

/* Rows are fused one to one, so a fused section has a token of every model at every position; and
 * the answer starts from the logits of a token. */
static c2c_status check_padding(const c2c_section *sections, size_t count, const c2c_plan *plan,
                                size_t pair_count, c2c_error *error) {
    int64_t start = 0;
    for (size_t i = 0; i + 1 < count; i++) {
        const c2c_section *section = &sections[i];
        bool padded = section->mask > 0 && has_padding(plan->ids, start, section->length);
        for (size_t s = 0; section->mask > 0 && s < pair_count; s++)
            if (section->mask >> s & 1)
                padded = padded || has_padding(plan_sharer_ids(plan, s), start, section->length);
        if (padded)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "positions %lld to %lld are fused (mask %d) but hold padding",
                             (long long)start, (long long)(start + section->length - 1),
                             (int)section->mask);
        start += section->length;
    }
    for (int64_t i = start; i < plan->token_count; i++)
        if (plan->ids[i] != C2C_PADDING)
            return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "the last section holds only padding of the receiver");
}

/* Some fusers have weights for each place in a section, and so for so many places. */
static c2c_status check_lengths(const c2c_section *sections, size_t count,
                                const c2c_session *session, c2c_error *error) {
    for (size_t i = 0; i + 1 < count; i++)
        for (size_t s = 0; s < session->pair_count; s++) {
            const c2c_fuser *fuser = session->pairs[s].fuser;
            if (sections[i].mask <= 0 || !(sections[i].mask >> s & 1) || !fuser->longest_section ||
                sections[i].length <= fuser->longest_section)
                continue;
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "section %zu: fuses %lld tokens, but %s has weights for at most %lld "
                             "(max_sequence_length); cut it into shorter sections",
                             i, (long long)sections[i].length, fuser->folder,
                             (long long)fuser->longest_section);
        }
    return C2C_STATUS_OK;
}

c2c_status plan_check(c2c_section **sections, size_t *count, const c2c_plan *plan,
                      const c2c_session *session, c2c_error *error) {
    size_t pair_count = session->pair_count;
    *sections = NULL;
    *count = 0;
    if (plan->token_count < 1)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "the prompt has no tokens");
    if (!plan->ids)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "the plan's ids must not be NULL");
    for (size_t s = 0; s < pair_count; s++)
        if (!plan_sharer_ids(plan, s))
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "the plan's ids of sharer %zu must not be NULL", s + 1);
    c2c_status status =
        check_ids(plan->ids, plan->token_count, session->receiver.model, "receiver", error);
    for (size_t s = 0; s < pair_count && !status; s++)
        status = check_ids(plan_sharer_ids(plan, s), plan->token_count, session->pairs[s].sharer,
                           "sharer", error);
    if (status)
        return status;
    if (session->include_response && plan->sharer_ids)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "include_response needs models that read the same ids: the answer's ids "
                         "are the receiver's");
    size_t room = plan->sections && plan->section_count > 2 ? plan->section_count : 2;
    c2c_section *copy = calloc(room, sizeof *copy);
    if (!copy)
        return error_memory(error, room * sizeof *copy, "the prompt's sections");
    if (plan->sections)
        status = copy_sections(copy, count, plan, pair_count, error);
    else
        *count = usual_sections(copy, plan->token_count, pair_count);
    if (!status)
        status = check_padding(copy, *count, plan, pair_count, error);
    if (!status)
        status = check_lengths(copy, *count, session, error);
    if (status) {
        free(copy);
        *count = 0;
        return status;
    }
    *sections = copy;
    return C2C_STATUS_OK;
}
