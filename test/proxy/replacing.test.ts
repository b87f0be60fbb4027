/** What is asked of a proxy that has just taken another's place: it is done when that one has left the port. */
import { expect, test } from "bun:test";
import { Replacing } from "../../src/proxy/replacing.ts";

/** One whose port is shared until `settle`, and which another process begins to replace with `replace`. */
function starting(statePath: string | null = null) {
  const done: string[] = [];
  const { promise, resolve: settle } = Promise.withResolvers<void>();
  let isReplaced = false;
  const replacing = new Replacing({
    port: 1,
    statePath,
    supervisor: () => ({
      upgrade: async () => {
        done.push("upgrade");
        return { from: "1", to: "2" };
      },
      renew: async () => {
        done.push("renew");
        return true;
      },
    }),
    startSuccessor: () => done.push("successor"),
  });
  replacing.settled = promise;
  replacing.handover = {
    refuseWhileReplaced() {
      if (isReplaced) throw new Error("another process takes this one's place");
    },
    stop: async () => {},
  };
  const replace = () => {
    isReplaced = true;
  };
  return { replacing, done, settle, replace };
}

test("nothing is done with the port of one that is taken over from while it waited for that", async () => {
  const { replacing, done, settle, replace } = starting();
  const asked = [
    replacing.upgrade("workers"),
    replacing.upgrade("all"),
    replacing.renew({ key: "", cert: "" }),
  ].map((answer) => answer.then(String, ({ message }: Error) => message));
  replace();
  settle();
  expect(await Promise.all(asked)).toEqual(Array(3).fill("another process takes this one's place"));
  expect(done).toEqual([]);
});

test.each([
  [null, "start lmproxy with --state."],
  ["/srv/nodes.json", "the lock of /srv/nodes.json could not be had"],
])("why nobody can take its place is said, with its state in %p", async (statePath, why) => {
  const { replacing, settle } = starting(statePath);
  replacing.handover = null;
  settle();
  await expect(replacing.upgrade("all")).rejects.toThrow(why);
});
