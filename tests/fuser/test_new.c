/* Untrained fusers: what recipes make, how weights are distributed, what seeds change, and that
 * they can be saved and opened again. */
#include "support/test.h"
#include "support/tiny_pair.h"

#include "fuser/fuser.h"

#include <unistd.h>

#define DATA  "tests/golden/data/"
#define FUSER DATA "fusers/qwen3_from_qwen2/"

static c2c_fuser *make(const tiny_pair *f, const char *recipe, uint64_t seed,
                       c2c_weight_type type) {
    c2c_fuser *fuser;
    const c2c_recipe r = {.text = recipe, .seed = seed, .type = type};
    assert_ok(c2c_fuser_new(&fuser, f->receiver, f->sharer, &r, &test_error));
    return fuser;
}

#define C2C_RECIPE(options)                                                                        \
    "{\"model\": {\"projector\": {\"type\": \"C2CProjector\", \"params\": {\"hidden_dim\": 96, "   \
    "\"intermediate_dim\": 160, \"num_layers\": 4" options "}}, \"mapping\": \"last_aligned\"}}"
#define PURE_RECIPE                                                                                \
    "{\"projector\": {\"type\": \"AblationProjector\", \"params\": {\"hidden_dim\": 64, "          \
    "\"intermediate_dim\": 48, \"ablation_level\": 3}}, \"mapping\": \"k_nearest\"}"

/* ---- What is made ------------------------------------------------------------------------- */

/* The recipe of the golden fuser describes it to the byte as the original did. */
static void test_descriptions_are_the_published_ones(void **state) {
    const tiny_pair *f = *state;
    json_document *document, *description;
    fuser_recipe recipe;
    buffer text = {0};
    file_map published;
    assert_ok(json_open(&document, FUSER "config.json", &test_error));
    assert_ok(fuser_recipe_parse(&recipe, document, &test_error));
    assert_ok(fuser_recipe_describe(&description, &recipe, &f->receiver->config, &f->sharer->config,
                                    DTYPE_F32, &test_error));
    projector_json_write(&text, json_root(description), DTYPE_COUNT);
    assert_ok(file_map_open(&published, FUSER "final/projector_0.json", &test_error));
    assert_int_equal(text.length, published.size);
    assert_memory_equal(text.data, published.data, text.length);
    file_map_close(&published);
    buffer_free(&text);
    json_close(description);
    json_close(document);
}

/* A new projector of the sizes of a published one has its tensors: names, shapes, ranks. */
static void check_against(const char *folder) {
    json_document *document;
    projector_spec spec;
    tensor_file *published, *made;
    int64_t parameters, elements = 0;
    char *json = projector_path(folder, 0, ".json"), *pt = projector_path(folder, 0, ".pt");
    assert_ok(json_open(&document, json, &test_error));
    assert_ok(projector_spec_parse(&spec, document, &test_error));
    assert_ok(tensor_file_open(&published, pt, &test_error));
    assert_ok(projector_start_tensors(&made, &spec, 0, 1, DTYPE_F32, &test_error));
    if (tensor_file_count(made) != tensor_file_count(published))
        fail_msg("%s: %zu tensors, expected %zu", pt, tensor_file_count(made),
                 tensor_file_count(published));
    for (size_t i = 0; i < tensor_file_count(made); i++) {
        const named_tensor *a = tensor_file_at(made, i), *b = tensor_file_at(published, i);
        char x[TENSOR_SHAPE_TEXT], y[TENSOR_SHAPE_TEXT];
        assert_string_equal(a->name, b->name);
        tensor_shape_text(&a->view, x);
        tensor_shape_text(&b->view, y);
        assert_string_equal(x, y);
        elements += tensor_elements(&a->view);
    }
    assert_true(projector_parameters(&spec, &parameters));
    assert_int_equal(parameters, elements);
    tensor_file_close(made);
    tensor_file_close(published);
    json_close(document);
    free(json);
    free(pt);
}

typedef struct visited {
    const char *root;
    int count;
} visited;

