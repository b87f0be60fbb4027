/** What `giveBack` in `src/http/read-body.ts` relies on: a body is free as soon as fetch has been called. */
import { expect, test } from "bun:test";

test.each([1_000, 100_000, 5_000_000])(
  "fetch has a copy of its own of %d bytes at once",
  async (size) => {
    await using engine = Bun.serve({
      port: 0,
      maxRequestBodySize: size + 1,
      fetch: async (request) => new Response(Bun.hash(await request.bytes()).toString()),
    });
    const body = Buffer.allocUnsafeSlow(size);
    for (let i = 0; i < size; i += 1) body[i] = (i * 31) % 251;
    const hash = Bun.hash(body).toString();
    const session = new Bun.FetchSession({ proxy: false });
    const answer = session.fetch(engine.url.href, { method: "POST", body });
    body.buffer.transfer(0);
    // Memory that was given back is soon somebody else's.
    const others = Array.from({ length: 8 }, () => Buffer.allocUnsafeSlow(size).fill(0xff));
    expect(await (await answer).text()).toBe(hash);
    expect(others).toHaveLength(8);
  },
);
