/* formats.h - files as checked data: JSON and YAML documents, files of rows (JSON, JSONL, CSV), and
 * tensor files (safetensors, .pt) as named views of mapped bytes. Nothing here knows what a model,
 * a projector or a question is. */
#ifndef C2C_FORMATS_H
#define C2C_FORMATS_H

#include "base/base.h"

/* ---- JSON (json.c, json_get.c, json_write.c) ------------------------------------------------- */

typedef enum json_type {
    JSON_NULL = 0,
    JSON_BOOL,
    JSON_INTEGER, /* a number without fraction or exponent that fits in int64_t */
    JSON_REAL,    /* any other number; one too large for a double is refused */
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} json_type;

typedef struct json_value json_value;
typedef struct json_member json_member;

/* Immutable; lives as long as its document. Strings are valid UTF-8, NUL-terminated, and may hold
 * NULs inside (use count). Members keep the order of the file; of equal keys the last one counts.
 */
struct json_value {
    json_type type;
    uint32_t count; /* bytes of a string, items of an array, members of an object */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *string;
        const json_value *items;
        const json_member *members;
    };
};

struct json_member {
    const char *key;
    uint32_t key_length;
    json_value value;
};

typedef struct json_document json_document;

#define JSON_MAX_DEPTH  128
#define JSON_MAX_VALUES (1 << 22) /* twice what the largest tokenizer.json in use has */

/* `name` (a path) stands in messages. The whole text must be one JSON value in UTF-8, under 4 GiB,
 * of at most JSON_MAX_VALUES values, which take at most 320 MiB beside the text's strings. White
 * space around it is fine. NaN, Infinity, comments, a byte order mark and half a surrogate
 * pair in \u escapes (which has no UTF-8 form) are refused. Messages say "NAME: line L, column C:
 * WHAT"; columns count characters. Strings are copied: `text` is not needed afterwards. */
c2c_status json_parse(json_document **document, const char *text, size_t length, const char *name,
                      c2c_error *error);
c2c_status json_open(json_document **document, const char *path, c2c_error *error);
void json_close(json_document *document);
const json_value *json_root(const json_document *document);
const char *json_name(const json_document *document);

/* A member of an object; NULL when it is missing or `object` is NULL or not an object. */
const json_value *json_get(const json_value *object, const char *key);
const char *json_type_name(json_type type); /* "an object", "a string", ... */

/* Typed members. `where` ("config.json", "config.json: rope_scaling") stands in messages. An absent
 * member, or a null one, is an error unless `fallback` is given (non-NULL), which is then used. A
 * member of another type, or out of [low, high], is always an error. */
c2c_status json_get_integer(const json_value *object, const char *key, const int64_t *fallback,
                            int64_t low, int64_t high, int64_t *value, const char *where,
                            c2c_error *error);
c2c_status json_get_real(const json_value *object, const char *key, const double *fallback,
                         double *value, const char *where, c2c_error *error);
c2c_status json_get_bool(const json_value *object, const char *key, const bool *fallback,
                         bool *value, const char *where, c2c_error *error);
/* *value is valid while the document is open; `fallback` itself is returned when used. A string
 * with a NUL inside is an error, since *value would end there. */
c2c_status json_get_string(const json_value *object, const char *key, const char *const *fallback,
                           const char **value, const char *where, c2c_error *error);

/* Keys that nobody reads (json_keys.c): whether `known`, which ends with NULL, has the member's
 * key; and the one of them that its writer may have meant, at most a third of whose letters differ,
 * or NULL. */
bool json_key_is_known(const json_member *member, const char *const *known);
const char *json_key_nearest(const json_member *member, const char *const *known);

/* Appends `text` as a JSON string with quotes, escaped; bytes that are not UTF-8 become U+FFFD. */
void json_write_string(buffer *out, const char *text, size_t length);
/* Appends a value as Python's json.dump does with indent=2, its first line without indentation;
 * `level` is how deep it stands. Parsed again it is the same value. */
void json_write_value(buffer *out, const json_value *value, int level);

/* ---- YAML (yaml.c, yaml_write.c, document.c) ---------------------------------------------------
 */

#define YAML_MAX_BYTES  (1 << 20) /* of a text: YAML is for recipes, not for data */
#define YAML_MAX_VALUES (1 << 16) /* with every alias written out */

