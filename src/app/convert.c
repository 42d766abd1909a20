/* convert.c - the verb convert: fuser folders and files of tensors in another format or type, and
 * model folders with 8-bit matrices. */
#include "app/compute.h"
#include "app/inspect.h"
#include "app/names.h"

#include <stdlib.h>
#include <sys/stat.h>

/* As in tensor_format, then FORMAT_FROM_NAME. */
static const char *const format_names[] = {"safetensors", "pt", "auto", NULL};
static const char *const dtype_names[] = {"keep", "f32", "f16", "bf16", NULL};
static const dtype dtypes[] = {DTYPE_COUNT, DTYPE_F32, DTYPE_F16, DTYPE_BF16};

#define FORMAT_FROM_NAME 2

typedef struct convert_settings {
    const char *name, *models, *to;
    char *from; /* the path that name stands for */
    int format, dtype, weights;
    int64_t threads;
    bool force, json;
} convert_settings;

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The format that a file's name promises; FORMAT_FROM_NAME when it promises none. */
static int format_of_name(const char *path) {
    static const char *const torch[] = {".pt", ".pth", ".bin"};
    for (size_t i = 0; i < sizeof torch / sizeof *torch; i++)
        if (ends_with(path, torch[i]))
            return TENSOR_FORMAT_PT;
    return ends_with(path, ".safetensors") ? TENSOR_FORMAT_SAFETENSORS : FORMAT_FROM_NAME;
}

/* A name that says one thing over bytes that say another would mislead whoever finds the file. */
static bool choose_format(const verb *v, convert_settings *s, int *status) {
    int named = format_of_name(s->to);
    bool folder = folder_exists(s->from);
    if (s->format == FORMAT_FROM_NAME)
        s->format = folder ? TENSOR_FORMAT_SAFETENSORS : named;
    if (s->format == FORMAT_FROM_NAME)
        *status = verb_wrong_usage(v,
                                   "%s: neither its name (.safetensors, .pt) nor --format says "
                                   "which format it shall have",
                                   s->to);
    else if (!folder && named != FORMAT_FROM_NAME && named != s->format)
        *status = verb_wrong_usage(v, "--format %s does not go with the name %s",
                                   format_names[s->format], s->to);
    else
        return true;
    return false;
}

/* Says that something is there; anything that has a name is, even a link that points nowhere. */
static c2c_status check_free(const convert_settings *s, c2c_error *error) {
    struct stat info;
    if (s->force || lstat(s->to, &info) != 0)
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                     "%s exists already; choose another place, or replace it with --force", s->to);
}

/* ---- The report --------------------------------------------------------------------------- */

/* "12 f32, 3 i64" */
static void append_types(buffer *out, const int64_t *types) {
    bool first = true;
    for (int type = 0; type < DTYPE_COUNT; type++) {
        if (!types[type])
            continue;
        buffer_printf(out, "%s%lld %s", first ? "" : ", ", (long long)types[type],
                      dtype_name((dtype)type));
        first = false;
    }
}

static void report_types(report *r, const char *key, const int64_t *types) {
    json_out_open(&r->json, key, '{');
    for (int type = 0; type < DTYPE_COUNT; type++)
        if (types[type])
            json_out_integer(&r->json, dtype_name((dtype)type), types[type]);
    json_out_close(&r->json, '}');
}

static const char *from_format(const tensor_conversion *done) {
    if (done->from_formats[TENSOR_FORMAT_PT] && done->from_formats[TENSOR_FORMAT_SAFETENSORS])
        return "mixed";
    return format_names[done->from_formats[TENSOR_FORMAT_PT] ? TENSOR_FORMAT_PT
                                                             : TENSOR_FORMAT_SAFETENSORS];
}

