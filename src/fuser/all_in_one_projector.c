/* all_in_one_projector.c - AllInOneProjector, computed (docs/MATH.md has the formulas; its options
 * and weights are read in all_in_one_config.c). For X in {key, value}, both in one grouped call:
 *
 *     p   = projection(sharer_X)              an MLP; + sharer_X with residual
 *     p   = combiner(concat(p, receiver_X))   with concat
 *     w   = sigmoid(logits / temperature)     of X: parameters, or made from features of the layer
 *     g   = 1 if logit > 0, else 0            one for both X: likewise
 *     out = a * receiver_X + g * w * p        a = 1 - w, 1 or 0
 *
 * Features are rows of heads, [tokens, heads, features * D]: seen as one row per token, or as one
 * per head, they need no other layout. Logits of granularity scalar are made from the mean over
 * the whole section, which the survey computes. Networks are counted by P, layers by P / 2. */
#include "fuser/all_in_one.h"

#define NORM_EPSILON      1e-5f
#define GENERATOR_DROPOUT 0.1f /* whatever the rate elsewhere */

typedef const float *const *rows_in;

/* Tables and scratch of one call that are not taken yet. */
typedef struct room {
    const void **tables;
    float *floats;
} room;

typedef struct forward_state {
    const projector_stack *stack;
    const projector_spec *spec;
    const projector_call *call;
    room room;
    int32_t networks, layers;
    int64_t features;  /* of a receiver row */
    rows_in projected; /* [P], or NULL */
} forward_state;

/* ---- Room --------------------------------------------------------------------------------- */

static const void **take_table(forward_state *s, int32_t groups) {
    const void **table = s->room.tables;
    s->room.tables += groups;
    C2C_ASSERT(s->room.tables - s->call->tables <= (int64_t)PROJECTOR_TABLES * s->networks);
    return table;
}

/* A table of buffers of `floats` floats. */
static float *const *take_buffers(forward_state *s, int32_t groups, int64_t floats) {
    float **buffers = (float **)take_table(s, groups);
    for (int32_t p = 0; p < groups; p++, s->room.floats += floats)
        buffers[p] = s->room.floats;
    return buffers;
}

/* The same pointers, `offset` bytes further on. */
static const void *const *moved_table(forward_state *s, const void *const *table, int32_t groups,
                                      int64_t offset) {
    const void **moved = take_table(s, groups);
    for (int32_t p = 0; p < groups; p++)
        moved[p] = (const char *)table[p] + offset;
    return moved;
}

/* The pointer of its layer for each network. */
static const void *const *by_network(forward_state *s, const void *const *layers) {
    const void **table = take_table(s, s->networks);
    for (int32_t p = 0; p < s->networks; p++)
        table[p] = layers[p / 2];
    return table;
}

/* ---- Sizes -------------------------------------------------------------------------------- */

/* Rows per token that logits are made from: one per head where each has its own. (The mean of a
 * section is one row for all tokens.) */
static int64_t rows_per_token(const projector_spec *spec, const all_in_one_logits *logits) {
    bool by_head =
        logits->granularity == GRANULARITY_HEAD || logits->granularity == GRANULARITY_VALUE;
    return by_head ? spec->receiver_heads : 1;
}

/* A generator's input, its hidden layers and what it makes, for one token. */
static int64_t generator_floats(const projector_spec *spec, const all_in_one_logits *logits,
                                int64_t hidden) {
    if (!logits->generated)
        return 0;
    int64_t features = feature_count(logits) * spec->receiver_heads * spec->receiver_dim;
    return features +
           rows_per_token(spec, logits) * (2 * hidden + all_in_one_outputs(spec, logits));
}

/* Of a network: three hidden rows of the projection, its result, the combined one, and logits. A
 * layer's room is shared by its two networks. */
int64_t all_in_one_scratch(const projector_spec *spec) {
    const all_in_one_options *o = &spec->all_in_one;
    int64_t features = (int64_t)spec->receiver_heads * spec->receiver_dim;
    int64_t layer = generator_floats(spec, &o->gate, spec->hidden) +
                    generator_floats(spec, &o->weight, o->weight_hidden);
    return 3 * spec->hidden + 3 * features + (layer + 1) / 2;
}

