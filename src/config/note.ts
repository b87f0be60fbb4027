/** Something about the command line that is worth a line at the start, in the log. */
export interface Note {
  readonly level: "info" | "warning";
  readonly text: string;
}