/* YAML 1.1 as a document like any other, its plain scalars read as PyYAML's safe_load reads them
 * (yes and on are true, 0x1f and 1_000 are integers), but for two: 1e-4, which PyYAML leaves a
 * text, is the number that its writer meant, and dates stay text. Merge keys are merged; of equal
 * keys the last one counts. A key that is a plain scalar is its text. Refused: several documents,
 * tags beyond those of JSON's types, .inf and .nan, an alias inside what it stands for, and aliases
 * that grow beyond YAML_MAX_VALUES. Messages as of json_parse. */
c2c_status yaml_parse(json_document **document, const char *text, size_t length, const char *name,
                      c2c_error *error);
/* A recipe or the like: YAML where `path` ends in .yaml or .yml, JSON where it ends in .json, and
 * else JSON if it starts with a bracket. */
c2c_status document_open(json_document **document, const char *path, c2c_error *error);

/* ---- Rows (rows.c, rows_csv.c) ----------------------------------------------------------------
 */

/* A file of rows, read one by one from mapped bytes: a JSON array of objects, JSON lines (an object
 * in each line; empty lines are skipped), or CSV. */
typedef struct row_reader row_reader;

typedef enum rows_format {
    ROWS_BY_NAME = 0, /* .csv and .tsv are CSV, all else is JSON */
    ROWS_JSON,        /* an array where the file starts with one, else lines */
    ROWS_CSV          /* RFC 4180: quoted fields may hold separators, quotes and new lines */
} rows_format;

#define ROWS_MAX_COLUMNS 1024

/* NULL or zeros: by name; a CSV file's first record names its columns. */
typedef struct rows_options {
    rows_format format;
    const char *const *columns; /* a CSV file without a header: its columns; borrowed */
    size_t column_count;
    char separator; /* of CSV; 0: of , ; and tab the one that the first record has most of */
} rows_options;

c2c_status rows_open(row_reader **reader, const char *path, const rows_options *options,
                     c2c_error *error);
/* The next row, an object (of CSV all texts), valid until the next call; NULL at the end. A row
 * that is none (not JSON, not an object, not UTF-8, fields too few or too many) is
 * C2C_STATUS_BAD_FILE, "PATH: line L, ...": whoever can do without it calls again for the row
 * behind it, unless the file is torn. */
c2c_status rows_next(row_reader *reader, const json_value **row, c2c_error *error);
/* After a failure: where the next row would start is not known (brackets or quotes do not match),
 * and nothing more can be read. */
bool rows_torn(const row_reader *reader);
/* The line of the file in which the last row, good or bad, began; the first line is 1. */
int64_t rows_line(const row_reader *reader);
const char *rows_path(const row_reader *reader);
double rows_share(const row_reader *reader); /* of the file that was read, 0 to 1 */
void rows_close(row_reader *reader);

/* As rows_open, from memory that the caller keeps until the close: for tests and fuzzing. */
c2c_status rows_open_bytes(row_reader **reader, const void *data, size_t size, const char *name,
                           const rows_options *options, c2c_error *error);

/* ---- UTF-8 (utf8.c) ----------------------------------------------------------------------- */

/* The bytes at the start of `text` that are valid UTF-8 (no surrogates, no overlong forms). */
size_t utf8_valid_prefix(const char *text, size_t length);

/* ---- Tensor files (tensor_file.c, tensor_folder.c; safetensors.c; zip.c, pickle.c, pt.c) -- */

typedef struct named_tensor {
    const char *name;
    tensor view;      /* of mapped bytes, aligned to its element size */
    const char *path; /* the file it is in */
} named_tensor;

typedef enum tensor_format {
    TENSOR_FORMAT_SAFETENSORS = 0, /* as the reference implementation orders it */
    TENSOR_FORMAT_PT               /* as torch.save writes a state dict */
} tensor_format;

/* One or several mapped files. Names are unique, sizes and offsets checked, nothing overlaps
 * (safetensors; tensors of a .pt may share a storage) and every view lies inside its file. Opening
 * reads headers only. A view that would not be aligned for its elements is a copy instead. */
typedef struct tensor_file tensor_file;

/* A safetensors file, or a PyTorch .pt file that holds a flat state dict; told apart by content.
 * C2C_STATUS_BAD_FILE: it breaks its format, lies, or asks for anything but tensors;
 * C2C_STATUS_UNSUPPORTED: a dtype, rank, stride or compression that is not read. */
c2c_status tensor_file_open(tensor_file **file, const char *path, c2c_error *error);

/* A model folder's weights: model.safetensors, or the shards that model.safetensors.index.json
 * names (plain file names in the same folder). Every tensor of the index must be in its shard;
 * tensors that only a shard names are there too. */
