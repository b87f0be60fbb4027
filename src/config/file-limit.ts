const MIB = 1024 * 1024;

/** More of a file that a flag names is not read: a hundred thousand keys, or any certificate, are less. */
export const MOST_FILE_BYTES = 16 * MIB;
export const MOST_FILE_MIB = MOST_FILE_BYTES / MIB;
