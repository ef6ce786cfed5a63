// Ends where it has no business to. A guest in JavaScript has nothing that traps: the engine throws.
function deepTrouble(number) {
  return number === 2 ? number.missing.property : deepTrouble(number + 1);
}

export function application() {
  return [String(deepTrouble(0))];
}
