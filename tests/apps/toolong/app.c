/* More than its Content-Length. */
#include "wasgi.h"

static size_t given;

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    static const wasgi_chunk chunks[] = {{"hello", 5}, {" world", 6}};
    (void)state;
    if (given == sizeof chunks / sizeof *chunks) return WASGI_END;
    *chunk = chunks[given++];
    return WASGI_CHUNK;
}

wasgi_body toolong_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    given = 0;
    wasgi_header headers[] = {{"Content-Length", "8"}};
    if (start_response("200 OK", headers, 1)) return wasgi_reraise();
    return wasgi_stream(next, NULL, NULL);
}
