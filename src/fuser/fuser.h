/* fuser.h - projectors and their registry, layer maps, and fusing a section: the sharer's cache
 * rows and the receiver's become new rows of the receiver. */
#ifndef C2C_FUSER_H
#define C2C_FUSER_H

#include "model/model.h"

/* ---- Projectors (projector.c: registry and files; one more file per kind) ----------------- */

typedef enum branch { BRANCH_KEY = 0, BRANCH_VALUE, BRANCH_COUNT } branch;

typedef struct projector_kind projector_kind;

/* AllInOneProjector: where gates or weights come from. All members of both structs are of 4 bytes,
 * so that options can be compared as bytes. */
typedef struct all_in_one_logits {
    int32_t granularity; /* of all_in_one.h */
    int32_t generated;   /* by an MLP that reads features; else they are parameters */
    int32_t features;    /* bit set of features; 0 when they are parameters */
} all_in_one_logits;

typedef struct all_in_one_options {
    int32_t activation;
    int32_t layer_norm, swiglu, concat;
    int32_t residual; /* asked for, and both caches have rows of one length */
    int32_t dropout;  /* has modules, which are counted in the names of tensors */
    int32_t weight_hidden, max_length;
    all_in_one_logits gate, weight;
    float scalar_temperature;
} all_in_one_options;

/* What the options say of a projector that is new; a trained one has its own numbers. */
typedef struct projector_start {
    float gate, weight; /* of parameters that are gates or weights */
    float temperature;  /* "gate_temperature" */
    bool zero_output;   /* the last linear starts at 0, not at random */
} projector_start;

/* What only training reads. */
typedef struct projector_learning {
    float dropout;          /* rate; 0: none */
    float last_temperature; /* of gates: from start.temperature, over anneal_steps steps */
    int64_t anneal_steps;
    bool soft_gates;      /* gates are drawn around their logits; else they are as at inference */
    bool draw_by_element; /* a number for each element, the same for key and value; else one for
                             each head and branch */
} projector_learning;

/* Sizes of one projector: those of the two caches, and its own from init_args. Projectors of equal
 * specs and dtypes run as one grouped call. */
typedef struct projector_spec {
    const projector_kind *kind;
    int sharer_heads, sharer_dim; /* kv heads and head dim */
    int receiver_heads, receiver_dim;
    int64_t hidden, intermediate;
    int num_layers;
    bool use_scalars;        /* a weight per kv head and token */
    bool use_gates;          /* each branch has a gate of one number: "<branch>_gate_logit" */
    bool shared_gate;        /* or both have the same one, "gate_logit" */
    bool use_receiver;       /* adds to the receiver's rows; else replaces them */
    bool ignores_receiver;   /* never reads the receiver's rows: what stood there does not matter */
    bool scale_receiver;     /* adds to (1 - w) times the receiver's rows */
    bool by_section;         /* what a row becomes depends on the section and its place in it */
    int64_t longest_section; /* rows that a section may have; 0: any number */
    all_in_one_options all_in_one;
    projector_start start;
    projector_learning learning;
} projector_spec;

/* Whether two projectors differ in their weights alone, and in what those were at the start. */
bool projector_specs_equal(const projector_spec *a, const projector_spec *b);

#define PROJECTOR_MAX_SLOTS 128

/* One tensor of a projector. Each branch has its own, "key_NAME" and "value_NAME" in the file; or
 * they share one, which is NAME there. */
typedef struct projector_slot {
    char name[64];
    bool shared;
    int rank; /* 0: a tensor of one element, whatever its rank */
    int64_t shape[3];
    /* Elements of a new one are value + a uniform number between -bound and bound, as PyTorch
     * starts the same layers: 1 or 0 in norms, linear_bound in linears. */
    float value, bound;
} projector_slot;

typedef struct projector_slots {
    projector_slot items[PROJECTOR_MAX_SLOTS];
    int count;
    bool gate_temperature; /* the file may hold one, which only training reads */
} projector_slots;

