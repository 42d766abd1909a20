/* case_train.c - four recorded steps of training: loss, gradient norm, learning rate and
 * temperature of each, all gradients of the first one, all weights after the last one.
 *
 * The recorded batches are padded; ours are packed, so the rows are cut out by attention_mask. The
 * uniform numbers that gates were drawn with are recorded, and fed in.
 *
 * Tolerances are the golden README's: 1e-4 of max(1, |value|) for losses and norms, and 1e-4 of a
 * tensor's largest magnitude for gradients and weights; but a tensor of one number (a gate, the
 * bias of one head) is measured by the largest of its name in all projectors. The gradient of such
 * a number is a sum over all rows and elements of terms that cancel to less than a thousandth of
 * what they are, so that another order of f32 sums changes it by 1e-4 to 3e-4 of itself: our own
 * AVX-512 and portable kernels differ by as much from each other as from the recorded number. */
#include "golden.h"

#include "train/network.h"

static const double TOLERANCE = 1e-4;

#define STEPS         4
#define LEARNING_RATE 1e-3
#define WEIGHT_DECAY  0.01
#define MAX_NORM      1.0

/* ---- The file ----------------------------------------------------------------------------- */

typedef struct train_case {
    golden_case *c;
    const char *path;
    tensor_file *file;
    case_paths paths;
    c2c_fusion_mode mode;
    const world *world; /* of the run that draws now */
    int step;
} train_case;

static double number_at(const tensor *t, int64_t i) {
    if (t->type != DTYPE_I64)
        return tensor_get_f32(t, i);
    int64_t value;
    memcpy(&value, (const char *)t->data + i * (int64_t)sizeof value, sizeof value);
    return (double)value;
}

/* "step<k>.NAME" of this rank; NULL after case_fail, or silently when it may be missing. */
static const tensor *step_tensor(train_case *t, const char *name, int rank, bool needed) {
    char full[128];
    snprintf(full, sizeof full, "step%d.%s", t->step, name);
    const named_tensor *found = tensor_file_find(t->file, full);
    bool good = found && found->view.rank == rank &&
                (found->view.type == DTYPE_F32 || found->view.type == DTYPE_I64);
    if (!good && (needed || found))
        case_fail(t->c, "%s: expected f32 or i64 numbers of rank %d", full, rank);
    return good ? &found->view : NULL;
}

static void compare_number(train_case *t, const char *name, double got) {
    const tensor *expected = step_tensor(t, name, 1, true);
    if (!expected)
        return;
    double want = number_at(expected, 0), size = fabs(want) > 1 ? fabs(want) : 1;
    double error = fabs(got - want) / size;
    t->c->worst = error > t->c->worst ? error : t->c->worst;
    if (!(error <= TOLERANCE))
        case_fail(t->c, "step %d: %s: expected %.9g, got %.9g", t->step, name, want, got);
}

/* The largest magnitude among the numbers called "WHAT.<projector>.NAME". */
static double largest_number(const tensor_file *file, const char *what, const char *name) {
    double largest = 0;
    size_t length = strlen(what);
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const named_tensor *t = tensor_file_at(file, i);
        const char *dot = strncmp(t->name, what, length) == 0 && t->name[length] == '.'
                              ? strchr(t->name + length + 1, '.')
                              : NULL;
        if (dot && strcmp(dot + 1, name) == 0 && tensor_elements(&t->view) == 1 &&
            t->view.type == DTYPE_F32)
            largest = fmax(largest, fabs((double)tensor_get_f32(&t->view, 0)));
    }
    return largest;
}

/* A tensor against `count` numbers of ours. `at_least` is the least magnitude that errors are
 * measured by. */
