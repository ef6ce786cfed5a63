// Sends back what comes, while it comes.
export function* application(environ, startResponse) {
  startResponse("200 OK", []);
  const input = environ["wsgi.input"];
  for (let piece = input.readSome(); piece.length > 0; piece = input.readSome()) yield piece;
}
