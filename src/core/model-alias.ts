/** `ALIAS=NAME`: a further name of a model, and the one that engines know. */
export function splitAlias(given: string): readonly [alias: string, name: string] {
  const at = given.indexOf("=");
  return [given.slice(0, at), given.slice(at + 1)];
}
