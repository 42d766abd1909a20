/* recipe.c - reads a training recipe: which keys there are, what they may say, and which recipes
 * are for other programs. Keys that a recipe leaves out are as in the recipes that were published.
 */
#include "train/data.h"
#include "train/recipe_set.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Known keys --------------------------------------------------------------------------- */

static const char *const root_keys[] = {"model", "training", "output", "data", NULL};
static const char *const model_keys[] = {
    "base_model",
    "teacher_model",
    "baseline_model",
    "include_response",
    "is_do_alignment",
    "alignment_strategy",
    "multi_source_fusion_mode",
    "projector",
    "mapping",
    "attn_implementation", /* a choice of kernels, of which there is one here */
    NULL};
static const char *const projector_keys[] = {"type", "params", NULL};
static const char *const training_keys[] = {"learning_rate",
                                            "weight_decay",
                                            "num_epochs",
                                            "max_steps",
                                            "max_length",
                                            "device",
                                            "scheduler_type",
                                            "warmup_ratio",
                                            "warmup_steps",
                                            "max_grad_norm",
                                            "gradient_accumulation_steps",
                                            "per_device_train_batch_size",
                                            "num_processes",
                                            "freeze",
                                            "seed",
                                            "recompute",
                                            "precision",
                                            "pad_to_multiple_of", /* nothing is padded */
                                            NULL};
static const char *const output_keys[] = {"output_dir",  "save_steps",   "eval_steps", "keep_last",
                                          "save_format", "wandb_config", NULL};
static const char *const data_keys[] = {"type", "kwargs", "train_ratio", NULL};

static const char *const c2c_params[] = {"hidden_dim",   "intermediate_dim",    "num_layers",
                                         "dropout",      "initial_temperature", "final_temperature",
                                         "anneal_steps", "zero_init",           NULL};
static const char *const ablation_params[] = {
    "hidden_dim",        "intermediate_dim", "num_layers", "dropout",        "initial_temperature",
    "final_temperature", "anneal_steps",     "zero_init",  "ablation_level", "use_scalar_weights",
    "use_gates",         "use_target",       NULL};
static const char *const all_in_one_params[] = {"hidden_dim",
                                                "num_layers",
                                                "dropout",
                                                "activation",
                                                "use_layer_norm",
                                                "use_residual",
                                                "use_swiglu",
                                                "use_concat",
                                                "weight_hidden_dim",
                                                "gate_granularity",
                                                "gate_depends_on_input",
                                                "gate_input_features",
                                                "gate_init_value",
                                                "weight_granularity",
                                                "weight_depends_on_input",
                                                "weight_input_features",
                                                "weight_init_value",
                                                "preserve_target_weight",
                                                "add_self",
                                                "use_gumbel",
                                                "initial_temperature",
                                                "final_temperature",
                                                "anneal_steps",
                                                "scalar_temperature",
                                                "max_sequence_length",
                                                "pos_emb",
                                                NULL};
static const struct {
    const char *type;
    const char *const *keys;
} projector_params[] = {{"C2CProjector", c2c_params},
                        {"AblationProjector", ablation_params},
                        {"AllInOneProjector", all_in_one_params}};

static c2c_status note_unknown_keys(train_recipe *r, const json_value *root, c2c_error *error) {
    const json_value *model = json_get(root, "model"), *projector = json_get(model, "projector");
    const struct {
        const json_value *object;
        const char *place;
        const char *const *known;
    } parts[] = {{root, "", root_keys},
                 {model, "model", model_keys},
                 {projector, "model: projector", projector_keys},
                 {json_get(root, "training"), "training", training_keys},
                 {json_get(root, "output"), "output", output_keys},
                 {json_get(root, "data"), "data", data_keys}};
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !status; i++)
        status = recipe_note_unknown(r, parts[i].object, parts[i].place, parts[i].known, error);
    for (size_t i = 0; i < sizeof projector_params / sizeof *projector_params && !status; i++)
        if (strcmp(projector_params[i].type, r->fuser.type) == 0)
            status = recipe_note_unknown(r, r->fuser.params, "model: projector: params",
                                         projector_params[i].keys, error);
    return status;
}

