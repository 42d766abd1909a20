/* AllInOneProjector against its formulas in double, tensor by tensor of its state dict, for every
 * option; and what must not change the numbers. Golden numbers of the original are compared by the
 * golden runner; these tests reach the combinations that it has no cases for. */
#include "fuser/all_in_one_made.h"
#include "support/lone_fuser.h"

#define LAYERS 3

/* ---- The formulas ------------------------------------------------------------------------- */

/* y = x W^T + b; returns y, to be freed. */
static double *linear(const made_dict *d, const char *name, const double *x, int rows) {
    const made_tensor *w = made_find(d, "%s.weight", name), *b = made_find(d, "%s.bias", name);
    assert_true(w && b);
    int out = w->shape[0], in = w->shape[1];
    double *y = calloc((size_t)(rows * out), sizeof *y);
    assert_non_null(y);
    for (int n = 0; n < rows; n++)
        for (int o = 0; o < out; o++) {
            y[n * out + o] = b->data[o];
            for (int i = 0; i < in; i++)
                y[n * out + o] += x[n * in + i] * w->data[o * in + i];
        }
    return y;
}

static void layernorm(const made_dict *d, const char *name, double *x, int rows) {
    const made_tensor *w = made_find(d, "%s.weight", name), *b = made_find(d, "%s.bias", name);
    assert_true(w && b && w->rank == 1);
    int size = w->shape[0];
    for (int n = 0; n < rows; n++, x += size) {
        double mean = 0, variance = 0;
        for (int i = 0; i < size; i++)
            mean += x[i] / size;
        for (int i = 0; i < size; i++)
            variance += (x[i] - mean) * (x[i] - mean) / size;
        for (int i = 0; i < size; i++)
            x[i] = (x[i] - mean) / sqrt(variance + 1e-5) * w->data[i] + b->data[i];
    }
}

static double activated(const char *name, double x) {
    if (strcmp(name, "relu") == 0)
        return x > 0 ? x : 0;
    return strcmp(name, "silu") == 0 ? x / (1 + exp(-x)) : 0.5 * x * (1 + erf(x / sqrt(2)));
}

/* The projection of one branch, after the combiner: [rows, Ht * Dt]. */
static double *projected(const made_options *o, const made_dict *d, const char *branch,
                         const double *sharer, const double *receiver, int rows) {
    char name[64];
    int in = o->sharer_heads * o->sharer_dim, width = o->receiver_heads * o->receiver_dim;
    int module = 0;
    double *x = calloc((size_t)(rows * in), sizeof *x);
    assert_non_null(x);
    memcpy(x, sharer, (size_t)(rows * in) * sizeof *x);
    for (int layer = 0; layer < o->layers; layer++) {
        bool last = layer == o->layers - 1;
        snprintf(name, sizeof name, "%s_projection.layers.%d%s", branch, module,
                 o->swiglu && !last ? ".gate_proj" : "");
        double *y = linear(d, name, x, rows);
        if (o->swiglu && !last) {
            snprintf(name, sizeof name, "%s_projection.layers.%d.up_proj", branch, module);
            double *up = linear(d, name, x, rows);
            for (int i = 0; i < rows * o->hidden; i++)
                y[i] = activated("silu", y[i]) * up[i];
            free(up);
        }
        module++;
        if (!last && o->layer_norm) {
            snprintf(name, sizeof name, "%s_projection.layers.%d", branch, module++);
            layernorm(d, name, y, rows);
        }
        for (int i = 0; i < rows * o->hidden && !last && !o->swiglu; i++)
            y[i] = activated(o->activation, y[i]);
        module += (o->swiglu ? 0 : 1) + (o->dropout ? 1 : 0);
        free(x);
        x = y;
    }
    for (int i = 0; i < rows * width && o->residual && in == width; i++)
        x[i] += sharer[i];
    if (!o->concat)
        return x;
    double *both = calloc((size_t)(rows * 2 * width), sizeof *both);
    assert_non_null(both);
    for (int n = 0; n < rows; n++) {
        memcpy(both + 2 * n * width, x + n * width, (size_t)width * sizeof *both);
        memcpy(both + (2 * n + 1) * width, receiver + n * width, (size_t)width * sizeof *both);
    }
    snprintf(name, sizeof name, "%s_combiner", branch);
    double *y = linear(d, name, both, rows);
    free(both);
    free(x);
    return y;
}

