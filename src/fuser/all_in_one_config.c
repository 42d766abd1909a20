/* all_in_one_config.c - what the files of an AllInOneProjector say: its options (SPEC section 3),
 * checked, and the tensors that they ask for. What is computed stands in all_in_one_projector.c.
 *
 * Names of modules are numbers: a layer's linear, its norm, its activation and its dropout count
 * one each where they are there. */
#include "fuser/all_in_one.h"

#define MAX_LAYERS 16

/* ---- Options ------------------------------------------------------------------------------ */

/* Index `value` of one of `count` names; `fallback` when the key is absent. */
static c2c_status get_choice(const json_value *args, const char *key, const char *const *names,
                             int32_t count, int32_t fallback, int32_t *value, const char *where,
                             c2c_error *error) {
    const char *text;
    c2c_status status = json_get_string(args, key, &names[fallback], &text, where, error);
    if (status)
        return status;
    for (*value = 0; *value < count; (*value)++)
        if (strcmp(text, names[*value]) == 0)
            return C2C_STATUS_OK;
    buffer known = {0};
    for (int32_t i = 0; i < count; i++)
        buffer_printf(&known, "%s%s", i ? ", " : "", names[i]);
    status =
        error_set(error, C2C_STATUS_UNSUPPORTED, "%s: %s: \"%s\" is not supported; supported: %s",
                  where, key, text, known.data ? known.data : "");
    buffer_free(&known);
    return status;
}

static c2c_status get_flag(const json_value *args, const char *key, bool fallback, int32_t *value,
                           const char *where, c2c_error *error) {
    bool flag = false;
    c2c_status status = json_get_bool(args, key, &fallback, &flag, where, error);
    *value = flag;
    return status;
}

static c2c_status get_size(const json_value *args, const char *key, int64_t fallback, int64_t most,
                           int32_t *value, const char *where, c2c_error *error) {
    int64_t size = 0;
    c2c_status status = json_get_integer(args, key, &fallback, 1, most, &size, where, error);
    *value = (int32_t)size;
    return status;
}

static const char *const granularity_names[GRANULARITY_COUNT] = {
    [GRANULARITY_SCALAR] = "scalar", [GRANULARITY_TOKEN] = "token",
    [GRANULARITY_HEAD] = "head",     [GRANULARITY_HEAD_MERGED] = "head_merged",
    [GRANULARITY_VALUE] = "value",
};

static const char *const feature_names[] = {
    "target_key",           "target_value",           "both",
    "target_projected_key", "target_projected_value", "target_projected_both"};
static const int32_t feature_sets[] = {
    1 << FEATURE_TARGET_KEY,
    1 << FEATURE_TARGET_VALUE,
    1 << FEATURE_TARGET_KEY | 1 << FEATURE_TARGET_VALUE,
    1 << FEATURE_TARGET_KEY | 1 << FEATURE_PROJECTED_KEY,
    1 << FEATURE_TARGET_VALUE | 1 << FEATURE_PROJECTED_VALUE,
    (1 << FEATURE_COUNT) - 1,
};

/* The options of one kind of logits and their keys. `refused` is the granularity that generated
 * ones cannot have: the Python original fails on it, as on parameters with head_merged. */
typedef struct logits_keys {
    const char *granularity, *generated, *features;
    int32_t refused;
} logits_keys;

static c2c_status get_logits(const json_value *args, const logits_keys *keys,
                             all_in_one_logits *logits, const char *where, c2c_error *error) {
    int32_t features;
    c2c_status status;
    if ((status = get_choice(args, keys->granularity, granularity_names, GRANULARITY_COUNT,
                             GRANULARITY_SCALAR, &logits->granularity, where, error)) ||
        (status = get_flag(args, keys->generated, false, &logits->generated, where, error)) ||
        (status = get_choice(args, keys->features, feature_names, 6, 0, &features, where, error)))
        return status;
    int32_t refused = logits->generated ? keys->refused : GRANULARITY_HEAD_MERGED;
    if (logits->granularity == refused)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: %s \"%s\" with %s %s has no meaning in the original, which fails on "
                         "it; train with another granularity",
                         where, keys->granularity, granularity_names[refused], keys->generated,
                         logits->generated ? "true" : "false");
    logits->features = logits->generated ? feature_sets[features] : 0;
    return C2C_STATUS_OK;
}

