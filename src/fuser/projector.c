/* projector.c - the registry of projector kinds, and one projector's files as checked weights. */
#include "fuser/fuser.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const projector_kind *const kinds[] = {
    &c2c_projector_kind,
    &ablation_projector_kind,
    &all_in_one_projector_kind,
};

static c2c_status find_kind(const projector_kind **kind, const char *name, const char *where,
                            c2c_error *error) {
    buffer known = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            *kind = kinds[i];
            buffer_free(&known);
            return C2C_STATUS_OK;
        }
        buffer_printf(&known, "%s%s", i ? ", " : "", kinds[i]->name);
    }
    c2c_status status =
        error_set(error, C2C_STATUS_UNSUPPORTED, "%s: class \"%s\" is not supported; supported: %s",
                  where, name, known.data ? known.data : "");
    buffer_free(&known);
    return status;
}

bool projector_specs_equal(const projector_spec *a, const projector_spec *b) {
    return a->kind == b->kind && a->sharer_heads == b->sharer_heads &&
           a->sharer_dim == b->sharer_dim && a->receiver_heads == b->receiver_heads &&
           a->receiver_dim == b->receiver_dim && a->hidden == b->hidden &&
           a->intermediate == b->intermediate && a->num_layers == b->num_layers &&
           a->use_scalars == b->use_scalars && a->use_gates == b->use_gates &&
           a->shared_gate == b->shared_gate && a->use_receiver == b->use_receiver &&
           a->scale_receiver == b->scale_receiver && a->by_section == b->by_section &&
           a->longest_section == b->longest_section &&
           a->start.temperature == b->start.temperature &&
           a->learning.dropout == b->learning.dropout &&
           a->learning.last_temperature == b->learning.last_temperature &&
           a->learning.anneal_steps == b->learning.anneal_steps &&
           a->learning.soft_gates == b->learning.soft_gates &&
           memcmp(&a->all_in_one, &b->all_in_one, sizeof a->all_in_one) == 0;
}

float linear_bound(int64_t inputs) {
    return (float)(1 / sqrt((double)inputs));
}

projector_slot *projector_slot_add(projector_slots *slots, int64_t rows, int64_t columns,
                                   const char *name, ...) {
    C2C_ASSERT(slots->count < PROJECTOR_MAX_SLOTS);
    projector_slot *slot = &slots->items[slots->count++];
    *slot = (projector_slot){.rank = columns ? 2 : 1,
                             .shape = {rows, columns},
                             .bound = columns ? linear_bound(columns) : 0};
    va_list arguments;
    va_start(arguments, name);
    int n = vsnprintf(slot->name, sizeof slot->name, name, arguments);
    va_end(arguments);
    C2C_ASSERT(n > 0 && (size_t)n < sizeof slot->name);
    return slot;
}

/* ---- projector_<i>.json ------------------------------------------------------------------- */

c2c_status projector_spec_parse(projector_spec *spec, const json_document *document,
                                c2c_error *error) {
    const char *where = json_name(document), *class;
    const json_value *root = json_root(document);
    *spec = (projector_spec){0};
    if (root->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected an object, found %s", where,
                         json_type_name(root->type));
    c2c_status status = json_get_string(root, "class", NULL, &class, where, error);
    if (status || (status = find_kind(&spec->kind, class, where, error)))
        return status;
    const json_value *args = json_get(root, "init_args");
    if (!args || args->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: init_args: expected an object, found %s",
                         where, args ? json_type_name(args->type) : "nothing");
    int64_t sharer_heads, sharer_dim, receiver_heads, receiver_dim;
    if ((status = json_get_integer(args, "source_num_heads", NULL, 1, 4096, &sharer_heads, where,
                                   error)) ||
        (status = json_get_integer(args, "source_dim", NULL, 1, 4096, &sharer_dim, where, error)) ||
        (status = json_get_integer(args, "target_num_heads", NULL, 1, 4096, &receiver_heads, where,
                                   error)) ||
        (status = json_get_integer(args, "target_dim", NULL, 1, 4096, &receiver_dim, where, error)))
        return status;
    spec->sharer_heads = (int)sharer_heads;
    spec->sharer_dim = (int)sharer_dim;
    spec->receiver_heads = (int)receiver_heads;
    spec->receiver_dim = (int)receiver_dim;
    return spec->kind->configure(spec, args, where, error);
}

/* ---- Tensors ------------------------------------------------------------------------------ */

static const char *const branch_names[BRANCH_COUNT] = {"key", "value"};

