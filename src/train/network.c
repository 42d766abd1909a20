/* network.c - opens the network: the fusers' weights as f32 in one buffer, stacks of networks that
 * read them there, and the way back into fusers that others can use. */
#include "train/network_parts.h"

#include <math.h>
#include <stdlib.h>

/* Tensors start at multiples of this many floats: a cache line. */
#define TENSOR_ALIGN 16

/* ---- What learns -------------------------------------------------------------------------- */

/* Calls visit for every tensor that learns of one projector; stops when it fails. */
typedef c2c_status (*tensor_visitor)(void *user, const projector_slot *slot, const char *name,
                                     branch which, int index, c2c_error *error);

static c2c_status visit_tensors(const projector_spec *spec, tensor_visitor visit, void *user,
                                c2c_error *error) {
    static const projector_slot gate = {0};
    char name[PROJECTOR_TENSOR_NAME];
    projector_slots *slots = calloc(1, sizeof *slots);
    c2c_status status = C2C_STATUS_OK;
    if (!slots)
        return error_memory(error, sizeof *slots, "a projector");
    spec->kind->slots(spec, slots);
    for (int which = 0; which < BRANCH_COUNT && !status; which++) {
        for (int i = 0; i < slots->count && !status; i++)
            if (which == BRANCH_KEY || !slots->items[i].shared)
                status = visit(user, &slots->items[i],
                               projector_slot_name(name, &slots->items[i], (branch)which),
                               (branch)which, i, error);
        if (spec->use_gates && (which == BRANCH_KEY || !spec->shared_gate) && !status)
            status = visit(user, &gate, projector_gate_name(name, spec, (branch)which),
                           (branch)which, -1, error);
    }
    free(slots);
    return status;
}

/* A walk over all projectors of all fusers. */
typedef struct walk {
    training_network *n;
    int fuser, projector;
    const c2c_pair *pairs; /* where the first weights are */
    size_t count;
} walk;

static c2c_status visit_projectors(walk *w, tensor_visitor visit, c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (w->fuser = 0; w->fuser < (int)w->n->pair_count && !status; w->fuser++) {
        const c2c_fuser *fuser = &w->n->learners[w->fuser].fuser;
        for (w->projector = 0; w->projector < fuser->projector_count && !status; w->projector++)
            if (fuser->projectors[w->projector].description)
                status = visit_tensors(&fuser->projectors[w->projector].spec, visit, w, error);
    }
    return status;
}