/* P networks of equal spec and dtypes: for each slot a table of P weights in backend memory. A
 * network is one branch of one mapped receiver layer. Kinds of whole layers have the key network
 * of a layer at 2i and its value network at 2i + 1; the table of a slot that they share holds P / 2
 * weights. */
typedef struct projector_stack {
    projector_spec spec;
    bool closed;    /* gates are closed: what was projected does not count */
    int32_t groups; /* P */
    int slot_count;
    int *layers;        /* [P] receiver layer */
    int *sharer_layers; /* [P] */
    branch *branches;   /* [P] */
    dtype types[PROJECTOR_MAX_SLOTS];
    const void **tables[PROJECTOR_MAX_SLOTS];     /* [P] each */
    const uint16_t **panels[PROJECTOR_MAX_SLOTS]; /* the same matrices in panels; or NULL */
} projector_stack;

/* How networks run whose weights learn. */
typedef struct projector_training {
    const void *const *gates;     /* [P] f32 logits of gates of one number; NULL: there are none */
    const float *const *uniforms; /* [P] what soft gates are drawn with; NULL: hard gates */
    fuse_strides uniform_strides;
    float gate_temperature;
    bool dropout;
    random_rows random; /* of the call's rows; each dropout has the site of a slot behind it */
} projector_training;

/* The step's temperature: from the first to the last one, by equal ratios. */
float projector_temperature(const projector_spec *spec, uint32_t step);
/* A dropout at `rate` over y in place; `slot` tells the dropouts of a projector apart. */
void projector_dropout(backend *b, const projector_training *training, float *const *y,
                       int32_t groups, int slot, float rate, int64_t rows, int64_t features);

/* One grouped call on N rows. Tables hold P pointers to the first row. */
typedef struct projector_call {
    backend *backend;
    linear_math math;
    int64_t rows;
    int64_t first, section;       /* place of the first row in its section, rows of the section */
    float *summary;               /* backend memory: what kind->survey wrote */
    const float *const *sharer;   /* rows of Hs * Ds */
    const float *const *receiver; /* rows of Ht * Dt */
    float *const *out;            /* rows of Ht * Dt; may be the receiver's own rows */
    float *scratch;               /* backend memory: kind->scratch(spec) * N * P floats */
    const void **tables;          /* host memory: PROJECTOR_TABLES * P pointers */
    const projector_training *training; /* NULL: inference */
} projector_call;

/* Pointer tables that one forward may need beside its arguments. */
#define PROJECTOR_TABLES 16

/* A kind is one file and one line in the table of projector.c. */
struct projector_kind {
    const char *name; /* "class" in projector_<i>.json, "type" in recipes */
    bool whole_layer; /* a layer's key and value networks run together */
    /* Reads the kind's own keys of init_args into spec; heads and dims are there already. */
    c2c_status (*configure)(projector_spec *spec, const json_value *init_args, const char *where,
                            c2c_error *error);
    /* Appends what inspect shows of a spec, for people: "hidden 64, 3 layers, ...". */
    void (*describe)(const projector_spec *spec, buffer *text);
    /* Lists the tensors of one branch, gate logits of one number aside. */
    void (*slots)(const projector_spec *spec, projector_slots *slots);
    /* Floats of scratch that one row of one network needs. */
    int64_t (*scratch)(const projector_spec *spec);
    /* out = projector(sharer, receiver) for inference; not for closed stacks that replace the
     * receiver. */
    void (*forward)(const projector_stack *stack, const projector_call *call);
    /* For kinds whose forward needs numbers of the whole section first, or NULL: the floats of such
     * a summary for one network (0: none), and how it is made: by a call for each block of the
     * section's rows in their order, which writes no rows. */
    int64_t (*summary)(const projector_spec *spec);
    void (*survey)(const projector_stack *stack, const projector_call *call);
};

extern const projector_kind c2c_projector_kind, ablation_projector_kind; /* c2c_projector.c */
extern const projector_kind all_in_one_projector_kind;                   /* all_in_one_*.c */

