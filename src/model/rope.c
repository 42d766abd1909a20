/* rope.c - rotary position embedding: its keys in config.json, and its frequencies.
 *
 * With f_i = theta^(-2i / D), i in 0 .. D/2-1, the angle of position p is p * g_i:
 *   default  g = f
 *   linear   g = f / factor
 *   dynamic  g = f: theta grows only beyond max_position_embeddings, where no context goes here
 *   llama3   g = f / factor for wavelengths above original / low_freq_factor, f for those below
 *            original / high_freq_factor, and a mix of both between them
 *   yarn     g goes from f to f / factor along a ramp over the dimensions, and cosines and sines
 * are multiplied by attention_factor (arXiv 2309.00071) as transformers 4.52 computes them
 * (modeling_rope_utils.py). */
#include "model/model.h"

#include <math.h>

static const char *const type_names[ROPE_TYPE_COUNT] = {
    [ROPE_DEFAULT] = "default", [ROPE_LINEAR] = "linear", [ROPE_DYNAMIC] = "dynamic",
    [ROPE_LLAMA3] = "llama3",   [ROPE_YARN] = "yarn",
};

static const double pi = 3.14159265358979323846;

/* ---- Keys --------------------------------------------------------------------------------- */

/* A positive number; `fallback` NULL: it must be there. */
static c2c_status get_positive(const json_value *object, const char *key, const double *fallback,
                               double *value, const char *name, c2c_error *error) {
    c2c_status status = json_get_real(object, key, fallback, value, name, error);
    if (!status && !(*value > 0 && *value < 1e30))
        status = error_set(error, C2C_STATUS_BAD_FILE,
                           "%s: %s: expected a positive number, found %g", name, key, *value);
    return status;
}

static c2c_status parse_type(rope_type *type, const json_value *scaling, const char *name,
                             c2c_error *error) {
    /* Older files say "type". */
    const char *key =
        json_get(scaling, "type") && !json_get(scaling, "rope_type") ? "type" : "rope_type";
    const char *text;
    c2c_status status =
        json_get_string(scaling, key, &type_names[ROPE_DEFAULT], &text, name, error);
    if (status)
        return status;
    for (int i = 0; i < ROPE_TYPE_COUNT; i++)
        if (strcmp(type_names[i], text) == 0) {
            *type = (rope_type)i;
            return C2C_STATUS_OK;
        }
    return error_set(error, C2C_STATUS_UNSUPPORTED,
                     "%s: RoPE scaling of type \"%s\" is not supported; supported: default, "
                     "linear, dynamic, llama3, yarn",
                     name, text);
}

static double yarn_mscale(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static c2c_status parse_yarn(rope_config *rope, const json_value *scaling, int64_t context,
                             const char *name, c2c_error *error) {
    static const double fast = 32, slow = 1;
    double whole = (double)context, attention, mscale, mscale_all, usual;
    c2c_status status;
    if ((status = get_positive(scaling, "original_max_position_embeddings", &whole,
                               &rope->original_context, name, error)) ||
        (status = get_positive(scaling, "beta_fast", &fast, &rope->beta_fast, name, error)) ||
        (status = get_positive(scaling, "beta_slow", &slow, &rope->beta_slow, name, error)))
        return status;
    /* transformers 4.52: the two context lengths outweigh "factor". */
    const json_value *original = json_get(scaling, "original_max_position_embeddings");
    if (original && original->type != JSON_NULL)
        rope->factor = whole / rope->original_context;
    static const double none = 1e-20; /* both keys count only together */
    if ((status = get_positive(scaling, "mscale", &none, &mscale, name, error)) ||
        (status = get_positive(scaling, "mscale_all_dim", &none, &mscale_all, name, error)))
        return status;
    usual = mscale > none && mscale_all > none
                ? yarn_mscale(rope->factor, mscale) / yarn_mscale(rope->factor, mscale_all)
                : yarn_mscale(rope->factor, 1);
    status = get_positive(scaling, "attention_factor", &usual, &attention, name, error);
    rope->attention_factor = (float)attention;
    return status;
}

/* One object of RoPE keys; NULL or null: the default type. */
static c2c_status parse_scaling(rope_config *rope, const json_value *scaling, int64_t context,
                                const char *name, c2c_error *error) {
    rope->type = ROPE_DEFAULT;
    rope->attention_factor = 1;
    if (!scaling || scaling->type == JSON_NULL)
        return C2C_STATUS_OK;
    if (scaling->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: rope_scaling: expected an object or null, found %s", name,
                         json_type_name(scaling->type));
    c2c_status status = parse_type(&rope->type, scaling, name, error);
    if (status || rope->type == ROPE_DEFAULT)
        return status;
    if ((status = get_positive(scaling, "factor", NULL, &rope->factor, name, error)))
        return status;
    if (rope->type == ROPE_YARN)
        return parse_yarn(rope, scaling, context, name, error);
    if (rope->type != ROPE_LLAMA3)
        return C2C_STATUS_OK;
    if ((status =
             get_positive(scaling, "low_freq_factor", NULL, &rope->low_freq_factor, name, error)) ||
        (status = get_positive(scaling, "high_freq_factor", NULL, &rope->high_freq_factor, name,
                               error)) ||
        (status = get_positive(scaling, "original_max_position_embeddings", NULL,
                               &rope->original_context, name, error)))
        return status;
    if (rope->high_freq_factor <= rope->low_freq_factor)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: high_freq_factor: expected more than low_freq_factor (%g), found %g",
                         name, rope->low_freq_factor, rope->high_freq_factor);
    return C2C_STATUS_OK;
}