/* What is read: target key, target value, projected key, projected value, [rows, Ht * Dt] each. */
typedef struct sources {
    const double *of[4];
} sources;

/* [rows * heads, features * Dt], then seen as the granularity asks: the mean, rows of tokens, or of
 * heads. *seen is the number of rows. */
static double *features(const made_options *o, const made_logits *l, const sources *s, int rows,
                        int *seen) {
    int dim = o->receiver_dim, heads = o->receiver_heads, count = made_feature_count(l), at = 0;
    double *x = calloc((size_t)(rows * heads * count * dim), sizeof *x);
    assert_non_null(x);
    for (int r = 0; r < rows * heads; r++)
        for (int f = 0; f < 4; f++)
            for (int i = 0; made_feature_sets[l->features][f] && i < dim; i++)
                x[at++] = s->of[f][r * dim + i];
    *seen = l->granularity == GRANULARITY_HEAD || l->granularity == GRANULARITY_VALUE ? rows * heads
                                                                                      : rows;
    if (l->granularity != GRANULARITY_SCALAR)
        return x;
    *seen = 1;
    for (int i = 0; i < count * dim; i++) {
        double sum = 0;
        for (int r = 0; r < rows * heads; r++)
            sum += x[r * count * dim + i];
        x[i] = sum / (rows * heads);
    }
    return x;
}

/* Logit of (n, g, i) among generated ones, or among the parameters of a whole section. */
static double logit_at(const made_options *o, const made_logits *l, const double *y, int n, int g,
                       int i) {
    int heads = o->receiver_heads, dim = o->receiver_dim;
    switch (l->granularity) {
    case GRANULARITY_SCALAR: return y[0];
    case GRANULARITY_TOKEN: return y[n];
    case GRANULARITY_VALUE: return y[(n * heads + g) * dim + i];
    default: return y[n * heads + g];
    }
}

static double *parameter(const made_dict *d, const char *name) {
    const made_tensor *t = made_find(d, "%s", name);
    assert_non_null(t);
    double *y = calloc((size_t)made_size(t), sizeof *y);
    assert_non_null(y);
    for (int i = 0; i < made_size(t); i++)
        y[i] = t->data[i];
    return y;
}

/* layers.0, layers.1, GELU, layers.4 */
static double *generator(const made_dict *d, const char *name, const double *x, int rows) {
    char module[64];
    snprintf(module, sizeof module, "%s.layers.0", name);
    double *y = linear(d, module, x, rows);
    snprintf(module, sizeof module, "%s.layers.1", name);
    layernorm(d, module, y, rows);
    for (int i = 0; i < rows * made_find(d, "%s.bias", module)->shape[0]; i++)
        y[i] = activated("gelu", y[i]);
    snprintf(module, sizeof module, "%s.layers.4", name);
    double *z = linear(d, module, y, rows);
    free(y);
    return z;
}

static double *gate_logits(const made_options *o, const made_dict *d, const sources *s, int rows) {
    int seen;
    if (!o->gate.generated)
        return parameter(d, "gate_logit");
    double *x = features(o, &o->gate, s, rows, &seen);
    double *y = generator(d, "gate_generator", x, seen);
    free(x);
    return y;
}

static double *weight_logits(const made_options *o, const made_dict *d, const sources *s, int rows,
                             const char *branch) {
    char name[64];
    int seen;
    snprintf(name, sizeof name, "%s_weight", branch);
    if (!o->weight.generated)
        return parameter(d, name);
    double *x = features(o, &o->weight, s, rows, &seen);
    double *hidden = generator(d, "weight_hidden", x, seen);
    snprintf(name, sizeof name, "%s_weight_head", branch);
    double *y = linear(d, name, hidden, seen);
    free(x);
    free(hidden);
    return y;
}

/* A layer: sharer and receiver [2][rows][features] -> out, and what out would be if the gate were
 * the other way round where its logit is too near to 0 for f32 to tell. */
