/** A client of Chromium's DevTools protocol, as far as tests need it: commands and events over one WebSocket. */
import { Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";

export type Params = Readonly<Record<string, unknown>>;
export type OnEvent = (method: string, params: Params) => void;

const Message = Type.Object({
  id: Type.Optional(Type.Integer()),
  sessionId: Type.Optional(Type.String()),
  method: Type.Optional(Type.String()),
  params: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  result: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  error: Type.Optional(Type.Object({ message: Type.String() })),
});

export interface Session {
  send(method: string, params?: Params): Promise<Params>;
}

export class DevTools implements Session {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<Params>>();
  readonly #listeners = new Map<string, OnEvent>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
    socket.addEventListener("close", () => {
      for (const answer of this.#answers.values()) answer.reject(new Error("Chromium has gone"));
    });
  }

  static async connect(url: string): Promise<DevTools> {
    const socket = new WebSocket(url);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.addEventListener("open", () => resolve());
    socket.addEventListener("error", () => reject(new Error(`cannot connect to ${url}`)));
    await promise;
    return new DevTools(socket);
  }

  /** A new empty tab, whose events go to `onEvent`. */
  async openTab(onEvent: OnEvent): Promise<Session> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const attached = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const sessionId = String(attached.sessionId);
    this.#listeners.set(sessionId, onEvent);
    return { send: (method, params) => this.#send({ method, params, sessionId }) };
  }

  /** @throws Error with what the browser says is wrong. */
  send(method: string, params?: Params): Promise<Params> {
    return this.#send({ method, params });
  }

  #send(command: object): Promise<Params> {
    this.#lastId += 1;
    const answer = Promise.withResolvers<Params>();
    this.#answers.set(this.#lastId, answer);
    this.#socket.send(JSON.stringify({ id: this.#lastId, ...command }));
    return answer.promise;
  }

  #receive(text: string): void {
    const message = Value.Parse(Message, JSON.parse(text));
    if (message.id === undefined) {
      const onEvent = this.#listeners.get(message.sessionId ?? "");
      onEvent?.(message.method ?? "", message.params ?? {});
      return;
    }
    const answer = this.#answers.get(message.id);
    this.#answers.delete(message.id);
    if (message.error === undefined) answer?.resolve(message.result ?? {});
    else answer?.reject(new Error(message.error.message));
  }
}

/** The value at `path` inside what a command or an event gave, or undefined. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let inner = value;
  for (const key of path) {
    if (typeof inner !== "object" || inner === null) return undefined;
    inner = Object.entries(inner).find(([name]) => name === key)?.[1];
  }
  return inner;
}
