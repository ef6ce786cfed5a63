// All behaviours in one component: the first segment of the path names one.
import { shiftPathInfo } from "wasgi";

import { application as adapter } from "../../adapter/app.js";
import { application as clock } from "../../clock/app.js";
import { application as counter } from "../../counter/app.js";
import { application as disconnect } from "../../disconnect/app.js";
import { application as echo } from "../../echo/app.js";
import { application as empties } from "../../empties/app.js";
import { application as environ } from "../../environ/app.js";
import { application as generator } from "../../generator/app.js";
import { application as headers } from "../../headers/app.js";
import { application as late } from "../../late/app.js";
import { application as lazy } from "../../lazy/app.js";
import { application as log } from "../../log/app.js";
import { application as memory } from "../../memory/app.js";
import { application as nothing } from "../../nothing/app.js";
import { application as badtext } from "../../badtext/app.js";
import { application as oversize } from "../../oversize/app.js";
import { application as stale } from "../../stale/app.js";
import { application as raising } from "../../raising/app.js";
import { application as reading } from "../../reading/app.js";
import { application as replaced } from "../../replaced/app.js";
import { application as single } from "../../single/app.js";
import { application as toolong } from "../../toolong/app.js";
import { application as tooshort } from "../../tooshort/app.js";
import { application as trap } from "../../trap/app.js";
import { application as twice } from "../../twice/app.js";
import { application as unicode } from "../../unicode/app.js";
import { application as upload } from "../../upload/app.js";
import { application as writing } from "../../writing/app.js";

const behaviours = {
  adapter,
  clock,
  counter,
  disconnect,
  echo,
  empties,
  environ,
  generator,
  headers,
  late,
  lazy,
  log,
  memory,
  nothing,
  badtext,
  oversize,
  stale,
  raising,
  reading,
  replaced,
  single,
  toolong,
  tooshort,
  trap,
  twice,
  unicode,
  upload,
  writing,
};

export function application(environ, startResponse) {
  const behaviour = behaviours[shiftPathInfo(environ)];
  if (behaviour) return behaviour(environ, startResponse);
  startResponse("404 Not Found", []);
  return ["no such behaviour"];
}