static bool needs_mean(const all_in_one_logits *logits) {
    return logits->generated && logits->granularity == GRANULARITY_SCALAR;
}

/* Of two networks: for gates and for weights a mean and what is made of it, one gate, two weights.
 */
int64_t all_in_one_summary(const projector_spec *spec) {
    const all_in_one_options *o = &spec->all_in_one;
    int64_t floats = 0;
    if (needs_mean(&o->gate))
        floats += all_in_one_inputs(spec, &o->gate) + 1;
    if (needs_mean(&o->weight))
        floats += all_in_one_inputs(spec, &o->weight) + 2;
    return (floats + 1) / 2;
}

/* ---- Linears and norms -------------------------------------------------------------------- */

/* y = x W^T + b with W of a slot and b of the next one. */
static void linear(const forward_state *s, int32_t groups, float *const *y, rows_in x, int slot,
                   int64_t rows, int64_t in, int64_t out) {
    const projector_stack *stack = s->stack;
    op_linear(s->call->backend, &(linear_args){.y = y,
                                               .x = x,
                                               .w = stack->tables[slot],
                                               .b = stack->tables[slot + 1],
                                               .panels = stack->panels[slot],
                                               .groups = groups,
                                               .w_type = stack->types[slot],
                                               .b_type = stack->types[slot + 1],
                                               .math = s->call->math,
                                               .rows = rows,
                                               .in = in,
                                               .out = out,
                                               .y_stride = out,
                                               .x_stride = in,
                                               .w_stride = in});
}

static void layernorm(const forward_state *s, int32_t groups, float *const *y, int slot,
                      int64_t rows, int64_t features) {
    const projector_stack *stack = s->stack;
    op_layernorm(s->call->backend, &(layernorm_args){.y = y,
                                                     .x = (rows_in)y,
                                                     .w = stack->tables[slot],
                                                     .b = stack->tables[slot + 1],
                                                     .groups = groups,
                                                     .w_type = stack->types[slot],
                                                     .b_type = stack->types[slot + 1],
                                                     .rows = rows,
                                                     .features = features,
                                                     .y_stride = features,
                                                     .x_stride = features,
                                                     .epsilon = NORM_EPSILON});
}

/* y = f(y), or f(y) * up */
static void activate(const forward_state *s, int32_t groups, float *const *y, rows_in up,
                     activation f, int64_t rows, int64_t features) {
    op_activate(s->call->backend, &(activate_args){.y = y,
                                                   .x = (rows_in)y,
                                                   .up = up,
                                                   .groups = groups,
                                                   .activation = f,
                                                   .rows = rows,
                                                   .features = features,
                                                   .y_stride = features,
                                                   .x_stride = features,
                                                   .up_stride = features});
}

/* Over `rows` rows of y, which are the call's rows or several for each of them. */
static void dropout(const forward_state *s, int32_t groups, float *const *y, int slot, float rate,
                    int64_t rows, int64_t features) {
    int64_t calls = min_i64(rows, s->call->rows); /* the mean of a section is one row */
    if (s->call->training)
        projector_dropout(s->call->backend, s->call->training, y, groups, slot, rate, calls,
                          rows / calls * features);
}

/* ---- The projection ----------------------------------------------------------------------- */

/* y = projection layer i of x: a linear or SwiGLU, the norm, the activation. */
static void inner_layer(const forward_state *s, int i, float *const *y, float *const *up, rows_in x,
                        int64_t in) {
    const all_in_one_options *o = &s->spec->all_in_one;
    int64_t rows = s->call->rows, h = s->spec->hidden;
    int slot = all_in_one_layer_slot(s->spec, i);
    linear(s, s->networks, y, x, slot, rows, in, h);
    if (o->swiglu) {
        linear(s, s->networks, up, x, slot + 2, rows, in, h);
        activate(s, s->networks, y, (rows_in)up, ACTIVATION_SILU, rows, h);
    }
    if (o->layer_norm)
        layernorm(s, s->networks, y, slot + (o->swiglu ? 4 : 2), rows, h);
    if (!o->swiglu)
        activate(s, s->networks, y, NULL, (activation)o->activation, rows, h);
    dropout(s, s->networks, y, slot, s->spec->learning.dropout, rows, h);
}

