/** Names that operators give nodes, beside their URLs. */

/** No URL is one: it would hold a colon or a slash. */
export const NODE_NAME = /^[A-Za-z0-9][\w.-]{0,62}$/;

/** What a name may be, to follow "must be". */
export const NODE_NAME_EXPECTS =
  "1 to 63 letters, digits, dots, dashes and underscores, the first a letter or digit";

/** `NAME=URL`, or a URL alone. */
export function splitNamed(given: string): { readonly name: string | null; readonly url: string } {
  const at = given.indexOf("=");
  const name = given.slice(0, Math.max(at, 0));
  return NODE_NAME.test(name) ? { name, url: given.slice(at + 1) } : { name: null, url: given };
}
