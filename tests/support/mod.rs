//! Helpers that several suites share. Each suite uses some of them.
#![allow(dead_code, reason = "every suite has a copy of its own and uses a part")]

pub mod copy;
pub mod moment;
pub mod qemu_img;
