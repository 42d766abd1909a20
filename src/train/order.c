/* order.c - which rows a step reads: a pure function of the seed and the step, so that a run which
 * goes on after a stop, or on another number of processes, reads the same ones. */
#include "train/train.h"

/* A uniform number of 0 .. count-1. The bias of 2^-64 times count cannot be seen. */
static uint64_t below(const random_key *key, uint64_t count) {
    uint32_t bits[4];
    random_block(key, bits);
    uint64_t word = (uint64_t)bits[0] << 32 | bits[1];
    return (uint64_t)((__uint128_t)word * count >> 64);
}

void order_permute(uint32_t *items, int64_t count, uint64_t seed, uint32_t epoch, uint32_t site) {
    random_key key = {.seed = seed, .sample = epoch, .site = site};
    for (int64_t i = 0; i < count; i++)
        items[i] = (uint32_t)i;
    /* Fisher and Yates, from the end. */
    for (int64_t i = count - 1; i > 0; i--) {
        key.step = (uint64_t)i;
        int64_t j = (int64_t)below(&key, (uint64_t)i + 1);
        uint32_t held = items[i];
        items[i] = items[j];
        items[j] = held;
    }
}

int64_t order_split(uint32_t *rows, int64_t count, double train_ratio, uint64_t seed) {
    order_permute(rows, count, seed, 0, RANDOM_SITE_SPLIT);
    int64_t train = (int64_t)(train_ratio * (double)count);
    return max_i64(0, min_i64(train, count));
}

c2c_status step_plan_init(step_plan *plan, int64_t rows, int64_t batch, int64_t accumulation,
                          int64_t epochs, int64_t max_steps, c2c_error *error) {
    *plan = (step_plan){.rows = rows, .batch = batch, .accumulation = accumulation};
    if (rows < 1)
        return error_set(error, C2C_STATUS_MISMATCH,
                         "no row is left to train on; check data.train_ratio and the rows that "
                         "were dropped");
    plan->batches = (rows - 1) / batch + 1;
    plan->steps_per_epoch = (plan->batches - 1) / accumulation + 1;
    if (max_steps > 0)
        plan->steps = max_steps;
    else if (__builtin_mul_overflow(plan->steps_per_epoch, epochs, &plan->steps))
        return error_set(error, C2C_STATUS_INVALID_ARGUMENT,
                         "training.num_epochs: %lld epochs of %lld steps are too many to count",
                         (long long)epochs, (long long)plan->steps_per_epoch);
    return C2C_STATUS_OK;
}

step_window step_plan_window(const step_plan *plan, int64_t step) {
    step_window w = {.epoch = step / plan->steps_per_epoch};
    w.in_epoch = step % plan->steps_per_epoch;
    w.first_batch = w.in_epoch * plan->accumulation;
    w.batches = min_i64(plan->accumulation, plan->batches - w.first_batch);
    return w;
}

int64_t step_plan_batch(const step_plan *plan, int64_t batch, int64_t *first) {
    *first = batch * plan->batch;
    return min_i64(plan->batch, plan->rows - *first);
}
