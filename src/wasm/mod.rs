//! The surface that JavaScript sees: thin, no logic.