static void layer_formula(const made_options *o, const made_dict *d, const double *sharer,
                          const double *receiver, int rows, double *out, double *other) {
    static const char *const branches[2] = {"key", "value"};
    int in = o->sharer_heads * o->sharer_dim, width = o->receiver_heads * o->receiver_dim;
    double *p[2];
    for (int x = 0; x < 2; x++)
        p[x] =
            projected(o, d, branches[x], sharer + x * rows * in, receiver + x * rows * width, rows);
    const sources s = {{receiver, receiver + rows * width, p[0], p[1]}};
    double *gates = gate_logits(o, d, &s, rows);
    for (int x = 0; x < 2; x++) {
        double *weights = weight_logits(o, d, &s, rows, branches[x]);
        for (int at = 0; at < rows * width; at++) {
            int n = at / width, g = at % width / o->receiver_dim, i = at % o->receiver_dim;
            double gate = logit_at(o, &o->gate, gates, n, g, i);
            double w = 1 / (1 + exp(-logit_at(o, &o->weight, weights, n, g, i) / o->temperature));
            double self = !o->add_self ? 0 : (o->preserve ? 1 - w : 1) * s.of[x][at];
            double open = self + w * p[x][at];
            out[x * rows * width + at] = gate > 0 ? open : self;
            other[x * rows * width + at] = fabs(gate) < 1e-4
                                               ? open + self - (gate > 0 ? open : self)
                                               : out[x * rows * width + at];
        }
        free(weights);
    }
    free(gates);
    free(p[0]);
    free(p[1]);
}

/* ---- Cases -------------------------------------------------------------------------------- */

typedef struct made_case {
    made_options options[LAYERS]; /* of equal sizes of caches */
    made_dict dicts[LAYERS];
    char *folder;
    int rows;
    float *sharer, *receiver; /* [LAYERS][2][rows][features] */
} made_case;

static int sharer_width(const made_options *o) {
    return o->sharer_heads * o->sharer_dim;
}

static int receiver_width(const made_options *o) {
    return o->receiver_heads * o->receiver_dim;
}

static float *random_floats(uint64_t *random, int count) {
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < count; i++)
        x[i] = made_float(random);
    return x;
}

static void case_set_layer(made_case *c, int layer, const made_options *o, uint64_t *random) {
    c->options[layer] = *o;
    made_dict_free(&c->dicts[layer]);
    made_dict_fill(&c->dicts[layer], o, random);
    made_write_json(c->folder, layer, o, "");
    made_write_tensors(c->folder, layer, &c->dicts[layer], o->type);
}

static void case_make(made_case *c, const made_options *o, int rows, uint64_t seed) {
    uint64_t random = seed;
    *c = (made_case){.rows = rows, .folder = test_folder_make()};
    for (int i = 0; i < LAYERS; i++)
        case_set_layer(c, i, o, &random);
    c->sharer = random_floats(&random, LAYERS * 2 * rows * sharer_width(o));
    c->receiver = random_floats(&random, LAYERS * 2 * rows * receiver_width(o));
}

static void case_free(made_case *c) {
    for (int i = 0; i < LAYERS; i++)
        made_dict_free(&c->dicts[i]);
    test_folder_remove(c->folder);
    free(c->sharer);
    free(c->receiver);
}

static int case_outputs(const made_case *c) {
    return LAYERS * 2 * c->rows * receiver_width(c->options);
}

/* The library's rows; takes ownership of the backend. */
static float *case_run(const made_case *c, backend *b, bool accumulate) {
    lone_fuser f;
    float *out = malloc((size_t)case_outputs(c) * sizeof *out);
    assert_non_null(out);
    assert_ok(lone_fuser_open(&f, b, c->folder, LAYERS, &test_error));
    lone_fuser_run(&f, c->rows, c->sharer, c->receiver, out, accumulate);
    lone_fuser_close(&f);
    backend_close(b);
    return out;
}

static backend *open_cpu(int threads) {
    backend *b;
    assert_ok(backend_cpu_open(&b, threads, &test_error));
    return b;
}

