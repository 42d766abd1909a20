/* recipe.h - a training recipe as checked numbers: what is trained, how, on what, and where to. The
 * names `base_model` (the receiver) and `teacher_model` (the sharer) live in recipes alone. Which
 * folder a model's name stands for, and what a data type is, others know. */
#ifndef C2C_TRAIN_RECIPE_H
#define C2C_TRAIN_RECIPE_H

#include "fuser/fuser.h"

typedef enum recipe_precision {
    RECIPE_F32 = 0, /* products in f32 */
    RECIPE_BF16     /* products of bf16, added up in f32 */
} recipe_precision;

/* Texts live as long as the recipe. */
typedef struct train_recipe {
    json_document *document; /* the whole, overrides applied: what config.json shall hold */
    const char *where;       /* its file, for messages */
    char **notes;            /* one line each, for the user: unknown keys, keys that mean nothing */
    size_t note_count;

    /* model */
    const char *receiver;                 /* base_model: a folder or a name */
    const char *sharers[C2C_MAX_SHARERS]; /* teacher_model: one, or a list, or names with paths */
    size_t sharer_count;                  /* at least 1 */
    bool align;                           /* is_do_alignment */
    c2c_align_strategy align_strategy;    /* alignment_strategy */
    c2c_fusion_mode fusion_mode;          /* multi_source_fusion_mode */
    fuser_recipe fuser;                   /* projector and mapping, of every sharer */

    /* training */
    double learning_rate, weight_decay, max_grad_norm; /* max_grad_norm 0: not clipped */
    const char *scheduler; /* scheduler_type, as get_scheduler names it */
    double warmup_ratio;
    int64_t warmup_steps;  /* -1: warmup_ratio of all steps */
    int64_t num_epochs;    /* 1 where max_steps says how long */
    int64_t max_steps;     /* 0: num_epochs says how long */
    int64_t max_length;    /* tokens of a sample: what is behind is cut off */
    int64_t batch;         /* per_device_train_batch_size: samples of one pass */
    int64_t accumulation;  /* gradient_accumulation_steps: passes of one step */
    int64_t num_processes; /* as the recipe's launcher would start */
    uint64_t seed;
    bool recompute;
    recipe_precision precision;

    /* output */
    const char *output_dir;
    int64_t save_steps, eval_steps; /* 0: only at the end of epochs */
    int64_t keep_last;              /* checkpoints; 0: all */
    tensor_format save_format;      /* "safetensors" or "pt" */
    bool wandb;                     /* wandb_config is there; it is not used */

    /* data */
    const char *data_type;
    const json_value *data_kwargs; /* an object, or NULL */
    double train_ratio;            /* of the rows; the rest is evaluated on */
} train_recipe;

/* Opens JSON or YAML, sets what `sets` say ("training.learning_rate=3e-4": a path of keys and a
 * value in YAML) and checks all of it. Refused by name: recipes that train a model instead of a
 * fuser (baseline_model, or a model that is not frozen), include_response, the oracle. On failure
 * `recipe` holds nothing. */
c2c_status train_recipe_open(train_recipe *recipe, const char *path, const char *const *sets,
                             size_t set_count, c2c_error *error);
/* The same from a text: JSON where it starts with a bracket, else YAML. */
c2c_status train_recipe_parse(train_recipe *recipe, const char *text, size_t length,
                              const char *name, const char *const *sets, size_t set_count,
                              c2c_error *error);
void train_recipe_close(train_recipe *recipe);

/* ---- For this room's readers of recipes --------------------------------------------------- */

/* Notes every member of `object` that is not in `known` (ends with NULL), with the nearest one that
 * is: "recipe.json: training: unknown key \"lerning_rate\"; did you mean \"learning_rate\"?" */
c2c_status recipe_note_unknown(train_recipe *recipe, const json_value *object, const char *place,
                               const char *const *known, c2c_error *error);
/* One more note, as printf writes it. */
c2c_status recipe_note(train_recipe *recipe, c2c_error *error, const char *format, ...)
    C2C_PRINTF(3, 4);

#endif
