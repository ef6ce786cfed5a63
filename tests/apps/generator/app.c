/* Chunks that are made while they are sent, and a close. */
#include <stdio.h>
#include <stdlib.h>

#include "wasgi.h"

typedef struct { int number; char line[16]; } lines;

static wasgi_step next(void *state, wasgi_chunk *chunk) {
    lines *lines = state;
    if (lines->number == 3) return WASGI_END;
    int length = snprintf(lines->line, sizeof lines->line, "line %d\n", lines->number++);
    *chunk = (wasgi_chunk){lines->line, (size_t)length};
    return WASGI_CHUNK;
}

static int closed(void *state) {
    free(state);
    wasgi_log("generator closed\n");
    return 0;
}

wasgi_body generator_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_stream(next, closed, calloc(1, sizeof(lines)));
}