static void compare_tensor(train_case *t, const char *name, const float *got, int64_t count,
                           double at_least) {
    const named_tensor *found = tensor_file_find(t->file, name);
    if (!found || tensor_elements(&found->view) != count || found->view.type != DTYPE_F32) {
        case_fail(t->c, "%s: the expected file lacks this tensor of %lld f32 numbers", name,
                  (long long)count);
        return;
    }
    double largest = at_least, error = 0;
    int64_t worst = 0;
    for (int64_t i = 0; i < count; i++) {
        double want = tensor_get_f32(&found->view, i), off = fabs(got[i] - want);
        largest = fabs(want) > largest ? fabs(want) : largest;
        if (!(off <= error)) {
            error = isnan(off) ? INFINITY : off;
            worst = i;
        }
    }
    /* A tensor of zeros has no largest magnitude to be measured by. */
    error /= largest > 0 ? largest : 1;
    t->c->worst = error > t->c->worst ? error : t->c->worst;
    if (!(error <= TOLERANCE))
        case_fail(t->c, "%s[%lld]: expected %.9g, got %.9g (%.1e of the largest, allowed %.0e)",
                  name, (long long)worst, (double)tensor_get_f32(&found->view, worst),
                  (double)got[worst], error, TOLERANCE);
}

/* ---- Batches ------------------------------------------------------------------------------ */

/* One padded batch as samples. */
typedef struct train_batch {
    training_sample *samples;
    int64_t count;
    const int32_t **sharer_rows; /* one row for all sharers of a sample */
} train_batch;

static void batch_free(train_batch *b) {
    for (int64_t s = 0; b->samples && s < b->count; s++) {
        free((void *)b->samples[s].ids);
        free((void *)b->samples[s].labels);
        free((void *)b->samples[s].sections);
        free((void *)b->samples[s].sharer_ids);
    }
    for (int64_t s = 0; b->sharer_rows && s < b->count; s++)
        free((void *)b->sharer_rows[s]);
    free(b->samples);
    free(b->sharer_rows);
}

static bool batch_read(train_case *t, train_batch *b) {
    const tensor *ids = step_tensor(t, "input_ids", 2, true);
    const tensor *mask = step_tensor(t, "attention_mask", 2, true);
    const tensor *labels = step_tensor(t, "labels", 2, true);
    const tensor *sections = step_tensor(t, "sections", 2, true);
    const tensor *positions = step_tensor(t, "position_ids", 2, true);
    const tensor *other = step_tensor(t, "sharer_input_ids", 2, false);
    *b = (train_batch){0};
    if (!ids || !mask || !labels || !sections || !positions)
        return false;
    int64_t columns = ids->shape[1];
    size_t section_count = (size_t)sections->shape[0];
    b->count = ids->shape[0];
    b->samples = memory_get((size_t)b->count, sizeof *b->samples);
    b->sharer_rows = memory_get((size_t)b->count, sizeof *b->sharer_rows);
    for (int64_t s = 0; s < b->count; s++) {
        int32_t *row = memory_get((size_t)columns, sizeof *row);
        int32_t *label = memory_get((size_t)columns, sizeof *label);
        int32_t *sharer = memory_get((size_t)columns, sizeof *sharer);
        c2c_section *cut = memory_get(section_count, sizeof *cut);
        const int32_t **rows = memory_get(MAX_SHARERS, sizeof *rows);
        int64_t tokens = 0, column = 0;
        for (size_t i = 0; i < section_count; i++) {
            int64_t length = (int64_t)number_at(sections, 2 * (int64_t)i);
            cut[i].mask = (int32_t)number_at(sections, 2 * (int64_t)i + 1);
            for (int64_t end = column + length; column < end && column < columns; column++) {
                int64_t at = s * columns + column;
                if (number_at(mask, at) == 0)
                    continue;
                row[tokens] = (int32_t)number_at(ids, at);
                label[tokens] = (int32_t)number_at(labels, at);
                sharer[tokens] = (int32_t)number_at(other ? other : ids, at);
                if ((int64_t)number_at(positions, at) != tokens)
                    case_fail(t->c, "sample %lld: positions are not 0, 1, 2, ...", (long long)s);
                tokens++;
                cut[i].length++;
            }
        }
        for (int i = 0; i < MAX_SHARERS; i++)
            rows[i] = sharer;
        b->sharer_rows[s] = sharer;
        b->samples[s] = (training_sample){.ids = row,
                                          .sharer_ids = rows,
                                          .labels = label,
                                          .tokens = tokens,
                                          .sections = cut,
                                          .section_count = section_count};
    }
    return t->c->failures == 0;
}

