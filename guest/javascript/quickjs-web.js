// The interfaces of the web that a handler of the Fetch API meets, for QuickJS: URL and URLSearchParams are core-js's; Headers, Request and
// Response are these (Fetch standard, sections 2.2.2, 5 and 6), with bodies that are whole and not streams.

import "core-js/actual/url/index.js";
import "core-js/actual/url-search-params/index.js";

import { decode, encode } from "./bytes.js";

const bodiless = /^(GET|HEAD)$/;
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

class Headers {
  #fields = new Map();

  constructor(init = []) {
    const fields = init[Symbol.iterator] ? init : Object.entries(init);
    for (const [name, value] of fields) this.append(name, value);
  }

  #key(name) {
    if (!token.test(String(name))) throw new TypeError(`${name} is no name of a header`);
    return String(name).toLowerCase();
  }

  append(name, value) {
    const key = this.#key(name);
    this.#fields.set(key, [...(this.#fields.get(key) ?? []), String(value).trim()]);
  }

  set(name, value) {
    this.#fields.set(this.#key(name), [String(value).trim()]);
  }

  get(name) {
    return this.#fields.get(this.#key(name))?.join(", ") ?? null;
  }

  getSetCookie() {
    return [...(this.#fields.get("set-cookie") ?? [])];
  }

  has(name) {
    return this.#fields.has(this.#key(name));
  }

  delete(name) {
    this.#fields.delete(this.#key(name));
  }

  *entries() {
    for (const name of [...this.#fields.keys()].sort()) {
      if (name === "set-cookie") for (const value of this.#fields.get(name)) yield [name, value];
      else yield [name, this.get(name)];
    }
  }

  *keys() {
    for (const [name] of this.entries()) yield name;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  forEach(callback, self) {
    for (const [name, value] of this.entries()) callback.call(self, value, name, this);
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}

class Content {
  #data;
  #used = false;

  constructor(body, headers) {
    this.headers = headers;
    const type = (type) => headers.has("content-type") || headers.set("content-type", type);
    if (body === null || body === undefined) this.#data = null;
    else if (body instanceof ArrayBuffer) this.#data = new Uint8Array(body.slice(0));
    else if (ArrayBuffer.isView(body)) this.#data = new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice();
    else if (body instanceof URLSearchParams) {
      this.#data = encode(body.toString());
      type("application/x-www-form-urlencoded;charset=UTF-8");
    } else {
      this.#data = encode(String(body));
      type("text/plain;charset=UTF-8");
    }
  }

  /** Not a stream, but whether there is one. */
  get body() {
    return this.#data;
  }

  get bodyUsed() {
    return this.#used;
  }

  async bytes() {
    if (this.#used) throw new TypeError("the body is used already");
    this.#used = this.#data !== null;
    return this.#data ?? new Uint8Array();
  }

  async arrayBuffer() {
    return (await this.bytes()).slice().buffer;
  }

  async text() {
    return decode(await this.bytes()).replace(/^\ufeff/, "");
  }

  async json() {
    return JSON.parse(await this.text());
  }
}

class Request extends Content {
  constructor(input, options) {
    const init = options ?? {};
    const from = input instanceof Request ? input : null;
    super(init.body ?? from?.body, new Headers(init.headers ?? from?.headers));
    this.url = from ? from.url : new URL(input).href;
    this.method = (init.method ?? from?.method ?? "GET").toUpperCase();
    if (this.body !== null && bodiless.test(this.method)) throw new TypeError(`a ${this.method} has no body`);
  }

  clone() {
    return new Request(this);
  }
}

class Response extends Content {
  constructor(body = null, init) {
    const { status = 200, statusText = "", headers = [] } = init ?? {};
    if (!(status >= 200 && status <= 599)) throw new RangeError("a status lies between 200 and 599");
    if (body !== null && [204, 205, 304].includes(status)) throw new TypeError(`a response with the status ${status} has no body`);
    super(body, new Headers(headers));
    this.status = status;
    this.statusText = statusText;
  }

  get ok() {
    return this.status < 300;
  }

  clone() {
    return new Response(this.body, this);
  }

  static json(value, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(value), { ...init, headers });
  }

  static redirect(url, status = 302) {
    return new Response(null, { status, headers: { location: new URL(url).href } });
  }
}

Object.assign(globalThis, { Headers, Request, Response });