c2c_status rope_config_parse(rope_config *global, rope_config *local, const json_value *root,
                             const model_family *family, int64_t context, const char *name,
                             c2c_error *error) {
    static const double usual_theta = 10000.0, gemma_theta = 1000000.0;
    const double *usual = family->gemma ? &gemma_theta : &usual_theta;
    const json_value *parameters = json_get(root, "rope_parameters");
    const json_value *full = json_get(parameters, "full_attention");
    const json_value *sliding = json_get(parameters, "sliding_attention");
    *global = *local = (rope_config){0};
    /* Version 5 has one object, or one for each kind of layer; version 4 has keys at the root. */
    const json_value *owner = full ? full : parameters ? parameters : root;
    const json_value *scaling = owner == root ? json_get(root, "rope_scaling") : owner;
    if (owner != root && !json_get(owner, "rope_theta"))
        owner = root;
    c2c_status status;
    if ((status = get_positive(owner, "rope_theta", usual, &global->theta, name, error)) ||
        (status = parse_scaling(global, scaling, context, name, error)))
        return status;
    *local = *global;
    if (!family->gemma)
        return C2C_STATUS_OK;
    *local = (rope_config){.attention_factor = 1};
    if (!sliding)
        return get_positive(root, "rope_local_base_freq", &usual_theta, &local->theta, name, error);
    if ((status = get_positive(sliding, "rope_theta", &usual_theta, &local->theta, name, error)))
        return status;
    return parse_scaling(local, sliding, context, name, error);
}

/* ---- Frequencies -------------------------------------------------------------------------- */

static float llama3_frequency(const rope_config *rope, float f) {
    float wavelength = (float)(2 * pi) / f;
    double low = rope->original_context / rope->low_freq_factor;
    double high = rope->original_context / rope->high_freq_factor;
    float scaled = f / (float)rope->factor;
    if (wavelength > low)
        return scaled;
    if (wavelength < high)
        return f;
    float smooth = (float)((rope->original_context / wavelength - rope->low_freq_factor) /
                           (rope->high_freq_factor - rope->low_freq_factor));
    return (1 - smooth) * scaled + smooth * f;
}

/* The dimension whose wave turns `rotations` times within the original context. */
static double yarn_dimension(const rope_config *rope, double rotations, int head_dim) {
    return head_dim * log(rope->original_context / (rotations * 2 * pi)) / (2 * log(rope->theta));
}

static float yarn_frequency(const rope_config *rope, float f, int i, int head_dim) {
    double low = fmax(floor(yarn_dimension(rope, rope->beta_fast, head_dim)), 0);
    double high = fmin(ceil(yarn_dimension(rope, rope->beta_slow, head_dim)), head_dim - 1);
    if (low == high)
        high += 0.001;
    float ramp = ((float)i - (float)low) / (float)(high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    return f / (float)rope->factor * ramp + f * (1 - ramp);
}

void rope_frequencies(const rope_config *rope, int head_dim, float *frequencies) {
    for (int i = 0; i < head_dim / 2; i++) {
        /* In f32, as PyTorch does. */
        float exponent = (float)(2 * i) / (float)head_dim;
        float f = 1.0f / powf((float)rope->theta, exponent);
        switch (rope->type) {
        case ROPE_LINEAR: f /= (float)rope->factor; break;
        case ROPE_LLAMA3: f = llama3_frequency(rope, f); break;
        case ROPE_YARN: f = yarn_frequency(rope, f, i, head_dim); break;
        default: break;
        }
        frequencies[i] = f;
    }
}
