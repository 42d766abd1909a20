/* plan_spec.h - inside the app: which tokens of a prompt are fused, as the command line says it. */
#ifndef C2C_APP_PLAN_SPEC_H
#define C2C_APP_PLAN_SPEC_H

#include "app/app.h"

typedef enum plan_shape {
    PLAN_ALL = 0, /* all but the last token */
    PLAN_NONE,
    PLAN_FRONT,   /* a share of all but the last token, at their front */
    PLAN_BACK,    /* ... at their back */
    PLAN_SECTIONS /* LENGTH:MASK,... */
} plan_shape;

/* Zero-initialised it is "all". plan_spec_deinit. */
struct plan_spec {
    plan_shape shape;
    double share; /* PLAN_FRONT, PLAN_BACK: 0 .. 1 */
    c2c_section *sections;
    size_t count;
};

/* Reads "all", "none", "front:SHARE", "back:SHARE" or "LENGTH:MASK,LENGTH:MASK,...". */
c2c_status plan_spec_parse(plan_spec *spec, const char *text, c2c_error *error);
void plan_spec_deinit(plan_spec *spec);

/* The sections of a prompt of `tokens` >= 1 for `sharers` sharers: *count of them in `room`, which
 * holds PLAN_SPEC_ROOM, or those of the spec. Explicit lengths must sum to `tokens`. */
#define PLAN_SPEC_ROOM 3
c2c_status plan_spec_sections(const plan_spec *spec, int64_t tokens, size_t sharers,
                              c2c_section room[PLAN_SPEC_ROOM], const c2c_section **sections,
                              size_t *count, c2c_error *error);

#endif
