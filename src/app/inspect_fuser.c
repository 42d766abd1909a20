/* inspect_fuser.c - a fuser folder, read without its models: projectors, layer map, gates. */
#include "app/inspect.h"

#include <stdio.h>

/* One entry for each kind and size of projector; mostly there is one. */
static void report_projectors(report *r, const c2c_fuser *fuser) {
    json_out_open(&r->json, "projectors", '[');
    for (int i = 0; i < fuser->projector_count; i++) {
        const projector_spec *spec = &fuser->projectors[i].spec;
        bool first = true;
        int64_t count = 0;
        for (int j = 0; j < fuser->projector_count; j++) {
            bool equal = projector_specs_equal(spec, &fuser->projectors[j].spec);
            first = first && !(equal && j < i);
            count += equal;
        }
        if (!first)
            continue;
        buffer text = {0};
        spec->kind->describe(spec, &text);
        report_line(r, "projectors", "%lld of %s: %s", (long long)count, spec->kind->name,
                    text.data ? text.data : "");
        report_line(r, "cache rows", "sharer %d heads of %d, receiver %d heads of %d",
                    spec->sharer_heads, spec->sharer_dim, spec->receiver_heads, spec->receiver_dim);
        json_out_open(&r->json, NULL, '{');
        json_out_text(&r->json, "class", spec->kind->name, strlen(spec->kind->name));
        json_out_integer(&r->json, "count", count);
        json_out_text(&r->json, "description", text.data, text.length);
        json_out_integer(&r->json, "hidden_dim", spec->hidden);
        json_out_integer(&r->json, "intermediate_dim", spec->intermediate);
        json_out_integer(&r->json, "num_layers", spec->num_layers);
        json_out_integer(&r->json, "sharer_heads", spec->sharer_heads);
        json_out_integer(&r->json, "sharer_dim", spec->sharer_dim);
        json_out_integer(&r->json, "receiver_heads", spec->receiver_heads);
        json_out_integer(&r->json, "receiver_dim", spec->receiver_dim);
        json_out_bool(&r->json, "use_scalar_weights", spec->use_scalars);
        json_out_bool(&r->json, "use_gates", spec->use_gates);
        json_out_bool(&r->json, "use_target", spec->use_receiver);
        json_out_close(&r->json, '}');
        buffer_free(&text);
    }
    json_out_close(&r->json, ']');
}

static void append_gate(report *r, table *t, const char *key, const projector *p, branch side) {
    float logit = p->gate_logits[side];
    bool open = logit > 0;
    json_out_open(&r->json, key, '{');
    /* Without use_gates a kind of whole layers has gates for tokens, heads or elements. */
    bool many = p->spec.kind->whole_layer && !p->spec.use_gates;
    if (many)
        json_out_null(&r->json, "open");
    else
        json_out_bool(&r->json, "open", open);
    if (p->spec.use_gates)
        json_out_real(&r->json, "logit", logit);
    else
        json_out_null(&r->json, "logit");
    json_out_close(&r->json, '}');
    if (p->spec.use_gates)
        table_add(t, "%s (%.3f)", open ? "open" : "closed", (double)logit);
    else
        table_add(t, many ? "more than one" : "no gate");
}

/* Which sharer layer each receiver layer reads, through which projector and which gates. */
static void report_map(report *r, const c2c_fuser *fuser) {
    static const char *const titles[] = {"receiver layer", "sharer layer", "projector", "key gate",
                                         "value gate"};
    table t;
    table_init(&t, titles, "rrrll");
    json_out_open(&r->json, "layers", '[');
    for (int i = 0; i < fuser->map.layers; i++) {
        const layer_link *link = &fuser->map.links[i];
        if (link->sharer_layer < 0)
            continue;
        const projector *p = &fuser->projectors[link->projector];
        table_add(&t, "%d", i);
        table_add(&t, "%d", link->sharer_layer);
        table_add(&t, "%d", link->projector);
        json_out_open(&r->json, NULL, '{');
        json_out_integer(&r->json, "receiver_layer", i);
        json_out_integer(&r->json, "sharer_layer", link->sharer_layer);
        json_out_integer(&r->json, "projector", link->projector);
        append_gate(r, &t, "key_gate", p, BRANCH_KEY);
        append_gate(r, &t, "value_gate", p, BRANCH_VALUE);
        json_out_close(&r->json, '}');
    }
    json_out_close(&r->json, ']');
    report_table(r, &t);
    table_deinit(&t);
}

c2c_status inspect_fuser(report *r, const char *folder, c2c_error *error) {
    backend *b = NULL;
    c2c_fuser *fuser = NULL;
    c2c_status status = backend_cpu_open(&b, 1, error);
    if (!status)
        status = fuser_open_files(&fuser, b, folder, error);
    if (status)
        goto done;
    report_text(r, "kind", "kind", "fuser folder");
    report_text(r, "path", "path", folder);
    report_projectors(r, fuser);
    report_integer(r, "projector_count", NULL, fuser->projector_count);
    report_integer(r, "parameters", "parameters", fuser->parameters);
    dtype_tally tally = {0};
    for (int i = 0; i < fuser->projector_count; i++)
        dtype_tally_add(&tally, fuser->projectors[i].tensors);
    report_dtypes(r, &tally);
    report_bytes(r, "weight_bytes", "weights", fuser->weight_bytes);
    report_map(r, fuser);
done:
    c2c_fuser_close(fuser);
    backend_close(b);
    return status;
}
