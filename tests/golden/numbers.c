/* numbers.c - one run of a prompt through a session: everything that a golden file records of it,
 * and the comparison of two runs bit by bit. */
#include "golden.h"

/* ---- Running ------------------------------------------------------------------------------ */

static bool greedy_collect(void *user, int32_t id, const char *text, size_t length) {
    (void)text, (void)length;
    prompt_numbers *n = user;
    n->greedy[n->greedy_count++] = id;
    return true;
}

static void prompt_numbers_alloc(prompt_numbers *n, const c2c_model *receiver,
                                 const prompt_job *job) {
    c2c_model_info info;
    c2c_model_describe(receiver, &info);
    n->layers = info.layers;
    n->features = (int64_t)info.kv_heads * info.head_dim;
    n->vocabulary = info.vocabulary_size;
    n->rows = job->rows;
    n->last_rows = job->last_rows;
    n->decode_count = job->decode_count;
    size_t rows = (size_t)n->layers * (size_t)n->rows, vocabulary = (size_t)n->vocabulary;
    n->keys = memory_get(rows * (size_t)n->features, sizeof(float));
    n->values = memory_get(rows * (size_t)n->features, sizeof(float));
    n->logits = memory_get((size_t)n->last_rows * vocabulary, sizeof(float));
    n->decode_logits = memory_get((size_t)n->decode_count * vocabulary, sizeof(float));
    n->greedy = memory_get((size_t)job->greedy_limit, sizeof(int32_t));
}

c2c_status prompt_numbers_make(prompt_numbers *n, const prompt_models *models,
                               const prompt_job *job, int chunk, c2c_error *error) {
    c2c_session *session = NULL;
    *n = (prompt_numbers){0};
    prompt_numbers_alloc(n, models->receiver, job);
    c2c_session_options options = {.context = job->plan.token_count +
                                              max_i64(job->decode_count, job->greedy_limit),
                                   .chunk = chunk,
                                   .fusion_mode = job->fusion_mode,
                                   .include_response = job->include_response};
    c2c_status status = c2c_session_open(&session, models->receiver, models->pairs,
                                         models->pair_count, &options, error);
    if (status != C2C_STATUS_OK)
        goto done;
    status = session_prefill_logits(session, &job->plan, n->logits, error);
    if (status != C2C_STATUS_OK)
        goto done;
    if (session->receiver.used != n->rows) {
        status =
            error_set(error, C2C_STATUS_MISMATCH, "the cache holds %lld rows after %lld tokens",
                      (long long)session->receiver.used, (long long)n->rows);
        goto done;
    }
    int64_t layer_size = n->rows * n->features;
    for (int layer = 0; layer < n->layers; layer++)
        session_cache_read(session, layer, n->keys + layer * layer_size,
                           n->values + layer * layer_size);
    for (int64_t i = 0; status == C2C_STATUS_OK && i < job->decode_count; i++)
        status =
            session_step(session, job->decode_ids[i], n->decode_logits + i * n->vocabulary, error);
    if (status != C2C_STATUS_OK)
        goto done;
    /* The second prompt runs in memory that the first has used: a reset must forget all of it. */
    c2c_session_reset(session);
    status = c2c_session_prefill(session, &job->plan, error);
    if (status != C2C_STATUS_OK)
        goto done;
    c2c_generation result = {0};
    status = c2c_session_generate(session, job->greedy_limit, greedy_collect, n, &result, error);
    n->finish = result.finish;
    if (status == C2C_STATUS_OK && result.new_tokens != n->greedy_count)
        status = error_set(error, C2C_STATUS_MISMATCH, "%lld ids were given, new_tokens says %lld",
                           (long long)n->greedy_count, (long long)result.new_tokens);
done:
    c2c_session_close(session);
    if (status != C2C_STATUS_OK)
        prompt_numbers_free(n);
    return status;
}

void prompt_numbers_free(prompt_numbers *n) {
    free(n->logits);
    free(n->keys);
    free(n->values);
    free(n->decode_logits);
    free(n->greedy);
    *n = (prompt_numbers){0};
}

/* ---- The same bits ------------------------------------------------------------------------ */

static void compare_bits(golden_case *c, const char *what, const char *name, const float *first,
                         const float *again, int64_t count) {
    int64_t different = 0, where = -1;
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&first[i], &again[i], sizeof first[i]) != 0 && different++ == 0)
            where = i;
    if (different > 0)
        case_fail(c, "%s: %s element %lld: %.9g before, %.9g now (%lld of %lld differ)", what, name,
                  (long long)where, (double)first[where], (double)again[where],
                  (long long)different, (long long)count);
}

void compare_numbers(golden_case *c, const char *what, const prompt_numbers *first,
                     const prompt_numbers *again) {
    if (first->layers != again->layers || first->features != again->features ||
        first->vocabulary != again->vocabulary) {
        case_fail(c, "%s: other layers, heads or vocabulary than before", what);
        return;
    }
    int64_t cache = first->layers * first->rows * first->features;
    compare_bits(c, what, "logits", first->logits, again->logits,
                 first->last_rows * first->vocabulary);
    compare_bits(c, what, "keys", first->keys, again->keys, cache);
    compare_bits(c, what, "values", first->values, again->values, cache);
    compare_bits(c, what, "decode_logits", first->decode_logits, again->decode_logits,
                 first->decode_count * first->vocabulary);
    char name[128];
    snprintf(name, sizeof name, "%s: greedy_ids", what);
    compare_ids(c, name, first->greedy, (size_t)first->greedy_count, again->greedy,
                (size_t)again->greedy_count);
}
