/* pt.c - a PyTorch state dict in its zip form: tensors as views of the mapped storages.
 *
 * The archive holds PREFIX/data.pkl, a dict of calls that would rebuild the tensors, and one member
 * PREFIX/data/KEY per storage. zip.c and pickle.c have checked their forms; here names, types,
 * shapes and places in the storages are checked. Where a storage came from (cuda:0) is ignored. */
#include "formats/pickle.h"
#include "formats/zip.h"

#include <inttypes.h>
#include <stdlib.h>

#define PICKLE_FILE "data.pkl"

typedef struct reader {
    tensor_file *file;
    file_bytes bytes;
    zip_file zip;
    const zip_member *pickle;
    arena *memory;         /* the pickle's tree */
    const void **storages; /* for each member of the zip: its aligned bytes, once they are used */
    c2c_error *error;
} reader;

/* A tensor on its way: its name for messages, then what the pickle says of it. */
typedef struct rebuild {
    const reader *reader;
    char name[TENSOR_NAME_MAX + 1];
    const pickle_value *const *storage; /* "storage", type, key, location, elements */
    const pickle_value *offset, *shape, *strides;
} rebuild;

/* ---- Members ------------------------------------------------------------------------------ */

/* The member PREFIX + `name`, the prefix being that of data.pkl. */
static const zip_member *find_beside(const reader *r, const char *name, size_t name_length) {
    char full[2 * TENSOR_NAME_MAX];
    size_t prefix = r->pickle->name_length - strlen(PICKLE_FILE);
    if (name_length > sizeof full - prefix)
        return NULL;
    memcpy(full, r->pickle->name, prefix);
    memcpy(full + prefix, name, name_length);
    return zip_find(&r->zip, full, prefix + name_length);
}

/* "data.pkl" or "NAME/data.pkl": torch.save takes NAME from the file, older ones "archive". */
static bool is_pickle(const zip_member *m) {
    size_t length = strlen(PICKLE_FILE);
    if (m->name_length < length ||
        memcmp(m->name + m->name_length - length, PICKLE_FILE, length) != 0)
        return false;
    const char *slash = memchr(m->name, '/', m->name_length);
    return m->name_length == length || slash == m->name + m->name_length - length - 1;
}

/* Two pickles would leave open which one is meant; a reader that takes the first and one that takes
 * the last would see different weights. */
static c2c_status find_pickle(reader *r) {
    for (size_t i = 0; i < r->zip.count; i++) {
        const zip_member *m = &r->zip.members[i];
        if (is_pickle(m) && r->pickle)
            return error_set(r->error, C2C_STATUS_BAD_FILE,
                             "%s: expected one data.pkl in the archive, found \"%.*s\" and "
                             "\"%.*s\"",
                             r->bytes.path, (int)r->pickle->name_length, r->pickle->name,
                             (int)m->name_length, m->name);
        if (is_pickle(m))
            r->pickle = m;
    }
    if (!r->pickle)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected an archive of torch.save with NAME/data.pkl, found none",
                         r->bytes.path);
    const zip_member *order = find_beside(r, "byteorder", 9);
    if (order && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return error_set(r->error, C2C_STATUS_UNSUPPORTED,
                         "%s: byteorder: expected \"little\", found another; save the file again "
                         "on a little-endian machine",
                         r->bytes.path);
    return C2C_STATUS_OK;
}

/* ---- One tensor --------------------------------------------------------------------------- */

/* "PATH: tensor NAME: WHAT" */
static c2c_status bad(const rebuild *b, const char *what) {
    return error_set(b->reader->error, C2C_STATUS_BAD_FILE, "%s: tensor \"%s\": %s",
                     b->reader->bytes.path, b->name, what);
}

/* Takes a call of _rebuild_tensor_v2 apart: storage, offset, shape, strides, requires_grad, hooks,
 * and in newer files one more that carries nothing we need. */
static c2c_status open_call(rebuild *b, const pickle_value *value) {
    if (value->type == PICKLE_CALL && value->name->kind == NAME_PARAMETER) {
        if (value->count != 3)
            return bad(b, "expected a parameter of three arguments, found another number");
        value = value->items[0];
    }
    if (value->type != PICKLE_CALL || value->name->kind != NAME_TENSOR)
        return error_set(b->reader->error, C2C_STATUS_BAD_FILE,
                         "%s: \"%s\": expected a tensor, found %s; save only model.state_dict() "
                         "with torch.save",
                         b->reader->bytes.path, b->name,
                         value->type == PICKLE_CALL ? "a nested parameter"
                                                    : pickle_type_name(value->type));
    if (value->count < 6 || value->count > 7)
        return bad(b, "expected a tensor of six or seven arguments, found another number");
    const pickle_value *storage = value->items[0];
    if (storage->type != PICKLE_STORAGE || storage->count != 5)
        return bad(b, "expected a storage of five parts, found something else");
    b->storage = storage->items;
    b->offset = value->items[1];
    b->shape = value->items[2];
    b->strides = value->items[3];
    return C2C_STATUS_OK;
}