/* Counts a tensor, and once there is a list, puts it there. */
static c2c_status list_tensor(void *user, const projector_slot *slot, const char *name,
                              branch which, int index, c2c_error *error) {
    (void)which, (void)error;
    walk *w = user;
    training_parameters *p = &w->n->parameters;
    training_tensor t = {.fuser = w->fuser,
                         .projector = w->projector,
                         .view = {.type = DTYPE_F32, .rank = slot->rank},
                         .offset = p->elements,
                         .gate = index < 0};
    memcpy(t.view.shape, slot->shape, sizeof slot->shape);
    memcpy(t.name, name, sizeof t.name);
    t.count = tensor_elements(&t.view);
    if (w->n->tensors)
        w->n->tensors[w->count] = t;
    w->count++;
    p->parameters += t.count;
    p->elements += (t.count + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    return C2C_STATUS_OK;
}

/* The first weights, from the file or from whoever made the fuser. */
static c2c_status read_tensor(void *user, const projector_slot *slot, const char *name,
                              branch which, int index, c2c_error *error) {
    (void)slot, (void)which, (void)index;
    walk *w = user;
    const training_tensor *t = &w->n->tensors[w->count++];
    const tensor_file *file = w->pairs[w->fuser].fuser->projectors[w->projector].tensors;
    const tensor *view = &tensor_file_find(file, name)->view;
    size_t bytes = (size_t)t->count * sizeof(float);
    float *values = malloc(bytes);
    if (!values)
        return error_memory(error, bytes, "weights");
    bool finite = tensor_convert(values, DTYPE_F32, view, 0, t->count) == t->count;
    for (int64_t i = 0; i < t->count && finite; i++)
        finite = isfinite(values[i]);
    if (finite)
        backend_upload(w->n->inner, w->n->parameters.values + t->offset, values, bytes);
    free(values);
    return finite ? C2C_STATUS_OK
                  : error_set(error, C2C_STATUS_BAD_FILE,
                              "%s: tensor %s: holds a number that is not finite; it cannot be "
                              "trained",
                              tensor_file_path(file), name);
}

/* Networks read weights where they learn. */
static c2c_status bind_tensor(void *user, const projector_slot *slot, const char *name,
                              branch which, int index, c2c_error *error) {
    (void)slot, (void)name, (void)error;
    walk *w = user;
    const training_tensor *t = &w->n->tensors[w->count++];
    projector *p = &w->n->learners[w->fuser].fuser.projectors[w->projector];
    if (index >= 0) {
        p->weights[which][index] = w->n->parameters.values + t->offset;
        p->types[index] = DTYPE_F32;
    }
    return C2C_STATUS_OK;
}

static c2c_status take_parameters(training_network *n, const c2c_pair *pairs, c2c_error *error) {
    walk w = {.n = n, .pairs = pairs};
    training_parameters *p = &n->parameters;
    void *memory;
    c2c_status status = visit_projectors(&w, list_tensor, error);
    if (status)
        return status;
    n->tensors = calloc(w.count + 1, sizeof *n->tensors);
    if (!n->tensors)
        return error_memory(error, w.count * sizeof *n->tensors, "a list of tensors");
    *p = (training_parameters){.backend = n->inner, .tensors = n->tensors, .tensor_count = w.count};
    w.count = 0;
    if ((status = visit_projectors(&w, list_tensor, error)))
        return status;
    size_t bytes = (size_t)p->elements * sizeof(float);
    if ((status = backend_alloc_whole(n->inner, &memory, bytes, error)))
        return status;
    p->values = memory;
    if ((status = backend_alloc_whole(n->inner, &memory, bytes, error)))
        return status;
    p->gradients = memory;
    w.count = 0;
    status = visit_projectors(&w, read_tensor, error);
    w.count = 0;
    return status ? status : visit_projectors(&w, bind_tensor, error);
}

/* ---- Learners ----------------------------------------------------------------------------- */

static c2c_status check_learning(const projector *p, c2c_error *error) {
    const projector_spec *spec = &p->spec;
    if (!(spec->learning.dropout >= 0 && spec->learning.dropout < 1))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: dropout: expected a number from 0 to below 1, found %g",
                         tensor_file_path(p->tensors), (double)spec->learning.dropout);
    if (spec->learning.soft_gates &&
        !(spec->start.temperature > 0 && spec->learning.last_temperature > 0))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected temperatures above 0, found %g (initial_temperature) and %g "
                         "(final_temperature)",
                         tensor_file_path(p->tensors), (double)spec->start.temperature,
                         (double)spec->learning.last_temperature);
    return C2C_STATUS_OK;
}

/* All of a projector but its tensors, with tables for the weights that learn. */
static c2c_status copy_projector(projector *to, const projector *from, c2c_error *error) {
    c2c_status status;
    if (!from->tensors)
        return C2C_STATUS_OK;
    if ((status = check_learning(from, error)) ||
        (status = description_copy(&to->description, from->description, error)))
        return status;
    to->spec = from->spec;
    to->slot_count = from->slot_count;
    memcpy(to->shared, from->shared, sizeof to->shared);
    for (int which = 0; which < BRANCH_COUNT; which++) {
        to->gate_logits[which] = 1; /* no network is left out for its gate */
        to->weights[which] = calloc((size_t)from->slot_count + 1, sizeof(void *));
        if (!to->weights[which])
            return error_memory(error, (size_t)from->slot_count * sizeof(void *), "a projector");
    }
    return status;
}

