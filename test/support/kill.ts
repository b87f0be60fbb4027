/**
 * Sends a signal to one process.
 * @throws Error for what is no process's id: a signal to 0 goes to all that belong to this one.
 */
export function kill(pid: number | string | undefined, signal: NodeJS.Signals): void {
  const id = Number(pid ?? 0);
  if (!(id > 0)) throw new Error(`no process: ${pid}`);
  process.kill(id, signal);
}
