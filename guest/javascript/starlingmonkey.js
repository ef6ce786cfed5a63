// What differs in StarlingMonkey: its event loop runs until what was returned is settled.

import { excInfo } from "./errors.js";

/** `then(value)`, as soon as there is a value. */
export function settled(value, then) {
  if (typeof value?.then !== "function") return then(value);
  return Promise.resolve(value)
    .then(then)
    .catch((error) => {
      throw thrown(error);
    });
}

/** Its promises run by themselves. */
export const drain = () => {};

/** What the host is told of what was thrown. */
export function thrown(error) {
  return Object.assign(new Error(), { payload: excInfo(error) });
}
