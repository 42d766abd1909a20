/* The training network on small models: gradients of every kind of projector against finite
 * differences, packing, recomputing, threads, and that its losses are those of inference.
 *
 * Differences: the loss, about 6, is an f32 mean known to about 1e-6. Weights of one name are moved
 * along their gradient by 0.004 in all, so that the slope is known to 1e-6 / 0.008 = 1.3e-4, and
 * what the third derivative adds is below 2% of it. A missing or wrong term is off by far more. */
#include "session/session.h"
#include "support/test.h"
#include "train/network.h"

#define DATA "tests/golden/data/models/"

#define MOVE 0.004

/* ---- Worlds ------------------------------------------------------------------------------- */

/* What is trained. */
typedef struct setup {
    const char *name, *type, *params;
    int sharers;
    c2c_fusion_mode mode;
} setup;

#define C2C "\"hidden_dim\": 12, \"intermediate_dim\": 10, \"anneal_steps\": 10"
#define AIO "\"hidden_dim\": 10, \"weight_hidden_dim\": 9, \"scalar_temperature\": 1.0"

static const setup setups[] = {
    {"C2C", "C2CProjector", C2C ", \"dropout\": 0.2, \"num_layers\": 4", 1, 0},
    {"two in turn", "C2CProjector", C2C ", \"dropout\": 0", 2, C2C_FUSION_SEQUENTIAL},
    {"two at once", "C2CProjector", C2C, 2, C2C_FUSION_PARALLEL},
    {"no scalars", "AblationProjector", C2C ", \"ablation_level\": 1", 1, 0},
    {"pure", "AblationProjector", C2C ", \"ablation_level\": 3", 1, 0},
    {"no gates", "AblationProjector", C2C ", \"ablation_level\": 4", 1, 0},
    {"all in one", "AllInOneProjector", AIO, 1, 0},
    {"all in one, parameters", "AllInOneProjector",
     AIO ", \"gate_granularity\": \"value\", \"weight_granularity\": \"token\", "
         "\"max_sequence_length\": 40, \"activation\": \"silu\", \"use_layer_norm\": false",
     1, 0},
    {"all in one, generated for heads", "AllInOneProjector",
     AIO ", \"gate_granularity\": \"head\", \"gate_depends_on_input\": true, "
         "\"gate_input_features\": \"target_projected_both\", \"weight_granularity\": \"value\", "
         "\"weight_depends_on_input\": true, \"weight_input_features\": \"both\", "
         "\"use_concat\": true, \"use_swiglu\": true, \"num_layers\": 3",
     1, 0},
    {"all in one, generated from means", "AllInOneProjector",
     AIO ", \"gate_depends_on_input\": true, \"gate_input_features\": \"target_projected_key\", "
         "\"weight_depends_on_input\": true, \"weight_input_features\": "
         "\"target_projected_value\", \"preserve_target_weight\": false, \"dropout\": 0",
     1, 0},
    {"all in one, hard gates, in parallel", "AllInOneProjector",
     AIO ", \"use_gumbel\": false, \"add_self\": false", 2, C2C_FUSION_PARALLEL},
};
#define SETUPS (sizeof setups / sizeof *setups)

typedef struct world {
    c2c_engine *engine;
    c2c_model *receiver, *sharers[2];
    c2c_fuser *fusers[2];
    c2c_pair pairs[2];
    training_network *network;
    const training_parameters *p;
    float *weights; /* on the host */
    size_t bytes;
} world;

static float number(uint32_t i) {
    const random_key key = {.seed = 3, .step = i, .site = 99};
    return (float)(2 * random_uniform(&key) - 1);
}