/* ---- Sections ----------------------------------------------------------------------------- */

/* One section while it is read. */
typedef struct section {
    const json_value *object;
    char where[400]; /* "recipe.json: training" */
    c2c_error *error;
} section;

static c2c_status section_open(section *s, const train_recipe *r, const json_value *root,
                               const char *name, c2c_error *error) {
    s->object = json_get(root, name);
    s->error = error;
    snprintf(s->where, sizeof s->where, "%.380s: %s", r->where, name);
    if (s->object && s->object->type == JSON_OBJECT)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_BAD_FILE, "%s: expected \"%s\", an object, found %s",
                     r->where, name, s->object ? json_type_name(s->object->type) : "no such key");
}

static c2c_status get_integer(const section *s, const char *key, const int64_t *fallback,
                              int64_t low, int64_t high, int64_t *value) {
    return json_get_integer(s->object, key, fallback, low, high, value, s->where, s->error);
}

static c2c_status get_real(const section *s, const char *key, const double *fallback, double low,
                           double high, double *value) {
    c2c_status status = json_get_real(s->object, key, fallback, value, s->where, s->error);
    if (status || (*value >= low && *value <= high))
        return status;
    return error_set(s->error, C2C_STATUS_BAD_FILE, "%s: \"%s\": expected %g to %g, found %g",
                     s->where, key, low, high, *value);
}

/* One of a list of names; *index is its place there. */
static c2c_status get_choice(const section *s, const char *key, const char *const *names,
                             int *index) {
    const char *name;
    buffer known = {0};
    c2c_status status = json_get_string(s->object, key, &names[0], &name, s->where, s->error);
    if (status)
        return status;
    for (*index = 0; names[*index]; (*index)++) {
        if (strcmp(names[*index], name) == 0) {
            buffer_free(&known);
            return C2C_STATUS_OK;
        }
        buffer_printf(&known, "%s%s", *index ? " or " : "", names[*index]);
    }
    status = error_set(s->error, C2C_STATUS_UNSUPPORTED, "%s: \"%s\": expected %s, found \"%s\"",
                       s->where, key, known.data ? known.data : "another", name);
    buffer_free(&known);
    return status;
}

/* ---- Recipes of other programs ------------------------------------------------------------ */

static c2c_status refuse_others(const train_recipe *r, const json_value *root, c2c_error *error) {
    const json_value *model = json_get(root, "model"), *training = json_get(root, "training");
    const json_value *type = json_get(json_get(model, "projector"), "type");
    if (json_get(model, "baseline_model"))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: model: \"baseline_model\": this is a baseline recipe, which "
                         "fine-tunes one model%s; only fusers between two models are trained here "
                         "(\"base_model\" and \"teacher_model\")",
                         r->where,
                         json_get(training, "lora")               ? " with LoRA"
                         : json_get(training, "partial_training") ? " in part"
                                                                  : "");
    if (type && type->type == JSON_STRING && strcmp(type->string, "ReplaceProjector") == 0)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: model: projector: \"ReplaceProjector\": this is the oracle's recipe, "
                         "which is not trained here",
                         r->where);
    if (json_get(root, "eval"))
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: \"eval\": expected a recipe of training, found one of evaluation",
                         r->where);
    return C2C_STATUS_OK;
}