/* combiner(concat(x, receiver)) */
static rows_in combine(forward_state *s, rows_in x) {
    float *const *y = take_buffers(s, s->networks, s->call->rows * s->features);
    const void **tables = take_table(s, 2 * s->networks);
    projector_linear_concat(s->stack, s->call, y, x, s->call->receiver,
                            all_in_one_combiner_slot(s->spec), s->features, s->features,
                            s->features, tables);
    return (rows_in)y;
}

static void project(forward_state *s) {
    const all_in_one_options *o = &s->spec->all_in_one;
    int64_t rows = s->call->rows, h = s->spec->hidden;
    int64_t in = (int64_t)s->spec->sharer_heads * s->spec->sharer_dim;
    int last = s->spec->num_layers - 1;
    float *const *wide[3], *const *y = take_buffers(s, s->networks, rows * s->features);
    for (int i = 0; i < 3; i++)
        wide[i] = take_buffers(s, s->networks, rows * h);
    rows_in x = s->call->sharer;
    for (int i = 0; i < last; i++, in = h) {
        inner_layer(s, i, wide[i % 2], wide[2], x, in);
        x = (rows_in)wide[i % 2];
    }
    linear(s, s->networks, y, x, all_in_one_layer_slot(s->spec, last), rows, in, s->features);
    if (o->residual)
        op_add(s->call->backend, &(add_args){.y = y,
                                             .a = (rows_in)y,
                                             .b = s->call->sharer,
                                             .groups = s->networks,
                                             .rows = rows,
                                             .features = s->features,
                                             .y_stride = s->features,
                                             .a_stride = s->features,
                                             .b_stride = s->features});
    s->projected = o->concat ? combine(s, (rows_in)y) : (rows_in)y;
}

/* ---- Logits ------------------------------------------------------------------------------- */

/* A table of logits for fuse_mix. */
typedef struct logit_table {
    const void *const *table; /* [P], or NULL */
    dtype type;
    fuse_strides strides;
} logit_table;

static fuse_strides strides_of(const projector_spec *spec, const all_in_one_logits *logits) {
    int64_t heads = spec->receiver_heads, dim = spec->receiver_dim;
    switch (logits->granularity) {
    case GRANULARITY_TOKEN: return (fuse_strides){.row = 1};
    case GRANULARITY_HEAD:
    case GRANULARITY_HEAD_MERGED: return (fuse_strides){.row = heads, .head = 1};
    case GRANULARITY_VALUE: return (fuse_strides){.row = heads * dim, .head = dim, .element = 1};
    default: return (fuse_strides){0};
    }
}

/* The features of each layer beside each other for every head: [L][N * heads, features * D]. */
static rows_in gather_features(forward_state *s, const all_in_one_logits *logits) {
    int64_t dim = s->spec->receiver_dim, width = feature_count(logits) * dim, at = 0;
    int64_t rows = s->call->rows * s->spec->receiver_heads;
    rows_in all = (rows_in)take_buffers(s, s->layers, rows * width);
    float **to = (float **)take_table(s, s->layers);
    const float **from = (const float **)take_table(s, s->layers);
    for (int f = 0; f < FEATURE_COUNT; f++) {
        if (!(logits->features >> f & 1))
            continue;
        rows_in source = f < FEATURE_PROJECTED_KEY ? s->call->receiver : s->projected;
        for (int32_t i = 0; i < s->layers; i++) {
            from[i] = source[2 * i + f % 2];
            to[i] = (float *)all[i] + at;
        }
        op_copy_rows(s->call->backend, &(copy_rows_args){.y = (void *const *)to,
                                                         .x = (const void *const *)from,
                                                         .groups = s->layers,
                                                         .rows = rows,
                                                         .features = dim,
                                                         .y_stride = width,
                                                         .x_stride = dim});
        at += dim;
    }
    return all;
}

/* y = linear(gelu(norm(linear(x)))) for each layer. */
static void generate(forward_state *s, float *const *y, rows_in x, int slot, int64_t rows,
                     int64_t in, int64_t hidden, int64_t out) {
    float *const *middle = take_buffers(s, s->layers, rows * hidden);
    linear(s, s->layers, middle, x, slot + GENERATOR_IN, rows, in, hidden);
    layernorm(s, s->layers, middle, slot + GENERATOR_NORM, rows, hidden);
    activate(s, s->layers, middle, NULL, ACTIVATION_GELU, rows, hidden);
    dropout(s, s->layers, middle, slot, GENERATOR_DROPOUT, rows, hidden);
    linear(s, s->layers, y, (rows_in)middle, slot + GENERATOR_OUT, rows, hidden, out);
}

