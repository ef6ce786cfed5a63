// What the component exports: the WIT interface wasgi:gateway/application, over an application.

import { Body } from "./body.js";
import { environOf } from "./environ.js";
import { startResponse } from "./start_response.js";
import { settled, thrown } from "wasgi/engine";

export function gateway(application) {
  const called = (iterable) => ({ body: new Body(iterable), chunks: Array.isArray(iterable) ? iterable.length : undefined });
  const call = (pairs) => {
    try {
      return settled(application(environOf(pairs), startResponse), called);
    } catch (error) {
      throw thrown(error);
    }
  };
  return { Body, call };
}