/* Models stay as they are; "projector" in the list would leave nothing to learn. */
static c2c_status check_freeze(const section *s) {
    const json_value *freeze = json_get(s->object, "freeze");
    bool base = !freeze, teacher = !freeze;
    if (freeze && freeze->type != JSON_ARRAY)
        return error_set(s->error, C2C_STATUS_BAD_FILE,
                         "%s: \"freeze\": expected a list of names, found %s", s->where,
                         json_type_name(freeze->type));
    for (uint32_t i = 0; freeze && i < freeze->count; i++) {
        const json_value *name = &freeze->items[i];
        if (name->type != JSON_STRING)
            return error_set(s->error, C2C_STATUS_BAD_FILE,
                             "%s: \"freeze\": expected names, found %s", s->where,
                             json_type_name(name->type));
        if (strcmp(name->string, "projector") == 0)
            return error_set(s->error, C2C_STATUS_UNSUPPORTED,
                             "%s: \"freeze\": with \"projector\" frozen nothing is left to learn",
                             s->where);
        base = base || strcmp(name->string, "base") == 0;
        teacher = teacher || strcmp(name->string, "teacher") == 0;
    }
    if (base && teacher)
        return C2C_STATUS_OK;
    return error_set(s->error, C2C_STATUS_UNSUPPORTED,
                     "%s: \"freeze\": expected \"base\" and \"teacher\": the models themselves are "
                     "not trained, only the fuser between them",
                     s->where);
}

/* ---- Model -------------------------------------------------------------------------------- */

static c2c_status add_sharer(train_recipe *r, const section *s, const json_value *name) {
    if (name->type != JSON_STRING || !name->count || strlen(name->string) != name->count)
        return error_set(s->error, C2C_STATUS_BAD_FILE,
                         "%s: \"teacher_model\": expected a name or path, found %s", s->where,
                         name->type == JSON_STRING ? "an empty one" : json_type_name(name->type));
    if (r->sharer_count == C2C_MAX_SHARERS)
        return error_set(s->error, C2C_STATUS_UNSUPPORTED,
                         "%s: \"teacher_model\": at most %d models", s->where, C2C_MAX_SHARERS);
    r->sharers[r->sharer_count++] = name->string;
    return C2C_STATUS_OK;
}

/* One name, a list, or names of one's own with paths, as recipes of evaluation have them. */
static c2c_status read_sharers(train_recipe *r, const section *s) {
    const json_value *teacher = json_get(s->object, "teacher_model");
    c2c_status status = C2C_STATUS_OK;
    if (!teacher)
        return error_set(s->error, C2C_STATUS_BAD_FILE,
                         "%s: expected \"teacher_model\", the sharer, found no such key", s->where);
    if (teacher->type != JSON_ARRAY && teacher->type != JSON_OBJECT)
        return add_sharer(r, s, teacher);
    for (uint32_t i = 0; i < teacher->count && !status; i++)
        status = add_sharer(r, s,
                            teacher->type == JSON_ARRAY ? &teacher->items[i]
                                                        : &teacher->members[i].value);
    if (!status && !teacher->count)
        status = error_set(s->error, C2C_STATUS_BAD_FILE,
                           "%s: \"teacher_model\": expected at least one model", s->where);
    return status;
}

/* Builds a projector of the smallest models, on paper: what the recipe says about it is checked
 * before any model is opened. */
static c2c_status check_projector(const train_recipe *r, c2c_error *error) {
    const model_config small = {.layers = 1, .kv_heads = 2, .head_dim = 8};
    json_document *description = NULL;
    projector_spec spec;
    c2c_status status =
        fuser_recipe_describe(&description, &r->fuser, &small, &small, DTYPE_F32, error);
    if (!status)
        status = projector_spec_parse(&spec, description, error);
    json_close(description);
    return status;
}

static c2c_status read_model(train_recipe *r, const json_value *root, c2c_error *error) {
    static const char *const strategies[] = {"first", "longest", NULL};
    static const char *const modes[] = {"sequential", "parallel", NULL};
    static const bool no = false;
    section s;
    bool include_response;
    int strategy, mode;
    c2c_status status = section_open(&s, r, root, "model", error);
    if (status || (status = refuse_others(r, root, error)) ||
        (status = json_get_string(s.object, "base_model", NULL, &r->receiver, s.where, error)) ||
        (status = read_sharers(r, &s)) ||
        (status =
             json_get_bool(s.object, "include_response", &no, &include_response, s.where, error)) ||
        (status = json_get_bool(s.object, "is_do_alignment", &no, &r->align, s.where, error)) ||
        (status = get_choice(&s, "alignment_strategy", strategies, &strategy)) ||
        (status = get_choice(&s, "multi_source_fusion_mode", modes, &mode)) ||
        (status = fuser_recipe_parse(&r->fuser, r->document, error)) ||
        (status = check_projector(r, error)))
        return status;
    r->align_strategy = strategy ? C2C_ALIGN_LONGEST : C2C_ALIGN_FIRST;
    r->fusion_mode = mode ? C2C_FUSION_PARALLEL : C2C_FUSION_SEQUENTIAL;
    if (include_response)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: \"include_response\": a fused response can be run, but not trained; "
                         "expected false",
                         s.where);
    return C2C_STATUS_OK;
}

