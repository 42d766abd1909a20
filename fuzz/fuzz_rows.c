/* fuzz_rows.c - any bytes as a file of rows, the first byte chooses how: all rows are read, past
 * bad ones too, and reading must end. */
#include "formats/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const columns[] = {"question", "A", "B", "answer"};
    static const rows_options options[] = {{.format = ROWS_JSON},
                                           {.format = ROWS_CSV},
                                           {.format = ROWS_CSV, .separator = ';'},
                                           {.format = ROWS_CSV,
                                            .columns = columns,
                                            .column_count = 4}};
    row_reader *reader;
    const json_value *row;
    c2c_error error;
    if (!size ||
        rows_open_bytes(&reader, data + 1, size - 1, "fuzz", &options[data[0] % 4], &error))
        return 0;
    int64_t line = 1;
    size_t calls = 0;
    bool ended = false;
    while (!ended) {
        c2c_status status = rows_next(reader, &row, &error);
        ended = !status && !row;
        C2C_ASSERT(!row || row->type == JSON_OBJECT);
        C2C_ASSERT(rows_line(reader) >= line || ended);
        line = rows_line(reader);
        C2C_ASSERT(++calls <= size + 1);
    }
    rows_close(reader);
    return 0;
}
