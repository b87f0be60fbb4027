/** An engine in a process of its own: each answer a token every TOKEN_MS, TOKENS of them. Prints its URL. */
import type { Socket } from "bun";
import { chunk } from "../../test/support/raw-answers.ts";
import { httpAnswer } from "../../test/support/raw-server.ts";

const [tokenMs = 100, tokens = 300] = process.argv.slice(2).map(Number);
const HEAD =
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const TOKEN = chunk(
  'data: {"choices":[{"index":0,"delta":{"content":"token"},"finish_reason":null}]}\n\n',
);
const END = `${chunk("data: [DONE]\n\n")}0\r\n\r\n`;
const MODELS = { object: "list", data: [{ id: "tiny", object: "model" }] };

/** Streams under way, and how many tokens each still has to send. */
const streams = new Map<Socket<undefined>, number>();
/** They are spread over the ticks of one token's time. */
const TICKS = 10;
let tick = 0;

setInterval(() => {
  tick = (tick + 1) % TICKS;
  let index = 0;
  for (const [socket, left] of streams) {
    index += 1;
    if (index % TICKS !== tick) continue;
    socket.write(left > 0 ? TOKEN : END);
    if (left > 0) streams.set(socket, left - 1);
    else streams.delete(socket);
  }
}, tokenMs / TICKS);

const listener = Bun.listen<undefined>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket, bytes) {
      const text = bytes.toString("latin1", 0, 20);
      if (text.startsWith("POST")) {
        socket.write(HEAD + TOKEN);
        streams.set(socket, tokens - 1);
      } else if (text.startsWith("GET /v1/models")) {
        socket.write(httpAnswer(JSON.stringify(MODELS)));
      } else {
        socket.write(httpAnswer('{"status":"healthy"}'));
      }
    },
    close: (socket) => void streams.delete(socket),
    error() {},
  },
});
process.stdout.write(`http://127.0.0.1:${listener.port}\n`);
