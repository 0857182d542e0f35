// The engine's worker.
import { engine } from "./own-engine.js";
import { expose } from "./shared/rpc.js";

expose(engine);