/* The recorded number for one gate: tensors stand in the order in which the original drew them. */
static float draw_recorded(void *user, int fuser, int layer, branch which, int64_t sample,
                           int64_t position, int64_t head, int64_t element) {
    train_case *t = user;
    const c2c_fuser *f = t->world->fusers[fuser];
    const tensor *sections = step_tensor(t, "sections", 2, true);
    const tensor *mask = step_tensor(t, "attention_mask", 2, true);
    int64_t columns = mask->shape[1], column = 0, first = 0, index = 0;
    bool whole = f->projectors[0].spec.kind->whole_layer;
    /* Which section it is, and how many tensors were drawn before. */
    for (int64_t i = 0; i < sections->shape[0]; i++) {
        int64_t tokens = 0, length = (int64_t)number_at(sections, 2 * i);
        int32_t bits = (int32_t)number_at(sections, 2 * i + 1);
        for (int64_t k = 0; k < length; k++)
            tokens += number_at(mask, sample * columns + column + k) != 0;
        bool here = position < first + tokens;
        for (int s = 0; bits > 0 && s < (here ? fuser : (int)t->world->count); s++)
            if (bits >> s & 1)
                index += t->world->fusers[s]->projector_count * (whole ? 1 : 2);
        if (here)
            break;
        first += tokens;
        column += length;
    }
    int projector = f->map.links[layer].projector;
    index += whole ? projector : projector * 2 + (int)which;
    char name[64];
    snprintf(name, sizeof name, "uniform.%lld", (long long)index);
    const tensor *u = step_tensor(t, name, 4, true);
    if (!u || head >= u->shape[1] || position - first >= u->shape[2] || element >= u->shape[3])
        return 0.5f;
    return tensor_get_f32(u, ((sample * u->shape[1] + head) * u->shape[2] + position - first) *
                                     u->shape[3] +
                                 element);
}

/* ---- Steps -------------------------------------------------------------------------------- */

/* The optimizer's state, and what one run ends with. */
typedef struct train_state {
    training_network *network;
    const training_parameters *p;
    float *m, *v, *host; /* host: what is compared */
    double *sums;
    double losses[STEPS], norms[STEPS];
} train_state;

static c2c_status run_open(train_state *r, train_case *t, bool recompute, c2c_error *error) {
    const training_options options = {.fusion_mode = t->mode, .recompute = recompute};
    void *memory;
    *r = (train_state){0};
    c2c_status status = training_network_open(&r->network, t->world->receiver, t->world->pairs,
                                              t->world->count, &options, error);
    if (status)
        return status;
    r->p = training_network_parameters(r->network);
    size_t bytes = (size_t)r->p->elements * sizeof(float);
    r->host = memory_get(bytes, 1);
    if ((status = backend_alloc(r->p->backend, &memory, bytes, error)))
        return status;
    r->m = memory;
    if ((status = backend_alloc(r->p->backend, &memory, bytes, error)))
        return status;
    r->v = memory;
    int64_t blocks = r->p->elements / SQUARED_NORM_BLOCK + 2;
    status = backend_alloc(r->p->backend, &memory, (size_t)blocks * sizeof(double), error);
    r->sums = memory;
    return status;
}

static void run_close(train_state *r) {
    if (r->p) {
        backend_release(r->p->backend, r->m);
        backend_release(r->p->backend, r->v);
        backend_release(r->p->backend, r->sums);
    }
    training_network_close(r->network);
    free(r->host);
}

/* Gradients ("step0.grad") or weights ("final") of all tensors. Projectors are numbered through all
 * fusers. */
