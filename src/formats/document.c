/* document.c - a recipe's file, whichever language it is written in. */
#include "formats/formats.h"

static bool ends_with(const char *path, const char *end) {
    size_t length = strlen(path), part = strlen(end);
    return length >= part && strcmp(path + length - part, end) == 0;
}

/* JSON starts with a bracket, and a YAML recipe never does. */
static bool looks_like_json(const file_map *map) {
    for (size_t i = 0; i < map->size; i++)
        if (!strchr(" \t\r\n", map->data[i]) || !map->data[i])
            return map->data[i] == '{' || map->data[i] == '[';
    return false;
}

c2c_status document_open(json_document **document, const char *path, c2c_error *error) {
    *document = NULL;
    file_map map;
    c2c_status status = file_map_open(&map, path, error);
    if (status)
        return status;
    const char *text = (const char *)map.data;
    bool yaml = ends_with(path, ".yaml") || ends_with(path, ".yml");
    if (!yaml && (ends_with(path, ".json") || looks_like_json(&map)))
        status = json_parse(document, text, map.size, path, error);
    else
        status = yaml_parse(document, text, map.size, path, error);
    file_map_close(&map);
    return status;
}
