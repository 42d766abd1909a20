/* AllInOneProjector files that are refused, and such fusers in sessions: sections that are too
 * long, fused responses, and the same bits in any chunks. */
#include "fuser/all_in_one_made.h"

#include "session/session.h"
#include "support/fused_pair.h"
#include "support/lone_fuser.h"

#define LAYERS 4
#define PROMPT 41

/* Fits tiny-qwen3 with tiny-qwen2 as its sharer. */
static made_options usual_options(void) {
    return (made_options){.sharer_heads = 2,
                          .sharer_dim = 8,
                          .receiver_heads = 2,
                          .receiver_dim = 32,
                          .hidden = 12,
                          .weight_hidden = 10,
                          .layers = 2,
                          .max_length = 64,
                          .activation = "gelu",
                          .layer_norm = true,
                          .add_self = true,
                          .preserve = true,
                          .temperature = 0.5,
                          .type = DTYPE_F32};
}

/* ---- Files -------------------------------------------------------------------------------- */

static c2c_status open_projector(const char *folder) {
    backend *b;
    projector p;
    assert_ok(backend_cpu_open(&b, 1, &test_error));
    test_error = (c2c_error){0};
    c2c_status status = projector_open(&p, b, folder, 0, &test_error);
    if (!status)
        projector_close(&p, b);
    backend_close(b);
    return status;
}

/* Opens a projector whose description ends with `members`, which win over the earlier ones. */
static c2c_status open_with(const char *members) {
    const made_options o = usual_options();
    made_dict d;
    uint64_t random = 3;
    char *folder = test_folder_make();
    made_dict_fill(&d, &o, &random);
    made_write_json(folder, 0, &o, members);
    made_write_tensors(folder, 0, &d, o.type);
    c2c_status status = open_projector(folder);
    made_dict_free(&d);
    test_folder_remove(folder);
    return status;
}

