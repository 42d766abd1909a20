/* tensor_folder.c - the weights of a model folder: one safetensors file, or the shards that an
 * index names, with the index held to what the shards really contain. */
#include "formats/tensor_table.h"

#include <stdlib.h>

#define SINGLE "model.safetensors"
#define INDEX  "model.safetensors.index.json"
#define TORCH  "pytorch_model.bin"

/* One line of the index: this tensor is in that file. */
typedef struct placement {
    const char *name, *shard;
} placement;

/* What is needed while opening. */
typedef struct folder {
    tensor_file *file;
    const char *path, *index_path;
    placement *placements; /* in order of shard */
    size_t count;
    c2c_error *error;
} folder;

/* By shard, so that the tensors of each come together and it is opened once. */
static int compare_shards(const void *a, const void *b) {
    return strcmp(((const placement *)a)->shard, ((const placement *)b)->shard);
}

/* A file of this folder and no other; the index comes from who knows where. */
static bool is_plain_name(const char *name, size_t length) {
    return *name && !memchr(name, 0, length) && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* One member of weight_map. */
static c2c_status read_placement(const folder *f, const json_member *member, placement *p) {
    c2c_status status = tensor_name_check(member->key, member->key_length, f->index_path, f->error);
    if (status != C2C_STATUS_OK)
        return status;
    if (member->value.type != JSON_STRING)
        return error_set(f->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected a file name, found %s", f->index_path,
                         member->key, json_type_name(member->value.type));
    *p = (placement){member->key, member->value.string};
    if (!is_plain_name(p->shard, member->value.count))
        return error_set(f->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected a plain file name in this folder, found "
                         "\"%s\"",
                         f->index_path, p->name, p->shard);
    return C2C_STATUS_OK;
}

static c2c_status read_weight_map(folder *f, const json_value *map) {
    if (!map || map->type != JSON_OBJECT || map->count == 0)
        return error_set(f->error, C2C_STATUS_BAD_FILE,
                         "%s: \"weight_map\": expected an object of tensors and their files, found "
                         "%s",
                         f->index_path,
                         !map                       ? "no such key"
                         : map->type == JSON_OBJECT ? "an empty one"
                                                    : json_type_name(map->type));
    f->placements = calloc(map->count, sizeof *f->placements);
    if (!f->placements)
        return error_memory(f->error, map->count * sizeof *f->placements, f->index_path);
    for (; f->count < map->count; f->count++) {
        c2c_status status = read_placement(f, &map->members[f->count], &f->placements[f->count]);
        if (status != C2C_STATUS_OK)
            return status;
    }
    qsort(f->placements, f->count, sizeof *f->placements, compare_shards);
    return C2C_STATUS_OK;
}

/* Opens the shard of placements [first, end) and finds each of them in it. Tensors that the index
 * does not name are kept: some exporters leave out what a model does not use. */
static c2c_status read_shard(folder *f, size_t first, size_t end) {
    const char *shard = f->placements[first].shard;
    size_t before = f->file->count;
    file_bytes bytes;
    char *path = path_join(f->path, shard);
    c2c_status status = path ? tensor_file_map(f->file, path, &bytes, f->error)
                             : error_memory(f->error, strlen(shard), f->index_path);
    if (status != C2C_STATUS_OK) {
        error_prefix(f->error, "%s: tensor \"%s\"", f->index_path, f->placements[first].name);
        goto done;
    }
    status = tensor_file_read(f->file, bytes, f->error);
    if (status != C2C_STATUS_OK)
        goto done;
    tensor_file_sort(f->file, before);
    for (size_t i = first; i < end; i++)
        if (!tensor_file_search(f->file, before, f->placements[i].name)) {
            status = error_set(f->error, C2C_STATUS_BAD_FILE,
                               "%s: tensor \"%s\": expected in %s, found no such tensor there",
                               f->index_path, f->placements[i].name, shard);
            goto done;
        }
done:
    free(path);
    return status;
}

/* The index itself is closed at the end: the table has copies of all it needs. */
static c2c_status read_shards(folder *f) {
    json_document *index = NULL;
    c2c_status status = json_open(&index, f->index_path, f->error);
    if (status == C2C_STATUS_OK)
        status = read_weight_map(f, json_get(json_root(index), "weight_map"));
    for (size_t first = 0, end; status == C2C_STATUS_OK && first < f->count; first = end) {
        for (end = first; end < f->count; end++)
            if (compare_shards(&f->placements[first], &f->placements[end]) != 0)
                break;
        status = read_shard(f, first, end);
    }
    json_close(index);
    return status;
}

/* Says what to do about the two usual reasons. */
static c2c_status nothing_found(const char *path, c2c_error *error) {
    if (!folder_exists(path))
        return error_set(error, C2C_STATUS_NOT_FOUND, "%s: expected a model folder, found %s", path,
                         file_exists(path) ? "a file" : "nothing");
    char *torch = path_join(path, TORCH);
    bool has_torch = torch && file_exists(torch);
    free(torch);
    if (has_torch)
        return error_set(error, C2C_STATUS_UNSUPPORTED,
                         "%s: expected " SINGLE ", found " TORCH ", which is not read; convert it "
                         "with Python: transformers.AutoModelForCausalLM.from_pretrained(DIR)"
                         ".save_pretrained(DIR, safe_serialization=True)",
                         path);
    return error_set(error, C2C_STATUS_NOT_FOUND,
                     "%s: expected " SINGLE " or " INDEX ", found neither", path);
}

c2c_status tensor_folder_open(tensor_file **file, const char *path, c2c_error *error) {
    *file = NULL;
    char *single = path_join(path, SINGLE), *index = path_join(path, INDEX);
    folder f = {.path = path, .index_path = index, .error = error};
    c2c_status status;
    if (!single || !index) {
        status = error_memory(error, strlen(path), "a path");
    } else if (file_exists(single)) {
        status = tensor_file_open(file, single, error);
    } else if (!file_exists(index)) {
        status = nothing_found(path, error);
    } else {
        status = tensor_file_new(&f.file, path, error);
        if (status == C2C_STATUS_OK)
            status = read_shards(&f);
        if (status == C2C_STATUS_OK)
            status = tensor_file_finish(f.file, error);
        if (status == C2C_STATUS_OK)
            *file = f.file;
        else
            tensor_file_close(f.file);
    }
    free(f.placements);
    free(single);
    free(index);
    return status;
}