c2c_status tensor_folder_open(tensor_file **file, const char *folder, c2c_error *error);
void tensor_file_close(tensor_file *file);

const char *tensor_file_path(const tensor_file *file);
tensor_format tensor_file_format(const tensor_file *file); /* of a folder: safetensors */
size_t tensor_file_count(const tensor_file *file);
const named_tensor *tensor_file_at(const tensor_file *file, size_t i); /* in order of name */
const named_tensor *tensor_file_find(const tensor_file *file, const char *name); /* or NULL */

/* A table of tensors in memory of its own, in place of a file; `name` stands in messages. Every
 * tensor that is added starts as zeros, to be filled through *data; tensor_memory_finish ends the
 * adding. */
c2c_status tensor_memory_new(tensor_file **file, const char *name, c2c_error *error);
c2c_status tensor_memory_add(tensor_file *file, const char *name, const tensor *shape, void **data,
                             c2c_error *error);
c2c_status tensor_memory_finish(tensor_file *file, c2c_error *error);

/* The bytes of a dense tensor. Dimensions of 0 count as 1 in the check, so that no product of a
 * part of the shape overflows later. False: a dimension is negative or the size does not fit. */
bool tensor_size_checked(const tensor *shape, size_t *bytes);

/* ---- Writing tensors (tensor_write.c; safetensors_write.c; pickle_write.c, zip_write.c,
 * pt_write.c) ------------------------------------------------------------------------------ */

/* What a tensor's elements are written as where `type` is asked for: weights (f32, f16, bf16) as
 * `type`, all others, and all when `type` is DTYPE_COUNT, as they are. */
dtype tensor_written_type(const tensor *view, dtype type);

/* Writes a new file, or replaces one: aside first, so that `path` is never a part. A .pt keeps the
 * order of the tensors. Names must be unique, valid UTF-8 and without NUL.
 * C2C_STATUS_MISMATCH: a number would become infinite in `type`;
 * C2C_STATUS_UNSUPPORTED: a .pt of 4 GiB or more. */
c2c_status tensor_file_write(const char *path, tensor_format format, const named_tensor *tensors,
                             size_t count, dtype type, c2c_error *error);

/* Makes the bytes of tensors that are not there yet: fills `bytes` for tensor i. */
typedef struct tensor_maker {
    c2c_status (*make)(void *user, size_t i, void *bytes, c2c_error *error);
    void *user;
} tensor_maker;

/* As tensor_file_write in safetensors with every type as it is. Tensors whose view has no data are
 * made, one at a time, when their turn comes. */
c2c_status tensor_file_write_made(const char *path, const named_tensor *tensors, size_t count,
                                  const tensor_maker *maker, c2c_error *error);

/* What converting files did; each conversion adds to it. */
typedef struct tensor_conversion {
    int64_t files, copied; /* copied: nothing had to change, so every byte is the same */
    int64_t tensors;
    int64_t from_types[DTYPE_COUNT], to_types[DTYPE_COUNT]; /* how many tensors */
    int64_t from_bytes, to_bytes;                           /* of the files */
    int64_t from_formats[2];                                /* how many files */
} tensor_conversion;

/* Reads a file of tensors and writes it to `to` as tensor_file_write does; the two may be one. */
c2c_status tensor_file_convert(const char *from, const char *to, tensor_format format, dtype type,
                               tensor_conversion *done, c2c_error *error);

/* ---- Pages (page.c) ---------------------------------------------------------------------------
 */

/* A report as one file of HTML, in the style that all reports share. */
void page_begin(buffer *out, const char *program, const char *title);
void page_end(buffer *out);
/* Appends a text as it is shown, in an attribute too: at most `most` bytes of it, and no part of a
 * character. NULL is no text. */
void page_text(buffer *out, const char *text, size_t most);

typedef enum svg_anchor { SVG_START = 0, SVG_MIDDLE, SVG_END } svg_anchor;

/* An SVG element that is as wide as the page; x to the right, y downwards. Classes are those of the
 * page's style: grid, line, faint, other, bar, whisker, dot. */
void svg_begin(buffer *out, double width, double height, const char *label);
void svg_end(buffer *out);
void svg_line(buffer *out, const char *class, double x1, double y1, double x2, double y2);
void svg_text(buffer *out, double x, double y, svg_anchor anchor, const char *text, size_t most);
/* 1, 2 or 5 times a power of ten, of which at most `ticks` make `range` (> 0). */
double svg_round_step(double range, int ticks);

#endif
