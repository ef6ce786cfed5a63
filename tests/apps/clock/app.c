/* The time, and time that passes. */
#include <time.h>

#include "wasgi.h"

wasgi_body clock_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    struct timespec started, ended, pause = {0, 5000000};
    clock_gettime(CLOCK_MONOTONIC, &started);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    long long passed = (ended.tv_sec - started.tv_sec) * 1000000000LL + ended.tv_nsec - started.tv_nsec;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_format("%lld %s", (long long)time(NULL), passed >= 5000000 ? "true" : "false");
}
