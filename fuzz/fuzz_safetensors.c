/* fuzz_safetensors.c - any bytes as a tensor file that is not a zip: open, read every byte. */
#include "formats/tensor_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keeps the reads from being left out. */
static volatile unsigned sum;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tensor_file *file = NULL;
    c2c_error error;
    if (tensor_file_open_bytes(&file, data, size, "fuzz", &error) != C2C_STATUS_OK)
        return 0;
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const named_tensor *t = tensor_file_at(file, i);
        C2C_ASSERT(tensor_file_find(file, t->name) == t);
        C2C_ASSERT((uintptr_t)t->view.data % dtype_size(t->view.type) == 0);
        for (size_t k = 0; k < tensor_bytes(&t->view); k++)
            sum += ((const uint8_t *)t->view.data)[k];
    }
    tensor_file_close(file);
    return 0;
}
