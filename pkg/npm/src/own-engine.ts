// The engine of this thread: in the worker it answers the page, elsewhere the caller.
import { LocalEngine } from "./engine/engine.js";
import { files } from "./files.js";

export const engine = new LocalEngine(files);
