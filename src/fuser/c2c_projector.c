/* c2c_projector.c - C2CProjector (the paper's projector; docs/MATH.md has the formulas), and
 * AblationProjector, which is the same network with parts left out.
 *
 *     ffn(x) = x + W2 gelu(W1 rmsnorm(x))
 *     e   = ffn(in(concat(sharer, receiver)))        mlp1
 *     p   = proj_out(ffn(... ffn(e)))                proj_mlp2, num_layers - 2 blocks
 *     w   = sigmoid(scalar_head(ffn(e)))             scalar_mlp2, one weight per kv head
 *     out = receiver + w * p                         where the gate is open
 *
 * Without scalars w = 1, without gates they are open, and without the receiver (pure C2C) it is
 * left out of the input and of the sum. While it learns, what a block adds to x is dropped out, and
 * gates are soft. */
#include "fuser/fuser.h"

/* Slots in the order of list_slots; those of the scalars come last, after the blocks. */
enum {
    IN_WEIGHT,
    IN_BIAS,
    MLP1, /* norm, w1, w2 */
    PROJ_OUT_WEIGHT = MLP1 + 3,
    PROJ_OUT_BIAS,
    PROJ_MLP2, /* norm, w1, w2 of each block */
};

static int scalar_mlp2_slot(const projector_spec *spec) {
    return PROJ_MLP2 + 3 * (spec->num_layers - 2);
}

#define NORM_EPSILON 1e-6f
#define MAX_BLOCKS   32

/* ---- What the files hold ------------------------------------------------------------------ */

/* Columns of in.weight that read the receiver. */
static int64_t receiver_inputs(const projector_spec *spec) {
    return spec->use_receiver ? projector_receiver_features(spec) : 0;
}

static c2c_status configure(projector_spec *spec, const json_value *args, const char *where,
                            c2c_error *error) {
    static const int64_t usual_size = 1024, usual_layers = 3, usual_steps = 1929;
    static const double usual_temperature = 1, usual_last = 0.001, usual_dropout = 0.1;
    static const bool no = false;
    projector_learning *learning = &spec->learning;
    int64_t layers;
    double temperature, last, dropout;
    c2c_status status;
    spec->use_scalars = spec->use_gates = spec->use_receiver = true;
    if ((status = json_get_integer(args, "hidden_dim", &usual_size, 1, 1 << 20, &spec->hidden,
                                   where, error)) ||
        (status = json_get_integer(args, "intermediate_dim", &usual_size, 1, 1 << 20,
                                   &spec->intermediate, where, error)) ||
        (status = json_get_integer(args, "num_layers", &usual_layers, 3, 2 + MAX_BLOCKS, &layers,
                                   where, error)) ||
        (status = json_get_real(args, "initial_temperature", &usual_temperature, &temperature,
                                where, error)) ||
        (status = json_get_real(args, "final_temperature", &usual_last, &last, where, error)) ||
        (status = json_get_real(args, "dropout", &usual_dropout, &dropout, where, error)) ||
        (status = json_get_integer(args, "anneal_steps", &usual_steps, 0, INT32_MAX,
                                   &learning->anneal_steps, where, error)) ||
        (status = json_get_bool(args, "zero_init", &no, &spec->start.zero_output, where, error)))
        return status;
    spec->start.temperature = (float)temperature;
    learning->last_temperature = (float)last;
    learning->dropout = (float)dropout;
    learning->soft_gates = true;
    spec->num_layers = (int)layers;
    return C2C_STATUS_OK;
}

/* Level 1 leaves out the scalars, 2 the gates too, 3 the receiver too; 4 the gates alone. The
 * single switches count at level 0. */
