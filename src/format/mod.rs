//! Bytes to networks and back.