static c2c_status get_numbers(projector_spec *spec, const json_value *args, const char *where,
                              c2c_error *error) {
    static const double usual_dropout = 0.1, usual_temperature = 0.005, usual_start = 1, zero = 0,
                        usual_last = 0.01;
    static const int64_t usual_steps = 1360;
    static const bool yes = true;
    all_in_one_options *o = &spec->all_in_one;
    projector_learning *learning = &spec->learning;
    double dropout, temperature, gate, weight, start, last;
    int32_t hidden, layers;
    c2c_status status;
    if ((status = get_size(args, "hidden_dim", 512, 1 << 20, &hidden, where, error)) ||
        (status = get_size(args, "num_layers", 2, MAX_LAYERS, &layers, where, error)) ||
        (status =
             get_size(args, "weight_hidden_dim", 1024, 1 << 20, &o->weight_hidden, where, error)) ||
        (status =
             get_size(args, "max_sequence_length", 8192, 1 << 24, &o->max_length, where, error)) ||
        (status = json_get_real(args, "dropout", &usual_dropout, &dropout, where, error)) ||
        (status = json_get_real(args, "scalar_temperature", &usual_temperature, &temperature, where,
                                error)) ||
        (status = json_get_real(args, "gate_init_value", &zero, &gate, where, error)) ||
        (status = json_get_real(args, "weight_init_value", &zero, &weight, where, error)) ||
        (status = json_get_real(args, "initial_temperature", &usual_start, &start, where, error)) ||
        (status = json_get_real(args, "final_temperature", &usual_last, &last, where, error)) ||
        (status = json_get_integer(args, "anneal_steps", &usual_steps, 0, INT32_MAX,
                                   &learning->anneal_steps, where, error)) ||
        (status = json_get_bool(args, "use_gumbel", &yes, &learning->soft_gates, where, error)))
        return status;
    learning->last_temperature = (float)last;
    learning->draw_by_element = true;
    spec->start = (projector_start){.gate = (float)gate,
                                    .weight = (float)weight,
                                    .temperature = (float)start};
    o->scalar_temperature = (float)temperature;
    if (!(o->scalar_temperature > 0))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: scalar_temperature: expected a number above 0, found %g", where,
                         temperature);
    if (!(dropout >= 0 && dropout <= 1))
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: dropout: expected a number from 0 to 1, found %g", where, dropout);
    o->dropout = dropout > 0;
    learning->dropout = (float)dropout;
    spec->hidden = hidden;
    spec->num_layers = layers;
    return C2C_STATUS_OK;
}

/* Whether a row's logits depend on its place in the section, or on other rows. */
static bool depend_on_section(const all_in_one_logits *logits) {
    return (logits->granularity == GRANULARITY_SCALAR) == (logits->generated != 0);
}

static bool indexed_by_place(const all_in_one_logits *logits) {
    return !logits->generated && logits->granularity != GRANULARITY_SCALAR;
}

/* What the rest of the room needs to know of the options. */
static void derive(projector_spec *spec, bool add_self, bool preserve) {
    all_in_one_options *o = &spec->all_in_one;
    o->residual = o->residual && (int64_t)spec->sharer_heads * spec->sharer_dim ==
                                     (int64_t)spec->receiver_heads * spec->receiver_dim;
    spec->use_scalars = true;
    spec->use_gates = spec->shared_gate =
        !o->gate.generated && o->gate.granularity == GRANULARITY_SCALAR;
    spec->use_receiver = add_self;
    spec->scale_receiver = add_self && preserve;
    spec->by_section = depend_on_section(&o->gate) || depend_on_section(&o->weight);
    if (indexed_by_place(&o->gate) || indexed_by_place(&o->weight))
        spec->longest_section = o->max_length;
}

