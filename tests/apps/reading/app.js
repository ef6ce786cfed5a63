// Some bytes, a line, and what is left, line by line.
import { decode } from "wasgi";

export function application(environ, startResponse) {
  const input = environ["wsgi.input"];
  const told = [`read ${decode(input.read(5))}\nreadline ${decode(input.readline())}`];
  for (const line of input) told.push(`line ${decode(line).trimEnd()}\n`);
  startResponse("200 OK", []);
  return [told.join("")];
}
