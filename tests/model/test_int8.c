/* test_int8.c - models with 8-bit matrices, with rounded caches, and computed in bf16: how much
 * worse they predict real text; and that the first are what was promised: smaller, and the same
 * bits with any number of threads. */
#include "session/session.h"
#include "support/test.h"

#include <math.h>
#include <stdlib.h>

#define DEMO_RECEIVER "share/demo/receiver"
#define TEXT_TOKENS   256 /* the smaller context of the two story models */

/* Logits of every token of a text, by a model that is opened as the options say. */
typedef struct prediction {
    int32_t *ids;
    size_t count, vocabulary;
    float *logits; /* [count, vocabulary] */
    int64_t weight_bytes;
} prediction;

static void predict_as(prediction *p, const char *folder, const char *text, size_t length,
                       c2c_model_options options, c2c_cache_type cache, int threads) {
    const c2c_engine_options engine_options = {.threads = threads};
    c2c_engine *engine;
    c2c_model *model;
    c2c_session *session;
    c2c_model_info info;
    assert_ok(c2c_engine_open(&engine, &engine_options, &test_error));
    assert_ok(c2c_model_open(&model, engine, folder, &options, &test_error));
    assert_ok(c2c_model_encode(model, text, length, true, &p->ids, &p->count, &test_error));
    c2c_model_describe(model, &info);
    if (p->count > TEXT_TOKENS)
        p->count = TEXT_TOKENS;
    p->vocabulary = (size_t)info.vocabulary_size;
    p->weight_bytes = info.weight_bytes;
    p->logits = malloc(p->count * p->vocabulary * sizeof *p->logits);
    assert_non_null(p->logits);
    const c2c_session_options session_options = {.context = (int64_t)p->count, .cache = cache};
    const c2c_section all = {.length = (int64_t)p->count};
    const c2c_plan plan = {.ids = p->ids,
                           .token_count = all.length,
                           .sections = &all,
                           .section_count = 1};
    assert_ok(c2c_session_open(&session, model, NULL, 0, &session_options, &test_error));
    assert_ok(session_prefill_logits(session, &plan, p->logits, &test_error));
    c2c_session_close(session);
    c2c_model_close(model);
    c2c_engine_close(engine);
}

static void predict(prediction *p, const char *folder, const char *text, size_t length,
                    c2c_model_weights weights, c2c_cache_type cache, int threads) {
    predict_as(p, folder, text, length, (c2c_model_options){.weights = weights}, cache, threads);
}

static void prediction_free(prediction *p) {
    c2c_free(p->ids);
    free(p->logits);
}

/* log of the sum of e^x. */
static double log_sum(const float *x, size_t count) {
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, (double)x[i]);
    for (size_t i = 0; i < count; i++)
        sum += exp((double)x[i] - largest);
    return largest + log(sum);
}

/* Mean of -log p(next token). */
static double mean_loss(const prediction *p) {
    double loss = 0;
    for (size_t i = 0; i + 1 < p->count; i++) {
        const float *row = p->logits + i * p->vocabulary;
        loss += log_sum(row, p->vocabulary) - (double)row[p->ids[i + 1]];
    }
    return loss / (double)(p->count - 1);
}

/* Mean over the tokens of sum_v p(v) log(p(v) / q(v)). */
static double mean_divergence(const prediction *p, const prediction *q) {
    double sum = 0;
    for (size_t i = 0; i < p->count; i++) {
        const float *a = p->logits + i * p->vocabulary, *b = q->logits + i * p->vocabulary;
        double a_sum = log_sum(a, p->vocabulary), b_sum = log_sum(b, p->vocabulary);
        for (size_t v = 0; v < p->vocabulary; v++) {
            double log_p = (double)a[v] - a_sum, log_q = (double)b[v] - b_sum;
            sum += exp(log_p) * (log_p - log_q);
        }
    }
    return sum / (double)p->count;
}

/* The bounds were fixed before anything was measured: perplexity rises by at most 1%, and the mean
 * divergence stays below 0.01. */
