// A large body, of which nothing is kept: its length, and the sum of every 64th byte.
export function application(environ, startResponse) {
  let length = 0;
  let sum = 0;
  const input = environ["wsgi.input"];
  for (let piece = input.readSome(); piece.length > 0; piece = input.readSome()) {
    for (let at = -length & 63; at < piece.length; at += 64) sum += piece[at];
    length += piece.length;
  }
  startResponse("200 OK", []);
  return [`${length} ${sum}`];
}