/* Weights off the values that new ones have, gates open and closed. */
static void stir(world *w) {
    w->p = training_network_parameters(w->network);
    w->bytes = (size_t)w->p->elements * sizeof(float);
    w->weights = calloc(1, w->bytes);
    assert_non_null(w->weights);
    backend_download(w->p->backend, w->weights, w->p->values, w->bytes);
    for (size_t i = 0; i < w->p->tensor_count; i++) {
        const training_tensor *t = &w->p->tensors[i];
        for (int64_t k = t->offset; k < t->offset + t->count; k++)
            w->weights[k] += (t->gate ? 1.0f : 0.1f) * number((uint32_t)k);
    }
    backend_upload(w->p->backend, w->p->values, w->weights, w->bytes);
}

static void world_open(world *w, const setup *s, bool queue, int threads, bool recompute) {
    const c2c_model_options f32 = {.compute = C2C_COMPUTE_F32};
    const training_options options = {.fusion_mode = s->mode, .recompute = recompute};
    static const char *const names[] = {DATA "tiny-qwen2", DATA "tiny-qwen3"};
    char recipe[1024];
    backend *b;
    *w = (world){0};
    snprintf(recipe, sizeof recipe, "{\"projector\": {\"type\": \"%s\", \"params\": {%s}}}",
             s->type, s->params);
    assert_ok(queue ? backend_queue_open(&b, threads, &test_error)
                    : backend_cpu_open(&b, threads, &test_error));
    assert_ok(engine_adopt(&w->engine, b, &test_error));
    assert_ok(c2c_model_open(&w->receiver, w->engine, DATA "tiny-qwen3", &f32, &test_error));
    for (int i = 0; i < s->sharers; i++) {
        const c2c_recipe r = {.text = recipe, .seed = (uint64_t)i + 1};
        assert_ok(c2c_model_open(&w->sharers[i], w->engine, names[i], &f32, &test_error));
        assert_ok(c2c_fuser_new(&w->fusers[i], w->receiver, w->sharers[i], &r, &test_error));
        w->pairs[i] = (c2c_pair){w->sharers[i], w->fusers[i]};
    }
    assert_ok(training_network_open(&w->network, w->receiver, w->pairs, (size_t)s->sharers,
                                    &options, &test_error));
    for (int i = 0; i < s->sharers; i++)
        c2c_fuser_close(w->fusers[i]); /* the network has its own weights */
    stir(w);
}

static void world_close(world *w) {
    training_network_close(w->network);
    for (int i = 0; i < 2; i++)
        c2c_model_close(w->sharers[i]);
    c2c_model_close(w->receiver);
    c2c_engine_close(w->engine);
    free(w->weights);
}

/* ---- Samples ------------------------------------------------------------------------------ */

#define TOKENS  40
#define SAMPLES 3

typedef struct batch {
    int32_t ids[SAMPLES][TOKENS], other[SAMPLES][TOKENS], labels[SAMPLES][TOKENS];
    const int32_t *rows[SAMPLES][2];
    training_sample samples[SAMPLES];
} batch;

/* A usual chat, one with several fused sections and padding in the others, and one that starts with
 * tokens that are not fused. `all` selects every sharer; a second one is left out once. */
static void batch_make(batch *b, int32_t all) {
    static c2c_section usual[] = {{12, 1}, {9, -1}},
                       many[] = {{5, -1}, {7, 1}, {4, -1}, {6, 1}, {10, -1}},
                       late[] = {{3, -1}, {0, 1}, {8, 1}, {9, -1}};
    *b = (batch){0};
    usual[0].mask = many[1].mask = late[2].mask = all;
    const training_sample shapes[SAMPLES] = {
        {.sections = usual, .section_count = 2, .tokens = 21},
        {.sections = many, .section_count = 5, .tokens = 32},
        {.sections = late, .section_count = 4, .tokens = 20},
    };
    for (int s = 0; s < SAMPLES; s++) {
        b->samples[s] = shapes[s];
        int64_t last = shapes[s].tokens - shapes[s].sections[shapes[s].section_count - 1].length;
        for (int64_t i = 0; i < shapes[s].tokens; i++) {
            b->ids[s][i] = (int32_t)(fabsf(number((uint32_t)(s * 100 + i))) * 500);
            b->other[s][i] = (int32_t)(fabsf(number((uint32_t)(s * 100 + i + 5000))) * 500);
            b->labels[s][i] = i > last ? b->ids[s][i] : LABEL_NONE;
        }
        b->rows[s][0] = b->rows[s][1] = b->other[s];
        b->samples[s].ids = b->ids[s];
        b->samples[s].labels = b->labels[s];
        b->samples[s].sharer_ids = b->rows[s];
    }
    /* Padding of the receiver before the last content, of the sharer in a template part. */
    b->ids[1][3] = b->ids[1][4] = b->ids[1][24] = C2C_PADDING;
    b->other[1][13] = b->other[2][1] = C2C_PADDING;
    b->labels[1][24] = LABEL_NONE;
}

