//! Unpacking chunks.