static double *widened(const float *x, int count) {
    double *y = malloc((size_t)count * sizeof *y);
    assert_non_null(y);
    for (int i = 0; i < count; i++)
        y[i] = x[i];
    return y;
}

/* f32 sums of at most 100 products below 2, a few layers of them, and logits divided by a
 * temperature of 0.3 or more: some 1e-6. The golden README allows ten times this. */
#define TOLERANCE 1e-5

static void compare_layer(const made_case *c, int layer, const float *got) {
    const made_options *o = &c->options[layer];
    int in = 2 * c->rows * sharer_width(o), count = 2 * c->rows * receiver_width(o);
    double *sharer = widened(c->sharer + layer * in, in);
    double *receiver = widened(c->receiver + layer * count, count);
    double *expected = malloc((size_t)count * sizeof *expected);
    double *other = malloc((size_t)count * sizeof *other);
    assert_true(expected && other);
    layer_formula(o, &c->dicts[layer], sharer, receiver, c->rows, expected, other);
    for (int i = 0; i < count; i++) {
        double x = got[layer * count + i];
        double error = fmin(fabs(x - expected[i]) / fmax(1, fabs(expected[i])),
                            fabs(x - other[i]) / fmax(1, fabs(other[i])));
        if (!(error <= TOLERANCE))
            fail_msg("layer %d, element %d of %d rows: %.9g, expected %.9g; gate %s %s of %s, "
                     "weight %s %s of %s, %d layers, swiglu %d, concat %d",
                     layer, i, c->rows, x, expected[i], made_flag(o->gate.generated),
                     made_granularities[o->gate.granularity], made_features[o->gate.features],
                     made_flag(o->weight.generated), made_granularities[o->weight.granularity],
                     made_features[o->weight.features], o->layers, o->swiglu, o->concat);
    }
    free(sharer);
    free(receiver);
    free(expected);
    free(other);
}

/* ---- Options ------------------------------------------------------------------------------ */

static bool gate_can_be(granularity g, bool generated) {
    return g != (generated ? GRANULARITY_TOKEN : GRANULARITY_HEAD_MERGED);
}

static bool weight_can_be(granularity g, bool generated) {
    return generated || g != GRANULARITY_HEAD_MERGED;
}

/* Sizes and options that have nothing to do with gates and weights. */
static made_options random_options(uint64_t *random, int rows) {
    static const char *const activations[] = {"gelu", "relu", "silu"};
    made_options o = {
        .sharer_heads = 1 + made_below(random, 3),
        .sharer_dim = 2 + made_below(random, 4),
        .receiver_heads = 1 + made_below(random, 3),
        .receiver_dim = 2 + made_below(random, 4),
        .hidden = 5 + made_below(random, 14),
        .weight_hidden = 5 + made_below(random, 14),
        .layers = 1 + made_below(random, 4),
        .max_length = rows + made_below(random, 2) * 7,
        .activation = activations[made_below(random, 3)],
        .layer_norm = made_below(random, 2),
        .residual = made_below(random, 2),
        .swiglu = made_below(random, 2),
        .concat = made_below(random, 2),
        .dropout = made_below(random, 2),
        .add_self = made_below(random, 3) != 0,
        .preserve = made_below(random, 2),
        .temperature = made_below(random, 2) ? 1 : 0.3,
        .type = made_below(random, 3) ? DTYPE_F32 : DTYPE_BF16,
    };
    if (made_below(random, 2)) {
        o.sharer_heads = o.receiver_heads;
        o.sharer_dim = o.receiver_dim;
    }
    return o;
}

/* Calls `check` for every form of gates with every form of weights, other options at random. */
static void for_all_forms(void (*check)(const made_options *o, int rows, uint64_t seed)) {
    static const int row_counts[] = {1, 13, FUSE_BLOCK_ROWS, FUSE_BLOCK_ROWS + 1,
                                     2 * FUSE_BLOCK_ROWS + 2};
    uint64_t random = 7;
    for (int form = 0; form < 2 * GRANULARITY_COUNT * 2 * GRANULARITY_COUNT; form++) {
        const made_logits gate = {(granularity)(form % GRANULARITY_COUNT),
                                  form / GRANULARITY_COUNT % 2, made_below(&random, 6)};
        int rest = form / (2 * GRANULARITY_COUNT);
        const made_logits weight = {(granularity)(rest % GRANULARITY_COUNT),
                                    rest / GRANULARITY_COUNT, made_below(&random, 6)};
        if (!gate_can_be(gate.granularity, gate.generated) ||
            !weight_can_be(weight.granularity, weight.generated))
            continue;
        int rows = row_counts[form % 5];
        made_options o = random_options(&random, rows);
        o.gate = gate;
        o.weight = weight;
        check(&o, rows, made_bits(&random));
    }
}

