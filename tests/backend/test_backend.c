/* test_backend.c - what holds around the ops: memory, the queue's order and hiding, scratch, the
 * engine's options, the table of ops. */
#include "backend/cpu/cpu.h"
#include "support/test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Memory ------------------------------------------------------------------------------- */

static void open_all(backend *all[2]) {
    assert_ok(backend_cpu_open(&all[0], 2, &test_error));
    assert_ok(backend_queue_open(&all[1], 2, &test_error));
}

static void memory_is_zeroed_and_keeps_what_is_uploaded(void **state) {
    (void)state;
    backend *all[2];
    open_all(all);
    for (int i = 0; i < 2; i++)
        for (size_t bytes = 1; bytes < (size_t)40 << 20; bytes = bytes * 7 + 3) {
            void *memory;
            unsigned char *host = malloc(bytes);
            assert_non_null(host);
            assert_ok(backend_alloc(all[i], &memory, bytes, &test_error));
            assert_int_equal((uintptr_t)memory % 64, 0);
            backend_download(all[i], host, memory, bytes);
            for (size_t j = 0; j < bytes; j++)
                if (host[j])
                    fail_msg("byte %zu of %zu is %d", j, bytes, host[j]);
            memset(host, 0x5a, bytes);
            backend_upload(all[i], memory, host, bytes);
            memset(host, 0, bytes); /* the upload has its own copy */
            backend_download(all[i], host, memory, bytes);
            assert_int_equal(host[0], 0x5a);
            assert_int_equal(host[bytes - 1], 0x5a);
            backend_release(all[i], memory);
            free(host);
        }
    backend_close(all[0]);
    backend_close(all[1]);
}

static void memory_costs_nothing_until_touched(void **state) {
    (void)state;
    backend *all[2];
    open_all(all);
    for (int i = 0; i < 2; i++) {
        void *memory;
        char byte = 1;
        assert_ok(backend_alloc(all[i], &memory, (size_t)1 << 36, &test_error));
        backend_upload(all[i], (char *)memory + ((size_t)1 << 35), &byte, 1);
        backend_sync(all[i]);
        backend_release(all[i], memory);
        backend_close(all[i]);
    }
}

static void impossible_sizes_are_refused(void **state) {
    (void)state;
    backend *all[2];
    open_all(all);
    for (int i = 0; i < 2; i++) {
        void *memory;
        assert_fails(backend_alloc(all[i], &memory, SIZE_MAX, &test_error),
                     C2C_STATUS_OUT_OF_MEMORY, "out of memory");
        assert_null(memory);
        assert_fails(backend_alloc(all[i], &memory, (size_t)1 << 60, &test_error),
                     C2C_STATUS_OUT_OF_MEMORY, "out of memory");
        assert_fails(backend_reserve(all[i], SIZE_MAX / 2, &test_error), C2C_STATUS_OUT_OF_MEMORY,
                     "packed rows");
        backend_close(all[i]);
    }
}

static void nothing_is_fine(void **state) {
    (void)state;
    backend *all[2];
    open_all(all);
    for (int i = 0; i < 2; i++) {
        const void *imported;
        backend_release(all[i], NULL);
        backend_release_import(all[i], NULL);
        assert_ok(backend_import(all[i], &imported, "", 0, &test_error));
        backend_release_import(all[i], imported);
        backend_upload(all[i], NULL, NULL, 0);
        backend_download(all[i], NULL, NULL, 0);
        backend_sync(all[i]);
        backend_close(all[i]);
    }
    backend_close(NULL);
}

/* ---- The queue ---------------------------------------------------------------------------- */

/* The signal that ends a child which reads (or writes) one byte; 0 when it lives. */
static int signal_of_touch(volatile char *memory, bool write) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it */
        signal(SIGBUS, SIG_DFL);
        if (write)
            *memory = 1;
        else
            (void)*memory;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void queue_memory_is_hidden_from_the_host(void **state) {
    (void)state;
    backend *b;
    static const float values[4] = {1, 2, 3, 4};
    float host[4];
    void *memory, *y;
    const void *imported;
    assert_ok(backend_queue_open(&b, 1, &test_error));
    assert_ok(backend_alloc(b, &memory, sizeof values, &test_error));
    assert_ok(backend_alloc(b, &y, sizeof values, &test_error));
    assert_ok(backend_import(b, &imported, values, sizeof values, &test_error));
    assert_ptr_not_equal(imported, values);
    for (int round = 0; round < 2; round++) { /* before anything ran, and after */
        assert_int_equal(signal_of_touch(memory, false), SIGSEGV);
        assert_int_equal(signal_of_touch(memory, true), SIGSEGV);
        assert_int_equal(signal_of_touch((char *)imported, false), SIGSEGV);
        backend_upload(b, memory, values, sizeof values);
        op_add(b, &(add_args){.y = &(float *){y},
                              .a = &(const float *){memory},
                              .b = &(const float *){imported},
                              .groups = 1,
                              .rows = 1,
                              .features = 4});
        backend_download(b, host, y, sizeof host);
        assert_true(host[3] == 8);
    }
    assert_int_equal(signal_of_touch((char *)host, true), 0); /* the test itself can tell */
    backend_release(b, memory);
    backend_release(b, y);
    backend_release_import(b, imported);
    backend_close(b);
}