/* Rows that the block's logits are made from. */
static int64_t generator_rows(const forward_state *s, const all_in_one_logits *logits) {
    bool scalar = logits->granularity == GRANULARITY_SCALAR;
    return scalar ? 1 : s->call->rows * rows_per_token(s->spec, logits);
}

/* Gates [L][rows, outputs] into `y`, of features x. */
static void generate_gates(forward_state *s, float *const *y, rows_in x) {
    const all_in_one_logits *gate = &s->spec->all_in_one.gate;
    generate(s, y, x, all_in_one_gate_slot(s->spec), generator_rows(s, gate),
             all_in_one_inputs(s->spec, gate), s->spec->hidden, all_in_one_outputs(s->spec, gate));
}

/* Logits of weights [P][rows, outputs] into `y`, of features x. */
static void generate_weights(forward_state *s, float *const *y, rows_in x) {
    const all_in_one_options *o = &s->spec->all_in_one;
    int slot = all_in_one_weight_slot(s->spec);
    int64_t rows = generator_rows(s, &o->weight), hidden = o->weight_hidden;
    float *const *shared = take_buffers(s, s->layers, rows * hidden);
    generate(s, shared, x, slot + 2, rows, all_in_one_inputs(s->spec, &o->weight), hidden, hidden);
    rows_in both = (rows_in)by_network(s, (const void *const *)shared);
    linear(s, s->networks, y, both, slot, rows, hidden, all_in_one_outputs(s->spec, &o->weight));
}

/* Parameters: those of the block's place in the section. */
static logit_table parameters(forward_state *s, const all_in_one_logits *logits, int slot,
                              int32_t groups) {
    logit_table t = {.type = s->stack->types[slot], .strides = strides_of(s->spec, logits)};
    t.table = moved_table(s, s->stack->tables[slot], groups,
                          s->call->first * t.strides.row * (int64_t)dtype_size(t.type));
    return t;
}

/* ---- The section's summary ---------------------------------------------------------------- */

/* Where a section's means are and what is made of them, in call->summary. */
typedef struct summary_tables {
    float *const *gate_mean, *const *gate;     /* [L] */
    float *const *weight_mean, *const *weight; /* [L], [P] */
} summary_tables;

/* Tables of a summary, which is cut like scratch. */
static summary_tables cut_summary(forward_state *s) {
    const all_in_one_options *o = &s->spec->all_in_one;
    float *scratch = s->room.floats;
    summary_tables t = {0};
    s->room.floats = s->call->summary;
    if (needs_mean(&o->gate)) {
        t.gate_mean = take_buffers(s, s->layers, all_in_one_inputs(s->spec, &o->gate));
        t.gate = take_buffers(s, s->layers, 1);
    }
    if (needs_mean(&o->weight)) {
        t.weight_mean = take_buffers(s, s->layers, all_in_one_inputs(s->spec, &o->weight));
        t.weight = take_buffers(s, s->networks, 1);
    }
    s->room.floats = scratch;
    return t;
}

/* Adds this block's part to a mean over the heads and tokens of the section. */
static void add_to_mean(forward_state *s, const all_in_one_logits *logits, float *const *mean) {
    int64_t heads = s->spec->receiver_heads, width = all_in_one_inputs(s->spec, logits);
    op_sum_rows(s->call->backend,
                &(sum_rows_args){.y = mean,
                                 .x = gather_features(s, logits),
                                 .groups = s->layers,
                                 .rows = s->call->rows * heads,
                                 .features = width,
                                 .x_stride = width,
                                 .scale = 1.0f / ((float)s->call->section * (float)heads),
                                 .accumulate = s->call->first > 0});
}

static forward_state begin(const projector_stack *stack, const projector_call *call) {
    const projector_spec *spec = &stack->spec;
    return (forward_state){.stack = stack,
                           .spec = spec,
                           .call = call,
                           .room = {call->tables, call->scratch},
                           .networks = stack->groups,
                           .layers = stack->groups / 2,
                           .features = (int64_t)spec->receiver_heads * spec->receiver_dim};
}

