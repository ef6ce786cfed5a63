/* Takes as many MiB as the path says. */
#include <stdlib.h>
#include <string.h>

#include "wasgi.h"

wasgi_body memory_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    size_t mebibytes = strtoul(wasgi_shift_path_info(environ), NULL, 10);
    char *volatile taken = malloc(mebibytes << 20);
    if (!taken) return wasgi_raise("MemoryError", "there are no %zu MiB", mebibytes);
    memset(taken, 1, mebibytes << 20);
    free(taken);
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_format("%zu MiB", mebibytes);
}
