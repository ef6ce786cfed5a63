/* Empty chunks send nothing. */
#include <string.h>

#include "wasgi.h"

static size_t given;

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    static const char *chunks[] = {"", "", "hello", "", "!"};
    (void)state;
    if (given == sizeof chunks / sizeof *chunks) return WASGI_END;
    *chunk = (wasgi_chunk){chunks[given], strlen(chunks[given])};
    given++;
    return WASGI_CHUNK;
}

wasgi_body empties_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    given = 0;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_stream(next, NULL, NULL);
}
