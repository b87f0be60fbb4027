import { plain } from "./words.ts";

/** Names and what stands behind them, as engines and clients chose it. */
export function Pairs({ facts }: { facts: readonly (readonly [name: string, value: string])[] }) {
  return (
    <dl class="pairs">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{plain(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
