/* exc_info when the head is sent: the error is raised again. */
#include "wasgi.h"

static int asked;

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    (void)state;
    if (asked++ > 0 && wasgi_restart_response("500 Oops", NULL, 0, "ValueError", "late trouble") == WASGI_ALREADY_SENT) return WASGI_RAISED;
    *chunk = (wasgi_chunk){"sent", 4};
    return WASGI_CHUNK;
}

wasgi_body late_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    asked = 0;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_stream(next, NULL, NULL);
}
