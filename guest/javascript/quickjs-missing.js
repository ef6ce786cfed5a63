// What QuickJS has not, and what its own promises need to be told: a module of its own, since it must come before them.

globalThis.setTimeout = () => {
  throw new Error('QuickJS has no timers; the engine "starlingmonkey" has');
};
