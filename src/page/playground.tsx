import { useRef, useState } from "preact/hooks";
import { authorization, fieldOf, messageOf, refusalOf, textOf } from "./calls.ts";
import type { ModelRow } from "./cluster.ts";
import { KeyForm } from "./key-form.tsx";
import { keys } from "./keys.ts";
import { count, latency, plain } from "./words.ts";

/** Of an answer, characters: what comes after is counted and not shown. */
const MOST_SHOWN = 100_000;

interface Said {
  readonly text: string;
  readonly pieces: number;
  readonly firstMs: number | null;
  readonly tookMs: number | null;
  readonly id: string | null;
  readonly error: string | null;
  /** The key that was sent, if any, does not do. */
  readonly needsKey: boolean;
}

const NOTHING_SAID: Said = {
  text: "",
  pieces: 0,
  firstMs: null,
  tookMs: null,
  id: null,
  error: null,
  needsKey: false,
};

interface PlaygroundProps {
  readonly models: readonly ModelRow[];
  readonly explain: (id: string) => void;
}

/** A question to a model, with the answer as it comes. */
export function Playground({ models, explain }: PlaygroundProps) {
  const [model, setModel] = useState("");
  const [question, setQuestion] = useState("");
  const [said, setSaid] = useState<Said | null>(null);
  const abort = useRef<AbortController | null>(null);
  const names = models.map((row) => row.text("name"));
  const chosen = names.includes(model) ? model : (names[0] ?? "");
  const isBusy = said !== null && said.tookMs === null && said.error === null;

  const send = async () => {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    let now: Said = NOTHING_SAID;
    const set = (change: Partial<Said>) => {
      now = { ...now, ...change };
      if (abort.current === mine) setSaid(now);
    };
    set({});
    try {
      await ask(chosen, question, mine.signal, () => now, set);
    } catch (error) {
      set({ error: mine.signal.aborted ? "Stopped." : messageOf(error) });
    }
  };

  return (
    <section aria-labelledby="playground-title">
      <header>
        <h2 id="playground-title">Try it</h2>
      </header>
      <form
        class="playground"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label>
          <span>Model</span>
          <select value={chosen} onChange={({ currentTarget }) => setModel(currentTarget.value)}>
            {names.map((name) => (
              <option key={name} value={name}>
                {plain(name)}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span>Message</span>
          <textarea
            rows={3}
            value={question}
            onInput={({ currentTarget }) => setQuestion(currentTarget.value)}
          />
        </label>
        <p class="actions">
          {isBusy && (
            <button type="button" onClick={() => abort.current?.abort()}>
              Stop
            </button>
          )}
          <button type="submit" class="main" disabled={chosen === "" || question.trim() === ""}>
            Send
          </button>
        </p>
      </form>
      {said?.needsKey === true && (
        <KeyForm
          label="API key"
          text="Inference needs a key of its own here."
          message={said.error}
          done={(key) => {
            keys.client = key;
            void send();
          }}
        />
      )}
      {said !== null && !said.needsKey && <Answer said={said} isBusy={isBusy} explain={explain} />}
    </section>
  );
}

interface AnswerProps {
  readonly said: Said;
  readonly isBusy: boolean;
  readonly explain: (id: string) => void;
}

function Answer({ said, isBusy, explain }: AnswerProps) {
  const { text, pieces, firstMs, tookMs, id, error } = said;
  return (
    <>
      <div class="answer" role="log" aria-label="Answer" aria-busy={isBusy}>
        {plainLines(text.slice(0, MOST_SHOWN))}
        {text.length > MOST_SHOWN && "…"}
      </div>
      {error !== null && (
        <p class="error" role="alert">
          {plain(error)}
        </p>
      )}
      <p class="facts">
        {firstMs !== null && `first word after ${latency(firstMs)} · ${count(pieces, "piece")}`}
        {tookMs !== null && ` · ${latency(tookMs)} in all`}{" "}
        {id !== null && (
          <button type="button" class="quiet" onClick={() => explain(id)}>
            Why this node?
          </button>
        )}
      </p>
    </>
  );
}

/** Its lines stay lines. */
function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}

/** @throws Error with what went wrong. */
async function ask(
  model: string,
  question: string,
  signal: AbortSignal,
  now: () => Said,
  set: (change: Partial<Said>) => void,
): Promise<void> {
  const beganMs = performance.now();
  const answer = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization(keys.client) },
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content: question }] }),
    signal,
  });
  set({ id: answer.headers.get("x-request-id") });
  if (!answer.ok || answer.body === null) {
    const refusal = await refusalOf(answer);
    set({ error: refusal.message, needsKey: refusal.status === 401 });
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const data = /^data: ?(.*)$/.exec(line)?.[1];
      if (data === undefined || data === "[DONE]") continue;
      const event: unknown = JSON.parse(data);
      const error = textOf(fieldOf(event, "error", "message"));
      if (error !== "") throw new Error(error);
      const delta = fieldOf(event, "choices", 0, "delta");
      const piece = textOf(fieldOf(delta, "reasoning_content")) + textOf(fieldOf(delta, "content"));
      if (piece === "") continue;
      const { text, pieces, firstMs } = now();
      set({
        text: text.length > MOST_SHOWN ? text : text + piece,
        pieces: pieces + 1,
        firstMs: firstMs ?? performance.now() - beganMs,
      });
    }
  }
  set({ tookMs: performance.now() - beganMs });
}