static int32_t all_of(const setup *s) {
    return (1 << s->sharers) - 1;
}

static double run(world *w, const training_sample *samples, size_t count, training_step step) {
    training_result result;
    step.seed = 11;
    step.step = 4;
    for (size_t i = 0; i < count; i++)
        assert_ok(training_sample_check(w->network, &samples[i], "sample", &test_error));
    assert_ok(training_network_run(w->network, samples, count, &step, &result, &test_error));
    assert_true(result.tokens > 0);
    return result.loss_sum / (double)result.tokens;
}

/* The gradients of one step alone, written over bytes that are no numbers. */
static float *gradients(world *w, const training_sample *samples, size_t count) {
    float *g = malloc(w->bytes);
    assert_non_null(g);
    memset(g, 0xff, w->bytes);
    backend_upload(w->p->backend, w->p->gradients, g, w->bytes);
    training_network_clear_gradients(w->network);
    run(w, samples, count, (training_step){.learn = true, .scale = 1});
    backend_download(w->p->backend, g, w->p->gradients, w->bytes);
    return g;
}

/* ---- Gradients ---------------------------------------------------------------------------- */

/* Moves all tensors of one name along the gradient by `by` in all. */
static void move(world *w, const char *name, const float *gradient, double by) {
    float *moved = malloc(w->bytes);
    assert_non_null(moved);
    memcpy(moved, w->weights, w->bytes);
    for (size_t i = 0; i < w->p->tensor_count; i++) {
        const training_tensor *t = &w->p->tensors[i];
        for (int64_t k = t->offset; strcmp(t->name, name) == 0 && k < t->offset + t->count; k++)
            moved[k] += (float)(by * gradient[k]);
    }
    backend_upload(w->p->backend, w->p->values, moved, w->bytes);
    free(moved);
}

static double squares(const world *w, const char *name, const float *gradient) {
    double sum = 0;
    for (size_t i = 0; i < w->p->tensor_count; i++) {
        const training_tensor *t = &w->p->tensors[i];
        for (int64_t k = t->offset; strcmp(t->name, name) == 0 && k < t->offset + t->count; k++)
            sum += (double)gradient[k] * gradient[k];
    }
    return sum;
}

static bool first_of_name(const world *w, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(w->p->tensors[k].name, w->p->tensors[i].name) == 0)
            return false;
    return true;
}

static void check_gradients(const setup *s) {
    world w;
    batch b;
    batch_make(&b, all_of(s));
    world_open(&w, s, false, 1, false);
    float *g = gradients(&w, b.samples, SAMPLES);
    const training_step learn = {.learn = true, .scale = 1};
    bool hard = strstr(s->params, "\"use_gumbel\": false") != NULL;
    for (size_t i = 0; i < w.p->tensor_count; i++) {
        const training_tensor *t = &w.p->tensors[i];
        if (!first_of_name(&w, i))
            continue;
        double norm = sqrt(squares(&w, t->name, g));
        if (hard && strstr(t->name, "gate")) {
            assert_true(norm == 0);
            continue;
        }
        if (!(norm > 0))
            fail_msg("%s: %s has no gradient", s->name, t->name);
        move(&w, t->name, g, MOVE / norm);
        double above = run(&w, b.samples, SAMPLES, learn);
        move(&w, t->name, g, -MOVE / norm);
        double below = run(&w, b.samples, SAMPLES, learn), slope = (above - below) / (2 * MOVE);
        if (!(fabs(slope - norm) <= 0.02 * norm + 2e-4))
            fail_msg("%s: %s: %.6f by the gradient, %.6f by differences", s->name, t->name, norm,
                     slope);
    }
    free(g);
    world_close(&w);
}

