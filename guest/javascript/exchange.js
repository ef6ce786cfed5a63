// Which request is being served. What an application has kept of one that is over is dead: another client's may be running.

let current = 0;

/** Another request begins, or one ends; its number. */
export const turn = () => ++current;

/** The number of the current one. */
export const now = () => current;

export function alive(number) {
  if (number !== current) throw new Error("the request is over");
}
