/* network_fuser.c - what was learned as a fuser like any other, and whether samples fit a network.
 */
#include "train/network_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- A fuser ------------------------------------------------------------------------------ */

c2c_status description_copy(json_document **to, const json_document *from, c2c_error *error) {
    buffer text = {0};
    projector_json_write(&text, json_root(from), DTYPE_F32);
    c2c_status status = text.failed
                            ? error_memory(error, text.length, "a projector's description")
                            : json_parse(to, text.data, text.length, json_name(from), error);
    buffer_free(&text);
    return status;
}

/* Whether the file of such a projector holds the temperature. */
static c2c_status has_temperature(const projector_spec *spec, bool *has, c2c_error *error) {
    projector_slots *slots = calloc(1, sizeof *slots);
    if (!slots)
        return error_memory(error, sizeof *slots, "a projector");
    spec->kind->slots(spec, slots);
    *has = slots->gate_temperature;
    free(slots);
    return C2C_STATUS_OK;
}

static c2c_status copy_tensors(const training_network *n, projector *to, int fuser, int index,
                               uint32_t step, c2c_error *error) {
    char name[64];
    void *data;
    bool tempered = false;
    snprintf(name, sizeof name, "projector_%d", index);
    c2c_status status = tensor_memory_new(&to->tensors, name, error);
    for (size_t i = 0; i < n->parameters.tensor_count && !status; i++) {
        const training_tensor *t = &n->tensors[i];
        if (t->fuser != fuser || t->projector != index)
            continue;
        status = tensor_memory_add(to->tensors, t->name, &t->view, &data, error);
        if (!status)
            backend_download(n->inner, data, n->parameters.values + t->offset,
                             (size_t)t->count * sizeof(float));
    }
    if (!status)
        status = has_temperature(&to->spec, &tempered, error);
    if (!status && tempered) {
        float temperature = projector_temperature(&to->spec, step);
        const tensor one = {.type = DTYPE_F32};
        status = tensor_memory_add(to->tensors, "gate_temperature", &one, &data, error);
        if (!status)
            memcpy(data, &temperature, sizeof temperature);
    }
    return status ? status : tensor_memory_finish(to->tensors, error);
}

c2c_status layer_map_copy(layer_map *to, const layer_map *from, c2c_error *error) {
    size_t bytes = (size_t)from->layers * sizeof *to->links;
    *to = *from;
    to->links = malloc(bytes + 1);
    if (!to->links) {
        *to = (layer_map){0};
        return error_memory(error, bytes, "the layer map");
    }
    memcpy(to->links, from->links, bytes);
    return C2C_STATUS_OK;
}

static c2c_status copy_projectors(const training_network *n, c2c_fuser *to, size_t index,
                                  uint32_t step, c2c_error *error) {
    const c2c_fuser *from = &n->learners[index].fuser;
    c2c_status status = C2C_STATUS_OK;
    to->projectors = calloc((size_t)from->projector_count + 1, sizeof *to->projectors);
    if (!to->projectors)
        return error_memory(error, (size_t)from->projector_count * sizeof *to->projectors,
                            "projectors");
    to->projector_count = from->projector_count;
    for (int i = 0; i < from->projector_count && !status; i++) {
        projector *p = &to->projectors[i];
        if (!from->projectors[i].description)
            continue;
        status = description_copy(&p->description, from->projectors[i].description, error);
        if (!status)
            status = projector_spec_parse(&p->spec, p->description, error);
        if (!status)
            status = copy_tensors(n, p, (int)index, i, step, error);
        if (!status)
            status = projector_bind(p, to->backend, error);
        to->parameters += p->parameters;
        to->weight_bytes += p->weight_bytes;
    }
    return status;
}

c2c_status training_network_fuser(const training_network *n, size_t index, uint32_t step,
                                  c2c_fuser **out, c2c_error *error) {
    const c2c_fuser *from = &n->learners[index].fuser;
    c2c_fuser *to = calloc(1, sizeof *to);
    c2c_status status = C2C_STATUS_OK;
    *out = NULL;
    if (!to)
        return error_memory(error, sizeof *to, "a fuser");
    to->backend = n->inner;
    to->folder = string_copy(from->folder);
    if (!to->folder)
        status = error_memory(error, strlen(from->folder), "a name");
    if (!status)
        status = layer_map_copy(&to->map, &from->map, error);
    if (!status)
        status = copy_projectors(n, to, index, step, error);
    if (!status)
        status = fuser_attach(to, from->receiver, from->sharer, error);
    if (status)
        c2c_fuser_close(to);
    else
        *out = to;
    return status;
}