static c2c_status check_folder(void *user, const char *name, c2c_error *error) {
    visited *v = user;
    char *folder = path_join(v->root, name), *final = path_join(folder, "final");
    char *flat = path_join(folder, "projector_0.pt"), *nested = path_join(final, "projector_0.pt");
    if (file_exists(flat) || file_exists(nested)) {
        check_against(file_exists(flat) ? folder : final);
        v->count++;
    }
    free(folder), free(final), free(flat), free(nested);
    (void)error;
    return C2C_STATUS_OK;
}

static void test_tensors_are_the_published_ones(void **state) {
    (void)state;
    check_against(FUSER "final");
    const char *shared = test_shared("golden");
    if (!shared) {
        print_message("SKIP: no ../shared/golden with projectors of every kind\n");
        skip();
    }
    static const char *const kinds[] = {"fusers", "projectors"};
    visited v = {0};
    for (int i = 0; i < 2; i++) {
        char *root = path_join(test_shared("golden"), kinds[i]);
        v.root = root;
        assert_ok(folder_each(root, check_folder, &v, &test_error));
        free(root);
    }
    assert_true(v.count > 1);
}

static void test_layer_maps(void **state) {
    const tiny_pair *f = *state;
    int map[64], expected[64];
    c2c_fuser *fuser = make(f, C2C_RECIPE(""), 0, C2C_WEIGHT_AS_IS);
    c2c_layer_map_last_aligned(4, 6, expected);
    c2c_fuser_layer_map(fuser, map);
    assert_memory_equal(map, expected, 4 * sizeof *map);
    assert_int_equal(fuser->sharer_layers, 6);
    /* Gates start closed: nothing is to be computed. */
    assert_int_equal(fuser->stack_count, 0);
    c2c_fuser_close(fuser);
    fuser = make(f, PURE_RECIPE, 0, C2C_WEIGHT_AS_IS);
    c2c_layer_map_k_nearest(4, 6, expected);
    c2c_fuser_layer_map(fuser, map);
    assert_memory_equal(map, expected, 4 * sizeof *map);
    assert_int_equal(fuser->stack_count, 1);
    assert_int_equal(fuser->stacks[0].groups, 8);
    c2c_fuser_close(fuser);
}

/* ---- In use ------------------------------------------------------------------------------- */

#define ANSWER 6

typedef struct answer_ids {
    int32_t ids[ANSWER];
    int count;
} answer_ids;

static bool keep_id(void *user, int32_t id, const char *text, size_t length) {
    answer_ids *a = user;
    (void)text, (void)length;
    a->ids[a->count++] = id;
    return true;
}

/* Greedy ids after a fixed prompt, the sharer fused into it where there is a fuser. */
static answer_ids answer(const tiny_pair *f, const c2c_fuser *fuser) {
    static const int32_t prompt[] = {5, 17, 300, 41, 77, 8, 120, 9};
    answer_ids a = {0};
    c2c_session *session;
    const c2c_pair pair = {.sharer = f->sharer, .fuser = fuser};
    assert_ok(c2c_session_open(&session, f->receiver, &pair, fuser != NULL, NULL, &test_error));
    assert_ok(
        c2c_session_prefill(session, &(c2c_plan){.ids = prompt, .token_count = 8}, &test_error));
    assert_ok(c2c_session_generate(session, ANSWER, keep_id, &a, NULL, &test_error));
    c2c_session_close(session);
    return a;
}

