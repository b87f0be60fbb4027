/** Preloaded by survival.test.ts: noting how the first answer ended goes wrong. */
import { Lease, type Outcome } from "../../src/core/pool/lease.ts";

const { end } = Lease.prototype;
let isDue = true;
Lease.prototype.end = function (this: Lease, outcome: Outcome) {
  if (isDue) {
    isDue = false;
    throw new Error("surprise: at the end");
  }
  end.call(this, outcome);
};