static c2c_status configure(projector_spec *spec, const json_value *args, const char *where,
                            c2c_error *error) {
    static const char *const activation_names[] = {"gelu", "relu", "silu"};
    static const int32_t activations[] = {ACTIVATION_GELU, ACTIVATION_RELU, ACTIVATION_SILU};
    static const logits_keys gate = {"gate_granularity", "gate_depends_on_input",
                                     "gate_input_features", GRANULARITY_TOKEN};
    static const logits_keys weight = {"weight_granularity", "weight_depends_on_input",
                                       "weight_input_features", GRANULARITY_COUNT};
    all_in_one_options *o = &spec->all_in_one;
    int32_t activation, add_self, preserve;
    c2c_status status;
    if ((status = get_numbers(spec, args, where, error)) ||
        (status =
             get_choice(args, "activation", activation_names, 3, 0, &activation, where, error)) ||
        (status = get_flag(args, "use_layer_norm", true, &o->layer_norm, where, error)) ||
        (status = get_flag(args, "use_residual", true, &o->residual, where, error)) ||
        (status = get_flag(args, "use_swiglu", false, &o->swiglu, where, error)) ||
        (status = get_flag(args, "use_concat", false, &o->concat, where, error)) ||
        (status = get_flag(args, "add_self", true, &add_self, where, error)) ||
        (status = get_flag(args, "preserve_target_weight", true, &preserve, where, error)) ||
        (status = get_logits(args, &gate, &o->gate, where, error)) ||
        (status = get_logits(args, &weight, &o->weight, where, error)))
        return status;
    o->activation = activations[activation];
    derive(spec, add_self, preserve);
    return C2C_STATUS_OK;
}

static void describe_logits(const char *what, const all_in_one_logits *logits, buffer *text) {
    buffer_printf(text, ", %s %s", what, granularity_names[logits->granularity]);
    for (size_t i = 0; i < sizeof feature_sets / sizeof *feature_sets; i++)
        if (logits->features == feature_sets[i])
            buffer_printf(text, " from %s", feature_names[i]);
}

static void describe(const projector_spec *spec, buffer *text) {
    const all_in_one_options *o = &spec->all_in_one;
    buffer_printf(text, "hidden %lld, %d layers", (long long)spec->hidden, spec->num_layers);
    describe_logits("gates", &o->gate, text);
    describe_logits("weights", &o->weight, text);
    if (o->weight.generated)
        buffer_printf(text, ", weight hidden %d", (int)o->weight_hidden);
    buffer_printf(text, "%s%s%s%s", o->swiglu ? ", SwiGLU" : "", o->concat ? ", concat" : "",
                  o->residual ? ", residual" : "", spec->use_receiver ? "" : ", receiver replaced");
    if (spec->longest_section)
        buffer_printf(text, ", sections of at most %lld", (long long)spec->longest_section);
}

/* ---- Slots -------------------------------------------------------------------------------- */

int all_in_one_layer_slot(const projector_spec *spec, int layer) {
    const all_in_one_options *o = &spec->all_in_one;
    return layer * (2 + (o->swiglu ? 2 : 0) + (o->layer_norm ? 2 : 0));
}

int all_in_one_combiner_slot(const projector_spec *spec) {
    return all_in_one_layer_slot(spec, spec->num_layers - 1) + 2;
}

int all_in_one_weight_slot(const projector_spec *spec) {
    return all_in_one_combiner_slot(spec) + (spec->all_in_one.concat ? 2 : 0);
}

int all_in_one_gate_slot(const projector_spec *spec) {
    int weights = spec->all_in_one.weight.generated ? 2 + GENERATOR_SLOTS : 1;
    return all_in_one_weight_slot(spec) + weights;
}

int64_t all_in_one_outputs(const projector_spec *spec, const all_in_one_logits *logits) {
    switch (logits->granularity) {
    case GRANULARITY_HEAD_MERGED: return spec->receiver_heads;
    case GRANULARITY_VALUE: return spec->receiver_dim;
    default: return 1;
    }
}

int64_t all_in_one_inputs(const projector_spec *spec, const all_in_one_logits *logits) {
    bool merged =
        logits->granularity == GRANULARITY_TOKEN || logits->granularity == GRANULARITY_HEAD_MERGED;
    return feature_count(logits) * spec->receiver_dim * (merged ? spec->receiver_heads : 1);
}

static void add_linear(projector_slots *slots, bool shared, const char *name, int64_t out,
                       int64_t in) {
    projector_slot_add(slots, out, in, "%s.weight", name)->shared = shared;
    projector_slot *bias = projector_slot_add(slots, out, 0, "%s.bias", name);
    bias->shared = shared;
    bias->bound = linear_bound(in);
}

