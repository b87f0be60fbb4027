/** What the requests of `sample-requests.ts` are made of. */

export type Kind =
  | "chat"
  | "completions"
  | "tools"
  | "unknown fields"
  | "images"
  | "streams"
  | "errors";

export interface Sample {
  readonly kind: Kind;
  readonly path: string;
  /** JSON as it is sent: spelled as programs of many languages do. */
  readonly body: string;
  readonly answer: {
    readonly status: number;
    readonly type: string;
    /** Written one after the other. */
    readonly pieces: readonly string[];
  };
}

export const MODEL = "sample";
export const JSON_TYPE = "application/json";

const TEXTS = [
  "Why is the sky blue?",
  "Qu'est-ce qu'un « escargot » ? Et l'œuf ?",
  "请用一句话解释相对论。",
  "🙂 emoji, and a \u{1F469}‍\u{1F4BB} joined one",
  'quotes " and back\\slashes \\n that are no line breaks',
  "tabs\tand\nline\r\nbreaks",
  "",
  "long ".repeat(2_000),
  "\u0000\u001f\u007f\u2028 control characters",
  "</script><b>markup</b> & entities",
];

/** Ways in which programs write the same JSON: dense, Python's, indented, with escapes for all but ASCII. */
const SPELLINGS: readonly ((value: unknown) => string)[] = [
  (value) => JSON.stringify(value),
  (value) => ascii(JSON.stringify(value)),
  (value) => JSON.stringify(value, null, 2),
  (value) => `\n ${JSON.stringify(value, null, 1).replaceAll("\n", "\r\n")} `,
];

function ascii(json: string): string {
  return json.replaceAll(
    /[\u0080-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function spelled(at: number, value: object): string {
  const spell = SPELLINGS[at % SPELLINGS.length];
  return spell === undefined ? "" : spell(value);
}

export function times(count: number, make: (at: number) => Sample): Sample[] {
  return Array.from({ length: count }, (_, at) => make(at));
}

export function text(at: number): string {
  return TEXTS[at % TEXTS.length] ?? "";
}

export function whole(value: object): Sample["answer"] {
  return { status: 200, type: JSON_TYPE, pieces: [JSON.stringify(value)] };
}

export const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };

export function chatAnswer(message: object, more: object = {}): Sample["answer"] {
  return whole({
    id: "chatcmpl-1",
    object: "chat.completion",
    created: 1_764_000_000,
    model: MODEL,
    choices: [
      {
        index: 0,
        message: { role: "assistant", ...message },
        finish_reason: "stop",
        logprobs: null,
      },
    ],
    usage: USAGE,
    ...more,
  });
}