static void test_gradients(void **state) {
    (void)state;
    for (size_t i = 0; i < SETUPS; i++)
        check_gradients(&setups[i]);
}

/* ---- The same bits ------------------------------------------------------------------------ */

static float *gradients_in_a_way(const setup *s, bool queue, int threads, bool recompute,
                                 size_t *bytes) {
    world w;
    batch b;
    batch_make(&b, all_of(s));
    world_open(&w, s, queue, threads, recompute);
    float *g = gradients(&w, b.samples, SAMPLES);
    *bytes = w.bytes;
    world_close(&w);
    return g;
}

static void test_same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < SETUPS; i++) {
        size_t bytes;
        float *first = gradients_in_a_way(&setups[i], false, 1, false, &bytes);
        float *again = gradients_in_a_way(&setups[i], true, 3, true, &bytes);
        if (memcmp(first, again, bytes) != 0)
            fail_msg("%s: other bits when recomputed on the queue backend", setups[i].name);
        /* added to nothing at all, as a caller may who sets them to 0 himself */
        world w;
        batch b;
        batch_make(&b, all_of(&setups[i]));
        world_open(&w, &setups[i], false, 1, false);
        run(&w, b.samples, SAMPLES, (training_step){.learn = true, .scale = 1});
        backend_download(w.p->backend, again, w.p->gradients, w.bytes);
        for (int64_t k = 0; k < w.p->elements; k++)
            if (!(first[k] == again[k]))
                fail_msg("%s: other gradients when added to 0", setups[i].name);
        world_close(&w);
        free(first);
        free(again);
    }
}

/* ---- Packing ------------------------------------------------------------------------------ */

/* Samples alone, each with its place in the batch and its share of the tokens, add up to what they
 * give together: the same numbers are drawn for them. Sums of other orders: 1e-5 of the largest. */
static void test_packing(void **state) {
    (void)state;
    const setup *s = &setups[0];
    world w;
    batch b;
    batch_make(&b, 1);
    world_open(&w, s, false, 1, false);
    int64_t tokens = 0;
    for (int i = 0; i < SAMPLES; i++)
        tokens += training_sample_tokens(&b.samples[i]);
    float *together = gradients(&w, b.samples, SAMPLES), *alone = malloc(w.bytes), largest = 0;
    assert_non_null(alone);
    training_network_clear_gradients(w.network);
    for (uint32_t i = 0; i < SAMPLES; i++)
        run(&w, &b.samples[i], 1,
            (training_step){.learn = true,
                            .first_sample = i,
                            .scale = (float)training_sample_tokens(&b.samples[i]) / (float)tokens});
    backend_download(w.p->backend, alone, w.p->gradients, w.bytes);
    for (int64_t i = 0; i < w.p->elements; i++)
        largest = fmaxf(largest, fabsf(together[i]));
    for (int64_t i = 0; i < w.p->elements; i++)
        assert_true(fabsf(together[i] - alone[i]) <= 1e-5f * largest);
    free(together);
    free(alone);
    world_close(&w);
}

/* ---- Inference ---------------------------------------------------------------------------- */