static void compare_all(train_case *t, const train_state *r, const char *what, const float *from) {
    size_t expected = 0, length = strlen(what);
    backend_download(r->p->backend, r->host, from, (size_t)r->p->elements * sizeof(float));
    for (size_t i = 0; i < r->p->tensor_count; i++) {
        const training_tensor *tensor = &r->p->tensors[i];
        char name[200];
        int index = tensor->projector;
        for (int f = 0; f < tensor->fuser; f++)
            index += t->world->fusers[f]->projector_count;
        snprintf(name, sizeof name, "%s.%d.%s", what, index, tensor->name);
        compare_tensor(t, name, r->host + tensor->offset, tensor->count,
                       tensor->count == 1 ? largest_number(t->file, what, tensor->name) : 0);
    }
    for (size_t i = 0; i < tensor_file_count(t->file); i++)
        expected += strncmp(tensor_file_at(t->file, i)->name, what, length) == 0 &&
                    tensor_file_at(t->file, i)->name[length] == '.';
    if (expected != r->p->tensor_count)
        case_fail(t->c, "%s: the expected file has %zu tensors, the network %zu", what, expected,
                  r->p->tensor_count);
}

static void update(train_state *r, int step, double rate, double norm) {
    double clip = MAX_NORM / (norm + 1e-6);
    op_adamw(r->p->backend, &(adamw_args){.w = r->p->values,
                                          .m = r->m,
                                          .v = r->v,
                                          .dw = r->p->gradients,
                                          .count = r->p->elements,
                                          .step = step + 1,
                                          .learning_rate = rate,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .epsilon = 1e-8,
                                          .weight_decay = WEIGHT_DECAY,
                                          .gradient_scale = (float)(clip < 1 ? clip : 1)});
}

static c2c_status run_step(train_case *t, train_state *r, int step, bool compare,
                           c2c_error *error) {
    train_batch batch;
    training_result result = {0};
    const training_step options = {.step = (uint32_t)step,
                                   .learn = true,
                                   .scale = 1,
                                   .no_dropout = true,
                                   .draw = draw_recorded,
                                   .draw_user = t};
    t->step = step;
    c2c_status status = C2C_STATUS_OK;
    if (!batch_read(t, &batch)) {
        batch_free(&batch);
        return error_set(error, C2C_STATUS_BAD_FILE, "step %d cannot be read", step);
    }
    for (int64_t s = 0; s < batch.count && !status; s++)
        status = training_sample_check(r->network, &batch.samples[s], "sample", error);
    training_network_clear_gradients(r->network);
    if (!status)
        status = training_network_run(r->network, batch.samples, (size_t)batch.count, &options,
                                      &result, error);
    batch_free(&batch);
    if (status)
        return status;
    double sum = 0, rate = step == 0 ? 0 : LEARNING_RATE * (STEPS - step) / (STEPS - 1.0);
    op_squared_norm(r->p->backend, &(squared_norm_args){.sum = r->sums,
                                                        .blocks = r->sums + 1,
                                                        .x = r->p->gradients,
                                                        .count = r->p->elements});
    backend_download(r->p->backend, &sum, r->sums, sizeof sum);
    r->losses[step] = result.loss_sum / (double)result.tokens;
    r->norms[step] = sqrt(sum);
    if (compare) {
        compare_number(t, "loss", r->losses[step]);
        compare_number(t, "grad_norm", r->norms[step]);
        compare_number(t, "lr", rate);
        compare_number(t, "gate_temperature",
                       training_network_temperature(r->network, (uint32_t)step));
        if (step == 0)
            compare_all(t, r, "step0.grad", r->p->gradients);
    }
    update(r, step, rate, r->norms[step]);
    return C2C_STATUS_OK;
}

/* All steps in one way. The first run is compared with the file; its weights are left in *weights.
 * Later ones must end with the same bits. */
