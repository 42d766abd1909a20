/* model.h - decoder-only language models: configuration, weights, the KV cache and the forward
 * pass. A model folder is opened here with everything in it; what a prompt is, sessions decide. */
#ifndef C2C_MODEL_H
#define C2C_MODEL_H

#include "backend/backend.h"
#include "tokenizer/tokenizer.h"

/* ---- Configuration (config.c, rope.c) ----------------------------------------------------- */

/* Which layers see only the last `window` positions. */
typedef enum sliding_rule {
    SLIDING_NEVER = 0,
    SLIDING_ALL,     /* "sliding_window": every layer, unless it is null */
    SLIDING_FLAG,    /* "use_sliding_window": layers from "max_window_layers" on */
    SLIDING_PATTERN, /* "layer_types", or all but each "sliding_window_pattern"-th layer */
} sliding_rule;

/* What sets one family of decoders apart from the others; a row of the table in config.c. */
typedef struct model_family {
    const char *model_type;     /* of config.json */
    const char *activation_key; /* "hidden_act" */
    bool qk_norm;               /* RMSNorm over head_dim on queries and keys, before RoPE */
    bool qkv_bias;              /* q, k, v have biases whatever the config says */
    bool attention_bias_key;    /* "attention_bias": true gives q, k, v and o biases */
    bool mlp_bias_key;          /* "mlp_bias": true gives gate, up and down biases */
    bool tied;                  /* where the config has no "tie_word_embeddings" */
    bool gemma; /* (1 + weight) norms, also behind attention and MLP; sqrt(E) embedding scale;
                   "query_pre_attn_scalar"; RoPE of their own for sliding layers */
    sliding_rule sliding;
    int64_t default_head_dim; /* where the config has none; 0: embedding / heads */
} model_family;

typedef enum rope_type {
    ROPE_DEFAULT = 0,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_LLAMA3,
    ROPE_YARN,
    ROPE_TYPE_COUNT
} rope_type;

/* Rotary position embedding of one kind of layer (rope.c has the formulas). */
typedef struct rope_config {
    rope_type type;
    double theta, factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    double original_context;                  /* llama3, yarn */
    float attention_factor;                   /* of cosines and sines; 1 but for yarn */
} rope_config;

/* Reads the RoPE keys of config.json as transformers 4 or 5 writes them. *local is the RoPE of
 * sliding layers in families where it is another one, else equal to *global. */
c2c_status rope_config_parse(rope_config *global, rope_config *local, const json_value *root,
                             const model_family *family, int64_t context, const char *name,
                             c2c_error *error);
/* The head_dim / 2 frequencies in radians per position. */
void rope_frequencies(const rope_config *rope, int head_dim, float *frequencies);

#define MODEL_MAX_EOS    32
#define MODEL_MAX_LAYERS 1024

typedef struct model_config {
    const model_family *family;
    int layers, heads, kv_heads, head_dim;
    int64_t embedding, feed_forward, vocabulary, context;
    float norm_epsilon, embedding_scale;
    float query_scale; /* of q . k */
    activation activation;
    rope_config rope, local_rope;
    bool tied; /* the head is the embedding matrix */
    bool qkv_bias, output_bias, mlp_bias;
    bool int8;                      /* the files hold matrices as 8-bit integers */
    int64_t window;                 /* positions a sliding layer sees, its own included */
    bool sliding[MODEL_MAX_LAYERS]; /* by layer */
    int32_t eos_ids[MODEL_MAX_EOS]; /* generation_config.json's, else config.json's */
    int eos_count;
} model_config;

/* Reads `folder`/config.json (as transformers 4 or 5 writes it) and generation_config.json. */
c2c_status model_config_open(model_config *config, const char *folder, c2c_error *error);
/* The same from parsed documents; `generation` may be NULL. For tests and fuzzing. */
c2c_status model_config_parse(model_config *config, const json_document *document,
                              const json_document *generation, c2c_error *error);
bool model_config_is_eos(const model_config *config, int32_t id);
/* What sessions keep a model's keys and values as unless they are told: bf16 where it computes in
 * bf16, else f32 (cache.c). */
