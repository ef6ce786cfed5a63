/* start_response is called when the first chunk is asked for. */
#include "wasgi.h"

static wasgi_start_response *start;

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    (void)state;
    if (!start) return WASGI_END;
    wasgi_header headers[] = {{"X-Lazy", "1"}};
    if (start("201 Created", headers, 1)) return WASGI_RAISED;
    start = NULL;
    *chunk = (wasgi_chunk){"lazy", 4};
    return WASGI_CHUNK;
}

wasgi_body lazy_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    start = start_response;
    return wasgi_stream(next, NULL, NULL);
}