static void run_way(train_case *t, const way *how, bool recompute, float **weights) {
    world w;
    train_state r = {0};
    c2c_error error = {0};
    char kind[KIND_SIZE];
    bool first = *weights == NULL;
    c2c_status status = world_open(&w, how, &t->paths, kind, &error);
    if (status) {
        case_status(t->c, status, kind, &error);
        return;
    }
    t->world = &w;
    status = run_open(&r, t, recompute, &error);
    for (int step = 0; step < STEPS && !status; step++)
        status = run_step(t, &r, step, first, &error);
    if (status) {
        case_fail(t->c, "%s", error.message);
    } else if (first) {
        compare_all(t, &r, "final", r.p->values);
        *weights = r.host;
        r.host = NULL;
    } else {
        size_t bytes = (size_t)r.p->elements * sizeof(float);
        backend_download(r.p->backend, r.host, r.p->values, bytes);
        if (memcmp(*weights, r.host, bytes) != 0)
            case_fail(t->c, "%s: other bits than before", how->name);
    }
    run_close(&r);
    world_close(&w);
}

/* ---- The case ----------------------------------------------------------------------------- */

static bool strategy_read(train_case *t, const char *path) {
    char mode[64];
    json_text_read(path, "fusion_mode", mode, sizeof mode);
    t->mode = strcmp(mode, "parallel") == 0 ? C2C_FUSION_PARALLEL : C2C_FUSION_SEQUENTIAL;
    return mode[0] == '\0' || strcmp(mode, "parallel") == 0 || strcmp(mode, "sequential") == 0;
}

static char *model_path(const golden_run *run, const char *name) {
    char *models = path_make(run->folder, "models"), *path = path_make(models, name);
    free(models);
    return path;
}

/* Each fuser stands in initial/, or fuser_<i>/initial/, with a recipe that names its models. */
static void paths_read(train_case *t) {
    char *single = path_make(t->path, "initial");
    bool one = folder_exists(single);
    free(single);
    for (size_t i = 0; i < (one ? 1 : MAX_SHARERS); i++) {
        char name[64], receiver[256], sharer[256];
        snprintf(name, sizeof name, "fuser_%zu", i);
        char *folder = one ? path_make(t->path, ".") : path_make(t->path, name);
        char *config = path_make(folder, "config.json");
        if (folder_exists(folder)) {
            json_text_read(config, "model.base_model", receiver, sizeof receiver);
            json_text_read(config, "model.teacher_model", sharer, sizeof sharer);
            if (i == 0)
                t->paths.receiver = model_path(t->c->run, receiver);
            t->paths.sharers[i] = model_path(t->c->run, sharer);
            t->paths.fusers[i] = path_make(folder, "initial");
            t->paths.count = i + 1;
        }
        free(config);
        free(folder);
    }
    if (t->paths.count == 0)
        case_fail(t->c, "neither initial/ nor fuser_0/ is there");
}

static void train_run_case(golden_run *run, const char *path, const char *name) {
    golden_case c;
    c2c_error error = {0};
    train_case t = {.c = &c, .path = path};
    float *weights = NULL;
    char *expected = path_make(path, "expected.safetensors"), *json = path_make(path, "case.json");
    const way first = {.queue = run->queue, .threads = run->threads},
              again = {.name = "recomputed, on the queue backend with 3 threads",
                       .queue = true,
                       .threads = 3};
    case_begin(&c, run, "train/%s", name);
    if (file_exists(json) && !strategy_read(&t, json))
        case_fail(&c, "case.json: fusion_mode is neither \"sequential\" nor \"parallel\"");
    paths_read(&t);
    if (tensor_file_open(&t.file, expected, &error))
        case_fail(&c, "%s", error.message);
    if (c.failures == 0)
        run_way(&t, &first, false, &weights);
    if (c.failures == 0 && weights)
        run_way(&t, &again, true, &weights);
    free(weights);
    tensor_file_close(t.file);
    case_paths_free(&t.paths);
    free(json);
    free(expected);
    case_end(&c);
}

void train_cases_run(golden_run *run, const char *folder) {
    size_t count = 0;
    char **names = names_list(folder, &count);
    for (size_t i = 0; i < count; i++) {
        char *path = path_make(folder, names[i]);
        train_run_case(run, path, names[i]);
        free(path);
    }
    names_free(names, count);
}
