import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "./calls.ts";
import { plain } from "./words.ts";

interface DialogProps {
  readonly title: string;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

/** The browser's own: it keeps the focus inside, and Escape closes it. */
export function Dialog({ title, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} aria-labelledby="dialog-title" onClose={close}>
      <header>
        <h2 id="dialog-title">{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={close}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** What is asked before something is done that cannot be taken back. */
export interface Question {
  readonly title: string;
  readonly text: string;
  /** What the button says. */
  readonly act: string;
  readonly run: () => Promise<void>;
}

export function Ask({ question, close }: { question: Question; close: () => void }) {
  const [state, setState] = useState<{ busy: boolean; error: string | null }>({
    busy: false,
    error: null,
  });
  const run = async () => {
    setState({ busy: true, error: null });
    try {
      await question.run();
      close();
    } catch (error) {
      setState({ busy: false, error: messageOf(error) });
    }
  };
  return (
    <Dialog title={question.title} close={close}>
      <p>{plain(question.text)}</p>
      {state.error !== null && (
        <p class="error" role="alert">
          {state.error}
        </p>
      )}
      <p class="actions">
        <button type="button" onClick={close}>
          Leave it
        </button>
        <button type="button" class="danger" disabled={state.busy} onClick={() => void run()}>
          {question.act}
        </button>
      </p>
    </Dialog>
  );
}
