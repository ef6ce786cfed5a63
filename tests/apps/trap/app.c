/* Ends where it has no business to: a trap. */
#include "wasgi.h"

static volatile int depth = 2;

__attribute__((noinline)) static int deep_trouble(int number) {
    if (number == depth) __builtin_trap();
    return deep_trouble(number + 1) + depth;
}

wasgi_body trap_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    (void)start_response;
    return wasgi_format("%d", deep_trouble(0));
}