static c2c_status copy_fuser(learner *l, const c2c_fuser *from, c2c_error *error) {
    c2c_fuser *fuser = &l->fuser;
    *fuser = (c2c_fuser){.backend = from->backend,
                         .sharer_layers = from->sharer_layers,
                         .by_section = from->by_section,
                         .longest_section = from->longest_section,
                         .receiver = from->receiver,
                         .sharer = from->sharer};
    fuser->folder = string_copy(from->folder);
    fuser->projectors = calloc((size_t)from->projector_count + 1, sizeof *fuser->projectors);
    if (!fuser->folder || !fuser->projectors)
        return error_memory(error, (size_t)from->projector_count * sizeof *fuser->projectors,
                            "projectors");
    fuser->projector_count = from->projector_count;
    c2c_status status = layer_map_copy(&fuser->map, &from->map, error);
    for (int i = 0; i < from->projector_count && !status; i++)
        status = copy_projector(&fuser->projectors[i], &from->projectors[i], error);
    return status;
}

static const float *gate_of(const training_network *n, size_t f, int projector, branch which) {
    const c2c_fuser *fuser = &n->learners[f].fuser;
    char name[PROJECTOR_TENSOR_NAME];
    projector_gate_name(name, &fuser->projectors[projector].spec, which);
    for (size_t i = 0; i < n->parameters.tensor_count; i++) {
        const training_tensor *t = &n->tensors[i];
        if (t->fuser == (int)f && t->projector == projector && strcmp(t->name, name) == 0)
            return n->parameters.values + t->offset;
    }
    return NULL;
}

/* Tables of gates beside the tables of weights that stacks have. */
static c2c_status gate_tables(training_network *n, size_t f, c2c_error *error) {
    learner *l = &n->learners[f];
    int32_t groups = 0;
    l->gates = calloc((size_t)l->fuser.stack_count + 1, sizeof *l->gates);
    l->stack_groups = calloc((size_t)l->fuser.stack_count + 1, sizeof *l->stack_groups);
    if (!l->gates || !l->stack_groups)
        return error_memory(error, (size_t)l->fuser.stack_count * sizeof(void *), "a fuser");
    for (int k = 0; k < l->fuser.stack_count; k++) {
        const projector_stack *stack = &l->fuser.stacks[k];
        l->stack_groups[k] = groups;
        groups += stack->groups;
        if (!stack->spec.use_gates)
            continue;
        l->gates[k] = calloc((size_t)stack->groups, sizeof **l->gates);
        if (!l->gates[k])
            return error_memory(error, (size_t)stack->groups * sizeof(void *), "a fuser");
        for (int32_t p = 0; p < stack->groups; p++)
            l->gates[k][p] =
                gate_of(n, f, l->fuser.map.links[stack->layers[p]].projector, stack->branches[p]);
    }
    return C2C_STATUS_OK;
}

static c2c_status build_learners(training_network *n, c2c_error *error) {
    size_t most = 1;
    c2c_status status = C2C_STATUS_OK;
    for (size_t f = 0; f < n->pair_count && !status; f++) {
        learner *l = &n->learners[f];
        status = fuser_stacks_build(&l->fuser, error);
        if (!status)
            status = gate_tables(n, f, error);
        if (status)
            return status;
        for (int k = 0; k < l->fuser.stack_count; k++)
            if ((size_t)l->fuser.stacks[k].groups > most)
                most = (size_t)l->fuser.stacks[k].groups;
    }
    n->tables = malloc((PROJECTOR_TABLES + 5) * most * sizeof *n->tables);
    return n->tables ? status : error_memory(error, most * sizeof *n->tables, "a fuser's tables");
}

/* ---- Opening ------------------------------------------------------------------------------ */

