// The engine's worker.
import { Engine } from "./engine.js";
import { expose } from "./rpc.js";

expose(new Engine());