/* The room that was asked for must have been enough. */
static void end(const forward_state *s) {
    int64_t room = all_in_one_scratch(s->spec) * s->call->rows * s->networks;
    C2C_ASSERT(s->room.floats - s->call->scratch <= room);
}

void all_in_one_survey(const projector_stack *stack, const projector_call *call) {
    const all_in_one_options *o = &stack->spec.all_in_one;
    forward_state s = begin(stack, call);
    summary_tables t = cut_summary(&s);
    if ((t.gate && reads_projection(&o->gate)) || (t.weight && reads_projection(&o->weight)))
        project(&s);
    if (t.gate)
        add_to_mean(&s, &o->gate, t.gate_mean);
    if (t.weight)
        add_to_mean(&s, &o->weight, t.weight_mean);
    bool last = call->first + call->rows == call->section;
    if (t.gate && last)
        generate_gates(&s, t.gate, (rows_in)t.gate_mean);
    if (t.weight && last)
        generate_weights(&s, t.weight, (rows_in)t.weight_mean);
    end(&s);
}

/* ---- Forward ------------------------------------------------------------------------------ */

static logit_table weight_logits(forward_state *s, const summary_tables *summary) {
    const all_in_one_logits *weight = &s->spec->all_in_one.weight;
    if (!weight->generated)
        return parameters(s, weight, all_in_one_weight_slot(s->spec), s->networks);
    float *const *y = summary->weight;
    if (!y) {
        y = take_buffers(s, s->networks,
                         generator_rows(s, weight) * all_in_one_outputs(s->spec, weight));
        generate_weights(s, y, gather_features(s, weight));
    }
    return (logit_table){(const void *const *)y, DTYPE_F32, strides_of(s->spec, weight)};
}

static logit_table gate_logits(forward_state *s, const summary_tables *summary) {
    const all_in_one_logits *gate = &s->spec->all_in_one.gate;
    logit_table t = {.type = DTYPE_F32, .strides = strides_of(s->spec, gate)};
    if (s->spec->use_gates) {
        /* Of one number: open or closed is the stack's business, unless the gates learn. */
        t.table = s->call->training ? s->call->training->gates : NULL;
        return t;
    }
    if (gate->generated) {
        float *const *y = summary->gate;
        if (!y) {
            y = take_buffers(s, s->layers,
                             generator_rows(s, gate) * all_in_one_outputs(s->spec, gate));
            generate_gates(s, y, gather_features(s, gate));
        }
        t.table = (const void *const *)y;
    } else {
        t = parameters(s, gate, all_in_one_gate_slot(s->spec), s->layers);
    }
    t.table = by_network(s, t.table);
    return t;
}

void all_in_one_forward(const projector_stack *stack, const projector_call *call) {
    const all_in_one_options *o = &stack->spec.all_in_one;
    forward_state s = begin(stack, call);
    summary_tables summary = cut_summary(&s);
    /* Closed networks still scale the receiver's rows, by weights that may need the projection. */
    if (!stack->closed || (!summary.weight && reads_projection(&o->weight)))
        project(&s);
    static const projector_training inference = {0};
    const projector_training *t = call->training ? call->training : &inference;
    logit_table weight = weight_logits(&s, &summary), gate = gate_logits(&s, &summary);
    op_fuse_mix(call->backend,
                &(fuse_mix_args){.y = call->out,
                                 .receiver = stack->spec.use_receiver ? call->receiver : NULL,
                                 .x = stack->closed ? NULL : s.projected,
                                 .w = weight.table,
                                 .gate = gate.table,
                                 .uniforms = t->uniforms,
                                 .groups = stack->groups,
                                 .w_type = weight.type,
                                 .gate_type = gate.type,
                                 .rows = call->rows,
                                 .kv_heads = stack->spec.receiver_heads,
                                 .head_dim = stack->spec.receiver_dim,
                                 .y_stride = s.features,
                                 .receiver_stride = s.features,
                                 .x_stride = s.features,
                                 .w_strides = weight.strides,
                                 .gate_strides = gate.strides,
                                 .uniform_strides = t->uniform_strides,
                                 .temperature = o->scalar_temperature,
                                 .gate_temperature = t->gate_temperature,
                                 .scale_receiver = stack->spec.scale_receiver});
    end(&s);
}
