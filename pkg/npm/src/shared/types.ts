// The types of the package's public surface.
export type * from "./types/images.js";
export type * from "./types/inspection.js";
export type * from "./types/loading.js";
export type * from "./types/optimization.js";
export type * from "./types/training.js";
export type * from "./types/transfer.js";
