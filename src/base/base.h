/* base.h - what every room stands on: status and errors, checked sizes, byte buffers, arenas,
 * tensors as views, number formats, random numbers, the thread pool and facts about the machine. */
#ifndef C2C_BASE_H
#define C2C_BASE_H

#include "c2c.h"

#include <stdarg.h>
#include <string.h>

/* ---- Errors (error.c) --------------------------------------------------------------------- */

#define C2C_PRINTF(string, first) __attribute__((format(printf, string, first)))

/* Fills *error (may be NULL) and returns `code`, so that a failing line reads
 * `return error_set(error, C2C_STATUS_IO, "%s: cannot read", path);`
 * The message becomes one line of valid UTF-8 whatever the arguments hold; what is too long ends
 * with "...". The old message may be an argument. */
c2c_status error_set(c2c_error *error, c2c_status code, const char *format, ...) C2C_PRINTF(3, 4);

/* "out of memory: could not get N bytes for WHAT" */
c2c_status error_memory(c2c_error *error, size_t bytes, const char *what);

/* What a public function does first: C2C_STATUS_INVALID_ARGUMENT, and the argument's name, when one
 * of the caller's pointers that must not be NULL is. */
typedef struct argument {
    const char *name;
    const void *pointer;
} argument;
c2c_status error_arguments(c2c_error *error, const char *function, const argument *arguments,
                           size_t count);
#define ARGUMENTS_CHECK(error, ...)                                                                \
    error_arguments(error, __func__, (const argument[]){__VA_ARGS__},                              \
                    sizeof((const argument[]){__VA_ARGS__}) / sizeof(argument))
/* The same for a choice of 0 to `last`. */
c2c_status error_choice(c2c_error *error, const char *name, int choice, int last);

/* Puts "CONTEXT: " before the message, for a caller that knows the file or key. */
void error_prefix(c2c_error *error, const char *format, ...) C2C_PRINTF(2, 3);

/* A broken invariant of this program, never a judgement on input. Always on. */
#define C2C_ASSERT(condition)                                                                      \
    ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))
_Noreturn void assert_failed(const char *condition, const char *file, int line);

/* ---- Checked sizes ------------------------------------------------------------------------ */

/* *product = a * b (or *sum = a + b); false when it does not fit. */
static inline bool size_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}
static inline bool size_add(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}
static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- Byte buffer (buffer.c) --------------------------------------------------------------- */

/* Growing bytes; zero-initialise. `data` is NUL-terminated whenever it is not NULL. An append that
 * cannot get memory sets `failed` and drops all later appends: check once at the end. What is
 * appended must not lie in the buffer itself. */
typedef struct buffer {
    char *data;
    size_t length;
    size_t capacity;
    bool failed;
} buffer;

void buffer_append(buffer *b, const void *bytes, size_t length);
void buffer_append_text(buffer *b, const char *text);
void buffer_append_char(buffer *b, char c);
void buffer_printf(buffer *b, const char *format, ...) C2C_PRINTF(2, 3);
void buffer_clear(buffer *b);
void buffer_free(buffer *b);
/* Hands the bytes to the caller (free() them) and empties the buffer; NULL if it had failed.
 * An empty buffer gives an empty text. */
char *buffer_take(buffer *b, size_t *length);

/* A copy to be freed; NULL when out of memory. */
char *string_copy(const char *text);
/* folder + "/" + name, to be freed; NULL when out of memory. */
char *path_join(const char *folder, const char *name);

/* ---- Arena (arena.c) ---------------------------------------------------------------------- */

/* Memory given out in pieces and freed at once. */
typedef struct arena arena;

arena *arena_new(size_t first_block); /* NULL when out of memory */
void arena_free(arena *a);
/* `bytes` zeroed bytes aligned to 16, or NULL; never NULL for 0 bytes unless out of memory. */
void *arena_alloc(arena *a, size_t bytes);
/* A NUL-terminated copy of `length` bytes. */
char *arena_copy(arena *a, const char *bytes, size_t length);
/* Forgets all pieces, keeps the blocks. */
void arena_reset(arena *a);
size_t arena_used(const arena *a);