dtype model_cache_type(const c2c_model *model);
/* Bytes of the keys and values of one token in all layers, kept as `type`. */
int64_t model_cache_row_bytes(const model_config *config, dtype type);

/* ---- Model (model.c, weights.c) ----------------------------------------------------------- */

/* A weight in backend memory, in its file's dtype. */
typedef struct weight {
    const void *data; /* NULL: the model has none here */
    dtype type;
    const float *scale;     /* of i8 matrices, which are in backend memory: [rows]; else NULL */
    const uint16_t *panels; /* of matrices that gain from them (see pack_panels); else NULL */
    const tensor *source;   /* what the file has */
} weight;

typedef struct layer_weights {
    weight input_norm, mlp_norm;             /* [E] before attention and before the MLP */
    weight attention_out_norm, mlp_out_norm; /* [E] gemma: behind them, before the residual */
    weight q, k, v, o;                       /* [H*D, E] [G*D, E] [G*D, E] [E, H*D] */
    weight q_bias, k_bias, v_bias, o_bias;   /* [H*D] [G*D] [G*D] [E] */
    weight q_norm, k_norm;                   /* [D] */
    weight gate, up, down;                   /* [F, E] [F, E] [E, F] */
    weight gate_bias, up_bias, down_bias;    /* [F] [F] [E] */
} layer_weights;

struct c2c_model {
    const c2c_engine *engine; /* for warnings */
    backend *backend;
    char *folder;
    model_config config;
    linear_math math;
    tensor_file *files;
    tokenizer *tokenizer;
    chat_template *chat_template;
    weight embedding, final_norm, head; /* [V, E] [E] [V, E] */
    layer_weights *layers;
    float *frequencies; /* [2][D / 2] backend memory: full and sliding layers */
    float *norm_memory; /* gemma: 1 + weight of every norm, backend memory */
    void **int8_memory; /* [layers + 1] backend memory: matrices made of the file's; or NULL */
    int64_t parameters, weight_bytes;
};

/* Messages as the JSON list that templates read, appended; refuses texts that are not UTF-8. */
c2c_status model_messages_write(buffer *json, const c2c_message *messages, size_t count,
                                c2c_error *error);

/* Finds every weight of the config in model->files, checks shapes and imports them (weights.c). */
c2c_status model_weights_bind(c2c_model *model, c2c_error *error);
void model_weights_release(c2c_model *model);

/* One of the matrices that 8-bit integers, or panels, are made of. */
typedef struct model_matrix {
    weight *w;
    int64_t rows, columns;
} model_matrix;

#define MODEL_LAYER_MATRICES 7

/* Those of a layer; and the head, which may be the embedding. */
void model_layer_matrices(c2c_model *model, int layer, model_matrix matrices[MODEL_LAYER_MATRICES]);
model_matrix model_head_matrix(c2c_model *model);

/* Makes 8-bit integers of all matrices but the embedding (quantize.c). */
c2c_status model_weights_quantize(c2c_model *model, c2c_error *error);
void model_int8_release(c2c_model *model);

/* Puts bf16 matrices into panels where the backend gains from it (panels.c). */
c2c_status model_panels_make(c2c_model *model, c2c_error *error);

/* What quantization_config.quant_method of config.json says where the files hold such integers, and
 * what is behind a matrix's name to name its scales. */
#define MODEL_INT8_METHOD "c2c-int8"
#define MODEL_INT8_SCALE  "_scale"

/* Writes a model that was opened with its weights as they are stored as a folder `to` of its own,
 * whose matrices are what model_weights_quantize makes of them: a complete model, with every file
 * of `from` that holds no weights. The folder appears whole, or not at all (store_int8.c). */
c2c_status model_store_int8(c2c_model *model, const char *to, tensor_conversion *done,
                            c2c_error *error);
/* Whether a file of a model folder is copied by that; config.json is written anew. */
bool model_store_copies(const char *name);

/* ---- KV cache (cache.c) ------------------------------------------------------------------- */

/* A row pool: for each layer one K and one V base, rows token-major [row][G * D] of one type, f32
 * or bf16. Which rows belong to whom, the owner of the cache decides. */