/* How much worse a prediction of the same text is than another one. */
static void check_loss(const prediction *p, const prediction *q, const char *name,
                       const char *what) {
    assert_true(p->count == q->count && p->count > 100);
    double ratio = exp(mean_loss(q) - mean_loss(p)), divergence = mean_divergence(p, q);
    print_message("%s: perplexity %.4f, times %.5f with %s; mean divergence %.6f\n", name,
                  exp(mean_loss(p)), ratio, what, divergence);
    assert_true(ratio <= 1.01);
    assert_true(divergence >= 0 && divergence < 0.01);
}

static void check_story_model(const char *name) {
    const char *assets = test_shared("assets");
    if (!assets) {
        print_message("SKIP: ../shared/assets is not there\n");
        skip();
    }
    char *models = path_join(assets, "models"), *folder = path_join(models, name);
    char *path = path_join(assets, "text/tinystories_sample.txt");
    file_map text;
    prediction stored = {0}, int8 = {0}, rounded = {0}, bf16 = {0};
    assert_ok(file_map_open(&text, path, &test_error));
    size_t length = text.size < 4000 ? text.size : 4000;
    while (length > 0 && length < text.size && (text.data[length] & 0xc0) == 0x80)
        length--; /* not inside a character */
    predict(&stored, folder, (const char *)text.data, length, C2C_MODEL_WEIGHTS_STORED,
            C2C_CACHE_F32, 2);
    predict(&int8, folder, (const char *)text.data, length, C2C_MODEL_WEIGHTS_INT8, C2C_CACHE_F32,
            2);
    predict(&rounded, folder, (const char *)text.data, length, C2C_MODEL_WEIGHTS_STORED,
            C2C_CACHE_BF16, 2);
    predict_as(&bf16, folder, (const char *)text.data, length,
               (c2c_model_options){.compute = C2C_COMPUTE_BF16}, C2C_CACHE_BF16, 2);
    check_loss(&stored, &int8, name, "int8");
    check_loss(&stored, &rounded, name, "a bf16 cache");
    check_loss(&stored, &bf16, name, "bf16 throughout");
    prediction_free(&stored);
    prediction_free(&int8);
    prediction_free(&rounded);
    prediction_free(&bf16);
    file_map_close(&text);
    free(path);
    free(folder);
    free(models);
}

static void test_stories260k_predicts_as_well(void **state) {
    (void)state;
    check_story_model("stories260K");
}

static void test_babyllama_predicts_as_well(void **state) {
    (void)state;
    check_story_model("babyllama105");
}

/* The demo pair's receiver is always there. Two bytes became one; the embedding, which is tied to
 * the head, stays beside the head's integers. */
static void test_int8_is_small_and_repeats(void **state) {
    (void)state;
    static const char text[] = "The favourite colour of Kumaso is one that nobody has told me yet.";
    prediction stored = {0}, one = {0}, three = {0};
    predict(&stored, DEMO_RECEIVER, text, sizeof text - 1, C2C_MODEL_WEIGHTS_STORED, C2C_CACHE_AUTO,
            1);
    predict(&one, DEMO_RECEIVER, text, sizeof text - 1, C2C_MODEL_WEIGHTS_INT8, C2C_CACHE_AUTO, 1);
    predict(&three, DEMO_RECEIVER, text, sizeof text - 1, C2C_MODEL_WEIGHTS_INT8, C2C_CACHE_AUTO,
            3);
    size_t bytes = one.count * one.vocabulary * sizeof *one.logits;
    assert_memory_equal(one.logits, three.logits, bytes);
    assert_memory_not_equal(one.logits, stored.logits, bytes);
    assert_true(mean_divergence(&stored, &one) < 0.01);
    assert_true(one.weight_bytes < stored.weight_bytes);
    prediction_free(&stored);
    prediction_free(&one);
    prediction_free(&three);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories260k_predicts_as_well),
        cmocka_unit_test(test_babyllama_predicts_as_well),
        cmocka_unit_test(test_int8_is_small_and_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
