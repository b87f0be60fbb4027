/** Ending an answer where a stop word begins. */
/** An answer as it is planned. */
export interface PlannedAnswer {
  readonly answerTokens: number;
  readonly finishReason: "stop" | "length";
  /** The stop word that ended it; null when it ended otherwise. */
  readonly stopWord: string | null;
  /** What it says, one piece a token. */
  readonly piece: (index: number) => string;
}

/** The answer, cut before the first of these words, or behind it if it is to be `included`. */
export function stopAt(
  answer: PlannedAnswer,
  words: readonly string[],
  included: boolean,
): PlannedAnswer {
  const wanted = words.filter((word) => word !== "");
  if (wanted.length === 0) return answer;
  const ends: number[] = [];
  let text = "";
  for (let i = 0; i < answer.answerTokens; i += 1) {
    text += answer.piece(i);
    ends.push(text.length);
  }
  const found = wanted
    .map((word) => ({ word, at: text.indexOf(word), length: word.length }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)[0];
  if (found === undefined) return answer;
  // The word is known for what it is when its last token has come.
  const answerTokens = 1 + ends.findIndex((end) => end >= found.at + found.length);
  const cut = included ? found.at + found.length : found.at;
  const piece = (i: number) => text.slice(ends[i - 1] ?? 0, Math.min(ends[i] ?? cut, cut));
  return { answerTokens, finishReason: "stop", stopWord: found.word, piece };
}
