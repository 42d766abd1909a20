/* compare.c - expected tensors, ids and texts against ours. The tolerance is the golden README's,
 * for f32 runs: |a - b| <= 1e-4 * max(1, |b|), which is ten times what two right orders of f32 sums
 * differ by on these sizes (about 1e-5). Ids and texts are equal or wrong. */
#include "golden.h"

static const double TOLERANCE = 1e-4;

/* ---- What the file must hold -------------------------------------------------------------- */

const tensor *expected_f32(golden_case *c, const tensor_file *file, const char *name, int rank,
                           const int64_t *shape) {
    const named_tensor *found = tensor_file_find(file, name);
    if (!found) {
        case_fail(c, "%s: the expected file has no such tensor", name);
        return NULL;
    }
    const tensor *t = &found->view;
    tensor want = {.type = DTYPE_F32, .rank = rank};
    bool same = t->rank == rank && t->type == DTYPE_F32;
    for (int i = 0; i < rank; i++) {
        want.shape[i] = shape[i];
        same = same && t->shape[i] == shape[i];
    }
    if (!same) {
        char a[TENSOR_SHAPE_TEXT], b[TENSOR_SHAPE_TEXT];
        case_fail(c, "%s: expected file has %s %s, this build gives f32 %s", name,
                  dtype_name(t->type), tensor_shape_text(t, a), tensor_shape_text(&want, b));
        return NULL;
    }
    return t;
}

int32_t *expected_ids(golden_case *c, const tensor_file *file, const char *name, int64_t *count) {
    const named_tensor *found = tensor_file_find(file, name);
    if (!found || found->view.type != DTYPE_I64 || found->view.rank != 2) {
        case_fail(c, "%s: the expected file lacks this tensor of rank 2 and type i64", name);
        return NULL;
    }
    *count = tensor_elements(&found->view);
    int32_t *ids = memory_get((size_t)*count, sizeof *ids);
    for (int64_t i = 0; i < *count; i++) {
        int64_t value;
        memcpy(&value, (const char *)found->view.data + i * (int64_t)sizeof value, sizeof value);
        ids[i] = (int32_t)value;
        if (ids[i] != value) {
            case_fail(c, "%s[%lld]: %lld is no token id", name, (long long)i, (long long)value);
            free(ids);
            return NULL;
        }
    }
    return ids;
}

/* ---- Numbers ------------------------------------------------------------------------------ */

/* The worst element so far. */
typedef struct worst {
    double error;
    int64_t index;
    float expected, got;
} worst;

static void worst_update(worst *w, int64_t index, float expected, float got) {
    double size = fabs((double)expected);
    double error = fabs((double)got - (double)expected) / (size > 1 ? size : 1);
    /* A NaN on either side, or two infinities, are never within a tolerance. */
    if (isnan(error))
        error = INFINITY;
    if (w->index < 0 || error > w->error)
        *w = (worst){error, index, expected, got};
}

static void worst_report(golden_case *c, const char *name, const tensor *expected, const worst *w) {
    if (w->error > c->worst)
        c->worst = w->error;
    if (w->index < 0) {
        case_fail(c, "%s: empty", name);
    } else if (!(w->error <= TOLERANCE)) {
        buffer index = {0};
        int64_t rest = w->index, size = tensor_elements(expected);
        for (int i = 0; i < expected->rank; i++) {
            size /= expected->shape[i];
            buffer_printf(&index, "%s%lld", i ? ", " : "", (long long)(rest / size));
            rest %= size;
        }
        case_fail(c, "%s[%s]: expected %.9g, got %.9g (worst error %.1e, allowed %.0e)", name,
                  index.data ? index.data : "", (double)w->expected, (double)w->got, w->error,
                  TOLERANCE);
        buffer_free(&index);
    }
}

void compare_rows(golden_case *c, const char *name, const tensor *expected, const float *got,
                  const bool *padding) {
    worst w = {.index = -1};
    int64_t count = tensor_elements(expected), features = expected->shape[expected->rank - 1];
    for (int64_t i = 0; i < count; i++)
        if (!padding || !padding[i / features])
            worst_update(&w, i, tensor_get_f32(expected, i), got[i]);
    worst_report(c, name, expected, &w);
}

void compare_cache(golden_case *c, const char *name, const tensor *expected, const float *got,
                   const bool *padding) {
    worst w = {.index = -1};
    int64_t heads = expected->shape[1], tokens = expected->shape[2], dim = expected->shape[3];
    for (int64_t head = 0; head < heads; head++)
        for (int64_t token = 0, row = 0; token < tokens; token++) {
            if (padding && padding[token])
                continue;
            for (int64_t d = 0; d < dim; d++) {
                int64_t i = (head * tokens + token) * dim + d;
                worst_update(&w, i, tensor_get_f32(expected, i),
                             got[row * heads * dim + head * dim + d]);
            }
            row++;
        }
    worst_report(c, name, expected, &w);
}

/* ---- Ids and texts ------------------------------------------------------------------------ */

void compare_ids(golden_case *c, const char *name, const int32_t *expected, size_t expected_count,
                 const int32_t *got, size_t got_count) {
    size_t common = expected_count < got_count ? expected_count : got_count;
    for (size_t i = 0; i < common; i++)
        if (expected[i] != got[i]) {
            case_fail(c, "%s[%zu]: expected %d, got %d", name, i, (int)expected[i], (int)got[i]);
            return;
        }
    if (expected_count != got_count)
        case_fail(c, "%s: expected %zu ids, got %zu", name, expected_count, got_count);
}

void compare_text(golden_case *c, const char *what, const char *expected, size_t expected_length,
                  const char *got, size_t got_length) {
    if (expected_length == got_length && memcmp(expected, got, got_length) == 0)
        return;
    size_t i = 0;
    while (i < expected_length && i < got_length && expected[i] == got[i])
        i++;
    buffer a = {0}, b = {0};
    size_t from = i > 20 ? i - 20 : 0;
    json_write_string(&a, expected + from, (size_t)min_i64(60, (int64_t)(expected_length - from)));
    json_write_string(&b, got + from, (size_t)min_i64(60, (int64_t)(got_length - from)));
    case_fail(c, "%s: differs at byte %zu: expected ...%s, got ...%s", what, i,
              a.data ? a.data : "", b.data ? b.data : "");
    buffer_free(&a);
    buffer_free(&b);
}
