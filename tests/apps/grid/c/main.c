/* All behaviours in one component: the first segment of the path names one. */
#include <string.h>

#include "wasgi.h"

typedef wasgi_body behaviour(wasgi_environ *environ, wasgi_start_response *start_response);

behaviour clock_application,
    counter_application,
    disconnect_application,
    echo_application,
    empties_application,
    environ_application,
    generator_application,
    headers_application,
    late_application,
    lazy_application,
    log_application,
    memory_application,
    nothing_application,
    badtext_application,
    oversize_application,
    raising_application,
    reading_application,
    replaced_application,
    single_application,
    toolong_application,
    tooshort_application,
    trap_application,
    twice_application,
    unicode_application,
    upload_application,
    writing_application;

static const struct { const char *name; behaviour *application; } behaviours[] = {
    {"clock", clock_application},
    {"counter", counter_application},
    {"disconnect", disconnect_application},
    {"echo", echo_application},
    {"empties", empties_application},
    {"environ", environ_application},
    {"generator", generator_application},
    {"headers", headers_application},
    {"late", late_application},
    {"lazy", lazy_application},
    {"log", log_application},
    {"memory", memory_application},
    {"nothing", nothing_application},
    {"badtext", badtext_application},
    {"oversize", oversize_application},
    {"raising", raising_application},
    {"reading", reading_application},
    {"replaced", replaced_application},
    {"single", single_application},
    {"toolong", toolong_application},
    {"tooshort", tooshort_application},
    {"trap", trap_application},
    {"twice", twice_application},
    {"unicode", unicode_application},
    {"upload", upload_application},
    {"writing", writing_application},
};

wasgi_body application(wasgi_environ *environ, wasgi_start_response *start_response) {
    const char *name = wasgi_shift_path_info(environ);
    for (size_t at = 0; name && at < sizeof behaviours / sizeof *behaviours; at++)
        if (strcmp(behaviours[at].name, name) == 0) return behaviours[at].application(environ, start_response);
    return wasgi_respond("404 Not Found", "text/plain", "no such behaviour", 17);
}