/* Uploads and ops keep their order, and none has run before the download. */
static void queue_runs_in_order_and_late(void **state) {
    (void)state;
    backend *b;
    void *x, *y;
    float value = 1, host[2];
    assert_ok(backend_queue_open(&b, 1, &test_error));
    assert_ok(backend_alloc(b, &x, sizeof value, &test_error));
    assert_ok(backend_alloc(b, &y, 2 * sizeof value, &test_error));
    for (int i = 0; i < 2; i++) {
        value = (float)(10 * (i + 1));
        backend_upload(b, x, &value, sizeof value);
        value = -1;
        op_copy_rows(b, &(copy_rows_args){.y = &(void *){(float *)y + i},
                                          .x = &(const void *){x},
                                          .groups = 1,
                                          .rows = 1,
                                          .features = 1});
    }
    backend_download(b, host, y, sizeof host);
    assert_true(host[0] == 10 && host[1] == 20);
    backend_release(b, x);
    backend_release(b, y);
    backend_close(b);
}

/* An op that still names released memory is a broken rule, and must be seen. */
static void queue_faults_on_released_memory(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGSEGV, SIG_DFL);
        backend *b;
        void *y;
        if (backend_queue_open(&b, 1, NULL) || backend_alloc(b, &y, 64, NULL))
            _exit(1);
        op_add(b, &(add_args){.y = &(float *){y},
                              .a = &(const float *){y},
                              .b = &(const float *){y},
                              .groups = 1,
                              .rows = 1,
                              .features = 4});
        backend_release(b, y);
        backend_sync(b);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* ---- Scratch ------------------------------------------------------------------------------ */

/* Several sessions share a backend: one may reserve while another computes. */
static void *multiply_and_reserve(void *argument) {
    backend *b = argument;
    enum { SIZE = 96 };
    float x[SIZE], w[SIZE * 3], y[3];
    for (int i = 0; i < SIZE * 3; i++)
        w[i] = x[i % SIZE] = 1;
    for (size_t i = 0; i < 300; i++) {
        if (backend_reserve(b, SIZE + i * 8, NULL))
            return "reserve";
        op_linear(b, &(linear_args){.y = &(float *){y},
                                    .x = &(const float *){x},
                                    .w = &(const void *){w},
                                    .groups = 1,
                                    .math = LINEAR_BF16,
                                    .rows = 1,
                                    .in = SIZE,
                                    .out = 3,
                                    .w_stride = SIZE});
        if (y[0] != SIZE || y[2] != SIZE)
            return "linear";
    }
    return NULL;
}

static void threads_may_share_a_backend(void **state) {
    (void)state;
    backend *b;
    assert_ok(backend_cpu_open(&b, 2, &test_error));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, multiply_and_reserve, b), 0);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        if (failed)
            fail_msg("%s failed", (char *)failed);
    }
    backend_close(b);
}

/* ---- Opening ------------------------------------------------------------------------------ */

static void engine_checks_its_options(void **state) {
    (void)state;
    c2c_engine *engine;
    assert_fails(c2c_engine_open(&engine, &(c2c_engine_options){.threads = -1}, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "threads", "1024", "-1");
    assert_null(engine);
    assert_fails(c2c_engine_open(&engine, &(c2c_engine_options){.threads = 1025}, &test_error),
                 C2C_STATUS_INVALID_ARGUMENT, "threads", "1024", "1025");
    assert_fails(c2c_engine_open(NULL, NULL, &test_error), C2C_STATUS_INVALID_ARGUMENT, "NULL");
    assert_ok(c2c_engine_open(&engine, NULL, &test_error));
    c2c_engine_close(engine);
    assert_ok(c2c_engine_open(&engine, &(c2c_engine_options){.threads = 3}, &test_error));
    c2c_engine_close(engine);
    c2c_engine_close(NULL);
}

static void missing_instructions_are_refused(void **state) {
    (void)state;
    backend *b;
    assert_fails(backend_cpu_open_isa(&b, 1, CPU_ISA_COUNT, &test_error), C2C_STATUS_UNSUPPORTED,
                 "processor");
    assert_null(b);
    assert_non_null(cpu_kernels_for(cpu_isa_best()));
    assert_non_null(cpu_kernels_for(CPU_ISA_PORTABLE));
}

static void op_table_is_complete(void **state) {
    (void)state;
    for (int kind = 0; kind < OP_COUNT; kind++) {
        const op_info *info = &op_infos[kind];
        assert_non_null(info->name);
        assert_true(info->args_size > 0);
        /* tables lead, so `groups` comes after them */
        if (info->tables)
            assert_true(info->groups_offset >= (size_t)info->tables * sizeof(void *));
        else
            assert_int_equal(info->groups_offset, 0);
    }
    assert_string_equal(op_infos[OP_linear].name, "linear");
    assert_int_equal(op_infos[OP_linear].groups_offset, offsetof(linear_args, groups));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_keeps_what_is_uploaded),
        cmocka_unit_test(memory_costs_nothing_until_touched),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(nothing_is_fine),
        cmocka_unit_test(queue_memory_is_hidden_from_the_host),
        cmocka_unit_test(queue_runs_in_order_and_late),
        cmocka_unit_test(queue_faults_on_released_memory),
        cmocka_unit_test(threads_may_share_a_backend),
        cmocka_unit_test(engine_checks_its_options),
        cmocka_unit_test(missing_instructions_are_refused),
        cmocka_unit_test(op_table_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
