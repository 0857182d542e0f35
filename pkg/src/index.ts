export { ConvokeError, type ErrorCode } from "./errors.js";
export { Learner } from "./learner.js";
export { capabilities, liveBytes, Network } from "./network.js";
export { Trainer } from "./trainer.js";
export type * from "./types.js";
