/* schedule.c - the learning rate and the gates' temperature of a step, and how many steps there
 * are: plain functions of numbers. The schedules are those of Hugging Face's get_scheduler. */
#include "train/train.h"

#include <math.h>

#define PI 3.14159265358979323846

/* What get_scheduler uses where a recipe cannot say otherwise. */
#define POLYNOMIAL_LAST_RATE   1e-7
#define INVERSE_SQRT_TIMESCALE 10000

static const char *const names[SCHEDULE_COUNT] = {
    [SCHEDULE_LINEAR] = "linear",
    [SCHEDULE_COSINE] = "cosine",
    [SCHEDULE_COSINE_WITH_RESTARTS] = "cosine_with_restarts",
    [SCHEDULE_POLYNOMIAL] = "polynomial",
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_CONSTANT_WITH_WARMUP] = "constant_with_warmup",
    [SCHEDULE_INVERSE_SQRT] = "inverse_sqrt",
};

const char *schedule_name(schedule_kind kind) {
    return names[kind];
}

bool schedule_find(schedule_kind *kind, const char *name) {
    for (int i = 0; i < SCHEDULE_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *kind = (schedule_kind)i;
            return true;
        }
    return false;
}

int64_t schedule_warmup_steps(double ratio, int64_t total) {
    return (int64_t)(ratio * (double)total);
}

/* The share of the steps behind the warmup that is done at `step`. */
static double share_done(const schedule *s, int64_t step) {
    return (double)(step - s->warmup) / (double)max_i64(1, s->total - s->warmup);
}

static double polynomial(const schedule *s, int64_t step) {
    /* Where there are no steps behind the warmup, get_scheduler divides by zero in the one it is
     * asked for; the last rate is what it comes to. */
    if (step > s->total || s->total <= s->warmup)
        return POLYNOMIAL_LAST_RATE / s->rate;
    double range = s->rate - POLYNOMIAL_LAST_RATE;
    return (range * (1 - share_done(s, step)) + POLYNOMIAL_LAST_RATE) / s->rate;
}

static double inverse_sqrt(const schedule *s, int64_t step) {
    double timescale = (double)(s->warmup > 0 ? s->warmup : INVERSE_SQRT_TIMESCALE);
    double shift = timescale - (double)s->warmup;
    return 1 / sqrt(((double)step + shift) / timescale);
}

double schedule_factor(const schedule *s, int64_t step) {
    if (s->kind != SCHEDULE_CONSTANT && step < s->warmup)
        return (double)step / (double)max_i64(1, s->warmup);
    switch (s->kind) {
    case SCHEDULE_LINEAR:
        return fmax(0, (double)(s->total - step) / (double)max_i64(1, s->total - s->warmup));
    case SCHEDULE_COSINE: /* half a wave */
        return fmax(0, 0.5 * (1 + cos(PI * share_done(s, step))));
    case SCHEDULE_COSINE_WITH_RESTARTS: /* one cycle, which ends at 0 and stays there */
        return step >= s->total ? 0 : fmax(0, 0.5 * (1 + cos(PI * fmod(share_done(s, step), 1))));
    case SCHEDULE_POLYNOMIAL: return polynomial(s, step);
    case SCHEDULE_INVERSE_SQRT: return inverse_sqrt(s, step);
    default: return 1;
    }
}

double schedule_rate(const schedule *s, int64_t step) {
    return s->rate * schedule_factor(s, step);
}

double anneal_temperature(double first, double last, int64_t anneal_steps, int64_t done) {
    double share = anneal_steps > 0 ? (double)done / (double)anneal_steps : 1;
    return first * pow(last / first, fmin(share, 1));
}
