/** What an executable's first bytes say about the machine it is for. */

export interface ExecutableHeader {
  readonly format: "ELF" | "Mach-O";
  readonly machine: "x64" | "arm64";
  /** The dynamic linker that an ELF file names, which tells glibc and musl apart; null for Mach-O. */
  readonly interpreter: string | null;
}

/** `e_machine` of 64-bit ELF files (System V ABI) and `cputype` of Mach-O files (mach/machine.h). */
const ELF_MACHINES: Readonly<Record<number, "x64" | "arm64">> = { 62: "x64", 183: "arm64" };
const MACH_O_MACHINES: Readonly<Record<number, "x64" | "arm64">> = {
  16777223: "x64",
  16777228: "arm64",
};

const ELF_MAGIC = 0x7f454c46;
const MACH_O_64_MAGIC = 0xfeedfacf;
const PT_INTERP = 3;

/**
 * Reads a 64-bit little-endian header.
 *
 * @param bytes the file's beginning; a few KB hold an ELF file's program headers and interpreter
 * @throws Error when it is none
 */
export function readExecutableHeader(bytes: Uint8Array): ExecutableHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) === MACH_O_64_MAGIC) {
    const machine = MACH_O_MACHINES[view.getUint32(4, true)];
    if (machine === undefined) throw new Error("a Mach-O file for an unknown machine");
    return { format: "Mach-O", machine, interpreter: null };
  }
  if (view.getUint32(0, false) !== ELF_MAGIC) throw new Error("neither an ELF nor a Mach-O file");
  const machine = ELF_MACHINES[view.getUint16(0x12, true)];
  if (machine === undefined) throw new Error("an ELF file for an unknown machine");
  return { format: "ELF", machine, interpreter: elfInterpreter(view) };
}

function elfInterpreter(view: DataView): string | null {
  const tableOffset = Number(view.getBigUint64(0x20, true));
  const entryBytes = view.getUint16(0x36, true);
  const entryCount = view.getUint16(0x38, true);
  for (let index = 0; index < entryCount; index++) {
    const entry = tableOffset + index * entryBytes;
    if (view.getUint32(entry, true) !== PT_INTERP) continue;
    const offset = view.byteOffset + Number(view.getBigUint64(entry + 0x08, true));
    const sizeBytes = Number(view.getBigUint64(entry + 0x20, true));
    const text = new TextDecoder().decode(new Uint8Array(view.buffer, offset, sizeBytes));
    return text.replace(/\0.*$/s, "");
  }
  return null;
}