static void report_conversion(report *r, const convert_settings *s, const tensor_conversion *done) {
    char before[NUMBER_TEXT], after[NUMBER_TEXT];
    buffer types = {0};
    report_text(r, "from", "from", s->from);
    report_text(r, "to", "to", s->to);
    report_text(r, "from_format", NULL, from_format(done));
    report_text(r, "format", NULL,
                format_names[s->weights ? TENSOR_FORMAT_SAFETENSORS : s->format]);
    report_line(r, "format", "%s -> %s", from_format(done),
                format_names[s->weights ? TENSOR_FORMAT_SAFETENSORS : s->format]);
    report_line(r, "files", "%lld%s", (long long)done->files,
                done->copied == done->files ? ", copied as they are"
                : done->copied              ? ", some of them copied as they are"
                                            : "");
    json_out_integer(&r->json, "files", done->files);
    json_out_integer(&r->json, "copied", done->copied);
    append_types(&types, done->from_types);
    if (memcmp(done->from_types, done->to_types, sizeof done->from_types) != 0) {
        buffer_append_text(&types, " -> ");
        append_types(&types, done->to_types);
    }
    report_line(r, "tensors", "%s", types.data ? types.data : "none");
    json_out_integer(&r->json, "tensors", done->tensors);
    report_types(r, "from_dtypes", done->from_types);
    report_types(r, "dtypes", done->to_types);
    report_line(r, "bytes", "%s -> %s", number_text(done->from_bytes, before),
                number_text(done->to_bytes, after));
    json_out_integer(&r->json, "from_bytes", done->from_bytes);
    json_out_integer(&r->json, "bytes", done->to_bytes);
    r->text.failed = r->text.failed || types.failed;
    buffer_free(&types);
}

static c2c_status list_left_out(void *user, const char *name, c2c_error *error) {
    (void)error;
    report *r = user;
    if (fuser_folder_owns(name) || strcmp(name, "final") == 0)
        return C2C_STATUS_OK;
    report_text(r, NULL, "not copied", name);
    json_out_text(&r->json, NULL, name, strlen(name));
    return C2C_STATUS_OK;
}

/* ---- Models ------------------------------------------------------------------------------- */

static c2c_status list_not_stored(void *user, const char *name, c2c_error *error) {
    (void)error;
    report *r = user;
    static const char config[] = "config.json", weights[] = "model.safetensors";
    if (model_store_copies(name) || strcmp(name, config) == 0 || strcmp(name, weights) == 0)
        return C2C_STATUS_OK;
    report_text(r, NULL, "not copied", name);
    json_out_text(&r->json, NULL, name, strlen(name));
    return C2C_STATUS_OK;
}

/* A model with 8-bit matrices. Fusers keep their weights: what they add to a cache is small against
 * it, and so is what they read. */
static c2c_status convert_model(report *r, const convert_settings *s, c2c_error *error) {
    const c2c_engine_options options = {.threads = (int)s->threads, .log = app_warning};
    tensor_conversion done = {0};
    c2c_engine *engine = NULL;
    c2c_model *model = NULL;
    char *found = NULL;
    if (!fuser_folder_find(&found, s->from, NULL)) {
        free(found);
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: --weights int8: expected a model folder, found a fuser; fusers keep "
                         "their weights",
                         s->from);
    }
    c2c_status status = c2c_engine_open(&engine, &options, error);
    if (!status)
        status = c2c_model_open(&model, engine, s->from, NULL, error);
    if (!status)
        status = model_store_int8(model, s->to, &done, error);
    c2c_model_close(model);
    c2c_engine_close(engine);
    if (status)
        return status;
    report_conversion(r, s, &done);
    json_out_open(&r->json, "not_copied", '[');
    status = folder_each(s->from, list_not_stored, r, error);
    json_out_close(&r->json, ']');
    return status;
}

/* ---- The verb ----------------------------------------------------------------------------- */