const char *projector_slot_name(char name[PROJECTOR_TENSOR_NAME], const projector_slot *slot,
                                branch which) {
    snprintf(name, PROJECTOR_TENSOR_NAME, "%s%s%s", slot->shared ? "" : branch_names[which],
             slot->shared ? "" : "_", slot->name);
    return name;
}

const char *projector_gate_name(char name[PROJECTOR_TENSOR_NAME], const projector_spec *spec,
                                branch which) {
    snprintf(name, PROJECTOR_TENSOR_NAME, "%s%sgate_logit",
             spec->shared_gate ? "" : branch_names[which], spec->shared_gate ? "" : "_");
    return name;
}

static bool shape_fits(const tensor *view, const projector_slot *slot) {
    if (slot->rank == 0)
        return tensor_elements(view) == 1;
    bool fits = view->rank == slot->rank;
    for (int i = 0; i < slot->rank && fits; i++)
        fits = view->shape[i] == slot->shape[i];
    return fits;
}

static c2c_status bind_slot(projector *p, backend *b, const projector_slot *slot, int index,
                            branch which, c2c_error *error) {
    char name[PROJECTOR_TENSOR_NAME], expected[TENSOR_SHAPE_TEXT], found[TENSOR_SHAPE_TEXT];
    const char *path = tensor_file_path(p->tensors);
    if (slot->shared && which != BRANCH_KEY)
        return C2C_STATUS_OK;
    projector_slot_name(name, slot, which);
    const named_tensor *tensor_found = tensor_file_find(p->tensors, name);
    if (!tensor_found)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: tensor %s is missing; a %s needs it",
                         path, name, p->spec.kind->name);
    const tensor *view = &tensor_found->view;
    const tensor wanted = {.rank = slot->rank,
                           .shape = {slot->shape[0], slot->shape[1], slot->shape[2]}};
    if (!shape_fits(view, slot))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor %s: expected shape %s (from projector_<i>.json), found %s",
                         path, name, tensor_shape_text(&wanted, expected),
                         tensor_shape_text(view, found));
    if (!dtype_is_weight(view->type))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor %s: expected f32, f16 or bf16, found %s", path, name,
                         dtype_name(view->type));
    /* Both branches run in one grouped call, which has one dtype. */
    if (which == BRANCH_KEY)
        p->types[index] = view->type;
    else if (p->types[index] != view->type)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor %s: expected %s as in key_%s, found %s", path, name,
                         dtype_name(p->types[index]), slot->name, dtype_name(view->type));
    p->shared[index] = slot->shared;
    if (slot->rank == 2)
        p->longest_row = max_i64(p->longest_row, slot->shape[1]);
    return backend_import(b, &p->weights[which][index], view->data, tensor_bytes(view), error);
}

static c2c_status bind_gate(projector *p, branch which, c2c_error *error) {
    char name[PROJECTOR_TENSOR_NAME], shape[TENSOR_SHAPE_TEXT];
    p->gate_logits[which] = 1;
    if (!p->spec.use_gates)
        return C2C_STATUS_OK;
    projector_gate_name(name, &p->spec, which);
    const char *path = tensor_file_path(p->tensors);
    const named_tensor *found = tensor_file_find(p->tensors, name);
    if (!found)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: tensor %s is missing; a %s needs it",
                         path, name, p->spec.kind->name);
    if (!dtype_is_weight(found->view.type) || tensor_elements(&found->view) != 1)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: tensor %s: expected one f32, f16 or bf16 number, found %s %s", path,
                         name, dtype_name(found->view.type),
                         tensor_shape_text(&found->view, shape));
    p->gate_logits[which] = tensor_get_f32(&found->view, 0);
    return C2C_STATUS_OK;
}

/* A tensor that nothing reads means that the file is not what projector_<i>.json says. */
static c2c_status refuse_strangers(const projector *p, const projector_slots *slots,
                                   c2c_error *error) {
    for (size_t i = 0; i < tensor_file_count(p->tensors); i++) {
        const char *name = tensor_file_at(p->tensors, i)->name;
        char known_name[PROJECTOR_TENSOR_NAME];
        bool known = slots->gate_temperature && strcmp(name, "gate_temperature") == 0;
        for (int which = 0; which < BRANCH_COUNT && !known; which++) {
            known = p->spec.use_gates &&
                    strcmp(name, projector_gate_name(known_name, &p->spec, which)) == 0;
            for (int s = 0; s < slots->count && !known; s++)
                known = strcmp(name, projector_slot_name(known_name, &slots->items[s], which)) == 0;
        }
        if (!known)
            return error_set(error, C2C_STATUS_BAD_FILE,
                             "%s: tensor %s: a %s as projector_<i>.json describes it has no such "
                             "tensor",
                             tensor_file_path(p->tensors), name, p->spec.kind->name);
    }
    return C2C_STATUS_OK;
}

