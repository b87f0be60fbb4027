/** An engine that answers every POST with as many bytes as the peer takes, up to a length. */
import type { Socket } from "bun";

export interface Firehose {
  readonly url: string;
  /** Bytes of all answers that the kernel has taken so far. */
  readonly sentBytes: number;
  /** Answers under way. */
  readonly open: number;
  stop(): void;
}

interface Connection {
  leftBytes: number;
}

const BLOCK = Buffer.alloc(64 * 1024, "firehose ");

/** @param lengthBytes Length of each answer, sent as Content-Length. */
export function startFirehose(lengthBytes: number): Firehose {
  const open = new Set<Socket<Connection>>();
  let sentBytes = 0;

  function pour(socket: Socket<Connection>): void {
    while (socket.data.leftBytes > 0) {
      const block = BLOCK.subarray(0, Math.min(BLOCK.length, socket.data.leftBytes));
      const written = socket.write(block);
      if (written < 0) return;
      sentBytes += written;
      socket.data.leftBytes -= written;
      if (written < block.length) return;
    }
    open.delete(socket);
  }

  function answer(socket: Socket<Connection>, contentType: string, body: string): void {
    const length = body === "" ? lengthBytes : body.length;
    socket.write(
      `HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\ncontent-length: ${length}\r\n\r\n${body}`,
    );
  }

  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { leftBytes: 0 };
      },
      data(socket, bytes) {
        const head = bytes.toString("latin1", 0, 20);
        if (head.startsWith("POST")) {
          answer(socket, "application/octet-stream", "");
          socket.data.leftBytes = lengthBytes;
          open.add(socket);
          pour(socket);
        } else if (head.startsWith("GET /v1/models")) {
          answer(socket, "application/json", '{"object":"list","data":[{"id":"tiny"}]}');
        } else {
          answer(socket, "application/json", '{"status":"healthy"}');
        }
      },
      drain: pour,
      close: (socket) => void open.delete(socket),
      error() {},
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    get sentBytes() {
      return sentBytes;
    },
    get open() {
      return open.size;
    },
    stop: () => listener.stop(true),
  };
}
