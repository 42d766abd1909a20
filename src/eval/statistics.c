/* statistics.c - how sure one may be: intervals of shares and of differences, and McNemar's test.
 */
#include "eval/run.h"

#include <math.h>
#include <stdlib.h>

#define SAMPLES 10000
#define Z_95    1.959963984540054

/* Wilson (1927): holds its level for small counts and for shares near 0 and 1. */
eval_interval eval_share(double right, int64_t count) {
    if (count <= 0)
        return (eval_interval){NAN, NAN, NAN};
    double n = (double)count, p = right / n, z2 = Z_95 * Z_95;
    double middle = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = Z_95 * sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n);
    return (eval_interval){p, fmax(0, middle - half), fmin(1, middle + half)};
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The mean of one sample with replacement. */
static double resample(const double *values, size_t count, uint64_t sample) {
    double sum = 0;
    for (size_t i = 0; i < count; i += 4) {
        uint32_t bits[4];
        const random_key key = {.seed = count,
                                .step = sample,
                                .sample = (uint32_t)(i / 4),
                                .site = RANDOM_SITE_BOOTSTRAP};
        random_block(&key, bits);
        for (size_t k = 0; k < 4 && i + k < count; k++)
            sum += values[(uint64_t)bits[k] * count >> 32];
    }
    return sum / (double)count;
}

eval_interval eval_bootstrap(const double *differences, size_t count, c2c_error *error) {
    double *means = malloc(SAMPLES * sizeof *means), sum = 0;
    eval_interval result = {NAN, NAN, NAN};
    if (!means || count == 0) {
        if (!means)
            error_memory(error, SAMPLES * sizeof *means, "a bootstrap");
        free(means);
        return result;
    }
    for (size_t i = 0; i < count; i++)
        sum += differences[i];
    for (uint64_t s = 0; s < SAMPLES; s++)
        means[s] = resample(differences, count, s);
    qsort(means, SAMPLES, sizeof *means, compare_doubles);
    result = (eval_interval){sum / (double)count, means[SAMPLES * 25 / 1000],
                             means[SAMPLES * 975 / 1000 - 1]};
    free(means);
    return result;
}

/* Two-sided binomial test of a fair coin; terms in logarithms, as they are tiny. */
double eval_mcnemar(int64_t only_a, int64_t only_b) {
    int64_t n = only_a + only_b, k = only_a < only_b ? only_a : only_b;
    if (n == 0)
        return 1;
    double sum = 0;
    for (int64_t i = 0; i <= k; i++)
        sum += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) -
                   (double)n * log(2));
    return fmin(1, 2 * sum);
}

/* ---- A run, and two -----------------------------------------------------------------------------
 */

double eval_median(double *values, size_t count) {
    if (count == 0)
        return NAN;
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double eval_accuracy(const eval_result *result, int64_t *scored) {
    double points = 0;
    *scored = 0;
    for (size_t i = 0; i < result->records->count; i++) {
        const eval_record *r = &result->records->items[i];
        *scored += r->scored;
        points += r->scored ? r->score : 0;
    }
    return *scored ? points / (double)*scored : NAN;
}

void eval_summarize(eval_summary *summary, const eval_result *result) {
    size_t n = 0, timed = 0, count = result->records->count;
    double accuracy = eval_accuracy(result, &summary->scored);
    double *first = malloc((count + 1) * sizeof *first), *all = malloc((count + 1) * sizeof *all);
    summary->accuracy = eval_share(accuracy * (double)summary->scored, summary->scored);
    summary->failed = 0;
    summary->read_tokens = summary->written_tokens = 0;
    for (size_t i = 0; i < count; i++) {
        const eval_record *r = &result->records->items[i];
        summary->failed += r->failed;
        if (r->failed)
            continue;
        if (first && all && r->timed) {
            first[timed] = r->ttft_ms;
            all[timed++] = r->total_ms;
        }
        n++;
        summary->read_tokens += (double)r->read_tokens;
        summary->written_tokens += (double)r->written_tokens;
    }
    summary->read_tokens /= n ? (double)n : 1;
    summary->written_tokens /= n ? (double)n : 1;
    summary->timed = (int64_t)timed;
    summary->median_ttft_ms = first && all ? eval_median(first, timed) : NAN;
    summary->median_total_ms = first && all ? eval_median(all, timed) : NAN;
    free(first);
    free(all);
}

c2c_status eval_compare(eval_pairing *pairing, const eval_result *a, const eval_result *b,
                        c2c_error *error) {
    size_t count = a->records->count, n = 0;
    *pairing = (eval_pairing){.p = 1};
    C2C_ASSERT(count == b->records->count);
    double *differences = malloc((count + 1) * sizeof *differences);
    if (!differences)
        return error_memory(error, count * sizeof *differences, "a comparison");
    for (size_t i = 0; i < count; i++) {
        const eval_record *x = &a->records->items[i], *y = &b->records->items[i];
        if (!x->scored || !y->scored)
            continue;
        differences[n++] = y->score - x->score;
        pairing->only_a += x->right && !y->right;
        pairing->only_b += !x->right && y->right;
        pairing->both += x->right && y->right;
        pairing->neither += !x->right && !y->right;
    }
    pairing->difference = eval_bootstrap(differences, n, error);
    pairing->p = eval_mcnemar(pairing->only_a, pairing->only_b);
    free(differences);
    return C2C_STATUS_OK;
}
