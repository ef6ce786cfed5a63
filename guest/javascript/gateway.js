// What the component exports: the WIT interface wasgi:gateway/application, over an application.

import { Body, count } from "./body.js";
import { environOf } from "./environ.js";
import { turn } from "./exchange.js";
import { starter } from "./start_response.js";
import { drain, settled, thrown } from "wasgi/engine";

export function gateway(application) {
  const called = (iterable) => ({ body: new Body(iterable), chunks: count(iterable) });
  const call = (pairs) => {
    turn();
    try {
      return settled(application(environOf(pairs), starter()), called);
    } catch (error) {
      turn();
      throw thrown(error);
    } finally {
      drain();
    }
  };
  return { Body, call };
}