/* ---- Tensors (tensor.c) ------------------------------------------------------------------- */

typedef enum dtype {
    DTYPE_F32 = 0,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_F64,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_BOOL,
    DTYPE_COUNT
} dtype;

size_t dtype_size(dtype type);
const char *dtype_name(dtype type); /* "f32", "bf16", ... */
/* f32, f16 or bf16: what weights may be. */
bool dtype_is_weight(dtype type);

#define TENSOR_MAX_RANK 8

/* A dense row-major view; the owner of `data` is whoever made the view. Rank 0 holds one number. */
typedef struct tensor {
    dtype type;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    const void *data;
} tensor;

int64_t tensor_elements(const tensor *t); /* sizes were checked when the view was made */
size_t tensor_bytes(const tensor *t);
/* "[3, 4]" into `text`; returns `text`. */
#define TENSOR_SHAPE_TEXT 192
const char *tensor_shape_text(const tensor *t, char text[TENSOR_SHAPE_TEXT]);
/* Element i of an f32, f16 or bf16 tensor as f32. */
float tensor_get_f32(const tensor *t, int64_t i);

static inline float f32_from_bf16(uint16_t bits) {
    uint32_t u = (uint32_t)bits << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Round to nearest even; a NaN stays a NaN. */
static inline uint16_t bf16_from_f32(float value) {
    uint32_t u;
    memcpy(&u, &value, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

float f32_from_f16(uint16_t bits);
/* Round to nearest even; 65520 and more become infinite, a NaN stays a NaN. */
uint16_t f16_from_f32(float value);

/* Elements first .. first + count - 1 of `from` as `type`, into `out`: copied where that is their
 * type already, else both are weight types and a number is rounded to the nearest one, even on
 * ties. Returns how many there were before the first finite number that `type` can only hold as
 * infinity: `count` when all is well. */
int64_t tensor_convert(void *out, dtype type, const tensor *from, int64_t first, int64_t count);

/* ---- Dates (date.c) ----------------------------------------------------------------------- */

typedef struct date {
    int year, month, day; /* month and day from 1 */
} date;

#define DATE_MAX_DAYS 3000000 /* more than there are until the year 9999 */

/* Days from 1 January 1970; of a date that exists. */
int64_t date_to_days(const date *d);
date date_from_days(int64_t days); /* within DATE_MAX_DAYS of 0 */
bool date_exists(const date *d);   /* in the years 1 to 9999 */

/* ---- Random numbers (random.c) ------------------------------------------------------------ */

/* What names one random number: the user's seed, the step (of training or of decoding), the sample
 * (of a batch), and the site, the place in the program that draws. */
typedef struct random_key {
    uint64_t seed, step;
    uint32_t sample, site;
} random_key;

#define RANDOM_SITE_SAMPLING  1     /* of answers */
#define RANDOM_SITE_INITIAL   2     /* weights of new projectors */
#define RANDOM_SITE_BOOTSTRAP 32    /* of an evaluation's intervals */
#define RANDOM_SITE_TRAINING  65536 /* gates and dropouts of projectors, from here on */

/* 128 random bits. */
void random_block(const random_key *key, uint32_t bits[4]);
/* Uniform in the open interval (0, 1), 52 bits. */
double random_uniform(const random_key *key);

/* ---- Digests (digest.c) ------------------------------------------------------------------- */

#define DIGEST_MD5    16
#define DIGEST_SHA256 32

void digest_md5(uint8_t digest[DIGEST_MD5], const void *bytes, size_t length);
void digest_sha256(uint8_t digest[DIGEST_SHA256], const void *bytes, size_t length);

/* ---- Threads (threads.c) ------------------------------------------------------------------ */

/* A pool of `threads` >= 1 workers, the caller included. Workers spin briefly, then sleep; a job
 * never waits for one that sleeps. They take no signals. */
typedef struct thread_pool thread_pool;

/* Part `index` of `count`; `worker` in 0 .. threads-1 names the thread, for its scratch. */
typedef void (*thread_task)(void *context, int64_t index, int worker);

c2c_status thread_pool_new(thread_pool **pool, int threads, c2c_error *error);
void thread_pool_free(thread_pool *pool);
int thread_pool_size(const thread_pool *pool);
/* Calls task(context, i, worker) once for every i in 0 .. count-1, in any order, and returns when
 * all are done. Parts next to each other run on one thread for the most part, and so do parts at
 * the same place of two jobs. Split work by its size, never by the number of threads, so that
 * results do not depend on it. Callers on several threads take turns. A task must not call this. */
void thread_pool_run(thread_pool *pool, int64_t count, thread_task task, void *context);

/* The same in two phases: no part of the second begins before all of the first are done. Costs one
 * meeting of the threads, not two. */
typedef struct thread_phase {
    int64_t count;
    thread_task task;
} thread_phase;
void thread_pool_run_phases(thread_pool *pool, const thread_phase phases[2], void *context);

/* ---- The machine (system.c) --------------------------------------------------------------- */

int system_processors(void);           /* that this process may use, >= 1; heeds containers */
int64_t system_memory_available(void); /* bytes that can be used without swapping; < 0: unknown */
/* Mapped bytes that are not needed for now: the whole pages among them take no memory until they
 * are read again. */
void system_pages_unneeded(const void *bytes, size_t length);
double system_seconds(void);           /* a steady clock */
double system_processor_seconds(void); /* that this process has used, all its threads */

/* A whole file mapped read-only; `data` is NULL for an empty file. */
typedef struct file_map {
    const uint8_t *data;
    size_t size;
} file_map;

c2c_status file_map_open(file_map *map, const char *path, c2c_error *error);
void file_map_close(file_map *map);
bool file_exists(const char *path); /* a regular file */
bool folder_exists(const char *path);

/* ---- Writing (writer.c, folder.c) ---------------------------------------------------------- */

/* A file that is written under another name beside its place, synced, and renamed at the end: who
 * looks for it finds the old file or the whole new one. */
typedef struct file_writer file_writer;

c2c_status file_writer_open(file_writer **writer, const char *path, c2c_error *error);
c2c_status file_writer_append(file_writer *writer, const void *bytes, size_t length,
                              c2c_error *error);
uint64_t file_writer_size(const file_writer *writer); /* bytes appended so far */
/* Ends what was opened (NULL: nothing was). With `status` OK the file takes its place; else what
 * was written is removed and `status` comes back. */
c2c_status file_writer_end(file_writer *writer, c2c_status status, c2c_error *error);
/* All of that for bytes in memory. */
c2c_status file_write(const char *path, const void *bytes, size_t length, c2c_error *error);
/* The file `name` of folder `from` into folder `to`. With `optional` nothing happens where that is
 * no file, or missing. */
c2c_status file_copy(const char *from, const char *to, const char *name, bool optional,
                     c2c_error *error);

/* Calls visit(user, name) for each entry but "." and "..", in order of name, until one fails. */
typedef c2c_status (*folder_visitor)(void *user, const char *name, c2c_error *error);
c2c_status folder_each(const char *path, folder_visitor visit, void *user, c2c_error *error);
/* Removes a folder and what is in it, never what a link points at; stops at what it cannot remove.
 */
c2c_status folder_remove(const char *path, c2c_error *error);

/* A new empty folder beside `path`, to be filled and then given to folder_end; free *aside. */
c2c_status folder_begin(char **aside, const char *path, c2c_error *error);
/* With `status` OK `aside` becomes `path`, and a folder that was there is removed; else `aside` is
 * removed and `status` comes back. */
c2c_status folder_end(const char *aside, const char *path, c2c_status status, c2c_error *error);
/* Syncs the folder that `path` stands in, so that names in it survive a crash of the machine. */
void folder_sync_around(const char *path);

#endif