/* The loss of one sample as a session computes it: of tokens of the last section. */
static double session_loss(const world *w, const setup *s, c2c_fuser *const *fusers,
                           const training_sample *sample) {
    c2c_pair pairs[2];
    c2c_session *session;
    const c2c_session_options options = {.context = TOKENS, .fusion_mode = s->mode};
    const c2c_plan plan = {.ids = sample->ids,
                           .sharer_ids = sample->sharer_ids,
                           .token_count = sample->tokens,
                           .sections = sample->sections,
                           .section_count = sample->section_count};
    for (int i = 0; i < s->sharers; i++)
        pairs[i] = (c2c_pair){w->sharers[i], fusers[i]};
    assert_ok(
        c2c_session_open(&session, w->receiver, pairs, (size_t)s->sharers, &options, &test_error));
    int64_t v = w->receiver->config.vocabulary;
    int64_t rows = sample->sections[sample->section_count - 1].length, tokens = 0;
    int64_t start = sample->tokens - rows, from = 0;
    float *logits = calloc((size_t)(rows * v), sizeof *logits);
    assert_non_null(logits);
    assert_ok(session_prefill_logits(session, &plan, logits, &test_error));
    double loss = 0;
    for (int64_t i = 0; i < rows; i++) {
        int32_t label = sample->labels[start + i];
        if (label >= 0) {
            const float *x = logits + from * v;
            double sum = 0;
            for (int64_t k = 0; k < v; k++)
                sum += exp((double)x[k]);
            loss += log(sum) - (double)x[label];
            tokens++;
        }
        if (sample->ids[start + i] != C2C_PADDING)
            from = i;
    }
    free(logits);
    c2c_session_close(session);
    return loss / (double)tokens;
}

/* Without `learn` the loss is that of the fusers that come out, opened gates and all. */
static void test_inference(void **state) {
    (void)state;
    for (size_t i = 0; i < SETUPS; i++) {
        const setup *s = &setups[i];
        world w;
        batch b;
        c2c_fuser *fusers[2] = {0};
        batch_make(&b, all_of(s));
        world_open(&w, s, false, 1, false);
        for (int k = 0; k < s->sharers; k++)
            assert_ok(training_network_fuser(w.network, (size_t)k, 4, &fusers[k], &test_error));
        for (int k = 0; k < SAMPLES; k++) {
            double expected = session_loss(&w, s, fusers, &b.samples[k]);
            double got = run(&w, &b.samples[k], 1, (training_step){0});
            if (!(fabs(got - expected) <= 1e-5 * expected))
                fail_msg("%s: sample %d: loss %.7f, a session's %.7f", s->name, k, got, expected);
        }
        for (int k = 0; k < s->sharers; k++)
            c2c_fuser_close(fusers[k]);
        world_close(&w);
    }
}

/* ---- Steps -------------------------------------------------------------------------------- */

/* Memory is that of the largest batch; gradients add up; evaluation leaves them. */
static void test_steps(void **state) {
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        world w;
        batch b;
        batch_make(&b, 1);
        world_open(&w, &setups[0], false, 1, recompute);
        float *once = gradients(&w, b.samples, SAMPLES), *twice = malloc(w.bytes);
        assert_non_null(twice);
        size_t bytes = training_network_bytes(w.network);
        run(&w, b.samples, 1, (training_step){.learn = false});
        run(&w, b.samples, SAMPLES, (training_step){.learn = true, .scale = 1});
        assert_int_equal(training_network_bytes(w.network), bytes);
        backend_download(w.p->backend, twice, w.p->gradients, w.bytes);
        for (int64_t i = 0; i < w.p->elements; i++)
            assert_true(fabsf(twice[i] - 2 * once[i]) <= 1e-4f * fmaxf(1e-2f, fabsf(once[i])));
        free(once);
        free(twice);
        world_close(&w);
    }
}

/* With too little memory a step fails and says so, wherever it ran out; with enough, the network
 * that failed before gives what a new one does. */
