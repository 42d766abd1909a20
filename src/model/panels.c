/* panels.c - a model's bf16 matrices in the order in which the backend multiplies them fastest,
 * where it gains from that (see pack_panels): made when the model is opened. What training reads
 * backwards stays mapped as the file has it; pages that were read for the copy are given back. */
#include "model/model.h"

static c2c_status make_panels(c2c_model *model, const model_matrix *m, c2c_error *error) {
    weight *w = m->w;
    if (w->type != DTYPE_BF16 || !backend_wants_panels(model->backend, model->math, m->rows,
                                                       m->columns, model->weight_bytes))
        return C2C_STATUS_OK;
    c2c_status status = backend_make_panels(model->backend, &w->panels, w->data, m->rows,
                                            m->columns, m->columns, error);
    if (status)
        return status;
    system_pages_unneeded(w->source->data, tensor_bytes(w->source));
    return C2C_STATUS_OK;
}

c2c_status model_panels_make(c2c_model *model, c2c_error *error) {
    model_matrix head = model_head_matrix(model), matrices[MODEL_LAYER_MATRICES];
    c2c_status status = make_panels(model, &head, error);
    for (int i = 0; i < model->config.layers && !status; i++) {
        model_layer_matrices(model, i, matrices);
        for (int j = 0; j < MODEL_LAYER_MATRICES && !status; j++)
            status = make_panels(model, &matrices[j], error);
    }
    return status;
}
