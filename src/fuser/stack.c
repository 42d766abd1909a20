/* stack.c - sorts a fuser's branches into stacks of equal networks, so that each stack runs as one
 * grouped call. */
#include "fuser/fuser.h"

#include <stdlib.h>

static projector_stack *find_stack(c2c_fuser *fuser, const projector *p, bool closed) {
    for (int i = 0; i < fuser->stack_count; i++) {
        projector_stack *stack = &fuser->stacks[i];
        if (stack->closed == closed && projector_specs_equal(&stack->spec, &p->spec) &&
            memcmp(stack->types, p->types, sizeof stack->types) == 0)
            return stack;
    }
    return NULL;
}

/* A stack with room for every branch of the fuser. */
static c2c_status new_stack(c2c_fuser *fuser, const projector *p, bool closed,
                            projector_stack **out, c2c_error *error) {
    size_t room = (size_t)fuser->map.layers * BRANCH_COUNT;
    projector_stack *stack = &fuser->stacks[fuser->stack_count++];
    *stack = (projector_stack){.spec = p->spec, .closed = closed, .slot_count = p->slot_count};
    memcpy(stack->types, p->types, sizeof stack->types);
    stack->layers = calloc(room, sizeof *stack->layers);
    stack->sharer_layers = calloc(room, sizeof *stack->sharer_layers);
    stack->branches = calloc(room, sizeof *stack->branches);
    bool failed = !stack->layers || !stack->sharer_layers || !stack->branches;
    for (int i = 0; i < p->slot_count && !failed; i++) {
        stack->tables[i] = calloc(room, sizeof *stack->tables[i]);
        failed = !stack->tables[i];
        if (!p->panels[BRANCH_KEY] || !p->panels[BRANCH_KEY][i])
            continue;
        stack->panels[i] = calloc(room, sizeof *stack->panels[i]);
        failed = failed || !stack->panels[i];
    }
    *out = stack;
    return failed ? error_memory(error, room * sizeof(void *), "a fuser's tables") : C2C_STATUS_OK;
}

/* A closed network that starts from nothing writes zeros, whatever the sharer has. */
static bool reads_sharer(const projector_stack *stack) {
    return !stack->closed || stack->spec.use_receiver;
}

static void push_network(projector_stack *stack, const projector *p, int layer, int sharer_layer,
                         branch which) {
    int32_t at = stack->groups++;
    stack->layers[at] = layer;
    stack->sharer_layers[at] = sharer_layer;
    stack->branches[at] = which;
    for (int i = 0; i < p->slot_count; i++) {
        if (p->shared[i] && which != BRANCH_KEY)
            continue;
        int32_t place = p->shared[i] ? at / 2 : at;
        stack->tables[i][place] = p->weights[which][i];
        if (stack->panels[i])
            stack->panels[i][place] = p->panels[which][i];
    }
}

/* A closed branch adds nothing to the receiver's rows, so it has no network, unless it does not
 * start from them as they are: then they become less, or zero. */
static c2c_status place_branch(c2c_fuser *fuser, int layer, branch which, c2c_error *error) {
    const layer_link *link = &fuser->map.links[layer];
    const projector *p = &fuser->projectors[link->projector];
    bool closed = !(p->gate_logits[which] > 0);
    if (closed && p->spec.use_receiver && !p->spec.scale_receiver)
        return C2C_STATUS_OK;
    projector_stack *stack = find_stack(fuser, p, closed);
    c2c_status status = C2C_STATUS_OK;
    if (!stack)
        status = new_stack(fuser, p, closed, &stack, error);
    if (!status)
        push_network(stack, p, layer, link->sharer_layer, which);
    if (!status && reads_sharer(stack) && link->sharer_layer >= fuser->sharer_used)
        fuser->sharer_used = link->sharer_layer + 1;
    return status;
}

c2c_status fuser_stacks_build(c2c_fuser *fuser, c2c_error *error) {
    size_t most = (size_t)fuser->projector_count * 2;
    fuser->stacks = calloc(most, sizeof *fuser->stacks);
    if (!fuser->stacks)
        return error_memory(error, most * sizeof *fuser->stacks, "a fuser's tables");
    c2c_status status = C2C_STATUS_OK;
    fuser->replaces = fuser->map.layers == fuser->receiver->config.layers;
    for (int t = 0; t < fuser->map.layers; t++) {
        const layer_link *link = &fuser->map.links[t];
        if (link->sharer_layer < 0 || !fuser->projectors[link->projector].spec.ignores_receiver)
            fuser->replaces = false;
    }
    for (int t = 0; t < fuser->map.layers && !status; t++)
        for (int which = 0; which < BRANCH_COUNT && !status; which++)
            if (fuser->map.links[t].sharer_layer >= 0)
                status = place_branch(fuser, t, which, error);
    return status;
}

void fuser_stacks_free(c2c_fuser *fuser) {
    for (int i = 0; i < fuser->stack_count; i++) {
        projector_stack *stack = &fuser->stacks[i];
        free(stack->layers);
        free(stack->sharer_layers);
        free(stack->branches);
        for (int j = 0; j < stack->slot_count; j++)
            free(stack->tables[j]), free(stack->panels[j]);
    }
    free(fuser->stacks);
    fuser->stacks = NULL;
    fuser->stack_count = 0;
}
