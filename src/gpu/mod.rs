//! The GPU engine: the same plans on WebGPU.
