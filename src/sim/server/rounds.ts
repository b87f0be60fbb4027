/** Several answers at once, a piece of each at a time. */
import { type Completion, completionPieces } from "./completion.ts";

/** One answer's next piece; `null` once it has ended. */
export interface Said {
  readonly index: number;
  readonly completion: Completion;
  readonly piece: string | null;
}

/** What all answers that have not ended say next, as LMDeploy's fan-out puts it into one event. */
export async function* rounds(
  completions: readonly Completion[],
): AsyncGenerator<readonly Said[], void> {
  const answers = completions.map((completion, index) => {
    return { index, completion, pieces: completionPieces(completion), isOver: false };
  });
  try {
    for (;;) {
      const open = answers.filter(({ isOver }) => !isOver);
      if (open.length === 0) return;
      yield await Promise.all(
        open.map(async (answer) => {
          const { index, completion, pieces } = answer;
          const { value, done } = await pieces.next();
          answer.isOver = done === true;
          return { index, completion, piece: value ?? null };
        }),
      );
    }
  } finally {
    await Promise.all(answers.map(({ pieces }) => pieces.return()));
  }
}
