/** Loaded before all tests: properties draw the same inputs every time unless told otherwise. */
import fc from "fast-check";
import { FUZZ_SEED } from "../core/fuzz.ts";

fc.configureGlobal({ seed: FUZZ_SEED });
