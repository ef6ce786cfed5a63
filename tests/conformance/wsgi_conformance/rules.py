"""Every rule, with its strength and its source. Which cases prove it, the cases say; ``beside`` names what no client can see."""

from dataclasses import dataclass

PEP = "PEP 3333, "


@dataclass(frozen=True)
class Rule:
    id: str
    level: str
    source: str
    text: str
    beside: str = ""
    deferred: str = ""


def must(id, source, text, **more):
    return Rule(id, "MUST", source, text, **more)


def should(id, source, text, **more):
    return Rule(id, "SHOULD", source, text, **more)


# ``beside``: what a deployment's configuration decides, or what only the server's own tests can see. Those of wasgi stand in its repository.
RULES = [
    must("S1", PEP + "Specification Details", "The application is called with two positional arguments, once a request."),
    must("S2", PEP + "environ Variables", "environ is a dict, fresh for each request."),
    must("S3", PEP + "Unicode Issues", "CGI values are str of U+0000 to U+00FF."),
    must("S4", PEP + "Application Side", "The application can be called any number of times."),
    must("S5", PEP + "environ Variables; RFC 9110, 9.1", "REQUEST_METHOD keeps its case and is a token."),
    must("S6", PEP + "environ Variables", "SCRIPT_NAME and PATH_INFO begin with / or are empty; SCRIPT_NAME is never /."),
    must("S7", PEP + "environ Variables; RFC 3875, 4.1.5", "The path is percent-decoded, byte by byte."),
    should("S8", "practice", "The path is not normalised."),
    must("S9", "practice", "A mount is matched on a segment's boundary.", beside="the mount is the server's configuration"),
    must("S10", PEP + "environ Variables", "QUERY_STRING is raw and always there."),
    must("S11", PEP + "environ Variables", "CONTENT_TYPE and CONTENT_LENGTH, without HTTP_ twins."),
    must("S12", PEP + "environ Variables", "SERVER_NAME and SERVER_PORT are never empty."),
    must("S13", PEP + "environ Variables", "SERVER_PROTOCOL is the client's version."),
    should("S14", PEP + "environ Variables", "HTTP_* are there if and only if the fields were."),
    should("S15", "practice (CVE-2015-0219)", "Names with _ are dropped or refused."),
    should("S16", "practice (CVE-2016-5385)", "Proxy never becomes HTTP_PROXY."),
    must("S17", "RFC 9110, 5.3; RFC 6265, 5.4", "Repeated fields are joined, Cookie with `; `; some are refused."),
    must("S18", "RFC 9110, 5.5; PEP 3333, Unicode Issues", "Bytes above 0x7F survive."),
    should("S19", PEP + "environ Variables", "What is unknown is absent."),
    should("S20", "RFC 3875, 4.1.8", "REMOTE_ADDR and REMOTE_PORT are the client's, as str."),
    must("S21", "practice", "Forwarded and X-Forwarded-* are believed of configured proxies only, and removed otherwise."),
    must("S22", PEP + "environ Variables", "Variables of TLS.", deferred="TLS"),
    should("S23", "practice", "REQUEST_URI and RAW_URI are the raw target."),
    should("S24", "practice", "The server's environment is not the application's."),
    should("S25", PEP + "Server Extension APIs", "Extensions have dotted lower-case names."),
    must("S26", PEP + "environ Variables", "wsgi.version and wsgi.url_scheme."),
    must("S27", PEP + "environ Variables", "wsgi.multithread, multiprocess and run_once."),
    should("S28", PEP + "Thread Support", "A single-threaded mode is offered."),
    should("S29", PEP + "Input and Error Streams", "wsgi.errors takes any text."),
    should("S30", "practice", "wsgi.input_terminated."),
    must("S31", PEP + "Input and Error Streams", "read() in all its forms."),
    must("S32", PEP + "Input and Error Streams", "readline() in all its forms."),
    must("S33", PEP + "Input and Error Streams", "readlines() and iteration."),
    must("S34", PEP + "Input and Error Streams", "They share one stream."),
    must("S35", PEP + "Input and Error Streams; RFC 9112, 8", "A broken body is never a clean end."),
    should("S36", "practice", "Bodies are streamed."),
    should("S37", "practice", "Bodies above a limit are refused with 413, unasked."),
    must("S38", "RFC 9112, 9.3", "The rest of a body is never a request."),
    must("S39", PEP + "HTTP 1.1 Expect/Continue", "100 Continue when the body is asked for; other expectations 417."),
    must("S40", PEP + "The start_response() Callable", "Two or three positional arguments; returns write()."),
    must("S41", PEP + "The start_response() Callable", "Nothing is sent before the first chunk that is not empty."),
    must("S42", PEP + "Specification Details", "start_response may be called in the first iteration."),
    must("S43", PEP + "The start_response() Callable", "A second call without exc_info is an error."),
    should("S44", PEP + "The start_response() Callable", "exc_info before the headers replaces them."),
    must("S45", PEP + "The start_response() Callable", "exc_info after the headers is raised."),
    should("S46", PEP + "The start_response() Callable", "No reference to exc_info is kept."),
    must("S47", PEP + "The start_response() Callable; RFC 9112, 4", "A bad status raises."),
    should("S48", PEP + "The start_response() Callable", "Headers are a list of tuples of str."),
    must("S49", PEP + "The start_response() Callable; RFC 9110, 5.1", "A bad name raises."),
    must("S50", PEP + "Unicode Issues; RFC 9110, 5.5", "A bad value raises; others are latin-1."),
    should("S51", PEP + "Other HTTP Features", "Hop-by-hop fields raise."),
    must("S52", "RFC 9110, 8.6", "A bad Content-Length raises."),
    must("S53", PEP + "The start_response() Callable", "Repeated headers and the reason survive."),
    must("S54", PEP + "The start_response() Callable; RFC 9110, 6.6.1", "Date, and the framing, are added."),
    must("S55", PEP + "Unicode Issues", "Items are bytes."),
    must("S56", PEP + "Buffering and Streaming", "A chunk is sent before the next is asked for."),
    must("S57", PEP + "The write() Callable", "write() sends before what is yielded."),
    should("S58", PEP + "Handling the Content-Length Header", "One chunk gives the Content-Length."),
    must("S59", PEP + "Handling the Content-Length Header; RFC 9112, 6", "Otherwise chunked, or to the connection's end."),
    should("S60", PEP + "Handling the Content-Length Header", "No more than Content-Length is sent."),
    should("S61", PEP + "Handling the Content-Length Header", "Fewer than Content-Length: closed at once."),
    must("S62", "RFC 9110, 9.3.2", "HEAD has no body."),
    must("S63", "RFC 9110, 15; RFC 9112, 6", "204, 205 and 304 have no body."),
    must("S64", PEP + "Error Handling; RFC 9112, 8", "An error in the body is visible to the client."),
    should("S65", PEP + "Error Handling", "An error before the head is 500, and tells nothing."),
    must("S66", PEP + "Specification Details", "A body without start_response is 500."),
    must("S67", PEP + "Specification Details", "close() is called exactly once."),
    must("S68", "practice", "A limit of time or memory ends a response so that a client can tell.", beside="the limits are the server's configuration"),
    must("S69", PEP + "Specification Details", "Only the iterator, len() and close() of the iterable are used."),
    must("S70", PEP + "Optional Platform-Specific File Handling", "wsgi.file_wrapper, where it is offered."),
    should("S71", "RFC 9112, 3; practice", "What no application was asked is answered by the server."),
    must("S72", "RFC 8297", "wsgi.early_hints, where it is offered, checks its headers."),
    must("S73", "RFC 9112, 6.3", "Content-Length beside Transfer-Encoding is refused."),
    must("S74", "RFC 9112, 6.3", "Several or bad Content-Length are refused."),
    must("S75", "RFC 9112, 6.1", "A coding that does not end with chunked is refused."),
    must("S76", "RFC 9112, 6.1", "Transfer-Encoding in HTTP/1.0 is refused."),
    must("S77", "RFC 9112, 7.1", "Chunks are read strictly."),
    must("S78", "RFC 9110, 6.5.1", "Trailers never become variables, and never frame."),
    must("S79", "RFC 9112, 2.2 and 5", "Lines end with CRLF, and are not folded."),
    must("S80", "RFC 9112, 3.2", "One valid Host; an absolute target overrides it."),
    should("S81", "RFC 9112, 3.2", "Targets of the wrong form are refused."),
    should("S82", "RFC 9112, 3 and 5; practice", "Heads have limits of size and time."),
    should("S83", "RFC 9112, 2.2 and 3", "Behind a refused request nothing is served."),
    must("A1", PEP + "Application Side", "A callable with two arguments.", beside="the application's side"),
    must("A2", PEP + "Application Side", "start_response before the first byte.", beside="the application's side"),
    must("A3", PEP + "The start_response() Callable", "start_response again only with exc_info.", beside="the application's side"),
    must("A4", PEP + "Specification Details", "An iterable of bytes is returned.", beside="the application's side"),
    must("A5", PEP + "Specification Details", "len() of it is right, if it has one.", beside="the application's side"),
    must("A6", PEP + "Specification Details", "It need not be consumed.", beside="the application's side"),
    must("A7", PEP + "Input and Error Streams", "Only what the streams offer is used.", beside="the application's side"),
    must("A8", "wsgiref.validate", "Content-Type where there is a body, and only there.", beside="the application's side"),
    must("A9", PEP + "Other HTTP Features", "No hop-by-hop fields.", beside="the application's side"),
    must("A10", PEP + "The start_response() Callable", "Status, names and values are right.", beside="the application's side"),
    must("A11", PEP + "The start_response() Callable", "What start_response raises is not trapped.", beside="the application's side"),
    must("A12", PEP + "The write() Callable", "write() is not called while it iterates.", beside="the application's side"),
    must("A13", PEP + "Middleware Handling of Block Boundaries", "Middleware does not block.", beside="the application's side"),
    must("A14", "wsgiref.validate", "The iterable is not used once it is closed.", beside="the application's side"),
]