/* ---- Tests -------------------------------------------------------------------------------- */

static void check_all_layers(const made_case *c) {
    float *got = case_run(c, open_cpu(1), false);
    for (int layer = 0; layer < LAYERS; layer++)
        compare_layer(c, layer, got);
    free(got);
}

static void check_formula(const made_options *o, int rows, uint64_t seed) {
    made_case c;
    case_make(&c, o, rows, seed);
    check_all_layers(&c);
    case_free(&c);
}

static void test_all_forms_of_gates_and_weights(void **state) {
    (void)state;
    for_all_forms(check_formula);
}

/* Every set of features with every granularity that can be generated, for gates and weights. */
static void test_all_features(void **state) {
    (void)state;
    uint64_t random = 11;
    for (int features = 0; features < 6; features++)
        for (int g = 0; g < GRANULARITY_COUNT; g++) {
            made_options o = random_options(&random, 70);
            o.weight = (made_logits){(granularity)g, true, features};
            o.gate = (made_logits){g == GRANULARITY_TOKEN ? GRANULARITY_SCALAR : (granularity)g,
                                   true, 5 - features};
            check_formula(&o, 70, made_bits(&random));
        }
}

/* Every switch of the projection, with the simplest gates and weights. */
static void test_all_projections(void **state) {
    (void)state;
    static const char *const activations[] = {"gelu", "relu", "silu"};
    uint64_t random = 13;
    for (int bits = 0; bits < 1 << 7; bits++) {
        made_options o = random_options(&random, 9);
        o.layer_norm = bits & 1;
        o.residual = bits >> 1 & 1;
        o.swiglu = bits >> 2 & 1;
        o.concat = bits >> 3 & 1;
        o.dropout = bits >> 4 & 1;
        o.add_self = bits >> 5 & 1;
        o.preserve = bits >> 6 & 1;
        o.activation = activations[bits % 3];
        o.layers = 1 + bits % 5;
        check_formula(&o, 9, made_bits(&random));
    }
}

/* Layers of one fuser whose gates differ, so that some are in a stack of closed ones; every stack
 * has its own mean of the section. */
static void test_open_and_closed_layers(void **state) {
    (void)state;
    for (int closed = 0; closed < 1 << LAYERS; closed++) {
        uint64_t random = 17;
        made_options o = random_options(&random, 70);
        o.add_self = o.preserve = true;
        o.gate = (made_logits){GRANULARITY_SCALAR, false, 0};
        o.weight = (made_logits){GRANULARITY_SCALAR, true, 5};
        made_case c;
        case_make(&c, &o, 70, 19);
        for (int i = 0; i < LAYERS; i++) {
            made_find(&c.dicts[i], "gate_logit")->data[0] = closed >> i & 1 ? -1 : 1;
            made_write_tensors(c.folder, i, &c.dicts[i], o.type);
        }
        check_all_layers(&c);
        case_free(&c);
    }
}

