import { useEffect, useState } from "preact/hooks";
import { call, fieldOf, listOf, messageOf, textOf } from "./calls.ts";
import { Dialog } from "./dialog.tsx";
import { Pairs } from "./pairs.tsx";
import { latency, plain, withoutScheme } from "./words.ts";

/** How a request went, and what its nodes were chosen by: `/debug/requests/{id}`. */
export function Explain({ id, close }: { id: string; close: () => void }) {
  const [found, setFound] = useState<readonly unknown[] | string | null>(null);
  useEffect(() => {
    call("GET", `/debug/requests/${encodeURIComponent(id)}`).then(
      (answer) => setFound(listOf(answer)),
      (error: unknown) => setFound(messageOf(error)),
    );
  }, [id]);
  return (
    <Dialog title={`Request ${id}`} close={close}>
      {found === null && <p>Looking it up…</p>}
      {typeof found === "string" && <p class="error">{found}</p>}
      {typeof found === "object" && found?.slice(0, 5).map((one, at) => <One key={at} one={one} />)}
    </Dialog>
  );
}

const FACTS = ["phase", "outcome", "status", "error", "model", "client", "path", "began_at"];
const TIMES = ["admitted_ms", "first_byte_ms", "longest_gap_ms", "total_ms"];

function One({ one }: { one: unknown }) {
  const facts = [
    ...FACTS.map((name) => [name.replace("_", " "), textOf(fieldOf(one, name))] as const),
    ...TIMES.map(
      (name) => [name.replace(/_ms$/, "").replaceAll("_", " "), time(one, name)] as const,
    ),
  ].filter(([, value]) => value !== "");
  return (
    <article>
      <Pairs facts={facts} />
      <ol class="attempts">
        {listOf(fieldOf(one, "attempts")).map((attempt, at) => (
          <Attempt key={at} attempt={attempt} />
        ))}
      </ol>
    </article>
  );
}

function time(of: unknown, name: string): string {
  const ms = fieldOf(of, name);
  return typeof ms === "number" ? latency(ms) : "";
}

function Attempt({ attempt }: { attempt: unknown }) {
  const choice = fieldOf(attempt, "choice");
  const detail = textOf(fieldOf(attempt, "detail"));
  const words = [
    `${textOf(fieldOf(attempt, "outcome")) || "open"} ${textOf(fieldOf(attempt, "status"))}`.trim(),
    ...(time(attempt, "sent_ms") === "" ? [] : [`sent after ${time(attempt, "sent_ms")}`]),
    ...(detail === "" ? [] : [plain(detail)]),
  ];
  return (
    <li>
      <p>
        <b>{plain(withoutScheme(textOf(fieldOf(attempt, "node"))))}</b> {words.join(", ")}
      </p>
      {fieldOf(choice, "why") !== undefined && <Choice choice={choice} />}
    </li>
  );
}

/** The chosen node first, then the next best, with every figure that the strategy saw. */
function Choice({ choice }: { choice: unknown }) {
  const best = listOf(fieldOf(choice, "best"));
  const names = Object.keys(Object(fieldOf(best[0], "seen")));
  const strategy = textOf(fieldOf(choice, "strategy")) || textOf(fieldOf(choice, "why"));
  return (
    <table class="choice">
      <caption>
        Chosen by {strategy} of {textOf(fieldOf(choice, "candidates"))}
        {fieldOf(choice, "last_resort") === true && ", though none was routable"}
      </caption>
      <thead>
        <tr>
          <th scope="col">Saw</th>
          {best.map((one, at) => (
            <th key={at} scope="col">
              {plain(withoutScheme(textOf(fieldOf(one, "node"))))}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">score, the least wins</th>
          {best.map((one, at) => (
            <td key={at}>{figure(fieldOf(one, "score"))}</td>
          ))}
        </tr>
        {names.map((name) => (
          <tr key={name}>
            <th scope="row">{name.replaceAll("_", " ")}</th>
            {best.map((one, at) => (
              <td key={at}>{figure(fieldOf(one, "seen", name))}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function figure(value: unknown): string {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : "–";
}