/* A number of elements, or a place among them. */
static bool is_size(const pickle_value *value) {
    return value->type == PICKLE_INTEGER && value->integer >= 0;
}

/* Fills rank and shape; sizes are checked later, all at once. */
static c2c_status read_shape(const rebuild *b, tensor *view) {
    if (b->shape->type != PICKLE_TUPLE || b->strides->type != PICKLE_TUPLE ||
        b->shape->count != b->strides->count)
        return bad(b, "expected a shape and as many strides, found others");
    if (b->shape->count > TENSOR_MAX_RANK)
        return error_set(b->reader->error, C2C_STATUS_UNSUPPORTED,
                         "%s: tensor \"%s\": expected at most %d dimensions, found %" PRIu32,
                         b->reader->bytes.path, b->name, TENSOR_MAX_RANK, b->shape->count);
    for (uint32_t i = 0; i < b->shape->count; i++) {
        if (!is_size(b->shape->items[i]))
            return bad(b, "expected a shape of numbers >= 0, found others");
        view->shape[view->rank++] = b->shape->items[i]->integer;
    }
    return C2C_STATUS_OK;
}

/* Dense rows, the last dimension's elements side by side. Where a dimension holds one element its
 * stride is never used, and where there is no element none is. */
static c2c_status check_strides(const rebuild *b, const tensor *view, size_t bytes) {
    int64_t expected = 1;
    for (int i = view->rank - 1; bytes > 0 && i >= 0; i--) {
        const pickle_value *stride = b->strides->items[i];
        if (stride->type != PICKLE_INTEGER)
            return bad(b, "expected strides that are integers, found others");
        if (view->shape[i] != 1 && stride->integer != expected)
            return error_set(b->reader->error, C2C_STATUS_UNSUPPORTED,
                             "%s: tensor \"%s\": expected stride %" PRId64 " for dimension %d, "
                             "found %" PRId64 "; save it with .contiguous()",
                             b->reader->bytes.path, b->name, expected, i, stride->integer);
        expected *= view->shape[i]; /* fits: the product with all dimensions was checked */
    }
    return C2C_STATUS_OK;
}

/* The member of the storage, whose size must be what the pickle says. */
static c2c_status find_storage(const rebuild *b, dtype type, const zip_member **member) {
    const reader *r = b->reader;
    const pickle_value *key = b->storage[2];
    char name[TENSOR_NAME_MAX + 8] = "data/";
    if (key->count > TENSOR_NAME_MAX)
        return bad(b, "expected a short storage key, found a long one");
    memcpy(name + 5, key->string, key->count);
    *member = find_beside(r, name, 5 + (size_t)key->count);
    if (!*member)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected its storage as member \"data/%.*s\", found "
                         "none",
                         r->bytes.path, b->name, (int)key->count, key->string);
    size_t bytes;
    if (!size_mul((size_t)b->storage[4]->integer, dtype_size(type), &bytes) ||
        bytes != (*member)->size)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected a storage of %" PRId64 " elements of %s, "
                         "found %zu bytes in \"%.*s\"",
                         r->bytes.path, b->name, b->storage[4]->integer, dtype_name(type),
                         (*member)->size, (int)(*member)->name_length, (*member)->name);
    return C2C_STATUS_OK;
}

/* Points the view into its storage. */
static c2c_status place(reader *r, const rebuild *b, tensor *view, size_t bytes) {
    const zip_member *member = NULL;
    c2c_status status = find_storage(b, view->type, &member);
    if (status != C2C_STATUS_OK)
        return status;
    size_t begin, end, element = dtype_size(view->type);
    if (!is_size(b->offset) || !size_mul((size_t)b->offset->integer, element, &begin) ||
        !size_add(begin, bytes, &end) || end > member->size) {
        char shape[TENSOR_SHAPE_TEXT];
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected %s %s inside its storage of %zu bytes, found "
                         "it at element %" PRId64,
                         r->bytes.path, b->name, dtype_name(view->type),
                         tensor_shape_text(view, shape), member->size,
                         b->offset->type == PICKLE_INTEGER ? b->offset->integer : -1);
    }
    /* A storage that has to be moved is moved once, however many tensors are in it. */
    const void **storage = &r->storages[member - r->zip.members];
    if (!*storage || (uintptr_t)*storage % element != 0)
        *storage = tensor_file_align(r->file, member->data, member->size, element);
    if (!*storage)
        return error_memory(r->error, member->size, r->bytes.path);
    view->data = (const uint8_t *)*storage + begin;
    return C2C_STATUS_OK;
}

