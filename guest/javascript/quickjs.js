// What differs in QuickJS: nobody runs its promises while the host waits for an answer. So the build turns async functions into generators,
// and promises are promise-polyfill's, which run here. There are no timers and no interfaces of the web, but for what wasgi/fetch brings.

import "./quickjs-missing.js";

import Promise from "promise-polyfill";

import { excInfo, logUnhandled } from "./errors.js";

const jobs = [];
Promise._immediateFn = (job) => jobs.push(job);
Promise._unhandledRejectionFn = logUnhandled;
globalThis.Promise = Promise;
globalThis.queueMicrotask = (job) => void jobs.push(job);
// It would use the engine's own.
delete Array.fromAsync;

/** Runs what waits, until nothing does: none of it is left for another request. */
export function drain() {
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    try {
      job();
    } catch (error) {
      logUnhandled(error);
    }
  }
}

/** `then(value)`, as soon as there is a value: nothing else can run, so what is pending behind all jobs stays pending. */
export function settled(value, then) {
  if (typeof value?.then !== "function") return then(value);
  let state = () => {
    throw new Error("a promise is pending that nothing will settle");
  };
  value.then(
    (value) => (state = () => value),
    (error) =>
      (state = () => {
        throw error;
      }),
  );
  drain();
  return then(state());
}

/** What the host is told of what was thrown. */
export const thrown = excInfo;
