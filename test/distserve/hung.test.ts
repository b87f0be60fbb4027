/** Engines of either role that hang behind a healthy /health: requests leave them and are answered. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../support/until.ts";
import { startCluster } from "./cluster.ts";

setDefaultTimeout(90_000);

for (const role of ["prefills", "decodes"] as const) {
  test.concurrent(`one of three ${role} hangs: every request is answered, and few come to it any more`, async () => {
    // By no other strategy it is sure to get a share: one that was slow once may get none.
    const flags = ["--strategy", "random"];
    await using cluster = await startCluster({ prefills: 3, decodes: 3, flags });
    const [odd] = cluster[role];
    if (odd === undefined) throw new Error("no engine");
    const answer = async () => {
      const answered = await cluster.chat({ stream: true });
      await answered.bytes();
      return answered.status;
    };
    const steadily = async (count: number) => {
      const statuses: Promise<number>[] = [];
      for (let i = 0; i < count; i += 1) {
        statuses.push(answer());
        await Bun.sleep(50);
      }
      return await Promise.all(statuses);
    };
    await steadily(40);
    const before = odd.state().totalRequests;
    odd.setPace(0);
    const judged = until("it is out for what it does", async () =>
      (await cluster.proxy.status())[odd.url]?.last_error?.includes("while its peers"),
    );
    expect(new Set(await steadily(120))).toEqual(new Set([200]));
    await judged;
    // Of 120, 40 were its share.
    expect(odd.state().totalRequests - before).toBeLessThan(30);
  });
}
