/* A body that ends too early is an error, and the error stays. */
#include <stdlib.h>

#include "wasgi.h"

wasgi_body disconnect_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    for (int time = 0; time < 2; time++) {
        char *data;
        long length = wasgi_read_all(&data, 1 << 20);
        if (length < 0) wasgi_log("no body: %s\n", wasgi_input_error(length));
        else wasgi_log("the body looks whole\n");
        free(data);
    }
    if (start_response("200 OK", NULL, 0)) return wasgi_reraise();
    return wasgi_text("gone");
}
