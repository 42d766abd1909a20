/* compute.h - inside the app: the rows of a verb's table that say what is computed with. */
#ifndef C2C_APP_COMPUTE_H
#define C2C_APP_COMPUTE_H

#include "app/app.h"

/* The names of c2c_compute, in its order; NULL at the end. */
extern const char *const compute_names[];
/* The names of c2c_model_weights. */
extern const char *const weight_names[];

/* --dtype, as in c2c_compute. */
option dtype_option(int *dtype);
/* --threads; 0: the library's default. */
option threads_option(int64_t *threads);
/* --isa, which names the CPU's kernels. */
option isa_option(const char **isa);
/* --kv, as in c2c_cache_type. */
option kv_option(int *cache);
/* --weights, as in c2c_model_weights. */
option weights_option(int *weights);

#endif
