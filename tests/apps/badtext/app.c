/* Text that a client chose, in the log and in an error. */
#include "wasgi.h"

wasgi_body badtext_application(wasgi_environ *environ, wasgi_start_response *start_response) {
    (void)start_response;
    wasgi_log("asked for %s\n", wasgi_get(environ, "PATH_INFO"));
    return wasgi_raise("ValueError", "no page: %s", wasgi_get(environ, "PATH_INFO"));
}