/* Numbers in a row of each cache: Hs * Ds and Ht * Dt. */
static inline int64_t projector_sharer_features(const projector_spec *spec) {
    return (int64_t)spec->sharer_heads * spec->sharer_dim;
}
static inline int64_t projector_receiver_features(const projector_spec *spec) {
    return (int64_t)spec->receiver_heads * spec->receiver_dim;
}

/* Parts of forwards (projector_parts.c). A table of P buffers of `features` floats for each row of
 * the call, cut from *scratch, which moves on; it is kept as table number `table` of the call. */
float *const *projector_buffers(const projector_stack *stack, const projector_call *call, int table,
                                float **scratch, int64_t features);
/* The call y = x W^T of all P networks, for who adds to it: W [out, in] is the weight of `slot`. */
linear_args projector_linear_args(const projector_stack *stack, const projector_call *call,
                                  float *const *y, const float *const *x, int slot, int64_t in,
                                  int64_t out);
/* y = x W^T (+ b) for all P networks: W [out, in] is the weight of `slot`, b [out] of the next. */
void projector_linear(const projector_stack *stack, const projector_call *call, float *const *y,
                      const float *const *x, int slot, bool has_bias, int64_t in, int64_t out);
/* y = concat(left, right) W^T + b as two products with the two parts of each row of W; without
 * right features the first alone. `tables` has room for 2 P pointers. */
void projector_linear_concat(const projector_stack *stack, const projector_call *call,
                             float *const *y, const float *const *left, const float *const *right,
                             int slot, int64_t left_features, int64_t right_features, int64_t out,
                             const void **tables);
/* The end of a forward: out = receiver (where spec->use_receiver) + gate * sigmoid(scalar) * x,
 * with a logit [rows, heads] for each head in `scalars`, or NULL: all 1. Gates are open, or soft
 * while they learn. */
void projector_mix(const projector_stack *stack, const projector_call *call, const float *const *x,
                   const float *const *scalars);

/* The bound of new weights and biases of a linear that reads `inputs` elements: 1 / sqrt(inputs),
 * which is what torch.nn.Linear's kaiming_uniform_(a = sqrt(5)) comes to. */
float linear_bound(int64_t inputs);

/* Appends a slot of rank 1 ([rows], columns 0), which starts at 0 unless the caller says otherwise,
 * or 2, which starts as a linear's weight; `name` is a printf format. */
projector_slot *projector_slot_add(projector_slots *slots, int64_t rows, int64_t columns,
                                   const char *name, ...) C2C_PRINTF(4, 5);

#define PROJECTOR_TENSOR_NAME 80

/* What a slot of one branch is called in the file, and a branch's gate of one number. */
const char *projector_slot_name(char name[PROJECTOR_TENSOR_NAME], const projector_slot *slot,
                                branch which);
const char *projector_gate_name(char name[PROJECTOR_TENSOR_NAME], const projector_spec *spec,
                                branch which);

/* One projector_<i> as it lies on disk, or as it was made. */
typedef struct projector {
    projector_spec spec;
    json_document *description; /* projector_<i>.json */
    tensor_file *tensors;
    int slot_count;
    bool shared[PROJECTOR_MAX_SLOTS];
    dtype types[PROJECTOR_MAX_SLOTS];   /* the same in both branches */
    const void **weights[BRANCH_COUNT]; /* [slot_count] backend memory; shared ones: of the key */
    const uint16_t **panels[BRANCH_COUNT]; /* [slot_count] the same matrices, or NULL; or NULL */
    float gate_logits[BRANCH_COUNT];       /* > 0: open; 1 without gates of one number */
    int64_t longest_row;                   /* columns of the widest weight */
    int64_t parameters, weight_bytes;
} projector;

/* Reads projector_<i>.json: the kind, the sizes of both caches and the kind's own options. */
c2c_status projector_spec_parse(projector_spec *spec, const json_document *document,
                                c2c_error *error);

/* Opens `folder`/projector_<index>.json and its tensors (.safetensors, else .pt), checks every
 * tensor against the spec and imports it. */
c2c_status projector_open(projector *p, backend *b, const char *folder, int index,
                          c2c_error *error);