/* Closed gates change nothing; pure C2C has none, and replaces the receiver's cache at once. */
static void test_untrained_fusers_run(void **state) {
    const tiny_pair *f = *state;
    c2c_fuser *gated = make(f, C2C_RECIPE(""), 4, C2C_WEIGHT_AS_IS);
    c2c_fuser *pure = make(f, PURE_RECIPE, 4, C2C_WEIGHT_BF16);
    answer_ids alone = answer(f, NULL), closed = answer(f, gated), open = answer(f, pure);
    assert_int_equal(alone.count, ANSWER);
    assert_memory_equal(&alone, &closed, sizeof alone);
    assert_memory_not_equal(&alone, &open, sizeof alone);
    /* Nothing asks for what the sharer would compute, or for what is replaced. */
    assert_int_equal(gated->sharer_used, 0);
    assert_int_equal(pure->sharer_used, 6);
    assert_true(pure->replaces && !gated->replaces);
    c2c_fuser_close(gated);
    c2c_fuser_close(pure);
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static const tensor *find(const c2c_fuser *fuser, int projector, const char *name) {
    const named_tensor *found = tensor_file_find(fuser->projectors[projector].tensors, name);
    if (!found)
        fail_msg("no tensor %s", name);
    return &found->view;
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Uniform between -bound and bound, by its moments, its neighbours, and the Kolmogorov-Smirnov
 * distance. The seeds are fixed, so the limits (5 standard deviations; 1.95 / sqrt(n), which one in
 * a thousand samples exceeds) are passed or not once and for all. */
static void assert_uniform(const tensor *t, double bound) {
    int64_t n = tensor_elements(t);
    const float *x = t->data;
    double sum = 0, squares = 0, products = 0, distance = 0;
    for (int64_t i = 0; i < n; i++) {
        assert_true(fabs((double)x[i]) <= bound);
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        products += i ? (double)x[i] * (double)x[i - 1] : 0;
    }
    double root = sqrt((double)n), variance = bound * bound / 3;
    assert_true(fabs(sum / (double)n) < 5 * sqrt(variance) / root);
    assert_true(fabs(squares / (double)n - variance) < 5 * bound * bound * sqrt(4.0 / 45) / root);
    assert_true(fabs(products / (double)n) < 5 * variance / root);
    float *sorted = malloc((size_t)n * sizeof *sorted);
    memcpy(sorted, x, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_floats);
    for (int64_t i = 0; i < n; i++) {
        double expected = ((double)sorted[i] / bound + 1) / 2;
        distance = fmax(distance, fabs((double)(i + 1) / (double)n - expected));
        distance = fmax(distance, fabs((double)i / (double)n - expected));
    }
    assert_true(distance < 1.95 / root);
    free(sorted);
}

static void assert_all(const tensor *t, float value) {
    for (int64_t i = 0; i < tensor_elements(t); i++)
        assert_true(tensor_get_f32(t, i) == value);
}

/* What torch.nn.Linear, RMSNorm and the projector's own code start as. */
static void test_linears_and_norms(void **state) {
    c2c_fuser *fuser = make(*state, C2C_RECIPE(", \"initial_temperature\": 0.75"), 5, 0);
    for (int i = 0; i < 4; i++) {
        static const char *const sides[] = {"key", "value"};
        for (int k = 0; k < 2; k++) {
            static const struct {
                const char *name;
                double inputs;
            } rows[] = {
                {"in.weight", 16 + 64},
                {"in.bias", 16 + 64},
                {"mlp1.blocks.0.w1.weight", 96},
                {"mlp1.blocks.0.w2.weight", 160},
                {"proj_mlp2.blocks.1.w2.weight", 160},
                {"proj_out.weight", 96},
                {"proj_out.bias", 96},
                {"scalar_mlp2.blocks.0.w2.weight", 96},
                {"scalar_head.weight", 96},
                {"scalar_head.bias", 96},
            };
            char name[96];
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                snprintf(name, sizeof name, "%s_%s", sides[k], rows[r].name);
                assert_uniform(find(fuser, i, name), 1 / sqrt(rows[r].inputs));
            }
            snprintf(name, sizeof name, "%s_mlp1.blocks.0.norm.weight", sides[k]);
            assert_all(find(fuser, i, name), 1);
            snprintf(name, sizeof name, "%s_gate_logit", sides[k]);
            assert_all(find(fuser, i, name), 0);
            assert_int_equal(find(fuser, i, name)->rank, 0);
        }
        assert_all(find(fuser, i, "gate_temperature"), 0.75f);
    }
    c2c_fuser_close(fuser);
}

static void test_zero_init(void **state) {
    c2c_fuser *fuser = make(*state, C2C_RECIPE(", \"zero_init\": true"), 5, C2C_WEIGHT_AS_IS);
    assert_all(find(fuser, 1, "key_proj_out.weight"), 0);
    assert_all(find(fuser, 1, "value_proj_out.bias"), 0);
    assert_uniform(find(fuser, 1, "key_scalar_head.weight"), 1 / sqrt(96));
    c2c_fuser_close(fuser);
}

/* LayerNorm, generators of weights, and parameters with a first value. */
static void test_all_in_one(void **state) {
    static const char recipe[] =
        "{\"model\": {\"projector\": {\"type\": \"AllInOneProjector\", \"params\": {"
        "\"hidden_dim\": 64, \"num_layers\": 3, \"gate_granularity\": \"head\", "
        "\"gate_init_value\": 0.25, \"weight_granularity\": \"value\", \"weight_init_value\": "
        "-1.5, "
        "\"max_sequence_length\": 7, \"initial_temperature\": 2}}}}";
    c2c_fuser *fuser = make(*state, recipe, 9, C2C_WEIGHT_AS_IS);
    assert_all(find(fuser, 2, "gate_logit"), 0.25f);
    assert_all(find(fuser, 2, "key_weight"), -1.5f);
    assert_all(find(fuser, 2, "gate_temperature"), 2);
    assert_all(find(fuser, 2, "key_projection.layers.1.weight"), 1);
    assert_all(find(fuser, 2, "key_projection.layers.1.bias"), 0);
    assert_uniform(find(fuser, 2, "value_projection.layers.4.weight"), 1 / sqrt(64));
    assert_uniform(find(fuser, 2, "value_projection.layers.0.bias"), 1 / sqrt(16));
    c2c_fuser_close(fuser);
}

/* How much two tensors of one size and bound have in common, in standard deviations. */
static double correlation(const tensor *a, const tensor *b, double bound) {
    double sum = 0;
    int64_t n = tensor_elements(a);
    for (int64_t i = 0; i < n; i++)
        sum += (double)tensor_get_f32(a, i) * (double)tensor_get_f32(b, i);
    return fabs(sum) / (bound * bound / 3) / sqrt((double)n);
}

static void test_seeds(void **state) {
    c2c_fuser *one = make(*state, C2C_RECIPE(""), 1, C2C_WEIGHT_F32);
    c2c_fuser *again = make(*state, C2C_RECIPE(""), 1, C2C_WEIGHT_F32);
    c2c_fuser *other = make(*state, C2C_RECIPE(""), 2, C2C_WEIGHT_F32);
    c2c_fuser *high = make(*state, C2C_RECIPE(""), UINT64_C(1) << 32 | 1, C2C_WEIGHT_F32);
    for (int i = 0; i < 4; i++) {
        const tensor_file *x = one->projectors[i].tensors, *y = again->projectors[i].tensors;
        for (size_t t = 0; t < tensor_file_count(x); t++)
            assert_memory_equal(tensor_file_at(x, t)->view.data, tensor_file_at(y, t)->view.data,
                                tensor_bytes(&tensor_file_at(x, t)->view));
    }
    static const char name[] = "key_mlp1.blocks.0.w1.weight";
    const tensor *w = find(one, 0, name);
    const tensor *others[] = {
        find(other, 0, name),
        find(high, 0, name),
        find(one, 1, name),
        find(one, 0, "value_mlp1.blocks.0.w1.weight"),
        find(one, 0, "key_proj_mlp2.blocks.0.w1.weight"),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(correlation(w, others[i], 1 / sqrt(96)) < 5);
    /* The numbers themselves are what a seed promises; these were computed by a second program from
     * the definition (Philox of the seed; of the place divided by four, the name's hash, the
     * projector, the site). */
    const float *numbers = find(one, 2, name)->data;
    assert_true(numbers[0] == 0x1.536278p-4f);
    assert_true(numbers[1] == 0x1.0b7116p-4f);
    assert_true(numbers[5] == -0x1.f04a8cp-5f);
    assert_true(numbers[96 * 160 - 1] == 0x1.8514c8p-4f);
    c2c_fuser_close(one);
    c2c_fuser_close(again);
    c2c_fuser_close(other);
    c2c_fuser_close(high);
}

/* The same numbers, rounded. */
static void test_types(void **state) {
    c2c_fuser *wide = make(*state, PURE_RECIPE, 3, C2C_WEIGHT_AS_IS);
    static const c2c_weight_type types[] = {C2C_WEIGHT_BF16, C2C_WEIGHT_F16};
    for (int k = 0; k < 2; k++) {
        c2c_fuser *narrow = make(*state, PURE_RECIPE, 3, types[k]);
        const tensor *a = find(wide, 3, "value_in.weight"), *b = find(narrow, 3, "value_in.weight");
        assert_int_equal(b->type, k ? DTYPE_F16 : DTYPE_BF16);
        for (int64_t i = 0; i < tensor_elements(a); i++) {
            float x = tensor_get_f32(a, i);
            float rounded = k ? f32_from_f16(f16_from_f32(x)) : f32_from_bf16(bf16_from_f32(x));
            assert_true(tensor_get_f32(b, i) == rounded);
        }
        assert_int_equal(narrow->weight_bytes * 2, wide->weight_bytes);
        c2c_fuser_close(narrow);
    }
    c2c_fuser_close(wide);
}

/* ---- Saving ------------------------------------------------------------------------------- */

static void assert_same_fuser(const c2c_fuser *a, const c2c_fuser *b) {
    assert_int_equal(a->projector_count, b->projector_count);
    assert_int_equal(a->map.layers, b->map.layers);
    assert_memory_equal(a->map.links, b->map.links, (size_t)a->map.layers * sizeof *a->map.links);
    for (int i = 0; i < a->projector_count; i++) {
        const tensor_file *x = a->projectors[i].tensors, *y = b->projectors[i].tensors;
        assert_true(projector_specs_equal(&a->projectors[i].spec, &b->projectors[i].spec));
        assert_int_equal(tensor_file_count(x), tensor_file_count(y));
        for (size_t t = 0; t < tensor_file_count(x); t++) {
            const named_tensor *p = tensor_file_at(x, t), *q = tensor_file_at(y, t);
            assert_string_equal(p->name, q->name);
            assert_int_equal(p->view.type, q->view.type);
            assert_int_equal(p->view.rank, q->view.rank);
            assert_memory_equal(p->view.data, q->view.data, tensor_bytes(&p->view));
        }
    }
}

static void test_saved_and_opened(void **state) {
    const tiny_pair *f = *state;
    static const char *const recipes[] = {C2C_RECIPE(", \"dropout\": 0.1"), PURE_RECIPE};
    char *root = test_folder_make(), *out = path_join(root, "out");
    for (int i = 0; i < 4; i++) {
        const c2c_save_options options = {.format = (c2c_format)(i % 2), .replace = i > 0};
        c2c_fuser *made = make(f, recipes[i / 2], 7, i == 3 ? C2C_WEIGHT_BF16 : C2C_WEIGHT_F32);
        c2c_fuser *opened, *resaved;
        assert_ok(c2c_fuser_save(made, out, &options, &test_error));
        assert_ok(c2c_fuser_open(&opened, f->receiver, f->sharer, out, &test_error));
        assert_same_fuser(made, opened);
        /* What was opened can be saved as well, over itself too. */
        assert_ok(c2c_fuser_save(opened, out, &(c2c_save_options){.replace = true}, &test_error));
        assert_ok(c2c_fuser_open(&resaved, f->receiver, f->sharer, out, &test_error));
        assert_same_fuser(made, resaved);
        c2c_fuser_close(resaved);
        c2c_fuser_close(opened);
        c2c_fuser_close(made);
    }
    free(out);
    test_folder_remove(root);
}

/* The golden fuser: its descriptions and its map come out as they went in. */
static void test_saving_what_was_published(void **state) {
    const tiny_pair *f = *state;
    static const char *const names[] = {"projector_config.json", "projector_2.json"};
    char *root = test_folder_make(), *out = path_join(root, "out");
    c2c_fuser *fuser;
    assert_ok(c2c_fuser_open(&fuser, f->receiver, f->sharer, FUSER, &test_error));
    assert_ok(
        c2c_fuser_save(fuser, out, &(c2c_save_options){.format = C2C_FORMAT_PT}, &test_error));
    for (int i = 0; i < 2; i++) {
        file_map a, b;
        char *x = path_join(FUSER "final", names[i]), *y = path_join(out, names[i]);
        assert_ok(file_map_open(&a, x, &test_error));
        assert_ok(file_map_open(&b, y, &test_error));
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
        file_map_close(&a);
        file_map_close(&b);
        free(x);
        free(y);
    }
    assert_fails(c2c_fuser_save(fuser, out, NULL, &test_error), C2C_STATUS_INVALID_ARGUMENT,
                 "out exists already");
    assert_fails(c2c_fuser_save(fuser, root, &(c2c_save_options){.replace = true}, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "out is not a part of a fuser");
    assert_fails(c2c_fuser_save(fuser, "/proc/none/x", NULL, &test_error), C2C_STATUS_NOT_FOUND,
                 "/proc/none/x: cannot write");
    c2c_fuser_close(fuser);
    free(out);
    test_folder_remove(root);
}

/* ---- Bad recipes -------------------------------------------------------------------------- */

#define PARAMS(text)                                                                               \
    "{\"model\": {\"projector\": {\"type\": \"C2CProjector\", \"params\": " text "}}}"

static void test_bad_recipes(void **state) {
    const tiny_pair *f = *state;
    static const struct {
        const char *text;
        c2c_status status;
        const char *holds;
    } rows[] = {
        {"", C2C_STATUS_BAD_FILE, "recipe"},
        {"{}", C2C_STATUS_BAD_FILE, "expected \"projector\", an object"},
        {"[1]", C2C_STATUS_BAD_FILE, "expected \"projector\""},
        {"{\"model\": {\"projector\": \"C2CProjector\"}}", C2C_STATUS_BAD_FILE, "found a string"},
        {"{\"model\": {\"projector\": {}}}", C2C_STATUS_BAD_FILE, "\"type\": expected a string"},
        {"{\"projector\": {\"type\": \"Magic\"}}", C2C_STATUS_UNSUPPORTED,
         "class \"Magic\" is not supported; supported: C2CProjector"},
        {"{\"projector\": {\"type\": \"C2CProjector\"}, \"mapping\": \"random\"}",
         C2C_STATUS_UNSUPPORTED, "expected last_aligned or k_nearest, found \"random\""},
        {PARAMS("[]"), C2C_STATUS_BAD_FILE, "\"params\": expected an object, found an array"},
        {PARAMS("{\"hidden_dim\": 0}"), C2C_STATUS_BAD_FILE, "hidden_dim"},
        {PARAMS("{\"hidden_dim\": \"x\"}"), C2C_STATUS_BAD_FILE, "recipe: projector: \"hidden_dim"},
        {PARAMS("{\"target_dim\": 3}"), C2C_STATUS_BAD_FILE, "\"target_dim\" is not a recipe's"},
        {PARAMS("{\"dtype\": \"float32\"}"), C2C_STATUS_BAD_FILE, "\"dtype\" is not a recipe's"},
        {PARAMS("{\"hidden_dim\": 1048576, \"intermediate_dim\": 1048576, \"num_layers\": 34}"),
         C2C_STATUS_OUT_OF_MEMORY, "MiB are available; choose a smaller hidden_dim"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        c2c_fuser *fuser = (c2c_fuser *)rows;
        const c2c_recipe recipe = {.text = rows[i].text};
        assert_fails(c2c_fuser_new(&fuser, f->receiver, f->sharer, &recipe, &test_error),
                     rows[i].status, rows[i].holds);
        assert_null(fuser);
    }
    c2c_fuser *fuser;
    assert_fails(c2c_fuser_new(&fuser, f->receiver, f->sharer, &(c2c_recipe){0}, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "found neither");
    assert_fails(c2c_fuser_new(&fuser, f->receiver, f->sharer,
                               &(c2c_recipe){.path = "a", .text = "{}"}, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "found both");
    assert_fails(c2c_fuser_new(&fuser, f->receiver, f->sharer, &(c2c_recipe){.path = "none.json"},
                               &test_error),
                 C2C_STATUS_NOT_FOUND, "none.json");
    assert_fails(c2c_fuser_new(&fuser, f->receiver, f->sharer,
                               &(c2c_recipe){.text = PURE_RECIPE, .type = (c2c_weight_type)9},
                               &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "found 9");
}

/* ---- Shipped recipes ---------------------------------------------------------------------- */

/* The sizes of the two models that the recipes name. */
static model_config sizes_of(const char *name) {
    model_config config = {0};
    if (strcmp(name, "Qwen/Qwen3-0.6B") == 0)
        config = (model_config){.layers = 28, .kv_heads = 8, .head_dim = 128};
    else if (strcmp(name, "Qwen/Qwen2.5-0.5B-Instruct") == 0)
        config = (model_config){.layers = 24, .kv_heads = 2, .head_dim = 64};
    else
        fail_msg("%s: a model of unknown sizes", name);
    return config;
}

/* Pure C2C: no scalars, no gates, no receiver. Two linears and two blocks of a norm and two more.
 */
static void check_pure(const json_document *document) {
    fuser_recipe recipe;
    projector_spec spec;
    json_document *description;
    int64_t parameters;
    const json_value *model = json_get(json_root(document), "model");
    model_config receiver = sizes_of(json_get(model, "base_model")->string);
    model_config sharer = sizes_of(json_get(model, "teacher_model")->string);
    assert_ok(fuser_recipe_parse(&recipe, document, &test_error));
    assert_string_equal(recipe.mapping, "last_aligned");
    assert_ok(
        fuser_recipe_describe(&description, &recipe, &receiver, &sharer, DTYPE_BF16, &test_error));
    assert_ok(projector_spec_parse(&spec, description, &test_error));
    assert_ptr_equal(spec.kind, &ablation_projector_kind);
    assert_false(spec.use_scalars || spec.use_gates || spec.use_receiver);
    int64_t h = 1024, in = sharer.kv_heads * sharer.head_dim;
    int64_t out = receiver.kv_heads * receiver.head_dim;
    assert_true(projector_parameters(&spec, &parameters));
    assert_int_equal(parameters, 2 * (h * in + h + out * h + out + 2 * (h + 2 * h * h)));
    json_close(description);
}

/* What training reads is there too; its own tests say what it makes of it. */
static void check_training(const json_value *root) {
    static const char *const parts[] = {"training", "output", "data"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(json_get(root, parts[i])->type, JSON_OBJECT);
    assert_int_equal(json_get(json_get(root, "training"), "freeze")->count, 2);
}

static c2c_status check_recipe(void *user, const char *name, c2c_error *error) {
    (void)error;
    int *count = user;
    if (strncmp(name, "pure_", 5) != 0)
        return C2C_STATUS_OK;
    json_document *document;
    char *path = path_join("recipes", name);
    assert_ok(json_open(&document, path, &test_error));
    check_pure(document);
    check_training(json_root(document));
    ++*count;
    json_close(document);
    free(path);
    return C2C_STATUS_OK;
}

static void test_shipped_recipes(void **state) {
    (void)state;
    int count = 0;
    assert_ok(folder_each("recipes", check_recipe, &count, &test_error));
    assert_int_equal(count, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptions_are_the_published_ones),
        cmocka_unit_test(test_tensors_are_the_published_ones),
        cmocka_unit_test(test_layer_maps),
        cmocka_unit_test(test_untrained_fusers_run),
        cmocka_unit_test(test_linears_and_norms),
        cmocka_unit_test(test_zero_init),
        cmocka_unit_test(test_all_in_one),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_saved_and_opened),
        cmocka_unit_test(test_saving_what_was_published),
        cmocka_unit_test(test_bad_recipes),
        cmocka_unit_test(test_shipped_recipes),
    };
    return cmocka_run_group_tests(tests, tiny_pair_open, tiny_pair_close);
}