c2c_status training_network_open(training_network **out, const c2c_model *receiver,
                                 const c2c_pair *pairs, size_t pair_count,
                                 const training_options *options, c2c_error *error) {
    *out = NULL;
    if (pair_count < 1 || pair_count > C2C_MAX_SHARERS)
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT, "expected 1 to %d sharers, found %zu",
                         C2C_MAX_SHARERS, pair_count);
    if (receiver->layers[0].q.type == DTYPE_I8)
        return error_set(
            error, C2C_STATUS_INVALID_ARGUMENT,
            "%s: its weights are 8-bit integers, through which no gradient flows; open "
            "the receiver with weights in f32, f16 or bf16",
            receiver->folder);
    training_network *n = calloc(1, sizeof *n);
    if (!n)
        return error_memory(error, sizeof *n, "a training network");
    n->inner = receiver->backend;
    n->pair_count = pair_count;
    n->receiver = *receiver;
    if (options)
        n->options = *options;
    c2c_status status = tape_open(&n->tape, n->inner, error);
    if (!status && !(n->plan.memory = arena_new(1 << 16)))
        status = error_memory(error, 1 << 16, "a training network");
    for (size_t f = 0; f < pair_count && !status; f++) {
        n->sharers[f] = pairs[f].sharer;
        status = copy_fuser(&n->learners[f], pairs[f].fuser, error);
    }
    if (!status)
        status = take_parameters(n, pairs, error);
    if (!status)
        status = build_learners(n, error);
    if (status) {
        training_network_close(n);
        return status;
    }
    n->receiver.backend = tape_backend(n->tape);
    *out = n;
    return status;
}

static void learner_free(learner *l) {
    for (int k = 0; l->gates && k < l->fuser.stack_count; k++)
        free(l->gates[k]);
    free(l->gates);
    free(l->stack_groups);
    if (l->fuser.stacks)
        fuser_stacks_free(&l->fuser);
    for (int i = 0; l->fuser.projectors && i < l->fuser.projector_count; i++) {
        json_close(l->fuser.projectors[i].description);
        for (int which = 0; which < BRANCH_COUNT; which++)
            free(l->fuser.projectors[i].weights[which]);
    }
    free(l->fuser.projectors);
    layer_map_deinit(&l->fuser.map);
    free(l->fuser.folder);
}

void training_network_close(training_network *n) {
    if (!n)
        return;
    if (n->tape)
        step_memory_release(n);
    for (size_t f = 0; f < n->pair_count; f++)
        learner_free(&n->learners[f]);
    backend_release(n->inner, n->parameters.values);
    backend_release(n->inner, n->parameters.gradients);
    arena_free(n->plan.memory);
    free(n->plan.integers);
    free(n->tensors);
    free(n->tables);
    tape_close(n->tape);
    free(n);
}

/* ---- What others ask ---------------------------------------------------------------------- */

const training_parameters *training_network_parameters(const training_network *n) {
    return &n->parameters;
}

void training_network_clear_gradients(training_network *n) {
    n->cleared = true;
}

float training_network_temperature(const training_network *n, uint32_t step) {
    for (size_t f = 0; f < n->pair_count; f++)
        for (int k = 0; k < n->learners[f].fuser.stack_count; k++) {
            const projector_stack *stack = &n->learners[f].fuser.stacks[k];
            if (stack_noise(stack) > 0)
                return projector_temperature(&stack->spec, step);
        }
    return 1;
}

void training_network_gates(const training_network *n, int64_t *open, int64_t *count) {
    *open = *count = 0;
    for (size_t i = 0; i < n->parameters.tensor_count; i++) {
        float logit;
        if (!n->tensors[i].gate)
            continue;
        backend_download(n->inner, &logit, n->parameters.values + n->tensors[i].offset,
                         sizeof logit);
        *open += logit > 0;
        ++*count;
    }
}

void training_network_set_limit(training_network *n, size_t bytes) {
    n->limit = bytes;
}

size_t training_network_bytes(const training_network *n) {
    return (size_t)n->parameters.elements * 2 * sizeof(float) + n->memory.bytes +
           tape_bytes(n->tape);
}

/* A fuser of its own is made of the weights, and written file by file. */
double training_network_saving(const training_network *n) {
    return (double)n->parameters.elements * sizeof(float) + (16 << 20);
}