/* The last step of opening: checks p->tensors against p->spec and imports them. */
c2c_status projector_bind(projector *p, backend *b, c2c_error *error);
/* Puts bf16 matrices into panels where the backend gains from it. */
c2c_status projector_panels_make(projector *p, backend *b, linear_math math, int64_t fuser_bytes,
                                 c2c_error *error);
void projector_close(projector *p, backend *b);

/* ---- New projectors (start.c) ------------------------------------------------------------- */

/* Elements of all tensors of a projector of this spec; false when there are too many to count. */
bool projector_parameters(const projector_spec *spec, int64_t *parameters);
/* The tensors of an untrained projector. Each element depends on the seed, on `index`, and on the
 * tensor's name and its place in it. */
c2c_status projector_start_tensors(tensor_file **file, const projector_spec *spec, int index,
                                   uint64_t seed, dtype type, c2c_error *error);

/* ---- Layer maps (layer_map.c) ------------------------------------------------------------- */

/* What a receiver layer reads: the first pair of its list in projector_config.json. */
typedef struct layer_link {
    int sharer_layer; /* -1: the layer is not mapped */
    int projector;
} layer_link;

typedef struct layer_map {
    layer_link *links; /* [layers] by receiver layer; layers = highest mapped one + 1 */
    int layers;
    int projectors; /* highest projector index mentioned, + 1 */
} layer_map;

/* Reads projector_config.json; models are checked by the caller. */
c2c_status layer_map_parse(layer_map *map, const json_document *document, c2c_error *error);
void layer_map_deinit(layer_map *map);

/* ---- Recipes (recipe.c) ------------------------------------------------------------------- */

typedef void (*layer_map_rule)(int receiver_layers, int sharer_layers, int *sharer_of);

/* The part of a recipe that a fuser is made from; borrows from the document. */
typedef struct fuser_recipe {
    const char *where; /* the document's name */
    const char *type;  /* of its projectors: the name of a kind */
    const json_value *params;
    const char *mapping; /* "last_aligned" or "k_nearest" */
    layer_map_rule rule;
} fuser_recipe;

/* Reads "model" of a recipe, or a document that is such a part itself. */
c2c_status fuser_recipe_parse(fuser_recipe *recipe, const json_document *document,
                              c2c_error *error);
/* projector_<i>.json of every projector of a new fuser for two such models. */
c2c_status fuser_recipe_describe(json_document **description, const fuser_recipe *recipe,
                                 const model_config *receiver, const model_config *sharer,
                                 dtype type, c2c_error *error);
/* A projector of its own for every layer of the receiver. */
c2c_status fuser_recipe_map(layer_map *map, const fuser_recipe *recipe, int receiver_layers,
                            int sharer_layers, c2c_error *error);

/* What the public name stands for; `as_is` for that of no change. */
c2c_status weight_type_read(dtype *type, c2c_weight_type named, dtype as_is, c2c_error *error);

/* ---- Fuser (fuser.c, stack.c) ------------------------------------------------------------- */

struct c2c_fuser {
    backend *backend;
    char *folder; /* the one that holds projector_config.json; of a new one the recipe's name */
    layer_map map;
    projector *projectors;
    int projector_count;
    projector_stack *stacks;
    int stack_count;
    int sharer_layers;       /* layers of the sharer up to the last one that is mapped */
    int sharer_used;         /* and up to the last one that an open network reads; 0: none does */
    bool replaces;           /* pure C2C: every row of the receiver is replaced, and none read */
    bool by_section;         /* for some projector, see projector_spec */
    int64_t longest_section; /* the least of the projectors; 0: any number of rows */
    const c2c_model *receiver, *sharer;
    int64_t parameters, weight_bytes;
};

/* Opens a fuser's files without any model: for inspecting. Stacks are there only after
 * c2c_fuser_open. */
c2c_status fuser_open_files(c2c_fuser **fuser, backend *b, const char *folder, c2c_error *error);

/* Checks that the fuser fits these models, and prepares it for fusing. */
c2c_status fuser_attach(c2c_fuser *fuser, const c2c_model *receiver, const c2c_model *sharer,
                        c2c_error *error);

