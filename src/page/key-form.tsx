import { useState } from "preact/hooks";

interface KeyFormProps {
  readonly label: string;
  readonly text: string;
  /** What was wrong with the one before. */
  readonly message: string | null;
  readonly done: (key: string) => void;
}

export function KeyForm({ label, text, message, done }: KeyFormProps) {
  const [key, setKey] = useState("");
  return (
    <form
      class="key"
      onSubmit={(event) => {
        event.preventDefault();
        if (key !== "") done(key);
      }}
    >
      <p>{text}</p>
      <label>
        <span>{label}</span>
        <input
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={key}
          onInput={({ currentTarget }) => setKey(currentTarget.value.trim())}
        />
      </label>
      <button type="submit" class="main">
        Go on
      </button>
      <p class="hint">It is kept in this tab, and forgotten with it.</p>
      {message !== null && (
        <p class="error" role="alert">
          {message}
        </p>
      )}
    </form>
  );
}