/* The parts of a storage by type; the fourth, where it was ("cpu", "cuda:0"), does not matter. */
static c2c_status check_storage(const rebuild *b) {
    const pickle_value *word = b->storage[0], *type = b->storage[1], *key = b->storage[2];
    if (word->type != PICKLE_STRING || word->count != 7 || memcmp(word->string, "storage", 7) != 0)
        return bad(b, "expected the word \"storage\" for a storage, found something else");
    if (type->type != PICKLE_NAME || type->name->kind != NAME_STORAGE)
        return bad(b, "expected a storage type, found something else");
    if (key->type != PICKLE_STRING || !is_size(b->storage[4]))
        return bad(b, "expected a storage key and a number of elements, found others");
    return C2C_STATUS_OK;
}

/* All checks of one entry of the dict, in an order that lets each rely on those before it. */
static c2c_status read_tensor(reader *r, const pickle_value *name, const pickle_value *value) {
    rebuild b = {.reader = r};
    tensor view = {0};
    size_t bytes;
    c2c_status status = tensor_name_check(name->string, name->count, r->bytes.path, r->error);
    if (status != C2C_STATUS_OK)
        return status;
    memcpy(b.name, name->string, name->count);
    if ((status = open_call(&b, value)) != C2C_STATUS_OK ||
        (status = check_storage(&b)) != C2C_STATUS_OK)
        return status;
    view.type = b.storage[1]->name->dtype;
    if ((status = read_shape(&b, &view)) != C2C_STATUS_OK)
        return status;
    if (!tensor_size_checked(&view, &bytes)) {
        char shape[TENSOR_SHAPE_TEXT];
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: tensor \"%s\": expected a size that fits in memory, found shape %s",
                         r->bytes.path, b.name, tensor_shape_text(&view, shape));
    }
    if ((status = check_strides(&b, &view, bytes)) != C2C_STATUS_OK ||
        (status = place(r, &b, &view, bytes)) != C2C_STATUS_OK)
        return status;
    return tensor_file_add(r->file, name->string, name->count, &view, r->bytes.path, r->error);
}

/* ---- The state dict ----------------------------------------------------------------------- */

/* Anything but a flat dict of tensors is a checkpoint of something else: guessing which part of it
 * holds the weights would load wrong ones. */
static c2c_status read_tensors(reader *r, const pickle_value *root) {
    if (root->type != PICKLE_DICT)
        return error_set(r->error, C2C_STATUS_BAD_FILE,
                         "%s: expected a dict of tensors, found %s; save model.state_dict() with "
                         "torch.save",
                         r->bytes.path, pickle_type_name(root->type));
    for (uint32_t i = 0; i < root->count; i += 2) {
        const pickle_value *name = root->items[i];
        if (name->type != PICKLE_STRING)
            return error_set(r->error, C2C_STATUS_BAD_FILE,
                             "%s: expected tensors named by strings, found %s as a name",
                             r->bytes.path, pickle_type_name(name->type));
        c2c_status status = read_tensor(r, name, root->items[i + 1]);
        if (status != C2C_STATUS_OK)
            return status;
    }
    return C2C_STATUS_OK;
}

c2c_status pt_read(tensor_file *file, file_bytes bytes, c2c_error *error) {
    reader r = {.file = file, .bytes = bytes, .error = error};
    const pickle_value *root = NULL;
    c2c_status status = zip_open(&r.zip, bytes, error);
    if (status == C2C_STATUS_OK)
        status = find_pickle(&r);
    if (status != C2C_STATUS_OK)
        goto done;
    r.memory = arena_new(16384);
    r.storages = calloc(r.zip.count, sizeof *r.storages);
    if (!r.memory || !r.storages) {
        status = error_memory(error, r.zip.count * sizeof *r.storages, bytes.path);
        goto done;
    }
    status = pickle_read(&root, r.memory, r.pickle->data, r.pickle->size, bytes.path, error);
    if (status == C2C_STATUS_OK)
        status = read_tensors(&r, root);
done:
    arena_free(r.memory);
    free(r.storages);
    zip_close(&r.zip);
    return status;
}
