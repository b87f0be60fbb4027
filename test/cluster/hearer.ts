/** Hangs its bell in row 1, and says so and each time it hears it; with "deaf" it has not asked for the signal. */
import { BELL, Bells, ITS_TURN } from "../../src/cluster/bells.ts";

const [path = "", rows = "", how = ""] = process.argv.slice(2);
const bells = new Bells(Bun.mmap(path, { shared: true }), Number(rows));
if (how !== "deaf") process.on(BELL, () => console.log("heard"));
bells.hangs(1, process.pid);
bells.wish(1, ITS_TURN);
console.log("hangs");
process.stdin.on("data", () => console.log("lives"));
process.stdin.on("end", () => process.exit(0));
