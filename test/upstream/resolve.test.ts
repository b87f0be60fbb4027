/** Which resolver is asked for what; the answers are scripted. */
import { expect, test } from "bun:test";
import { type Addresses, resolver } from "../../src/upstream/resolve.ts";

function failure(code: string): Error {
  return Object.assign(new Error(`getaddrinfo ${code}`), { code: `DNS_${code}` });
}

function setUp(ofCares: () => Addresses) {
  const asked: string[] = [];
  const open: PromiseWithResolvers<Addresses>[] = [];
  const resolve = resolver(async (hostname, options) => {
    asked.push(`${options?.backend ?? "c-ares"} ${hostname}`);
    if (options === undefined) return ofCares();
    const answer = Promise.withResolvers<Addresses>();
    open.push(answer);
    return await answer.promise;
  });
  return { asked, open, resolve };
}

test("what c-ares finds is not asked of the system", async () => {
  const { asked, resolve } = setUp(() => [{ address: "10.0.0.1" }, { address: "10.0.0.2" }]);
  expect(await resolve("engine")).toHaveLength(2);
  expect(asked).toEqual(["c-ares engine"]);
});

test.each(["ENOTFOUND", "ECONNREFUSED", "ETIMEOUT"])(
  "what c-ares cannot find (%s) is asked of the system, one name at a time",
  async (code) => {
    const { asked, open, resolve } = setUp(() => {
      throw failure(code);
    });
    const answers = [resolve("a"), resolve("b")];
    await Bun.sleep(0);
    expect(asked).toEqual(["c-ares a", "c-ares b", "system a"]);
    open[0]?.reject(failure("EAI_AGAIN"));
    expect(String(await answers[0]?.catch(String))).toContain("EAI_AGAIN");
    await Bun.sleep(0);
    expect(asked.slice(3)).toEqual(["system b"]);
    open[1]?.resolve([{ address: "10.0.0.3" }]);
    expect(await answers[1]).toEqual([{ address: "10.0.0.3" }]);
  },
);

test("of a name that the system does not know either there are no addresses", async () => {
  const { open, resolve } = setUp(() => {
    throw failure("ENOTFOUND");
  });
  const answer = resolve("engine");
  await Bun.sleep(0);
  open[0]?.reject(failure("ENOTFOUND"));
  expect(await answer).toEqual([]);
});