static void test_memory(void **state) {
    (void)state;
    for (int recompute = 0; recompute < 2; recompute++) {
        world w;
        batch b;
        size_t bytes;
        batch_make(&b, 1);
        float *first = gradients_in_a_way(&setups[0], false, 1, recompute, &bytes);
        world_open(&w, &setups[0], false, 1, recompute);
        int buffers = 0, copies = 0;
        const training_step step = {.seed = 11, .step = 4, .learn = true, .scale = 1};
        for (double limit = 1 << 16;; limit *= 1.05) {
            training_result result;
            training_network_set_limit(w.network, (size_t)limit);
            training_network_clear_gradients(w.network);
            test_error = (c2c_error){0};
            c2c_status status =
                training_network_run(w.network, b.samples, SAMPLES, &step, &result, &test_error);
            if (status == C2C_STATUS_OK)
                break;
            assert_int_equal(status, C2C_STATUS_OUT_OF_MEMORY);
            bool early = strstr(test_error.message, "MiB are available") != NULL;
            assert_true(early || strstr(test_error.message, "\"recompute\"") != NULL);
            buffers += early;
            copies += !early;
        }
        assert_true(buffers > 0 && copies > 0);
        float *again = malloc(bytes);
        assert_non_null(again);
        backend_download(w.p->backend, again, w.p->gradients, bytes);
        assert_memory_equal(first, again, bytes);
        free(first);
        free(again);
        world_close(&w);
    }
}

/* A batch in which nothing is fused has a loss and no gradients. */
static void test_nothing_fused(void **state) {
    (void)state;
    world w;
    batch b;
    batch_make(&b, 1);
    const c2c_section plain = {21, -1};
    b.samples[0].sections = &plain;
    b.samples[0].section_count = 1;
    world_open(&w, &setups[0], false, 1, false);
    float *g = gradients(&w, b.samples, 1);
    for (int64_t i = 0; i < w.p->elements; i++)
        assert_true(g[i] == 0);
    free(g);
    world_close(&w);
}

/* ---- What is refused ---------------------------------------------------------------------- */

/* No gradient flows through rounded integers; the receiver must come with its own weights. */
static void test_integers_are_refused(void **state) {
    (void)state;
    world w;
    c2c_model *rounded;
    training_network *network;
    const c2c_model_options int8 = {.weights = C2C_MODEL_WEIGHTS_INT8};
    world_open(&w, &setups[7], false, 1, false);
    assert_ok(c2c_model_open(&rounded, w.engine, DATA "tiny-qwen3", &int8, &test_error));
    assert_fails(training_network_open(&network, rounded, w.pairs, 1, NULL, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "tiny-qwen3", "8-bit integers");
    assert_null(network);
    c2c_model_close(rounded);
    world_close(&w);
}

static void test_refusals(void **state) {
    (void)state;
    world w;
    batch b;
    batch_make(&b, 1);
    world_open(&w, &setups[7], false, 1, false);
    const training_sample *s = &b.samples[0];
    training_sample bad = *s;
    int32_t ids[TOKENS], labels[TOKENS];
    memcpy(ids, s->ids, sizeof ids);
    memcpy(labels, s->labels, sizeof labels);
    bad.ids = ids;
    bad.labels = labels;
    ids[2] = 100000;
    assert_fails(training_sample_check(w.network, &bad, "rows.jsonl: row 7", &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "rows.jsonl: row 7", "token 2", "100000");
    ids[2] = C2C_PADDING;
    assert_fails(training_sample_check(w.network, &bad, "row", &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "positions 0 to 11", "padding");
    ids[2] = 1;
    labels[20] = -7;
    assert_fails(training_sample_check(w.network, &bad, "row", &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "token 20", "label -7");
    labels[20] = 1;
    const c2c_section short_one[] = {{12, 1}, {8, -1}}, stranger[] = {{12, 2}, {9, -1}};
    bad.sections = short_one;
    assert_fails(training_sample_check(w.network, &bad, "row", &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "20 tokens", "21");
    bad.sections = stranger;
    assert_fails(training_sample_check(w.network, &bad, "row", &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "mask 2");
    int32_t many[60] = {0};
    const c2c_section long_one[] = {{50, 1}, {10, -1}};
    bad = (training_sample){
        .ids = many, .labels = many, .tokens = 60, .sections = long_one, .section_count = 2};
    assert_fails(training_sample_check(w.network, &bad, "row", &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "50 tokens", "at most 40", "max_sequence_length");
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_nothing_fused),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_integers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
