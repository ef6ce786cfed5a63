// The time, and time that passes.
export function application(environ, startResponse) {
  const started = Date.now();
  while (Date.now() - started < 5);
  startResponse("200 OK", []);
  return [`${Math.floor(Date.now() / 1000)} ${Date.now() - started >= 5}`];
}