/* ---- Training, output, data --------------------------------------------------------------- */

/* One of the two says how long; with both, the steps do. */
static c2c_status read_duration(train_recipe *r, const section *s) {
    static const int64_t none = 0, one = 1;
    c2c_status status = get_integer(s, "max_steps", &none, 0, INT64_C(1) << 40, &r->max_steps);
    if (!status)
        status =
            get_integer(s, "num_epochs", r->max_steps ? &one : NULL, 1, 1000000, &r->num_epochs);
    return status;
}

static c2c_status read_training(train_recipe *r, const json_value *root, c2c_error *error) {
    static const char *const precisions[] = {"f32", "bf16", NULL};
    static const char *const linear = "linear";
    static const double decay = 0.01, ratio = 0.1, norm = 1.0;
    static const int64_t one = 1, unset = -1, length = 2048, seed = 42;
    static const bool no = false;
    section s;
    int64_t seed_read;
    int precision;
    c2c_status status = section_open(&s, r, root, "training", error);
    if (status || (status = check_freeze(&s)) ||
        (status = get_real(&s, "learning_rate", NULL, 0, 1e6, &r->learning_rate)) ||
        (status = get_real(&s, "weight_decay", &decay, 0, 1e6, &r->weight_decay)) ||
        (status = get_real(&s, "max_grad_norm", &norm, 0, 1e300, &r->max_grad_norm)) ||
        (status = get_real(&s, "warmup_ratio", &ratio, 0, 1, &r->warmup_ratio)) ||
        (status = get_integer(&s, "warmup_steps", &unset, 0, INT64_C(1) << 40, &r->warmup_steps)) ||
        (status =
             json_get_string(s.object, "scheduler_type", &linear, &r->scheduler, s.where, error)) ||
        (status = read_duration(r, &s)) ||
        (status = get_integer(&s, "max_length", &length, 2, 1 << 24, &r->max_length)) ||
        (status = get_integer(&s, "per_device_train_batch_size", NULL, 1, 65536, &r->batch)) ||
        (status =
             get_integer(&s, "gradient_accumulation_steps", &one, 1, 65536, &r->accumulation)) ||
        (status = get_integer(&s, "num_processes", &one, 1, 1 << 20, &r->num_processes)) ||
        (status = get_integer(&s, "seed", &seed, 0, INT64_MAX, &seed_read)) ||
        (status = json_get_bool(s.object, "recompute", &no, &r->recompute, s.where, error)) ||
        (status = get_choice(&s, "precision", precisions, &precision)))
        return status;
    r->seed = (uint64_t)seed_read;
    r->precision = precision ? RECIPE_BF16 : RECIPE_F32;
    const json_value *device = json_get(s.object, "device");
    if (device && device->type == JSON_STRING && strcmp(device->string, "cpu") != 0)
        status = recipe_note(r, error, "training: device \"%.40s\" is not used: the CPU computes",
                             device->string);
    if (!status && r->num_processes > 1)
        status =
            recipe_note(r, error,
                        "training: num_processes %lld: one process runs, so a step learns "
                        "from %lld x %lld rows; gradient_accumulation_steps can make up for it",
                        (long long)r->num_processes, (long long)r->batch,
                        (long long)r->accumulation);
    return status;
}