static c2c_status configure_ablation(projector_spec *spec, const json_value *args,
                                     const char *where, c2c_error *error) {
    static const int64_t none = 0;
    static const bool yes = true;
    int64_t level;
    bool scalars, gates, receiver;
    c2c_status status;
    if ((status = configure(spec, args, where, error)) ||
        (status = json_get_integer(args, "ablation_level", &none, 0, 4, &level, where, error)) ||
        (status = json_get_bool(args, "use_scalar_weights", &yes, &scalars, where, error)) ||
        (status = json_get_bool(args, "use_gates", &yes, &gates, where, error)) ||
        (status = json_get_bool(args, "use_target", &yes, &receiver, where, error)))
        return status;
    spec->use_scalars = level == 0 ? scalars : level == 4;
    spec->use_gates = spec->learning.soft_gates = level == 0 ? gates : level == 1;
    spec->use_receiver = level == 0 ? receiver : level != 3;
    spec->ignores_receiver = !spec->use_receiver;
    return C2C_STATUS_OK;
}

static void describe(const projector_spec *spec, buffer *text) {
    buffer_printf(text, "hidden %lld, intermediate %lld, %d layers%s%s%s", (long long)spec->hidden,
                  (long long)spec->intermediate, spec->num_layers,
                  spec->use_scalars ? "" : ", no scalar weights",
                  spec->use_gates ? "" : ", no gates",
                  spec->use_receiver ? "" : ", receiver replaced");
}

static void block_slots(projector_slots *slots, const char *name, int block, int64_t hidden,
                        int64_t intermediate) {
    projector_slot_add(slots, hidden, 0, "%s.blocks.%d.norm.weight", name, block)->value = 1;
    projector_slot_add(slots, intermediate, hidden, "%s.blocks.%d.w1.weight", name, block);
    projector_slot_add(slots, hidden, intermediate, "%s.blocks.%d.w2.weight", name, block);
}

/* A linear and its bias. */
static void linear_slots(projector_slots *slots, const char *name, int64_t out, int64_t in,
                         float bound) {
    projector_slot_add(slots, out, in, "%s.weight", name)->bound = bound;
    projector_slot_add(slots, out, 0, "%s.bias", name)->bound = bound;
}

static void list_slots(const projector_spec *spec, projector_slots *slots) {
    int64_t h = spec->hidden, features = projector_receiver_features(spec);
    int64_t inputs = projector_sharer_features(spec) + receiver_inputs(spec);
    slots->gate_temperature = spec->use_gates;
    linear_slots(slots, "in", h, inputs, linear_bound(inputs));
    block_slots(slots, "mlp1", 0, h, spec->intermediate);
    linear_slots(slots, "proj_out", features, h, spec->start.zero_output ? 0 : linear_bound(h));
    for (int i = 0; i < spec->num_layers - 2; i++)
        block_slots(slots, "proj_mlp2", i, h, spec->intermediate);
    if (!spec->use_scalars)
        return;
    block_slots(slots, "scalar_mlp2", 0, h, h);
    linear_slots(slots, "scalar_head", spec->receiver_heads, h, linear_bound(h));
}

/* ---- The computation ---------------------------------------------------------------------- */

static int64_t middle_features(const projector_spec *spec) {
    return max_i64(spec->hidden, spec->intermediate);
}

/* e, its normalised or transformed copy, the middle of a block, scalars, projection */
static int64_t scratch_floats(const projector_spec *spec) {
    return 2 * spec->hidden + middle_features(spec) + spec->receiver_heads +
           projector_receiver_features(spec);
}

typedef struct forward_state {
    const projector_stack *stack;
    const projector_call *call;
    float *const *e, *const *t, *const *middle, *const *scalars, *const *projected;
} forward_state;

static void linear(const forward_state *s, float *const *y, const float *const *x, int slot,
                   bool has_bias, int64_t in, int64_t out) {
    projector_linear(s->stack, s->call, y, x, slot, has_bias, in, out);
}

