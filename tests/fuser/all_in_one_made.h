/* all_in_one_made.h - AllInOneProjectors made up for tests: options, the state dict that the Python
 * module of these options would have, and both as files. Names and shapes are written down here a
 * second time, after the module and not after the library. */
#ifndef C2C_TESTS_ALL_IN_ONE_MADE_H
#define C2C_TESTS_ALL_IN_ONE_MADE_H

#include "fuser/all_in_one.h"
#include "support/test.h"

/* ---- Random numbers ----------------------------------------------------------------------- */

/* The splitmix sequence. */
static inline uint64_t made_bits(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline int made_below(uint64_t *state, int n) {
    return (int)(made_bits(state) % (uint64_t)n);
}

static inline float made_float(uint64_t *state) {
    return (float)(made_bits(state) >> 40) * 0x1p-23f - 1;
}

/* ---- Options ------------------------------------------------------------------------------ */

typedef struct made_logits {
    granularity granularity;
    bool generated;
    int features; /* index of made_features */
} made_logits;

typedef struct made_options {
    int sharer_heads, sharer_dim, receiver_heads, receiver_dim;
    int hidden, weight_hidden, layers, max_length;
    const char *activation;
    bool layer_norm, residual, swiglu, concat, dropout, add_self, preserve;
    made_logits gate, weight;
    double temperature;
    dtype type; /* of all weights */
} made_options;

static const char *const made_granularities[] = {"scalar", "token", "head", "head_merged", "value"};
static const char *const made_features[] = {
    "target_key",           "target_value",           "both",
    "target_projected_key", "target_projected_value", "target_projected_both"};
/* Which of target key, target value, projected key, projected value. */
static const bool made_feature_sets[6][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {1, 1, 0, 0},
                                             {1, 0, 1, 0}, {0, 1, 0, 1}, {1, 1, 1, 1}};

static inline int made_feature_count(const made_logits *l) {
    int count = 0;
    for (int i = 0; i < 4; i++)
        count += made_feature_sets[l->features][i];
    return count;
}

/* ---- State dicts -------------------------------------------------------------------------- */

typedef struct made_tensor {
    char name[64];
    int rank;
    int shape[3];
    float *data;
} made_tensor;

typedef struct made_dict {
    made_tensor items[128];
    int count;
} made_dict;

static inline int made_size(const made_tensor *t) {
    int size = 1;
    for (int i = 0; i < t->rank; i++)
        size *= t->shape[i];
    return size;
}

static inline const made_tensor *made_find(const made_dict *d, const char *format, ...)
    C2C_PRINTF(2, 3);
static inline const made_tensor *made_find(const made_dict *d, const char *format, ...) {
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    for (int i = 0; i < d->count; i++)
        if (strcmp(d->items[i].name, name) == 0)
            return &d->items[i];
    return NULL;
}

static inline made_tensor *made_add(made_dict *d, const char *name, int rank, int a, int b, int c) {
    assert_true(d->count < 128);
    made_tensor *t = &d->items[d->count++];
    *t = (made_tensor){.rank = rank, .shape = {a, b, c}};
    snprintf(t->name, sizeof t->name, "%s", name);
    t->data = calloc((size_t)made_size(t), sizeof *t->data);
    assert_non_null(t->data);
    return t;
}

/* NAME.weight and NAME.bias: of a linear, or of a LayerNorm where in is 0. */
static inline void made_module(made_dict *d, const char *name, int out, int in) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    made_add(d, full, in ? 2 : 1, out, in, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    made_add(d, full, 1, out, 0, 0);
}

static inline void made_projection(made_dict *d, const made_options *o, const char *branch) {
    char name[64];
    int module = 0, in = o->sharer_heads * o->sharer_dim;
    for (int i = 0; i < o->layers; i++) {
        bool last = i == o->layers - 1;
        int out = last ? o->receiver_heads * o->receiver_dim : o->hidden;
        if (o->swiglu && !last) {
            snprintf(name, sizeof name, "%s_projection.layers.%d.gate_proj", branch, module);
            made_module(d, name, out, in);
            snprintf(name, sizeof name, "%s_projection.layers.%d.up_proj", branch, module++);
            made_module(d, name, out, in);
        } else {
            snprintf(name, sizeof name, "%s_projection.layers.%d", branch, module++);
            made_module(d, name, out, in);
        }
        if (!last && o->layer_norm) {
            snprintf(name, sizeof name, "%s_projection.layers.%d", branch, module++);
            made_module(d, name, out, 0);
        }
        if (!last)
            module += (o->swiglu ? 0 : 1) + (o->dropout ? 1 : 0);
        in = out;
    }
}

static inline int made_inputs(const made_options *o, const made_logits *l) {
    bool merged = l->granularity == GRANULARITY_TOKEN || l->granularity == GRANULARITY_HEAD_MERGED;
    return made_feature_count(l) * o->receiver_dim * (merged ? o->receiver_heads : 1);
}

static inline int made_outputs(const made_options *o, const made_logits *l) {
    return l->granularity == GRANULARITY_HEAD_MERGED ? o->receiver_heads
           : l->granularity == GRANULARITY_VALUE     ? o->receiver_dim
                                                     : 1;
}

static inline void made_parameter(made_dict *d, const made_options *o, const made_logits *l,
                                  const char *name) {
    static const int ranks[] = {0, 1, 2, 2, 3};
    made_add(d, name, ranks[l->granularity], o->max_length, o->receiver_heads, o->receiver_dim);
}

/* Every tensor of the module, with random numbers of the options' dtype. */
static inline void made_dict_fill(made_dict *d, const made_options *o, uint64_t *random) {
    *d = (made_dict){0};
    int width = o->receiver_heads * o->receiver_dim, hidden = o->weight_hidden;
    made_add(d, "gate_temperature", 0, 0, 0, 0);
    made_projection(d, o, "key");
    made_projection(d, o, "value");
    if (o->concat) {
        made_module(d, "key_combiner", width, 2 * width);
        made_module(d, "value_combiner", width, 2 * width);
    }
    if (o->gate.generated) {
        made_module(d, "gate_generator.layers.0", o->hidden, made_inputs(o, &o->gate));
        made_module(d, "gate_generator.layers.1", o->hidden, 0);
        made_module(d, "gate_generator.layers.4", made_outputs(o, &o->gate), o->hidden);
    } else {
        made_parameter(d, o, &o->gate, "gate_logit");
    }
    if (o->weight.generated) {
        made_module(d, "weight_hidden.layers.0", hidden, made_inputs(o, &o->weight));
        made_module(d, "weight_hidden.layers.1", hidden, 0);
        made_module(d, "weight_hidden.layers.4", hidden, hidden);
        made_module(d, "key_weight_head", made_outputs(o, &o->weight), hidden);
        made_module(d, "value_weight_head", made_outputs(o, &o->weight), hidden);
    } else {
        made_parameter(d, o, &o->weight, "key_weight");
        made_parameter(d, o, &o->weight, "value_weight");
    }
    for (int i = 0; i < d->count; i++) {
        made_tensor *t = &d->items[i];
        /* Linears keep the size of what goes through them: rounding errors stay as they are. */
        float size =
            t->rank == 2 && strstr(t->name, ".weight") ? 1.7f / sqrtf((float)t->shape[1]) : 1;
        for (int j = 0; j < made_size(t); j++) {
            float x = size * made_float(random);
            t->data[j] = o->type == DTYPE_BF16 ? f32_from_bf16(bf16_from_f32(x)) : x;
        }
    }
}

static inline void made_dict_free(made_dict *d) {
    for (int i = 0; i < d->count; i++)
        free(d->items[i].data);
    d->count = 0;
}

/* ---- Files -------------------------------------------------------------------------------- */

static inline const char *made_flag(bool flag) {
    return flag ? "true" : "false";
}

/* FOLDER/projector_INDEX.json; `last_members` stand behind all others: of two equal keys the last
 * one counts, so they can change any option. */
static inline void made_write_json(const char *folder, int index, const made_options *o,
                                   const char *last_members) {
    char name[64], text[4096];
    int n = snprintf(
        text, sizeof text,
        "{\"class\": \"AllInOneProjector\", \"init_args\": {\"source_dim\": %d, "
        "\"source_num_heads\": %d, \"target_dim\": %d, \"target_num_heads\": %d, "
        "\"dtype\": {\"__type__\": \"torch.dtype\", \"value\": \"float32\"}, "
        "\"hidden_dim\": %d, \"weight_hidden_dim\": %d, \"num_layers\": %d, "
        "\"max_sequence_length\": %d, \"activation\": \"%s\", \"use_layer_norm\": %s, "
        "\"use_residual\": %s, \"use_swiglu\": %s, \"use_concat\": %s, \"dropout\": %s, "
        "\"add_self\": %s, \"preserve_target_weight\": %s, \"scalar_temperature\": %g, "
        "\"gate_granularity\": \"%s\", \"gate_depends_on_input\": %s, "
        "\"gate_input_features\": \"%s\", \"weight_granularity\": \"%s\", "
        "\"weight_depends_on_input\": %s, \"weight_input_features\": \"%s\", \"pos_emb\": true%s}}",
        o->sharer_dim, o->sharer_heads, o->receiver_dim, o->receiver_heads, o->hidden,
        o->weight_hidden, o->layers, o->max_length, o->activation, made_flag(o->layer_norm),
        made_flag(o->residual), made_flag(o->swiglu), made_flag(o->concat),
        o->dropout ? "0.1" : "0.0", made_flag(o->add_self), made_flag(o->preserve), o->temperature,
        made_granularities[o->gate.granularity], made_flag(o->gate.generated),
        made_features[o->gate.features], made_granularities[o->weight.granularity],
        made_flag(o->weight.generated), made_features[o->weight.features], last_members);
    assert_true(n > 0 && (size_t)n < sizeof text);
    snprintf(name, sizeof name, "projector_%d.json", index);
    test_file_write(folder, name, text, (size_t)n);
}

/* FOLDER/projector_INDEX.safetensors, all tensors of one dtype. */
static inline void made_write_tensors(const char *folder, int index, const made_dict *d,
                                      dtype type) {
    buffer header = {0}, data = {0}, all = {0};
    buffer_append_char(&header, '{');
    for (int i = 0; i < d->count; i++) {
        const made_tensor *t = &d->items[i];
        buffer_printf(&header, "%s\"%s\": {\"dtype\": \"%s\", \"shape\": [", i ? "," : "", t->name,
                      type == DTYPE_BF16 ? "BF16" : "F32");
        for (int r = 0; r < t->rank; r++)
            buffer_printf(&header, "%s%d", r ? "," : "", t->shape[r]);
        buffer_printf(&header, "], \"data_offsets\": [%zu,", data.length);
        for (int j = 0; j < made_size(t); j++) {
            uint16_t half = bf16_from_f32(t->data[j]);
            if (type == DTYPE_BF16)
                buffer_append(&data, &half, sizeof half);
            else
                buffer_append(&data, &t->data[j], sizeof t->data[j]);
        }
        buffer_printf(&header, "%zu]}", data.length);
    }
    buffer_append_char(&header, '}');
    while (header.length % 8)
        buffer_append_char(&header, ' ');
    uint64_t length = header.length;
    buffer_append(&all, &length, sizeof length);
    buffer_append(&all, header.data, header.length);
    buffer_append(&all, data.data, data.length);
    assert_false(all.failed);
    char name[64];
    snprintf(name, sizeof name, "projector_%d.safetensors", index);
    test_file_write(folder, name, all.data, all.length);
    buffer_free(&header);
    buffer_free(&data);
    buffer_free(&all);
}

#endif
