// WSGI applications in JavaScript (PEP 3333).
//
//     export function application(environ, startResponse) {
//       startResponse("200 OK", [["Content-Type", "text/plain"]]);
//       return [`Hello from ${environ.PATH_INFO}\n`];
//     }
//
// `wasgi build` makes a component of it, and of the packages that it imports. The five nouns of the PEP are five files: environ, input,
// errors, start_response, body. A handler of the Fetch API, `(Request) => Response`, is served by `wasgi/fetch`.
//
// What an application returns is an iterable of chunks: Uint8Array, or text, which goes out as UTF-8. With `close()`, or a generator's
// `finally`, it learns that the response is over, whatever ended it. What the PEP calls native strings are strings with one character a
// byte; `bytes` and `native` turn them.

export { encode, decode, bytes, native } from "./bytes.js";
export { requestUri, applicationUri, guessScheme, shiftPathInfo } from "./environ.js";
export { InputError } from "./input.js";
export { StartError, WriteError, earlyHints } from "./start_response.js";
