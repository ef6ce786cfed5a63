// Counts the requests of its instance, and reads each one's body.
let count = 0;

export function application(environ, startResponse) {
  const body = environ["wsgi.input"].read();
  count += 1;
  startResponse("200 OK", []);
  return [`${String(count).padStart(5, "0")} ${String(body.length).padStart(7, "0")}`];
}