/* e = in(concat(sharer, receiver)), or of the sharer alone */
static void input_linear(const forward_state *s) {
    const projector_stack *stack = s->stack;
    projector_linear_concat(stack, s->call, s->e, s->call->sharer, s->call->receiver, IN_WEIGHT,
                            projector_sharer_features(&stack->spec), receiver_inputs(&stack->spec),
                            stack->spec.hidden, s->call->tables + (int64_t)5 * stack->groups);
}

/* y = x + W2 gelu(W1 rmsnorm(x)); y may be x or t. */
static void feed_forward(const forward_state *s, float *const *y, const float *const *x, int slot,
                         int64_t intermediate) {
    const projector_stack *stack = s->stack;
    const projector_call *call = s->call;
    int64_t h = stack->spec.hidden;
    const float *const *t = (const float *const *)s->t;
    linear_args args = projector_linear_args(stack, call, s->middle, x, slot + 1, h, intermediate);
    args.prepare = LINEAR_PREPARE_NORM;
    args.norm = stack->tables[slot];
    args.norm_type = stack->types[slot];
    args.epsilon = NORM_EPSILON;
    args.prepared = s->t;
    op_linear(call->backend, &args);
    /* Into x itself where nothing comes in between. */
    bool add = y == (float *const *)x && !call->training;
    args = projector_linear_args(stack, call, add ? y : s->t, (const float *const *)s->middle,
                                 slot + 2, intermediate, h);
    args.prepare = LINEAR_PREPARE_ACTIVATE;
    args.activation = ACTIVATION_GELU;
    args.prepared = s->middle;
    args.accumulate = add;
    op_linear(call->backend, &args);
    if (add)
        return;
    if (call->training)
        projector_dropout(call->backend, call->training, s->t, stack->groups, slot,
                          stack->spec.learning.dropout, call->rows, h);
    op_add(call->backend, &(add_args){.y = y,
                                      .a = x,
                                      .b = t,
                                      .groups = stack->groups,
                                      .rows = call->rows,
                                      .features = h,
                                      .y_stride = h,
                                      .a_stride = h,
                                      .b_stride = h});
}

static void forward(const projector_stack *stack, const projector_call *call) {
    const projector_spec *spec = &stack->spec;
    int64_t h = spec->hidden, features = projector_receiver_features(spec);
    float *scratch = call->scratch;
    const forward_state s = {
        .stack = stack,
        .call = call,
        .e = projector_buffers(stack, call, 0, &scratch, h),
        .t = projector_buffers(stack, call, 1, &scratch, h),
        .middle = projector_buffers(stack, call, 2, &scratch, middle_features(spec)),
        .scalars = projector_buffers(stack, call, 3, &scratch, spec->receiver_heads),
        .projected = projector_buffers(stack, call, 4, &scratch, features),
    };
    const float *const *e = (const float *const *)s.e;
    input_linear(&s);
    feed_forward(&s, s.e, e, MLP1, spec->intermediate);
    if (spec->use_scalars) {
        int slot = scalar_mlp2_slot(spec);
        feed_forward(&s, s.t, e, slot, h);
        linear(&s, s.scalars, (const float *const *)s.t, slot + 3, true, h, spec->receiver_heads);
    }
    for (int i = 0; i < spec->num_layers - 2; i++)
        feed_forward(&s, s.e, e, PROJ_MLP2 + 3 * i, spec->intermediate);
    linear(&s, s.projected, e, PROJ_OUT_WEIGHT, true, h, features);
    projector_mix(stack, call, (const float *const *)s.projected,
                  spec->use_scalars ? (const float *const *)s.scalars : NULL);
}

const projector_kind c2c_projector_kind = {
    .name = "C2CProjector",
    .configure = configure,
    .describe = describe,
    .slots = list_slots,
    .scratch = scratch_floats,
    .forward = forward,
};

const projector_kind ablation_projector_kind = {
    .name = "AblationProjector",
    .configure = configure_ablation,
    .describe = describe,
    .slots = list_slots,
    .scratch = scratch_floats,
    .forward = forward,
};