typedef struct kv_cache {
    backend *backend;
    int layers;
    dtype type;
    int64_t rows, features;
    void *memory; /* [layers][2][rows][features], committed when touched */
} kv_cache;

c2c_status kv_cache_init(kv_cache *cache, backend *b, const model_config *config, dtype type,
                         int64_t rows, c2c_error *error);
void kv_cache_deinit(kv_cache *cache);

/* The pool's rows from `first` on, numbered from 0; valid as long as the pool, never freed. */
kv_cache kv_cache_view(const kv_cache *cache, int64_t first);

/* Copies rows of all layers between two pools of one model, of any types. */
void kv_cache_copy(const kv_cache *to, int64_t to_row, const kv_cache *from, int64_t from_row,
                   int64_t rows);

/* A row of a layer's keys, and of its values. */
static inline void *kv_cache_keys(const kv_cache *cache, int layer, int64_t row) {
    int64_t element = ((int64_t)layer * 2 * cache->rows + row) * cache->features;
    return (char *)cache->memory + element * (int64_t)dtype_size(cache->type);
}
static inline void *kv_cache_values(const kv_cache *cache, int layer, int64_t row) {
    return kv_cache_keys(cache, layer, cache->rows + row);
}

/* ---- Forward pass (decoder.c) ------------------------------------------------------------- */

/* The tokens of one forward pass, and for each sequence where its cache rows are, the new rows
 * included. All pointers are backend memory, so that a decoding step can advance them there. */
typedef struct decoder_batch {
    backend *backend;
    int64_t rows;                     /* N new tokens of all sequences */
    int64_t sequences;                /* B */
    int32_t *ids, *positions, *index; /* [N]; index: the cache row of each new token */
    int32_t *q_start, *range_start;   /* [B + 1] */
    cache_range *ranges;
} decoder_batch;

/* Room for `rows` tokens of `sequences` sequences that consist of `ranges` ranges. */
c2c_status decoder_batch_init(decoder_batch *batch, backend *b, int64_t rows, int64_t sequences,
                              int64_t ranges, c2c_error *error);
void decoder_batch_deinit(decoder_batch *batch);

/* Activations of one forward pass of up to `rows` tokens, in backend memory. */
typedef struct decoder_scratch {
    backend *backend;
    float *memory; /* the buffers one behind the other, in this order */
    size_t bytes;
    float *x, *normed;            /* [N, E]; x is the residual stream */
    float *q, *k, *v, *attention; /* [N, H*D] [N, G*D] [N, G*D] [N, H*D] */
    float *gate, *up;             /* [N, F] */
    float *rope[2];               /* [N, D]: full and sliding layers */
} decoder_scratch;

c2c_status decoder_scratch_init(decoder_scratch *scratch, const c2c_model *model, int64_t rows,
                                c2c_error *error);
void decoder_scratch_deinit(decoder_scratch *scratch);

/* What a pass is for. */
typedef enum decoder_goal {
    DECODER_CACHE = 0, /* keys and values alone: the last layer stops there */
    DECODER_OUTPUT,    /* keys and values, and scratch->x: the last layer's output */
    DECODER_READ_ONLY  /* scratch->x, with keys and values that somebody else put into the cache */
} decoder_goal;

/* Runs the batch's tokens through the first `layers` layers. scratch->x is not yet normalised. */
void decoder_forward(const c2c_model *model, decoder_scratch *scratch, const kv_cache *cache,
                     const decoder_batch *batch, int layers, decoder_goal goal);

/* The same in parts, for who has to do something between layers: scratch->x = the embedded tokens;
 * then layer after layer, which writes its keys and values into the cache, or leaves that
 * (`write`), and stops there (`stop`) or goes on to its output. */
void decoder_begin(const c2c_model *model, decoder_scratch *scratch, const decoder_batch *batch);
void decoder_layer(const c2c_model *model, decoder_scratch *scratch, const kv_cache *cache,
                   const decoder_batch *batch, int layer, bool write, bool stop);

/* logits[n, :] = head(norm(scratch->x[first + n, :])) for n in 0 .. rows-1; logits [rows, V]. */
void decoder_logits(const c2c_model *model, decoder_scratch *scratch, float *logits, int64_t first,
                    int64_t rows);

#endif
