import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { call, messageOf } from "./calls.ts";
import { Cluster } from "./cluster.ts";
import { Connection, type Standing } from "./connection.ts";
import { Ask, type Question } from "./dialog.tsx";
import { Explain } from "./explain.tsx";
import { KeyForm } from "./key-form.tsx";
import { keys } from "./keys.ts";
import { useNews } from "./news.ts";
import type { NodeActions } from "./node-details.tsx";
import { Nodes } from "./nodes.tsx";
import { Playground } from "./playground.tsx";
import { Failures, Requests } from "./requests.tsx";
import { AddNode, Models, Summary } from "./summary.tsx";
import { plain } from "./words.ts";

/** What the stream says, and the page drawn anew when it has: once a frame of the screen at most. */
function useLive() {
  const [, redraw] = useReducer((times: number) => times + 1, 0);
  const [standing, setStanding] = useState<Standing>({ is: "connecting" });
  const cluster = useRef(new Cluster());
  const heardAtMs = useRef(0);
  const connection = useRef<Connection | null>(null);
  useEffect(() => {
    let isDue = false;
    const soon = () => {
      if (isDue) return;
      isDue = true;
      requestAnimationFrame(() => {
        isDue = false;
        redraw(undefined);
      });
    };
    connection.current = new Connection({
      frame(frame) {
        cluster.current.apply(frame);
        heardAtMs.current = performance.now();
        soon();
      },
      standing: setStanding,
    });
    void connection.current.open();
    // Ages go on when nothing comes any more.
    const timer = setInterval(soon, 1_000);
    return () => clearInterval(timer);
  }, []);
  const silentMs = performance.now() - heardAtMs.current;
  return {
    cluster: cluster.current,
    standing,
    silentMs,
    nowMs: cluster.current.tMs + silentMs,
    reopen: () => void connection.current?.open(),
  };
}

export function App() {
  const { cluster, standing, silentMs, nowMs, reopen } = useLive();
  const [question, setQuestion] = useState<Question | null>(null);
  const [explained, setExplained] = useState<string | null>(null);
  const [notice, setNotice] = useState<string | null>(null);
  const news = useNews(cluster);
  if (standing.is === "locked" || standing.is === "refused") {
    return <Locked standing={standing} reopen={reopen} />;
  }
  const act = async (path: string, body: object, done: string) => {
    try {
      await call("POST", path, body);
      setNotice(done);
    } catch (error) {
      setNotice(messageOf(error));
    }
  };
  const actions: NodeActions = {
    drain: (url) => void act("/nodes/drain", { url }, `${url} drains: it gets nothing new.`),
    undrain: (url) => void act("/nodes/undrain", { url }, `${url} gets requests again.`),
    remove: (url) =>
      setQuestion({
        title: "Remove this node?",
        text: `${url} gets nothing new, and its running requests finish. It is back when it registers or is added again.`,
        act: "Remove it",
        run: async () => {
          await call("POST", "/nodes/remove", { url });
          setNotice(`${url} is removed.`);
        },
      }),
  };
  const cancel = (id: string) =>
    setQuestion({
      title: "Cancel this request?",
      text: `All that run by the id ${id} end with an error for their clients.`,
      act: "Cancel it",
      run: async () => {
        await call("DELETE", `/debug/requests/${encodeURIComponent(id)}`);
        setNotice(`${id} is cancelled.`);
      },
    });
  return (
    <>
      <Summary
        cluster={cluster}
        standing={standing}
        silentMs={silentMs}
        nowMs={nowMs}
        forget={() => {
          keys.admin = null;
          keys.client = null;
          reopen();
        }}
      />
      <main>
        <p class="notice" role="status">
          {notice !== null && plain(notice)}
          {notice !== null && (
            <button
              type="button"
              class="quiet"
              aria-label="Dismiss"
              onClick={() => setNotice(null)}
            >
              ✕
            </button>
          )}
        </p>
        <p class="hidden" role="log">
          {news}
        </p>
        {cluster.about !== null && (
          <>
            <Nodes cluster={cluster} nowMs={nowMs} actions={actions} />
            <div class="columns">
              <div>
                <Requests
                  requests={cluster.requests}
                  open={cluster.totals.open}
                  nowMs={nowMs}
                  cancel={cancel}
                  explain={setExplained}
                />
                <Models models={cluster.models} needed={cluster.about.needed} />
              </div>
              <div>
                <Failures
                  failures={cluster.failures}
                  epochMs={cluster.about.epochMs}
                  nowMs={nowMs}
                  explain={setExplained}
                />
                <Playground models={cluster.models} explain={setExplained} />
                <AddNode
                  mode={cluster.about.mode}
                  added={(url) =>
                    setNotice(`${url} is added: it gets requests once it answers a probe.`)
                  }
                />
              </div>
            </div>
          </>
        )}
      </main>
      {question !== null && <Ask question={question} close={() => setQuestion(null)} />}
      {explained !== null && <Explain id={explained} close={() => setExplained(null)} />}
    </>
  );
}

function Locked({ standing, reopen }: { standing: Standing; reopen: () => void }) {
  return (
    <main class="locked">
      <h1>lmproxy</h1>
      {standing.is === "locked" ? (
        <KeyForm
          label="Admin key"
          text="Nodes and requests are shown to administrators."
          message={standing.message}
          done={(key) => {
            keys.admin = key;
            reopen();
          }}
        />
      ) : (
        <p class="error">{"message" in standing && standing.message}</p>
      )}
      <p>
        <a href="/docs">All calls</a>
      </p>
    </main>
  );
}
