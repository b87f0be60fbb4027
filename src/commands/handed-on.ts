/**
 * What flags name by the number of a descriptor, as the shell's <(command) does, across an exec that closes all but the
 * first three. It is read before, and becomes standard input: a file without a name, which nobody else can open.
 * Neither arguments nor variables, which others may read, hold any of it.
 */
import { closeSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { MOST_FILE_BYTES } from "../config/file-limit.ts";
import type { Environment, ReadFile } from "../config/resolve.ts";
import { errorCode } from "../core/thrown.ts";

/** `path` or `@path` alone, behind a flag's `=`, or in a list. */
const NAMED = /(?<=^|[=,]\s*)@?(\/dev\/stdin|\/(?:dev|proc\/self)\/fd\/\d+)(?=\s*(?:,|$))/g;
/** Those that an exec leaves alone. */
const STAYS = /\/(?:stdin|fd\/[012])$/;

/** The process that has it: those that it starts get the variable, and not the file. */
const MARK = "_LMPROXY_HANDED_ON";

/** The first is in memory, where there is such a folder. */
const FOLDERS = ["/dev/shm", tmpdir()];

/** By path: what is in it, or why it could not be read. */
export type HandedOn = Map<string, string | Error>;

/** Reads the descriptors that `texts` name. @returns variables for whoever takes this process' place by an exec */
export function handOn(texts: readonly string[], readFile: ReadFile): Record<string, string> {
  const named = texts.flatMap((text) => [...text.matchAll(NAMED)].map(([, path = ""]) => path));
  if (named.every((path) => STAYS.test(path))) return {};
  const files = [...new Set(named)].map((path) => [path, ...readOrCode(path, readFile)]);
  const fd = openNameless();
  if (fd === null) return {};
  writeSync(fd, JSON.stringify(files), 0);
  // The next one that is opened gets the lowest number that is free.
  closeSync(0);
  openSync(`/dev/fd/${fd}`, "r");
  closeSync(fd);
  return { [MARK]: `${process.pid}` };
}

function readOrCode(path: string, readFile: ReadFile): [text: string | null, code: string] {
  try {
    return [readFile(path, MOST_FILE_BYTES), ""];
  } catch (error) {
    return [null, errorCode(error) ?? "unreadable"];
  }
}

/** Null where no file can be made: then descriptors cannot be read later, which is said there. */
function openNameless(): number | null {
  for (const folder of FOLDERS) {
    try {
      const path = `${folder}/lmproxy-${crypto.randomUUID()}`;
      const fd = openSync(path, "wx+", 0o600);
      unlinkSync(path);
      return fd;
    } catch {
      // There may be none, or none to write to.
    }
  }
  return null;
}

/** What was handed on to this process; the second time there is nothing. */
export function takeHandedOn(env: Environment): HandedOn {
  if (env[MARK] !== `${process.pid}`) return new Map();
  delete process.env[MARK];
  const files: unknown = JSON.parse(readFileSync(0, "utf8"));
  closeSync(0);
  openSync("/dev/null", "r");
  return new Map(Array.isArray(files) ? files.flatMap(entryOf) : []);
}

function entryOf(file: unknown): [string, string | Error][] {
  if (!Array.isArray(file)) return [];
  const [path, text, code]: unknown[] = file;
  if (typeof path !== "string") return [];
  return [[path, typeof text === "string" ? text : Object.assign(new Error(path), { code })]];
}

/** `readFile`, but for what was handed on and what is no regular file, which can be read as often as one likes. */
export function readingFrom(handedOn: HandedOn, readFile: ReadFile): ReadFile {
  return (path, mostBytes) => {
    const found = handedOn.get(path);
    if (typeof found === "string") return found;
    if (found !== undefined) throw found;
    const text = readFile(path, mostBytes);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) handedOn.set(path, text);
    return text;
  };
}