/* Module `index` of a list; rows of `in` elements, or a norm where it is 0. */
static void add_module(projector_slots *slots, bool shared, const char *list, int index,
                       const char *part, int64_t out, int64_t in) {
    projector_slot *weight =
        projector_slot_add(slots, out, in, "%s.layers.%d%s.weight", list, index, part);
    projector_slot *bias =
        projector_slot_add(slots, out, 0, "%s.layers.%d%s.bias", list, index, part);
    weight->shared = bias->shared = shared;
    if (in)
        bias->bound = linear_bound(in);
    else
        weight->value = 1;
}

static void add_projection(const projector_spec *spec, projector_slots *slots) {
    const all_in_one_options *o = &spec->all_in_one;
    int64_t in = (int64_t)spec->sharer_heads * spec->sharer_dim;
    int64_t out = (int64_t)spec->receiver_heads * spec->receiver_dim;
    int module = 0;
    for (int i = 0; i + 1 < spec->num_layers; i++, in = spec->hidden) {
        add_module(slots, false, "projection", module, o->swiglu ? ".gate_proj" : "", spec->hidden,
                   in);
        if (o->swiglu)
            add_module(slots, false, "projection", module, ".up_proj", spec->hidden, in);
        module++;
        if (o->layer_norm)
            add_module(slots, false, "projection", module++, "", spec->hidden, 0);
        module += !o->swiglu; /* the activation */
        module += o->dropout;
    }
    add_module(slots, false, "projection", module, "", out, in);
    if (o->concat)
        add_linear(slots, false, "combiner", out, 2 * out);
}

/* linear, norm, GELU, dropout (whatever the rate), linear */
static void add_generator(projector_slots *slots, const char *name, int64_t in, int64_t hidden,
                          int64_t out) {
    add_module(slots, true, name, 0, "", hidden, in);
    add_module(slots, true, name, 1, "", hidden, 0);
    add_module(slots, true, name, 4, "", out, hidden);
}

/* Logits that are parameters. */
static void add_parameter(const projector_spec *spec, projector_slots *slots, bool shared,
                          const char *name, const all_in_one_logits *logits) {
    static const int ranks[GRANULARITY_COUNT] = {
        [GRANULARITY_TOKEN] = 1, [GRANULARITY_HEAD] = 2, [GRANULARITY_VALUE] = 3};
    projector_slot *slot = projector_slot_add(slots, 1, 0, "%s", name);
    slot->shared = shared;
    slot->value = shared ? spec->start.gate : spec->start.weight;
    slot->rank = ranks[logits->granularity];
    slot->shape[0] = spec->all_in_one.max_length;
    slot->shape[1] = spec->receiver_heads;
    slot->shape[2] = spec->receiver_dim;
}

static void list_slots(const projector_spec *spec, projector_slots *slots) {
    const all_in_one_options *o = &spec->all_in_one;
    slots->gate_temperature = true;
    add_projection(spec, slots);
    C2C_ASSERT(slots->count == all_in_one_weight_slot(spec));
    if (o->weight.generated) {
        add_linear(slots, false, "weight_head", all_in_one_outputs(spec, &o->weight),
                   o->weight_hidden);
        add_generator(slots, "weight_hidden", all_in_one_inputs(spec, &o->weight), o->weight_hidden,
                      o->weight_hidden);
    } else {
        add_parameter(spec, slots, false, "weight", &o->weight);
    }
    C2C_ASSERT(slots->count == all_in_one_gate_slot(spec));
    if (o->gate.generated)
        add_generator(slots, "gate_generator", all_in_one_inputs(spec, &o->gate), spec->hidden,
                      all_in_one_outputs(spec, &o->gate));
    else if (o->gate.granularity != GRANULARITY_SCALAR)
        add_parameter(spec, slots, true, "gate_logit", &o->gate);
}

const projector_kind all_in_one_projector_kind = {
    .name = "AllInOneProjector",
    .whole_layer = true,
    .configure = configure,
    .describe = describe,
    .slots = list_slots,
    .scratch = all_in_one_scratch,
    .forward = all_in_one_forward,
    .summary = all_in_one_summary,
    .survey = all_in_one_survey,
};
