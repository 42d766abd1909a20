/* stop.c - Ctrl-C and SIGTERM: the first asks, the second does not. */
#include "app/stop.h"

#include <unistd.h>

/* Signals have no other place to leave a word. */
static volatile sig_atomic_t stop_signals;

static void on_stop(int number) {
    if (stop_signals++ == 0)
        return;
    static const char line_end[] = "\n";
    if (write(STDERR_FILENO, line_end, 1) < 0)
        _exit(128 + number);
    _exit(128 + number);
}

void stop_install(void) {
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    stop_signals = 0;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool stop_asked(void) {
    return stop_signals > 0;
}

const volatile sig_atomic_t *stop_flag(void) {
    return &stop_signals;
}