/* Warns where the fuser's recipe names other models than its own (recipe_names.c). */
void fuser_check_names(const c2c_fuser *fuser);

/* Sorts the branches of the mapped layers that write anything into stacks of equal networks. */
c2c_status fuser_stacks_build(c2c_fuser *fuser, c2c_error *error);
void fuser_stacks_free(c2c_fuser *fuser);

/* Writes an open fuser's files into a folder that is there; `type` as in tensor_file_write
 * (save.c).
 */
c2c_status fuser_write(const c2c_fuser *fuser, const char *folder, tensor_format format, dtype type,
                       c2c_error *error);

/* ---- Folders (folder.c, convert.c) ------------------------------------------------------- */

/* The folder that holds projector_config.json, with a slash at its end: `folder` itself, or its
 * final/ as training writes it. Free it. */
c2c_status fuser_folder_find(char **found, const char *folder, c2c_error *error);
/* folder/projector_<index><suffix>, to be freed; NULL when out of memory. */
char *projector_path(const char *folder, int index, const char *suffix);
/* Whether a file of this name is one that a fuser is made of. */
bool fuser_folder_owns(const char *name);
/* Refuses a place where something is already; with `replace` only what is more than a fuser. */
c2c_status fuser_folder_check_free(const char *path, bool replace, c2c_error *error);

/* Appends projector_<i>.json; `type` (DTYPE_COUNT: as it is) is what its init_args shall say. */
void projector_json_write(buffer *out, const json_value *root, dtype type);

/* Writes the fuser of one folder as another one, tensor by tensor, whatever its projectors are;
 * `type` as in tensor_file_write. The folder appears whole, or not at all. */
c2c_status fuser_convert(const char *from, const char *to, tensor_format format, dtype type,
                         bool replace, tensor_conversion *done, c2c_error *error);

/* ---- Fusing (fuse.c) ---------------------------------------------------------------------- */

/* Rows of one grouped call: enough to use a weight several times once it is in the processor's
 * cache, few enough to keep the scratch of large fusers small. */
#define FUSE_BLOCK_ROWS 128

typedef struct fuse_scratch {
    backend *backend;
    float *memory;       /* backend memory for one grouped call */
    float *summaries;    /* of all stacks, one behind the other; NULL when none has one */
    float *results;      /* [largest P][block rows][features] for fuser_accumulate, or NULL */
    float *staged;       /* [largest P][block rows][Hs*Ds + 2 Ht*Dt]: rows of caches that are not
                            f32, as f32; or NULL */
    float *zeros;        /* [block rows][features] */
    const void **tables; /* host memory: (PROJECTOR_TABLES + 7) * largest P pointers */
} fuse_scratch;

/* `accumulate`: for fuser_accumulate; `staged`: for caches that are not f32. */
c2c_status fuse_scratch_init(fuse_scratch *scratch, const c2c_fuser *fuser, bool accumulate,
                             bool staged, c2c_error *error);
void fuse_scratch_deinit(fuse_scratch *scratch);

/* `count` consecutive rows of three pools, each from its first row on: a section, or a block of it.
 */
typedef struct fuse_rows {
    const kv_cache *out, *receiver, *sharer;
    int64_t out_row, receiver_row, sharer_row;
    int64_t count;
    int64_t first, section; /* place of the first row in the section, rows of the section */
} fuse_rows;

/* out = projectors(sharer, receiver) for a whole section. Layers that are not mapped, and branches
 * whose gate is closed, are not written: out must hold the receiver's rows already, or be them. */
void fuser_apply(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows);

/* The same in two parts, for callers who write over the receiver's rows block by block: first what
 * projectors need to know of the whole section (out is not written), kept in the scratch; then, for
 * each block of FUSE_BLOCK_ROWS rows or what is left,
 * out += projectors(sharer, receiver) - receiver, with out not the receiver's rows. */
void fuser_survey(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows);
void fuser_accumulate(const c2c_fuser *fuser, fuse_scratch *scratch, const fuse_rows *rows);

#endif