/* ---- Samples ------------------------------------------------------------------------------ */

static c2c_status check_ids(const int32_t *ids, int64_t count, const c2c_model *model,
                            const char *name, c2c_error *error) {
    for (int64_t i = 0; i < count; i++)
        if (ids[i] != C2C_PADDING && (ids[i] < 0 || ids[i] >= model->config.vocabulary))
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "%s: token %lld: id %d is not in the vocabulary of %lld (%s)", name,
                             (long long)i, (int)ids[i], (long long)model->config.vocabulary,
                             model->folder);
    return C2C_STATUS_OK;
}

static c2c_status check_labels(const training_network *n, const training_sample *sample,
                               const char *name, c2c_error *error) {
    for (int64_t i = 0; i < sample->tokens; i++)
        if (sample->labels[i] != LABEL_NONE &&
            (sample->labels[i] < 0 || sample->labels[i] >= n->receiver.config.vocabulary))
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "%s: token %lld: label %d is neither %d nor in the vocabulary of %lld",
                             name, (long long)i, (int)sample->labels[i], LABEL_NONE,
                             (long long)n->receiver.config.vocabulary);
    return C2C_STATUS_OK;
}

static bool has_padding(const int32_t *ids, int64_t start, int64_t count) {
    for (int64_t i = start; i < start + count; i++)
        if (ids[i] == C2C_PADDING)
            return true;
    return false;
}

/* A fused section: sharers that are there, no padding, no longer than its fusers can. */
static c2c_status check_fused(const training_network *n, const training_sample *sample, size_t i,
                              int64_t start, const char *name, c2c_error *error) {
    const c2c_section *section = &sample->sections[i];
    bool padded = has_padding(sample->ids, start, section->length);
    if (section->mask >= INT64_C(1) << n->pair_count)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: section %zu: mask %d selects a sharer that is not there; there are "
                         "%zu",
                         name, i, (int)section->mask, n->pair_count);
    for (size_t s = 0; s < n->pair_count; s++) {
        const c2c_fuser *fuser = &n->learners[s].fuser;
        if (!(section->mask >> s & 1))
            continue;
        padded = padded ||
                 (sample->sharer_ids && has_padding(sample->sharer_ids[s], start, section->length));
        if (fuser->longest_section && section->length > fuser->longest_section)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "%s: section %zu: fuses %lld tokens, but %s has weights for at most "
                             "%lld (max_sequence_length); shorten the samples",
                             name, i, (long long)section->length, fuser->folder,
                             (long long)fuser->longest_section);
    }
    if (padded)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "%s: positions %lld to %lld are fused (mask %d) but hold padding", name,
                         (long long)start, (long long)(start + section->length - 1),
                         (int)section->mask);
    return C2C_STATUS_OK;
}

static c2c_status check_sections(const training_network *n, const training_sample *sample,
                                 const char *name, c2c_error *error) {
    int64_t start = 0;
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < sample->section_count && !status; i++) {
        const c2c_section *section = &sample->sections[i];
        if (section->length < 0 || section->length > sample->tokens - start)
            return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                             "%s: section %zu: length %lld does not fit; %lld of %lld tokens are "
                             "left",
                             name, i, (long long)section->length,
                             (long long)(sample->tokens - start), (long long)sample->tokens);
        if (section->mask > 0 && i + 1 < sample->section_count)
            status = check_fused(n, sample, i, start, name, error);
        start += section->length;
    }
    if (!status && (start != sample->tokens || sample->tokens < 1))
        status = error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                           "%s: the sections hold %lld tokens, the sample %lld", name,
                           (long long)start, (long long)sample->tokens);
    return status;
}

c2c_status training_sample_check(const training_network *n, const training_sample *sample,
                                 const char *name, c2c_error *error) {
    c2c_status status = check_ids(sample->ids, sample->tokens, &n->receiver, name, error);
    for (size_t s = 0; s < n->pair_count && !status; s++)
        status = check_ids(sample->sharer_ids ? sample->sharer_ids[s] : sample->ids, sample->tokens,
                           n->sharers[s], name, error);
    if (!status)
        status = check_labels(n, sample, name, error);
    return status ? status : check_sections(n, sample, name, error);
}
