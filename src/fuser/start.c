/* start.c - the tensors of an untrained projector, as PyTorch starts the same layers (what each
 * slot starts as stands at the slot), drawn from the counter generator. */
#include "fuser/fuser.h"

#include <stdio.h>
#include <stdlib.h>

/* What is drawn, but for the place in the tensor. */
typedef struct drawing {
    random_key key; /* its step has the tensor's name in the upper half */
    float value, bound;
} drawing;

/* FNV-1a (Fowler, Noll, Vo): names, not places in a list, tell tensors apart, so that a kind may
 * list its slots in another order one day and still start the same. */
static uint32_t hash_name(const char *name) {
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

/* Four numbers come from one block: element i from word i % 4 of block i / 4. */
static void draw(float *out, const drawing *d, int64_t count) {
    random_key key = d->key;
    uint32_t bits[4];
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0) {
            key.step = d->key.step | (uint64_t)(i / 4);
            random_block(&key, bits);
        }
        /* The middles of 2^32 equal steps of (-1, 1). */
        double unit = ((double)bits[i % 4] + 0.5) * 0x1p-31 - 1;
        out[i] = (float)(d->value + d->bound * unit);
    }
}

/* What is drawn is rounded to the type that is kept. */
static c2c_status fill(void *data, const char *name, const tensor *view, const drawing *d,
                       c2c_error *error) {
    int64_t count = tensor_elements(view);
    if (view->type == DTYPE_F32) {
        draw(data, d, count);
        return C2C_STATUS_OK;
    }
    float *drawn = malloc((size_t)count * sizeof *drawn + 1);
    if (!drawn)
        return error_memory(error, (size_t)count * sizeof *drawn, "new weights");
    draw(drawn, d, count);
    tensor from = *view;
    from.type = DTYPE_F32;
    from.data = drawn;
    c2c_status status = C2C_STATUS_OK;
    if (tensor_convert(data, view->type, &from, 0, count) < count)
        status = error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                           "tensor %s: a first value of %g does not fit %s; choose bf16 or f32",
                           name, (double)d->value, dtype_name(view->type));
    free(drawn);
    return status;
}

/* One projector on its way. */
typedef struct start {
    tensor_file *file;
    const projector_spec *spec;
    random_key key;
    dtype type;
    c2c_error *error;
} start;

/* More elements than blocks have numbers for are more than any machine holds. */
#define MOST_ELEMENTS (INT64_C(4) << 32)

static c2c_status add(const start *s, const char *name, tensor view, float value, float bound) {
    void *data;
    view.type = s->type;
    c2c_status status = tensor_memory_add(s->file, name, &view, &data, s->error);
    if (status)
        return status;
    if (tensor_elements(&view) > MOST_ELEMENTS)
        return error_memory(s->error, tensor_bytes(&view), name);
    drawing d = {.key = s->key, .value = value, .bound = bound};
    d.key.step = (uint64_t)hash_name(name) << 32;
    return fill(data, name, &view, &d, s->error);
}

static tensor slot_view(const projector_slot *slot) {
    tensor view = {.rank = slot->rank};
    for (int i = 0; i < slot->rank; i++)
        view.shape[i] = slot->shape[i];
    return view;
}

/* A tensor for each branch, or one where both would have the same name. */
static c2c_status add_slot(const start *s, const projector_slot *slot) {
    char name[PROJECTOR_TENSOR_NAME];
    c2c_status status = C2C_STATUS_OK;
    for (int which = 0; which < (slot->shared ? 1 : BRANCH_COUNT) && !status; which++)
        status = add(s, projector_slot_name(name, slot, (branch)which), slot_view(slot),
                     slot->value, slot->bound);
    return status;
}

static c2c_status add_gates(const start *s, const projector_slots *slots) {
    char name[PROJECTOR_TENSOR_NAME];
    c2c_status status = C2C_STATUS_OK;
    int gates = !s->spec->use_gates ? 0 : s->spec->shared_gate ? 1 : BRANCH_COUNT;
    for (int which = 0; which < gates && !status; which++)
        status = add(s, projector_gate_name(name, s->spec, (branch)which), (tensor){0},
                     s->spec->start.gate, 0);
    if (!status && slots->gate_temperature)
        status = add(s, "gate_temperature", (tensor){0}, s->spec->start.temperature, 0);
    return status;
}

c2c_status projector_start_tensors(tensor_file **file, const projector_spec *spec, int index,
                                   uint64_t seed, dtype type, c2c_error *error) {
    start s = {.spec = spec,
               .key = {.seed = seed, .sample = (uint32_t)index, .site = RANDOM_SITE_INITIAL},
               .type = type,
               .error = error};
    char name[64];
    snprintf(name, sizeof name, "projector_%d", index);
    *file = NULL;
    projector_slots *slots = calloc(1, sizeof *slots);
    c2c_status status = slots ? tensor_memory_new(&s.file, name, error)
                              : error_memory(error, sizeof *slots, "a projector");
    if (!status) {
        spec->kind->slots(spec, slots);
        status = add_gates(&s, slots);
    }
    for (int i = 0; !status && i < slots->count; i++)
        status = add_slot(&s, &slots->items[i]);
    if (!status)
        status = tensor_memory_finish(s.file, error);
    if (status)
        tensor_file_close(s.file);
    else
        *file = s.file;
    free(slots);
    return status;
}

bool projector_parameters(const projector_spec *spec, int64_t *parameters) {
    projector_slots *slots = calloc(1, sizeof *slots);
    if (!slots)
        return false;
    spec->kind->slots(spec, slots);
    size_t sum = spec->use_gates ? (spec->shared_gate ? 1 : BRANCH_COUNT) : 0;
    bool fits = true;
    sum += slots->gate_temperature;
    for (int i = 0; i < slots->count && fits; i++) {
        tensor view = slot_view(&slots->items[i]);
        size_t bytes, both;
        view.type = DTYPE_I8; /* a byte for an element */
        fits = tensor_size_checked(&view, &bytes) &&
               size_mul(bytes, slots->items[i].shared ? 1 : BRANCH_COUNT, &both) &&
               size_add(sum, both, &sum) && sum <= INT64_MAX;
    }
    free(slots);
    *parameters = fits ? (int64_t)sum : 0;
    return fits;
}
