/* kernel_training.h - all kernels of training, for the file that is compiled for an instruction
 * set. */
#include "backend/cpu/kernel_attention_backward.h"
#include "backend/cpu/kernel_fuse_backward.h"
#include "backend/cpu/kernel_linear_backward.h"
#include "backend/cpu/kernel_loss.h"
#include "backend/cpu/kernel_random.h"
#include "backend/cpu/kernel_rows_backward.h"

#define TRAINING_KERNELS                                                                           \
    {                                                                                              \
        .rows =                                                                                    \
            {                                                                                      \
                [OP_rmsnorm_backward] = kernel_rmsnorm_backward,                                   \
                [OP_layernorm_backward] = kernel_layernorm_backward,                               \
                [OP_activate_backward] = kernel_activate_backward,                                 \
                [OP_accumulate] = kernel_accumulate,                                               \
                [OP_sum_rows_backward] = kernel_sum_rows_backward,                                 \
                [OP_gather_rows_backward] = kernel_gather_rows_backward,                           \
                [OP_scatter_rows_backward] = kernel_scatter_rows_backward,                         \
                [OP_rope_backward] = kernel_rope_backward,                                         \
                [OP_fuse_mix_backward] = kernel_fuse_mix_backward,                                 \
                [OP_uniforms] = kernel_uniforms,                                                   \
                [OP_dropout] = kernel_dropout,                                                     \
                [OP_cross_entropy] = kernel_cross_entropy,                                         \
                [OP_squared_norm] = kernel_squared_norm,                                           \
                [OP_scale] = kernel_scale,                                                         \
                [OP_adamw] = kernel_adamw,                                                         \
            },                                                                                     \
        .linear = {.x = kernel_linear_backward_x, .w = kernel_linear_backward_w},                  \
        .bias = kernel_bias_backward, .attention_backward = kernel_attention_backward,             \
    }