static c2c_status read_output(train_recipe *r, const json_value *root, c2c_error *error) {
    static const char *const formats[] = {"safetensors", "pt", NULL};
    static const int64_t none = 0, saves = 500, evaluations = 100;
    section s;
    int format;
    c2c_status status = section_open(&s, r, root, "output", error);
    if (status ||
        (status = json_get_string(s.object, "output_dir", NULL, &r->output_dir, s.where, error)) ||
        (status = get_integer(&s, "save_steps", &saves, 0, INT64_C(1) << 40, &r->save_steps)) ||
        (status =
             get_integer(&s, "eval_steps", &evaluations, 0, INT64_C(1) << 40, &r->eval_steps)) ||
        (status = get_integer(&s, "keep_last", &none, 0, 1 << 20, &r->keep_last)) ||
        (status = get_choice(&s, "save_format", formats, &format)))
        return status;
    r->save_format = format ? TENSOR_FORMAT_PT : TENSOR_FORMAT_SAFETENSORS;
    r->wandb = json_get(s.object, "wandb_config") != NULL;
    if (!*r->output_dir)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: \"output_dir\": expected a folder",
                         s.where);
    return r->wandb ? recipe_note(r, error,
                                  "output: wandb_config is not used: metrics are written to files "
                                  "in output_dir")
                    : C2C_STATUS_OK;
}

static c2c_status read_data(train_recipe *r, const json_value *root, c2c_error *error) {
    static const double ratio = 0.99;
    section s;
    c2c_status status = section_open(&s, r, root, "data", error);
    if (status ||
        (status = json_get_string(s.object, "type", NULL, &r->data_type, s.where, error)) ||
        (status = get_real(&s, "train_ratio", &ratio, 0, 1, &r->train_ratio)))
        return status;
    r->data_kwargs = json_get(s.object, "kwargs");
    if (r->data_kwargs && r->data_kwargs->type == JSON_NULL)
        r->data_kwargs = NULL;
    if (r->data_kwargs && r->data_kwargs->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE, "%s: \"kwargs\": expected an object, found %s",
                         s.where, json_type_name(r->data_kwargs->type));
    return dataset_check(r, error);
}

/* ---- The whole ---------------------------------------------------------------------------- */

static c2c_status read_recipe(train_recipe *r, const char *const *sets, size_t set_count,
                              c2c_error *error) {
    c2c_status status = C2C_STATUS_OK;
    for (size_t i = 0; i < set_count && !status; i++)
        status = recipe_set(&r->document, sets[i], error);
    const json_value *root = json_root(r->document);
    r->where = json_name(r->document);
    if (!status && root->type != JSON_OBJECT)
        status = error_set(error, C2C_STATUS_BAD_FILE, "%s: expected a recipe, an object, found %s",
                           r->where, json_type_name(root->type));
    if (status || (status = read_model(r, root, error)) ||
        (status = read_training(r, root, error)) || (status = read_output(r, root, error)) ||
        (status = read_data(r, root, error)))
        return status;
    return note_unknown_keys(r, root, error);
}

c2c_status train_recipe_open(train_recipe *recipe, const char *path, const char *const *sets,
                             size_t set_count, c2c_error *error) {
    *recipe = (train_recipe){0};
    c2c_status status = document_open(&recipe->document, path, error);
    if (!status)
        status = read_recipe(recipe, sets, set_count, error);
    if (status)
        train_recipe_close(recipe);
    return status;
}

c2c_status train_recipe_parse(train_recipe *recipe, const char *text, size_t length,
                              const char *name, const char *const *sets, size_t set_count,
                              c2c_error *error) {
    *recipe = (train_recipe){0};
    bool json = length && (text[0] == '{' || text[0] == '[');
    c2c_status status =
        (json ? json_parse : yaml_parse)(&recipe->document, text, length, name, error);
    if (!status)
        status = read_recipe(recipe, sets, set_count, error);
    if (status)
        train_recipe_close(recipe);
    return status;
}

void train_recipe_close(train_recipe *recipe) {
    for (size_t i = 0; i < recipe->note_count; i++)
        free(recipe->notes[i]);
    free(recipe->notes);
    json_close(recipe->document);
    *recipe = (train_recipe){0};
}
