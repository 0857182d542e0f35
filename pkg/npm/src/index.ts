export { download } from "./download.js";
export { capabilities, liveBytes } from "./machine.js";
export { Learner, Network, Trainer } from "./network.js";
export { ConvokeError, type ErrorCode } from "./shared/errors.js";
export type * from "./shared/types.js";
