/* layer_map.c - which sharer layer and which projector each receiver layer uses: the two published
 * rules, and projector_config.json. */
#include "fuser/fuser.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Rules -------------------------------------------------------------------------------- */

void c2c_layer_map_last_aligned(int receiver_layers, int sharer_layers, int *sharer_of) {
    for (int t = 0; t < receiver_layers; t++) {
        int s = sharer_layers - receiver_layers + t;
        sharer_of[t] = s < 0 ? 0 : s >= sharer_layers ? sharer_layers - 1 : s;
    }
}

/* Layers lie evenly on [0, 1]; the nearest sharer layer wins, the lower one when two are as near.
 */
void c2c_layer_map_k_nearest(int receiver_layers, int sharer_layers, int *sharer_of) {
    for (int t = 0; t < receiver_layers; t++) {
        double position = receiver_layers > 1 ? (double)t / (receiver_layers - 1) : 0;
        double nearest = 2;
        sharer_of[t] = 0;
        for (int s = 0; s < sharer_layers; s++) {
            double distance = position - (sharer_layers > 1 ? (double)s / (sharer_layers - 1) : 0);
            if (distance < 0)
                distance = -distance;
            if (distance < nearest) {
                nearest = distance;
                sharer_of[t] = s;
            }
        }
    }
}

/* ---- projector_config.json ---------------------------------------------------------------- */

#define MAX_LAYERS     1024
#define MAX_PROJECTORS 65536

/* A number written as a number or as a text: "7" and 7. */
static bool parse_id(const json_value *value, int64_t high, int *id) {
    int64_t number;
    if (value->type == JSON_INTEGER) {
        number = value->integer;
    } else if (value->type == JSON_STRING && value->count > 0 && value->count < 12) {
        char *end;
        if (value->string[0] < '0' || value->string[0] > '9')
            return false;
        number = strtoll(value->string, &end, 10);
        if (end != value->string + value->count)
            return false;
    } else {
        return false;
    }
    if (number < 0 || number >= high)
        return false;
    *id = (int)number;
    return true;
}

/* The only member of `object`; `what` says what a member stands for. */
static c2c_status only_member(const json_value **value, const json_value *object, const char *what,
                              const char *name, c2c_error *error) {
    if (object->type != JSON_OBJECT)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected an object with one entry per %s, found %s", name, what,
                         json_type_name(object->type));
    if (object->count != 1)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected one %s (a fuser folder holds one pair of models), found %u",
                         name, what, object->count);
    *value = &object->members[0].value;
    return C2C_STATUS_OK;
}

/* "<t>": [[s, projector], ...]: the first pair is the one that is applied. */
static c2c_status parse_link(layer_link *link, int *projectors, const json_value *pairs,
                             const char *layer, const char *name, c2c_error *error) {
    if (pairs->type != JSON_ARRAY)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: layer %s: expected a list of [sharer layer, projector] pairs, found "
                         "%s",
                         name, layer, json_type_name(pairs->type));
    for (uint32_t i = 0; i < pairs->count; i++) {
        const json_value *pair = &pairs->items[i];
        int s, projector;
        if (pair->type != JSON_ARRAY || pair->count != 2 ||
            !parse_id(&pair->items[0], MAX_LAYERS, &s) ||
            !parse_id(&pair->items[1], MAX_PROJECTORS, &projector))
            return error_set(error, C2C_STATUS_BAD_FILE,
                             "%s: layer %s: pair %u: expected [sharer layer, projector], two "
                             "numbers below %d and %d",
                             name, layer, i, MAX_LAYERS, MAX_PROJECTORS);
        if (i == 0)
            *link = (layer_link){.sharer_layer = s, .projector = projector};
        if (projector >= *projectors)
            *projectors = projector + 1;
    }
    return C2C_STATUS_OK;
}

/* The receiver layer that a member's key names. */
static c2c_status parse_layer(int *layer, const json_member *member, const char *name,
                              c2c_error *error) {
    const json_value key = {.type = JSON_STRING,
                            .count = member->key_length,
                            .string = member->key};
    if (parse_id(&key, MAX_LAYERS, layer))
        return C2C_STATUS_OK;
    return error_set(error, C2C_STATUS_BAD_FILE,
                     "%s: expected a receiver layer below %d as key, found \"%s\"", name,
                     MAX_LAYERS, member->key);
}

c2c_status layer_map_parse(layer_map *map, const json_document *document, c2c_error *error) {
    *map = (layer_map){0};
    const char *name = json_name(document);
    const json_value *sharers = NULL, *layers = NULL;
    c2c_status status = only_member(&sharers, json_root(document), "receiver", name, error);
    if (!status)
        status = only_member(&layers, sharers, "sharer", name, error);
    if (status)
        return status;
    if (layers->type != JSON_OBJECT || layers->count == 0)
        return error_set(error, C2C_STATUS_BAD_FILE,
                         "%s: expected an object that maps receiver layers, found %s", name,
                         layers->type == JSON_OBJECT ? "an empty one"
                                                     : json_type_name(layers->type));
    map->links = malloc(MAX_LAYERS * sizeof *map->links);
    if (!map->links)
        return error_memory(error, MAX_LAYERS * sizeof *map->links, "the layer map");
    for (int t = 0; t < MAX_LAYERS; t++)
        map->links[t] = (layer_link){.sharer_layer = -1, .projector = -1};
    for (uint32_t i = 0; i < layers->count && !status; i++) {
        const json_member *member = &layers->members[i];
        int t = 0;
        status = parse_layer(&t, member, name, error);
        if (!status)
            status = parse_link(&map->links[t], &map->projectors, &member->value, member->key, name,
                                error);
        if (!status && t >= map->layers)
            map->layers = t + 1;
    }
    if (status)
        layer_map_deinit(map);
    return status;
}

void layer_map_deinit(layer_map *map) {
    free(map->links);
    *map = (layer_map){0};
}
