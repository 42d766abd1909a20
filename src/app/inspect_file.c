/* inspect_file.c - one file: its tensors, when it is a .safetensors or .pt file. */
#include "app/inspect.h"

static void report_tensors(report *r, const tensor_file *file) {
    static const char *const titles[] = {"tensor", "dtype", "bytes", "shape"};
    table t;
    table_init(&t, titles, "llrl");
    json_out_open(&r->json, "tensors", '[');
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const named_tensor *named = tensor_file_at(file, i);
        char shape[TENSOR_SHAPE_TEXT], bytes[NUMBER_TEXT];
        table_add(&t, "%s", named->name);
        table_add(&t, "%s", dtype_name(named->view.type));
        table_add(&t, "%s", number_text((int64_t)tensor_bytes(&named->view), bytes));
        table_add(&t, "%s", tensor_shape_text(&named->view, shape));
        json_out_open(&r->json, NULL, '{');
        json_out_text(&r->json, "name", named->name, strlen(named->name));
        const char *type = dtype_name(named->view.type);
        json_out_text(&r->json, "dtype", type, strlen(type));
        json_out_open(&r->json, "shape", '[');
        for (int d = 0; d < named->view.rank; d++)
            json_out_integer(&r->json, NULL, named->view.shape[d]);
        json_out_close(&r->json, ']');
        json_out_integer(&r->json, "bytes", (int64_t)tensor_bytes(&named->view));
        json_out_close(&r->json, '}');
    }
    json_out_close(&r->json, ']');
    if (tensor_file_count(file))
        report_table(r, &t);
    table_deinit(&t);
}

static c2c_status inspect_tensors(report *r, const char *path, c2c_error *error) {
    tensor_file *file = NULL;
    c2c_status status = tensor_file_open(&file, path, error);
    if (status)
        return status;
    int64_t elements = 0;
    for (size_t i = 0; i < tensor_file_count(file); i++)
        elements += tensor_elements(&tensor_file_at(file, i)->view);
    report_text(r, "kind", "kind", "tensor file");
    report_text(r, "path", "path", path);
    report_integer(r, "tensor_count", NULL, (int64_t)tensor_file_count(file));
    report_integer(r, "elements", "elements", elements);
    dtype_tally tally = {0};
    dtype_tally_add(&tally, file);
    report_dtypes(r, &tally);
    report_tensors(r, file);
    tensor_file_close(file);
    return status;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The first byte that is not white space; 0 when there is none. */
static char first_character(const file_map *map) {
    for (size_t i = 0; i < map->size; i++)
        if (!strchr(" \t\r\n", map->data[i]))
            return (char)map->data[i];
    return 0;
}

/* A .pt file is a zip archive; a .safetensors file has its JSON header behind 8 bytes of size. A
 * name that promises tensors is taken at its word, so that a broken file is told why it is. */
static bool looks_like_tensors(const file_map *map, const char *path) {
    static const char *const names[] = {".safetensors", ".pt", ".pth", ".bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ends_with(path, names[i]))
            return true;
    return map->size >= 9 && (memcmp(map->data, "PK\3\4", 4) == 0 || map->data[8] == '{');
}

c2c_status inspect_file(report *r, const char *path, c2c_error *error) {
    file_map map;
    c2c_status status = file_map_open(&map, path, error);
    if (status)
        return status;
    char first = first_character(&map);
    bool tensors = looks_like_tensors(&map, path);
    bool json = ends_with(path, ".json") || ends_with(path, ".yaml") || ends_with(path, ".yml") ||
                (!ends_with(path, ".jsonl") && (first == '{' || first == '['));
    size_t size = map.size;
    file_map_close(&map);
    /* A short JSON text may have a '{' as its ninth byte: its first character decides. */
    if (json)
        return inspect_json(r, path, error);
    if (tensors)
        return inspect_tensors(r, path, error);
    return error_set(error, C2C_STATUS_UNSUPPORTED,
                     "%s: expected a model folder, a fuser folder, a .safetensors or .pt file, or "
                     "a JSON file of such a folder, or a recipe; found another file of %zu bytes",
                     path, size);
}