static void test_options_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *members;
        c2c_status status;
        const char *parts[3];
    } rows[] = {
        {", \"gate_granularity\": \"head_merged\"",
         C2C_STATUS_UNSUPPORTED,
         {"projector_0.json", "gate_granularity \"head_merged\"", "gate_depends_on_input false"}},
        {", \"weight_granularity\": \"head_merged\"",
         C2C_STATUS_UNSUPPORTED,
         {"projector_0.json", "weight_granularity \"head_merged\"",
          "weight_depends_on_input false"}},
        {", \"gate_granularity\": \"token\", \"gate_depends_on_input\": true",
         C2C_STATUS_UNSUPPORTED,
         {"projector_0.json", "gate_granularity \"token\"", "gate_depends_on_input true"}},
        {", \"gate_granularity\": \"layer\"",
         C2C_STATUS_UNSUPPORTED,
         {"gate_granularity: \"layer\"", "scalar, token, head, head_merged, value", ""}},
        {", \"weight_granularity\": \"\"",
         C2C_STATUS_UNSUPPORTED,
         {"weight_granularity: \"\" is not supported", "", ""}},
        {", \"gate_input_features\": \"source_key\"",
         C2C_STATUS_UNSUPPORTED,
         {"gate_input_features: \"source_key\"", "target_projected_both", ""}},
        {", \"weight_input_features\": \"key\"",
         C2C_STATUS_UNSUPPORTED,
         {"weight_input_features: \"key\"", "target_key, target_value, both", ""}},
        {", \"activation\": \"tanh\"",
         C2C_STATUS_UNSUPPORTED,
         {"activation: \"tanh\"", "gelu, relu, silu", ""}},
        {", \"activation\": 3", C2C_STATUS_BAD_FILE, {"activation", "a string", ""}},
        {", \"scalar_temperature\": 0", C2C_STATUS_BAD_FILE, {"scalar_temperature", "above 0", ""}},
        {", \"scalar_temperature\": 1e-60",
         C2C_STATUS_BAD_FILE,
         {"scalar_temperature", "above 0", ""}},
        {", \"dropout\": 1.5", C2C_STATUS_BAD_FILE, {"dropout", "from 0 to 1", "1.5"}},
        {", \"num_layers\": 0", C2C_STATUS_BAD_FILE, {"num_layers", "0", ""}},
        {", \"num_layers\": 17", C2C_STATUS_BAD_FILE, {"num_layers", "17", ""}},
        {", \"hidden_dim\": 99999999", C2C_STATUS_BAD_FILE, {"hidden_dim", "99999999", ""}},
        {", \"use_concat\": 1", C2C_STATUS_BAD_FILE, {"use_concat", "projector_0.json", ""}},
    };
    assert_ok(open_with(""));
    assert_ok(open_with(", \"gate_granularity\": null, \"pos_emb\": false, \"use_gumbel\": false"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(open_with(rows[i].members), rows[i].status, rows[i].parts[0], rows[i].parts[1],
                     rows[i].parts[2]);
}

/* The tensors are those of the usual options; the description asks for others. */
static void test_tensors_that_do_not_fit_the_options(void **state) {
    (void)state;
    static const struct {
        const char *members;
        const char *parts[2];
    } rows[] = {
        {", \"weight_granularity\": \"token\"", {"tensor key_weight", "expected shape [64]"}},
        {", \"weight_granularity\": \"head\", \"max_sequence_length\": 9",
         {"tensor key_weight", "expected shape [9, 2]"}},
        {", \"weight_granularity\": \"value\"",
         {"tensor key_weight", "expected shape [64, 2, 32]"}},
        {", \"gate_granularity\": \"value\"", {"tensor gate_logit", "expected shape [64, 2, 32]"}},
        {", \"weight_depends_on_input\": true", {"tensor key_weight_head.weight is missing", ""}},
        {", \"gate_depends_on_input\": true", {"gate_generator.layers.0.weight is missing", ""}},
        {", \"use_concat\": true", {"tensor key_combiner.weight is missing", ""}},
        {", \"use_swiglu\": true", {"key_projection.layers.0.gate_proj.weight is missing", ""}},
        {", \"use_layer_norm\": false", {"key_projection.layers.2.weight is missing", ""}},
        {", \"dropout\": 0.2", {"key_projection.layers.4.weight is missing", ""}},
        {", \"num_layers\": 1", {"key_projection.layers.0.weight", "expected shape [64, 16]"}},
        {", \"hidden_dim\": 13", {"key_projection.layers.0.weight", "expected shape [13, 16]"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_fails(open_with(rows[i].members), C2C_STATUS_BAD_FILE, "projector_0.safetensors",
                     rows[i].parts[0], rows[i].parts[1]);
}

/* One tensor less or more; of every name. */
static void test_missing_and_unknown_tensors(void **state) {
    (void)state;
    made_options o = usual_options();
    o.weight = (made_logits){GRANULARITY_HEAD, true, 2};
    o.gate = (made_logits){GRANULARITY_VALUE, true, 5};
    o.concat = true;
    made_dict d;
    uint64_t random = 5;
    char *folder = test_folder_make();
    made_dict_fill(&d, &o, &random);
    made_write_json(folder, 0, &o, "");
    made_write_tensors(folder, 0, &d, o.type);
    assert_ok(open_projector(folder));
    for (int i = 0; i < d.count; i++) {
        made_dict less = d;
        less.items[i] = less.items[--less.count];
        made_write_tensors(folder, 0, &less, o.type);
        if (strcmp(d.items[i].name, "gate_temperature") == 0)
            assert_ok(open_projector(folder)); /* only training reads it */
        else
            assert_fails(open_projector(folder), C2C_STATUS_BAD_FILE, d.items[i].name, "missing");
    }
    static const char *const strangers[] = {"gate_logit",
                                            "key_gate_logit",
                                            "key_weight",
                                            "weight_head.weight",
                                            "key_gate_generator.layers.0.bias",
                                            "key_projection.layers.2.weight"};
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        made_dict more = d;
        made_tensor *added = made_add(&more, strangers[i], 0, 0, 0, 0);
        made_write_tensors(folder, 0, &more, o.type);
        assert_fails(open_projector(folder), C2C_STATUS_BAD_FILE, strangers[i], "no such tensor");
        free(added->data);
    }
    made_dict_free(&d);
    test_folder_remove(folder);
}

/* ---- Sessions ----------------------------------------------------------------------------- */

static char *write_fuser(const made_options *o) {
    char *folder = test_folder_make(), map[256] = "", *end = map;
    uint64_t random = 21;
    for (int i = 0; i < LAYERS; i++) {
        made_dict d;
        made_dict_fill(&d, o, &random);
        made_write_json(folder, i, o, "");
        made_write_tensors(folder, i, &d, o->type);
        made_dict_free(&d);
        end += sprintf(end, "%s\"%d\": [[%d, %d]]", i ? ", " : "{\"0\": {\"1\": {", i, i + 1, i);
    }
    end += sprintf(end, "}}}");
    test_file_write(folder, "projector_config.json", map, (size_t)(end - map));
    return folder;
}

static fused_pair open_pair(backend *b, const char *folder) {
    return fused_pair_open(b, C2C_COMPUTE_F32, folder);
}

/* The same bits of a run: logits of the last section, and one step. */
typedef struct run {
    float *logits;
    size_t bytes;
} run;

static c2c_session *open_session(const fused_pair *p, int chunk, bool include_response) {
    const c2c_pair pairs[1] = {{.sharer = p->sharer, .fuser = p->fuser}};
    const c2c_session_options options = {.context = 128,
                                         .chunk = chunk,
                                         .include_response = include_response};
    c2c_session *session;
    assert_ok(c2c_session_open(&session, p->receiver, pairs, 1, &options, &test_error));
    return session;
}

static c2c_status prefill(c2c_session *session, const c2c_section *sections, size_t count,
                          float *logits) {
    int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++)
        ids[i] = (i * 97 + 13) % 550;
    const c2c_plan plan = {.ids = ids,
                           .token_count = PROMPT,
                           .sections = sections,
                           .section_count = count};
    test_error = (c2c_error){0};
    return session_prefill_logits(session, &plan, logits, &test_error);
}

static run run_session(const fused_pair *p, int chunk, bool include_response) {
    static const c2c_section sections[] = {{9, 1}, {3, -1}, {22, 1}, {7, -1}};
    c2c_session *session = open_session(p, chunk, include_response);
    size_t vocabulary = (size_t)p->receiver->config.vocabulary;
    run r = {.bytes = 8 * vocabulary * sizeof(float)};
    r.logits = malloc(r.bytes);
    assert_non_null(r.logits);
    assert_ok(prefill(session, sections, 4, r.logits));
    assert_ok(session_step(session, 17, r.logits + 7 * vocabulary, &test_error));
    c2c_session_close(session);
    return r;
}

/* Of every kind of dependence on the section: none, places, means, both. */
static void section_options(made_options options[4]) {
    for (int i = 0; i < 4; i++)
        options[i] = usual_options();
    options[0].weight = (made_logits){GRANULARITY_HEAD_MERGED, true, 3};
    options[1].weight.granularity = GRANULARITY_VALUE;
    options[2].weight = (made_logits){GRANULARITY_SCALAR, true, 5};
    options[3].weight = (made_logits){GRANULARITY_SCALAR, true, 0};
    options[3].gate.granularity = GRANULARITY_HEAD;
}

static void test_chunks_and_backends_give_the_same_bits(void **state) {
    (void)state;
    made_options options[4];
    section_options(options);
    for (int i = 0; i < 4; i++) {
        char *folder = write_fuser(&options[i]);
        for (int response = 0; response < 2; response++) {
            run first = {0};
            static const struct {
                int chunk, threads;
                bool queue;
            } ways[] = {{64, 1, false}, {1, 1, false}, {5, 3, false}, {16, 2, true}};
            for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
                backend *b = backend_for_test(ways[w].threads, ways[w].queue);
                fused_pair p = open_pair(b, folder);
                assert_int_equal(p.fuser->by_section, i > 0);
                assert_int_equal(p.fuser->longest_section, i == 1 || i == 3 ? 64 : 0);
                run got = run_session(&p, ways[w].chunk, response);
                if (first.logits)
                    assert_memory_equal(first.logits, got.logits, first.bytes);
                if (first.logits)
                    free(got.logits);
                else
                    first = got;
                fused_pair_close(&p);
            }
            free(first.logits);
        }
        test_folder_remove(folder);
    }
}

static void test_sections_that_are_too_long(void **state) {
    (void)state;
    made_options o = usual_options();
    o.gate.granularity = GRANULARITY_TOKEN;
    o.max_length = 20;
    char *folder = write_fuser(&o);
    backend *b;
    assert_ok(backend_cpu_open(&b, 1, &test_error));
    fused_pair p = open_pair(b, folder);
    c2c_session *session = open_session(&p, 16, false);
    static const c2c_section too_long[] = {{19, 1}, {21, 1}, {1, -1}},
                             fine[] = {{20, 1}, {20, 1}, {1, -1}},
                             not_fused[] = {{19, 1}, {21, -1}, {1, -1}},
                             last[] = {{20, 1}, {21, 1}};
    assert_fails(prefill(session, too_long, 3, NULL), C2C_STATUS_INVALID_ARGUMENT, "section 1",
                 "21 tokens", "at most 20", "max_sequence_length");
    assert_int_equal(session->receiver.used, 0); /* before anything ran */
    assert_ok(prefill(session, fine, 3, NULL));
    c2c_session_reset(session);
    assert_ok(prefill(session, not_fused, 3, NULL));
    c2c_session_reset(session);
    assert_ok(prefill(session, last, 2, NULL)); /* the last section is never fused */
    c2c_session_close(session);
    /* Of parameters of one number there is no end. */
    fused_pair_close(&p);
    test_folder_remove(folder);
    o = usual_options();
    o.max_length = 2;
    folder = write_fuser(&o);
    assert_ok(backend_cpu_open(&b, 1, &test_error));
    p = open_pair(b, folder);
    session = open_session(&p, 16, false);
    assert_ok(prefill(session, too_long, 3, NULL));
    c2c_session_close(session);
    fused_pair_close(&p);
    test_folder_remove(folder);
}

/* ---- Several sharers ---------------------------------------------------------------------- */

#define LONG (FUSE_BLOCK_ROWS + 36)

/* The last layer's keys after a section of LONG tokens that the sharers of `mask` are fused into.
 */
static float *fused_keys(const fused_pair *p, c2c_fuser *second, c2c_fusion_mode mode,
                         int32_t mask) {
    const c2c_pair pairs[2] = {{p->sharer, p->fuser}, {p->sharer, second}};
    const c2c_session_options options = {.context = LONG + 1, .fusion_mode = mode};
    const c2c_section sections[] = {{LONG, mask}, {1, -1}};
    const model_config *config = &p->receiver->config;
    int32_t ids[LONG + 1];
    for (int i = 0; i <= LONG; i++)
        ids[i] = (i * 97 + 13) % 550;
    const c2c_plan plan = {.ids = ids,
                           .token_count = LONG + 1,
                           .sections = sections,
                           .section_count = 2};
    c2c_session *session;
    size_t count = (size_t)((LONG + 1) * config->kv_heads * config->head_dim);
    float *keys = malloc(count * sizeof *keys), *values = malloc(count * sizeof *values);
    assert_true(keys && values);
    assert_ok(c2c_session_open(&session, p->receiver, pairs, 2, &options, &test_error));
    assert_ok(session_prefill_logits(session, &plan, NULL, &test_error));
    session_cache_read(session, config->layers - 1, keys, values);
    c2c_session_close(session);
    free(values);
    return keys;
}

/* K = K0 + (K1 - K0) + (K2 - K0), where both fusers read the mean of the whole section although
 * its rows are written block by block. */
static void test_parallel_sharers_read_the_clean_section(void **state) {
    (void)state;
    made_options o = usual_options();
    o.weight = (made_logits){GRANULARITY_SCALAR, true, 5};
    o.gate = (made_logits){GRANULARITY_HEAD, true, 2};
    char *folder = write_fuser(&o);
    o.hidden = 7;
    o.weight = (made_logits){GRANULARITY_VALUE, false, 0}; /* of the place in the section */
    o.max_length = LONG;
    char *other = write_fuser(&o);
    backend *b;
    assert_ok(backend_cpu_open(&b, 2, &test_error));
    fused_pair p = open_pair(b, folder);
    c2c_fuser *second;
    assert_ok(c2c_fuser_open(&second, p.receiver, p.sharer, other, &test_error));
    float *clean = fused_keys(&p, second, C2C_FUSION_PARALLEL, -1);
    float *one = fused_keys(&p, second, C2C_FUSION_SEQUENTIAL, 1);
    float *two = fused_keys(&p, second, C2C_FUSION_SEQUENTIAL, 2);
    float *both = fused_keys(&p, second, C2C_FUSION_PARALLEL, 3);
    int features = p.receiver->config.kv_heads * p.receiver->config.head_dim;
    float change = 0;
    for (int i = 0; i < LONG * features; i++) {
        float expected = one[i] + two[i] - clean[i];
        change = fmaxf(change, fabsf(expected - clean[i]));
        /* the order of two sums */
        assert_true(fabsf(both[i] - expected) <= 2e-6f * fmaxf(1, fabsf(expected)));
    }
    assert_true(change > 0.1f);
    free(clean);
    free(one);
    free(two);
    free(both);
    c2c_fuser_close(second);
    fused_pair_close(&p);
    test_folder_remove(folder);
    test_folder_remove(other);
}

/* ---- Closed gates ------------------------------------------------------------------------- */

/* A shared gate that is closed: the receiver's rows stay, shrink or vanish, and the projection is
 * not run for it. */
static void test_closed_gates(void **state) {
    (void)state;
    backend *b;
    assert_ok(backend_cpu_open(&b, 1, &test_error));
    for (int form = 0; form < 3; form++) {
        made_options o = usual_options();
        o.add_self = form != 2;
        o.preserve = form == 1;
        char *folder = test_folder_make();
        made_dict d;
        uint64_t random = 9;
        made_dict_fill(&d, &o, &random);
        for (int i = 0; i < d.count; i++)
            if (strcmp(d.items[i].name, "gate_logit") == 0)
                d.items[i].data[0] = 0; /* not above 0 */
        made_write_json(folder, 0, &o, "");
        made_write_tensors(folder, 0, &d, o.type);
        lone_fuser f;
        assert_ok(lone_fuser_open(&f, b, folder, 1, &test_error));
        assert_int_equal(f.fuser.stack_count, form == 0 ? 0 : 1);
        float sharer[2 * 3 * 16], receiver[2 * 3 * 64], out[2 * 3 * 64];
        for (int i = 0; i < 2 * 3 * 16; i++)
            sharer[i] = made_float(&random);
        for (int i = 0; i < 2 * 3 * 64; i++)
            receiver[i] = made_float(&random);
        lone_fuser_run(&f, 3, sharer, receiver, out, false);
        for (int i = 0; i < 2 * 3 * 64; i++) {
            const made_tensor *w = made_find(&d, "%s_weight", i < 3 * 64 ? "key" : "value");
            double left = 1 - 1 / (1 + exp(-w->data[0] / o.temperature));
            double expected = receiver[i] * (form == 0 ? 1 : form == 1 ? left : 0);
            assert_true(fabs(out[i] - expected) <= 1e-6); /* one sigmoid, two roundings */
        }
        lone_fuser_close(&f);
        made_dict_free(&d);
        test_folder_remove(folder);
    }
    backend_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_that_are_refused),
        cmocka_unit_test(test_tensors_that_do_not_fit_the_options),
        cmocka_unit_test(test_missing_and_unknown_tensors),
        cmocka_unit_test(test_chunks_and_backends_give_the_same_bits),
        cmocka_unit_test(test_sections_that_are_too_long),
        cmocka_unit_test(test_parallel_sharers_read_the_clean_section),
        cmocka_unit_test(test_closed_gates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