c2c_status projector_bind(projector *p, backend *b, c2c_error *error) {
    projector_slots *slots = calloc(1, sizeof *slots);
    c2c_status status = C2C_STATUS_OK;
    if (!slots)
        return error_memory(error, sizeof *slots, "a projector");
    p->spec.kind->slots(&p->spec, slots);
    p->slot_count = slots->count;
    for (int which = 0; which < BRANCH_COUNT && !status; which++) {
        p->weights[which] = calloc((size_t)slots->count, sizeof *p->weights[which]);
        if (!p->weights[which]) {
            status = error_memory(error, (size_t)slots->count * sizeof(void *), "a projector");
            break;
        }
        for (int i = 0; i < slots->count && !status; i++)
            status = bind_slot(p, b, &slots->items[i], i, which, error);
        if (!status)
            status = bind_gate(p, which, error);
    }
    if (!status)
        status = refuse_strangers(p, slots, error);
    for (size_t i = 0; i < tensor_file_count(p->tensors); i++) {
        const tensor *view = &tensor_file_at(p->tensors, i)->view;
        p->parameters += tensor_elements(view);
        p->weight_bytes += (int64_t)tensor_bytes(view);
    }
    free(slots);
    return status;
}

static c2c_status make_panels(projector *p, backend *b, linear_math math, int64_t fuser_bytes,
                              const projector_slots *slots, branch which, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    p->panels[which] = calloc((size_t)slots->count, sizeof *p->panels[which]);
    if (!p->panels[which])
        return error_memory(error, (size_t)slots->count * sizeof(void *), "a projector");
    for (int i = 0; i < slots->count && !status; i++) {
        const int64_t *shape = slots->items[i].shape;
        const void *weight = p->weights[which][i];
        if (weight && slots->items[i].rank == 2 && p->types[i] == DTYPE_BF16 &&
            backend_wants_panels(b, math, shape[0], shape[1], fuser_bytes))
            status = backend_make_panels(b, &p->panels[which][i], weight, shape[0], shape[1],
                                         shape[1], error);
    }
    return status;
}

c2c_status projector_panels_make(projector *p, backend *b, linear_math math, int64_t fuser_bytes,
                                 c2c_error *error) {
    projector_slots *slots = calloc(1, sizeof *slots);
    c2c_status status = C2C_STATUS_OK;
    if (!slots)
        return error_memory(error, sizeof *slots, "a projector");
    p->spec.kind->slots(&p->spec, slots);
    for (int which = 0; which < BRANCH_COUNT && !status; which++)
        status = make_panels(p, b, math, fuser_bytes, slots, which, error);
    free(slots);
    return status;
}

/* ---- Opening ------------------------------------------------------------------------------ */

c2c_status projector_open(projector *p, backend *b, const char *folder, int index,
                          c2c_error *error) {
    *p = (projector){0};
    char *json = projector_path(folder, index, ".json");
    char *safetensors = projector_path(folder, index, ".safetensors");
    char *pt = projector_path(folder, index, ".pt");
    c2c_status status;
    if (!json || !safetensors || !pt) {
        status = error_memory(error, strlen(folder) + 64, "a file name");
        goto done;
    }
    if ((status = json_open(&p->description, json, error)) ||
        (status = projector_spec_parse(&p->spec, p->description, error)))
        goto done;
    if (!file_exists(safetensors) && !file_exists(pt)) {
        status =
            error_set(error, C2C_STATUS_NOT_FOUND, "%s: no such file, nor %s", safetensors, pt);
        goto done;
    }
    status = tensor_file_open(&p->tensors, file_exists(safetensors) ? safetensors : pt, error);
    if (!status)
        status = projector_bind(p, b, error);
done:
    if (status)
        projector_close(p, b);
    free(json);
    free(safetensors);
    free(pt);
    return status;
}

void projector_close(projector *p, backend *b) {
    for (int which = 0; which < BRANCH_COUNT; which++) {
        for (int i = 0; p->weights[which] && i < p->slot_count; i++)
            backend_release_import(b, p->weights[which][i]);
        for (int i = 0; p->panels[which] && i < p->slot_count; i++)
            backend_release(b, (void *)p->panels[which][i]);
        free(p->weights[which]);
        free(p->panels[which]);
    }
    tensor_file_close(p->tensors);
    json_close(p->description);
    *p = (projector){0};
}
