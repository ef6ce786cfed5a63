/* A status that has no body. */
#include "wasgi.h"

wasgi_body nothing_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)environ;
    wasgi_header headers[] = {{"X-A", "1"}};
    if (start_response("204 No Content", headers, 1)) return wasgi_reraise();
    return wasgi_text("must not be sent");
}
