// Keeps the environ of one request, and what start_response returned, and uses them in the next.
import { decode } from "wasgi";

let kept;

export function application(environ, startResponse) {
  let stolen = "nothing kept";
  for (const use of kept ? [() => kept.environ["wsgi.input"].read(), () => kept.write("from the last")] : []) {
    try {
      use();
      stolen = "used";
    } catch (error) {
      stolen = error.message;
    }
  }
  const body = decode(environ["wsgi.input"].read());
  kept = { environ, write: startResponse("200 OK", []) };
  return [`${stolen}, ${body}`];
}