/* Two layers are equal in all but one option, the third is like the first again. */
static void test_layers_of_different_options(void **state) {
    (void)state;
    for (int option = 0; option < 12; option++) {
        uint64_t random = 23;
        made_options o = random_options(&random, 9), other;
        o.layers = 3;
        o.gate = (made_logits){GRANULARITY_HEAD, true, 0};
        o.weight = (made_logits){GRANULARITY_HEAD, true, 0};
        o.add_self = true;
        o.temperature = 1;
        o.swiglu = false;
        o.activation = "gelu";
        o.sharer_heads = o.receiver_heads;
        o.sharer_dim = o.receiver_dim;
        other = o;
        switch (option) {
        case 0: other.layers = 2; break;
        case 1: other.hidden++; break;
        case 2: other.weight_hidden++; break;
        case 3: other.activation = "relu"; break;
        case 4: other.layer_norm = !o.layer_norm; break;
        case 5: other.residual = !o.residual; break;
        case 6: other.swiglu = true; break;
        case 7: other.concat = !o.concat; break;
        case 8: other.add_self = false; break;
        case 9: other.preserve = !o.preserve; break;
        case 10: other.gate.features = other.weight.features = 1; break;
        case 11: other.temperature = 0.5; break;
        }
        made_case c;
        case_make(&c, &o, 9, 29);
        case_set_layer(&c, 1, &other, &random);
        check_all_layers(&c);
        case_free(&c);
    }
}

static void check_bits(const made_options *o, int rows, uint64_t seed) {
    made_case c;
    case_make(&c, o, rows, seed);
    size_t bytes = (size_t)case_outputs(&c) * sizeof(float);
    float *expected = case_run(&c, open_cpu(1), false), *got = case_run(&c, open_cpu(4), false);
    assert_memory_equal(expected, got, bytes);
    free(got);
    backend *queue;
    assert_ok(backend_queue_open(&queue, 2, &test_error));
    got = case_run(&c, queue, false);
    assert_memory_equal(expected, got, bytes);
    free(got);
    /* One sharer of several in parallel: the receiver plus the difference, so the same but for the
     * rounding of both. */
    got = case_run(&c, open_cpu(2), true);
    for (int i = 0; i < case_outputs(&c); i++)
        assert_true(fabsf(got[i] - expected[i]) <= 1e-6f * fmaxf(1, fabsf(expected[i])) + 1e-6f);
    free(got);
    free(expected);
    case_free(&c);
}

static void test_threads_queues_and_blocks_give_the_same_bits(void **state) {
    (void)state;
    for_all_forms(check_bits);
}

/* The first rows of a longer section are those of a shorter one, bit by bit, unless something is
 * made from the mean of the section. */
static void check_prefix(const made_options *o, int rows, uint64_t seed) {
    made_case c;
    bool mean = (o->gate.generated && o->gate.granularity == GRANULARITY_SCALAR) ||
                (o->weight.generated && o->weight.granularity == GRANULARITY_SCALAR);
    if (mean || rows < 2)
        return;
    case_make(&c, o, rows, seed);
    float *whole = case_run(&c, open_cpu(1), false);
    int width = receiver_width(o), in = sharer_width(o), part = rows - 1;
    made_case shorter = c;
    shorter.rows = part;
    shorter.sharer = malloc((size_t)(LAYERS * 2 * part * in) * sizeof(float));
    shorter.receiver = malloc((size_t)(LAYERS * 2 * part * width) * sizeof(float));
    assert_true(shorter.sharer && shorter.receiver);
    for (int i = 0; i < LAYERS * 2; i++) {
        memcpy(shorter.sharer + i * part * in, c.sharer + i * rows * in,
               (size_t)(part * in) * sizeof(float));
        memcpy(shorter.receiver + i * part * width, c.receiver + i * rows * width,
               (size_t)(part * width) * sizeof(float));
    }
    float *got = case_run(&shorter, open_cpu(1), false);
    for (int i = 0; i < LAYERS * 2; i++)
        assert_memory_equal(whole + i * rows * width, got + i * part * width,
                            (size_t)(part * width) * sizeof(float));
    free(got);
    free(whole);
    free(shorter.sharer);
    free(shorter.receiver);
    case_free(&c);
}

static void test_a_row_is_the_same_in_a_longer_section(void **state) {
    (void)state;
    for_all_forms(check_prefix);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_forms_of_gates_and_weights),
        cmocka_unit_test(test_all_features),
        cmocka_unit_test(test_all_projections),
        cmocka_unit_test(test_open_and_closed_layers),
        cmocka_unit_test(test_layers_of_different_options),
        cmocka_unit_test(test_threads_queues_and_blocks_give_the_same_bits),
        cmocka_unit_test(test_a_row_is_the_same_in_a_longer_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