static c2c_status convert(report *r, const convert_settings *s, c2c_error *error) {
    tensor_conversion done = {0};
    tensor_format format = (tensor_format)s->format;
    bool folder = folder_exists(s->from);
    if (s->weights)
        return convert_model(r, s, error);
    c2c_status status = check_free(s, error);
    if (status)
        return status;
    if (folder)
        status = fuser_convert(s->from, s->to, format, dtypes[s->dtype], s->force, &done, error);
    else
        status = tensor_file_convert(s->from, s->to, format, dtypes[s->dtype], &done, error);
    if (status)
        return status;
    report_conversion(r, s, &done);
    json_out_open(&r->json, "not_copied", '[');
    if (folder)
        status = folder_each(s->from, list_left_out, r, error);
    json_out_close(&r->json, ']');
    return status;
}

static int convert_and_report(const convert_settings *s) {
    report r = {0};
    c2c_error error = {0};
    json_out_open(&r.json, NULL, '{');
    c2c_status status = convert(&r, s, &error);
    if (!status) {
        json_out_close(&r.json, '}');
        buffer_append_char(&r.json.text, '\n');
        status = output_buffer(s->json ? &r.json.text : &r.text, &error);
    }
    report_deinit(&r);
    return status ? app_failed(&error) : APP_OK;
}

/* --weights int8 says everything about its result. */
static bool check_weights(const verb *v, const convert_settings *s, int *status) {
    if (!s->weights || (s->format == FORMAT_FROM_NAME && !s->dtype && !s->force))
        return true;
    *status = verb_wrong_usage(v, "--weights int8 goes with none of --format, --dtype, --force");
    return false;
}

static int convert_run(const verb *v, int argc, char *const *argv) {
    convert_settings s = {.format = FORMAT_FROM_NAME};
    const option options[] = {
        models_option(&s.models),
        {.name = "--format",
         .value = "NAME",
         .kind = OPTION_CHOICE,
         .target = &s.format,
         .choices = format_names,
         .shown = "auto: safetensors for a folder, else as OUT's name says",
         .help = "safetensors or pt"},
        {.name = "--dtype",
         .value = "NAME",
         .kind = OPTION_CHOICE,
         .target = &s.dtype,
         .choices = dtype_names,
         .help = "round weights to f32, f16 or bf16"},
        weights_option(&s.weights),
        threads_option(&s.threads),
        {.name = "--force",
         .kind = OPTION_FLAG,
         .target = &s.force,
         .help = "replace what OUT is: a file, or a fuser folder that holds nothing else"},
        {.name = "--json", .kind = OPTION_FLAG, .target = &s.json, .help = "print one JSON object"},
    };
    const option_set set = {.options = options,
                            .count = sizeof options / sizeof *options,
                            .operand = "FUSER_OR_FILE",
                            .operand_target = &s.name,
                            .second = "OUT",
                            .second_target = &s.to};
    int exit_status;
    if (!verb_options(v, &set, argc, argv, &exit_status))
        return exit_status;
    if (!check_weights(v, &s, &exit_status))
        return exit_status;
    c2c_error error = {0};
    if (name_resolve(&s.from, s.name, s.models, &error))
        return app_failed(&error);
    if (s.weights || choose_format(v, &s, &exit_status))
        exit_status = convert_and_report(&s);
    free(s.from);
    return exit_status;
}

const verb convert_verb = {
    .name = "convert",
    .usage = "FUSER_OR_FILE OUT [--format NAME] [--dtype NAME] [--force] [--json]\n"
             "       c2c convert --weights int8 MODEL OUT [--json]",
    .summary = "write a fuser, a file of tensors or a model in another format or type",
    .notes =
        "FUSER_OR_FILE is a fuser folder, or a .safetensors or .pt file. OUT gets the same\n"
        "layout: a folder with the same projectors, their descriptions, layer map and recipe,\n"
        "or one file. The .pt files load with torch.load(FILE, weights_only=True).\n"
        "Rounding is to the nearest number, to even on ties; tensors that are no weights\n"
        "(whole numbers) keep their type. Files that need no change are copied.\n"
        "With --weights int8, MODEL is a model folder, and OUT becomes one whose matrices are\n"
        "8-bit integers as --weights int8 makes them of MODEL when it is opened: the same\n"
        "answers, mapped and not made. Fusers keep their weights.",
    .run = convert_run};
