// A handler of the Fetch API, `(Request) => Response`, as a WSGI application:
//
//     import { serve } from "wasgi/fetch";
//
//     export const application = serve(async (request) => new Response(`Hello from ${new URL(request.url).pathname}\n`));
//
// StarlingMonkey has Request and Response itself; in QuickJS they are quickjs-web.js's, whose bodies are whole and not streams.

import "wasgi/web";

import { guessUri } from "./environ.js";

/** The request of an environ, or null for one that has no URL. In StarlingMonkey its body is read when it is asked for. */
function requestOf(environ) {
  const headers = new Headers();
  for (const name in environ) {
    if (name.startsWith("HTTP_") && name !== "HTTP_TRANSFER_ENCODING") headers.append(name.slice(5).replaceAll("_", "-"), environ[name]);
  }
  if (environ.CONTENT_TYPE) headers.set("Content-Type", environ.CONTENT_TYPE);
  if (environ.CONTENT_LENGTH) headers.set("Content-Length", environ.CONTENT_LENGTH);
  const method = environ.REQUEST_METHOD;
  const bodiless = /^(GET|HEAD)$/i.test(method) || !(environ.HTTP_TRANSFER_ENCODING || Number(environ.CONTENT_LENGTH) > 0);
  let url;
  try {
    url = new URL(guessUri(environ)).href;
  } catch {
    return null;
  }
  return new Request(url, { method, headers, ...(bodiless ? {} : bodyOf(environ["wsgi.input"])) });
}

function bodyOf(input) {
  if (!globalThis.ReadableStream) return { body: input.read() };
  const pull = (controller) => {
    const data = input.readSome();
    if (data.length > 0) controller.enqueue(data);
    else controller.close();
  };
  return { body: new ReadableStream({ pull }, { highWaterMark: 0 }), duplex: "half" };
}

/** The chunks of a response. */
async function* chunksOf(response) {
  if (!globalThis.ReadableStream) {
    yield await response.bytes();
    return;
  }
  const reader = response.body.getReader();
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) yield step.value;
  } finally {
    await reader.cancel();
  }
}

/** Fields of a head; those that browsers hide, too. */
function fieldsOf(headers) {
  const cookies = headers.getSetCookie?.() ?? [];
  const others = [...headers].filter(([name]) => name !== "set-cookie" || cookies.length === 0);
  return [...others, ...cookies.map((cookie) => ["set-cookie", cookie])];
}

export function serve(handler) {
  return async (environ, startResponse) => {
    const request = requestOf(environ);
    const response = request ? await handler(request) : new Response("bad request\n", { status: 400 });
    if (!(response instanceof Response)) throw new TypeError("a handler returns a Response");
    const reason = response.statusText || "Status";
    const drop = async () => void (await response.body?.cancel?.());
    try {
      startResponse(`${response.status} ${reason}`, fieldsOf(response.headers));
    } catch (error) {
      await drop();
      throw error;
    }
    if (response.body !== null && environ.REQUEST_METHOD !== "HEAD") return chunksOf(response);
    await drop();
    return [];
  };
}
