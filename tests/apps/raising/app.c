/* Raises in call, in next or in close, as the path says. */
#include <string.h>

#include "wasgi.h"

static const char *place;
static int given;

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    (void)state;
    if (given == 2) return WASGI_END;
    if (given == 1 && strcmp(place, "next") == 0) {
        wasgi_raise("ValueError", "trouble on %s", "purpose");
        return WASGI_RAISED;
    }
    *chunk = given++ == 0 ? (wasgi_chunk){"one ", 4} : (wasgi_chunk){"two", 3};
    return WASGI_CHUNK;
}

static int closed(void *state) {
    (void)state;
    wasgi_log("raising closed\n");
    if (strcmp(place, "close") != 0) return 0;
    wasgi_raise("ValueError", "trouble on %s", "purpose");
    return -1;
}

wasgi_body raising_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    place = wasgi_shift_path_info(environ);
    given = 0;
    if (strcmp(place, "call") == 0) return wasgi_raise("ValueError", "trouble on %s", "purpose");
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_stream(next, closed, NULL);
}
