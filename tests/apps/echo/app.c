/* Sends back what comes, while it comes. */
#include "wasgi.h"

static char piece[65536];

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    (void)state;
    long length = wasgi_read(piece, sizeof piece);
    if (length < 0) {
        wasgi_raise("InputError", "%s", wasgi_input_error(length));
        return WASGI_RAISED;
    }
    *chunk = (wasgi_chunk){piece, (size_t)length};
    return length == 0 ? WASGI_END : WASGI_CHUNK;
}

wasgi_body echo_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_stream(next, NULL, NULL);
}
