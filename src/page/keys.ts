/**
 * The keys that somebody has typed in. They are sent in a header, stand in no URL, and are kept in the
 * tab's own storage: they are there after a reload, and gone with the tab.
 */
class Keys {
  get admin(): string | null {
    return sessionStorage.getItem("lmproxy admin key");
  }

  set admin(key: string | null) {
    keep("lmproxy admin key", key);
  }

  /** For inference, where that needs another. */
  get client(): string | null {
    return sessionStorage.getItem("lmproxy API key") ?? this.admin;
  }

  set client(key: string | null) {
    keep("lmproxy API key", key);
  }
}

function keep(name: string, key: string | null): void {
  if (key === null) sessionStorage.removeItem(name);
  else sessionStorage.setItem(name, key);
}

export const keys = new Keys();
